package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// TokenHeader carries the token where Authorization is taken by the basic authentication of the web configuration file.
const TokenHeader = "X-Firstcall-Token"

// guard decides what a request may do before anything else sees it.
//
// The agent listens on loopback by default and then trusts who can reach it. A browser on the same host can be made to reach it
// by any web page: so a foreign Host is refused on loopback connections (DNS rebinding), and a changing call that a browser
// marks as cross-site is refused everywhere (CSRF).
type guard struct {
	token    secret.Value
	external string // host of the external URL, lower case; "" when there is none
	origins  *http.CrossOriginProtection
}

func newGuard(o Options) guard {
	g := guard{token: o.Token, origins: http.NewCrossOriginProtection()}
	u, err := url.Parse(o.ExternalURL)
	if err != nil || u.Host == "" {
		return g
	}
	g.external = strings.ToLower(u.Hostname())
	if err := g.origins.AddTrustedOrigin(u.Scheme + "://" + strings.ToLower(u.Host)); err != nil {
		o.Log.Warn("external URL cannot be trusted as an origin", "err", err)
	}
	if !loopbackHost(g.external) && o.Token.IsZero() {
		o.Log.Warn("external URL without a token: a proxy on this host that does not say for whom it calls counts as loopback; set web.token_file")
	}
	return g
}

// wrap sets the headers that every answer carries, and refuses requests that no rightful client sends.
func (g guard) wrap(next http.Handler, refuse func(http.ResponseWriter, *http.Request, *fault)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header(), r.URL.Path)
		if !g.hostAllowed(r) {
			refuse(w, r, &fault{
				Status: http.StatusMisdirectedRequest, Message: "this host name is not the agent's",
				Hint: "use 127.0.0.1 or localhost, or set web.external_url to the name that you use",
			})
			return
		}
		if err := g.origins.Check(r); err != nil {
			refuse(w, r, &fault{
				Status: http.StatusForbidden, Message: "changing calls from other web sites are refused",
				Hint: "call the API from a program, or from the agent's own page",
			})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// setHeaders: pages may load their own style sheet, script and pictures, and nothing else may load or frame them; what is not a
// page may load nothing.
func setHeaders(h http.Header, path string) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	if strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/-/") {
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// hostAllowed reports whether the Host of a request over loopback is a name of loopback or of the external URL. A request
// without Host comes from no browser.
func (g guard) hostAllowed(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !loopbackAddr(local.String()) || r.Host == "" {
		return true
	}
	host := hostOnly(r.Host)
	return loopbackHost(host) || host == g.external
}

// authorize returns nil when the request may change something, and why not otherwise.
func (g guard) authorize(w http.ResponseWriter, r *http.Request) *fault {
	if g.token.IsZero() {
		if loopbackAddr(r.RemoteAddr) && !proxied(r.Header) {
			return nil
		}
		return &fault{
			Status: http.StatusForbidden, Message: "changing calls are taken from the agent's own host only",
			Hint: "set web.token_file and send it as Authorization: Bearer TOKEN",
		}
	}
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		given = r.Header.Get(TokenHeader)
	}
	// Sums of equal length, so that the comparison does not tell the token's length either.
	want, got := sha256.Sum256([]byte(g.token.Reveal())), sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
		return nil
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="firstcall"`)
	return &fault{
		Status: http.StatusUnauthorized, Message: "the token is missing or wrong",
		Hint: "send the text of web.token_file as Authorization: Bearer TOKEN, or as " + TokenHeader + " beside basic authentication",
	}
}

// proxied reports whether somebody else stands behind the remote address.
func proxied(h http.Header) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if _, there := h[name]; there {
			return true
		}
	}
	return false
}

func loopbackAddr(hostPort string) bool {
	ap, err := netip.ParseAddrPort(hostPort)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// loopbackHost reports whether host, without port, can only mean this host.
func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func hostOnly(hostPort string) string {
	u := url.URL{Host: strings.ToLower(hostPort)}
	return strings.TrimSuffix(u.Hostname(), ".")
}
