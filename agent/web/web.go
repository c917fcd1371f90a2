package web

import (
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/sla"
)

// Options are what the pages are made of. Agent and Store are required.
type Options struct {
	Agent       Agent
	Store       Reader
	Metrics     http.Handler   // nil: there is no /metrics
	Tenant      string         // name of the tenant, for people
	Zone        *time.Location // in which the tenant reads times; nil: UTC
	ExternalURL string         // address under which people reach the page; "" when there is none
	Token       secret.Value   // bearer token of changing calls; not set: they are taken from loopback only
	Version     string         // of the agent
	Now         func() time.Time
	Log         *slog.Logger // nil: nothing is logged
	AlertOnly   bool         // the agent has no desk and opens no case
	Level       sla.Level    // the service level that cases are held against

	// Silent reports whether a notifier tells nobody of incidents of that priority at that instant; nil: none is ever silent.
	Silent func(notifier string, p incident.Priority, at time.Time) bool

	Changed map[string]secret.Value // keys of the calls by which desks say that something changed, by name
}

// site is the handler's immutable state; everything that changes comes from the agent and the store at each request.
type site struct {
	Options
	guard  guard
	pulse  *pulse
	pages  map[string]*template.Template
	assets assets

	seen func() sight // what the stream of events tells; see unless it is the wall's
	wall bool         // it is the fleet's page
}

// New returns the agent's whole HTTP face. The handler is safe for concurrent use.
func New(o Options) http.Handler {
	s := newSite(o)
	s.seen = s.see
	return s.handler(s.routes())
}

func newSite(o Options) *site {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &site{Options: o, guard: newGuard(o), pulse: &pulse{}, pages: loadPages(), assets: loadAssets()}
}

func (s *site) handler(routes []route) http.Handler {
	return s.guard.wrap(s.underPrefix(s.mux(routes)), s.refuse)
}

// route is one path and what answers each method; HEAD is answered wherever GET is. It is the one list from which the
// multiplexer is built and against which the OpenAPI document is tested.
type route struct {
	path    string
	methods map[string]http.HandlerFunc
	signed  bool // the handler itself asks for the proof of right: a signature, or who is signed in
}

func (s *site) routes() []route {
	get := func(path string, h http.HandlerFunc) route {
		return route{path: path, methods: map[string]http.HandlerFunc{http.MethodGet: h}}
	}
	all := []route{
		get("/{$}", s.statusPage),
		get("/incidents", s.historyPage),
		get("/incidents/{id}", s.incidentPage),
		get("/components/{name}", s.componentPage),
		get("/maintenance", s.maintenancePage),
		get("/agent", s.agentPage),
		get("/cases/{number}", s.casePage),
		get("/static/{name}", s.static),
		get("/badge.svg", s.badge),
		get("/-/healthy", s.healthy),
		get("/-/ready", s.ready),
		{path: "/-/reload", methods: map[string]http.HandlerFunc{http.MethodPost: s.reload, http.MethodPut: s.reload}},
		get("/api/openapi.json", s.openAPI),
		get("/api/v1/status", s.answer(s.apiStatus)),
		get("/api/v1/components", s.answer(s.apiComponents)),
		get("/api/v1/results", s.answer(s.apiResults)),
		get("/api/v1/incidents", s.answer(s.apiIncidents)),
		get("/api/v1/incidents/{id}", s.answer(s.apiIncident)),
		get("/api/v1/incidents/{id}/evidence", s.answer(s.apiEvidence)),
		get("/api/v1/incidents/{id}/evidence/{name}", s.evidenceFile),
		get("/api/v1/events", s.events),
		get("/api/v1/cases", s.answer(s.apiCases)),
		get("/api/v1/cases/{number}", s.answer(s.apiCase)),
	}
	all = append(all,
		route{path: acceptPath, methods: map[string]http.HandlerFunc{http.MethodPost: s.answer(s.accept)}},
		route{path: changedPath, methods: map[string]http.HandlerFunc{http.MethodPost: s.answer(s.changed)}, signed: true},
	)
	form := s.formRoute
	all = append(all, s.signIn()...)
	all = append(
		all,
		form("/cases/{number}/act", s.actForm), form("/orders", s.orderForm), form("/orders/{id}/end", s.endForm),
	)
	for path, kind := range map[string]incident.OrderKind{"/api/v1/maintenance": incident.OrderMaintenance, "/api/v1/silences": incident.OrderSilence} {
		list := map[incident.OrderKind]func(*http.Request) (any, error){incident.OrderMaintenance: s.apiMaintenance, incident.OrderSilence: s.apiSilences}[kind]
		all = append(
			all,
			route{path: path, methods: map[string]http.HandlerFunc{http.MethodGet: s.answer(list), http.MethodPost: s.answer(s.apiOrder(kind))}},
			route{path: path + "/{id}/end", methods: map[string]http.HandlerFunc{http.MethodPost: s.answer(s.apiEnd(kind))}},
		)
	}
	for _, action := range actions {
		all = append(all, route{
			path:    "/api/v1/cases/{number}/" + string(action),
			methods: map[string]http.HandlerFunc{http.MethodPost: s.answer(s.act(action))},
		})
	}
	if s.Metrics != nil {
		all = append(all, get("/metrics", s.Metrics.ServeHTTP))
	}
	return all
}

// signIn is where people sign in and out.
func (s *site) signIn() []route {
	return []route{
		{path: loginPath, methods: map[string]http.HandlerFunc{http.MethodGet: s.loginPage, http.MethodPost: s.login}, signed: true},
		{path: "/logout", methods: map[string]http.HandlerFunc{http.MethodPost: s.logout}, signed: true},
	}
}

// formRoute is where a form of a page is sent.
func (s *site) formRoute(path string, do func(*http.Request, string) (string, error)) route {
	return route{path: path, methods: map[string]http.HandlerFunc{http.MethodPost: s.form(do)}, signed: true}
}

func (s *site) mux(routes []route) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.HandleFunc(r.path, s.byMethod(r))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, &fault{
			Status: http.StatusNotFound, Message: "there is nothing at this address",
			Hint: "the status page is at /, and /api/openapi.json lists every address",
		})
	})
	return mux
}

// byMethod picks the route's handler, refuses other methods by name, and asks for proof of right before anything changes.
func (s *site) byMethod(r route) http.HandlerFunc {
	allow := allowed(r.methods)
	return func(w http.ResponseWriter, q *http.Request) {
		method := q.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		h, ok := r.methods[method]
		if !ok {
			w.Header().Set("Allow", allow)
			s.refuse(w, q, &fault{Status: http.StatusMethodNotAllowed, Message: "the method is not allowed here", Hint: "use " + allow})
			return
		}
		if method != http.MethodGet && !r.signed {
			if f := s.guard.authorize(w, q); f != nil {
				s.Log.Warn("changing call refused", "path", q.URL.Path, "remote", q.RemoteAddr, "err", f.Message)
				s.refuse(w, q, f)
				return
			}
		}
		h(w, q)
	}
}

func allowed(methods map[string]http.HandlerFunc) string {
	var names []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
		if _, ok := methods[m]; !ok {
			continue
		}
		names = append(names, m)
		if m == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	return strings.Join(names, ", ")
}

// underPrefix serves the same addresses below the path of the external URL too, for proxies that do not strip it. The pages
// hold relative links only, so that they work either way.
func (s *site) underPrefix(h http.Handler) http.Handler {
	u, err := url.Parse(s.ExternalURL)
	if err != nil {
		return h
	}
	prefix := strings.TrimRight(u.Path, "/")
	if prefix == "" {
		return h
	}
	stripped := http.StripPrefix(prefix, h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, prefix+"/") {
			stripped.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}
