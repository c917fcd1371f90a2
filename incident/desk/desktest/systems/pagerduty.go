package systems

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/incident"
)

// PagerDutyOptions say how a PagerDuty is set up.
type PagerDutyOptions struct {
	REST  bool          // YAML gives the token of the REST API
	Delay time.Duration // how long an event is queued before it has an effect
	Most  int           // events a minute, beyond which they are refused; 0: 120
	Now   func() time.Time
}

// What the PagerDuty is set up with.
const (
	PagerDutyKey   = "R0uT1ngK3y0123456789abcdef012345"
	PagerDutyToken = "u+Rest_t0k3n-4711"
)

// PagerDuty is a PagerDuty as its Events API v2 and its REST API show it. Events are taken and queued; triggers of one key come
// to one alert while it is open; what comes for a resolved one opens another, or is dropped. It is safe for concurrent use.
type PagerDuty struct {
	options PagerDutyOptions

	mu        sync.Mutex
	queue     []pagerdutyQueued
	taken     []time.Time
	incidents []*pagerdutyIncident
	events    []map[string]any
	ignored   []string
	throttled bool
}

type pagerdutyQueued struct {
	due   time.Time
	event map[string]any
}

type pagerdutyIncident struct {
	id, key, status string
	number          int
	created         time.Time
	log             []map[string]any // newest first
}

// NewPagerDuty returns a PagerDuty without incidents.
func NewPagerDuty(options PagerDutyOptions) *PagerDuty {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Most == 0 {
		options.Most = 120
	}
	return &PagerDuty{options: options}
}

// Throttle makes PagerDuty refuse every event as one too many, or not.
func (p *PagerDuty) Throttle(on bool) { p.with(func() { p.throttled = on }) }

// Events returns the events that were taken, as they were sent.
func (p *PagerDuty) Events() (all []map[string]any) {
	p.with(func() { all = slices.Clone(p.events) })
	return all
}

// Ignored returns the fields of events that the API does not have.
func (p *PagerDuty) Ignored() (all []string) {
	p.with(func() { all = slices.Clone(p.ignored) })
	return all
}

func (p *PagerDuty) with(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
}

// YAML implements desktest.System.
func (p *PagerDuty) YAML(address string) string {
	keys := fmt.Sprintf("url: %q\nrouting_key: %q", address+"/v2/enqueue", PagerDutyKey)
	if p.options.REST {
		keys += fmt.Sprintf("\napi_url: %q\napi_token: %q\nlag: %s", address, PagerDutyToken, max(p.options.Delay, time.Second))
	}
	return keys
}

// States implements desktest.System, once everything that is queued has had its effect.
func (p *PagerDuty) States(key string) (states []incident.CaseState) {
	p.with(func() {
		p.work(true)
		for _, i := range p.incidents {
			if i.key == key {
				states = append(states, map[string]incident.CaseState{
					"triggered": incident.CaseNew, "acknowledged": incident.CaseAcknowledged, "resolved": incident.CaseResolved,
				}[i.status])
			}
		}
	})
	return states
}

// Take is People's: the one on call acknowledges.
func (p *PagerDuty) Take(ref string) {
	p.person(ref, "acknowledged", "acknowledge_log_entry", "Acknowledged by Olga Operator")
}

// Resolve is People's.
func (p *PagerDuty) Resolve(ref, _ string) {
	p.person(ref, "resolved", "resolve_log_entry", "Resolved by Olga Operator")
}

// Note lets a person add a note.
func (p *PagerDuty) Note(ref, text string) { p.person(ref, "", "annotate_log_entry", text) }

// TimeOut ends an acknowledgement, as PagerDuty does when it lasts too long.
func (p *PagerDuty) TimeOut(ref string) {
	p.with(func() {
		i := p.newest(ref)
		i.status = "triggered"
		p.log(i, "unacknowledge_log_entry", "Acknowledgement timed out", "service_reference", "firstcall", "timeout")
	})
}

// Hold is People's. There is no such thing.
func (p *PagerDuty) Hold(string, string) { panic("PagerDuty has no hold") }

// Answer is People's. There is no such thing.
func (p *PagerDuty) Answer(string, string) { panic("no customer writes to PagerDuty") }

// Resume is People's. There is no such thing.
func (p *PagerDuty) Resume(string) { panic("PagerDuty has no hold") }

func (p *PagerDuty) person(key, status, kind, summary string) {
	p.with(func() {
		p.work(true)
		i := p.newest(key)
		if status != "" {
			i.status = status
		}
		p.log(i, kind, summary, "user_reference", "Olga Operator", "website")
	})
}

func (p *PagerDuty) newest(key string) *pagerdutyIncident {
	for _, i := range slices.Backward(p.incidents) {
		if i.key == key {
			return i
		}
	}
	return nil
}

func (p *PagerDuty) log(i *pagerdutyIncident, kind, summary, agent, name, channel string) {
	i.log = slices.Insert(i.log, 0, map[string]any{
		"id": fmt.Sprintf("R%d", len(i.log)), "type": kind, "summary": summary, "created_at": p.options.Now().UTC().Format(time.RFC3339),
		"agent": map[string]any{"type": agent, "summary": name}, "channel": map[string]any{"type": channel, "summary": summary},
	})
}

// work lets queued events have their effect, all of them or those that are due.
func (p *PagerDuty) work(all bool) {
	for len(p.queue) > 0 && (all || !p.options.Now().Before(p.queue[0].due)) {
		e := p.queue[0].event
		p.queue = p.queue[1:]
		key, _ := e["dedup_key"].(string)
		i := p.newest(key)
		open := i != nil && i.status != "resolved"
		switch {
		case e["event_action"] == "trigger":
			if !open {
				i = &pagerdutyIncident{
					id: fmt.Sprintf("Q%013d", len(p.incidents)+1), key: key, status: "triggered", number: len(p.incidents) + 41, created: p.options.Now().UTC(),
				}
				p.incidents = append(p.incidents, i)
			}
			p.log(i, "trigger_log_entry", "Triggered through the API", "events_api_v2_inbound_integration_reference", "firstcall", "api")
		case open && e["event_action"] == "resolve":
			i.status = "resolved"
			p.log(i, "resolve_log_entry", "Resolved through the API", "events_api_v2_inbound_integration_reference", "firstcall", "api")
		}
	}
}

// ServeHTTP implements http.Handler.
func (p *PagerDuty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	p.mu.Lock()
	defer p.mu.Unlock()
	var status int
	var answer any
	if r.URL.Path == "/v2/enqueue" {
		status, answer = p.enqueue(r, body)
	} else {
		status, answer = p.rest(r)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func pagerdutyInvalid(format string, args ...any) (int, any) {
	return http.StatusBadRequest, map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": []string{fmt.Sprintf(format, args...)}}
}

func (p *PagerDuty) enqueue(r *http.Request, body []byte) (int, any) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var e map[string]any
	switch {
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, map[string]string{"message": "Method not allowed"}
	case kind != "application/json" || json.Unmarshal(body, &e) != nil:
		return pagerdutyInvalid("JSON cannot be parsed")
	case len(body) > 512<<10:
		return pagerdutyInvalid("payload is larger than 512 KB")
	case e["routing_key"] != PagerDutyKey:
		return pagerdutyInvalid("'routing_key' is invalid")
	}
	if fault := p.check(e); fault != "" {
		return pagerdutyInvalid("%s", fault)
	}
	now := p.options.Now()
	p.taken = slices.DeleteFunc(p.taken, func(at time.Time) bool { return now.Sub(at) > time.Minute })
	if p.throttled || len(p.taken) >= p.options.Most {
		return http.StatusTooManyRequests, map[string]string{
			"status": "throttle exceeded", "message": "Requests for this service are arriving too quickly.  Please retry later.",
		}
	}
	p.taken = append(p.taken, now)
	p.events = append(p.events, e)
	p.queue = append(p.queue, pagerdutyQueued{now.Add(p.options.Delay), e})
	return http.StatusAccepted, map[string]any{"status": "success", "message": "Event processed", "dedup_key": e["dedup_key"]}
}

// check returns what is wrong with an event.
func (p *PagerDuty) check(e map[string]any) string {
	key, _ := e["dedup_key"].(string)
	if utf8.RuneCountInString(key) > 255 || key == "" && e["event_action"] != "trigger" {
		return "'dedup_key' is missing or longer than 255 characters"
	}
	for name := range e {
		if !slices.Contains([]string{"routing_key", "event_action", "dedup_key", "payload", "images", "links", "client", "client_url"}, name) {
			p.ignored = append(p.ignored, name)
		}
	}
	switch e["event_action"] {
	case "resolve", "acknowledge":
		return ""
	case "trigger":
	default:
		return "'event_action' is missing or invalid"
	}
	payload, _ := e["payload"].(map[string]any)
	for name, value := range payload {
		if !slices.Contains([]string{"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}, name) {
			p.ignored = append(p.ignored, "payload."+name)
		}
		if _, text := value.(string); !text && name != "custom_details" {
			return "'payload." + name + "' is invalid"
		}
	}
	summary, _ := payload["summary"].(string)
	source, _ := payload["source"].(string)
	severity, _ := payload["severity"].(string)
	switch {
	case summary == "" || utf8.RuneCountInString(summary) > 1024:
		return "'payload.summary' is missing or longer than 1024 characters"
	case source == "":
		return "'payload.source' is missing or blank"
	case !slices.Contains([]string{"critical", "error", "warning", "info"}, severity):
		return "'payload.severity' is missing or invalid"
	}
	return ""
}

func pagerdutyFault(status, code int, text string) (int, any) {
	return status, map[string]any{"error": map[string]any{"message": text, "code": code}}
}

func (p *PagerDuty) rest(r *http.Request) (int, any) {
	p.work(false)
	query := r.URL.Query()
	switch {
	case r.Header.Get("Authorization") != "Token token="+PagerDutyToken:
		return pagerdutyFault(http.StatusUnauthorized, 2006, "Unauthorized")
	case r.Header.Get("Accept") != "application/vnd.pagerduty+json;version=2":
		return pagerdutyFault(http.StatusNotAcceptable, 2100, "Not acceptable")
	case r.Method != http.MethodGet:
		return pagerdutyFault(http.StatusForbidden, 2010, "Access Denied") // the key is read-only
	case r.URL.Path == "/incidents":
		return p.list(query)
	}
	id, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/incidents/"), "/")
	n := slices.IndexFunc(p.incidents, func(i *pagerdutyIncident) bool { return i.id == id })
	switch {
	case n < 0:
	case what == "alerts":
		i := p.incidents[n]
		return http.StatusOK, map[string]any{"alerts": []any{map[string]any{"id": "A" + i.id, "alert_key": i.key, "status": i.status}}, "more": false}
	case what == "log_entries":
		page, more := pagerdutyPage(p.incidents[n].log, query)
		return http.StatusOK, map[string]any{"log_entries": page, "more": more}
	}
	return pagerdutyFault(http.StatusNotFound, 2100, "Not Found")
}

// list shows incidents of a key, compared without regard to case; those with alerts, which is all of them, show no key.
func (p *PagerDuty) list(query url.Values) (int, any) {
	var found []map[string]any
	for _, i := range slices.Backward(p.incidents) {
		old := p.options.Now().Sub(i.created) > 30*24*time.Hour && query.Get("date_range") != "all"
		if old || query.Get("incident_key") != "" && !strings.EqualFold(query.Get("incident_key"), i.key) {
			continue
		}
		found = append(found, map[string]any{
			"id": i.id, "type": "incident", "incident_number": i.number, "status": i.status, "incident_key": nil,
			"created_at": i.created.Format(time.RFC3339), "html_url": "https://acme.pagerduty.com/incidents/" + i.id, "urgency": "high",
		})
	}
	if query.Get("sort_by") != "created_at:desc" {
		slices.Reverse(found)
	}
	page, more := pagerdutyPage(found, query)
	return http.StatusOK, map[string]any{"incidents": page, "more": more}
}

func pagerdutyPage(all []map[string]any, query url.Values) (page []map[string]any, more bool) {
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 1 {
		limit = 25
	}
	offset, _ := strconv.Atoi(query.Get("offset"))
	offset = min(max(offset, 0), len(all))
	end := min(offset+min(limit, 100), len(all))
	return append([]map[string]any{}, all[offset:end]...), end < len(all)
}
