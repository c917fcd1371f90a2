package desk

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

func init() {
	Register(Kind{
		Name:   "pagerduty",
		Doc:    "Alerts in PagerDuty by its Events API v2, read back by its REST API; docs/desk-pagerduty.md says what to set up.",
		Fields: true,
		New:    func() Builder { return &PagerDuty{} },
	})
}

// PagerDuty is the configuration of a desk in PagerDuty (https://developer.pagerduty.com/docs/events-api-v2-overview).
type PagerDuty struct {
	RoutingKey secret.Value        `yaml:"routing_key" required:"true" doc:"Integration key of an Events API v2 integration."`
	URL        string              `yaml:"url" default:"https://events.pagerduty.com/v2/enqueue" doc:"Address that events are sent to; https://events.eu.pagerduty.com/v2/enqueue in the EU."`
	Severities PagerDutySeverities `yaml:"severities" doc:"Severity of each priority."`
	Source     string              `yaml:"source" doc:"What the alerts say is affected; the tenant unless given."`
	APIToken   secret.Value        `yaml:"api_token" doc:"REST API key, read-only, to read back what people did; without it nothing is read back."`
	APIURL     string              `yaml:"api_url" default:"https://api.pagerduty.com" doc:"Address of the REST API; https://api.eu.pagerduty.com in the EU."`
	Lag        time.Duration       `yaml:"lag" default:"30s" doc:"How long after an event the REST API may still not show what it did."`
	Timeout    time.Duration       `yaml:"timeout" default:"10s" doc:"Longest exchange, repeated reads included."`
	CAFile     string              `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`
}

// PagerDutySeverities are PagerDuty's severities for the contract's priorities.
type PagerDutySeverities struct {
	P1 string `yaml:"p1" default:"critical" enum:"critical,error,warning,info" doc:"Severity of P1."`
	P2 string `yaml:"p2" default:"error" enum:"critical,error,warning,info" doc:"Severity of P2."`
	P3 string `yaml:"p3" default:"warning" enum:"critical,error,warning,info" doc:"Severity of P3."`
	P4 string `yaml:"p4" default:"info" enum:"critical,error,warning,info" doc:"Severity of P4."`
}

// of returns the severity of the priority.
func (s PagerDutySeverities) of(p incident.Priority) string {
	all := [...]string{incident.P1: cmp.Or(s.P1, "critical"), incident.P2: cmp.Or(s.P2, "error"), incident.P3: cmp.Or(s.P3, "warning"), incident.P4: cmp.Or(s.P4, "info")}
	if p == incident.NoPriority || p > incident.P4 {
		p = incident.P4
	}
	return all[p]
}

// Addresses of PagerDuty's.
const (
	pagerdutyEvents = "https://events.pagerduty.com/v2/enqueue"
	pagerdutyAPI    = "https://api.pagerduty.com"
)

// Bounds of PagerDuty's.
const (
	pagerdutySummary = 1024      // characters
	pagerdutySize    = 512 << 10 // bytes of an event
	pagerdutyKey     = 255       // characters of a dedup_key
)

// Validate reports every fault of the configuration.
func (c *PagerDuty) Validate() field.Errors {
	var faults field.Errors
	checkAddress(&faults, "url", c.URL)
	checkAddress(&faults, "api_url", c.APIURL)
	for path, value := range map[string]secret.Value{"routing_key": c.RoutingKey, "api_token": c.APIToken} {
		if strings.ContainsFunc(value.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
			faults.Add(path, "has a space, a line break or another character that no key has")
		}
	}
	if strings.Contains(c.APIURL, "?") {
		faults.AddHint("api_url", "such as "+pagerdutyAPI, "has a query: give the address of the API alone")
	}
	if c.Lag < 0 || c.Lag > time.Hour {
		faults.Add("lag", "must be between 0s and 1h")
	}
	if c.Timeout < 0 || c.Timeout > time.Minute {
		faults.Add("timeout", "must be at most 1m")
	}
	return faults
}

// Build returns the desk.
func (c *PagerDuty) Build(env Env) (Desk, error) {
	timeout := cmp.Or(c.Timeout, 10*time.Second)
	events, err := newLink(env, timeout, c.CAFile, nil, c.RoutingKey, c.APIToken)
	if err != nil {
		return nil, err
	}
	d := &pagerduty{
		events: events, config: *c, name: env.Name, tenant: env.Tenant, external: strings.TrimRight(env.ExternalURL, "/"), now: env.Now,
		api: strings.TrimRight(cmp.Or(c.APIURL, pagerdutyAPI), "/"),
	}
	d.config.URL = cmp.Or(c.URL, pagerdutyEvents)
	if d.now == nil {
		d.now = time.Now
	}
	if !c.APIToken.IsZero() {
		d.rest, err = newLink(env, timeout, c.CAFile, map[string]secret.Value{
			"Authorization": secret.New("Token token=" + c.APIToken.Reveal()), "Accept": secret.New("application/vnd.pagerduty+json;version=2"),
		}, c.APIToken, c.RoutingKey)
	}
	return d, err
}

// pagerduty implements Desk. Its Ref is the case key, which is the alert's dedup_key: events know nothing else.
type pagerduty struct {
	events   *link
	rest     *link // nil: nothing is read back
	config   PagerDuty
	name     string
	tenant   string
	external string
	api      string
	now      func() time.Time
}

func (d *pagerduty) Capabilities() Capabilities {
	if d.rest == nil {
		return Capabilities{DedupeOnCreate: true, Reopens: true}
	}
	return Capabilities{DedupeOnCreate: true, Find: true, Lag: d.config.Lag, ReadBack: true, Transitions: true, Reopens: true}
}

// pagerdutyEvent is what is sent. Its JSON names are the API's.
type pagerdutyEvent struct {
	Action    string            `json:"event_action"` // trigger, resolve
	DedupKey  string            `json:"dedup_key"`
	Payload   *pagerdutyPayload `json:"payload,omitempty"` // of a trigger
	Client    string            `json:"client,omitempty"`
	ClientURL string            `json:"client_url,omitempty"`
	Links     []pagerdutyLink   `json:"links,omitempty"`
	Routing   string            `json:"routing_key"`
}

type pagerdutyPayload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity"`
	Timestamp string         `json:"timestamp,omitempty"`
	Component string         `json:"component,omitempty"`
	Group     string         `json:"group,omitempty"`
	Class     string         `json:"class,omitempty"`
	Details   map[string]any `json:"custom_details"`
}

type pagerdutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

func (d *pagerduty) Open(ctx context.Context, f Fields) (Case, error) {
	if !usableKey(f.Key) {
		return Case{}, d.fail("open", f.Key, errEmptyKey)
	}
	sent := d.now().UTC()
	if err := d.send(ctx, d.trigger(f, nil)); err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	c := Case{Ref: f.Key, Number: pagerdutyNumber(f.Key), Key: f.Key, State: incident.CaseNew, Created: sent}
	// The event is only queued. Its incident, which comes a moment later, has the number that people see.
	if i, ok := d.await(ctx, f.Key, func(i pagerdutyIncident) bool { return i.state().Live() }); ok {
		c = d.caseOf(f.Key, i)
	}
	return c, nil
}

// Update triggers again: an open alert takes it as a further log entry. A resolved one would not, and a new alert would come of it.
func (d *pagerduty) Update(ctx context.Context, ref string, f Fields, notes []Note) error {
	if ref == "" || f.Key != "" && f.Key != ref {
		return d.fail("update", ref, fmt.Errorf("it is no reference to the case %q", f.Key))
	}
	if over, err := d.over(ctx, ref); err != nil || over {
		return d.fail("update", ref, err)
	}
	f.Key = ref
	if err := d.send(ctx, d.trigger(f, notes)); err != nil {
		return d.fail("update", ref, err)
	}
	return nil
}

func (d *pagerduty) Resolve(ctx context.Context, ref string, f Fields, _ string) error {
	if ref == "" || f.Key != "" && f.Key != ref {
		return d.fail("resolve", ref, fmt.Errorf("it is no reference to the case %q", f.Key))
	}
	return d.end(ctx, "resolve", ref)
}

// Withdraw resolves: PagerDuty has no doubles of a key and no other end.
func (d *pagerduty) Withdraw(ctx context.Context, ref, _ string) error {
	return d.end(ctx, "withdraw", ref)
}

// end resolves the alert. PagerDuty drops a resolve of a resolved one.
func (d *pagerduty) end(ctx context.Context, verb, ref string) error {
	if !usableKey(ref) {
		return d.fail(verb, ref, errEmptyKey)
	}
	if over, err := d.over(ctx, ref); err != nil || over {
		return d.fail(verb, ref, err)
	}
	if err := d.send(ctx, pagerdutyEvent{Action: "resolve", DedupKey: ref}); err != nil {
		return d.fail(verb, ref, err)
	}
	d.await(ctx, ref, func(i pagerdutyIncident) bool { return !i.state().Live() })
	return nil
}

// over reports whether the incident is resolved, as far as that can be known. One that is not shown may be on its way.
func (d *pagerduty) over(ctx context.Context, key string) (bool, error) {
	if d.rest == nil {
		return false, nil
	}
	i, err := d.incident(ctx, key)
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return false, nil
	case err != nil:
		return false, unsettled(err)
	}
	return !i.state().Live(), nil
}

// trigger returns the event that opens or adds to an alert.
func (d *pagerduty) trigger(f Fields, notes []Note) pagerdutyEvent {
	internal, public := noteTexts(notes)
	details := map[string]any{
		"case": pagerdutyNumber(f.Key), "priority": f.Priority.String(), "story": body(f), "tenant": d.tenant,
	}
	for name, value := range map[string]string{
		"notes": internal, "notes for the customer": public, "follows": f.Follows, "contact": f.Customer.Name, "contact's e-mail": f.Customer.Email,
		"contact's telephone": f.Customer.Phone,
	} {
		if value != "" {
			details[name] = value
		}
	}
	var evidence []string
	for _, line := range f.Published[:min(len(f.Published), 50)] {
		evidence = append(evidence, secret.Plain(line, maxReason))
	}
	if len(evidence) > 0 {
		details["evidence"] = evidence
	}
	for name, value := range f.Extra {
		if _, own := details[name]; !own {
			details[name] = secret.Plain(value, maxReason)
		}
	}
	e := pagerdutyEvent{Action: "trigger", DedupKey: f.Key, Client: "firstcall", Payload: &pagerdutyPayload{
		Summary: cmp.Or(shortened(f.Title, pagerdutySummary), f.Key), Source: cmp.Or(d.config.Source, d.tenant, "firstcall"),
		Severity: d.config.Severities.of(f.Priority), Component: f.Incident.Root, Group: d.tenant, Class: string(f.Incident.Class), Details: details,
	}}
	if !f.Incident.Started.IsZero() {
		e.Payload.Timestamp = f.Incident.Started.UTC().Format(time.RFC3339)
	}
	if d.external != "" {
		e.ClientURL = d.external + "/incidents/" + url.PathEscape(cmp.Or(f.Incident.ID, f.Key))
		e.Links = []pagerdutyLink{{Href: e.ClientURL, Text: "The incident at firstcall"}}
	}
	return e
}

// send sends the event once.
func (d *pagerduty) send(ctx context.Context, e pagerdutyEvent) error {
	e.Routing = d.config.RoutingKey.Reveal()
	content, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if len(content) > pagerdutySize { // the newest is in the story as well
		for _, name := range []string{"notes", "notes for the customer", "evidence"} {
			delete(e.Payload.Details, name)
		}
		if content, err = json.Marshal(e); err != nil {
			return err
		}
	}
	raw, err := d.events.post(ctx, d.config.URL, content, http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return err
	}
	var answer struct {
		Status   string `json:"status"`
		DedupKey string `json:"dedup_key"`
	}
	if json.Unmarshal(raw, &answer) != nil || answer.Status != "success" || answer.DedupKey != "" && answer.DedupKey != e.DedupKey {
		return d.events.failure([]error{ErrUnknownOutcome}, "%s answered %q, which is not what PagerDuty's API says: check url and a proxy before it",
			secret.RedactURL(d.config.URL), secret.Plain(secret.Hide(string(raw), d.events.secrets), maxExcerpt))
	}
	return nil
}

// pagerdutyNumber is what the case is called until its incident's number is known: short, and the same for the same key.
func pagerdutyNumber(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "PD-" + strings.ToUpper(hex.EncodeToString(sum[:4]))
}

// fail returns nil for a nil error.
func (d *pagerduty) fail(verb, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("desk %q: %s %s: %w", d.name, verb, secret.Plain(what, 2*maxActor), err)
}
