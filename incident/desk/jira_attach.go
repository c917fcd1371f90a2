package desk

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/firstcall-agent/firstcall/incident"
)

// Attach implements Attacher. A file of a customer request is hidden from the customer; of another issue whoever sees it sees its
// files.
func (d *jira) Attach(ctx context.Context, ref string, _ Fields, file File) error {
	if err := file.check(); err != nil {
		return d.fail("attach to", ref, err)
	}
	names, err := d.files(ctx, ref)
	if err != nil {
		return d.fail("attach to", ref, unsure(err))
	}
	if slices.Contains(names, file.Name) {
		return nil
	}
	add := d.addFile
	if d.config.RequestType != "" {
		add = d.addHidden
	}
	if err := add(ctx, ref, file); err != nil {
		return d.fail("attach to", ref, err)
	}
	return nil
}

// addFile adds the file to an issue.
func (d *jira) addFile(ctx context.Context, ref string, file File) error {
	raw, err := d.upload(ctx, "/rest/api/3/issue/"+ref+"/attachments", file)
	if err != nil {
		return err
	}
	var added []jiraFile
	if err := d.parse(raw, &added, ErrUnknownOutcome); err != nil {
		return err
	}
	if !slices.ContainsFunc(added, func(f jiraFile) bool { return f.Name == file.Name }) {
		return d.link.failure([]error{ErrUnknownOutcome}, "Jira took the request but names no file %s: see whether attachments are on", file.Name)
	}
	return nil
}

// addHidden adds the file to a customer request where the customer does not see it: it is put aside, and then taken in.
func (d *jira) addHidden(ctx context.Context, ref string, file File) error {
	raw, err := d.upload(ctx, "/rest/servicedeskapi/servicedesk/"+d.config.ServiceDesk+"/attachTemporaryFile", file)
	if err != nil {
		return err
	}
	var aside struct {
		Files []struct {
			ID string `json:"temporaryAttachmentId"`
		} `json:"temporaryAttachments"`
	}
	if err := d.parse(raw, &aside, ErrUnknownOutcome); err != nil {
		return err
	}
	if len(aside.Files) != 1 || aside.Files[0].ID == "" {
		return d.link.failure([]error{ErrUnknownOutcome}, "Jira took the file %s but does not say where it is: see whether attachments are on", file.Name)
	}
	raw, err = d.send(ctx, http.MethodPost, "/rest/servicedeskapi/request/"+ref+"/attachment", object{
		"temporaryAttachmentIds": []string{aside.Files[0].ID}, "public": false,
	}, http.StatusCreated)
	if err != nil {
		return err
	}
	return d.parse(raw, &struct{}{}, ErrUnknownOutcome)
}

// upload sends the file as a form, once.
func (d *jira) upload(ctx context.Context, path string, file File) ([]byte, error) {
	form, header, err := file.form(nil)
	if err != nil {
		return nil, err
	}
	header.Set("X-Atlassian-Token", "no-check") // without it Jira takes the form for another site's
	r, err := d.link.write(ctx, http.MethodPost, d.url+path, form, header)
	return r.body, err
}

// jiraFile is an attachment.
type jiraFile struct {
	Name string `json:"filename"`
}

// files returns the names of an issue's files.
func (d *jira) files(ctx context.Context, ref string) ([]string, error) {
	if !jiraNumber.MatchString(ref) {
		return nil, fmt.Errorf("it is no number of an issue: %w", incident.ErrNotFound)
	}
	var issue struct {
		ID     text `json:"id"`
		Fields struct {
			Files []jiraFile `json:"attachment"`
		} `json:"fields"`
	}
	err := d.read(ctx, "/rest/api/3/issue/"+ref, url.Values{"fields": {"attachment"}}, &issue)
	if status(err) == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w", incident.ErrNotFound, err)
	}
	if err == nil && string(issue.ID) != ref {
		err = d.link.failure(nil, "Jira answered with another issue")
	}
	var names []string
	for _, f := range issue.Fields.Files {
		names = append(names, f.Name)
	}
	return names, err
}
