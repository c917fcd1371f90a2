package desk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
)

// rtFile is a file of a message (RT::REST2, "Attachments").
type rtFile struct {
	Name    string `json:"FileName"`
	Type    string `json:"FileType"`
	Content string `json:"FileContent"` // in base64
}

// Attach implements Attacher: the file comes with a comment, which the requestor does not see.
func (d *rt) Attach(ctx context.Context, ref string, _ Fields, file File) error {
	if err := file.check(); err != nil {
		return d.fail("attach to", ref, err)
	}
	if _, _, err := d.ticket(ctx, ref); err != nil {
		return d.fail("attach to", ref, inTime(err))
	}
	names, err := d.files(ctx, ref)
	if err != nil {
		return d.fail("attach to", ref, inTime(err))
	}
	if slices.Contains(names, file.Name) {
		return nil
	}
	m := rtMessage{
		Subject: "evidence: " + file.Name, Content: "Evidence that the agent gathered when the incident opened: " + file.Name,
		Files: []rtFile{{file.Name, file.Type, base64.StdEncoding.EncodeToString(file.Content)}},
	}
	if _, err := d.say(ctx, ref, m); err != nil {
		return d.fail("attach to", ref, err)
	}
	if names, err = d.files(ctx, ref); err != nil {
		return d.fail("attach to", ref, fmt.Errorf("it cannot be read back: %w: %w", err, ErrUnknownOutcome))
	}
	if !slices.Contains(names, file.Name) {
		err := d.link.failure(nil, "Request Tracker took the comment but not the file %s: check MaxAttachmentSize and its log", file.Name)
		return d.fail("attach to", ref, err)
	}
	return nil
}

// files returns the names of the newest files of a ticket.
func (d *rt) files(ctx context.Context, ref string) ([]string, error) {
	address := d.address(ref) + "/attachments?" + url.Values{
		"fields": {"Filename"}, "orderby": {"id"}, "order": {"DESC"}, "per_page": {fmt.Sprint(rtPage)},
	}.Encode()
	raw, err := d.link.get(ctx, address)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Items *[]struct {
			Name loose `json:"Filename"`
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Items == nil {
		return nil, d.unreadable(d.address(ref), raw)
	}
	var names []string
	for _, item := range *answer.Items {
		names = append(names, string(item.Name))
	}
	return names, nil
}
