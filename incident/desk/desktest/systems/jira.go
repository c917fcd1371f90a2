package systems

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
)

// JiraOptions say how a site is set up. The zero value takes basic authentication and searches without lag.
type JiraOptions struct {
	Lag     time.Duration // of the search index
	Bearer  bool          // takes a bearer token
	Request bool          // the configuration of YAML opens customer requests
	Now     func() time.Time
}

// What the site is set up with.
const (
	JiraUser     = "agent@soc.example"
	JiraToken    = "ATATT3xFf-s3cret+/=9A"
	JiraProject  = "SOC"
	JiraAgent    = "5b10a2844c20165700ede21g" // account ids
	JiraOperator = "5b10ac8d82e05b22cc7d4ef5"
	JiraCustomer = "qm:a713c8ea-1075-4e30-9d96-891a7d181739:5ad6d69abfa3980ce712caae"
	JiraRobot    = "557058:f58131cb-b67d-43c7-b30d-6b58d40bd077"
)

const jiraLayout = "2006-01-02T15:04:05.000-0700"

// Jira is a Jira Cloud site with one Jira Service Management project, its workflow and a search index that lags. It is safe for
// concurrent use.
type Jira struct {
	options JiraOptions

	mu       sync.Mutex
	issues   []*jiraIssue
	links    []string
	last     int
	limited  bool
	noLinks  bool
	required string // a field that the create screen wants
	asked    int    // requests for all statuses

	files map[string][]desktest.Kept // by issue
	aside map[string]desktest.Kept   // uploaded and not yet taken in
}

type jiraIssue struct {
	id, key            int
	summary, priority  string
	labels             []string
	status, resolution string // id, name
	reporter, assignee string // account ids
	created            time.Time
	indexed            time.Time // when the search shows the labels as they are now
	before             []string  // labels that it shows until then
	shown              bool      // the index has the issue
	comments           []jiraComment
	changes            []map[string]any
	extra              map[string]any
	story              string
}

type jiraComment struct {
	id       int
	author   string
	body     any
	text     string
	internal bool
	at       time.Time
}

// jiraStatuses are the workflow's, by id: name and category.
var jiraStatuses = map[string][2]string{
	"10000": {"Waiting for support", "indeterminate"}, "10001": {"In progress", "indeterminate"}, "10002": {"Waiting for customer", "indeterminate"},
	"10003": {"Resolved", "done"}, "10004": {"Canceled", "done"},
}

// jiraTransition is a step of the workflow.
type jiraTransition struct {
	id, name, to string
	from         []string
	screen       bool // asks for a resolution
}

var jiraTransitions = []jiraTransition{
	{"11", "In progress", "10001", []string{"10000", "10002"}, false},
	{"21", "Respond to customer", "10002", []string{"10000", "10001"}, false},
	{"31", "Respond to support", "10000", []string{"10002"}, false},
	{"41", "Resolve this issue", "10003", []string{"10000", "10001", "10002"}, true},
	{"51", "Cancel request", "10004", []string{"10000", "10001", "10002"}, true},
	{"61", "Back to in progress", "10001", []string{"10003"}, false},
}

var (
	jiraPriorities  = []string{"Highest", "High", "Medium", "Low", "Lowest"}
	jiraResolutions = []string{"Done", "Won't Do", "Duplicate"}
)

// NewJira returns a site without issues.
func NewJira(options JiraOptions) *Jira {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Jira{options: options, last: 10000}
}

// Limit makes the site refuse requests beyond its rate limit, or not.
func (j *Jira) Limit(on bool) { j.set(func() { j.limited = on }) }

// RefuseLinks takes the right to link issues away, or gives it back.
func (j *Jira) RefuseLinks(on bool) { j.set(func() { j.noLinks = on }) }

// Require makes the create screen want a field.
func (j *Jira) Require(field string) { j.set(func() { j.required = field }) }

// Links returns the links between issues, as "type: key to key".
func (j *Jira) Links() (all []string) { j.set(func() { all = slices.Clone(j.links) }); return all }

// Comments returns the texts of an issue's comments, oldest first, with "public: " or "internal: " before each.
func (j *Jira) Comments(ref string) (all []string) {
	j.set(func() {
		for _, c := range j.issue(ref).comments {
			kind := "public: "
			if c.internal {
				kind = "internal: "
			}
			all = append(all, kind+c.text)
		}
	})
	return all
}

// Resolution returns the resolution of an issue.
func (j *Jira) Resolution(ref string) (name string) {
	j.set(func() { name = j.issue(ref).resolution })
	return name
}

func (j *Jira) set(fn func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fn()
}

// States implements desktest.System.
func (j *Jira) States(key string) (states []incident.CaseState) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, i := range j.issues {
		if slices.Contains(i.labels, key) {
			states = append(states, map[string]incident.CaseState{
				"10000": incident.CaseNew, "10001": incident.CaseAcknowledged, "10002": incident.CaseHeld,
				"10003": incident.CaseResolved, "10004": incident.CaseWithdrawn,
			}[i.status])
		}
	}
	return states
}

// YAML implements desktest.System.
func (j *Jira) YAML(address string) string {
	keys := fmt.Sprintf("url: %s\ntoken: %q\nproject: %s\nlag: %s\ncustomer: %q", address, JiraToken, JiraProject, j.options.Lag, JiraCustomer)
	if !j.options.Bearer {
		keys += "\nuser: " + JiraUser
	}
	if j.options.Request {
		keys += "\nservice_desk: \"10\"\nrequest_type: \"25\""
	}
	return keys
}

func (j *Jira) next() int { j.last++; return j.last }

// issue returns the issue with that id or key; nil when there is none.
func (j *Jira) issue(ref string) *jiraIssue {
	for _, i := range j.issues {
		if strconv.Itoa(i.id) == ref || i.name() == ref {
			return i
		}
	}
	return nil
}

func (i *jiraIssue) name() string { return fmt.Sprintf("%s-%d", JiraProject, i.key) }

// jiraFault is an error as REST v3 says it.
func jiraFault(status int, field, message string) (int, any) {
	if field == "" {
		return status, map[string]any{"errorMessages": []string{message}, "errors": map[string]string{}}
	}
	return status, map[string]any{"errorMessages": []string{}, "errors": map[string]string{field: message}}
}

// ServeHTTP implements http.Handler.
func (j *Jira) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 10<<20))
	if err != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	status, answer := j.serve(w.Header(), r, body)
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	if answer != nil {
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func (j *Jira) known(r *http.Request) bool {
	if j.options.Bearer {
		return r.Header.Get("Authorization") == "Bearer "+JiraToken
	}
	user, token, ok := r.BasicAuth()
	return ok && user == JiraUser && token == JiraToken
}

func (j *Jira) serve(header http.Header, r *http.Request, body []byte) (int, any) {
	if !j.known(r) {
		return jiraFault(http.StatusUnauthorized, "", "Client must be authenticated to access this resource.")
	}
	if j.limited {
		header.Set("Retry-After", "120")
		header.Set("X-RateLimit-Reset", j.options.Now().Add(2*time.Minute).UTC().Format("2006-01-02T15:04Z"))
		return jiraFault(http.StatusTooManyRequests, "", "Rate limit exceeded.")
	}
	if status, answer, ok := j.attach(r, body, nil); ok {
		return status, answer
	}
	var object map[string]any
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
			return jiraFault(http.StatusUnsupportedMediaType, "", "")
		}
		if err := json.Unmarshal(body, &object); err != nil {
			return jiraFault(http.StatusBadRequest, "", "There was an error parsing JSON. Check that your request body is valid.")
		}
	}
	if status, answer, ok := j.attach(r, body, object); ok {
		return status, answer
	}
	switch path := r.Method + " " + r.URL.Path; {
	case path == "POST /rest/api/3/issue":
		return j.create(object)
	case path == "POST /rest/servicedeskapi/request":
		return j.request(object)
	case path == "POST /rest/api/3/issueLink":
		return j.link(object)
	case path == "GET /rest/api/3/search/jql":
		return j.search(r)
	case strings.HasSuffix(path, " /rest/api/3/search"):
		return jiraFault(http.StatusGone, "", "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API.")
	case path == "GET /rest/api/3/project/"+JiraProject+"/statuses":
		j.asked++
		return http.StatusOK, []any{map[string]any{"id": "10100", "name": "Incident", "subtask": false, "statuses": j.statuses()}}
	case strings.HasPrefix(r.URL.Path, "/rest/api/3/issue/"):
		ref, part, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/rest/api/3/issue/"), "/")
		issue := j.issue(ref)
		if issue == nil {
			return jiraFault(http.StatusNotFound, "", "Issue does not exist or you do not have permission to see it.")
		}
		return j.one(r, issue, part, object)
	}
	return http.StatusNotFound, map[string]any{"message": "null for uri: " + r.URL.Path, "status-code": 404}
}

// one answers what is asked of one issue.
func (j *Jira) one(r *http.Request, issue *jiraIssue, part string, object map[string]any) (int, any) {
	switch r.Method + " " + part {
	case "GET ":
		return http.StatusOK, j.show(issue)
	case "PUT ":
		return j.edit(issue, object)
	case "GET transitions":
		return http.StatusOK, map[string]any{"expand": "transitions", "transitions": j.offered(issue, r.URL.Query().Get("expand") == "transitions.fields")}
	case "POST transitions":
		return j.transition(JiraAgent, issue, object)
	case "GET changelog":
		return http.StatusOK, page(r, "values", 100, issue.changes)
	case "GET comment":
		return j.readComments(r, issue)
	case "POST comment":
		return j.comment(issue, object)
	}
	return http.StatusMethodNotAllowed, nil
}

func (j *Jira) statuses() []any {
	var all []any
	for _, id := range slices.Sorted(maps.Keys(jiraStatuses)) {
		all = append(all, status(id))
	}
	return all
}

func status(id string) map[string]any {
	s := jiraStatuses[id]
	return map[string]any{"id": id, "name": s[0], "statusCategory": map[string]any{"key": s[1]}}
}

func user(id string) map[string]any {
	u := map[string][2]string{
		JiraAgent: {"firstcall", "atlassian"}, JiraOperator: {"Op Erator", "atlassian"}, JiraCustomer: {"ACME IT", "customer"}, JiraRobot: {"Automation for Jira", "app"},
	}[id]
	return map[string]any{"accountId": id, "displayName": u[0], "accountType": u[1], "active": true}
}

// show returns an issue as REST v3 does.
func (j *Jira) show(i *jiraIssue) map[string]any {
	fields := maps.Clone(i.extra)
	maps.Copy(fields, map[string]any{
		"summary": i.summary, "status": status(i.status), "priority": map[string]any{"name": i.priority}, "labels": i.labels,
		"created": i.created.UTC().Format(jiraLayout), "creator": user(JiraAgent), "reporter": user(i.reporter), "issuetype": map[string]any{"id": "10100"},
		"attachment": j.shownFiles(strconv.Itoa(i.id)),
	})
	return map[string]any{"id": strconv.Itoa(i.id), "key": i.name(), "self": "https://site.example/rest/api/3/issue/" + strconv.Itoa(i.id), "fields": fields}
}

// page returns a page of a list.
func page[T any](r *http.Request, name string, most int, all []T) map[string]any {
	start, _ := strconv.Atoi(r.URL.Query().Get("startAt"))
	size, err := strconv.Atoi(r.URL.Query().Get("maxResults"))
	if err != nil || size > most {
		size = most
	}
	from := min(max(start, 0), len(all))
	part := all[from:min(from+size, len(all))]
	if part == nil {
		part = []T{}
	}
	return map[string]any{"startAt": start, "maxResults": size, "total": len(all), "isLast": from+len(part) >= len(all), name: part}
}
