package desk

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// Bounds on what is read of an issue's history at once.
const (
	jiraPage  = 20 // entries: each may hold two descriptions
	jiraPages = 40
)

// jiraComment is a comment of an issue.
type jiraComment struct {
	ID      text     `json:"id"`
	Author  jiraUser `json:"author"`
	Body    adfNode  `json:"body"`
	Created string   `json:"created"`
}

// jiraChange is an entry of the changelog: what one person changed at one time.
type jiraChange struct {
	ID      text     `json:"id"`
	Author  jiraUser `json:"author"`
	Created string   `json:"created"`
	Items   []struct {
		Field string `json:"field"`
		From  string `json:"from"` // numbers of statuses, or account ids
		To    string `json:"to"`
		Was   string `json:"fromString"`
		Is    string `json:"toString"`
	} `json:"items"`
}

// Transitions returns what people did: changes of the status, assignments, and comments. The numbers of Jira's entries, which
// rise, make the nanoseconds after its milliseconds.
func (d *jira) Transitions(ctx context.Context, ref string, since time.Time) ([]incident.Transition, error) {
	issue, err := d.issue(ctx, ref)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	changes, err := d.changes(ctx, ref)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	all, err := d.moves(ctx, issue, changes, since)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	notes, err := d.notes(ctx, issue, since)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	all = append(all, notes...)
	slices.SortStableFunc(all, func(a, b incident.Transition) int { return a.At.Compare(b.At) })
	return all, nil
}

// changes reads the changelog, oldest first.
func (d *jira) changes(ctx context.Context, ref string) ([]jiraChange, error) {
	var all []jiraChange
	for range jiraPages {
		var page struct {
			Values *[]jiraChange `json:"values"`
			Last   bool          `json:"isLast"`
		}
		err := d.read(ctx, "/rest/api/3/issue/"+ref+"/changelog", url.Values{"startAt": {strconv.Itoa(len(all))}, "maxResults": {strconv.Itoa(jiraPage)}}, &page)
		if err == nil && page.Values == nil {
			err = d.link.failure(nil, "Jira answered without a changelog: check that url is that of the site")
		}
		if err != nil {
			return nil, err
		}
		all = append(all, *page.Values...)
		if page.Last || len(*page.Values) == 0 {
			break
		}
	}
	return all, nil
}

// moves returns the people's changes of status and assignee.
func (d *jira) moves(ctx context.Context, issue jiraIssue, changes []jiraChange, since time.Time) ([]incident.Transition, error) {
	statuses := map[string]jiraStatus{issue.Fields.Status.ID: issue.Fields.Status}
	current := issue.Fields.Status // before the first change of it
	read := false
	know := func(id, name string) (jiraStatus, error) {
		if s, ok := statuses[id]; ok || read {
			return cmp.Or(s, jiraStatus{ID: id, Name: name}), nil
		}
		read = true
		if err := d.statuses(ctx, issue, statuses); err != nil {
			return jiraStatus{}, err
		}
		return cmp.Or(statuses[id], jiraStatus{ID: id, Name: name}), nil
	}
	first := true
	for _, c := range changes {
		for _, item := range c.Items {
			if first && item.Field == "status" {
				first = false
				s, err := know(item.From, item.Was)
				if err != nil {
					return nil, err
				}
				current = s
			}
		}
	}
	var all []incident.Transition
	for _, c := range changes {
		for i, item := range c.Items {
			t := incident.Transition{At: jiraAt(c.Created, c.ID, i), Actor: actor(c.Author), Customer: customer(issue, c.Author)}
			switch {
			case item.Field == "status":
				s, err := know(item.To, item.Is)
				if err != nil {
					return nil, err
				}
				current = s
				t.To = d.stateOf(s)
				if t.To == incident.CaseHeld {
					t.Text = keepLine(item.Is)
				}
			case item.Field == "assignee" && item.To != "" && d.stateOf(current) == incident.CaseNew:
				t.To, t.Text = incident.CaseAcknowledged, keepLine("assigned to "+item.Is)
			default:
				continue
			}
			if c.Author.ID != issue.Fields.Creator.ID && t.At.After(since) {
				all = append(all, t)
			}
		}
	}
	return all, nil
}

// statuses reads those of the issue's project, with their categories, which the changelog does not tell.
func (d *jira) statuses(ctx context.Context, issue jiraIssue, into map[string]jiraStatus) error {
	var types []struct {
		ID       string       `json:"id"`
		Statuses []jiraStatus `json:"statuses"`
	}
	if err := d.read(ctx, "/rest/api/3/project/"+url.PathEscape(d.config.Project)+"/statuses", url.Values{}, &types); err != nil {
		return err
	}
	for _, t := range types {
		for _, s := range t.Statuses {
			if _, known := into[s.ID]; !known || t.ID == issue.Fields.Type.ID {
				into[s.ID] = s
			}
		}
	}
	return nil
}

// notes returns the people's comments since.
func (d *jira) notes(ctx context.Context, issue jiraIssue, since time.Time) ([]incident.Transition, error) {
	var all []incident.Transition
	for n := range jiraPages {
		page, err := d.comments(ctx, string(issue.ID), n*jiraComments)
		if err != nil {
			return nil, err
		}
		older := false
		for _, c := range page {
			at := jiraAt(c.Created, c.ID, 0)
			if older = at.Before(since.Truncate(time.Millisecond)); older {
				break
			}
			if c.Author.ID == issue.Fields.Creator.ID || !at.After(since) {
				continue
			}
			t := incident.Transition{At: at, Actor: actor(c.Author), Text: keepLine(c.Body.plain()), Customer: customer(issue, c.Author)}
			if !slices.Contains(all, t) { // a page moves on when somebody comments meanwhile
				all = append(all, t)
			}
		}
		if older || len(page) < jiraComments {
			break
		}
	}
	return all, nil
}

// comments reads a page of comments, the newest first.
func (d *jira) comments(ctx context.Context, ref string, start int) ([]jiraComment, error) {
	var page struct {
		Comments *[]jiraComment `json:"comments"`
	}
	err := d.read(ctx, "/rest/api/3/issue/"+ref+"/comment", url.Values{
		"orderBy": {"-created"}, "startAt": {strconv.Itoa(start)}, "maxResults": {strconv.Itoa(jiraComments)},
	}, &page)
	if err == nil && page.Comments == nil {
		err = d.link.failure(nil, "Jira answered without comments: check that url is that of the site")
	}
	if err != nil {
		return nil, err
	}
	return *page.Comments, nil
}

// jiraAt returns the time of an entry with that number: after every earlier one, and unlike every other one.
func jiraAt(created string, id text, item int) time.Time {
	at, err := time.Parse(jiraTime, created)
	if err != nil {
		return time.Time{} // never after anything: dropped
	}
	n, _ := strconv.ParseUint(string(id), 10, 64)
	return at.UTC().Truncate(time.Millisecond).Add(time.Duration((n*8 + uint64(min(item, 7)) + 1) % uint64(time.Millisecond)))
}

func actor(u jiraUser) string {
	return cmp.Or(secret.Plain(u.Name, maxActor), secret.Plain(u.ID, maxActor), "somebody")
}

// customer reports whether the account is the customer's: the reporter's, or one that sees the portal only.
func customer(issue jiraIssue, u jiraUser) bool {
	reporter := issue.Fields.Reporter
	return u.Type == "customer" || reporter != nil && u.ID != "" && u.ID == reporter.ID && u.ID != issue.Fields.Creator.ID
}
