package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// jiraTime is how Jira writes times.
const jiraTime = "2006-01-02T15:04:05.000-0700"

// jiraWithdrawn is the label of a withdrawn case.
const jiraWithdrawn = "firstcall-withdrawn"

// jiraKeyPrefix begins every case key of the agent's.
const jiraKeyPrefix = "fc-"

// jiraFields are what is read of an issue.
const jiraFields = "status,priority,labels,created,creator,reporter,issuetype"

// maxADF bounds a text, in bytes: Jira takes 32,767 characters with its markup.
const maxADF = 30000

// jiraUser is an account. accountType is atlassian, app, or customer for those who see the portal only.
type jiraUser struct {
	ID   string `json:"accountId"`
	Name string `json:"displayName"`
	Type string `json:"accountType"`
}

// jiraStatus is a status of a workflow. The key of its category is new, indeterminate or done.
type jiraStatus struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Category struct {
		Key string `json:"key"`
	} `json:"statusCategory"`
}

// jiraIssue is an issue, or as much of it as was asked for.
type jiraIssue struct {
	ID     text   `json:"id"`
	Key    string `json:"key"`
	Fields struct {
		Status   jiraStatus `json:"status"`
		Priority struct {
			Name string `json:"name"`
		} `json:"priority"`
		Labels   []string  `json:"labels"`
		Created  string    `json:"created"`
		Creator  jiraUser  `json:"creator"`
		Reporter *jiraUser `json:"reporter"`
		Type     struct {
			ID string `json:"id"`
		} `json:"issuetype"`
	} `json:"fields"`
}

// jiraFault is how Jira says what is wrong: REST v3 in the first two, servicedeskapi in the third.
type jiraFault struct {
	Messages []string          `json:"errorMessages"`
	Errors   map[string]string `json:"errors"`
	Message  string            `json:"errorMessage"`
	Error    json.RawMessage   `json:"error"`
}

// said returns what the fault says; "" when there is none.
func (f jiraFault) said() string {
	words := slices.Clone(f.Messages)
	for name, message := range f.Errors {
		words = append(words, name+": "+message)
	}
	slices.Sort(words)
	if f.Message != "" {
		words = append(words, f.Message)
	}
	if raw := string(f.Error); raw != "" && raw != "null" {
		words = append(words, raw)
	}
	return strings.Join(words, "; ")
}

// jiraExplain reads a refusal.
func jiraExplain(status int, header http.Header, body []byte) (hint string, is error) {
	var fault jiraFault
	_ = json.Unmarshal(body, &fault) // a proxy's page: nothing more is known
	switch said := secret.Plain(fault.said(), 2*maxExcerpt); {
	case status == http.StatusBadRequest && said != "":
		return fmt.Sprintf("Jira says %q: check project, issue_type, priorities, and that the screens have the fields", said), nil
	case status == http.StatusForbidden:
		return fmt.Sprintf("the account may not do this in the project; it says %q", said), nil
	case status == http.StatusGone:
		return "Atlassian has removed this address: a newer firstcall is needed", nil
	case status == http.StatusNotFound:
		return "no such issue, project or service desk, or the account may not see it", nil
	case status == http.StatusTooManyRequests && header.Get("Retry-After") != "":
		return "the rate limit is used up, it asks to wait: " + secret.Plain(header.Get("Retry-After"), 40), nil
	}
	return "", nil
}

// read reads an address below the site's into an object. Its error never says "none".
func (d *jira) read(ctx context.Context, path string, query url.Values, into any) error {
	raw, err := d.link.get(ctx, d.url+path+"?"+query.Encode())
	if err != nil {
		return err
	}
	return d.parse(raw, into)
}

// parse reads an answer, whose error may stand inside of a good status; it is each of is.
func (d *jira) parse(raw []byte, into any, is ...error) error {
	var fault jiraFault
	err := json.Unmarshal(raw, &fault)
	if list := len(raw) > 0 && raw[0] == '['; list {
		err, fault = nil, jiraFault{}
	}
	if said := fault.said(); err == nil && said != "" {
		return d.link.failure(is, "Jira took the request but says: %s", d.link.excerpt([]byte(said)))
	}
	if err != nil || json.Unmarshal(raw, into) != nil {
		return d.link.failure(is, "%s answered not as Jira does but %q: check that url is that of the site",
			secret.RedactURL(d.url), d.link.excerpt(raw))
	}
	return nil
}

// send writes an object once, and checks that the answer has the documented status.
func (d *jira) send(ctx context.Context, method, path string, object any, want int) ([]byte, error) {
	body, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	r, err := d.link.write(ctx, method, d.url+path, body, http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return nil, err
	}
	if r.status != want {
		return nil, d.link.failure([]error{ErrUnknownOutcome}, "%s answered %d where Jira answers %d (%s): check that url is that of the site",
			secret.RedactURL(d.url+path), r.status, want, d.link.excerpt(r.body))
	}
	return r.body, nil
}

// issue reads the case with that number.
func (d *jira) issue(ctx context.Context, ref string) (jiraIssue, error) {
	if !jiraNumber.MatchString(ref) {
		return jiraIssue{}, fmt.Errorf("it is no number of an issue: %w", incident.ErrNotFound)
	}
	var issue jiraIssue
	err := d.read(ctx, "/rest/api/3/issue/"+ref, url.Values{"fields": {jiraFields}}, &issue)
	if status(err) == http.StatusNotFound {
		return jiraIssue{}, fmt.Errorf("%w: %w", incident.ErrNotFound, err)
	}
	if err == nil && string(issue.ID) != ref {
		err = d.link.failure(nil, "Jira answered with another issue, %q", secret.Plain(string(issue.ID), maxActor))
	}
	return issue, err
}

// found returns the case that the issue is. Its Key is the one of the agent's that its labels hold.
func (d *jira) found(issue jiraIssue) (Case, error) {
	c := Case{Ref: string(issue.ID), Number: issue.Key, State: d.state(issue), Priority: d.config.Priorities.of(issue.Fields.Priority.Name)}
	if !jiraNumber.MatchString(c.Ref) || !jiraKey.MatchString(c.Number) {
		return Case{}, d.link.failure(nil, "the issue %q has no number or no key", secret.Plain(issue.Key, maxActor))
	}
	at, err := time.Parse(jiraTime, issue.Fields.Created)
	if err != nil {
		return Case{}, d.link.failure(nil, "the issue %s has no time of creation", c.Number)
	}
	c.Created = at.UTC()
	c.URL = d.page(c.Number)
	for _, label := range issue.Fields.Labels {
		if strings.HasPrefix(label, jiraKeyPrefix) && len(label) <= incident.MaxKey {
			c.Key = secret.Plain(label, incident.MaxKey)
		}
	}
	return c, nil
}

// page returns the address of an issue's page; "" when it is not known.
func (d *jira) page(key string) string {
	if d.pages == "" {
		return ""
	}
	return d.pages + url.PathEscape(key)
}

// state returns where an issue stands.
func (d *jira) state(issue jiraIssue) incident.CaseState {
	state := d.stateOf(issue.Fields.Status)
	if state == incident.CaseResolved && slices.Contains(issue.Fields.Labels, jiraWithdrawn) {
		return incident.CaseWithdrawn
	}
	return state
}

// stateOf returns what a status means. A status whose category is not known is one in which somebody works.
func (d *jira) stateOf(s jiraStatus) incident.CaseState {
	switch {
	case s.Category.Key == "done":
		return incident.CaseResolved
	case named(d.config.States.Hold, s.Name):
		return incident.CaseHeld
	case named(d.config.States.New, s.Name) || s.Category.Key == "new":
		return incident.CaseNew
	}
	return incident.CaseAcknowledged
}

// named reports whether the list has the name, in either case.
func named(list []string, name string) bool {
	return slices.ContainsFunc(list, func(other string) bool { return strings.EqualFold(strings.TrimSpace(other), strings.TrimSpace(name)) })
}

// jql returns a text of a query: quotes and backslashes are the only things that could end it.
func jql(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// adfNode is a node of the Atlassian Document Format.
type adfNode struct {
	Type    string    `json:"type"`
	Version int       `json:"version,omitempty"`
	Text    string    `json:"text,omitempty"`
	Content []adfNode `json:"content,omitempty"`
}

// adf returns text as a document: a paragraph for each block of lines. Nothing in it is markup.
func adf(text string) adfNode {
	if len(text) > maxADF {
		text = strings.ToValidUTF8(text[:maxADF], "") + "..."
	}
	document := adfNode{Type: "doc", Version: 1}
	for block := range strings.SplitSeq(body(Fields{Body: text}), "\n\n") {
		paragraph := adfNode{Type: "paragraph"}
		for line := range strings.SplitSeq(block, "\n") {
			if line == "" {
				continue
			}
			if len(paragraph.Content) > 0 {
				paragraph.Content = append(paragraph.Content, adfNode{Type: "hardBreak"})
			}
			paragraph.Content = append(paragraph.Content, adfNode{Type: "text", Text: line})
		}
		document.Content = append(document.Content, paragraph)
	}
	return document
}

// plain returns the text of a document, lines divided by line breaks, blocks by empty lines.
func (n adfNode) plain() string {
	var b strings.Builder
	n.walk(&b, 0)
	return strings.TrimSpace(b.String())
}

func (n adfNode) walk(b *strings.Builder, depth int) {
	if depth > 20 || b.Len() > maxBody { // nothing that a person writes
		return
	}
	b.WriteString(n.Text)
	for _, child := range n.Content {
		child.walk(b, depth+1)
	}
	switch n.Type {
	case "hardBreak":
		b.WriteString("\n")
	case "paragraph", "heading", "codeBlock":
		b.WriteString("\n\n")
	}
}

func (d *jira) fail(verb, what string, err error) error {
	return fmt.Errorf("desk %q: %s %s: %w", d.name, verb, secret.Plain(what, 2*maxActor), err)
}

// errNoTransition is when an issue offers no transition of those that the configuration names.
var errNoTransition = errors.New("no fitting transition")
