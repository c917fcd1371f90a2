package probes_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

// serveTLS serves handler with a TLS configuration until t ends.
func serveTLS(t *testing.T, config *tls.Config, http2 bool, handler http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS, server.EnableHTTP2 = config, http2
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func serverTLS(certs ...tls.Certificate) *tls.Config { return &tls.Config{Certificates: certs} }

// What an answer means, for every kind of expectation.
func TestHTTPVerdict(t *testing.T) {
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.Header().Set("X-App", "perfion 5.4")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html><TITLE>Welcome to\n nginx!</TITLE><p>id 42</html>")
	})
	for _, c := range []struct {
		name    string
		path    string
		edit    func(*probes.HTTP)
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		{"any 2xx", "/204", nil, probes.Up, probes.None, ""},
		{"server error", "/503", nil, probes.Down, probes.Status, "status 503 Service Unavailable, expected 2xx"},
		{"unknown status", "/599", nil, probes.Down, probes.Status, "status 599, expected 2xx"},
		{"not the wanted status", "/200", func(p *probes.HTTP) { p.Expect.Status = []int{201, 202} }, probes.Down, probes.Status, "status 200 OK, expected 201 202"},
		{"the wanted status", "/404", func(p *probes.HTTP) { p.Expect.Status = []int{404} }, probes.Up, probes.None, ""},
		{"text there", "/", func(p *probes.HTTP) { p.Expect.Body = "id 42" }, probes.Up, probes.None, ""},
		{"text is no pattern", "/", func(p *probes.HTTP) { p.Expect.Body = "id .." }, probes.Down, probes.Content, `answers 200, but is not the expected page: "id .." is not in it (its title is "Welcome to nginx!")`},
		{"pattern matches", "/", func(p *probes.HTTP) { p.Expect.BodyRegexp = `id \d+` }, probes.Up, probes.None, ""},
		{"pattern does not match", "/", func(p *probes.HTTP) { p.Expect.BodyRegexp = `id \d{3}` }, probes.Down, probes.Content, "nothing in it matches"},
		{"rejected text", "/", func(p *probes.HTTP) { p.RejectBody = "nginx" }, probes.Down, probes.Content, `"nginx" is in it`},
		{"header there", "/", func(p *probes.HTTP) { p.Expect.Headers = map[string]string{"x-app": "5."} }, probes.Up, probes.None, ""},
		{"header missing", "/", func(p *probes.HTTP) { p.Expect.Headers = map[string]string{"x-other": ""} }, probes.Down, probes.Content, "without the header x-other"},
		{"header with another text", "/", func(p *probes.HTTP) { p.Expect.Headers = map[string]string{"x-app": "6."} }, probes.Down, probes.Content, `holding "6."`},
		{"refused credential, not declared", "/401", nil, probes.Down, probes.Status, "status 401"},
		{"refused credential, declared", "/401", func(p *probes.HTTP) { p.Functional.Status = []int{401, 403} }, probes.Degraded, probes.Auth, "refuses the probe's credential"},
		{"wrong request, declared", "/422", func(p *probes.HTTP) { p.Functional.Status = []int{422} }, probes.Degraded, probes.Functional, "status 422, declared functional"},
		{"functional text in a good answer", "/", func(p *probes.HTTP) { p.Functional.Body = "id 42" }, probes.Degraded, probes.Functional, "declared functional"},
		{"functional status with another text", "/500", func(p *probes.HTTP) {
			p.Functional = probes.HTTPFunctional{Status: []int{500}, Body: "licence"}
		}, probes.Down, probes.Status, "status 500"},
		{"cut at max_body", "/", func(p *probes.HTTP) { p.MaxBody, p.Expect.Body = 10, "id 42" }, probes.Down, probes.Content, "is not in it"},
		{"redirect wanted", "/302", func(p *probes.HTTP) { p.Expect.Status = []int{302} }, probes.Up, probes.None, ""},
		{"redirect without location", "/302", nil, probes.Down, probes.Status, "status 302 Found, expected 2xx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httpProbe(t, url+c.path, c.edit).Probe(t.Context())
			if r.Outcome != c.outcome || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %s, %q; want %s, %s, %q", r.Outcome, r.Reason, r.Detail, c.outcome, c.reason, c.detail)
			}
			kind, _ := probes.Lookup("http")
			probetest.Check(t, kind, r)
		})
	}
}

// TestHTTPDescribe states that the evidence of a good answer is kept where it is wanted, and only there.
func TestHTTPDescribe(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<title>Perfion</title>") }))
	t.Cleanup(server.Close)
	for _, wanted := range []bool{false, true} {
		p := &probes.HTTP{URL: server.URL, MaxBody: 1 << 10, Version: "auto", Describe: wanted}
		if faults := p.Validate(); len(faults) > 0 {
			t.Fatal(faults)
		}
		r := p.Probe(t.Context())
		if r.Outcome != probes.Up || slices.Contains(r.Facts, probes.Fact{Name: "title", Value: "Perfion"}) != wanted {
			t.Errorf("wanted %t: %+v", wanted, r)
		}
	}
}

// Certificates are judged and noted whether they verify or not, and whether that matters or not.
func TestHTTPSCertificates(t *testing.T) {
	ca := newAuthority(t, days(900))
	for _, c := range []struct {
		name    string
		cert    func(*x509.Certificate)
		edit    func(*probes.HTTP)
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		{"good", nil, nil, probes.Up, probes.None, ""},
		{"expired", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = days(-9), days(-3) }, nil, probes.Down, probes.BadCertificate, "certificate expired 2 days ago"},
		{"expired, but accepted", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = days(-9), days(-3) }, func(p *probes.HTTP) { p.InsecureSkipVerify = true }, probes.Up, probes.None, ""},
		{"not trusted", nil, func(p *probes.HTTP) { p.CAFile = "" }, probes.Down, probes.BadCertificate, "not trusted"},
		{"wrong name", nil, func(p *probes.HTTP) { p.ServerName = "web.example" }, probes.Down, probes.BadCertificate, "not for web.example"},
		{"other name", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"web.example"}, nil }, func(p *probes.HTTP) { p.ServerName = "web.example" }, probes.Up, probes.None, ""},
		{"near expiry", func(c *x509.Certificate) { c.NotAfter = days(3) }, func(p *probes.HTTP) { p.ExpiresWithin = 21 * 24 * time.Hour }, probes.Up, probes.None, ""},
		{"no http/2", nil, func(p *probes.HTTP) { p.Version = "http2" }, probes.Down, probes.Protocol, "does not offer http/2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httpProbe(t, serveTLS(t, serverTLS(ca.issue(t, c.cert)), false, http.NotFoundHandler()), func(p *probes.HTTP) {
				p.CAFile, p.Expect.Status = ca.File, []int{404}
				if c.edit != nil {
					c.edit(p)
				}
			}).Probe(t.Context())
			if r.Outcome != c.outcome || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %s, %q; want %s, %s, %q", r.Outcome, r.Reason, r.Detail, c.outcome, c.reason, c.detail)
			}
			if r.Certificate == nil {
				t.Error("the certificate is not noted")
			}
			if n, ok := r.Number(probes.CertificateDays); ok != (r.Outcome != probes.Down || r.Reason == probes.Protocol) || ok && time.Duration(n.Value*24*float64(time.Hour)) > time.Until(r.Certificate.NotAfter)+time.Minute {
				t.Errorf("numbers are %+v", r.Numbers)
			}
		})
	}
}

// A client certificate is read at each handshake; when its file has gone, that is this host's fault.
func TestHTTPSClientCertificate(t *testing.T) {
	ca := newAuthority(t, days(900))
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	config := serverTLS(ca.issue(t, nil))
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, pool
	url := serveTLS(t, config, false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	certFile, keyFile := files(t, ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "probe of acme" }))
	p := httpProbe(t, url, func(p *probes.HTTP) {
		p.CAFile, p.CertFile, p.KeyFile, p.Expect.Body = ca.File, certFile, keyFile, "probe of acme"
	})
	if r := p.Probe(t.Context()); r.Outcome != probes.Up {
		t.Errorf("with a client certificate: %s, %s", r.Outcome, r.Detail)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if r := p.Probe(t.Context()); r.Outcome != probes.Unknown || r.Reason != probes.Local {
		t.Errorf("without its file: %s, %s, %s", r.Outcome, r.Reason, r.Detail)
	}
	r := httpProbe(t, url, func(p *probes.HTTP) { p.CAFile = ca.File }).Probe(t.Context())
	if r.Outcome != probes.Down || r.Reason != probes.TLS || !strings.Contains(r.Detail, "certificate required") {
		t.Errorf("without a client certificate: %s, %s, %s", r.Outcome, r.Reason, r.Detail)
	}
}

// A proxy that is not there or refuses this agent says nothing about the target; one that cannot reach the target does.
func TestHTTPProxy(t *testing.T) {
	proxy := func(status int) string {
		return "http://user:hunter22@" + strings.TrimPrefix(serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Proxy-Authorization") != "Basic dXNlcjpodW50ZXIyMg==" {
				status = http.StatusTeapot
			}
			w.WriteHeader(status)
		}), "http://")
	}
	for _, c := range []struct {
		name, url, proxy string
		outcome          probes.Outcome
		reason           probes.Reason
		detail           string
	}{
		{"plain", "http://web.example/", proxy(200), probes.Up, probes.None, ""},
		{"not there", "https://web.example/", "http://user:hunter22@" + probetest.Closed(t), probes.Unknown, probes.Local, "the proxy cannot be reached"},
		{"not for us", "https://web.example/", proxy(407), probes.Unknown, probes.Local, "answers 407 to CONNECT: check the proxy's credentials"},
		{"target not there", "https://web.example/", proxy(502), probes.Down, probes.Unreachable, "answers 502 to CONNECT: it cannot reach the target"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httpProbe(t, c.url, func(p *probes.HTTP) { p.Proxy = secret.New(c.proxy) }).Probe(t.Context())
			if r.Outcome != c.outcome || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %s, %q; want %s, %s, %q", r.Outcome, r.Reason, r.Detail, c.outcome, c.reason, c.detail)
			}
			tellsNothing(t, r, "hunter22")
		})
	}
}

// tellsNothing demands that no secret is anywhere in a result.
func tellsNothing(t *testing.T, r probes.Result, secrets ...string) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		if strings.Contains(string(text), s) {
			t.Errorf("the result tells %q: %s", s, text)
		}
	}
}

// The target sends back everything that it was sent; the result must not.
func TestHTTPSecrets(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Server", r.Header.Get("Authorization")+r.Header.Get("X-Api-Key"))
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintf(w, "<title>%s</title> %v %s %s", r.Header.Get("X-Api-Key"), r.Header, body, r.URL)
		_, _ = io.WriteString(w, " session=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N")
	}
	url := serveHTTP(t, echo)
	for name, edit := range map[string]func(*probes.HTTP){
		"basic":  func(p *probes.HTTP) { p.User, p.Password = "probe", secret.New("hunter2-pw") },
		"bearer": func(p *probes.HTTP) { p.BearerToken = secret.New("hunter2-token") },
		"header": func(p *probes.HTTP) {
			p.Headers = map[string]secret.Value{"X-Api-Key": secret.New("hunter2-key"), "Accept": secret.New("text/html")}
		},
		"body":  func(p *probes.HTTP) { p.Method, p.Body = "POST", secret.New("password=hunter2-body") },
		"query": func(p *probes.HTTP) { p.URL += "/?code=hunter2-function-key" },
	} {
		t.Run(name, func(t *testing.T) {
			r := httpProbe(t, url, edit).Probe(t.Context())
			if r.Reason != probes.Status || fact(r, "body") == "" {
				t.Fatalf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
			}
			tellsNothing(t, r, "hunter2", "cHJvYmU6aHVudGVyMi1wdw", "eyJhbGci")
		})
	}
	closed := "http://" + probetest.Closed(t) + "/?code=hunter2-function-key"
	tellsNothing(t, httpProbe(t, closed, nil).Probe(t.Context()), "hunter2")
}

// A refused log-on is the application's matter and is not repeated, so that no account is locked; the host goes on being watched.
func TestHTTPRefusedCredential(t *testing.T) {
	var logons, failing atomic.Int32
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			logons.Add(1)
		}
		w.WriteHeader([]int{http.StatusUnauthorized, http.StatusBadGateway}[failing.Load()])
	})
	for _, c := range []struct {
		name   string
		edit   func(*probes.HTTP)
		logons int32
		reason probes.Reason
	}{
		{"password", func(p *probes.HTTP) { p.User, p.Password = "probe", secret.New("hunter2") }, 1, probes.Auth},
		{"token", func(p *probes.HTTP) { p.BearerToken = secret.New("hunter2") }, 3, probes.Auth},
		{"none", nil, 0, probes.Status},
	} {
		t.Run(c.name, func(t *testing.T) {
			logons.Store(0)
			failing.Store(0)
			p := httpProbe(t, url, c.edit)
			for range 2 {
				if r := p.Probe(t.Context()); r.Reason != c.reason {
					t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
				}
			}
			failing.Store(1)
			if r := p.Probe(t.Context()); r.Outcome != probes.Down || r.Reason != probes.Status {
				t.Errorf("the host fails, and the result is %s, %s: %s", r.Outcome, r.Reason, r.Detail)
			}
			if logons.Load() != c.logons {
				t.Errorf("the credential was sent %d times, want %d", logons.Load(), c.logons)
			}
		})
	}
}

func TestHTTPFaults(t *testing.T) {
	good := probes.HTTP{URL: "https://web.example/", MaxBody: 1 << 20}
	for want, edit := range map[string]func(*probes.HTTP){
		"url: does not begin with":       func(p *probes.HTTP) { p.URL = "ftp://web.example/" },
		"url: has no host":               func(p *probes.HTTP) { p.URL = "https:///x" },
		"url: is not an address":         func(p *probes.HTTP) { p.URL = "https://%zz/" },
		"url: holds credentials":         func(p *probes.HTTP) { p.URL = "https://u:hunter2@web.example/" },
		"version: http2 needs https":     func(p *probes.HTTP) { p.URL, p.Version = "http://web.example/", "http2" },
		"method: is not":                 func(p *probes.HTTP) { p.Method = "GET /" },
		"headers: Bad Name is not":       func(p *probes.HTTP) { p.Headers = map[string]secret.Value{"Bad Name": secret.New("x")} },
		"headers: X-A is not":            func(p *probes.HTTP) { p.Headers = map[string]secret.Value{"X-A": secret.New("hunter2\r\nX-B: c")} },
		"headers: Content-Length is set": func(p *probes.HTTP) { p.Headers = map[string]secret.Value{"content-length": secret.New("3")} },
		"password: has no user":          func(p *probes.HTTP) { p.Password = secret.New("hunter2") },
		"has more than one credential":   func(p *probes.HTTP) { p.User, p.BearerToken = "u", secret.New("hunter2") },
		"bearer_token: holds a line":     func(p *probes.HTTP) { p.BearerToken = secret.New("hunter2\n") },
		"redirects: is not between":      func(p *probes.HTTP) { p.Redirects = 51 },
		"expect.status: 999 is not":      func(p *probes.HTTP) { p.Expect.Status = []int{200, 999} },
		"functional.status: 100 is not":  func(p *probes.HTTP) { p.Functional.Status = []int{100} },
		"expect.body_regexp: error":      func(p *probes.HTTP) { p.Expect.BodyRegexp = "(" },
		"expect.headers: a b is not":     func(p *probes.HTTP) { p.Expect.Headers = map[string]string{"a b": ""} },
		"max_body: is not between":       func(p *probes.HTTP) { p.MaxBody = 0 },
		"expires_within: is negative":    func(p *probes.HTTP) { p.ExpiresWithin = -time.Hour },
		"proxy: is not the address":      func(p *probes.HTTP) { p.Proxy = secret.New("hunter2:8080") },
		"key_file: cert_file and":        func(p *probes.HTTP) { p.CertFile = "a.pem" },
		"cert_file: cannot be used":      func(p *probes.HTTP) { p.CertFile, p.KeyFile = "/nowhere/a.pem", "/nowhere/b.pem" },
		"ca_file: open /nowhere":         func(p *probes.HTTP) { p.CAFile = "/nowhere/ca.pem" },
	} {
		p := good
		edit(&p)
		faults := p.Validate()
		if len(faults) != 1 || !strings.Contains(faults[0].Error(), want) || strings.Contains(faults[0].Error(), "hunter2") {
			t.Errorf("faults are %v, want one: %s", faults, want)
		}
	}
	if r := new(probes.HTTP).Probe(t.Context()); r.Outcome != probes.Unknown || r.Reason != probes.Internal {
		t.Errorf("a probe that was not validated is %s, %s", r.Outcome, r.Reason)
	}
}

func hostPort(url string) (host, port string) {
	host, port, _ = net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://"))
	return host, port
}
