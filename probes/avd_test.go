package probes_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

var microsoft = []string{
	"rdweb.wvd.microsoft.com", "rdbroker.wvd.microsoft.com", "rdgateway.wvd.microsoft.com", "login.microsoftonline.com",
	"management.azure.com", "afdfp-rdgateway-r1.wvd.microsoft.com",
	"rdweb.wvd.azure.us", "rdbroker.wvd.azure.us", "rdgateway.wvd.azure.us", "login.microsoftonline.us",
	"rdweb.wvd.azure.cn", "rdbroker.wvd.azure.cn", "rdgateway.wvd.azure.cn", "login.partner.microsoftonline.cn",
}

// azureTLS serves handler over TLS under Microsoft's names on loopback and returns the address and the authority's file.
func azureTLS(t testing.TB, handler http.Handler) (address, ca string) {
	t.Helper()
	root := newAuthority(t, days(400))
	cert := root.issue(t, func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, microsoft...) })
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.Config.ErrorLog = quiet
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), root.File
}

// doors answers as Microsoft's front doors do; answer may replace what one host says.
func doors(answer func(w http.ResponseWriter, r *http.Request) bool) http.Handler {
	names := map[string]string{"rdweb": "RDWeb", "rdbroker": "RDBroker", "rdgateway": "RDGateway", "afdfp-rdgateway-r1": "RDGateway"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ".")
		switch {
		case answer != nil && answer(w, r):
		case r.URL.Path == "/api/health" && names[host] != "":
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"Health":"%s is Healthy","TimeStamp":"2026-11-25T12:00:00Z","ClusterUrl":"https://%s-weu-r1.wvd.microsoft.com/"}`, names[host], host)
		case r.URL.Path == "/api/arm/feeddiscovery":
			w.WriteHeader(http.StatusUnauthorized)
		case host == "login" && strings.HasSuffix(r.URL.Path, "/v2.0/.well-known/openid-configuration"):
			_, _ = io.WriteString(w, `{"token_endpoint":"https://login.microsoftonline.com/common/oauth2/v2.0/token"}`)
		default:
			http.NotFound(w, r)
		}
	})
}

// avdProbe returns a probe whose every connection leads to address.
func avdProbe(t testing.TB, address, ca string, edit func(*probes.AVD)) probes.Probe {
	t.Helper()
	p := &probes.AVD{Cloud: "public", TenantID: "common", CAFile: ca}
	if edit != nil {
		edit(p)
	}
	valid(t, p)
	p.DialTo(func(string) string { return address })
	return p
}

// frontDoors is a target whose doors answer as answer wants, see doors.
func frontDoors(answer func(w http.ResponseWriter, r *http.Request) bool) probetest.Target {
	return func(t *testing.T) probes.Probe {
		address, ca := azureTLS(t, doors(answer))
		return avdProbe(t, address, ca, nil)
	}
}

// at answers requests to one host, and of one path where it is given.
func at(host, path string, handler http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.Host, host+".") || path != "" && r.URL.Path != path {
			return false
		}
		handler(w, r)
		return true
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// hangs never answers, not even a caller who gives up.
func hangs(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func TestAVDContract(t *testing.T) {
	everything := func(t *testing.T, address string) probes.Probe { return avdProbe(t, address, "", nil) }
	hanging := down("gateway hangs", "microsoft's front door fails: gateway (rdgateway.wvd.microsoft.com): connected, but no answer within", frontDoors(at("rdgateway", "", hangs)), probes.Timeout)
	hanging.Timeout = 500 * time.Millisecond
	hanging.Verify = func(t *testing.T, r probes.Result) {
		if !strings.HasPrefix(r.Detail, "microsoft's front door fails: gateway (rdgateway.wvd.microsoft.com): connected, but no answer within") {
			t.Errorf("detail is %q", r.Detail)
		}
		if !strings.Contains(fact(r, "broker"), "RDBroker is Healthy (https://rdbroker-weu-r1") {
			t.Errorf("the other front doors do not show that they answer: %v", r.Facts)
		}
	}
	probetest.Run(t, probetest.Case{
		Kind:   "avd",
		Good:   frontDoors(nil),
		Silent: func(t *testing.T) probes.Probe { return everything(t, probetest.Listen(t, probetest.Silence)) },
		Scenarios: append(probetest.Peers(everything), hanging,
			down("answer without end", "the service itself says", frontDoors(at("rdweb", "/api/health", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"Health":"RDWeb is Unhealthy"}`)
				for range 64 {
					_, _ = io.WriteString(w, strings.Repeat(" ", 1000))
				}
			})), probes.Content),
			down("certificate of another", "microsoft's 5 front doors fail", func(t *testing.T) probes.Probe {
				address, _ := azureTLS(t, doors(nil))
				return avdProbe(t, address, "", nil)
			}, probes.BadCertificate),
		),
	})
}

// TestAVDVerdicts states what each answer of a front door means.
func TestAVDVerdicts(t *testing.T) {
	health := func(answer http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
		return at("rdbroker", "/api/health", answer)
	}
	for name, c := range map[string]struct {
		answer  func(http.ResponseWriter, *http.Request) bool
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		"text for browsers":  {health(status(200, "RD Broker is Healthy")), probes.Up, "", ""},
		"throttled":          {health(status(429, "")), probes.Up, "", ""},
		"feed refuses":       {at("rdweb", "/api/arm/feeddiscovery", status(403, "")), probes.Up, "", ""},
		"unhealthy":          {health(status(200, `{"Health":"RDBroker is Unhealthy"}`)), probes.Down, probes.Content, `microsoft's front door fails: broker (rdbroker.wvd.microsoft.com): the service itself says "RDBroker is Unhealthy"`},
		"unhealthy, as text": {health(status(200, "RD Broker is not healthy")), probes.Down, probes.Content, `the service itself says "RD Broker is not healthy"`},
		"unavailable":        {health(status(503, "")), probes.Down, probes.Status, "broker (rdbroker.wvd.microsoft.com): status 503 Service Unavailable"},
		"feed fails":         {at("rdweb", "/api/arm/feeddiscovery", status(500, "")), probes.Down, probes.Status, "feed (rdweb.wvd.microsoft.com): status 500"},
		"two doors fail": {func(w http.ResponseWriter, r *http.Request) bool {
			return r.Host[2] == 'b' && health(status(502, ""))(w, r) || at("login", "", status(503, ""))(w, r)
		}, probes.Down, probes.Status, "2 of microsoft's 5 front doors fail: broker (rdbroker.wvd.microsoft.com): status 502 Bad Gateway; sign-in (login.microsoftonline.com): status 503"},
		"page of a proxy":    {health(status(200, "<html><title>Blocked</title>")), probes.Unknown, probes.Local, `broker (rdbroker.wvd.microsoft.com): what answers is not the health of the service (its title is "Blocked"): a proxy may answer`},
		"json of another":    {health(status(200, `{"ok":true}`)), probes.Unknown, probes.Local, "what answers is not the health"},
		"health not found":   {health(status(404, "")), probes.Unknown, probes.Local, "status 404 where the health of the service is expected"},
		"redirect":           {health(http.RedirectHandler("https://example.com/", http.StatusFound).ServeHTTP), probes.Unknown, probes.Local, "status 302 where the health"},
		"no such tenant":     {at("login", "", status(400, `{"error":"invalid_tenant","error_description":"AADSTS90002"}`)), probes.Degraded, probes.Functional, "sign-in (login.microsoftonline.com): microsoft entra knows no such tenant (400 invalid_tenant): check tenant_id"},
		"sign-in of another": {at("login", "", status(200, "<title>Wifi</title>")), probes.Unknown, probes.Local, `what answers is not microsoft's sign-in (its title is "Wifi")`},
		"mute and down": {func(w http.ResponseWriter, r *http.Request) bool {
			return health(status(404, ""))(w, r) || at("rdgateway", "", status(500, ""))(w, r)
		}, probes.Down, probes.Status, "gateway (rdgateway.wvd.microsoft.com): status 500"},
		"cut short": {health(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = io.WriteString(w, "{")
		}), probes.Down, probes.Content, "the answer (status 200) ended after 1 of 99 bytes"},
		"unknown tenant, a 500": {func(w http.ResponseWriter, r *http.Request) bool {
			return at("login", "", status(400, `{"error":"x"}`))(w, r) || at("rdgateway", "", status(500, ""))(w, r)
		}, probes.Down, probes.Status, "gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, frontDoors(c.answer)(t))
			kind, _ := probes.Lookup("avd")
			probetest.Check(t, kind, r)
			if r.Outcome != c.outcome || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %q: %s; want %s, %q: %s", r.Outcome, r.Reason, r.Detail, c.outcome, c.reason, c.detail)
			}
		})
	}
}

// run makes one run of 5 s at most.
func run(t testing.TB, p probes.Probe) probes.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return p.Probe(ctx)
}

// TestAVDCancelled states that trouble of the agent's own, at any front door, makes the whole run unknown.
func TestAVDCancelled(t *testing.T) {
	p := frontDoors(at("rdgateway", "", status(500, "")))(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := p.Probe(ctx); r.Outcome != probes.Unknown || r.Reason != probes.Local {
		t.Errorf("cancelled: %s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
}

// TestAVDHosts states which hosts each cloud is asked at, and that a gateway is asked besides.
func TestAVDHosts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "desktop.rdp")
	if err := os.WriteFile(file, utf16le("full address:s:x\r\ngatewayhostname:s:afdfp-rdgateway-r1.wvd.microsoft.com:443\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*probes.AVD)
		want []string
	}{
		"public":  {nil, []string{"broker=rdbroker.wvd.microsoft.com", "feed=rdweb.wvd.microsoft.com", "gateway=rdgateway.wvd.microsoft.com", "sign_in=login.microsoftonline.com", "web=rdweb.wvd.microsoft.com"}},
		"us-gov":  {func(p *probes.AVD) { p.Cloud = "us-gov" }, []string{"broker=rdbroker.wvd.azure.us", "feed=rdweb.wvd.azure.us", "gateway=rdgateway.wvd.azure.us", "sign_in=login.microsoftonline.us", "web=rdweb.wvd.azure.us"}},
		"china":   {func(p *probes.AVD) { p.Cloud = "china" }, []string{"broker=rdbroker.wvd.azure.cn", "feed=rdweb.wvd.azure.cn", "gateway=rdgateway.wvd.azure.cn", "sign_in=login.partner.microsoftonline.cn", "web=rdweb.wvd.azure.cn"}},
		"chosen":  {func(p *probes.AVD) { p.Doors = []string{"broker", "sign-in"} }, []string{"broker=rdbroker.wvd.microsoft.com", "sign_in=login.microsoftonline.com"}},
		"gateway": {func(p *probes.AVD) { p.Doors, p.Gateway = []string{"feed"}, "afdfp-rdgateway-r1.wvd.microsoft.com" }, []string{"feed=rdweb.wvd.microsoft.com", "regional_gateway=afdfp-rdgateway-r1.wvd.microsoft.com"}},
		"file":    {func(p *probes.AVD) { p.Doors, p.RDPFile = []string{"feed"}, file }, []string{"feed=rdweb.wvd.microsoft.com", "regional_gateway=afdfp-rdgateway-r1.wvd.microsoft.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			address, ca := azureTLS(t, doors(nil))
			r := run(t, avdProbe(t, address, ca, c.edit))
			var got []string
			for _, f := range r.Facts {
				host, _, _ := strings.Cut(f.Value, ":")
				got = append(got, f.Name+"="+host)
			}
			slices.Sort(got)
			if r.Outcome != probes.Up || !slices.Equal(got, c.want) {
				t.Errorf("%s (%s), asked %v, want %v", r.Outcome, r.Detail, got, c.want)
			}
		})
	}
}

func TestAVDConfiguration(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.rdp")
	if err := os.WriteFile(empty, []byte("full address:s:x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		probe probes.AVD
		want  string
	}{
		{probes.AVD{Cloud: "mars"}, "cloud: is no azure cloud (public, us-gov or china)"},
		{probes.AVD{Doors: []string{"broker", "window"}}, "doors[1]: is no front door (web, broker, gateway, feed or sign-in)"},
		{probes.AVD{TenantID: "a/b"}, "tenant_id: is not valid (write the tenant's id or its domain)"},
		{probes.AVD{Gateway: "https://gateway.example"}, "gateway: is not a host (write the host of gatewayhostname, without https://)"},
		{probes.AVD{Gateway: "gate way"}, "gateway: is not a host (write the host of gatewayhostname, without https://)"},
		{probes.AVD{Gateway: "a", RDPFile: "b"}, "rdp_file: gateway and rdp_file are both given (keep one of them)"},
		{probes.AVD{RDPFile: empty}, "rdp_file: " + empty + " names no gateway (gatewayhostname:s:) (save a desktop of the users as an .rdp file)"},
		{probes.AVD{CAFile: "/nowhere"}, "ca_file: open /nowhere: no such file or directory"},
	} {
		faults := c.probe.Validate()
		if len(faults) != 1 || faults[0].Error() != c.want {
			t.Errorf("faults are %v, want %s", faults, c.want)
		}
	}
}

func utf16le(text string) []byte {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

func TestParseGateway(t *testing.T) {
	for text, want := range map[string]string{
		"gatewayhostname:s:gw.example":                               "gw.example",
		"\xef\xbb\xbfGatewayHostName:S: gw.example:443 \r\n":         "gw.example:443",
		"full address:s:x\nalternate shell:s:gatewayhostname:s:no\n": "",
		"gatewayhostname:i:1\n":                                      "",
		"":                                                           "",
		"\xff\xfe":                                                   "",
		string(utf16le("a:i:1\r\ngatewayhostname:s:gw.example\r\n")): "gw.example",
	} {
		if got := probes.ParseGateway([]byte(text)); got != want {
			t.Errorf("%q names %q, want %q", text, got, want)
		}
	}
}

func FuzzParseGateway(f *testing.F) {
	f.Add([]byte("full address:s:x\r\ngatewayhostname:s:gw.example:443\r\n"))
	f.Add(utf16le("gatewayhostname:s:gw.example\r\n"))
	f.Add([]byte("\xfe\xff\x00g\x00a"))
	f.Fuzz(func(t *testing.T, content []byte) {
		got := probes.ParseGateway(content)
		if strings.TrimSpace(got) != got || strings.ContainsAny(got, "\n") {
			t.Errorf("the gateway is %q", got)
		}
		p := &probes.AVD{Gateway: got}
		if got == "" || len(p.Validate()) > 0 {
			return
		}
		if host, _, err := net.SplitHostPort(got); err == nil && strings.ContainsAny(host, "/?#@ ") {
			t.Errorf("the gateway %q is believed", got)
		}
	})
}
