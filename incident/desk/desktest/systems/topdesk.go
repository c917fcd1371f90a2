package systems

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
)

// TOPdeskOptions say how a TOPdesk is set up.
type TOPdeskOptions struct {
	Now func() time.Time
}

// What the TOPdesk is set up with. The person it@acme.example is known; the branch ACME is.
const (
	TOPdeskUser     = "firstcall"
	TOPdeskPassword = "abcde-fgh1j-kLm/o-pq=st"
	TOPdeskGroup    = "8f0a4f1c-1111-4222-8333-444455556666"
)

// TOPdesk is a TOPdesk as its Incident Management API shows it. It knows its fields and refuses others, and those that are too
// long. It is safe for concurrent use.
type TOPdesk struct {
	options TOPdeskOptions

	mu        sync.Mutex
	incidents []*topdeskIncident
	last      int
	limited   bool
	protected bool // the operator may not end incidents: what it writes of that is dropped
	files     map[string][]desktest.Kept
}

type topdeskIncident struct {
	id, number, title, key, status, priority string
	onHold, responded, completed, closed     bool
	operator, modifier                       string
	closureCode                              string
	fields                                   map[string]any
	trail                                    []map[string]any // newest first
	created, modified                        time.Time
	held, answered, ended                    time.Time
}

var (
	topdeskStatuses   = []string{"Registered", "In progress", "Waiting for user", "Waiting for supplier", "Closed"}
	topdeskPriorities = []string{"P1", "P2", "P3", "P4", "P5"}
	topdeskLists      = map[string][]string{
		"processingStatus": topdeskStatuses, "priority": topdeskPriorities, "category": {"Monitoring"}, "subcategory": {"Availability"},
		"callType": {"Incident"}, "entryType": {"Monitoring"}, "impact": {"Organisation"}, "urgency": {"Now"}, "closureCode": {"Solved"},
	}
)

const (
	topdeskAgent = "firstcall agent"
	topdeskSOC   = "Operator, Olga"
)

// NewTOPdesk returns a TOPdesk without incidents.
func NewTOPdesk(options TOPdeskOptions) *TOPdesk {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &TOPdesk{options: options}
}

// Limit makes TOPdesk refuse requests as too many, or not.
func (s *TOPdesk) Limit(on bool) { s.with(func() { s.limited = on }) }

// Protect takes the right to end incidents away from the agent's operator: what it writes of that is dropped.
func (s *TOPdesk) Protect(on bool) { s.with(func() { s.protected = on }) }

// Field returns what was written to a field of an incident.
func (s *TOPdesk) Field(ref, name string) (value any) {
	s.with(func() { value = s.incident(ref).fields[name] })
	return value
}

// Title returns the brief description of an incident.
func (s *TOPdesk) Title(ref string) (title string) {
	s.with(func() { title = s.incident(ref).title })
	return title
}

// Actions returns an incident's actions and requests, oldest first, those that the caller cannot see in brackets.
func (s *TOPdesk) Actions(ref string) (all []string) {
	s.with(func() {
		for _, e := range slices.Backward(s.incident(ref).trail) {
			text, _ := e["memoText"].(string)
			if e["invisibleForCaller"] == true {
				text = "[" + text + "]"
			}
			all = append(all, text)
		}
	})
	return all
}

func (s *TOPdesk) with(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

// YAML implements desktest.System.
func (s *TOPdesk) YAML(address string) string {
	return fmt.Sprintf("url: %q\nuser: %s\npassword: %q\noperator_group: %s\ncategory: Monitoring\nclosure_code: Solved",
		address, TOPdeskUser, TOPdeskPassword, TOPdeskGroup)
}

// States implements desktest.System.
func (s *TOPdesk) States(key string) (states []incident.CaseState) {
	s.with(func() {
		for _, i := range s.incidents {
			if i.key != key {
				continue
			}
			switch {
			case i.closed || i.completed || i.status == "Closed":
				states = append(states, incident.CaseResolved)
			case i.onHold || i.status == "Waiting for user":
				states = append(states, incident.CaseHeld)
			case i.responded || i.status != "Registered":
				states = append(states, incident.CaseAcknowledged)
			default:
				states = append(states, incident.CaseNew)
			}
		}
	})
	return states
}

// Take is People's.
func (s *TOPdesk) Take(ref string) {
	s.change(ref, func(i *topdeskIncident) {
		i.status, i.responded, i.answered, i.operator = "In progress", true, s.now(), topdeskSOC
	})
}

// Begin lets an operator begin work without saying that it responded.
func (s *TOPdesk) Begin(ref string) {
	s.change(ref, func(i *topdeskIncident) { i.status = "In progress" })
}

// Hold is People's.
func (s *TOPdesk) Hold(ref, reason string) {
	s.change(ref, func(i *topdeskIncident) {
		i.status, i.onHold, i.held = "Waiting for user", true, s.now()
		s.enter(i, "operator", topdeskSOC, reason, false)
	})
}

// Answer is People's: by the self-service portal, which leaves the hold alone.
func (s *TOPdesk) Answer(ref, text string) {
	s.with(func() { s.enter(s.incident(ref), "person", "IT, ACME", text, false) })
}

// Resume is People's.
func (s *TOPdesk) Resume(ref string) {
	s.change(ref, func(i *topdeskIncident) { i.status, i.onHold, i.held = "In progress", false, time.Time{} })
}

// Resolve is People's.
func (s *TOPdesk) Resolve(ref, text string) {
	s.change(ref, func(i *topdeskIncident) {
		i.status, i.completed, i.ended = "Closed", true, s.now()
		s.enter(i, "operator", topdeskSOC, text, false)
	})
}

func (s *TOPdesk) change(ref string, fn func(i *topdeskIncident)) {
	s.with(func() {
		i := s.incident(ref)
		fn(i)
		i.modifier, i.modified = topdeskSOC, s.now()
	})
}

func (s *TOPdesk) now() time.Time { return s.options.Now().UTC().Truncate(time.Millisecond) }

func (s *TOPdesk) uuid() string {
	s.last++
	return fmt.Sprintf("0a1b2c3d-0000-4000-8000-%012x", s.last)
}

func (s *TOPdesk) incident(ref string) *topdeskIncident {
	for _, i := range s.incidents {
		if i.id == ref {
			return i
		}
	}
	return nil
}

func topdeskTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Format("2006-01-02T15:04:05.000-0700")
}

// enter adds to the progress trail; what it holds is HTML.
func (s *TOPdesk) enter(i *topdeskIncident, who, name, text string, invisible bool) {
	e := map[string]any{
		"id": s.uuid(), "memoText": text, "plainText": html.UnescapeString(strings.ReplaceAll(text, "<br>", "\n")), "flag": 0,
		"invisibleForCaller": invisible, "entryDate": topdeskTime(s.now()), "operator": nil, "person": nil,
	}
	e[who] = map[string]string{"id": s.uuid(), "name": name}
	i.trail = slices.Insert(i.trail, 0, e)
}

// ServeHTTP implements http.Handler.
func (s *TOPdesk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	s.mu.Lock()
	defer s.mu.Unlock()
	status, answer := s.serve(r, body)
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "3600")
	}
	w.WriteHeader(status)
	if answer != nil {
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func topdeskFault(status int, format string, args ...any) (int, any) {
	return status, []map[string]string{{"message": fmt.Sprintf(format, args...)}}
}

func (s *TOPdesk) serve(r *http.Request, body []byte) (int, any) {
	user, password, _ := r.BasicAuth()
	id, byID := strings.CutPrefix(r.URL.Path, "/tas/api/incidents/id/")
	id, trail := strings.CutSuffix(id, "/progresstrail")
	id, files := strings.CutSuffix(id, "/attachments")
	list := r.URL.Path == "/tas/api/incidents"
	switch {
	case s.limited:
		return topdeskFault(http.StatusTooManyRequests, "Too many requests")
	case user != TOPdeskUser || password != TOPdeskPassword:
		return topdeskFault(http.StatusUnauthorized, "Invalid credentials")
	case list && r.Method == http.MethodGet:
		return s.search(r.URL.Query())
	case !list && !byID:
		return topdeskFault(http.StatusNotFound, "Not found")
	case byID && s.incident(id) == nil:
		return topdeskFault(http.StatusNotFound, "No incident found with id %s", id)
	case files:
		return s.attach(r, id, body)
	case trail && r.Method == http.MethodGet:
		return topdeskPage(s.incident(id).trail, r.URL.Query(), "start", "page_size")
	case byID && r.Method == http.MethodGet:
		return http.StatusOK, s.shown(s.incident(id))
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var in map[string]any
	if kind != "application/json" || json.Unmarshal(body, &in) != nil {
		return topdeskFault(http.StatusBadRequest, "Request body is not valid JSON")
	}
	switch {
	case list && r.Method == http.MethodPost:
		return s.create(in)
	case byID && !trail && (r.Method == http.MethodPatch || r.Method == http.MethodPut):
		i := s.incident(id)
		if fault := s.write(i, in, false); fault != "" {
			return topdeskFault(http.StatusBadRequest, "%s", fault)
		}
		return http.StatusOK, s.shown(i)
	}
	return topdeskFault(http.StatusMethodNotAllowed, "Method not allowed")
}

// topdeskPage answers with a page of a list: 204 where there is none, 206 where there is more.
func topdeskPage(all []map[string]any, query url.Values, start, size string) (int, any) {
	from, err := strconv.Atoi(query.Get(start))
	if err != nil && query.Get(start) != "" || from < 0 {
		return topdeskFault(http.StatusBadRequest, "The parameter '%s' is invalid", start)
	}
	most := 10
	if raw := query.Get(size); raw != "" {
		if most, err = strconv.Atoi(raw); err != nil || most < 1 || most > 10000 {
			return topdeskFault(http.StatusBadRequest, "The parameter '%s' is invalid", size)
		}
	}
	if size == "page_size" {
		most = min(most, 100)
	}
	if from >= len(all) {
		return http.StatusNoContent, nil
	}
	page := all[from:min(len(all), from+most)]
	if from+most < len(all) {
		return http.StatusPartialContent, page
	}
	return http.StatusOK, page
}
