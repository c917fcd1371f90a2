package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
)

// Attach implements Attacher: the caller does not see the file.
func (d *topdesk) Attach(ctx context.Context, ref string, _ Fields, file File) error {
	if err := file.check(); err != nil {
		return d.fail("attach to", ref, err)
	}
	if _, err := d.incident(ctx, ref); err != nil {
		return d.fail("attach to", ref, unsettled(err))
	}
	address := d.url + "/tas/api/incidents/id/" + ref + "/attachments"
	there, err := d.holds(ctx, address, file.Name)
	if err != nil || there {
		if err != nil {
			err = d.fail("attach to", ref, unsettled(err))
		}
		return err
	}
	form, header, err := file.form(map[string]string{"invisibleForCaller": "true", "description": "evidence by firstcall"})
	if err != nil {
		return d.fail("attach to", ref, err)
	}
	r, err := d.link.write(ctx, http.MethodPost, address, form, header)
	if err != nil {
		return d.fail("attach to", ref, err)
	}
	var added topdeskFile
	if err := json.Unmarshal(r.body, &added); err != nil || added.Name != file.Name {
		return d.fail("attach to", ref, unsettled(d.strange(address, r.body)))
	}
	return nil
}

// topdeskFile is an attachment of an incident.
type topdeskFile struct {
	Name string `json:"fileName"`
}

// holds reports whether the incident has a file of that name.
func (d *topdesk) holds(ctx context.Context, address, name string) (bool, error) {
	raw, err := d.link.get(ctx, address)
	if err != nil {
		return false, err
	}
	var files []topdeskFile
	if len(bytes.TrimSpace(raw)) > 0 { // 204: none
		if err := json.Unmarshal(raw, &files); err != nil {
			return false, d.strange(address, raw)
		}
	}
	for _, f := range files {
		if f.Name == name {
			return true, nil
		}
	}
	return false, nil
}
