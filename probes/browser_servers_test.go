//go:build servers

package probes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/chromium"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

const (
	// patience is the time of runs that end by themselves; short is that of runs that wait for what never comes.
	patience = 2 * time.Minute
	short    = 5 * time.Second
)

// browser returns a valid probe of Debian's Chromium, one for all tests; its process dies with this one.
func browser(t testing.TB, b probes.Browser) *probes.Browser {
	t.Helper()
	b.Chromium, b.Screenshot = servers.Chromium(t), true
	return valid(t, &b).(*probes.Browser)
}

// visit runs a probe once and checks the result.
func visit(t testing.TB, p *probes.Browser, within time.Duration) probes.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	r := p.Probe(ctx)
	kind, _ := probes.Lookup("browser")
	if tt, ok := t.(*testing.T); ok {
		probetest.Check(tt, kind, r)
	}
	return r
}

// webPage answers every request with a document.
func webPage(t testing.TB, html string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, html)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const loginPage = `<!doctype html><title>Perfion</title><form id=login action=/in method=post>
<input name=user><input name=password type=password><button>Log in</button></form><img src=/logo.png>`

func TestBrowserContract(t *testing.T) {
	// The browser outlives the runs: it is started before what they leave behind is counted.
	warm := browser(t, probes.Browser{URL: webPage(t, loginPage)})
	if r := visit(t, warm, patience); r.Outcome != probes.Up {
		t.Fatalf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
	probetest.Run(t, probetest.Case{
		Kind:  "browser",
		Heavy: true,
		Good: func(t *testing.T) probes.Probe {
			n := servers.StartNginx(t, servers.NginxOptions{})
			serveFile(t, n, "index.html", loginPage)
			return browser(t, probes.Browser{URL: n.URL() + "/", Visible: "#login"})
		},
		Silent: func(t *testing.T) probes.Probe {
			return browser(t, probes.Browser{URL: "http://" + probetest.Listen(t, probetest.Silence) + "/", Visible: "#login"})
		},
		Scenarios: append(probetest.Peers(func(t *testing.T, address string) probes.Probe {
			return browser(t, probes.Browser{URL: "http://" + address + "/", Visible: "#login"})
		}), hostilePages()...),
	})
}

// serveFile makes nginx serve a file of its root, and no fixed answer.
func serveFile(t testing.TB, n *servers.Nginx, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(n.Root, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Restart(t, "location / { index index.html; }")
}

// hostilePages are pages that would fill the memory of who listens to them, or never come to rest.
func hostilePages() []probetest.Scenario {
	on := func(script string) probetest.Target {
		return func(t *testing.T) probes.Probe {
			const soon = `setTimeout(() => document.body.insertAdjacentHTML('beforeend', '<p id=login>in</p>'), 500);`
			return browser(t, probes.Browser{URL: webPage(t, "<!doctype html><title>bad</title><body><script>"+soon+script+"</script>"), Visible: "#login"})
		}
	}
	up := func(name, script string) probetest.Scenario {
		return probetest.Scenario{Name: name, Timeout: patience / 10, Target: on(script), Outcome: probes.Up}
	}
	return []probetest.Scenario{
		up("long message", `console.error('x'.repeat(20 << 20))`),
		up("many messages", `setInterval(() => { for (let i = 0; i < 200; i++) console.error('x'.repeat(5000)) })`),
		up("long title", `document.title = 'x'.repeat(20 << 20)`),
		up("many requests", `setInterval(() => { for (let i = 0; i < 50; i++) fetch('/' + 'x'.repeat(3000) + i + Math.random()).catch(() => 0) }, 20)`),
		up("dialogues without end", `setInterval(() => alert('x'.repeat(1 << 20)))`),
		{Name: "script without end", Timeout: short / 10, Target: on(`for (;;);`), Outcome: probes.Down, Reasons: []probes.Reason{probes.Timeout, probes.Content}},
	}
}

func TestBrowserPages(t *testing.T) {
	silent := "http://" + probetest.Listen(t, probetest.Silence)
	cases := []struct {
		name    string
		probe   probes.Browser
		within  time.Duration
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
		fact    string // name=part of its value
	}{
		{"log-in form", probes.Browser{URL: webPage(t, loginPage), Visible: "#login", Text: "Log in"}, patience, probes.Up, probes.None, "", "title=Perfion"},
		{"in a shadow root", probes.Browser{URL: webPage(t, `<title>x</title><div id=h></div><script>h.attachShadow({mode:'open'}).innerHTML='<p id=login>in</p>'</script>`), Visible: "#login"}, patience, probes.Up, probes.None, "", "status=200"},
		{"late marker", probes.Browser{URL: webPage(t, `<body><script>setTimeout(() => document.body.innerHTML = '<p id=login>in</p>', 300)</script>`), Visible: "#login"}, patience, probes.Up, probes.None, "", "status=200"},
		{"hidden marker", probes.Browser{URL: webPage(t, `<title>T1</title><p id=login style="visibility:hidden">in</p>`), Visible: "#login"}, short, probes.Down, probes.Content, `#login is not visible within`, "title=T1"},
		{"script error", probes.Browser{URL: webPage(t, `<h1>Hi</h1><script>console.error('no', {a: 1}); throw new Error('boom')</script>`), Visible: "h1"}, patience, probes.Up, probes.None, "", "script_errors=Error: boom"},
		{"console error", probes.Browser{URL: webPage(t, `<h1>Hi</h1><script>console.error('no backend')</script>`), Visible: "h1"}, patience, probes.Up, probes.None, "", "console_errors=no backend"},
		{"never finishes, yet visible", probes.Browser{URL: webPage(t, `<h1>Hi</h1><img src="`+silent+`/a.png">`), Visible: "h1"}, patience, probes.Up, probes.None, "", "status=200"},
		{"never finishes", probes.Browser{URL: webPage(t, `<h1>Hi</h1><img src="`+silent+`/a.png?k=secret">`)}, short, probes.Down, probes.Timeout, "still loading " + silent + "/a.png", "still_loading=/a.png"},
		{"no such page", probes.Browser{URL: notFound(t), Visible: "h1"}, patience, probes.Down, probes.Status, "status 404 Not Found instead of the page", ""},
		{"bad selector", probes.Browser{URL: webPage(t, "<h1>Hi"), Visible: "h1["}, patience, probes.Unknown, probes.Internal, `"h1[" is no css selector`, ""},
		{"nobody listens", probes.Browser{URL: "http://" + probetest.Closed(t)}, patience, probes.Down, probes.Refused, "the server refuses the connection", "error=ERR_CONNECTION_REFUSED"},
		{"a download", probes.Browser{URL: download(t)}, patience, probes.Down, probes.Content, "the answer is no page", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := visit(t, browser(t, c.probe), c.within)
			if r.Outcome != c.outcome || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %s: %s; want %s, %s: %s", r.Outcome, r.Reason, r.Detail, c.outcome, c.reason, c.detail)
			}
			if name, part, _ := strings.Cut(c.fact, "="); !strings.Contains(fact(r, name), part) {
				t.Errorf("fact %s is %q, want %q in it (all: %v)", name, fact(r, name), part, r.Facts)
			}
			attached(t, r)
		})
	}
}

// attached wants evidence of every run that is down, and none of one that is up.
func attached(t *testing.T, r probes.Result) {
	t.Helper()
	if r.Outcome == probes.Up {
		if len(r.Attachments) > 0 {
			t.Error("a run that is up keeps files")
		}
		return
	}
	seen := map[string]bool{}
	for _, a := range r.Attachments {
		seen[a.Name] = true
		switch a.Name {
		case "screenshot.jpg":
			if _, err := jpeg.Decode(bytes.NewReader(a.Content)); err != nil {
				t.Errorf("the picture is none: %v", err)
			}
		case "requests.har":
			var file struct{ Log struct{ Entries []any } }
			if err := json.Unmarshal(a.Content, &file); err != nil || len(file.Log.Entries) == 0 {
				t.Errorf("the archive has no entries: %v", err)
			}
			if bytes.Contains(a.Content, []byte("k=secret")) {
				t.Error("the archive holds the value of a query")
			}
		}
	}
	if !seen["requests.har"] || !seen["screenshot.jpg"] && r.Reason != probes.Refused {
		t.Errorf("files are %v, want an archive and a picture", seen)
	}
}

func notFound(t testing.TB) string {
	n := servers.StartNginx(t, servers.NginxOptions{Locations: "location / { return 404; }"})
	return n.URL() + "/"
}

func download(t testing.TB) string {
	n := servers.StartNginx(t, servers.NginxOptions{Locations: `location / { default_type application/zip; return 200 "PK"; }`})
	return n.URL() + "/"
}

func TestBrowserRedirects(t *testing.T) {
	foreign := webPage(t, `<title>Sign in to your account</title><h1>Sign in</h1>`)
	elsewhere := strings.Replace(foreign, "127.0.0.1", "localhost", 1)
	n := servers.StartNginx(t, servers.NginxOptions{Locations: `location / { return 302 ` + elsewhere + `/login?state=abc; }`})
	r := visit(t, browser(t, probes.Browser{URL: n.URL(), Visible: "h1"}), patience)
	if r.Reason != probes.Content || !strings.Contains(r.Detail, "the page ends at localhost:") || !strings.Contains(r.Detail, "Sign in to your account") {
		t.Errorf("a page that ends elsewhere is %s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
	if !strings.Contains(fact(r, "redirects"), " > http://localhost:") || strings.Contains(fact(r, "redirects"), "abc") {
		t.Errorf("redirects are %q", fact(r, "redirects"))
	}
	r = visit(t, browser(t, probes.Browser{URL: n.URL(), Visible: "h1", Hosts: []string{"localhost"}}), patience)
	if r.Outcome != probes.Up {
		t.Errorf("a page that ends where it may is %s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
}

func TestBrowserCertificates(t *testing.T) {
	servers.Certutil(t)
	ca := servers.SelfSigned(t, servers.CertOptions{CommonName: "ACME CA", CA: true})
	start := func(o servers.CertOptions) string {
		o.Issuer = ca
		n := servers.StartNginx(t, servers.NginxOptions{HTTPS: []int{servers.FreePort(t)}, Cert: servers.SelfSigned(t, o), Locations: `location / { return 200 "<h1>Hi</h1>"; }`})
		return n.URL() + "/"
	}
	good := start(servers.CertOptions{})
	r := visit(t, browser(t, probes.Browser{URL: good, Visible: "h1", CAFile: ca.CertFile}), patience)
	if r.Outcome != probes.Up || r.Certificate == nil {
		t.Fatalf("a page of an own authority is %s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
	if days, ok := r.Number(probes.CertificateDays); !ok || days.Value <= 0 || days.Value > 1 {
		t.Errorf("days left are %v", days)
	}
	if _, ok := r.Phase(probes.PhaseTLS); !ok {
		t.Errorf("no phase tls in %v", r.Phases)
	}
	for name, c := range map[string]struct {
		url, ca, detail string
	}{
		"not trusted": {good, "", "signed by an authority that is not trusted"},
		"expired":     {start(servers.CertOptions{NotBefore: time.Now().Add(-96 * time.Hour), NotAfter: time.Now().Add(-72 * time.Hour)}), ca.CertFile, "expired 3 days ago"},
		"other name":  {start(servers.CertOptions{Hosts: []string{"other.example"}}), ca.CertFile, "certificate is for other.example, not for 127.0.0.1"},
	} {
		r := visit(t, browser(t, probes.Browser{URL: c.url, Visible: "h1", CAFile: c.ca}), patience)
		if r.Reason != probes.BadCertificate || !strings.Contains(r.Detail, c.detail) || r.Certificate == nil {
			t.Errorf("%s: %s, %s: %s", name, r.Outcome, r.Reason, r.Detail)
		}
	}
}

// TestBrowserSlowServer has a server that answers after five seconds.
func TestBrowserSlowServer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(5 * time.Second):
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, loginPage)
	}))
	t.Cleanup(s.Close)
	r := visit(t, browser(t, probes.Browser{URL: s.URL, Visible: "#login"}), patience)
	if first, _ := r.Phase(probes.PhaseFirstByte); r.Outcome != probes.Up || first < 4900*time.Millisecond {
		t.Errorf("%s, %s: %s; phases %v", r.Outcome, r.Reason, r.Detail, r.Phases)
	}
	if n, _ := r.Number(probes.FirstByte); n.Value < 4.9 {
		t.Errorf("time to the first byte is %v", n)
	}
}

// TestBrowserKilled states that a browser that dies in the middle of a run is the agent's matter, and that the next run has another.
func TestBrowserKilled(t *testing.T) {
	asked := make(chan bool, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- true
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	p := browser(t, probes.Browser{URL: s.URL})
	done := make(chan probes.Result)
	go func() { done <- visit(t, p, patience) }()
	<-asked
	pid, err := chromium.For(probes.OptionsOf(p)).PID()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.Outcome != probes.Unknown || r.Reason != probes.Local || !strings.Contains(r.Detail, "chromium ended") {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
	if r := visit(t, browser(t, probes.Browser{URL: webPage(t, "<h1>Hi")}), patience); r.Outcome != probes.Up {
		t.Errorf("the next run is %s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
}

func TestBrowserWithoutChromium(t *testing.T) {
	p := valid(t, &probes.Browser{URL: "https://acme.example", Chromium: "/nowhere/chromium"}).(*probes.Browser)
	if !strings.Contains(p.Missing(), "/nowhere/chromium") {
		t.Errorf("missing is %q", p.Missing())
	}
	if r := visit(t, p, patience); r.Outcome != probes.Unknown || r.Reason != probes.Local || !strings.Contains(r.Detail, "install it") {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
}
