package desk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

func init() {
	Register(Kind{
		Name: "alertmanager",
		Doc:  "Alerts at Prometheus' Alertmanager, which routes them on; docs/desk-alertmanager.md says how.",
		New:  func() Builder { return &Alertmanager{} },
	})
}

// Alertmanager is the configuration of a desk that posts alerts (Alertmanager API v2,
// https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml).
type Alertmanager struct {
	URL       string            `yaml:"url" required:"true" doc:"Address of Alertmanager, without /api."`
	User      string            `yaml:"user" doc:"User of basic authentication."`
	Password  secret.Value      `yaml:"password" doc:"Password of the user."`
	Token     secret.Value      `yaml:"token" doc:"Bearer token, instead of user and password."`
	Labels    map[string]string `yaml:"labels" doc:"More labels of every alert, to route by."`
	KeepAlive time.Duration     `yaml:"keep_alive" default:"2m" doc:"How often an alert is posted again while its incident lasts. Alertmanager ends it when it has heard nothing for three times as long."`
	Timeout   time.Duration     `yaml:"timeout" default:"10s" doc:"Longest exchange, repeated reads included."`
	CAFile    string            `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`
}

// The labels that make an alert. All of them stay the same while an incident lasts, but for the last two.
const (
	alertName     = "FirstcallIncident"
	keyLabel      = "firstcall_key"
	priorityLabel = "priority"
	severityLabel = "severity"
)

var ownLabels = []string{"alertname", "tenant", "component", "class", keyLabel, priorityLabel, severityLabel}

// severities are what routes commonly match on.
var severities = [5]string{incident.P1: "critical", incident.P2: "critical", incident.P3: "warning", incident.P4: "info"}

// labelName is what Prometheus takes as a label's name.
var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// maxAnnotation bounds an annotation, in bytes; receivers put them into chat messages.
const maxAnnotation = 8000

// Validate reports every fault of the configuration.
func (a *Alertmanager) Validate() field.Errors {
	var faults field.Errors
	checkAddress(&faults, "url", a.URL)
	if strings.Contains(a.URL, "/api/") {
		faults.AddHint("url", "such as http://alertmanager.monitoring:9093", "is the address of the API: give that of Alertmanager itself")
	}
	if (a.User == "") != a.Password.IsZero() {
		faults.Add("user", "and password belong together: give both, or neither")
	}
	if a.User != "" && !a.Token.IsZero() {
		faults.Add("token", "stands beside user and password: give one of them")
	}
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		switch {
		case !labelName.MatchString(name):
			faults.AddHint("labels."+name, "letters, digits and _, no digit first", "is no name of a label")
		case slices.Contains(ownLabels, name):
			faults.Add("labels."+name, "is set by the agent itself")
		case a.Labels[name] == "":
			faults.Add("labels."+name, "is empty: Alertmanager drops it")
		}
	}
	if a.KeepAlive != 0 && (a.KeepAlive < 10*time.Second || a.KeepAlive > time.Hour) {
		faults.Add("keep_alive", "must be between 10s and 1h")
	}
	if a.Timeout < 0 || a.Timeout > time.Minute {
		faults.Add("timeout", "must be at most 1m")
	}
	return faults
}

// Build returns the desk.
func (a *Alertmanager) Build(env Env) (Desk, error) {
	headers := map[string]secret.Value{}
	switch {
	case !a.Token.IsZero():
		headers["Authorization"] = secret.New("Bearer " + a.Token.Reveal())
	case a.User != "":
		headers["Authorization"] = secret.New("Basic " + base64.StdEncoding.EncodeToString([]byte(a.User+":"+a.Password.Reveal())))
	}
	l, err := newLink(env, cmp.Or(a.Timeout, 10*time.Second), a.CAFile, headers, a.Token, a.Password)
	if err != nil {
		return nil, err
	}
	now := env.Now
	if now == nil {
		now = time.Now
	}
	return &alertmanager{
		link: l, address: strings.TrimRight(a.URL, "/"), labels: a.Labels, keepAlive: cmp.Or(a.KeepAlive, 2*time.Minute),
		name: env.Name, tenant: env.Tenant, external: strings.TrimRight(env.ExternalURL, "/"), now: now,
	}, nil
}

// alertmanager implements Desk. A case is an alert; its Ref is the case key. Alertmanager drops doubles by their labels, and forgets
// an alert some time after it has ended, so that a case can be neither found nor read back when it is over.
type alertmanager struct {
	link      *link
	address   string
	labels    map[string]string
	keepAlive time.Duration
	name      string
	tenant    string
	external  string
	now       func() time.Time
}

// alert is an alert as it is posted and as it is read.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

func (d *alertmanager) Capabilities() Capabilities {
	return Capabilities{DedupeOnCreate: true, Reopens: true, KeepAlive: d.keepAlive}
}

func (d *alertmanager) Open(ctx context.Context, f Fields) (Case, error) {
	if f.Key == "" || len(f.Key) > incident.MaxKey {
		return Case{}, d.fail("open", f.Key, errEmptyKey)
	}
	now := d.now().UTC()
	at, err := d.post(ctx, d.firing(f, "", clocks{now, now}))
	if err == nil && at.later.Sub(now) > d.keepAlive { // taken as one that has ended, or soon will
		_, err = d.post(ctx, d.firing(f, "", at))
	}
	if err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	return d.shown(f.Key, f.Priority), nil
}

// Find returns the alerts with that key that have not ended; one that has is known no more.
func (d *alertmanager) Find(ctx context.Context, key string) ([]Case, error) {
	alerts, _, err := d.active(ctx, key)
	if err != nil || len(alerts) == 0 {
		return nil, d.fail("find", key, err)
	}
	var p incident.Priority
	_ = p.UnmarshalText([]byte(alerts[0].Labels[priorityLabel])) // what is no priority is none
	return []Case{d.shown(key, p)}, nil
}

func (d *alertmanager) Get(ctx context.Context, ref string) (Case, error) {
	cases, err := d.Find(ctx, ref)
	if err != nil {
		return Case{}, err
	}
	if len(cases) == 0 {
		return Case{}, d.fail("read", ref, fmt.Errorf("no alert with this key is active: %w", incident.ErrNotFound))
	}
	return cases[0], nil
}

// Update posts the alert again, with the newest note as an annotation. A new priority is another label, and so another alert: the
// one before ends in the same request, first.
func (d *alertmanager) Update(ctx context.Context, ref string, f Fields, notes []Note) error {
	if ref == "" || f.Key != "" && f.Key != ref {
		return d.fail("update", ref, errEmptyKey)
	}
	f.Key = ref
	before, at, err := d.active(ctx, ref)
	if err != nil {
		return d.fail("update", ref, unsure(err))
	}
	newest := ""
	if len(notes) > 0 {
		newest = notes[len(notes)-1].Text
	}
	fresh := d.firing(f, newest, at)
	var alerts []alert
	for _, b := range before {
		if !maps.Equal(b.Labels, fresh.Labels) {
			alerts = append(alerts, d.ended(b, "", at))
		} else if newest == "" && b.Annotations["note"] != "" {
			fresh.Annotations["note"] = cut(b.Annotations["note"], maxAnnotation)
		}
	}
	_, err = d.post(ctx, append(alerts, fresh)...) // they are taken one by one: nobody sees two
	return d.fail("update", ref, err)
}

func (d *alertmanager) Resolve(ctx context.Context, ref string, f Fields, note string) error {
	return d.end(ctx, "resolve", ref, &f, note)
}

func (d *alertmanager) Withdraw(ctx context.Context, ref, winner string) error {
	return d.end(ctx, "withdraw", ref, nil, "goes on as case "+winner)
}

// Transitions returns nothing: Alertmanager keeps no history of what people did.
func (d *alertmanager) Transitions(context.Context, string, time.Time) ([]incident.Transition, error) {
	return nil, nil
}

// end ends every active alert with the key. Where there is none, as after a restart of Alertmanager, the one that was posted last
// is ended all the same: another Alertmanager of the cluster may have it.
func (d *alertmanager) end(ctx context.Context, verb, ref string, f *Fields, note string) error {
	if ref == "" {
		return d.fail(verb, ref, errEmptyKey)
	}
	active, at, err := d.active(ctx, ref)
	if err != nil {
		return d.fail(verb, ref, unsure(err))
	}
	var alerts []alert
	for _, a := range active {
		alerts = append(alerts, d.ended(a, note, at))
	}
	if len(alerts) == 0 && f != nil {
		f.Key = ref
		alerts = append(alerts, d.ended(d.firing(*f, "", at), note, at))
	}
	if len(alerts) == 0 {
		return nil
	}
	_, err = d.post(ctx, alerts...)
	return d.fail(verb, ref, err)
}

// firing returns the alert for the fields.
func (d *alertmanager) firing(f Fields, note string, at clocks) alert {
	p := min(max(f.Priority, incident.P1), incident.P4)
	priority, _ := p.MarshalText()
	labels := map[string]string{
		"alertname": alertName, "tenant": d.tenant, "component": f.Incident.Root, "class": string(f.Incident.Class), keyLabel: f.Key,
		priorityLabel: string(priority), severityLabel: severities[p],
	}
	maps.Copy(labels, d.labels)
	maps.DeleteFunc(labels, func(_, value string) bool { return value == "" }) // Alertmanager would, and the labels are the identity
	annotations := map[string]string{"summary": cut(f.Title, 2*maxExcerpt), "description": cut(f.Body, maxAnnotation)}
	if note != "" {
		annotations["note"] = cut(note, maxAnnotation)
	}
	a := alert{Labels: labels, Annotations: annotations, StartsAt: f.Incident.Started.UTC(), EndsAt: at.later.Add(3 * d.keepAlive)}
	if a.StartsAt.IsZero() || a.StartsAt.After(at.earlier) {
		a.StartsAt = at.earlier
	}
	if d.external != "" {
		a.GeneratorURL = d.external + "/incidents/" + url.PathEscape(f.Incident.ID)
	}
	return a
}

// ended returns the alert as it is posted to end it.
func (d *alertmanager) ended(a alert, note string, at clocks) alert {
	a.EndsAt = at.earlier
	if a.StartsAt.After(a.EndsAt) {
		a.StartsAt = a.EndsAt
	}
	a.Annotations = maps.Clone(a.Annotations)
	if a.Annotations == nil {
		a.Annotations = map[string]string{}
	}
	if note != "" {
		a.Annotations["note"] = cut(note, maxAnnotation)
	}
	return a
}

// post sends alerts and returns when they were taken. An answer with anything in it is none of Alertmanager's.
func (d *alertmanager) post(ctx context.Context, alerts ...alert) (clocks, error) {
	body, err := json.Marshal(alerts)
	if err != nil {
		return clocks{}, err
	}
	address := d.address + "/api/v2/alerts"
	answer, err := d.link.write(ctx, http.MethodPost, address, body, http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return clocks{}, err
	}
	if len(bytes.TrimSpace(answer.body)) > 0 {
		return clocks{}, d.link.failure([]error{ErrUnknownOutcome}, "%s answered %q, which is not Alertmanager's answer to an alert: check the desk's url",
			secret.RedactURL(address), d.link.excerpt(answer.body))
	}
	return readClocks(d.now(), answer.header), nil
}

// active returns the alerts with the key that have not ended, silenced and inhibited ones too, and when they were read.
func (d *alertmanager) active(ctx context.Context, key string) ([]alert, clocks, error) {
	if key == "" || len(key) > incident.MaxKey || strings.ContainsAny(key, "\"\\\n") {
		return nil, clocks{}, errEmptyKey
	}
	address := d.address + "/api/v2/alerts?" + url.Values{"filter": {keyLabel + `="` + key + `"`}}.Encode()
	answer, err := d.link.fetch(ctx, address)
	if err != nil {
		return nil, clocks{}, err
	}
	var all []alert
	if err := json.Unmarshal(answer.body, &all); err != nil {
		return nil, clocks{}, d.link.failure(nil, "%s answered no list of alerts but %q: check the desk's url",
			secret.RedactURL(address), d.link.excerpt(answer.body))
	}
	at := readClocks(d.now(), answer.header)
	return slices.DeleteFunc(all, func(a alert) bool { // never trust a search
		return a.Labels[keyLabel] != key || a.Labels["alertname"] != alertName || a.Labels["tenant"] != d.tenant || !a.EndsAt.After(at.earlier)
	}), at, nil
}

// clocks is one instant by the agent's clock and by Alertmanager's, in order. Alertmanager judges by its own whether an alert has
// ended, and keeps the later of two ends unless the new one has passed: so an alert ends at the earlier, and lasts from the later.
type clocks struct{ earlier, later time.Time }

// maxSkew is how far apart the clocks may be; what says more is no clock.
const maxSkew = 24 * time.Hour

// readClocks returns the instant of an answer that arrived now.
func readClocks(now time.Time, header http.Header) clocks {
	at := clocks{now.UTC(), now.UTC()}
	date, err := http.ParseTime(header.Get("Date")) // whole seconds, never after the time itself
	switch {
	case err != nil || date.Sub(now).Abs() > maxSkew:
	case date.Before(now):
		at.earlier = date.UTC()
	default:
		at.later = date.UTC()
	}
	return at
}

// shown returns the case with that key.
func (d *alertmanager) shown(key string, p incident.Priority) Case {
	return Case{
		Ref: key, Number: key, Key: key, State: incident.CaseNew, Priority: p, Created: d.now().UTC(),
		URL: d.address + "/#/alerts?" + url.Values{"filter": {fmt.Sprintf("{%s=%q}", keyLabel, key)}}.Encode(),
	}
}

// fail returns nil for nil, else an error that names the desk.
func (d *alertmanager) fail(verb, what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, errEmptyKey) {
		what = ""
	}
	return fmt.Errorf("desk %q: %s %s: %w", d.name, verb, secret.Plain(what, 2*maxActor), err)
}
