package web_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

const ackPath = "/api/v1/cases/FC-2026-000201/ack"

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func from(address string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = address }
}

func host(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }

// over says which of the agent's own addresses the connection reached.
func over(address string) func(*http.Request) {
	return func(r *http.Request) {
		local := net.TCPAddrFromAddrPort(mustAddr(address))
		*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
	}
}

func TestWhoMayChange(t *testing.T) {
	const token = "correct horse battery staple"
	bearer := header("Authorization", "Bearer "+token)
	type changes = []func(*http.Request)
	for _, c := range []struct {
		name   string
		token  string
		change changes
		status int
	}{
		{"loopback without a token", "", nil, 200},
		{"loopback, IPv6", "", changes{from("[::1]:4000")}, 200},
		{"loopback, IPv4 mapped", "", changes{from("[::ffff:127.0.0.1]:4000")}, 200},
		{"another host without a token", "", changes{from("192.0.2.7:4000")}, 403},
		{"no remote address", "", changes{from("@")}, 403},
		{"loopback through a proxy", "", changes{header("X-Forwarded-For", "192.0.2.7")}, 403},
		{"loopback through a proxy that says nothing", "", changes{header("X-Forwarded-For", "")}, 403},
		{"loopback through a standard proxy", "", changes{header("Forwarded", "for=192.0.2.7")}, 403},
		{"loopback through a proxy, by Via", "", changes{header("Via", "1.1 proxy")}, 403},
		{"a token where none is set", "", changes{from("192.0.2.7:4000"), bearer}, 403},
		{"loopback, token missing", token, nil, 401},
		{"loopback, empty token", token, changes{header("Authorization", "Bearer ")}, 401},
		{"wrong token", token, changes{header("Authorization", "Bearer "+token+"x")}, 401},
		{"token as basic", token, changes{header("Authorization", "Basic "+token)}, 401},
		{"token", token, changes{bearer}, 200},
		{"token from another host", token, changes{from("192.0.2.7:4000"), bearer}, 200},
		{"token beside basic authentication", token, changes{header("Authorization", "Basic dXNlcjpwYXNz"), header(web.TokenHeader, token)}, 200},
		{"cross-site by Sec-Fetch-Site", token, changes{bearer, header("Sec-Fetch-Site", "cross-site")}, 403},
		{"same-site is another site", token, changes{bearer, header("Sec-Fetch-Site", "same-site")}, 403},
		{"cross-site by Origin", "", changes{header("Origin", "https://evil.example")}, 403},
		{"origin null", "", changes{header("Origin", "null")}, 403},
		{"own page", "", changes{header("Sec-Fetch-Site", "same-origin"), header("Origin", "http://127.0.0.1:9797")}, 200},
		{"own page behind the external URL", token, changes{bearer, header("Origin", "https://acme.firstcall.example")}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			f := webtest.Scene("p1")
			o := options(f)
			o.Token, o.ExternalURL, o.Log = secret.New(c.token), "https://acme.firstcall.example", slog.New(slog.NewTextHandler(&log, nil))
			w := call(t, web.New(o), "POST", ackPath, `{"actor": "mette"}`, c.change...)
			if w.Code != c.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.status)
			}
			if done := len(f.Acts()) == 1; done != (c.status == 200) {
				t.Errorf("the agent acted: %v", done)
			}
			if w := call(t, web.New(o), "POST", acceptPath+"web-client/http", `{"actor": "mette"}`, c.change...); w.Code != c.status {
				t.Errorf("accept: %d %s, want %d", w.Code, w.Body, c.status)
			}
			if done := len(f.Accepts()) == 1; done != (c.status == 200) {
				t.Errorf("the agent accepted: %v", done)
			}
			if c.status == 401 && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
				t.Error("WWW-Authenticate is missing")
			}
			if strings.Contains(log.String()+w.Body.String(), token) {
				t.Error("the token was told")
			}
		})
	}
}

// Every route that changes something is guarded, whatever it is.
func TestEveryChangingRouteIsGuarded(t *testing.T) {
	f := webtest.Scene("p1")
	o := options(f)
	h := web.New(o)
	n := 0
	for path, methods := range web.Routes(o) {
		for _, m := range methods {
			if m == http.MethodGet {
				continue
			}
			n++
			target := strings.ReplaceAll(path, "{number}", "FC-2026-000201")
			if strings.HasSuffix(path, "/accept") {
				target += "?probe=web-client/http"
			}
			want := 403
			if strings.HasSuffix(path, "/changed") {
				want = 401 // from wherever it comes, it is signed
			}
			if strings.HasPrefix(path, "/api/v1/maintenance") || strings.HasPrefix(path, "/api/v1/silences") {
				target = strings.ReplaceAll(target, "{id}", "1")
			}
			if w := call(t, h, m, target, `{"actor": "m", "reason": "r"}`, from("192.0.2.7:1")); w.Code != want {
				t.Errorf("%s %s from another host: %d", m, target, w.Code)
			}
		}
	}
	if n != 20 || len(f.Orders()) != 0 || len(f.Changed()) != 0 || len(f.Acts()) != 0 || len(f.Accepts()) != 0 || f.Reloads() != 0 {
		t.Errorf("%d changing routes, %d acts, %d reloads", n, len(f.Acts()), f.Reloads())
	}
}

func TestForeignHostIsRefusedOnLoopback(t *testing.T) {
	for _, c := range []struct {
		host, local string
		want        int
	}{
		{"127.0.0.1:9797", "127.0.0.1:9797", 200},
		{"127.0.0.2", "127.0.0.1:9797", 200},
		{"LocalHost:9797", "127.0.0.1:9797", 200},
		{"localhost.", "127.0.0.1:9797", 200},
		{"[::1]:9797", "[::1]:9797", 200},
		{"acme.firstcall.example", "127.0.0.1:9797", 200},
		{"", "127.0.0.1:9797", 200},
		{"evil.example", "127.0.0.1:9797", 421},
		{"evil.example:9797", "[::1]:9797", 421},
		{"localhost.evil.example", "127.0.0.1:9797", 421},
		{"127.0.0.1.evil.example:9797", "127.0.0.1:9797", 421},
		{"192.0.2.1:9797", "127.0.0.1:9797", 421},
		{"evil.example@localhost", "127.0.0.1:9797", 421},
		{"anything.example", "10.1.2.3:9797", 200},
	} {
		o := options(webtest.Scene("well"))
		o.ExternalURL = "https://Acme.Firstcall.Example:8443/"
		for _, target := range []string{"/", "/api/v1/status", "/metrics", "/-/healthy", "/badge.svg"} {
			w := call(t, web.New(o), "GET", target, "", host(c.host), over(c.local))
			if w.Code != c.want {
				t.Errorf("%s of host %q over %s: %d, want %d", target, c.host, c.local, w.Code, c.want)
			}
		}
	}
}

// The real server puts the local address where the guard looks for it.
func TestForeignHostOverARealConnection(t *testing.T) {
	server := httptest.NewServer(web.New(options(webtest.Scene("well"))))
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/api/v1/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "rebound.example"
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("%d, want 421", answer.StatusCode)
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	h := web.New(options(webtest.Scene("p1")))
	for _, target := range []string{"/", "/incidents", "/nothing", "/api/v1/status", "/api/nothing", "/-/healthy", "/metrics", "/badge.svg", "/static/live.js"} {
		got := get(t, h, target).Header()
		policy := got.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", target, policy)
		}
		for _, name := range []string{"X-Content-Type-Options", "Referrer-Policy", "Cache-Control", "X-Frame-Options", "Cross-Origin-Resource-Policy"} {
			if got.Get(name) == "" {
				t.Errorf("%s: no %s", target, name)
			}
		}
	}
}

// A page of another site that embeds the badge must not learn the state from its measures.
func TestBadgesHaveOneSize(t *testing.T) {
	for _, scene := range webtest.Scenes {
		b := get(t, web.New(options(webtest.Scene(scene))), "/badge.svg").Body.String()
		if !strings.HasPrefix(b, `<svg xmlns="http://www.w3.org/2000/svg" width="300" height="22" `) {
			t.Errorf("%s: %.90s", scene, b)
		}
	}
}

// What targets, desks and people write is text and nothing else, on every page of every scene.
func TestHostileTextStaysText(t *testing.T) {
	for _, scene := range webtest.Scenes {
		f := webtest.Scene(scene)
		o := options(f)
		if scene == "hostile" {
			o.Tenant = webtest.Hostile
			f.Newest["web-client/http"][39].Reason = probes.Reason(webtest.Hostile) // a closed set; the bars must not rely on it
		}
		h := web.New(o)
		targets := []string{"/", "/incidents?open=true", "/incidents?component=%3Cscript%3E", "/incidents/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/cases/%22%3E%3Cscript%3E", "/badge.svg"}
		for _, i := range f.Seen.Incidents {
			targets = append(targets, "/incidents/"+i.ID)
		}
		for _, target := range targets {
			body := get(t, h, target).Body.String()
			inspect(t, scene+" "+target, body)
			if scene == "hostile" && target == "/" && !strings.Contains(body, "&lt;script&gt;alert(1)") {
				t.Error("the hostile text is not on the page at all")
			}
		}
	}
}

// inspect walks the parsed page: the only script is the page's own, no attribute runs or styles anything, every address is
// relative or plain http, and no hidden character is left.
func inspect(t *testing.T, what, body string) {
	t.Helper()
	if at := strings.IndexFunc(body, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || r >= '\u202a' && r <= '\u202e' || r == '\u200f'
	}); at >= 0 {
		t.Errorf("%s: hidden character at ...%q", what, body[max(0, at-40):min(len(body), at+10)])
	}
	if strings.Contains(body, "ZgotmplZ") {
		t.Errorf("%s: an address that is not http reached the template", what)
	}
	z := html.NewTokenizer(strings.NewReader(body))
	for z.Next() != html.ErrorToken {
		token := z.Token()
		if token.Type != html.StartTagToken && token.Type != html.SelfClosingTagToken {
			continue
		}
		evidence := func(a html.Attribute) bool { return a.Key == "src" && strings.HasPrefix(a.Val, "../api/v1/incidents/") }
		if token.Data == "img" && !slices.ContainsFunc(token.Attr, evidence) || token.Data == "iframe" || token.Data == "style" || token.Data == "object" {
			t.Errorf("%s: element %s", what, token.Data)
		}
		for _, a := range token.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "data:") {
				t.Errorf("%s: <%s %s=%q>", what, token.Data, a.Key, a.Val)
			}
			if token.Data == "script" && a.Key == "src" && !strings.Contains(a.Val, "static/live.js?v=") {
				t.Errorf("%s: script %q", what, a.Val)
			}
		}
		if token.Data == "script" && len(token.Attr) == 0 {
			t.Errorf("%s: inline script", what)
		}
	}
}
