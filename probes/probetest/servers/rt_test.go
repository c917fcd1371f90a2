//go:build servers && linux

package servers

import (
	"net/http"
	"strings"
	"testing"
)

func TestRequestTrackerTakesMailsAndEndsWhole(t *testing.T) {
	r := StartRT(t, RTOptions{SMTP: "127.0.0.1:9"})
	if found := r.Tickets("id > 0"); len(found) != 0 {
		t.Fatalf("tickets %+v at the start", found)
	}
	r.Call(http.MethodPost, "/ticket", map[string]any{
		"Queue": "SOC", "Subject": "printer", "Content": "on fire", "ContentType": "text/plain", "Requestor": []string{"it@acme.example"},
	})
	found := r.Tickets("Subject = 'printer'")
	if len(found) != 1 || found[0].Status != "new" {
		t.Fatalf("tickets %+v, want the new one", found)
	}
	r.Mail("it@acme.example", found[0].ID, "1@acme.example", "it is out")
	r.Take(found[0].ID)
	history := string(r.Call(http.MethodGet, "/ticket/"+found[0].ID+"/history?fields=Type,Creator&per_page=100", nil))
	if !strings.Contains(history, `"Correspond"`) || !strings.Contains(history, `"it@acme.example"`) || !strings.Contains(history, `"soc-op"`) {
		t.Errorf("the history holds no answer of the customer, or no owner: %s", history)
	}
	r.Clear()
	if found := r.Tickets("id > 0"); len(found) != 0 {
		t.Errorf("tickets %+v after all were deleted", found)
	}
	r.Stop()
	if r.answers() {
		t.Error("it still answers after Stop")
	}
}
