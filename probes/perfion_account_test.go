package probes_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/perfiontest"
)

func all(edits ...func(*probes.Perfion)) func(*probes.Perfion) {
	return func(p *probes.Perfion) {
		for _, edit := range edits {
			edit(p)
		}
	}
}

func auth(word string) func(*probes.Perfion) { return func(p *probes.Perfion) { p.Auth = word } }

// Each way to log on; the hash is that of the documentation's example.
func TestPerfionLogsOn(t *testing.T) {
	const documented = "Uy6qvZV0iA2/drm4zACDLCCm7BE9aCKZVQ16bg80XiU="
	if got := perfiontest.Hash("Test"); got != documented {
		t.Fatalf("the hash is %s", got)
	}
	byHash := func(p *probes.Perfion) { p.User, p.PasswordHash = "probe", secret.New(documented) }
	users := perfiontest.Options{Users: map[string]string{"probe": "Test"}}
	old := users
	old.Old = true
	for _, c := range []struct {
		name    string
		options perfiontest.Options
		edit    func(*probes.Perfion)
		tokens  int
		how     string
	}{
		{"basic", users, as("probe", "Test"), 0, "basic"},
		{"basic with the hash", users, byHash, 0, "basic"},
		{"headers", old, all(as("probe", "Test"), auth("headers")), 0, "headers"},
		{"headers with the hash", old, all(byHash, auth("headers")), 0, "headers"},
		{"a token for soap", users, all(as("probe", "Test"), auth("token")), 1, "token"},
		{"a token for rest", users, all(as("probe", "Test"), rest), 1, "token"},
		{"a token by the hash", users, all(byHash, rest), 1, "token"},
		{"not wanted", perfiontest.Options{}, nil, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := perfiontest.Start(t, c.options)
			p := perfionProbe(t, s.URL, c.edit)
			for i := range 3 {
				r := checked(t, p)
				want(t, r, probes.Up, probes.None, "")
				if got := fact(r, "logon"); c.how != "" && got != "probe is accepted ("+c.how+")" || c.how == "" && got != "" {
					t.Errorf("logon is %q", got)
				}
				if logon, ok := r.Phase(probes.PhaseToken); ok != (i == 0 && c.tokens > 0) || ok && logon <= 0 {
					t.Errorf("run %d: phase logon %s, %v", i, logon, ok)
				}
			}
			if seen := s.Seen(); seen.Tokens != c.tokens || seen.Refused != 0 {
				t.Errorf("seen %+v", seen)
			}
		})
	}
}

// After one refusal the account is not shown again until its secret changes or an operator resets it, whoever probes; what can be
// measured without it is.
func TestPerfionRefusedAccountIsNotTriedAgain(t *testing.T) {
	for name, edit := range map[string]func(*probes.Perfion){"basic": nil, "headers": auth("headers"), "token": rest, "token for soap": auth("token")} {
		t.Run(name, func(t *testing.T) {
			s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Right-1"}})
			latches := probes.FileLatch(filepath.Join(t.TempDir(), "latches"))
			probe := func(password string) *probes.Perfion {
				p := perfionProbe(t, s.URL, func(p *probes.Perfion) {
					as("probe", password)(p)
					if edit != nil {
						edit(p)
					}
				})
				p.SetLatch(latches)
				return p
			}
			p := probe("Wrong-1")
			want(t, checked(t, p), probes.Unknown, probes.Auth, "the monitoring account probe is refused: ", "account=not tried again until its secret changes")
			for range 2 { // the same process, and another
				want(t, checked(t, p), probes.Up, probes.None, "", "account=log-on with probe is off: refused at ", "ladder=the application answers (401 Unauthorized)")
				p = probe("Wrong-1")
			}
			if n := s.Seen().Refused; n != 1 {
				t.Errorf("the account was shown %d times", n)
			}
			if err := p.ResetLatch(); err != nil {
				t.Fatal(err)
			}
			want(t, checked(t, p), probes.Unknown, probes.Auth, "is refused")
			if n := s.Seen().Refused; n != 2 {
				t.Errorf("after a reset the account was shown %d times", n)
			}
			want(t, checked(t, probe("Right-1")), probes.Up, probes.None, "", "logon=probe is accepted")
			files, err := os.ReadDir(string(latches))
			if err != nil || len(files) != 1 {
				t.Fatalf("%d latches, %v", len(files), err)
			}
			content, _ := os.ReadFile(filepath.Join(string(latches), files[0].Name()))
			if strings.Contains(string(content)+files[0].Name(), "Wrong") || strings.Contains(string(content), perfiontest.Hash("Wrong-1")) {
				t.Errorf("the latch tells the secret: %s", content)
			}
		})
	}
}

// Outages are seen without the account as well.
func TestPerfionMeasuresWithoutARefusedAccount(t *testing.T) {
	for name, edit := range map[string]func(*probes.Perfion){"soap": nil, "rest": rest} {
		t.Run(name, func(t *testing.T) {
			var fault http.HandlerFunc
			s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Right-1"}, Fault: func(string, int) http.HandlerFunc { return fault }})
			p := perfionProbe(t, s.URL, func(p *probes.Perfion) {
				as("probe", "Wrong-1")(p)
				if edit != nil {
					edit(p)
				}
			})
			want(t, checked(t, p), probes.Unknown, probes.Auth, "")
			for _, c := range []verdictCase{
				{"", perfiontest.Page(503, "Service Unavailable"), probes.Down, probes.Status, "status 503"},
				{"", perfiontest.Page(500, "Runtime Error"), probes.Down, probes.Status, ", twice"},
				{"", perfiontest.Page(200, "Log in"), probes.Down, probes.Content, "a page in place of data"},
				{"", perfiontest.Message(403, "no"), probes.Up, probes.None, ""},
			} {
				fault = c.fault
				want(t, checked(t, p), c.outcome, c.reason, c.detail, "account=log-on with probe is off")
			}
		})
	}
}

// A wrong secret is tried once, however many runs begin at the same time.
func TestPerfionWrongSecretIsTriedOnce(t *testing.T) {
	for name, edit := range map[string]func(*probes.Perfion){"basic": nil, "token": rest} {
		t.Run(name, func(t *testing.T) {
			s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Right-1"}})
			p := perfionProbe(t, s.URL, func(p *probes.Perfion) {
				as("probe", "Wrong-at-once")(p)
				if edit != nil {
					edit(p)
				}
			})
			var runs sync.WaitGroup
			for range 12 {
				runs.Go(func() { p.Probe(t.Context()) })
			}
			runs.Wait()
			if n := s.Seen().Refused; n != 1 {
				t.Errorf("the account was shown %d times", n)
			}
		})
	}
}

// Runs share one token; it is renewed when it is over, and once when it is refused.
func TestPerfionRenewsTheToken(t *testing.T) {
	start := func(t *testing.T, lifetime any) (*perfiontest.Server, *probes.Perfion) {
		s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Test"}, Lifetime: lifetime})
		return s, perfionProbe(t, s.URL, all(as("probe", "Test"), rest))
	}
	t.Run("shared", func(t *testing.T) {
		s, p := start(t, 3600)
		var runs sync.WaitGroup
		for range 12 {
			runs.Go(func() { want(t, p.Probe(t.Context()), probes.Up, probes.None, "") })
		}
		runs.Wait()
		if n := s.Seen().Tokens; n != 1 {
			t.Errorf("%d tokens for 12 runs", n)
		}
	})
	for name, lifetime := range map[string]any{"over at once": 0, "as text": "0", "negative": -5} {
		t.Run(name, func(t *testing.T) {
			s, p := start(t, lifetime)
			for range 3 {
				want(t, checked(t, p), probes.Up, probes.None, "")
			}
			if n := s.Seen().Tokens; n != 3 {
				t.Errorf("%d tokens for 3 runs", n)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		s, p := start(t, nil)
		for range 3 {
			want(t, checked(t, p), probes.Up, probes.None, "")
			s.Revoke()
		}
		if seen := s.Seen(); seen.Tokens != 3 || seen.Refused != 2 {
			t.Errorf("seen %+v", seen)
		}
	})
	t.Run("refused after a failure", func(t *testing.T) {
		var s *perfiontest.Server
		s = perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Test"}, Fault: func(operation string, nth int) http.HandlerFunc {
			if operation == "data" && nth == 2 {
				s.Revoke() // it restarts
				return perfiontest.Page(500, "Runtime Error")
			}
			return nil
		}})
		p := perfionProbe(t, s.URL, all(as("probe", "Test"), rest))
		for range 3 {
			want(t, checked(t, p), probes.Up, probes.None, "")
		}
	})
	t.Run("each one refused", func(t *testing.T) {
		s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Test"}, Fault: perfiontest.Always("data", perfiontest.Message(401, "No valid authentication token was supplied!"))})
		p := perfionProbe(t, s.URL, all(as("probe", "Test"), rest))
		want(t, checked(t, p), probes.Unknown, probes.Auth, "is refused: status 401")
		want(t, checked(t, p), probes.Up, probes.None, "", "account=is off")
		if seen := s.Seen(); seen.Tokens != 2 || seen.Data != 3 {
			t.Errorf("seen %+v", seen)
		}
	})
}

// What the token endpoint may do.
func TestPerfionTokenEndpoint(t *testing.T) {
	for _, c := range []verdictCase{
		{"refusal of oauth", perfiontest.Text(400, "application/json", `{"error":"invalid_grant"}`), probes.Unknown, probes.Auth, "invalid_grant"},
		{"any 400", perfiontest.Text(400, "text/plain", ""), probes.Unknown, probes.Auth, "log-on at /token: status 400"},
		{"unauthorised", perfiontest.Text(401, "text/plain", ""), probes.Unknown, probes.Auth, "status 401"},
		{"page", perfiontest.Page(200, "Log in"), probes.Down, probes.Content, "log-on at /token: answers 200 with a page"},
		{"no token", perfiontest.Text(200, "application/json", `{"Data":{}}`), probes.Down, probes.Content, "without a token"},
		{"token with a line break", perfiontest.Text(200, "application/json", `{"access_token":"a\r\nX: y"}`), probes.Down, probes.Content, "without a token"},
		{"huge token", perfiontest.Text(200, "application/json", `{"access_token":"`+strings.Repeat("a", 20<<10)+`"}`), probes.Down, probes.Content, ""},
		{"always 500", perfiontest.Page(500, "Runtime Error"), probes.Down, probes.Status, "log-on at /token: status 500"},
		{"503", perfiontest.Page(503, "Service Unavailable"), probes.Down, probes.Status, "log-on at /token: status 503"},
		{"not there", perfiontest.Page(404, "Not Found"), probes.Down, probes.Status, "status 404"},
		{"licence", perfiontest.Message(200, "No licence for the API"), probes.Degraded, probes.Functional, "its licence"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Test"}, Fault: perfiontest.Always("token", c.fault)})
			want(t, checked(t, perfionProbe(t, s.URL, all(as("probe", "Test"), rest))), c.outcome, c.reason, c.detail)
		})
	}
	t.Run("500 once", func(t *testing.T) {
		s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Test"}, Fault: perfiontest.Once("token", perfiontest.Page(500, "x"))})
		want(t, checked(t, perfionProbe(t, s.URL, all(as("probe", "Test"), rest))), probes.Up, probes.None, "")
	})
}

// A token of Entra's lies in a file that somebody else renews; a refused one is not shown again, a new one is at once.
func TestPerfionTokenFile(t *testing.T) {
	s := perfiontest.Start(t, perfiontest.Options{Bearer: "entra-token-2"})
	file := filepath.Join(t.TempDir(), "token")
	for name, edit := range map[string]func(*probes.Perfion){"soap": func(*probes.Perfion) {}, "rest": rest} {
		t.Run(name, func(t *testing.T) {
			refused := s.Seen().Refused
			_ = os.Remove(file)
			p := perfionProbe(t, s.URL, all(edit, func(p *probes.Perfion) { p.TokenFile = file }))
			want(t, checked(t, p), probes.Unknown, probes.Local, "token_file cannot be read")
			write := func(text string) {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("\n")
			want(t, checked(t, p), probes.Unknown, probes.Local, "it holds no bearer token")
			write("entra-token-1\n")
			want(t, checked(t, p), probes.Unknown, probes.Auth, "the monitoring account the token of token_file is refused")
			want(t, checked(t, p), probes.Up, probes.None, "", "account=is off")
			write("entra-token-2\n")
			want(t, checked(t, p), probes.Up, probes.None, "", "logon=the token of token_file is accepted")
			if n := s.Seen().Refused - refused; n != 1 {
				t.Errorf("shown %d times to be refused", n)
			}
		})
	}
}

// Nothing that proves who the probe is stands in a result, though the service repeats it.
func TestPerfionKeepsSecrets(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		text, _ := json.Marshal(map[string]string{"message": strings.Join(r.Header.Values("Authorization"), " ") + " " + r.Header.Get("pwd") + " " + r.PostFormValue("password") + " Bad-Pass1"})
		perfiontest.Text(400, "application/json", string(text))(w, r)
	}
	page := func(w http.ResponseWriter, r *http.Request) {
		perfiontest.Page(200, r.Header.Get("Authorization")+" "+r.Header.Get("pwd")+" Bad-Pass1")(w, r)
	}
	for _, fault := range []http.HandlerFunc{echo, page} {
		for name, edit := range map[string]func(*probes.Perfion){"basic": auth("auto"), "headers": auth("headers"), "token": rest} {
			t.Run(name, func(t *testing.T) {
				s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Bad-Pass1"}, Fault: func(operation string, _ int) http.HandlerFunc {
					if operation == "token" {
						return nil
					}
					return fault
				}})
				r := checked(t, perfionProbe(t, s.URL, all(as("probe", "Bad-Pass1"), edit)))
				text, err := json.Marshal(r)
				if err != nil || r.Outcome == probes.Up {
					t.Fatalf("%v, %+v", err, r)
				}
				for _, s := range []string{"Bad-Pass1", perfiontest.Hash("Bad-Pass1"), "cHJvYmU6", ".token-000001"} {
					if strings.Contains(string(text), s) {
						t.Errorf("%q stands in %s", s, text)
					}
				}
			})
		}
	}
}

// A run that waits for another's first log-on is not held up by a service that hangs: it measures without.
func TestPerfionFirstLogOnHangs(t *testing.T) {
	entered := make(chan struct{}, 2)
	hang := func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		perfiontest.Hang(w, r)
	}
	s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Test"}, Fault: perfiontest.Always("ExecuteQuery", hang)})
	p := perfionProbe(t, s.URL, as("probe", "Test"))
	first := make(chan probes.Result)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { first <- p.Probe(ctx) }()
	<-entered
	second, done := context.WithTimeout(t.Context(), 4*time.Second) // of which it waits for one half
	defer done()
	want(t, p.Probe(second), probes.Up, probes.None, "", "logon=another run logs on", "ladder=the application answers")
	cancel()
	want(t, <-first, probes.Unknown, probes.Local, "")
}

// A token that an earlier run got is hidden like one that is new, also where the service says it back.
func TestPerfionHidesAKeptToken(t *testing.T) {
	s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Test"}, Fault: func(operation string, nth int) http.HandlerFunc {
		if operation != "data" || nth == 1 {
			return nil
		}
		return func(w http.ResponseWriter, r *http.Request) {
			shown := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			w.Header().Set("Server", "seen "+shown)
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("no service for " + shown))
		}
	}})
	p := perfionProbe(t, s.URL, all(as("probe", "Test"), rest))
	want(t, checked(t, p), probes.Up, probes.None, "")
	r := checked(t, p)
	want(t, r, probes.Down, probes.Status, "503", "server=seen ")
	if text, err := json.Marshal(r); err != nil || strings.Contains(string(text), "0123456789abcdef") {
		t.Errorf("%s tells the token, %v", text, err)
	}
}

// Words that SQL Server has for its own accounts are no outage where they name the user that the probe shows, who is then not shown again.
func TestPerfionTellsItsOwnUserFromTheDatabases(t *testing.T) {
	for name, c := range map[string]struct {
		words   string
		outcome probes.Outcome
		reason  probes.Reason
		asked   int
	}{
		"its own":              {"Login failed for user 'Probe'.", probes.Unknown, probes.Auth, 1},
		"its own, at the end":  {"System.Exception: login failed for user probe", probes.Unknown, probes.Auth, 1},
		"the application's":    {"Login failed for user 'PerfionSvc'.", probes.Down, probes.Status, 2},
		"one of its domain":    {"Login failed for user 'probe.db'.", probes.Down, probes.Status, 2},
		"one with a like name": {"Login failed for user 'probe-db'.", probes.Down, probes.Status, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Test"}, Fault: perfiontest.Always("ExecuteQuery", perfiontest.Fault("Server", c.words))})
			r := checked(t, perfionProbe(t, s.URL, as("probe", "Test")))
			want(t, r, c.outcome, c.reason, "ogin failed for user")
			if n := s.Seen().Queries; n != c.asked {
				t.Errorf("asked %d times, want %d", n, c.asked)
			}
		})
	}
}
