package desk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
)

// Attach implements Attacher: the file comes with an internal article.
func (d *zammad) Attach(ctx context.Context, ref string, _ Fields, file File) error {
	if err := file.check(); err != nil {
		return d.fail("attach to", ref, err)
	}
	t, err := d.ticket(ctx, ref)
	if err != nil {
		return d.fail("attach to", ref, unsettled(err))
	}
	there, err := d.holds(ctx, t.ID, file.Name)
	if err != nil || there {
		if err != nil {
			err = d.fail("attach to", ref, unsettled(err))
		}
		return err
	}
	more := article("evidence: "+file.Name, "Evidence that the agent gathered when the incident opened: "+file.Name, false)
	more["ticket_id"] = t.ID
	more["attachments"] = []map[string]string{{
		"filename": file.Name, "mime-type": file.Type, "data": base64.StdEncoding.EncodeToString(file.Content),
	}}
	if _, err := d.send(ctx, http.MethodPost, d.url+"/api/v1/ticket_articles", more); err != nil {
		return d.fail("attach to", ref, err)
	}
	return nil
}

// holds reports whether an article of the ticket has a file of that name.
func (d *zammad) holds(ctx context.Context, ticket int64, name string) (bool, error) {
	address := d.url + "/api/v1/ticket_articles/by_ticket/" + strconv.FormatInt(ticket, 10)
	raw, err := d.link.get(ctx, address)
	if err != nil {
		return false, err
	}
	var articles []struct {
		Files []struct {
			Name string `json:"filename"`
		} `json:"attachments"`
	}
	if err := json.Unmarshal(raw, &articles); err != nil || articles == nil {
		return false, d.strange(address, raw, nil)
	}
	for _, a := range articles {
		for _, f := range a.Files {
			if f.Name == name {
				return true, nil
			}
		}
	}
	return false, nil
}
