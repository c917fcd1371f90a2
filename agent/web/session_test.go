package web_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

const token = "correct horse battery staple"

var own = header("Sec-Fetch-Site", "same-origin")

// post sends a form.
func post(t *testing.T, h http.Handler, target string, form url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	change = append([]func(*http.Request){header("Content-Type", "application/x-www-form-urlencoded")}, change...)
	return call(t, h, "POST", target, form.Encode(), change...)
}

// signedIn returns what adds the cookie of somebody who signed in.
func signedIn(t *testing.T, h http.Handler, name string) func(*http.Request) {
	t.Helper()
	w := post(t, h, "/login", url.Values{"name": {name}, "token": {token}}, own)
	cookies := w.Result().Cookies()
	if w.Code != 303 || len(cookies) != 1 {
		t.Fatalf("sign-in: %d %s", w.Code, w.Body)
	}
	return func(r *http.Request) { r.AddCookie(cookies[0]) }
}

func TestSignIn(t *testing.T) {
	f := webtest.Scene("p1")
	now := f.Now
	o := options(f)
	o.Token, o.ExternalURL, o.Now = secret.New(token), "https://acme.example/firstcall/", func() time.Time { return now }
	h := web.New(o)
	for _, c := range []struct {
		name   string
		form   url.Values
		change func(*http.Request)
		status int
		to     string
	}{
		{"the token", url.Values{"name": {"mette"}, "token": {token}, "next": {"incidents?q=x"}}, own, 303, "./incidents?q=x"},
		{"by Origin", url.Values{"name": {"mette"}, "token": {token}}, header("Origin", "http://127.0.0.1:9797"), 303, "./"},
		{"a wrong token", url.Values{"name": {"mette"}, "token": {token + "x"}}, own, 401, ""},
		{"no token", url.Values{"name": {"mette"}}, own, 401, ""},
		{"nobody", url.Values{"name": {" "}, "token": {token}}, own, 400, ""},
		{"the agent's own name", url.Values{"name": {"firstcall"}, "token": {token}}, own, 400, ""},
		{"from another site", url.Values{"name": {"mette"}, "token": {token}}, header("Sec-Fetch-Site", "cross-site"), 403, ""},
		{"from nowhere", url.Values{"name": {"mette"}, "token": {token}}, header("Accept", "*/*"), 403, ""},
		{"leads elsewhere", url.Values{"name": {"mette"}, "token": {token}, "next": {"//evil.example/"}}, own, 303, "./"},
		{"leads elsewhere by scheme", url.Values{"name": {"mette"}, "token": {token}, "next": {"https://evil.example/"}}, own, 303, "./"},
		{"leads elsewhere by backslash", url.Values{"name": {"mette"}, "token": {token}, "next": {`\\evil.example`}}, own, 303, "./"},
		{"leads up", url.Values{"name": {"mette"}, "token": {token}, "next": {"../../other"}}, own, 303, "./"},
		{"leads into a script", url.Values{"name": {"mette"}, "token": {token}, "next": {"javascript:alert(1)"}}, own, 303, "./"},
	} {
		w := post(t, h, "/login", c.form, c.change)
		if w.Code != c.status || w.Header().Get("Location") != c.to {
			t.Errorf("%s: %d %q, want %d %q", c.name, w.Code, w.Header().Get("Location"), c.status, c.to)
		}
		if got := w.Header().Get("Set-Cookie"); (got != "") != (c.status == 303) {
			t.Errorf("%s: cookie %q", c.name, got)
		} else if got != "" && (!strings.Contains(got, "HttpOnly") || !strings.Contains(got, "SameSite=Strict") || !strings.Contains(got, "Path=/")) {
			t.Errorf("%s: cookie %q", c.name, got)
		}
		if strings.Contains(w.Body.String(), token) {
			t.Errorf("%s: the token is in the page", c.name)
		}
	}
	if secure := post(t, h, "/login", url.Values{"name": {"mette"}, "token": {token}}, own, host("acme.example")).Header().Get("Set-Cookie"); !strings.Contains(secure, "Secure") {
		t.Errorf("behind TLS: %q", secure)
	}
	cookie := signedIn(t, h, "Mette Ø.")
	if page := get(t, h, "/incidents").Body.String(); strings.Contains(page, "Sign out") {
		t.Error("who did not sign in is signed in")
	}
	if page := call(t, h, "GET", "/incidents", "", cookie).Body.String(); !strings.Contains(page, "<span>Mette Ø.</span>") {
		t.Error("who signed in is not")
	}
	restarted := o // another process, the same token
	if page := call(t, web.New(restarted), "GET", "/incidents", "", cookie).Body.String(); !strings.Contains(page, "Sign out") {
		t.Error("a session does not outlive a restart")
	}
	restarted.Token = secret.New("another")
	if page := call(t, web.New(restarted), "GET", "/incidents", "", cookie).Body.String(); strings.Contains(page, "Sign out") {
		t.Error("a session outlives its token")
	}
	now = now.Add(13 * time.Hour)
	if page := call(t, h, "GET", "/incidents", "", cookie).Body.String(); strings.Contains(page, "Sign out") {
		t.Error("a session lasts for ever")
	}
}

// Without a token people act from the agent's own host, at every request.
func TestSignInWithoutAToken(t *testing.T) {
	f := webtest.Scene("p1")
	h := web.New(options(f))
	cookie := signedIn(t, h, "mette")
	far := from("192.0.2.7:4000")
	if w := post(t, h, "/login", url.Values{"name": {"eve"}}, own, far); w.Code != 401 || !strings.Contains(w.Body.String(), "has no token") {
		t.Errorf("from elsewhere: %d", w.Code)
	}
	form := url.Values{"action": {"ack"}}
	for _, c := range []struct {
		name   string
		change []func(*http.Request)
		status int
	}{
		{"from elsewhere", []func(*http.Request){own, cookie, far}, 401},
		{"through a proxy", []func(*http.Request){own, cookie, header("X-Forwarded-For", "192.0.2.7")}, 401},
		{"from here", []func(*http.Request){own, cookie}, 303},
	} {
		if w := post(t, h, "/cases/FC-2026-000201/act", form, c.change...); w.Code != c.status {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.status)
		}
	}
	if n := len(f.Acts()); n != 1 {
		t.Errorf("%d acts, want 1", n)
	}
}

func TestForms(t *testing.T) {
	f := webtest.Scene("p1")
	id := f.Seen.Incidents[0].ID
	o := options(f)
	o.Token = secret.New(token)
	h := web.New(o)
	cookie := signedIn(t, h, "mette")
	forged := func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: "firstcall-00000000", Value: "9999999999.bWV0dGU.AAAA"})
	}
	tampered := func(r *http.Request) {
		cookie(r)
		r.Header.Set("Cookie", strings.Replace(r.Header.Get("Cookie"), "=1", "=9", 1))
	}
	act, orders := "/cases/FC-2026-000201/act", "/orders"
	silence := url.Values{"kind": {"silence"}, "incident": {id}, "minutes": {"60"}, "reason": {"known"}}
	upkeep := url.Values{"kind": {"maintenance"}, "component": {"backend", "web-client"}, "minutes": {"120"}, "reason": {"patches"}}
	with := func(v url.Values, name string, values ...string) url.Values {
		all := maps.Clone(v)
		all[name] = values
		return all
	}
	for _, c := range []struct {
		name, target string
		form         url.Values
		change       []func(*http.Request)
		status       int
		says         string // in the address it leads to, or on the page
	}{
		{"nobody", act, url.Values{"action": {"ack"}}, []func(*http.Request){own}, 401, "nobody is signed in"},
		{"a forged cookie", act, url.Values{"action": {"ack"}}, []func(*http.Request){own, forged}, 401, "nobody is signed in"},
		{"a changed cookie", act, url.Values{"action": {"ack"}}, []func(*http.Request){own, tampered}, 401, "nobody is signed in"},
		{"the token is for the API", act, url.Values{"action": {"ack"}}, []func(*http.Request){own, header("Authorization", "Bearer "+token)}, 401, "nobody is signed in"},
		{"another site", act, url.Values{"action": {"ack"}}, []func(*http.Request){cookie, header("Sec-Fetch-Site", "cross-site")}, 403, "other web sites"},
		{"another origin", act, url.Values{"action": {"ack"}}, []func(*http.Request){cookie, header("Origin", "https://evil.example")}, 403, "other web sites"},
		{"no origin at all", act, url.Values{"action": {"ack"}}, []func(*http.Request){cookie}, 403, "from where the form comes"},
		{"ack", act, url.Values{"action": {"ack"}}, []func(*http.Request){own, cookie}, 303, "../../incidents/" + id + "?done=ack"},
		{"hold without a reason", act, url.Values{"action": {"hold"}}, []func(*http.Request){own, cookie}, 400, "reason is missing"},
		{"an unknown action", act, url.Values{"action": {"explode"}}, []func(*http.Request){own, cookie}, 400, "no action"},
		{"another desk's case", "/cases/SOC-4711/act", url.Values{"action": {"ack"}}, []func(*http.Request){own, cookie}, 409, "not at the built-in desk"},
		{"silence", orders, silence, []func(*http.Request){own, cookie}, 303, "./incidents/" + id + "?done=silence"},
		{"silence without a reason", orders, with(silence, "reason"), []func(*http.Request){own, cookie}, 400, "reason is missing"},
		{"silence of nothing that is open", orders, with(silence, "incident", "none"), []func(*http.Request){own, cookie}, 404, "no open one"},
		{"maintenance", orders, upkeep, []func(*http.Request){own, cookie}, 303, "./maintenance?done=maintenance"},
		{"maintenance for ever", orders, with(upkeep, "minutes", "99999999"), []func(*http.Request){own, cookie}, 400, "out of range"},
		{"maintenance for some time", orders, with(upkeep, "minutes", "soon"), []func(*http.Request){own, cookie}, 400, "no number"},
		{"maintenance of nothing", orders, with(upkeep, "component"), []func(*http.Request){own, cookie}, 400, "no component is chosen"},
		{"maintenance of what is not there", orders, with(upkeep, "component", "frontend"), []func(*http.Request){own, cookie}, 400, "no component"},
		{"another kind", orders, with(upkeep, "kind", "party"), []func(*http.Request){own, cookie}, 400, "neither"},
		{"end", "/orders/2/end", url.Values{"kind": {"maintenance"}}, []func(*http.Request){own, cookie}, 303, "../../maintenance?done=maintenance-end"},
		{"end of the other kind", "/orders/1/end", url.Values{"kind": {"maintenance"}}, []func(*http.Request){own, cookie}, 404, "not found"},
		{"end of nothing", "/orders/x/end", url.Values{"kind": {"silence"}}, []func(*http.Request){own, cookie}, 404, "there is no"},
	} {
		w := post(t, h, c.target, c.form, c.change...)
		if w.Code != c.status || !strings.Contains(w.Header().Get("Location")+w.Body.String(), c.says) {
			t.Errorf("%s: %d %q, want %d %q\n%.300s", c.name, w.Code, w.Header().Get("Location"), c.status, c.says, w.Body)
		}
	}
	if acts := f.Acts(); len(acts) != 1 || acts[0].Actor != "mette" {
		t.Errorf("acts %+v", acts)
	}
	all := f.Orders()
	if len(all) != 2 || fmt.Sprint(all[0].Components) != "[backend web-client]" || all[0].EndedBy != "mette" || all[1].Incident != id || all[1].Kind != incident.OrderSilence {
		t.Errorf("orders %+v", all)
	}
}
