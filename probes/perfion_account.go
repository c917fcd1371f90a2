package probes

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// perfionAccount is how a probe shows who it is.
type perfionAccount struct {
	mode     string // "" for nobody
	user     string
	hash     string // BASE64(SHA256(password))
	key      string // of its guard; of a token file: of the newest token
	scope    string
	endpoint *url.URL // for tokens

	mu     sync.Mutex
	latest string // token of the file for which key was made
	tokens tokenKeeper
}

// checkAccount checks the keys of the account and prepares it. Of the password only the hash is kept.
func (p *Perfion) checkAccount(faults *field.Errors) {
	a := &p.account
	a.mode, a.user, a.hash = "", p.User, ""
	a.tokens.turn = make(chan struct{}, 1)
	if target, err := url.Parse(p.URL); err == nil {
		a.scope = target.Host
	}
	before := len(*faults)
	switch p.Auth {
	case "", perfionAuto:
		a.mode = authToken
		if p.soap {
			a.mode = authBasic
		}
	case authBasic, authHeaders:
		a.mode = p.Auth
		if !p.soap {
			faults.AddHint("auth", "use token, or interface: soap", "interface: rest takes bearer tokens only")
		}
	case authToken:
		a.mode = p.Auth
	default:
		faults.AddHint("auth", "auto, basic, headers or token", "is no way to log on")
	}
	if p.TokenFile != "" || p.User == "" {
		p.checkNoUser(faults)
		return
	}
	p.checkSecret(faults)
	if len(*faults) > before {
		return
	}
	key, err := guardKey("perfion", a.user, "", a.scope, []byte(a.hash))
	if err != nil {
		faults.Add("password", "cannot be guarded against a lock-out: %s", clause(err))
	}
	a.key = key
}

// checkNoUser checks the keys of an account that is a token in a file, or of none.
func (p *Perfion) checkNoUser(faults *field.Errors) {
	a := &p.account
	a.mode = ""
	if p.TokenFile != "" {
		a.mode = authFile
		if p.User != "" {
			faults.AddHint("token_file", "keep one of them", "user and token_file are both given")
		}
		if p.Auth != "" && p.Auth != perfionAuto {
			faults.AddHint("auth", "leave it out", "has no effect with token_file")
		}
	} else if p.Auth != "" && p.Auth != perfionAuto {
		faults.AddHint("auth", "add user", "has no effect without user")
	}
	for key, value := range map[string]secret.Value{"password": p.Password, "password_hash": p.PasswordHash} {
		if !value.IsZero() && p.User == "" {
			faults.AddHint(key, "add user", "has no user")
		}
	}
}

func (p *Perfion) checkSecret(faults *field.Errors) {
	if len(p.User) > maxUser || !httpguts.ValidHeaderFieldValue(p.User) || p.account.mode == authBasic && strings.Contains(p.User, ":") {
		faults.Add("user", "is no user name")
	}
	switch {
	case p.Password.IsZero() == p.PasswordHash.IsZero():
		faults.AddHint("password", "one of password and password_hash", "user needs one secret")
	case p.Password.IsZero():
		raw, err := base64.StdEncoding.DecodeString(p.PasswordHash.Reveal())
		if err != nil || len(raw) != sha256.Size {
			faults.AddHint("password_hash", "BASE64(SHA256(password)), 44 characters", "is no such hash")
		}
		p.account.hash = p.PasswordHash.Reveal()
	default:
		sum := sha256.Sum256([]byte(p.Password.Reveal()))
		p.account.hash = base64.StdEncoding.EncodeToString(sum[:])
	}
}

// basic is what stands after Basic in the header Authorization.
func (a *perfionAccount) basic() string {
	return base64.StdEncoding.EncodeToString([]byte(a.user + ":" + a.hash))
}

// secrets are the texts that no result may hold.
func (p *Perfion) secrets() []secret.Value {
	all := append([]secret.Value{p.Password, p.PasswordHash}, p.client.masked...)
	if hash := p.account.hash; hash != "" {
		all = append(all, secret.New(hash), secret.New(url.QueryEscape(hash)), secret.New(p.account.basic()))
	}
	return all
}

// who names the account for people.
func (a *perfionAccount) who() string {
	if a.mode == authFile {
		return "the token of token_file"
	}
	return a.user
}

// UsesAccount reports whether the probe shows an account.
func (p *Perfion) UsesAccount() bool { return p.account.mode != "" }

// SetLatch makes the probe remember refusals in l. It is called before the first run.
func (p *Perfion) SetLatch(l Latch) { p.latch = l }

// ResetLatch forgets that the account was refused; the next run tries it again.
func (p *Perfion) ResetLatch() error {
	if p.account.mode == authFile {
		if _, err := p.account.fileToken(p.TokenFile); err != nil {
			return err
		}
	}
	key := p.account.guardKey()
	if key == "" {
		return nil
	}
	return errors.Join(guard{p.latchOrProcess(), key}.reset(), processLatch.Latch(key, ""))
}

func (p *Perfion) latchOrProcess() Latch {
	if p.latch == nil {
		return processLatch
	}
	return p.latch
}

// guardKey returns the key of the account's guard.
func (a *perfionAccount) guardKey() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.key
}

// fileToken reads the token that lies in a file, and makes the key of its guard when it is new.
func (a *perfionAccount) fileToken(name string) (string, error) {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return "", err
	}
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxToken+1))
	token := strings.TrimSpace(string(content))
	if err == nil && (token == "" || len(content) > maxToken || !httpguts.ValidHeaderFieldValue(token)) {
		err = errors.New("it holds no bearer token")
	}
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if token != a.latest {
		key, err := guardKey("perfion", "", "", a.scope, []byte(token))
		if err != nil {
			return "", err
		}
		a.latest, a.key = token, key
	}
	return token, nil
}

// tokenKeeper holds the newest token of the token endpoint for all runs of a probe. One of them at a time asks for another.
type tokenKeeper struct {
	turn chan struct{} // who holds its one place may ask

	mu    sync.Mutex
	token string
	until time.Time // zero: until it is refused
}

// kept returns the token while it is good.
func (k *tokenKeeper) kept(now time.Time) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.token, k.token != "" && (k.until.IsZero() || now.Before(k.until))
}

// keep keeps a token until shortly before its end.
func (k *tokenKeeper) keep(token string, lifetime time.Duration, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.token, k.until = token, time.Time{}
	if lifetime > 0 {
		k.until = now.Add(lifetime - min(lifetime/10, time.Minute))
	}
}

// drop forgets a token that was refused, unless there is a newer one.
func (k *tokenKeeper) drop(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.token == token {
		k.token = ""
	}
}

// tokenQuestion asks for a token.
func (a *perfionAccount) tokenQuestion() question {
	form := url.Values{"username": {a.user}, "password": {a.hash}, "grant_type": {"Password"}}
	return question{
		url: a.endpoint, body: form.Encode(),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}, "User-Agent": {userAgent}},
	}
}

// fetchToken returns the kept token, or asks for one. Where there is none, the verdict says why, or what ended the run.
func (s *perfionRun) fetchToken(ctx context.Context) (token string, v perfionVerdict) {
	k := &s.probe.account.tokens
	if token, ok := k.kept(time.Now()); ok {
		s.mask(token)
		return token, perfionVerdict{outcome: Up}
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		outcome, reason, detail := Classify(ctx, PhaseToken, ctx.Err(), Protocol)
		return "", perfionVerdict{outcome: outcome, reason: reason, text: detail + " from the token endpoint"}
	}
	if token, ok := k.kept(time.Now()); ok { // another run got one meanwhile
		s.mask(token)
		return token, perfionVerdict{outcome: Up}
	}
	s.rec.Begin(PhaseToken)
	defer s.rec.End()
	q := s.probe.account.tokenQuestion()
	asked := time.Now()
	answer, v := s.aside(ctx, q)
	if v.doubt != certain {
		asked = time.Now()
		answer, v = s.aside(ctx, q)
	}
	v.doubt = certain
	switch {
	case v.outcome == Up && answer.token != "" && httpguts.ValidHeaderFieldValue(answer.token):
		s.mask(answer.token)
		k.keep(answer.token, answer.lifetime, asked)
		return answer.token, v
	case v.outcome == Up:
		v = perfionVerdict{outcome: Down, reason: Content, text: "answers 200 without a token"}
	case answer != nil && answer.status == http.StatusBadRequest && !answer.html: // so OAuth 2.0 refuses (RFC 6749 section 5.2)
		v.refused, v.reason = true, Auth
	}
	if answer != nil {
		s.rec.Fact("status", answer.line)
		s.rec.Fact("server", answer.software)
		s.rec.Fact("title", answer.title)
	}
	v.text = fmt.Sprintf("log-on at %s: %s", s.probe.TokenPath, v.text)
	return "", v
}
