package systems

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// What a Webhook wants of every request.
const (
	WebhookSecret = "hmac-key-4711-of-the-receiver" // key of the signature
	WebhookToken  = "Bearer receiver-token-0815"    // Authorization
)

// Webhook is a receiver of the webhook protocol (docs/adding-a-desk.md), as strict as one can be: POST /cases takes signed JSON,
// GET /cases?key=K answers with the cases of a key. It is safe for concurrent use.
type Webhook struct {
	dedupe bool
	lag    time.Duration

	mu       sync.Mutex
	cases    []*webhookCase
	answered map[string]*webhookCase // by Idempotency-Key
}

type webhookCase struct {
	Key      string             `json:"key"`
	Ref      string             `json:"ref"`
	Number   string             `json:"number"`
	State    incident.CaseState `json:"state"`
	Priority incident.Priority  `json:"priority"`
	Created  time.Time          `json:"created"`

	title, body string
	notes       []string
}

// NewWebhook returns an empty receiver with a search that may miss a case for lag after its create. A second create with a key is a
// second case.
func NewWebhook(lag time.Duration) *Webhook { return &Webhook{lag: lag} }

// NewWebhookWithoutSearch returns an empty receiver that honours Idempotency-Key and has no search.
func NewWebhookWithoutSearch() *Webhook {
	return &Webhook{dedupe: true, answered: map[string]*webhookCase{}}
}

// YAML implements desktest.System.
func (s *Webhook) YAML(address string) string {
	lines := []string{
		fmt.Sprintf("url: %q", address+"/cases"), fmt.Sprintf("secret: %q", WebhookSecret), fmt.Sprintf("headers: { Authorization: %q }", WebhookToken),
	}
	if !s.dedupe {
		lines = append(lines, fmt.Sprintf("find_url: %q", address+"/cases?key={key}"), fmt.Sprintf("lag: %s", s.lag))
	}
	return strings.Join(lines, "\n") + "\n"
}

// States implements desktest.System.
func (s *Webhook) States(key string) []incident.CaseState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var states []incident.CaseState
	for _, c := range s.cases {
		if c.Key == key {
			states = append(states, c.State)
		}
	}
	return states
}

// Titles returns the titles of all cases, oldest first.
func (s *Webhook) Titles() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	titles := make([]string, len(s.cases))
	for i, c := range s.cases {
		titles[i] = c.title
	}
	return titles
}

// SetState is what people do to a case: take it, hold it, go on, resolve it.
func (s *Webhook) SetState(ref string, to incident.CaseState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byRef(ref)
	if c == nil {
		return incident.ErrNotFound
	}
	c.State = to
	return nil
}

func (s *Webhook) byRef(ref string) *webhookCase {
	if i := slices.IndexFunc(s.cases, func(c *webhookCase) bool { return c.Ref == ref }); i >= 0 {
		return s.cases[i]
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (s *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	status, answer := http.StatusBadRequest, any(nil)
	switch {
	case err != nil:
		answer = webhookFault("%v", err)
	case r.Header.Get("Authorization") != WebhookToken:
		status, answer = http.StatusUnauthorized, webhookFault("who are you?")
	case r.URL.Path != "/cases":
		status, answer = http.StatusNotFound, webhookFault("nothing is here")
	case r.Method == http.MethodGet && !s.dedupe:
		status, answer = s.find(r)
	case r.Method == http.MethodPost:
		status, answer = s.change(r, body)
	default:
		status, answer = http.StatusMethodNotAllowed, webhookFault("%s is not allowed", r.Method)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func webhookFault(format string, args ...any) any {
	return map[string]string{"error": fmt.Sprintf(format, args...)}
}

func (s *Webhook) find(r *http.Request) (int, any) {
	key := r.URL.Query().Get("key")
	if key == "" {
		return http.StatusBadRequest, webhookFault("no key")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []webhookCase{}
	for _, c := range s.cases {
		if c.Key == key && time.Since(c.Created) >= s.lag {
			found = append(found, *c)
		}
	}
	return http.StatusOK, found
}

// webhookOrder is what is POSTed.
type webhookOrder struct {
	Action   string            `json:"action"`
	Key      string            `json:"key"`
	Ref      string            `json:"ref"`
	Title    string            `json:"title"`
	Body     string            `json:"body"`
	Priority incident.Priority `json:"priority"`
	Tenant   string            `json:"tenant"`
	Customer incident.Contact  `json:"customer"`
	Evidence []string          `json:"evidence"`
	Notes    []struct {
		Seq    int64     `json:"seq"`
		At     time.Time `json:"at"`
		Text   string    `json:"text"`
		Public bool      `json:"public"`
	} `json:"notes"`
	Note     string          `json:"note"`
	Winner   string          `json:"winner"`
	Incident json.RawMessage `json:"incident"`
	URL      string          `json:"url"`
	Sent     time.Time       `json:"sent"`
}

// change does what is asked, or says what is wrong with it.
func (s *Webhook) change(r *http.Request, body []byte) (int, any) {
	var o webhookOrder
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	token := r.Header.Get("Idempotency-Key")
	switch err := decoder.Decode(&o); {
	case r.Header.Get("X-Firstcall-Signature") != "sha256="+desk.Sign(secret.New(WebhookSecret), body):
		return http.StatusUnauthorized, webhookFault("the signature is wrong")
	case r.Header.Get("Content-Type") != "application/json":
		return http.StatusUnsupportedMediaType, webhookFault("want application/json")
	case err != nil:
		return http.StatusBadRequest, webhookFault("%v", err)
	case o.Key == "" || len(o.Key) > incident.MaxKey || o.Tenant == "" || token == "" || time.Since(o.Sent).Abs() > 5*time.Minute:
		return http.StatusUnprocessableEntity, webhookFault("key, tenant, sent or Idempotency-Key is missing or wrong")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.answered[token]; c != nil {
		return http.StatusOK, *c
	}
	var c *webhookCase
	if o.Action == "open" {
		if o.Title == "" || o.Body == "" || o.Priority == incident.NoPriority || token != o.Key {
			return http.StatusUnprocessableEntity, webhookFault("title, body or priority is missing, or the Idempotency-Key is not the key")
		}
		c = &webhookCase{Key: o.Key, Ref: fmt.Sprint(4711 + len(s.cases)), State: incident.CaseNew, Priority: o.Priority, Created: time.Now().UTC(), title: o.Title, body: o.Body}
		c.Number = "INC-" + c.Ref
		s.cases = append(s.cases, c)
	} else if c = s.byRef(o.Ref); c == nil || c.Key != o.Key {
		return http.StatusNotFound, webhookFault("there is no case %s of key %s", o.Ref, o.Key)
	}
	switch o.Action {
	case "open":
	case "update":
		c.Priority, c.title, c.body = cmp.Or(o.Priority, c.Priority), o.Title, o.Body
		for _, n := range o.Notes {
			c.notes = append(c.notes, n.Text)
		}
	case "resolve":
		if c.State.Live() {
			c.State = incident.CaseResolved
			c.notes = append(c.notes, o.Note)
		}
	case "withdraw":
		if o.Winner == "" {
			return http.StatusUnprocessableEntity, webhookFault("winner is missing")
		}
		c.State = incident.CaseWithdrawn
	default:
		return http.StatusUnprocessableEntity, webhookFault("there is no action %q", o.Action)
	}
	if s.dedupe {
		s.answered[token] = c
	}
	return http.StatusOK, *c
}
