package systems

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
)

// formFile reads a form with one file in the field "file"; its other fields are returned by name.
func formFile(r *http.Request, body []byte) (name string, content []byte, fields map[string]string, err error) {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return "", nil, nil, fmt.Errorf("no form: %s", kind)
	}
	fields = map[string]string{}
	for form := multipart.NewReader(bytes.NewReader(body), parameters["boundary"]); ; {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return name, content, fields, nil
		}
		if err != nil {
			return "", nil, nil, err
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return "", nil, nil, err
		}
		if part.FormName() == "file" {
			name, content = part.FileName(), data
		} else {
			fields[part.FormName()] = string(data)
		}
	}
}

// Files returns the files of an issue.
func (j *Jira) Files(ref string) (all []desktest.Kept) {
	j.set(func() { all = append(all, j.files[ref]...) })
	return all
}

// attach answers what concerns files of an issue; ok says whether it does.
func (j *Jira) attach(r *http.Request, body []byte, object map[string]any) (status int, answer any, ok bool) {
	if j.files == nil {
		j.files, j.aside = map[string][]desktest.Kept{}, map[string]desktest.Kept{}
	}
	var ref string
	if n, _ := fmt.Sscanf(r.URL.Path, "/rest/servicedeskapi/request/%s", &ref); n == 1 && object != nil {
		ref, _ = cutEnd(ref, "/attachment")
		for _, id := range object["temporaryAttachmentIds"].([]any) {
			kept, there := j.aside[fmt.Sprint(id)]
			if !there || j.issue(ref) == nil {
				status, answer = jiraFault(http.StatusNotFound, "", "The temporary attachment does not exist.")
				return status, answer, true
			}
			kept.Internal = object["public"] == false
			j.files[ref] = append(j.files[ref], kept)
		}
		return http.StatusCreated, map[string]any{"attachments": map[string]any{"size": 1}}, true
	}
	aside := r.URL.Path == "/rest/servicedeskapi/servicedesk/10/attachTemporaryFile"
	_, _ = fmt.Sscanf(r.URL.Path, "/rest/api/3/issue/%s", &ref)
	ref, issue := cutEnd(ref, "/attachments")
	if r.Method != http.MethodPost || !aside && !issue {
		return 0, nil, false
	}
	name, content, _, err := formFile(r, body)
	switch {
	case r.Header.Get("X-Atlassian-Token") != "no-check":
		status, answer = jiraFault(http.StatusForbidden, "", "XSRF check failed")
	case err != nil || name == "":
		status, answer = jiraFault(http.StatusBadRequest, "", "No file")
	case aside:
		id := fmt.Sprintf("temp%d", j.next())
		j.aside[id] = desktest.Kept{Name: name, Content: content}
		status, answer = http.StatusCreated, map[string]any{"temporaryAttachments": []any{map[string]any{"temporaryAttachmentId": id, "fileName": name}}}
	case j.issue(ref) == nil:
		status, answer = jiraFault(http.StatusNotFound, "", "Issue does not exist or you do not have permission to see it.")
	default:
		j.files[ref] = append(j.files[ref], desktest.Kept{Name: name, Content: content})
		status, answer = http.StatusOK, []any{map[string]any{"id": fmt.Sprint(j.next()), "filename": name, "size": len(content)}}
	}
	return status, answer, true
}

func cutEnd(text, end string) (string, bool) {
	if before, ok := bytes.CutSuffix([]byte(text), []byte(end)); ok {
		return string(before), true
	}
	return text, false
}

// shownFiles are an issue's files as it shows them.
func (j *Jira) shownFiles(ref string) []any {
	all := []any{}
	for _, f := range j.files[ref] {
		all = append(all, map[string]any{"filename": f.Name, "size": len(f.Content)})
	}
	return all
}

// Files returns the files of an incident.
func (s *ServiceNow) Files(ref string) (all []desktest.Kept) {
	s.set(func() { all = append(all, s.files[ref]...) })
	return all
}

// attach is the Attachment API.
func (s *ServiceNow) attach(r *http.Request, body []byte) (int, any) {
	if s.files == nil {
		s.files = map[string][]desktest.Kept{}
	}
	query := r.URL.Query()
	shown := func(ref string, f desktest.Kept) map[string]any {
		return map[string]any{"sys_id": s.id(), "file_name": f.Name, "table_name": "incident", "table_sys_id": ref, "size_bytes": fmt.Sprint(len(f.Content))}
	}
	if r.Method == http.MethodGet {
		all := []any{}
		for ref, files := range s.files {
			for _, f := range files {
				if query.Get("sysparm_query") == "table_sys_id="+ref+"^file_name="+f.Name {
					all = append(all, shown(ref, f))
				}
			}
		}
		return http.StatusOK, map[string]any{"result": all}
	}
	ref := query.Get("table_sys_id")
	if r.URL.Path != "/api/now/attachment/file" || query.Get("table_name") != "incident" || s.incident(ref) == nil {
		return snowFault(http.StatusBadRequest, "Invalid table or record", "")
	}
	f := desktest.Kept{Name: query.Get("file_name"), Content: body}
	s.files[ref] = append(s.files[ref], f)
	return http.StatusCreated, map[string]any{"result": shown(ref, f)}
}

// Files returns the files of a ticket's articles.
func (z *Zammad) Files(ref string) (all []desktest.Kept) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, a := range z.ticket(ref).articles {
		files, _ := a["attachments"].([]any)
		for _, f := range files {
			file := f.(map[string]any)
			content, err := base64.StdEncoding.DecodeString(fmt.Sprint(z.contents[fmt.Sprint(file["id"])]))
			if err != nil {
				continue
			}
			all = append(all, desktest.Kept{Name: fmt.Sprint(file["filename"]), Content: content, Internal: a["internal"] == true})
		}
	}
	return all
}

// keep takes the contents out of an article that is created: an article shows its files without them.
func (z *Zammad) keep(in map[string]any) {
	if z.contents == nil {
		z.contents = map[string]string{}
	}
	files, _ := in["attachments"].([]any)
	for _, f := range files {
		file := f.(map[string]any)
		file["id"] = z.id()
		z.contents[fmt.Sprint(file["id"])] = fmt.Sprint(file["data"])
		delete(file, "data")
	}
}

// Files returns the files of an incident.
func (s *TOPdesk) Files(ref string) (all []desktest.Kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(all, s.files[ref]...)
}

// attach answers what concerns files of an incident.
func (s *TOPdesk) attach(r *http.Request, ref string, body []byte) (int, any) {
	if s.files == nil {
		s.files = map[string][]desktest.Kept{}
	}
	if r.Method == http.MethodGet {
		if len(s.files[ref]) == 0 {
			return http.StatusNoContent, nil
		}
		var all []any
		for _, f := range s.files[ref] {
			all = append(all, map[string]any{"fileName": f.Name, "size": len(f.Content), "invisibleForCaller": f.Internal})
		}
		return http.StatusOK, all
	}
	name, content, fields, err := formFile(r, body)
	if r.Method != http.MethodPost || err != nil || name == "" {
		return topdeskFault(http.StatusBadRequest, "No file")
	}
	s.files[ref] = append(s.files[ref], desktest.Kept{Name: name, Content: content, Internal: fields["invisibleForCaller"] == "true"})
	return http.StatusOK, map[string]any{"fileName": name, "size": len(content), "invisibleForCaller": fields["invisibleForCaller"] == "true"}
}
