package probes_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/perfiontest"
)

const (
	xmlQuery  = `<Query><Select languages='EN' maxCount='1' options='ExcludeFeatureDefinitions'><Feature id='ItemNumber'/></Select><From id='Product'/></Query>`
	jsonQuery = `{ "Query": { "Select": { "languages": "EN", "maxCount": "1", "Features": [ { "id": "ItemNumber" } ] }, "From": [ { "id": "Product" } ] } }`
)

// perfionProbe returns a probe of a service with the defaults of the tags.
func perfionProbe(t testing.TB, url string, edit func(*probes.Perfion)) *probes.Perfion {
	t.Helper()
	p := &probes.Perfion{URL: url, Query: xmlQuery, Interface: "auto", Auth: "auto", MaxBody: 256 << 10}
	if edit != nil {
		edit(p)
	}
	valid(t, p)
	p.SetLatch(new(probes.MemoryLatch))
	return p
}

func rest(p *probes.Perfion) { p.Query = jsonQuery }

func as(user, password string) func(*probes.Perfion) {
	return func(p *probes.Perfion) { p.User, p.Password = user, secret.New(password) }
}

// checked runs a probe once and holds the result to the contract.
func checked(t *testing.T, p probes.Probe) probes.Result {
	t.Helper()
	r := p.Probe(t.Context())
	kind, _ := probes.Lookup("perfion")
	probetest.Check(t, kind, r)
	return r
}

// want checks a result; facts are name=part of the value.
func want(t *testing.T, r probes.Result, outcome probes.Outcome, reason probes.Reason, detail string, facts ...string) {
	t.Helper()
	if r.Outcome != outcome || r.Reason != reason || !strings.Contains(r.Detail, detail) {
		t.Errorf("%s, %s, %q; want %s, %s, %q", r.Outcome, r.Reason, r.Detail, outcome, reason, detail)
	}
	for _, f := range facts {
		name, value, _ := strings.Cut(f, "=")
		if got := fact(r, name); !strings.Contains(got, value) || got == "" {
			t.Errorf("fact %s is %q, want %q in it", name, got, value)
		}
	}
}

// A healthy service over each interface, in each form of SOAP, with what it says of itself.
func TestPerfionHealthy(t *testing.T) {
	for _, c := range []struct {
		name    string
		options perfiontest.Options
		edit    func(*probes.Perfion)
		facts   []string
	}{
		{"soap 1.1", perfiontest.Options{}, nil, []string{"interface=soap", "rows=1", "features=2", "total_count=853", "total_execution_time=00:00:00.0011051", "status=200"}},
		{"soap 1.2", perfiontest.Options{SOAP12: true}, nil, []string{"interface=soap", "rows=1"}},
		{"json over soap", perfiontest.Options{}, func(p *probes.Perfion) { p.Query, p.Interface = jsonQuery, "soap" }, []string{"interface=soap", "rows=1"}},
		{"rest", perfiontest.Options{}, rest, []string{"interface=rest", "rows=1", "features=1", "total_count=853"}},
		{"no query", perfiontest.Options{}, func(p *probes.Perfion) { p.Query = "" }, []string{"interface=soap", "version=5.4.1.0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := perfiontest.Start(t, c.options)
			p := perfionProbe(t, s.URL, c.edit)
			want(t, checked(t, p), probes.Up, probes.None, "", c.facts...)
			if asked := s.Seen().Query; p.Query != asked {
				t.Errorf("asked %q, want %q", asked, p.Query)
			}
		})
	}
}

// What the server says of its own time is a phase; it never exceeds the wait, so that phases add up.
func TestPerfionServerTime(t *testing.T) {
	for span, wanted := range map[string]bool{"00:00:00.0000010": true, "10:00:00": true, "99999999": false, "00:00:00": false} {
		for _, edit := range []func(*probes.Perfion){nil, rest} {
			s := perfiontest.Start(t, perfiontest.Options{Took: span})
			r := checked(t, perfionProbe(t, s.URL, edit)) // Check adds the phases up
			server, ok := r.Phase(probes.PhaseServer)
			if ok != wanted || ok && server <= 0 {
				t.Errorf("%s: server %s, %v", span, server, ok)
			}
			if span == "00:00:00.0000010" && server != time.Microsecond {
				t.Errorf("server is %s", server)
			}
			if first, _ := r.Phase(probes.PhaseFirstByte); span == "10:00:00" && first != 0 {
				t.Errorf("first byte is %s", first)
			}
		}
	}
}

// verdictCase is a fault of the service with what it means.
type verdictCase struct {
	name    string
	fault   http.HandlerFunc
	outcome probes.Outcome
	reason  probes.Reason
	detail  string
}

// Faults that both interfaces may meet.
var commonFaults = []verdictCase{
	{"log-in page", perfiontest.Page(200, "Log in"), probes.Down, probes.Content, `answers 200 with a page in place of data (its title is "Log in")`},
	{"empty", perfiontest.Text(200, "text/plain", ""), probes.Down, probes.Content, "what comes is empty"},
	{"bad request", perfiontest.Text(400, "text/plain", ""), probes.Degraded, probes.Functional, "status 400 Bad Request: the application says that the request is wrong"},
	{"bad request, a page of http.sys", perfiontest.Page(400, "Bad Request - Invalid Hostname"), probes.Down, probes.Status, "Invalid Hostname"},
	{"unauthorised", perfiontest.Text(401, "text/plain", ""), probes.Degraded, probes.Auth, "the application wants a log-on; give the probe a user"},
	{"unauthorised, a page", perfiontest.Page(401, "401 - Unauthorized"), probes.Degraded, probes.Auth, "status 401"},
	{"forbidden", perfiontest.Message(403, "no"), probes.Degraded, probes.Auth, "status 403"},
	{"forbidden, a page", perfiontest.Page(403, "Web App - Unavailable"), probes.Down, probes.Status, "Unavailable"},
	{"not found", perfiontest.Text(404, "text/plain", ""), probes.Down, probes.Status, "is url right?"},
	{"too many", perfiontest.Text(429, "text/plain", ""), probes.Degraded, probes.Functional, "longer interval"},
	{"message with 200", perfiontest.Message(200, "No such feature"), probes.Degraded, probes.Functional, ""},
	{"licence", perfiontest.Message(400, "Your licence has expired"), probes.Degraded, probes.Functional, ""},
	{"always 500", perfiontest.Page(500, "Runtime Error"), probes.Down, probes.Status, `status 500 Internal Server Error (its title is "Runtime Error"), twice; getversion answers`},
	{"bad gateway", perfiontest.Page(502, "x"), probes.Down, probes.Status, "status 502 Bad Gateway"},
	{"application pool stopped", perfiontest.Page(503, "Service Unavailable"), probes.Down, probes.Status, `status 503 Service Unavailable (its title is "Service Unavailable")`},
	{"gateway timeout with json", perfiontest.Message(504, "x"), probes.Down, probes.Status, "status 504 Gateway Timeout"},
	{"proxy", perfiontest.Text(407, "text/plain", ""), probes.Unknown, probes.Local, "407"},
	{"teapot of 3xx", perfiontest.Text(304, "text/plain", ""), probes.Down, probes.Content, "status 304"},
}

func TestPerfionVerdict(t *testing.T) {
	soap := []verdictCase{
		{"fault of the client", perfiontest.Fault("Client", "Unknown feature"), probes.Degraded, probes.Functional, `the application says "Unknown feature": check query`},
		{"fault of the client, 1.2", perfiontest.Fault12("Sender", "Unknown feature"), probes.Degraded, probes.Functional, `the application says "Unknown feature": check query`},
		{"fault of the server", perfiontest.Fault("Server", "Object reference not set"), probes.Degraded, probes.Functional, `"Object reference not set", twice, while getversion answers`},
		{"fault of the database", perfiontest.Fault("Server", "A network-related or instance-specific error occurred"), probes.Down, probes.Status, "getversion answers: the application runs, what it stands on may not"},
		{"fault of fault", perfiontest.Fault("Server", "System.Web.Services.Protocols.SoapException: Server was unable to process request. ---&gt; System.Data.SqlClient.SqlException: Timeout expired."), probes.Down, probes.Status, `the application says "System.Data.SqlClient.SqlException: Timeout expired.", twice`},
		{"fault of the database, 1.2", perfiontest.Fault12("Receiver", "Cannot open database PIM"), probes.Down, probes.Status, "Cannot open database PIM"},
		{"fault about the licence", perfiontest.Fault("Server", "The license is not valid"), probes.Degraded, probes.Functional, "its licence"},
		{"fault about the user", perfiontest.Fault("Server", "User is not authenticated"), probes.Degraded, probes.Auth, "wants a log-on"},
		{"not soap", perfiontest.Text(200, "text/xml", "<x/>"), probes.Down, probes.Content, "its root is <x>"},
		{"an error as the result", perfiontest.Text(200, "text/xml", perfiontest.Envelope(false, "ExecuteQuery", "Feature X does not exist")), probes.Degraded, probes.Functional, "Feature X does not exist"},
		{"a page as the result", perfiontest.Text(200, "text/xml", perfiontest.Envelope(false, "ExecuteQuery", "<html><title>Oh</title></html>")), probes.Down, probes.Content, "a page in place of data"},
	}
	restOnly := []verdictCase{
		{"500 with a message", perfiontest.Message(500, "An error has occurred."), probes.Down, probes.Status, "An error has occurred."},
		{"400 with a message", perfiontest.Message(400, "Feature X does not exist"), probes.Degraded, probes.Functional, `status 400, the application says "Feature X does not exist"`},
		{"not json", perfiontest.Text(200, "application/json", "hello"), probes.Down, probes.Content, "is no proper json"},
		{"json of another", perfiontest.Text(200, "application/json", `{"ok":true}`), probes.Down, probes.Content, "is json without data"},
	}
	run := func(t *testing.T, operation string, edit func(*probes.Perfion), cases []verdictCase) {
		for _, c := range cases {
			t.Run(operation+" "+c.name, func(t *testing.T) {
				s := perfiontest.Start(t, perfiontest.Options{Fault: perfiontest.Always(operation, c.fault)})
				if operation == "ExecuteQuery" && (strings.HasPrefix(c.name, "message with") || c.name == "licence") {
					return // JSON is no answer to SOAP
				}
				want(t, checked(t, perfionProbe(t, s.URL, edit)), c.outcome, c.reason, c.detail)
			})
		}
	}
	run(t, "ExecuteQuery", nil, slices.Concat(commonFaults, soap))
	run(t, "data", rest, slices.Concat(commonFaults, restOnly))
}

// A doubtful answer is not believed before a second question.
func TestPerfionConfirms(t *testing.T) {
	broken := perfiontest.Page(500, "Runtime Error")
	both := func(string, int) http.HandlerFunc { return broken }
	for _, c := range []struct {
		name    string
		edit    func(*probes.Perfion)
		fault   func(string, int) http.HandlerFunc
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
		seen    perfiontest.Seen
	}{
		{"soap, once", nil, perfiontest.Once("ExecuteQuery", broken), probes.Up, probes.None, "", perfiontest.Seen{Queries: 2, Versions: 1}},
		{"rest, once", rest, perfiontest.Once("data", broken), probes.Up, probes.None, "", perfiontest.Seen{Data: 2, Versions: 1}},
		{"getversion, once", func(p *probes.Perfion) { p.Query = "" }, perfiontest.Once("GetVersion", broken), probes.Up, probes.None, "", perfiontest.Seen{Versions: 2}},
		{"everything", nil, both, probes.Down, probes.Status, "Internal Server Error (its title is \"Runtime Error\"), twice; getversion fails as well", perfiontest.Seen{Queries: 2, Versions: 1}},
		{"getversion, always", func(p *probes.Perfion) { p.Query = "" }, both, probes.Down, probes.Status, ", twice", perfiontest.Seen{Versions: 2}},
		{"then another", nil, func(operation string, nth int) http.HandlerFunc {
			return map[int]http.HandlerFunc{1: broken, 2: perfiontest.Page(503, "Service Unavailable")}[nth*len(operation)/len("ExecuteQuery")]
		}, probes.Down, probes.Status, "status 503", perfiontest.Seen{Queries: 2, Versions: 1}},
		{"a fault once, and the query is good then", nil, perfiontest.Once("ExecuteQuery", perfiontest.Fault("Server", "deadlock")), probes.Up, probes.None, "", perfiontest.Seen{Queries: 2, Versions: 1}},
		{"a fault, and getversion fails too", nil, func(string, int) http.HandlerFunc { return perfiontest.Fault("Server", "oops") }, probes.Down, probes.Status, "getversion fails as well", perfiontest.Seen{Queries: 2, Versions: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := perfiontest.Start(t, perfiontest.Options{Fault: c.fault})
			r := checked(t, perfionProbe(t, s.URL, c.edit))
			want(t, r, c.outcome, c.reason, c.detail, "first_answer=status 500")
			seen := s.Seen()
			seen.Query, seen.Anonymous = "", 0
			if seen != c.seen {
				t.Errorf("asked %+v, want %+v", seen, c.seen)
			}
		})
	}
}

// No credential goes to another place than the configured one.
func TestPerfionFollowsNoRedirect(t *testing.T) {
	elsewhere := perfiontest.Start(t, perfiontest.Options{})
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "secret-1"}, Fault: func(string, int) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+"/login?ReturnUrl=secret", status)
			}
		}})
		for _, edit := range []func(*probes.Perfion){nil, rest} {
			r := checked(t, perfionProbe(t, s.URL, func(p *probes.Perfion) {
				as("probe", "secret-1")(p)
				if edit != nil {
					edit(p)
				}
			}))
			want(t, r, probes.Down, probes.Content, elsewhere.URL+"/login?<secret>, which is not followed")
		}
	}
	if seen := elsewhere.Seen(); seen != (perfiontest.Seen{}) {
		t.Errorf("the other place was asked: %+v", seen)
	}
}

func TestPerfionFaults(t *testing.T) {
	for _, c := range []struct {
		edit func(*probes.Perfion)
		want string
	}{
		{func(p *probes.Perfion) { p.URL = "acme" }, "url: does not begin with http:// or https:// (write https://host/path)"},
		{func(p *probes.Perfion) { p.URL = "https://u:p@acme.example" }, "url: holds credentials"},
		{func(p *probes.Perfion) { p.URL = "https://acme.example/Perfion/GetData.asmx" }, "url: holds the path of an endpoint"},
		{func(p *probes.Perfion) { p.URL = "https://acme.example/?a=b" }, "url: holds a query"},
		{func(p *probes.Perfion) { p.Query = "<Query>" }, "query: is no proper xml: XML syntax error"},
		{func(p *probes.Perfion) { p.Query = "<Select/>" }, "query: its root is <Select>, not <Query>"},
		{func(p *probes.Perfion) { p.Query = "{" }, "query: is no proper json"},
		{func(p *probes.Perfion) { p.Query = `{"Select":{}}` }, "query: is json without Query"},
		{func(p *probes.Perfion) { p.Interface = "rest" }, "query: is XML, which interface: rest does not take"},
		{func(p *probes.Perfion) { p.Interface, p.Query = "rest", "" }, "query: is required for interface: rest"},
		{func(p *probes.Perfion) { p.Interface = "odata" }, "interface: is no interface"},
		{func(p *probes.Perfion) { p.User = "probe" }, "password: user needs one secret"},
		{func(p *probes.Perfion) { p.Password = secret.New("x") }, "password: has no user"},
		{func(p *probes.Perfion) { p.User, p.PasswordHash = "probe", secret.New("Test") }, "password_hash: is no such hash"},
		{func(p *probes.Perfion) { as("a:b", "x")(p) }, "user: is no user name"},
		{func(p *probes.Perfion) { as("a\nb", "x")(p) }, "user: is no user name"},
		{func(p *probes.Perfion) { as("a", "x")(p); rest(p); p.Auth = "basic" }, "auth: interface: rest takes bearer tokens only"},
		{func(p *probes.Perfion) { as("a", "x")(p); p.Auth = "ntlm" }, "auth: is no way to log on"},
		{func(p *probes.Perfion) { p.Auth = "headers" }, "auth: has no effect without user"},
		{func(p *probes.Perfion) { as("a", "x")(p); p.TokenFile = "f" }, "token_file: user and token_file are both given"},
		{func(p *probes.Perfion) { p.TokenFile, p.Auth = "f", "token" }, "auth: has no effect with token_file"},
		{func(p *probes.Perfion) { p.SOAPPath = "GetData.asmx" }, "soap_path: is not a path"},
		{func(p *probes.Perfion) { p.DataPath = "//elsewhere.example/x" }, "data_path: is not a path"},
		{func(p *probes.Perfion) { p.MaxBody = 0 }, "max_body: is not between 1 and"},
	} {
		p := &probes.Perfion{URL: "https://acme.example", Query: xmlQuery, Interface: "auto", Auth: "auto", MaxBody: 1 << 10}
		c.edit(p)
		faults := p.Validate()
		if len(faults) == 0 || !slices.ContainsFunc(faults, func(f field.Error) bool { return strings.Contains(f.Error(), c.want) }) {
			t.Errorf("%v, want %s", faults, c.want)
		}
		if r := p.Probe(t.Context()); r.Outcome != probes.Unknown || r.Reason != probes.Internal {
			t.Errorf("a faulty probe runs: %+v", r)
		}
	}
}
