package desk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

func init() {
	Register(Kind{
		Name: "webhook",
		Doc:  "Cases as signed JSON to an address of your own; docs/adding-a-desk.md has the protocol.",
		New:  func() Builder { return &Webhook{} },
	})
}

// Webhook is the configuration of a desk that takes cases as JSON by HTTP POST. Its protocol is in docs/adding-a-desk.md.
type Webhook struct {
	URL     string                  `yaml:"url" required:"true" doc:"Address that every change is POSTed to."`
	Secret  secret.Value            `yaml:"secret" doc:"Key of the HMAC-SHA256 over the body in X-Firstcall-Signature; requests are not signed unless given."`
	Headers map[string]secret.Value `yaml:"headers" doc:"Headers of every request, such as Authorization."`
	FindURL string                  `yaml:"find_url" doc:"Address that answers a GET with the cases of a key, which stands for {key}; without it the receiver must honour Idempotency-Key."`
	Lag     time.Duration           `yaml:"lag" default:"0s" doc:"How long after a create find_url may still miss the case."`
	Timeout time.Duration           `yaml:"timeout" default:"10s" doc:"Longest exchange, repeated reads included."`
	CAFile  string                  `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`
}

// keyPlace is what find_url has in place of the case key.
const keyPlace = "{key}"

// ownHeaders are set by the desk itself.
var ownHeaders = []string{"Content-Type", "Content-Length", "Host", "User-Agent", "Accept", "Idempotency-Key", "X-Firstcall-Signature", "X-Firstcall-Timestamp"}

// Validate reports every fault of the configuration.
func (w *Webhook) Validate() field.Errors {
	var faults field.Errors
	checkAddress(&faults, "url", w.URL)
	if w.FindURL != "" {
		checkAddress(&faults, "find_url", w.FindURL)
		if !strings.Contains(w.FindURL, keyPlace) {
			faults.AddHint("find_url", "such as https://desk.example/cases?key={key}", "has no {key}")
		}
	}
	for name, value := range w.Headers {
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			faults.Add("headers."+name, "is no header name")
		case slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)):
			faults.Add("headers."+name, "is set by the agent itself")
		case !httpguts.ValidHeaderFieldValue(value.Reveal()):
			faults.Add("headers."+name, "has a value that no header can have: a line break or a control character")
		}
	}
	if w.Lag < 0 || w.Lag > time.Hour {
		faults.Add("lag", "must be between 0s and 1h")
	}
	if w.Timeout < 0 || w.Timeout > time.Minute {
		faults.Add("timeout", "must be at most 1m")
	}
	return faults
}

// checkAddress reports why raw is no address for a desk.
func checkAddress(faults *field.Errors, path, raw string) {
	u, err := url.Parse(raw)
	switch {
	case raw == "": // required says so where it must be there
	case err != nil:
		faults.Add(path, "is no address")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		faults.AddHint(path, "such as https://desk.example/cases", "is no http or https address")
	case u.User != nil:
		faults.AddHint(path, "headers: { Authorization: ${DESK_AUTHORIZATION} }", "holds a credential")
	case u.Fragment != "":
		faults.Add(path, "has a fragment, which no server sees")
	}
}

// Build returns the desk.
func (w *Webhook) Build(env Env) (Desk, error) {
	l, err := newLink(env, cmp.Or(w.Timeout, 10*time.Second), w.CAFile, w.Headers, w.Secret)
	if err != nil {
		return nil, err
	}
	now := env.Now
	if now == nil {
		now = time.Now
	}
	return &webhook{
		link: l, address: w.URL, find: w.FindURL, key: w.Secret, lag: w.Lag,
		name: env.Name, tenant: env.Tenant, external: strings.TrimRight(env.ExternalURL, "/"), now: now,
	}, nil
}

// webhook implements Desk. Its Ref is the case key, or "key/ref" where the receiver gave a ref of its own, so that every call
// knows both and the desk need not remember.
type webhook struct {
	link     *link
	address  string
	find     string
	key      secret.Value
	lag      time.Duration
	name     string
	tenant   string
	external string
	now      func() time.Time
}

// message is what is POSTed. Its JSON names are the protocol.
type message struct {
	Action   string            `json:"action"` // open, update, resolve, withdraw
	Key      string            `json:"key"`
	Ref      string            `json:"ref,omitempty"`
	Title    string            `json:"title,omitempty"`
	Body     string            `json:"body,omitempty"`
	Priority incident.Priority `json:"priority,omitempty"`
	Tenant   string            `json:"tenant"`
	Customer incident.Contact  `json:"customer,omitzero"`
	Evidence []string          `json:"evidence,omitempty"`
	Notes    []noteMessage     `json:"notes,omitempty"`
	Note     string            `json:"note,omitempty"`   // of resolve
	Winner   string            `json:"winner,omitempty"` // of withdraw: the number of the case that stays
	Incident incident.Incident `json:"incident,omitzero"`
	URL      string            `json:"url,omitempty"`
	Sent     string            `json:"sent,omitempty"`
}

type noteMessage struct {
	Seq    int64     `json:"seq"`
	At     time.Time `json:"at"`
	Text   string    `json:"text"`
	Public bool      `json:"public"`
}

func (d *webhook) Capabilities() Capabilities {
	found := d.find != ""
	return Capabilities{Find: found, DedupeOnCreate: !found, Lag: d.lag, ReadBack: found}
}

func (d *webhook) Open(ctx context.Context, f Fields) (Case, error) {
	if f.Key == "" || len(f.Key) > incident.MaxKey {
		return Case{}, d.fail("open", f.Key, errEmptyKey)
	}
	answer, err := d.send(ctx, d.about("open", f))
	if err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	if answer.Key != "" && answer.Key != f.Key {
		err = d.link.failure([]error{ErrUnknownOutcome}, "the receiver answered with another case, of key %q: see its log", answer.Key)
		return Case{}, d.fail("open", f.Key, err)
	}
	answer.Key = f.Key
	c, err := answer.found()
	if err != nil {
		return Case{}, d.fail("open", f.Key, d.link.failure([]error{ErrUnknownOutcome}, "the answer cannot be used: %v", err))
	}
	if c.Created.IsZero() {
		c.Created = d.now().UTC()
	}
	return c, nil
}

func (d *webhook) Update(ctx context.Context, ref string, f Fields, notes []Note) error {
	m := d.about("update", f)
	for _, n := range notes {
		m.Notes = append(m.Notes, noteMessage(n))
	}
	return d.change(ctx, ref, m)
}

func (d *webhook) Resolve(ctx context.Context, ref string, f Fields, note string) error {
	m := d.about("resolve", f)
	m.Note = note
	return d.change(ctx, ref, m)
}

func (d *webhook) Withdraw(ctx context.Context, ref, winner string) error {
	return d.change(ctx, ref, message{Action: "withdraw", Tenant: d.tenant, Winner: winner})
}

func (d *webhook) Find(ctx context.Context, key string) ([]Case, error) {
	all, err := d.all(ctx, key)
	if err != nil {
		return nil, d.fail("find", key, err)
	}
	return slices.DeleteFunc(all, func(c Case) bool { return c.State == incident.CaseWithdrawn }), nil
}

func (d *webhook) Get(ctx context.Context, ref string) (Case, error) {
	key, _, _ := strings.Cut(ref, "/")
	all, err := d.all(ctx, key)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	for _, c := range all {
		if c.Ref == ref {
			return c, nil
		}
	}
	return Case{}, d.fail("read", ref, fmt.Errorf("the receiver does not show it at find_url: %w", incident.ErrNotFound))
}

// Transitions returns nothing: people's work stays at the receiver.
func (d *webhook) Transitions(context.Context, string, time.Time) ([]incident.Transition, error) {
	return nil, nil
}

// about returns a message that tells the fields.
func (d *webhook) about(action string, f Fields) message {
	m := message{
		Action: action, Key: f.Key, Title: f.Title, Body: f.Body, Priority: f.Priority, Tenant: d.tenant,
		Customer: f.Customer, Evidence: f.Published, Incident: f.Incident,
	}
	if d.external != "" {
		m.URL = d.external + "/incidents/" + url.PathEscape(cmp.Or(f.Incident.ID, f.Key))
	}
	return m
}

// change sends a message about the case with that ref.
func (d *webhook) change(ctx context.Context, ref string, m message) error {
	key, own, ok := strings.Cut(ref, "/")
	if !ok {
		own = key
	}
	if key == "" || m.Key != "" && m.Key != key {
		return d.fail(m.Action, ref, fmt.Errorf("it is no reference to the case %q", m.Key))
	}
	m.Key, m.Ref = key, own
	if _, err := d.send(ctx, m); err != nil {
		return d.fail(m.Action, ref, err)
	}
	return nil
}

// send POSTs the message once and returns the answer.
func (d *webhook) send(ctx context.Context, m message) (answer, error) {
	idempotency := m.Key
	if m.Action != "open" {
		content, err := json.Marshal(m)
		if err != nil {
			return answer{}, err
		}
		sum := sha256.Sum256(content) // before Sent is set: the same at every attempt
		idempotency = fmt.Sprintf("%s:%s:%s", m.Key, m.Action, hex.EncodeToString(sum[:8]))
	}
	m.Sent = d.now().UTC().Format(time.RFC3339Nano)
	body, err := json.Marshal(m)
	if err != nil {
		return answer{}, err
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("Idempotency-Key", idempotency)
	header.Set("X-Firstcall-Timestamp", m.Sent)
	if !d.key.IsZero() {
		header.Set("X-Firstcall-Signature", "sha256="+Sign(d.key, body))
	}
	raw, err := d.link.post(ctx, d.address, body, header)
	if err != nil || raw == nil { // nil: taken, nothing to say
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil || !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return a, d.link.failure([]error{ErrUnknownOutcome}, "%s answered no JSON object but %q: see docs/adding-a-desk.md",
			secret.RedactURL(d.address), d.link.excerpt(raw))
	}
	return a, a.failed(d.link)
}

// Sign returns the HMAC-SHA256 of body in hexadecimal: what follows "sha256=" in X-Firstcall-Signature.
func Sign(key secret.Value, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// all returns the cases that the receiver shows for the key, withdrawn ones too, oldest first.
func (d *webhook) all(ctx context.Context, key string) ([]Case, error) {
	if key == "" || len(key) > incident.MaxKey {
		return nil, errEmptyKey
	}
	if d.find == "" {
		return nil, fmt.Errorf("cases cannot be looked up: set find_url: %w", errors.ErrUnsupported)
	}
	raw, err := d.link.get(ctx, strings.ReplaceAll(d.find, keyPlace, url.QueryEscape(key)))
	if err != nil {
		return nil, err
	}
	answers, err := d.parse(raw)
	if err != nil {
		return nil, err
	}
	var cases []Case
	for _, a := range answers {
		if a.Key != key { // never trust a search: an entry that does not say so is not the agent's
			continue
		}
		c, err := a.found()
		if err != nil {
			return nil, d.link.failure(nil, "the entry %q at find_url cannot be used: %v", string(a.Ref), err)
		}
		if !slices.ContainsFunc(cases, func(other Case) bool { return other.Ref == c.Ref }) {
			cases = append(cases, c)
		}
	}
	slices.SortStableFunc(cases, Older)
	return cases, nil
}

// parse reads an array of cases, or an object with one.
func (d *webhook) parse(raw []byte) ([]answer, error) {
	var list []answer
	var object struct {
		Cases *[]answer `json:"cases"`
		answer
	}
	var err error
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
		err = json.Unmarshal(raw, &list)
	} else if err = json.Unmarshal(raw, &object); err == nil {
		if failed := object.failed(d.link); failed != nil {
			return nil, failed
		}
		if object.Cases == nil {
			err = errors.New("no cases in it")
		} else {
			list = *object.Cases
		}
	}
	if err != nil {
		return nil, d.link.failure(nil, "find_url must answer with a JSON array of cases, or with {\"cases\": [...]}; it answered %q",
			d.link.excerpt(raw))
	}
	return list, nil
}

func (d *webhook) fail(verb, what string, err error) error {
	return fmt.Errorf("desk %q: %s %s: %w", d.name, verb, secret.Plain(what, 2*maxActor), err)
}

// answer is what the receiver says of a case; everything in it is optional.
type answer struct {
	Key      string            `json:"key"`
	Ref      text              `json:"ref"`
	Number   text              `json:"number"`
	URL      string            `json:"url"`
	State    string            `json:"state"`
	Priority incident.Priority `json:"priority"`
	Created  string            `json:"created"`
	Error    json.RawMessage   `json:"error"`
}

// text is a JSON string or number.
type text string

// UnmarshalJSON reads a string or a number.
func (t *text) UnmarshalJSON(raw []byte) error {
	var number json.Number
	if err := json.Unmarshal(raw, &number); err == nil {
		*t = text(number)
		return nil
	}
	return json.Unmarshal(raw, (*string)(t))
}

// failed returns the error that the answer holds in spite of its status.
func (a answer) failed(l *link) error {
	switch string(a.Error) {
	case "", "null", `""`, "false":
		return nil
	}
	return l.failure(nil, "the receiver took the request but says: %s", l.excerpt(a.Error))
}

// found returns the case that the answer, whose Key is known, tells of.
func (a answer) found() (Case, error) {
	c := Case{Ref: a.Key, Number: secret.Plain(string(a.Number), maxActor), Key: a.Key, Priority: a.Priority}
	own := string(a.Ref)
	if own != secret.Plain(own, 2*maxActor) {
		return Case{}, errors.New("its ref is longer than 200 bytes, or holds what is not printable")
	}
	if own != "" && own != a.Key {
		c.Ref += "/" + own
	}
	c.Number = cmp.Or(c.Number, own, a.Key)
	switch state := incident.CaseState(strings.ToLower(a.State)); {
	case state == "":
		c.State = incident.CaseNew
	case state.Live(), state == incident.CaseResolved, state == incident.CaseWithdrawn:
		c.State = state
	default:
		return Case{}, fmt.Errorf("its state is %q: want new, acknowledged, held, resolved or withdrawn", secret.Plain(a.State, 40))
	}
	if a.Created != "" {
		at, err := time.Parse(time.RFC3339, a.Created)
		if err != nil {
			return Case{}, fmt.Errorf("its created is %q: want a time such as 2026-01-31T08:00:00Z", secret.Plain(a.Created, 40))
		}
		c.Created = at.UTC()
	}
	if u, err := url.Parse(a.URL); err == nil && (u.Scheme == "https" || u.Scheme == "http") && a.URL == secret.Plain(a.URL, 500) {
		c.URL = a.URL
	}
	return c, nil
}
