//go:build linux

package servers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// WebhookOptions describe a receiver. The zero value checks no signature and opens a second case for a second create.
type WebhookOptions struct {
	Secret string // of the HMAC; "": signatures are not checked
	Dedupe bool   // a second request with the same Idempotency-Key, or a second open with the same key, changes nothing
	NetNS  *NetNS // nil: the test's own
}

// Webhook is a ticket system behind a webhook, in Go: it takes signed JSON, keeps cases in memory over Down and Up, finds them
// by key, and can be slow, gone, or lose its answers. Its methods are safe for concurrent use.
//
//	POST /cases         {"action": open|update|resolve|withdraw, "key", "ref", "priority", "title", "body", "notes", "note", ...}
//	GET  /cases?key=K   the cases with that key, oldest first, withdrawn ones too
type Webhook struct {
	Address string // 127.0.0.1:port

	t       testing.TB
	options WebhookOptions

	mu       sync.Mutex
	server   *http.Server // nil while down
	served   chan struct{}
	cases    []*WebhookCase
	answered map[string]*WebhookCase // by Idempotency-Key
	calls    []WebhookCall
	loseNth  int
	delay    time.Duration
	status   int
}

// WebhookCase is a case at the receiver.
type WebhookCase struct {
	Ref, Number, Key, Priority, Title, Body, State string

	Notes   []string // as received, doubles included; also the closing note and the winner of a withdrawal
	Created time.Time
}

// WebhookCall is a request that the receiver processed or refused.
type WebhookCall struct {
	Method, Action, Key, IdempotencyKey string

	At     time.Time
	Signed bool // the signature was right
	Status int  // what was answered
	Lost   bool // processed, and the connection dropped without the answer
}

// StartWebhook starts a receiver.
func StartWebhook(t testing.TB, o WebhookOptions) *Webhook {
	t.Helper()
	listener, err := o.NetNS.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Webhook{t: t, options: o, Address: listener.Addr().String(), answered: map[string]*WebhookCase{}}
	w.serve(listener)
	t.Cleanup(w.Down)
	return w
}

// URL is where cases are posted.
func (w *Webhook) URL() string { return "http://" + w.Address + "/cases" }

// FindURL is where cases are found, with {key} in place of the key.
func (w *Webhook) FindURL() string { return w.URL() + "?key={key}" }

// Down closes the listener and every connection: requests are refused until Up. Cases are kept.
func (w *Webhook) Down() {
	w.mu.Lock()
	server, served := w.server, w.served
	w.server = nil
	w.mu.Unlock()
	if server != nil {
		_ = server.Close()
		<-served
	}
}

// Up listens again on the same port.
func (w *Webhook) Up() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.server != nil {
		return
	}
	listener, err := w.options.NetNS.Listen(w.Address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.serve(listener)
}

func (w *Webhook) serve(listener net.Listener) {
	w.server, w.served = &http.Server{Handler: http.HandlerFunc(w.handle), ReadHeaderTimeout: stopWithin}, make(chan struct{})
	server, served := w.server, w.served
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
}

// LoseEvery makes every nth request from now on lose its answer after it was processed in full; 0 loses none.
func (w *Webhook) LoseEvery(n int) { w.set(func() { w.loseNth, w.calls = n, nil }) }

// Delay makes every answer wait.
func (w *Webhook) Delay(d time.Duration) { w.set(func() { w.delay = d }) }

// Refuse makes every request be answered with that status and not be processed; 0 ends that.
func (w *Webhook) Refuse(status int) { w.set(func() { w.status = status }) }

// SetState is what people at the desk do: it sets the state of every case with that key.
func (w *Webhook) SetState(key, state string) {
	w.set(func() {
		for _, c := range w.cases {
			if c.Key == key {
				c.State = state
			}
		}
	})
}

func (w *Webhook) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// Cases returns every case, oldest first, withdrawn ones too.
func (w *Webhook) Cases() []WebhookCase {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]WebhookCase, 0, len(w.cases))
	for _, c := range w.cases {
		shown := *c
		shown.Notes = slices.Clone(c.Notes)
		all = append(all, shown)
	}
	return all
}

// ByKey returns the cases with that key, oldest first, withdrawn ones too.
func (w *Webhook) ByKey(key string) []WebhookCase {
	return slices.DeleteFunc(w.Cases(), func(c WebhookCase) bool { return c.Key != key })
}

// Calls returns every request since the start or the last LoseEvery.
func (w *Webhook) Calls() []WebhookCall {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// handle answers one request, or processes it and drops the connection.
func (w *Webhook) handle(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(out, in.Body, 1<<20))
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	delay := w.delay
	call := WebhookCall{Method: in.Method, IdempotencyKey: in.Header.Get("Idempotency-Key"), At: time.Now()}
	status, answer := w.process(in, body, &call)
	call.Status = status
	call.Lost = w.loseNth > 0 && (len(w.calls)+1)%w.loseNth == 0
	w.calls = append(w.calls, call)
	w.mu.Unlock()

	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-in.Context().Done():
		}
	}
	if call.Lost {
		panic(http.ErrAbortHandler) // net/http's way to drop a connection
	}
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(status)
	_ = json.NewEncoder(out).Encode(answer)
}

// webhookRequest is the JSON that the agent posts.
type webhookRequest struct {
	Action, Key, Ref, Priority, Title, Body, Note, Winner string

	Notes []json.RawMessage
}

// webhookAnswer is a case as the agent reads it.
type webhookAnswer struct {
	Ref      string `json:"ref"`
	Number   string `json:"number"`
	URL      string `json:"url"`
	Key      string `json:"key"`
	State    string `json:"state"`
	Priority string `json:"priority"`
	Created  string `json:"created"`
}

func (w *Webhook) process(in *http.Request, body []byte, call *WebhookCall) (int, any) {
	call.Signed = w.signed(in.Header.Get("X-Firstcall-Signature"), body)
	switch {
	case w.status != 0:
		return w.status, map[string]string{"error": "the receiver refuses everything"}
	case in.Method == http.MethodGet:
		call.Key = in.URL.Query().Get("key")
		return w.find(call.Key)
	case in.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, map[string]string{"error": "only GET and POST"}
	case !call.Signed:
		return http.StatusUnauthorized, map[string]string{"error": "the signature is wrong"}
	}
	var request webhookRequest
	if err := json.Unmarshal(body, &request); err != nil || request.Key == "" {
		return http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("not a request with a key: %v", err)}
	}
	call.Action, call.Key = request.Action, request.Key
	if c := w.answered[call.IdempotencyKey]; c != nil && w.options.Dedupe {
		return http.StatusOK, w.answer(c)
	}
	c, status := w.act(request)
	if c == nil {
		return status, map[string]string{"error": http.StatusText(status)}
	}
	if call.IdempotencyKey != "" {
		w.answered[call.IdempotencyKey] = c
	}
	return status, w.answer(c)
}

// signed checks "sha256=" and the hexadecimal HMAC-SHA256 of the raw body.
func (w *Webhook) signed(header string, body []byte) bool {
	if w.options.Secret == "" {
		return true
	}
	mac := hmac.New(sha256.New, []byte(w.options.Secret))
	mac.Write(body)
	got, err := hex.DecodeString(strings.TrimPrefix(header, "sha256="))
	return err == nil && strings.HasPrefix(header, "sha256=") && hmac.Equal(got, mac.Sum(nil))
}

func (w *Webhook) find(key string) (int, any) {
	found := []webhookAnswer{}
	for _, c := range w.cases {
		if c.Key == key {
			found = append(found, w.answer(c))
		}
	}
	return http.StatusOK, found
}

// act does what the request asks for and returns the case and the status; no case when the status is a refusal.
func (w *Webhook) act(request webhookRequest) (*WebhookCase, int) {
	if request.Action == "open" {
		return w.open(request)
	}
	c := w.lookup(request.Key, request.Ref)
	if c == nil {
		return nil, http.StatusNotFound
	}
	switch request.Action {
	case "update":
		c.Priority, c.Title, c.Body = request.Priority, request.Title, request.Body
	case "resolve":
		c.State = "resolved"
	case "withdraw":
		c.State = "withdrawn"
	default:
		return nil, http.StatusBadRequest
	}
	c.Notes = append(c.Notes, notes(request)...)
	return c, http.StatusOK
}

func (w *Webhook) open(request webhookRequest) (*WebhookCase, int) {
	if c := w.lookup(request.Key, ""); c != nil && w.options.Dedupe {
		return c, http.StatusOK
	}
	n := len(w.cases) + 1
	c := &WebhookCase{
		Ref: fmt.Sprintf("ref-%d", n), Number: fmt.Sprintf("WH-%05d", n), Key: request.Key, State: "new",
		Priority: request.Priority, Title: request.Title, Body: request.Body, Notes: notes(request), Created: time.Now().UTC(),
	}
	w.cases = append(w.cases, c)
	return c, http.StatusCreated
}

// lookup returns the case with that key and ref; where no case has the ref, or it is empty, the oldest one with the key.
func (w *Webhook) lookup(key, ref string) *WebhookCase {
	var first *WebhookCase
	for _, c := range w.cases {
		switch {
		case c.Key != key:
		case c.Ref == ref:
			return c
		case first == nil:
			first = c
		}
	}
	return first
}

func (w *Webhook) answer(c *WebhookCase) webhookAnswer {
	return webhookAnswer{
		Ref: c.Ref, Number: c.Number, URL: "http://" + w.Address + "/cases?key=" + url.QueryEscape(c.Key), Key: c.Key, State: c.State,
		Priority: c.Priority, Created: c.Created.Format(time.RFC3339Nano),
	}
}

// notes returns what the request adds to the case's story: strings as they are, objects as their JSON.
func notes(request webhookRequest) []string {
	var all []string
	for _, raw := range request.Notes {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		all = append(all, text)
	}
	for _, text := range []string{request.Note, request.Winner} {
		if text != "" {
			all = append(all, text)
		}
	}
	return all
}
