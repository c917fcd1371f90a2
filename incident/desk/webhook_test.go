package desk_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// build returns the webhook desk of a valid configuration.
func build(t *testing.T, w *desk.Webhook, env desk.Env) desk.Desk {
	t.Helper()
	if faults := w.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	env.Name, env.Tenant, env.Now = "hook", "acme", func() time.Time { return noon }
	d, err := w.Build(env)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// answering returns a server that gives every request this answer, and what it was asked.
func answering(t *testing.T, status int, body string) (address string, asked *[]request) {
	t.Helper()
	var mu sync.Mutex
	asked = &[]request{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		mu.Lock()
		*asked = append(*asked, request{r.Method, r.URL.String(), r.Header, raw})
		mu.Unlock()
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

type request struct {
	method, url string
	header      http.Header
	body        []byte
}

func TestWebhookProtocol(t *testing.T) {
	address, asked := answering(t, http.StatusCreated, `{"ref": 4711, "number": "INC-1", "url": "https://desk.example/4711", "state": "new"}`)
	key := secret.New("s3cret")
	d := build(t, &desk.Webhook{URL: address + "/cases?queue=soc", Secret: key, Headers: map[string]secret.Value{"X-Api-Key": secret.New("abc")}},
		desk.Env{ExternalURL: "https://acme.firstcall.example"})
	f := desk.Fields{
		Key: "fc-acme-backend", Title: "P2 acme: backend is inaccessible", Body: "Since 12:00 <Ærø>", Priority: incident.P2,
		Customer: incident.Contact{Name: "ACME IT", Email: "it@acme.example"}, Published: []string{"tcp: refused"},
		Incident: incident.Incident{ID: "fc-acme-backend", Root: "backend"},
	}
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	want := desk.Case{Ref: "fc-acme-backend/4711", Number: "INC-1", URL: "https://desk.example/4711", Key: "fc-acme-backend", State: incident.CaseNew, Created: noon}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("case (-want +got):\n%s", diff)
	}
	note := desk.Note{Seq: 9, At: noon, Text: "raised", Public: true}
	for range 2 {
		if err := d.Update(t.Context(), c.Ref, f, []desk.Note{note}); err != nil {
			t.Fatal(err)
		}
	}
	note.Seq = 10
	if err := errors.Join(d.Update(t.Context(), c.Ref, f, []desk.Note{note}), d.Resolve(t.Context(), c.Ref, f, "good again"), d.Withdraw(t.Context(), c.Ref, "INC-0")); err != nil {
		t.Fatal(err)
	}

	checkHeaders(t, *asked, key, f.Key)
	checkBodies(t, *asked, f)
}

// checkHeaders checks the headers of open, twice the same update, another one, resolve and withdraw.
func checkHeaders(t *testing.T, asked []request, key secret.Value, caseKey string) {
	t.Helper()
	keys := []string{}
	for _, r := range asked {
		keys = append(keys, r.header.Get("Idempotency-Key"))
		if r.header.Get("X-Firstcall-Signature") != "sha256="+desk.Sign(key, r.body) || r.header.Get("X-Api-Key") != "abc" ||
			r.header.Get("Content-Type") != "application/json" || !strings.HasPrefix(r.header.Get("User-Agent"), "firstcall/") ||
			r.header.Get("X-Firstcall-Timestamp") != "2026-03-02T12:00:00Z" || r.url != "/cases?queue=soc" {
			t.Errorf("request %s %s with headers %v", r.method, r.url, r.header)
		}
	}
	if len(keys) != 6 || keys[0] != caseKey || keys[1] != keys[2] || len(slices.Compact(slices.Sorted(slices.Values(keys)))) != 5 {
		t.Errorf("Idempotency-Keys %q: want the key itself for open, equal ones for equal content only", keys)
	}
}

func checkBodies(t *testing.T, asked []request, f desk.Fields) {
	t.Helper()
	var open, resolve, withdraw map[string]any
	for body, into := range map[int]*map[string]any{0: &open, 4: &resolve, 5: &withdraw} {
		if err := json.Unmarshal(asked[body].body, into); err != nil {
			t.Fatal(err)
		}
	}
	if in, ok := open["incident"].(map[string]any); !ok || in["root"] != "backend" {
		t.Errorf("incident %v", open["incident"])
	}
	delete(open, "incident")
	if diff := cmp.Diff(map[string]any{
		"action": "open", "key": "fc-acme-backend", "title": f.Title, "body": f.Body, "priority": "p2", "tenant": "acme",
		"customer": map[string]any{"name": "ACME IT", "email": "it@acme.example"}, "evidence": []any{"tcp: refused"},
		"url": "https://acme.firstcall.example/incidents/fc-acme-backend", "sent": "2026-03-02T12:00:00Z",
	}, open); diff != "" {
		t.Errorf("open (-want +got):\n%s", diff)
	}
	if resolve["action"] != "resolve" || resolve["ref"] != "4711" || resolve["note"] != "good again" {
		t.Errorf("resolve %v", resolve)
	}
	if diff := cmp.Diff(map[string]any{
		"action": "withdraw", "key": "fc-acme-backend", "ref": "4711", "tenant": "acme", "winner": "INC-0", "sent": "2026-03-02T12:00:00Z",
	}, withdraw); diff != "" {
		t.Errorf("withdraw (-want +got):\n%s", diff)
	}
}

func TestWebhookAnswersToOpen(t *testing.T) {
	fallback := desk.Case{Ref: "k", Number: "k", Key: "k", State: incident.CaseNew, Created: noon}
	tests := []struct {
		name    string
		status  int
		body    string
		want    desk.Case
		err     string // "": none
		unknown bool
	}{
		{"nothing but an object", 200, `{}`, fallback, "", false},
		{"204", 204, ``, fallback, "", false},
		{"accepted", 202, ` {"error": null}`, fallback, "", false},
		{
			"everything", 200, `{"key":"k","ref":"k","number":17,"state":"Resolved","priority":"p1","created":"2026-03-02T13:00:00+01:00","url":"javascript:alert(1)"}`,
			desk.Case{Ref: "k", Number: "17", Key: "k", State: incident.CaseResolved, Priority: incident.P1, Created: noon},
			"", false,
		},
		{"no body", 200, ``, desk.Case{}, "no JSON object", true},
		{"null", 200, `null`, desk.Case{}, "no JSON object", true},
		{"a list", 200, `[]`, desk.Case{}, "no JSON object", true},
		{"text", 200, "ok\x1b[2J", desk.Case{}, `no JSON object but "ok [2J"`, true},
		{"another case", 200, `{"key":"other"}`, desk.Case{}, `of key "other"`, true},
		{"an unknown state", 200, `{"state":"on fire"}`, desk.Case{}, `"on fire"`, true},
		{"an unknown priority", 200, `{"priority":"7"}`, desk.Case{}, "no JSON object", true},
		{"a broken time", 200, `{"created":"yesterday"}`, desk.Case{}, `"yesterday"`, true},
		{"an endless ref", 200, `{"ref":"` + strings.Repeat("r", 300) + `"}`, desk.Case{}, "longer than 200", true},
		{"an error inside", 200, `{"error":{"code":7}}`, desk.Case{}, `{"code":7}`, false},
		{"bad request", 400, `{"error":"no queue"}`, desk.Case{}, "answered 400", false},
		{"no credentials", 401, ``, desk.Case{}, "check the credentials", false},
		{"not found", 404, ``, desk.Case{}, "check the desk's address", false},
		{"conflict: perhaps with an attempt that still runs", 409, ``, desk.Case{}, "answered 409", true},
		{"request timeout", 408, ``, desk.Case{}, "answered 408", true},
		{"too many", 429, ``, desk.Case{}, "answered 429", true},
		{"bad gateway", 502, ``, desk.Case{}, "answered 502", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			address, asked := answering(t, test.status, test.body)
			got, err := build(t, &desk.Webhook{URL: address}, desk.Env{}).Open(t.Context(), desk.Fields{Key: "k", Priority: incident.P2})
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if errors.Is(err, desk.ErrUnknownOutcome) != test.unknown {
				t.Errorf("outcome unknown: %v, want %v (%v)", !test.unknown, test.unknown, err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("case (-want +got):\n%s", diff)
			}
			if len(*asked) != 1 {
				t.Errorf("%d requests", len(*asked))
			}
		})
	}
}

func TestWebhookFind(t *testing.T) {
	tests := []struct {
		name, body string
		want       []string // refs, in order
		err        string
	}{
		{"none", `[]`, nil, ""},
		{"none, in an object", `{"cases":[]}`, nil, ""},
		{
			"oldest first, each once", `[{"key":"k","ref":"b","created":"2026-03-02T12:00:01Z"},{"key":"k","ref":"a","created":"2026-03-02T12:00:00Z"},{"key":"k","ref":"a"}]`,
			[]string{"k/a", "k/b"},
			"",
		},
		{"in an object", `{"total":1,"cases":[{"key":"k"}]}`, []string{"k"}, ""},
		{"of another key, of none", `[{"key":"kk","ref":"1"},{"key":"","ref":"2"},{"ref":"3"},{"key":"K","ref":"4"}]`, nil, ""},
		{"withdrawn", `[{"key":"k","ref":"1","state":"withdrawn"},{"key":"k","ref":"2","state":"resolved"}]`, []string{"k/2"}, ""},
		{"an object without cases is not none", `{}`, nil, "JSON array"},
		{"an error inside", `{"error":"index is being rebuilt","cases":[]}`, nil, "index is being rebuilt"},
		{"null", `null`, nil, "JSON array"},
		{"two values", `[] []`, nil, "JSON array"},
		{"an unknown state", `[{"key":"k","state":"lost"}]`, nil, `"lost"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			address, asked := answering(t, http.StatusOK, test.body)
			d := build(t, &desk.Webhook{URL: address, FindURL: address + "/search?q={key}&exact=1"}, desk.Env{})
			cases, err := d.Find(t.Context(), "k")
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			var refs []string
			for _, c := range cases {
				refs = append(refs, c.Ref)
			}
			if !slices.Equal(refs, test.want) {
				t.Errorf("found %q, want %q", refs, test.want)
			}
			if _, err := d.Find(t.Context(), "k &%/Æ"); len(*asked) != 2 || (*asked)[1].url != "/search?q=k+%26%25%2F%C3%86&exact=1" {
				t.Errorf("the key is not escaped: %s (%v)", (*asked)[1].url, err)
			}
		})
	}
}

func TestWebhookReadsAreRepeatedUntilTheDeadline(t *testing.T) {
	var mu sync.Mutex
	answers := []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusOK}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(answers[0])
		answers = answers[1:]
		_, _ = io.WriteString(w, `[{"key":"k"}]`)
	}))
	defer server.Close()
	cases, err := build(t, &desk.Webhook{URL: server.URL, FindURL: server.URL + "/{key}"}, desk.Env{}).Find(t.Context(), "k")
	if err != nil || len(cases) != 1 {
		t.Errorf("found %v, %v", cases, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(answers) != 0 {
		t.Errorf("%d answers were not asked for", len(answers))
	}
}

// net/http itself sends a request again when a reused connection breaks and the request has an Idempotency-Key.
func TestWebhookPostIsSentOnceOverAReusedConnection(t *testing.T) {
	var mu sync.Mutex
	opens := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		opens++
		second := opens > 1
		mu.Unlock()
		if second {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{}`)
	}))
	defer server.Close()
	d := build(t, &desk.Webhook{URL: server.URL}, desk.Env{HTTP: server.Client()})
	if _, err := d.Open(t.Context(), desk.Fields{Key: "one"}); err != nil {
		t.Fatal(err)
	}
	_, err := d.Open(t.Context(), desk.Fields{Key: "two"})
	if !errors.Is(err, desk.ErrUnknownOutcome) {
		t.Errorf("error %v, want an unknown outcome", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if opens != 2 {
		t.Errorf("the server saw %d requests, want 2", opens)
	}
}

func TestWebhookTrustsOnlyItsAuthorities(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	_, err := build(t, &desk.Webhook{URL: server.URL}, desk.Env{}).Open(t.Context(), desk.Fields{Key: "k"})
	if err == nil || errors.Is(err, desk.ErrUnknownOutcome) || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("untrusted certificate: %v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := build(t, &desk.Webhook{URL: server.URL, CAFile: file}, desk.Env{}).Open(t.Context(), desk.Fields{Key: "k"}); err != nil {
		t.Errorf("trusted certificate: %v", err)
	}
	for _, bad := range []string{file + ".none", os.Args[0]} {
		if _, err := (&desk.Webhook{URL: server.URL, CAFile: bad}).Build(desk.Env{Name: "hook"}); err == nil || !strings.Contains(err.Error(), "ca_file") {
			t.Errorf("ca_file %s: %v", bad, err)
		}
	}
}

func TestWebhookWithoutSearchSaysSo(t *testing.T) {
	address, asked := answering(t, http.StatusOK, `{}`)
	d := build(t, &desk.Webhook{URL: address, Lag: time.Minute}, desk.Env{})
	if can := d.Capabilities(); can != (desk.Capabilities{DedupeOnCreate: true, Lag: time.Minute}) {
		t.Errorf("capabilities %+v", can)
	}
	_, find := d.Find(t.Context(), "k")
	_, get := d.Get(t.Context(), "k")
	for _, err := range []error{find, get} {
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "find_url") {
			t.Errorf("error %v", err)
		}
	}
	if err := d.Update(t.Context(), "other/1", desk.Fields{Key: "k"}, nil); err == nil {
		t.Error("an update of another case was sent")
	}
	if len(*asked) != 0 {
		t.Errorf("%d requests", len(*asked))
	}
}

func TestWebhookConfigurationFaults(t *testing.T) {
	good := desk.Webhook{URL: "https://desk.example/cases", Timeout: 10 * time.Second}
	tests := []struct {
		name   string
		change func(*desk.Webhook)
		want   string // the only fault; "": none
	}{
		{"good", func(*desk.Webhook) {}, ""},
		{"absent url is the decoder's", func(w *desk.Webhook) { w.URL = "" }, ""},
		{"plain http is for the cluster", func(w *desk.Webhook) { w.URL = "http://desk:8080" }, ""},
		{"no scheme", func(w *desk.Webhook) { w.URL = "desk.example" }, "url: is no http or https address"},
		{"no host", func(w *desk.Webhook) { w.URL = "https:///cases" }, "url: is no http or https address"},
		{"no address", func(w *desk.Webhook) { w.URL = "https://a b" }, "url: is no address"},
		{"credential", func(w *desk.Webhook) { w.URL = "https://u:hidden@desk.example" }, "url: holds a credential"},
		{"no key", func(w *desk.Webhook) { w.FindURL = "https://desk.example" }, "find_url: has no {key}"},
		{"header name", func(w *desk.Webhook) { w.Headers = map[string]secret.Value{"X Key": secret.New("v")} }, "headers.X Key: is no header name"},
		{"header value", func(w *desk.Webhook) { w.Headers = map[string]secret.Value{"X-Key": secret.New("hidden\r\n")} }, "headers.X-Key: has a value"},
		{"own header", func(w *desk.Webhook) { w.Headers = map[string]secret.Value{"idempotency-key": secret.New("v")} }, "headers.idempotency-key: is set by"},
		{"lag", func(w *desk.Webhook) { w.Lag = -1 }, "lag: must be"},
		{"timeout", func(w *desk.Webhook) { w.Timeout = time.Hour }, "timeout: must be"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := good
			test.change(&w)
			faults := fmt.Sprint(w.Validate())
			if test.want == "" && faults != "[]" || !strings.HasPrefix(faults, "["+test.want) || strings.Contains(faults, "hidden") {
				t.Errorf("faults %s, want %q", faults, test.want)
			}
		})
	}
}

func FuzzWebhookAnswer(f *testing.F) {
	for _, seed := range []string{`{}`, `[{"key":"k","ref":1}]`, `{"cases":[{"key":"k","state":"held"}]}`, `{"error":"x"}`, `null`, `{"ref":{}}`, "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		client := &http.Client{Transport: canned(body)}
		d, err := (&desk.Webhook{URL: "http://desk.example", FindURL: "http://desk.example/{key}"}).Build(desk.Env{Name: "hook", HTTP: client})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := d.Open(context.Background(), desk.Fields{Key: "k"})
		if err == nil && (opened.Ref == "" || opened.Number == "" || opened.Key != "k" || opened.State == incident.CaseWanted) {
			t.Errorf("open answered %+v to %q", opened, body)
		}
		cases, err := d.Find(context.Background(), "k")
		if err != nil {
			if text := err.Error(); len(text) > 2000 || strings.ContainsAny(text, "\n\x1b\x00") {
				t.Errorf("error %q", text)
			}
			return
		}
		for _, c := range cases {
			if c.Key != "k" || c.Ref == "" || len(c.Ref) > 300 || len(c.Number) > 300 {
				t.Errorf("find answered %+v to %q", c, body)
			}
		}
	})
}

// canned answers every request with 200 and itself.
type canned []byte

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(string(c))),
	}, nil
}
