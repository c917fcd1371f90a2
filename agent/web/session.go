package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sessionFor is how long a person stays signed in.
const sessionFor = 12 * time.Hour

// loginPath is where people sign in.
const loginPath = "/login"

// ownKey signs the sessions of an agent that has no token: they end with the process.
var ownKey = sync.OnceValue(func() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key
})

// sessionKey derives the key of the sessions from the token, so that they outlive a restart, and end when the token is changed.
func (g guard) sessionKey() []byte {
	key := ownKey()
	if !g.token.IsZero() {
		key = []byte(g.token.Reveal())
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("firstcall session 1"))
	return mac.Sum(nil)
}

// cookieName has a mark of the key in it: agents that share a host share its cookies, whatever their ports.
func (g guard) cookieName() string {
	sum := sha256.Sum256(g.sessionKey())
	return "firstcall-" + hex.EncodeToString(sum[:4])
}

// sign returns the text of a session.
func (g guard) sign(name string, until time.Time) string {
	body := strconv.FormatInt(until.Unix(), 10) + "." + base64.RawURLEncoding.EncodeToString([]byte(name))
	mac := hmac.New(sha256.New, g.sessionKey())
	mac.Write([]byte(body))
	return body + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// person returns the name of whoever is signed in; "" for nobody. Where the agent has no token, a person must also be on its own host,
// at every request.
func (g guard) person(r *http.Request, now time.Time) string {
	c, err := r.Cookie(g.cookieName())
	if err != nil || g.token.IsZero() && !local(r) {
		return ""
	}
	body, sum, ok := cutLast(c.Value, ".")
	given, err := base64.RawURLEncoding.DecodeString(sum)
	if !ok || err != nil {
		return ""
	}
	mac := hmac.New(sha256.New, g.sessionKey())
	mac.Write([]byte(body))
	if !hmac.Equal(given, mac.Sum(nil)) {
		return ""
	}
	until, encoded, _ := strings.Cut(body, ".")
	seconds, err := strconv.ParseInt(until, 10, 64)
	if err != nil || !now.Before(time.Unix(seconds, 0)) {
		return ""
	}
	name, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	return string(name)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// local reports whether the request comes from the agent's own host, and not through a proxy.
func local(r *http.Request) bool { return loopbackAddr(r.RemoteAddr) && !proxied(r.Header) }

// fromOwnPage reports whether a browser says that the form stood on a page of this agent. A form needs no JavaScript and no permission
// of the agent to be sent from another site, so one that says nothing is refused; what is cross-site was refused before (see wrap).
func fromOwnPage(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "same-origin" || r.Header.Get("Origin") != ""
}

// form makes a handler of what a form of a page asks for, once it is known who sends it.
func (s *site) form(do func(r *http.Request, who string) (to string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if f := s.formFault(r); f != nil {
			s.Log.Warn("a form was refused", "path", r.URL.Path, "remote", r.RemoteAddr, "err", f.Message)
			s.refuse(w, r, f)
			return
		}
		who := s.guard.person(r, s.Now())
		if who == "" {
			s.refuse(w, r, &fault{Status: http.StatusUnauthorized, Message: "nobody is signed in, or no more", Hint: "sign in, and do it again"})
			return
		}
		to, err := do(r, who)
		if err != nil {
			s.refuse(w, r, asFault(err))
			return
		}
		seeOther(w, r, to)
	}
}

// formFault reads a form, and says why it cannot be taken.
func (s *site) formFault(r *http.Request) *fault {
	if !fromOwnPage(r) {
		return &fault{Status: http.StatusForbidden, Message: "it is not known from where the form comes", Hint: "send it from the agent's own page, or call the API"}
	}
	if err := r.ParseForm(); err != nil {
		return asFault(fmt.Errorf("the form cannot be read: %w", err))
	}
	return nil
}

// seeOther leads on to an address below the site's root: relative, so that it is right below any prefix.
func seeOther(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Location", rootOf(r.URL.Path)+to)
	w.WriteHeader(http.StatusSeeOther)
}

type loginPage struct {
	page
	Next   string
	Name   string
	Token  bool   // one is asked for
	Barred bool   // nobody can sign in from where the reader is
	Wrong  string // what was wrong with the last try
}

func (s *site) loginPage(w http.ResponseWriter, r *http.Request) {
	next := inside(r.URL.Query().Get("next"))
	name, _, _ := r.BasicAuth() // of the web configuration file, which let the request through
	s.showLogin(w, r, http.StatusOK, loginPage{Next: next, Name: bounded(clean(name), maxActor)})
}

func (s *site) showLogin(w http.ResponseWriter, r *http.Request, status int, p loginPage) {
	p.page = s.page(r, "Sign in", levelWell)
	p.Token = !s.Token.IsZero()
	p.Barred = !p.Token && !local(r)
	s.render(w, status, "login", p)
}

// login exchanges the token, and the name that shall stand in timelines, for a session.
func (s *site) login(w http.ResponseWriter, r *http.Request) {
	if f := s.formFault(r); f != nil {
		s.refuse(w, r, f)
		return
	}
	who := order{Actor: r.PostForm.Get("name")}
	p := loginPage{Next: inside(r.PostForm.Get("next")), Name: bounded(clean(who.Actor), maxActor)}
	if f := who.check(""); f != nil {
		p.Wrong = strings.Replace(f.Message, "actor", "your name", 1)
		s.showLogin(w, r, f.Status, p)
		return
	}
	if !s.guard.admits(r, r.PostForm.Get("token")) {
		s.Log.Warn("sign-in refused", "remote", r.RemoteAddr, "name", bounded(clean(who.Actor), maxActor))
		p.Wrong = "the token is missing or wrong"
		s.showLogin(w, r, http.StatusUnauthorized, p)
		return
	}
	s.setCookie(w, r, s.guard.sign(who.Actor, s.Now().Add(sessionFor)), int(sessionFor/time.Second))
	s.Log.Info("signed in", "name", who.Actor, "remote", r.RemoteAddr)
	seeOther(w, r, p.Next)
}

// admits reports whether the token, or without one the place, lets somebody sign in.
func (g guard) admits(r *http.Request, token string) bool {
	if g.token.IsZero() {
		return local(r)
	}
	want, got := sha256.Sum256([]byte(g.token.Reveal())), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	if f := s.formFault(r); f != nil {
		s.refuse(w, r, f)
		return
	}
	s.setCookie(w, r, "", -1)
	seeOther(w, r, inside(r.PostForm.Get("next")))
}

func (s *site) setCookie(w http.ResponseWriter, r *http.Request, value string, seconds int) {
	external, err := url.Parse(s.ExternalURL)
	secure := r.TLS != nil || err == nil && external.Scheme == "https" && hostOnly(r.Host) == strings.ToLower(external.Hostname())
	http.SetCookie(w, &http.Cookie{Name: s.guard.cookieName(), Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode})
}

// inside returns an address below the site's root, without a leading slash; "" for any that could lead elsewhere.
func inside(to string) string {
	u, err := url.Parse(to)
	if err != nil || len(to) > 500 || u.Scheme != "" || u.Host != "" || u.Opaque != "" || strings.HasPrefix(to, "/") || strings.Contains(to, `\`) || strings.Contains(u.Path, "..") {
		return ""
	}
	return u.String()
}
