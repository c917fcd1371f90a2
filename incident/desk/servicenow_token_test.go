package desk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest/systems"
)

func TestServiceNowTokens(t *testing.T) {
	t.Run("one for many callers, asked for again when it was revoked", func(t *testing.T) {
		system := systems.NewServiceNow(systems.ServiceNowOptions{})
		d, _, _ := snow(t, system, "")
		for round := 1; round <= 2; round++ {
			var wg sync.WaitGroup
			var failed atomic.Int32
			for i := range 8 {
				wg.Go(func() {
					if _, err := d.Open(t.Context(), agentFields(fmt.Sprintf("fc-%d-%d", round, i))); err != nil {
						failed.Add(1)
					}
				})
			}
			wg.Wait()
			if n := system.Logins(); failed.Load() != 0 || n != round {
				t.Errorf("round %d: %d failed, %d tokens", round, failed.Load(), n)
			}
			system.Revoke()
		}
		if live := desktest.Live(system, "fc-2-0"); live != 1 {
			t.Errorf("%d cases of one open after a refused token", live)
		}
	})
	t.Run("refreshed before it expires", func(t *testing.T) {
		now := noon
		system := systems.NewServiceNow(systems.ServiceNowOptions{TokenLife: 30 * time.Minute, Now: func() time.Time { return now }})
		front := httptest.NewServer(system)
		defer front.Close()
		d, err := (&desk.ServiceNow{URL: front.URL, ClientID: systems.SnowClient, ClientSecret: secret.New(systems.SnowSecret)}).
			Build(desk.Env{Name: "x", Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 1}, {28 * time.Minute, 1}, {90 * time.Second, 2}} {
			now = now.Add(step.after)
			if _, err := d.Find(t.Context(), "k"); err != nil || system.Logins() != step.want {
				t.Errorf("after %s: %d tokens, want %d (%v)", step.after, system.Logins(), step.want, err)
			}
		}
	})
}

func TestServiceNowTokenRefusedTwiceIsNoLoop(t *testing.T) {
	var tables atomic.Int32
	d := configured(t, "servicenow", "client_id: c\nclient_secret: s\nurl: "+serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth_token.do" {
			_, _ = fmt.Fprint(w, `{"access_token":"h1dden","token_type":"Bearer","expires_in":"1800"}`)
			return
		}
		tables.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, r.Header)
	}))
	_, err := d.Open(t.Context(), agentFields("k"))
	if err == nil || errors.Is(err, desk.ErrUnknownOutcome) || tables.Load() != 2 || strings.Contains(err.Error(), "h1dden") {
		t.Errorf("%d requests, %v", tables.Load(), err)
	}
}

func TestServiceNowTokenErrorsAreCertain(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"lost":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"refused":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"down":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"a page":   func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") },
		"no token": func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"access_token":""}`) },
		"a break": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"access_token":"a\r\nX-Evil: 1"}`)
		},
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"a mac": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"access_token":"a","token_type":"mac"}`)
		},
		"echo": func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, r.Form)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var tables atomic.Int32
			d := configured(t, "servicenow", "client_id: c\nclient_secret: h1dden\nurl: "+serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/oauth_token.do" {
					tables.Add(1)
				}
				_ = r.ParseForm()
				answer(w, r)
			}))
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := d.Open(ctx, agentFields("k"))
			if err == nil || errors.Is(err, desk.ErrUnknownOutcome) || !strings.Contains(err.Error(), "no access token") || strings.Contains(err.Error(), "h1dden") {
				t.Errorf("error %v", err)
			}
			if tables.Load() != 0 {
				t.Error("a request was sent without a token")
			}
		})
	}
}

// A connection for a token says nothing of whether the create left: when the instance cannot be reached after it, nothing was sent.
func TestServiceNowTokenIsNotTheCreate(t *testing.T) {
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path != "/oauth_token.do" {
			return nil, errors.New("connection refused")
		}
		if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
			trace.GotConn(httptrace.GotConnInfo{})
		}
		body := io.NopCloser(strings.NewReader(`{"access_token":"t0ken"}`))
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: body}, nil
	})}
	d, err := (&desk.ServiceNow{URL: "http://desk.example", ClientID: "c", ClientSecret: secret.New("s")}).Build(desk.Env{Name: "x", HTTP: client})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(t.Context(), agentFields("k")); err == nil || errors.Is(err, desk.ErrUnknownOutcome) {
		t.Errorf("error %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
