package web_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/probes"
)

// document loads the document as a client gets it.
func document(t *testing.T, h http.Handler) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(get(t, h, "/api/openapi.json").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOpenAPIIsValidAndNamesEveryRoute(t *testing.T) {
	o := options(webtest.Scene("p1"))
	doc := document(t, web.New(o))
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("version %s", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Error(err)
	}
	served := web.Routes(o)
	for path, item := range doc.Paths.Map() {
		var methods []string
		for m := range item.Operations() {
			methods = append(methods, m)
		}
		slices.Sort(methods)
		if !slices.Equal(methods, served[path]) {
			t.Errorf("%s: the document has %v, the agent serves %v", path, methods, served[path])
		}
	}
	for path := range served {
		if doc.Paths.Value(path) == nil {
			t.Errorf("%s is served and not in the document", path)
		}
	}
}

func TestOpenAPIKnowsEveryReasonAndOutcome(t *testing.T) {
	doc := document(t, web.New(options(webtest.Scene("p1"))))
	var want []any
	for _, r := range probes.Reasons {
		want = append(want, string(r))
	}
	if got := doc.Components.Schemas["Reason"].Value.Enum; !slices.Equal(got, want) {
		t.Errorf("reasons %v, want %v", got, want)
	}
}

// Every answer of the API, in every scene, is as the document says; the document forbids unknown keys of the answers' own types.
func TestAnswersAreAsDocumented(t *testing.T) {
	for _, scene := range webtest.Scenes {
		f := webtest.Scene(scene)
		h := web.New(options(f))
		router, err := legacy.NewRouter(document(t, h), openapi3.IsOpenAPI31OrLater())
		if err != nil {
			t.Fatal(err)
		}
		id := f.Told[0].ID
		if len(f.Seen.Incidents) > 0 {
			id = f.Seen.Incidents[0].ID
		}
		number := "FC-2026-000200"
		if scene == "p1" {
			number = "FC-2026-000201"
		}
		for _, target := range []string{
			"GET /api/v1/status", "GET /api/v1/components", "GET /api/v1/incidents", "GET /api/v1/incidents?limit=3&open=true", "GET /api/v1/incidents?limit=0",
			"GET /api/v1/incidents/" + id, "GET /api/v1/incidents/none", "GET /api/v1/cases", "GET /api/v1/cases?limit=1", "GET /api/v1/cases/" + number, "GET /api/v1/cases/none",
			"GET /api/v1/results?probe=web-client/http", "GET /api/v1/results?probe=none", "GET /api/openapi.json", "GET /-/healthy", "GET /-/ready", "GET /metrics", "GET /badge.svg",
			"GET /", "GET /incidents", "GET /incidents/" + id, "GET /incidents/none", "GET /cases/none", "GET /cases/" + number, "GET /static/style.css", "POST /-/reload", "PUT /-/reload",
			"GET /api/v1/incidents/" + id + "/evidence", "GET /api/v1/incidents/none/evidence", "GET /api/v1/incidents/" + id + "/evidence/path.txt", "GET /api/v1/incidents/none/evidence/path.txt",
			"GET /incidents/" + f.Told[0].ID, "GET /api/v1/incidents/" + f.Told[0].ID,
			"GET /api/v1/incidents?q=web&class=availability&state=closed&priority=p2&from=2026-01-01&to=2026-12-31", "GET /api/v1/incidents?class=none",
			"GET /components/web-client", "GET /components/web-client?range=30d", "GET /components/web-client?range=1y", "GET /components/none", "GET /maintenance", "GET /agent",
			"GET /login", "GET /api/v1/maintenance", "GET /api/v1/silences", "GET /api/v1/events", "POST /login", "POST /logout", "POST /orders", "POST /orders/1/end",
			"POST /cases/" + number + "/act", "POST /api/v1/maintenance/1/end", "POST /api/v1/silences/x/end", "POST /api/v1/maintenance", "POST /api/v1/silences",
			"POST /api/v1/probes/accept?probe=web-client/http", "POST /api/v1/probes/accept?probe=none", "POST /api/v1/probes/accept?probe=witness/tcp", "POST /api/v1/probes/accept",
			"POST /api/v1/cases/" + number + "/ack", "POST /api/v1/cases/" + number + "/hold", "POST /api/v1/cases/none/note", "POST /api/v1/cases/" + number + "/resume", "POST /api/v1/cases/" + number + "/resolve",
		} {
			method, address, _ := strings.Cut(target, " ")
			body := ""
			if strings.HasPrefix(address, "/api/v1/") && method == "POST" {
				body = `{"actor": "mette", "reason": "why"}`
			}
			if method == "POST" && (address == "/api/v1/maintenance" || address == "/api/v1/silences") {
				body = `{"actor": "mette", "reason": "why", "minutes": 60}`
			}
			w := call(t, h, method, address, body)
			if err := conforms(t, router, method, address, w); err != nil {
				t.Errorf("%s: %s: %d: %v", scene, target, w.Code, err)
			}
		}
	}
}

// conforms holds an answer against the document.
func conforms(t *testing.T, router routers.Router, method, target string, w *httptest.ResponseRecorder) error {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.URL.Scheme, r.URL.Host, r.Host = "", "", ""
	route, params, err := router.FindRoute(r)
	if err != nil {
		return err
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json")},
	}
	return openapi3filter.ValidateResponse(t.Context(), input)
}

// What a finding, a baseline and an incident may say is in the document, word for word.
func TestOpenAPIKnowsWhatIsLearnt(t *testing.T) {
	h := web.New(options(webtest.Scene("slow")))
	router, err := legacy.NewRouter(document(t, h), openapi3.IsOpenAPI31OrLater())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		old, new string
		passes   bool
	}{
		{"", "", true},
		{`"kind": "regression"`, `"kind": "momentary"`, true},
		{`"kind": "regression"`, `"kind": "sluggish"`, false},
		{`"test": "mid"`, `"test": "creep"`, true},
		{`"test": "mid"`, `"test": "middling"`, false},
		{`"limit_by": "history"`, `"limit_by": "fate"`, false},
		{`"learnt": 14`, `"learned": 14`, false},
		{`"of": 14,`, ``, false},
		{`"stretch": 1`, `"stretch": 1, "extra": 1`, false},
	} {
		w := get(t, h, "/api/v1/components")
		body := w.Body.String()
		if !strings.Contains(body, c.old) {
			t.Errorf("no answer says %s", c.old)
		}
		w.Body = bytes.NewBufferString(strings.ReplaceAll(body, c.old, c.new))
		if c.old == "" {
			w.Body = bytes.NewBufferString(body)
		}
		if err := conforms(t, router, "GET", "/api/v1/components", w); (err == nil) != c.passes {
			t.Errorf("%s for %s: %v", c.new, c.old, err)
		}
	}
}

// The check above can see: an answer with a wrong word does not pass.
func TestConformanceCheckSees(t *testing.T) {
	h := web.New(options(webtest.Scene("p1")))
	router, err := legacy.NewRouter(document(t, h), openapi3.IsOpenAPI31OrLater())
	if err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []func(map[string]any){
		func(m map[string]any) { m["outcome"] = "fine" },
		func(m map[string]any) { delete(m, "headline") },
		func(m map[string]any) { m["extra"] = 1 },
		func(m map[string]any) { m["incidents"] = nil },
		func(m map[string]any) { m["incidents"].([]any)[0].(map[string]any)["priority"] = "p9" },
	} {
		w := get(t, h, "/api/v1/status")
		var m map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		spoil(m)
		w.Body.Reset()
		if err := json.NewEncoder(w.Body).Encode(m); err != nil {
			t.Fatal(err)
		}
		if conforms(t, router, "GET", "/api/v1/status", w) == nil {
			t.Error("a spoilt answer passed")
		}
	}
}
