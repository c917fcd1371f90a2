package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

const (
	maxJiraTitle = 255 // characters
	jiraFind     = 50  // issues of a key: doubles are few
	jiraComments = 20  // of a page: each may have 32,767 characters
)

// object is a JSON object that is sent.
type object = map[string]any

// Find searches for the label and reads what it finds from the issues themselves: the search index is late.
func (d *jira) Find(ctx context.Context, key string) ([]Case, error) {
	if key == "" || len(key) > incident.MaxKey {
		return nil, d.fail("find", key, errEmptyKey)
	}
	var page struct {
		Issues *[]jiraIssue `json:"issues"`
	}
	query := "project = " + jql(d.config.Project) + " AND labels = " + jql(key) + " ORDER BY created ASC"
	err := d.read(ctx, "/rest/api/3/search/jql", url.Values{"jql": {query}, "fields": {"labels"}, "maxResults": {strconv.Itoa(jiraFind)}}, &page)
	if err == nil && page.Issues == nil {
		err = d.link.failure(nil, "Jira answered a search without issues: check that url is that of the site")
	}
	if err != nil {
		return nil, d.fail("find", key, err)
	}
	var cases []Case
	for _, hit := range *page.Issues {
		if !slices.Contains(hit.Fields.Labels, key) { // never trust a search
			continue
		}
		issue, err := d.issue(ctx, string(hit.ID))
		if errors.Is(err, incident.ErrNotFound) {
			continue // deleted since
		}
		if err != nil {
			return nil, d.fail("find", key, err)
		}
		c, err := d.found(issue)
		if err != nil {
			return nil, d.fail("find", key, err)
		}
		c.Key = key
		if slices.Contains(issue.Fields.Labels, key) && c.State != incident.CaseWithdrawn && !slices.ContainsFunc(cases, func(o Case) bool { return o.Ref == c.Ref }) {
			cases = append(cases, c)
		}
	}
	slices.SortStableFunc(cases, Older)
	return cases, nil
}

func (d *jira) Open(ctx context.Context, f Fields) (Case, error) {
	if f.Key == "" || len(f.Key) > incident.MaxKey || strings.ContainsAny(f.Key, " \t\r\n") { // no label has a space
		return Case{}, d.fail("open", f.Key, errEmptyKey)
	}
	path, wanted := "/rest/api/3/issue", d.issueWanted(f)
	if d.config.RequestType != "" {
		path, wanted = "/rest/servicedeskapi/request", d.requestWanted(f)
	}
	raw, err := d.send(ctx, http.MethodPost, path, wanted, http.StatusCreated)
	if err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	var created struct {
		ID       text   `json:"id"`
		Key      string `json:"key"`
		IssueID  text   `json:"issueId"` // of servicedeskapi
		IssueKey string `json:"issueKey"`
	}
	if err := d.parse(raw, &created, ErrUnknownOutcome); err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	ref, number := cmp.Or(string(created.ID), string(created.IssueID)), cmp.Or(created.Key, created.IssueKey)
	if !jiraNumber.MatchString(ref) || !jiraKey.MatchString(number) {
		err := d.link.failure([]error{ErrUnknownOutcome}, "the answer names no issue: %q", d.link.excerpt(raw))
		return Case{}, d.fail("open", f.Key, err)
	}
	if jiraKey.MatchString(f.Follows) {
		// The body names the earlier case as well: a link that Jira refuses loses nothing.
		_, _ = d.send(ctx, http.MethodPost, "/rest/api/3/issueLink", object{
			"type": object{"name": "Relates"}, "inwardIssue": object{"key": number}, "outwardIssue": object{"key": f.Follows},
		}, http.StatusCreated)
	}
	return Case{Ref: ref, Number: number, Key: f.Key, URL: d.page(number), State: incident.CaseNew, Created: d.now().UTC()}, nil
}

// issueWanted is a new issue.
func (d *jira) issueWanted(f Fields) object {
	fields := extraFields(f)
	maps.Copy(fields, d.about(f))
	maps.Copy(fields, object{
		"project": object{"key": d.config.Project}, "issuetype": object{"name": d.config.IssueType}, "labels": []string{f.Key}, "description": adf(f.Body),
	})
	if d.config.Customer != "" {
		fields["reporter"] = object{"id": d.config.Customer}
	}
	return object{"fields": fields}
}

// requestWanted is a new customer request.
func (d *jira) requestWanted(f Fields) object {
	fields := extraFields(f)
	maps.Copy(fields, d.about(f))
	maps.Copy(fields, object{"labels": []string{f.Key}, "description": cut(body(f), maxADF)})
	wanted := object{"serviceDeskId": d.config.ServiceDesk, "requestTypeId": d.config.RequestType, "requestFieldValues": fields}
	if d.config.Customer != "" {
		wanted["raiseOnBehalfOf"] = d.config.Customer
	}
	return wanted
}

// about returns title and priority.
func (d *jira) about(f Fields) object {
	return object{"summary": cut(secret.Plain(f.Title, maxReason), maxJiraTitle), "priority": object{"name": d.config.Priorities.name(f.Priority)}}
}

// extraFields returns the operator's own fields. A text that is a JSON object or list is sent as such: fields with choices want it.
func extraFields(f Fields) object {
	fields := object{}
	for name, value := range f.Extra {
		fields[name] = value
		if trimmed := strings.TrimSpace(value); strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
			if json.Valid([]byte(trimmed)) {
				fields[name] = json.RawMessage(trimmed)
			}
		}
	}
	return fields
}

func (d *jira) Get(ctx context.Context, ref string) (Case, error) {
	issue, err := d.issue(ctx, ref)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	c, err := d.found(issue)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	return c, nil
}

func (d *jira) Update(ctx context.Context, ref string, f Fields, notes []Note) error {
	if !jiraNumber.MatchString(ref) {
		return d.fail("update", ref, fmt.Errorf("it is no number of an issue: %w", incident.ErrNotFound))
	}
	_, err := d.send(ctx, http.MethodPut, "/rest/api/3/issue/"+ref, object{"fields": d.about(f)}, http.StatusNoContent)
	if err == nil {
		err = d.note(ctx, ref, jiraComments, notes...)
	}
	if err != nil {
		return d.fail("update", ref, unsure(err))
	}
	return nil
}

// note adds comments, but for those that are among the newest already, of which it looks at so many: an earlier attempt may have
// broken off.
func (d *jira) note(ctx context.Context, ref string, look int, notes ...Note) error {
	if len(notes) == 0 {
		return nil
	}
	known, err := d.comments(ctx, ref, 0)
	if err != nil {
		return err
	}
	newest := known[:min(look, len(known))]
	for _, n := range notes {
		document := adf(n.Text)
		if slices.ContainsFunc(newest, func(c jiraComment) bool { return c.Body.plain() == document.plain() }) {
			continue
		}
		raw, err := d.send(ctx, http.MethodPost, "/rest/api/3/issue/"+ref+"/comment", object{
			"body": document, "properties": []object{{"key": "sd.public.comment", "value": object{"internal": !n.Public}}},
		}, http.StatusCreated)
		if err == nil {
			err = d.parse(raw, &struct{}{}, ErrUnknownOutcome)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *jira) Resolve(ctx context.Context, ref string, _ Fields, note string) error {
	issue, err := d.issue(ctx, ref)
	if err != nil {
		return d.fail("resolve", ref, unsure(err))
	}
	if !d.state(issue).Live() {
		return nil
	}
	way, err := d.way(ctx, ref, d.config.Transitions.Resolve, d.config.Resolution)
	if err == nil {
		err = d.note(ctx, ref, 1, Note{Text: note, Public: d.config.MailsCustomer})
	}
	if err == nil {
		err = d.follow(ctx, ref, way)
	}
	if err != nil {
		return d.fail("resolve", ref, unsure(err))
	}
	return nil
}

// Withdraw marks the double with a label, which tells it from a resolved case.
func (d *jira) Withdraw(ctx context.Context, ref, winner string) error {
	issue, err := d.issue(ctx, ref)
	if err != nil {
		return d.fail("withdraw", ref, unsure(err))
	}
	if !d.state(issue).Live() {
		return nil
	}
	way, err := d.way(ctx, ref, d.config.Transitions.Withdraw, "Duplicate", d.config.Resolution)
	if err == nil {
		_, err = d.send(ctx, http.MethodPut, "/rest/api/3/issue/"+ref, object{
			"update": object{"labels": []object{{"add": jiraWithdrawn}}},
		}, http.StatusNoContent)
	}
	if err == nil {
		err = d.note(ctx, ref, 1, Note{Text: "Withdrawn: a double of " + secret.Plain(winner, maxActor) + ", which goes on."})
	}
	if err == nil {
		err = d.follow(ctx, ref, way)
	}
	if err != nil {
		return d.fail("withdraw", ref, unsure(err))
	}
	return nil
}

// Reopen brings a resolved case back by a transition.
func (d *jira) Reopen(ctx context.Context, ref string, _ Fields, note string) error {
	issue, err := d.issue(ctx, ref)
	if err != nil {
		return d.fail("reopen", ref, unsure(err))
	}
	var way object
	if !d.state(issue).Live() {
		way, err = d.way(ctx, ref, d.config.Transitions.Reopen)
	}
	if err == nil {
		err = d.note(ctx, ref, 1, Note{Text: note, Public: d.config.MailsCustomer})
	}
	if err == nil && way != nil {
		err = d.follow(ctx, ref, way)
	}
	if err != nil {
		return d.fail("reopen", ref, unsure(err))
	}
	return nil
}

// way returns the first transition of those named that the issue offers now, ready to be sent. Where its screen has
// the field, it sets the first of the resolutions that is allowed.
func (d *jira) way(ctx context.Context, ref string, names []string, resolutions ...string) (object, error) {
	type offer struct {
		ID     text       `json:"id"`
		Name   string     `json:"name"`
		To     jiraStatus `json:"to"`
		Fields map[string]struct {
			Required bool `json:"required"`
			Allowed  []struct {
				Name string `json:"name"`
			} `json:"allowedValues"`
		} `json:"fields"`
	}
	var answer struct {
		Transitions *[]offer `json:"transitions"`
	}
	err := d.read(ctx, "/rest/api/3/issue/"+ref+"/transitions", url.Values{"expand": {"transitions.fields"}}, &answer)
	if err == nil && answer.Transitions == nil {
		err = d.link.failure(nil, "Jira answered without transitions: check that url is that of the site")
	}
	if err != nil {
		return nil, err
	}
	var offered []string
	for _, o := range *answer.Transitions {
		offered = append(offered, fmt.Sprintf("%q to %q", secret.Plain(o.Name, maxActor), secret.Plain(o.To.Name, maxActor)))
	}
	for _, name := range names {
		for _, o := range *answer.Transitions {
			if !jiraNumber.MatchString(string(o.ID)) || !named([]string{name}, o.Name) && !named([]string{name}, o.To.Name) {
				continue
			}
			way := object{"transition": object{"id": string(o.ID)}}
			for _, resolution := range resolutions {
				for _, allowed := range o.Fields["resolution"].Allowed {
					if way["fields"] == nil && resolution != "" && strings.EqualFold(allowed.Name, resolution) {
						way["fields"] = object{"resolution": object{"name": allowed.Name}}
					}
				}
			}
			return way, nil
		}
	}
	return nil, d.link.failure([]error{errNoTransition}, "the issue offers only the transitions %s: name one in transitions", cmp.Or(strings.Join(offered, ", "), "none"))
}

// follow takes a transition.
func (d *jira) follow(ctx context.Context, ref string, way object) error {
	_, err := d.send(ctx, http.MethodPost, "/rest/api/3/issue/"+ref+"/transitions", way, http.StatusNoContent)
	return err
}
