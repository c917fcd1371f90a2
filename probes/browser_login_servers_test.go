//go:build servers

package probes_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

const goodPassword = "Pä55 wörd'\"<3"

// webApp is a web application with a log-in of its own: a form, or a script that asks the server.
type webApp struct {
	*httptest.Server
	attempts atomic.Int32 // passwords that were sent
	left     atomic.Int32 // log-outs
	hang     atomic.Bool  // the log-in is not answered
	broken   atomic.Bool  // the log-in is answered by 500
}

const (
	localForm = `<!doctype html><title>Perfion</title><h1>Perfion</h1><form id=login action=/in method=post>
<input name=user><input name=password type=password><button>Log in</button></form>`
	scriptForm = `<!doctype html><title>Perfion</title><h1>Perfion</h1><div id=login><input id=user><input id=pw type=password>
<button onclick="fetch('/in', {method: 'POST', body: new URLSearchParams({user: user.value, password: pw.value})}).then(r => {
if (r.ok) document.body.innerHTML = '<a id=logout href=/out>Log out</a>' })">Log in</button></div>`
)

// standingForm sends the password, changes nothing, and then answers no more.
const standingForm = `<!doctype html><title>Perfion</title><h1>Perfion</h1><div id=login><input id=user><input id=pw type=password>
<button onclick="fetch('/in', {method: 'POST', body: new URLSearchParams({user: user.value, password: pw.value})}).then(
() => setTimeout(() => { for (;;); }, 500))">Log in</button></div>`

func startWebApp(t testing.TB, form string) *webApp {
	t.Helper()
	a := new(webApp)
	mux := http.NewServeMux()
	show := func(w http.ResponseWriter, status int, html string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, html)
	}
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { show(w, 200, form) })
	mux.HandleFunc("POST /in", func(w http.ResponseWriter, r *http.Request) {
		right := r.FormValue("user") == "probe" && r.FormValue("password") == goodPassword
		a.attempts.Add(1)
		switch {
		case a.hang.Load():
			<-r.Context().Done()
		case a.broken.Load():
			show(w, 500, "oh")
		case form == scriptForm && !right:
			show(w, 401, "no")
		case !right:
			show(w, 200, form+`<p class=login-error>Unknown user or wrong password</p>`)
		case form == scriptForm:
			show(w, 200, "")
		default:
			show(w, 200, `<title>In</title><a id=logout href=/out>Log out</a><p>`+goodPassword)
		}
	})
	mux.HandleFunc("GET /out", func(w http.ResponseWriter, _ *http.Request) { a.left.Add(1); show(w, 200, form) })
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.CloseClientConnections)
	t.Cleanup(a.Close)
	return a
}

func (a *webApp) probe(t testing.TB, password string) *probes.Browser {
	p := browser(t, probes.Browser{URL: a.URL, Visible: "#login", Login: probes.BrowserLogin{
		User: "probe", Password: secret.New(password), Expect: "#logout", Logout: "#logout",
	}})
	p.SetLatch(new(probes.MemoryLatch))
	return p
}

func TestBrowserLogin(t *testing.T) {
	for name, form := range map[string]string{"form": localForm, "script": scriptForm} {
		t.Run(name, func(t *testing.T) {
			a := startWebApp(t, form)
			r := visit(t, a.probe(t, goodPassword), patience)
			if r.Outcome != probes.Up || fact(r, "logon") != "probe is in" {
				t.Fatalf("the right password is %s, %s: %s; %v", r.Outcome, r.Reason, r.Detail, r.Facts)
			}
			if _, ok := r.Phase(probes.PhaseLogon); !ok {
				t.Errorf("no phase logon in %v", r.Phases)
			}
			if a.left.Load() != 1 {
				t.Errorf("%d log-outs, want 1", a.left.Load())
			}
			wrong := a.probe(t, "wrong-password")
			before := a.attempts.Load()
			for range 3 {
				r = visit(t, wrong, patience)
				if fact(r, probes.FactAccount) == "" {
					t.Errorf("a refused account is %s, %s: %s, and not told", r.Outcome, r.Reason, r.Detail)
				}
				noPassword(t, r, "wrong-password")
			}
			if n := a.attempts.Load() - before; n != 1 {
				t.Errorf("a wrong password was sent %d times", n)
			}
			if err := wrong.ResetLatch(); err != nil {
				t.Fatal(err)
			}
			if r = visit(t, wrong, patience); r.Outcome != probes.Unknown || r.Reason != probes.Auth || !strings.Contains(r.Detail, "the monitoring account probe is refused") {
				t.Errorf("a wrong password is %s, %s: %s", r.Outcome, r.Reason, r.Detail)
			}
			if n := a.attempts.Load() - before; n != 2 {
				t.Errorf("after the reset a wrong password was sent %d times", n)
			}
		})
	}
}

// noPassword wants no trace of a password in a result.
func noPassword(t testing.TB, r probes.Result, password string) {
	t.Helper()
	text := fmt.Sprint(r.Detail, r.Facts)
	for _, a := range r.Attachments {
		if strings.HasSuffix(a.Name, ".har") {
			text += string(a.Content)
		}
	}
	for _, form := range []string{password, url.QueryEscape(password)} {
		if strings.Contains(text, form) {
			t.Errorf("the password is in the result: %.400s", text)
		}
	}
}

func TestBrowserLoginFails(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(a *webApp, p *probes.Browser)
		form    string
		within  bool // wait for what never comes
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
		sent    int32
	}{
		"hangs":    {func(a *webApp, _ *probes.Browser) { a.hang.Store(true) }, localForm, true, probes.Down, probes.Timeout, "is not answered in time", 1},
		"broken":   {func(a *webApp, _ *probes.Browser) { a.broken.Store(true) }, localForm, false, probes.Down, probes.Status, "answered by status 500", 1},
		"no field": {func(_ *webApp, p *probes.Browser) { p.Login.PasswordField = "#nothing" }, localForm, true, probes.Down, probes.Content, "no field for a password is visible", 0},
		"never in, and elsewhere": {
			func(_ *webApp, p *probes.Browser) { p.Login.Expect = "#elsewhere" }, localForm, true,
			probes.Unknown, probes.Auth, "neither the form nor #elsewhere (its title is \"In\"): check login.expect, or set login.refused; it is tried once more, after an hour", 1,
		},
		"a page that stands still": {
			func(*webApp, *probes.Browser) {}, standingForm, true,
			probes.Unknown, probes.Auth, "its form stays and does not say why", 1,
		},
		"foreign action": {
			func(*webApp, *probes.Browser) {}, strings.Replace(localForm, "action=/in", "action=http://localhost:1/in", 1), false,
			probes.Down, probes.Content, "would send the account to a host that is not given it", 0,
		},
		"plain field": {
			func(_ *webApp, p *probes.Browser) { p.Login.PasswordField = "input[name=user]" }, localForm, false,
			probes.Down, probes.Content, "would show what is typed", 0,
		},
		"bad selector": {func(_ *webApp, p *probes.Browser) { p.Login.Submit, p.Login.Expect = "", "p[" }, localForm, false, probes.Unknown, probes.Internal, `"p[" is no css selector`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := startWebApp(t, c.form)
			p := a.probe(t, goodPassword)
			c.change(a, p)
			within := patience
			if c.within {
				within = 2 * short
			}
			r := visit(t, p, within)
			if r.Outcome != c.outcome || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %s: %s; want %s, %s: %s", r.Outcome, r.Reason, r.Detail, c.outcome, c.reason, c.detail)
			}
			if a.attempts.Load() != c.sent {
				t.Errorf("the password was sent %d times, want %d", a.attempts.Load(), c.sent)
			}
			noPassword(t, r, goodPassword)
		})
	}
}

// entra stands in for Entra's pages, as far as they are known: name, then password in the same document, then "stay signed in?",
// then back to the application.
const entraPage = `<!doctype html><title>Sign in to your account</title><body>
<form id=f method=post action=/entra><input type=email name=loginfmt id=i0116>
<input type=password name=passwd id=i0118 style="position:absolute;left:-9999px" aria-hidden=true tabindex=-1>
<div id=usernameError hidden>This username may be incorrect.</div>
<input type=submit id=idSIButton9 value=Next></form>
<script>
let step = 0;
f.onsubmit = e => {
	if (step++) return true;
	e.preventDefault();
	if (i0116.value.startsWith('nobody')) { usernameError.hidden = false; step = 0; return; }
	setTimeout(() => { i0116.hidden = true; i0118.style = ''; i0118.ariaHidden = null; i0118.removeAttribute('aria-hidden'); idSIButton9.value = 'Sign in' }, 100);
};
</script>`

func TestBrowserEntra(t *testing.T) {
	var home string
	answers := map[string]string{
		goodPassword: `<title>Stay</title><div id=KmsiDescription>Stay signed in?</div><form method=get action="HOME/back"><input type=submit id=idBtn_Back value=No></form>`,
		"wrong":      strings.Replace(entraPage, "<form", `<div id=passwordError>AADSTS50126: Your account or password is incorrect.</div><form`, 1),
		"second":     `<title>Verify</title><div id=idDiv_SAOTCAS_Title>Approve sign in request</div>`,
		"troubled":   strings.Replace(entraPage, "<form", `<div id=service_exception_message>AADSTS90033: A transient error has occurred.</div><form`, 1),
	}
	mux := http.NewServeMux()
	html := func(w http.ResponseWriter, text string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, strings.ReplaceAll(text, "HOME", home))
	}
	mux.HandleFunc("/entra", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			html(w, entraPage)
			return
		}
		html(w, answers[r.FormValue("passwd")])
	})
	mux.HandleFunc("/back", func(w http.ResponseWriter, _ *http.Request) { html(w, `<p id=in>Welcome`) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		html(w, `<title>Perfion</title><button id=sso onclick="location = '`+strings.Replace(home, "127.0.0.1", "localhost", 1)+`/entra'">Log in with single sign-on</button>`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	home = s.URL
	for name, c := range map[string]struct {
		user, password string
		hosts          []string
		outcome        probes.Outcome
		reason         probes.Reason
		detail         string
	}{
		"right":             {"probe@acme.example", goodPassword, []string{"localhost"}, probes.Up, probes.None, ""},
		"wrong":             {"probe@acme.example", "wrong", []string{"localhost"}, probes.Unknown, probes.Auth, "AADSTS50126"},
		"nobody":            {"nobody@acme.example", goodPassword, []string{"localhost"}, probes.Unknown, probes.Auth, "may be incorrect"},
		"second factor":     {"probe@acme.example", "second", []string{"localhost"}, probes.Unknown, probes.Auth, "asked for more than a password (Verify)"},
		"entra's troubles":  {"probe@acme.example", "troubled", []string{"localhost"}, probes.Down, probes.Status, "AADSTS90033"},
		"host not to trust": {"probe@acme.example", goodPassword, nil, probes.Down, probes.Content, "the log-in leads to localhost:"},
	} {
		t.Run(name, func(t *testing.T) {
			p := browser(t, probes.Browser{URL: home, Visible: "#sso", Login: probes.BrowserLogin{
				Form: "entra", User: c.user, Password: secret.New(c.password), Start: "#sso", Expect: "#in", Hosts: c.hosts,
			}})
			p.SetLatch(new(probes.MemoryLatch))
			r := visit(t, p, patience)
			if r.Outcome != c.outcome || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %s: %s; want %s, %s: %s", r.Outcome, r.Reason, r.Detail, c.outcome, c.reason, c.detail)
			}
			noPassword(t, r, c.password)
		})
	}
}

// A password that is refused by a page without a form is not sent at every run; where the account was in before, the page is at fault.
func TestBrowserLoginEndsElsewhere(t *testing.T) {
	a := startWebApp(t, localForm)
	latch := new(probes.MemoryLatch)
	visitFor := func(expect string) probes.Result {
		p := a.probe(t, goodPassword)
		p.Login.Expect, p.Login.Logout = expect, ""
		p.SetLatch(latch)
		return visit(t, p, 2*short)
	}
	for range 3 {
		if r := visitFor("#elsewhere"); r.Reason == probes.Content {
			t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
	}
	if n := a.attempts.Load(); n != 1 {
		t.Errorf("a password that was never accepted was sent %d times", n)
	}
	latch = new(probes.MemoryLatch)
	if r := visitFor("#logout"); r.Outcome != probes.Up {
		t.Fatalf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
	for range 2 {
		if r := visitFor("#elsewhere"); r.Outcome != probes.Down || r.Reason != probes.Content || !strings.Contains(r.Detail, `#elsewhere is not visible (its title is "In")`) {
			t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
	}
}
