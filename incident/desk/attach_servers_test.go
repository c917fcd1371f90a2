//go:build servers

package desk_test

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// rtFiles returns the files of a ticket as Request Tracker shows them to an operator.
func rtFiles(t *testing.T, rt *servers.RT, ref string) (all []desktest.Kept) {
	t.Helper()
	var list struct {
		Items []struct {
			ID any `json:"id"`
		} `json:"items"`
	}
	read := func(path string, into any) {
		t.Helper()
		if err := json.Unmarshal(rt.Call("GET", path, nil), into); err != nil {
			t.Fatal(err)
		}
	}
	read("/ticket/"+ref+"/attachments?per_page=100", &list)
	for _, item := range list.Items {
		id, _ := item.ID.(string)
		var file struct {
			Filename, Content string
			Transaction       struct {
				ID string `json:"id"`
			} `json:"TransactionId"`
		}
		read("/attachment/"+id, &file)
		if file.Filename == "" {
			continue
		}
		content, err := base64.StdEncoding.DecodeString(file.Content)
		if err != nil {
			t.Fatal(err)
		}
		var transaction struct{ Type string }
		read("/transaction/"+file.Transaction.ID, &transaction)
		all = append(all, desktest.Kept{Name: file.Filename, Content: content, Internal: transaction.Type == "Comment"})
	}
	return all
}

// files returns the files that came with mails of a thread, those of a repeated mail once.
func (b *mailbox) files(ref string) (all []desktest.Kept) {
	seen := map[string]bool{}
	for _, m := range b.Messages() {
		header := b.Headers(m)
		if id := header.Get("Message-Id"); header.Get("X-Firstcall-Key") != ref || seen[id] {
			continue
		}
		seen[header.Get("Message-Id")] = true
		for name, content := range b.Attachments(m) {
			all = append(all, desktest.Kept{Name: name, Content: content})
		}
	}
	return all
}
