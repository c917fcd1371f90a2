package probes_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

// Credentials, secret headers, cookies of the host and the body never reach another host, whatever the first one says.
func TestHTTPRedirectToAnotherHost(t *testing.T) {
	got := make(chan *http.Request, 1)
	other := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request) { got <- r })
	_, port := hostPort(other)
	for name, to := range map[string]string{"other port": other, "other name": "http://localhost:" + port, "with credentials": "http://a:b@localhost:" + port} {
		t.Run(name, func(t *testing.T) {
			url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				if _, password, _ := r.BasicAuth(); password != "hunter2" || r.Header.Get("X-Api-Key") != "hunter2" {
					t.Errorf("the configured host got the headers %v", r.Header)
				}
				w.Header().Set("Set-Cookie", "session=hunter2")
				http.Redirect(w, r, to+"/elsewhere", http.StatusMovedPermanently)
			})
			r := httpProbe(t, url, func(p *probes.HTTP) {
				p.User, p.Password = "probe", secret.New("hunter2")
				p.Headers = map[string]secret.Value{"X-Api-Key": secret.New("hunter2"), "Accept": secret.New("text/html"), "Host": secret.New("web.example")}
			}).Probe(t.Context())
			if r.Outcome != probes.Up {
				t.Fatalf("%s: %s", r.Outcome, r.Detail)
			}
			request := <-got
			names := []string{}
			for header := range request.Header {
				names = append(names, header)
			}
			slices.Sort(names)
			// A cookie without a domain belongs to a host name whatever the port (RFC 6265 section 8.5).
			want := "Accept,Accept-Encoding,Connection,User-Agent"
			if name == "other port" {
				want = "Accept,Accept-Encoding,Connection,Cookie,User-Agent"
			}
			if all := strings.Join(names, ","); all != want {
				t.Errorf("the other host got %v, want only %s", request.Header, want)
			}
			if request.Host == "web.example" {
				t.Error("the other host got the configured host's name")
			}
			if url := fact(r, "url"); !strings.HasSuffix(url, "/elsewhere") || strings.Contains(url, "@") {
				t.Errorf("fact url is %q", url)
			}
		})
	}
}

func TestHTTPRedirectRules(t *testing.T) {
	ca := newAuthority(t, days(900))
	plain := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+string(body)+" "+r.Header.Get("Cookie"))
	})
	mux := http.NewServeMux()
	redirect := func(path, to string, status int) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.Header().Add("Set-Cookie", "session=1")
			w.WriteHeader(status)
		})
	}
	redirect("/ftp", "ftp://web.example/", 302)
	redirect("/script", "javascript:alert(1)", 302)
	redirect("/bad", "http://%zz/", 302)
	redirect("/down", plain, 302)
	redirect("/see", "/method", 303)
	redirect("/found", "/method", 302)
	redirect("/keep", "/method", 307)
	redirect("/away", plain, 307)
	mux.HandleFunc("/method", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+string(body)+" "+r.Header.Get("Cookie"))
	})
	url := serveTLS(t, serverTLS(ca.issue(t, nil)), false, mux)
	post := func(p *probes.HTTP) { p.Method, p.Body = "POST", secret.New("order") }
	for _, c := range []struct {
		name, path string
		edit       func(*probes.HTTP)
		want       string // in the detail; "" is up
	}{
		{"other scheme", "/ftp", nil, `status 302: redirects to a "ftp" address`},
		{"script", "/script", nil, `redirects to a "javascript" address`},
		{"not an address", "/bad", nil, "redirects to what is not an address"},
		{"downgrade", "/down", nil, "redirects from https to http"},
		{"downgrade allowed", "/down", func(p *probes.HTTP) { p.AllowDowngrade, p.Expect.Body = true, "GET  " }, ""},
		{"not followed", "/see", func(p *probes.HTTP) { p.Redirects = 0 }, "status 303 See Other, expected 2xx"},
		{"post becomes get, with cookie", "/see", func(p *probes.HTTP) { post(p); p.Expect.Body = "GET  session=1" }, ""},
		{"so does found", "/found", func(p *probes.HTTP) { post(p); p.Expect.Body = "GET  session=1" }, ""},
		{"temporary keeps the body", "/keep", func(p *probes.HTTP) { post(p); p.Expect.Body = "POST order session=1" }, ""},
		{"but not for another host", "/away", func(p *probes.HTTP) { post(p); p.AllowDowngrade = true }, "asks to send the request's body to another host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httpProbe(t, url+c.path, func(p *probes.HTTP) {
				p.CAFile = ca.File
				if c.edit != nil {
					c.edit(p)
				}
			}).Probe(t.Context())
			if (c.want == "") != (r.Outcome == probes.Up) || !strings.Contains(r.Detail, c.want) {
				t.Errorf("%s, %s: %s; want %q (body %q)", r.Outcome, r.Reason, r.Detail, c.want, fact(r, "body"))
			}
			if c.want != "" && r.Reason != probes.Status {
				t.Errorf("reason is %s, want status", r.Reason)
			}
		})
	}
}

// The same host on another port than its scheme's own is another host: neither credentials nor server_name go there.
func TestHTTPRedirectToAnotherPort(t *testing.T) {
	ca := newAuthority(t, days(900))
	secured := serveTLS(t, serverTLS(ca.issue(t, nil)), false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "authorization: "+r.Header.Get("Authorization"))
	}))
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, secured, http.StatusFound) })
	r := httpProbe(t, url, func(p *probes.HTTP) {
		p.CAFile, p.ServerName, p.BearerToken, p.RejectBody = ca.File, "only.for.the.first.host", secret.New("hunter2"), "hunter2"
	}).Probe(t.Context())
	if r.Outcome != probes.Up {
		t.Error(r.Detail)
	}
}
