package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

func options(f *webtest.Fake) web.Options {
	return web.Options{
		Agent: f, Store: f, Tenant: "ACME A/S", Zone: webtest.Zone, Version: "v0.1.0", Now: func() time.Time { return f.Now }, Level: webtest.Level,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("firstcall_up 1\n")) }),
	}
}

// call makes one request from loopback; body "" sends none.
func call(t *testing.T, h http.Handler, method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:40000", "127.0.0.1:9797"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if strings.HasPrefix(target, "/api/v1/events") { // which does not end before its client goes
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r = r.WithContext(ctx)
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func get(t *testing.T, h http.Handler, target string) *httptest.ResponseRecorder {
	t.Helper()
	return call(t, h, http.MethodGet, target, "")
}

func TestEveryRouteAnswers(t *testing.T) {
	f := webtest.Scene("p1")
	id := f.Seen.Incidents[0].ID
	h := web.New(options(f))
	for _, c := range []struct {
		target, kind, want string
		status             int
	}{
		{"/", "text/html; charset=utf-8", "the entire customer solution is inaccessible", 200},
		{"/incidents", "text/html; charset=utf-8", "FC-2026-000200", 200},
		{"/incidents?open=true", "text/html; charset=utf-8", "SOC-4711", 200},
		{"/incidents/" + id, "text/html; charset=utf-8", "on it, calling the hosting provider", 200},
		{"/incidents/none", "text/html; charset=utf-8", "Not Found", 404},
		{"/incidents?before=yesterday", "text/html; charset=utf-8", "before is not a time", 400},
		{"/cases/none", "text/html; charset=utf-8", "Not Found", 404},
		{"/metrics", "", "firstcall_up 1", 200},
		{"/badge.svg", "image/svg+xml", "P1 since 10:42", 200},
		{"/static/style.css", "text/css; charset=utf-8", "prefers-color-scheme", 200},
		{"/static/none.css", "text/plain; charset=utf-8", "no such file", 404},
		{"/-/healthy", "text/plain; charset=utf-8", "alive", 200},
		{"/-/ready", "text/plain; charset=utf-8", "ready", 200},
		{"/api/openapi.json", "application/json; charset=utf-8", `"openapi"`, 200},
		{"/api/v1/status", "application/json; charset=utf-8", `"level": "alarm"`, 200},
		{"/api/v1/components", "application/json; charset=utf-8", `"remote-desktop/rdp"`, 200},
		{"/api/v1/results?probe=web-client/http&limit=3", "application/json; charset=utf-8", `"outcome": "down"`, 200},
		{"/api/v1/results", "application/json; charset=utf-8", "probe is missing", 400},
		{"/api/v1/results?probe=x&limit=0", "application/json; charset=utf-8", "limit is out of range", 400},
		{"/api/v1/results?probe=x&from=2026-11-23T10:00:00Z&to=2026-11-22T10:00:00Z", "application/json; charset=utf-8", "to lies before from", 400},
		{"/api/v1/incidents?limit=2", "application/json; charset=utf-8", `"before"`, 200},
		{"/api/v1/incidents?open=maybe", "application/json; charset=utf-8", "open is neither true nor false", 400},
		{"/api/v1/incidents/" + id, "application/json; charset=utf-8", `"downtime"`, 200},
		{"/api/v1/incidents/none", "application/json; charset=utf-8", `"error"`, 404},
		{"/api/v1/cases?open=true", "application/json; charset=utf-8", "SOC-4711", 200},
		{"/api/v1/cases/SOC-4711", "application/json; charset=utf-8", `"incident"`, 200},
		{"/api/v1/cases/none", "application/json; charset=utf-8", "there is no", 404},
		{"/api/v1/nothing", "application/json; charset=utf-8", "there is nothing at this address", 404},
		{"/api/", "application/json; charset=utf-8", "openapi.json", 404},
		{"/nothing", "text/html; charset=utf-8", "there is nothing at this address", 404},
	} {
		w := get(t, h, c.target)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || (c.kind != "" && w.Header().Get("Content-Type") != c.kind) {
			t.Errorf("GET %s: %d %s, want %d %s with %q\n%.600s", c.target, w.Code, w.Header().Get("Content-Type"), c.status, c.kind, c.want, w.Body)
		}
	}
}

func TestMethodsAreChecked(t *testing.T) {
	f := webtest.Scene("well")
	o := options(f)
	h := web.New(o)
	for path, methods := range web.Routes(o) {
		target := strings.NewReplacer("{id}", "x", "{number}", "x", "{name}", "x").Replace(path)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			w := call(t, h, method, target, "")
			want := slices.Contains(methods, method) || (method == "HEAD" && slices.Contains(methods, "GET"))
			if refused := w.Code == http.StatusMethodNotAllowed; refused == want {
				t.Errorf("%s %s: %d", method, target, w.Code)
			}
			if w.Code == http.StatusMethodNotAllowed && !strings.Contains(w.Header().Get("Allow"), methods[0]) {
				t.Errorf("%s %s: Allow %q, want %v", method, target, w.Header().Get("Allow"), methods)
			}
		}
	}
	if n := f.Reloads(); n != 2 {
		t.Errorf("reloaded %d times, want 2: POST and PUT", n)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	still := get(t, web.New(options(webtest.Scene("still"))), "/-/healthy")
	if still.Code != 503 || !strings.Contains(still.Body.String(), "has not moved") {
		t.Errorf("standing still: %d %s", still.Code, still.Body)
	}
	learning := get(t, web.New(options(webtest.Scene("learning"))), "/-/ready")
	if learning.Code != 503 || !strings.Contains(learning.Body.String(), "4 of 8 probes have run once") {
		t.Errorf("learning: %d %s", learning.Code, learning.Body)
	}
}

func TestReloadAnswersWithEveryFault(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
	}{
		{"good", nil, 200},
		{"faulty", errors.New("acme.yaml:9:7: unknown key\nacme.yaml:14:3: unknown kind\n2 faults"), 400},
		{"gone", fmt.Errorf("acme.yaml: %w", fs.ErrNotExist), 500},
	} {
		f := webtest.Scene("well")
		f.ReloadErr = c.err
		w := call(t, web.New(options(f)), "POST", "/-/reload", "")
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.status)
		}
		if c.err != nil && !strings.Contains(w.Body.String(), c.err.Error()) {
			t.Errorf("%s: the faults are missing: %s", c.name, w.Body)
		}
	}
}

func TestOperatorsAct(t *testing.T) {
	f := webtest.Scene("p1")
	h := web.New(options(f))
	for _, action := range []string{"ack", "hold", "resume", "note", "answer", "rectify", "resolve"} {
		w := call(t, h, "POST", "/api/v1/cases/FC-2026-000201/"+action, `{"actor": " mette ", "reason": "waits for the customer"}`)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", action, w.Code, w.Body)
		}
	}
	acts := f.Acts()
	if len(acts) != 7 || acts[1] != (webtest.Act{Number: "FC-2026-000201", Actor: "mette", Reason: "waits for the customer", Action: desk.Hold}) {
		t.Errorf("the agent was asked for %+v", acts)
	}
}

func TestOrdersAreRefused(t *testing.T) {
	const ack, hold = "/api/v1/cases/FC-2026-000201/ack", "/api/v1/cases/FC-2026-000201/hold"
	f := webtest.Scene("p1")
	h := web.New(options(f))
	for _, c := range []struct {
		name, target, body, want string
		status                   int
	}{
		{"empty", ack, " ", "cannot be read", 400},
		{"not JSON", ack, "actor=mette", "cannot be read", 400},
		{"unknown key", ack, `{"actor": "m", "who": 1}`, "unknown field", 400},
		{"two objects", ack, `{"actor": "m"} {}`, "more follows", 400},
		{"nobody", ack, `{"actor": "  "}`, "actor is missing", 400},
		{"the agent's name", ack, `{"actor": "firstcall"}`, "must not be", 400},
		{"long name", ack, `{"actor": "` + strings.Repeat("é", 101) + `"}`, "actor is too long", 400},
		{"long reason", ack, `{"actor": "m", "reason": "` + strings.Repeat("x", 2001) + `"}`, "reason is too long", 400},
		{"hold without reason", hold, `{"actor": "m"}`, "reason is missing", 400},
		{"huge", ack, `{"actor": "` + strings.Repeat("x", 20<<10) + `"}`, "too large", 413},
		{"no such case", "/api/v1/cases/FC-2026-999999/ack", `{"actor": "m"}`, "no case", 404},
		{"another desk's case", "/api/v1/cases/SOC-4711/ack", `{"actor": "m"}`, `not at the built-in desk`, 409},
	} {
		w := call(t, h, "POST", c.target, c.body)
		var answer struct{ Error, Hint string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != c.status || !strings.Contains(answer.Error, c.want) {
			t.Errorf("%s: %d %s, want %d %q", c.name, w.Code, w.Body, c.status, c.want)
		}
	}
	form := call(t, h, "POST", ack, "actor=m", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") })
	if form.Code != 415 {
		t.Errorf("a form: %d, want 415", form.Code)
	}
	f.ActErr = errors.New("the case is resolved: possible now: note")
	if w := call(t, h, "POST", ack, `{"actor": "m"}`); w.Code != 409 || !strings.Contains(w.Body.String(), "possible now: note") {
		t.Errorf("wrong state: %d %s", w.Code, w.Body)
	}
	if acts := f.Acts(); len(acts) != 0 {
		t.Errorf("refused orders reached the agent: %+v", acts)
	}
}

func TestCaseNumberLeadsToItsIncident(t *testing.T) {
	f := webtest.Scene("p1")
	o := options(f)
	o.ExternalURL = "https://acme.example/firstcall/"
	h := web.New(o)
	for _, target := range []string{"/cases/SOC-4711", "/firstcall/cases/SOC-4711"} {
		w := get(t, h, target)
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil || w.Code != http.StatusSeeOther {
			t.Fatalf("%s: %d %v", target, w.Code, err)
		}
		at, _ := url.Parse(target)
		if page := get(t, h, at.ResolveReference(to).String()); page.Code != 200 || !strings.Contains(page.Body.String(), "SOC-4711") {
			t.Errorf("%s leads to %s: %d", target, to, page.Code)
		}
	}
}

// Following "older" from the newest page shows every incident, also where several were opened at one instant.
func TestHistoryShowsEveryIncident(t *testing.T) {
	f := webtest.Scene("well")
	same := f.Told[48].Opened
	for n := 47; n < 53; n++ {
		f.Told[n].Opened = same
	}
	h := web.New(options(f))
	seen, next, pages := map[string]bool{}, "/api/v1/incidents?limit=50", 0
	for next != "" {
		if pages++; pages > 5 {
			t.Fatal("the pages do not end")
		}
		var answer web.Incidents
		if err := json.Unmarshal(get(t, h, next).Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		for _, i := range answer.Incidents {
			seen[i.ID] = true
		}
		next = ""
		if answer.Before != nil {
			next = "/api/v1/incidents?limit=50&before=" + answer.Before.Format(time.RFC3339Nano)
		}
	}
	if len(seen) != len(f.Told) {
		t.Errorf("%d of %d incidents were shown", len(seen), len(f.Told))
	}
	first := get(t, h, "/incidents?component=web-client")
	if !strings.Contains(first.Body.String(), "component=web-client") || strings.Count(first.Body.String(), "<tr class=\"closed\"") != 50 {
		t.Error("the history page does not hold 50 incidents and a link that keeps the filter")
	}
}

// A store that does not answer costs the page its tales, never its first sentence.
func TestPageWithoutStore(t *testing.T) {
	f := webtest.Scene("p1")
	f.StoreErr = webtest.ErrStore
	h := web.New(options(f))
	page := get(t, h, "/")
	for _, want := range []string{"Priority 1 since 10:42", "the store does not answer", "database is locked"} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("the page misses %q", want)
		}
	}
	if w := get(t, h, "/api/v1/cases"); w.Code != 500 || !strings.Contains(w.Body.String(), "database is locked") {
		t.Errorf("API: %d %s", w.Code, w.Body)
	}
}

func TestDowntimeIsLessTheHolds(t *testing.T) {
	f := webtest.Scene("held")
	id := f.Seen.Incidents[0].ID
	var story web.Story
	if err := json.Unmarshal(get(t, web.New(options(f)), "/api/v1/incidents/"+id).Body.Bytes(), &story); err != nil {
		t.Fatal(err)
	}
	if story.Downtime.Gross != 36*time.Minute || story.Downtime.Net != 26*time.Minute {
		t.Errorf("downtime %v, net %v, want 36m and 26m", story.Downtime.Gross, story.Downtime.Net)
	}
	page := get(t, web.New(options(f)), "/incidents/"+id).Body.String()
	if !strings.Contains(page, "26 min<small>36 min less the holds") {
		t.Error("the incident page does not show both figures")
	}
}

func TestLongStoriesAreCut(t *testing.T) {
	f := webtest.Scene("p1")
	id := f.Seen.Incidents[0].ID
	for n := range 1500 {
		f.Events[id] = append(f.Events[id], incident.Event{Seq: int64(5000 + n), Incident: id, At: webtest.Now, Kind: incident.EventMeasured, Actor: "firstcall", Text: fmt.Sprintf("measured %d", n)})
	}
	h := web.New(options(f))
	page := get(t, h, "/incidents/"+id).Body.String()
	if n := strings.Count(page, "<b>measured</b>"); n != 200 || !strings.Contains(page, "1307 earlier entries are in") {
		t.Errorf("the page shows %d events", n)
	}
	var story web.Story
	if err := json.Unmarshal(get(t, h, "/api/v1/incidents/"+id).Body.Bytes(), &story); err != nil {
		t.Fatal(err)
	}
	if len(story.Timeline) != 1000 || story.Earlier != 507 || story.Timeline[999].Text != "measured 1499" {
		t.Errorf("the API shows %d events, %d earlier", len(story.Timeline), story.Earlier)
	}
}

func TestStaticFilesNameTheirVersion(t *testing.T) {
	h := web.New(options(webtest.Scene("well")))
	_, rest, _ := strings.Cut(get(t, h, "/").Body.String(), `href="./static/style.css`)
	address, _, _ := strings.Cut(rest, `"`)
	if got := get(t, h, "/static/style.css"+address).Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("with its stamp: %q", got)
	}
	if got := get(t, h, "/static/style.css?v=old").Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("with another stamp: %q", got)
	}
}
