package probes_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/tds/tdstest"
)

// sqlServer starts a server of its own certificate and returns its address and the file with its authority.
func sqlServer(t testing.TB, server *tdstest.Server) (address, ca string) {
	t.Helper()
	authority := newAuthority(t, days(90))
	if server.TLS == nil {
		server.TLS = &tls.Config{Certificates: []tls.Certificate{authority.issue(t, nil)}}
	}
	return probetest.Listen(t, server.Serve), authority.File
}

// sqlProbe returns a valid probe of address, changed by edit, that remembers in a latch of its own.
func sqlProbe(t testing.TB, address, ca string, edit ...func(*probes.MSSQL)) *probes.MSSQL {
	t.Helper()
	p := &probes.MSSQL{Address: address, CAFile: ca}
	for _, change := range edit {
		change(p)
	}
	if faults := p.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	p.SetLatch(new(probes.MemoryLatch))
	return p
}

func withAccount(p *probes.MSSQL) {
	p.User, p.Password, p.Database = "probe", secret.New("Sesame, 0pen!"), "PerfionDB"
}

func strictly(p *probes.MSSQL) { p.Encryption = "strict" }

// refuses is a log-in that ends in errors.
func refuses(number int, class byte, text string, more ...[]byte) func(tdstest.Request) []byte {
	return func(tdstest.Request) []byte {
		return tdstest.Join(append([][]byte{tdstest.Error(number, class, text)}, append(more, tdstest.Done(2, 0))...)...)
	}
}

func sqlTarget(server func() *tdstest.Server, edit ...func(*probes.MSSQL)) probetest.Target {
	return func(t *testing.T) probes.Probe {
		address, ca := sqlServer(t, server())
		return sqlProbe(t, address, ca, edit...)
	}
}

// TestMSSQLContract holds the kind to the contract without an account and with one, over TDS 7.4 and 8.0.
func TestMSSQLContract(t *testing.T) {
	for name, edit := range map[string][]func(*probes.MSSQL){
		"pre-login": nil, "log-in": {withAccount}, "strict": {strictly}, "strict log-in": {strictly, withAccount},
	} {
		t.Run(name, func(t *testing.T) {
			strict := strings.HasPrefix(name, "strict")
			logsIn := strings.HasSuffix(name, "log-in")
			with := func(change func(*tdstest.Server)) probetest.Target {
				return sqlTarget(func() *tdstest.Server {
					s := &tdstest.Server{Strict: strict}
					change(s)
					return s
				}, edit...)
			}
			c := probetest.Case{
				Kind:   "mssql",
				Good:   with(func(*tdstest.Server) {}),
				Silent: with(func(s *tdstest.Server) { s.Hang = tdstest.Prelogin }),
			}
			if !logsIn { // until then both are the same
				c.Scenarios = probetest.Peers(func(t *testing.T, address string) probes.Probe {
					return sqlProbe(t, address, newAuthority(t, days(9)).File, edit...)
				})
			}
			for stage, at := range map[string]tdstest.Stage{"prelogin": tdstest.Prelogin, "tls": tdstest.TLS, "logon": tdstest.Login, "query": tdstest.Query} {
				if logsIn != (at >= tdstest.Login) {
					continue
				}
				c.Scenarios = append(
					c.Scenarios,
					probetest.Scenario{
						Name: "hangs in " + stage, Target: with(func(s *tdstest.Server) { s.Hang = at }), Timeout: 500 * time.Millisecond,
						Outcome: probes.Down, Reasons: []probes.Reason{probes.Timeout},
					},
					probetest.Scenario{
						Name: "hangs up in " + stage, Target: with(func(s *tdstest.Server) { s.Hangup = at }),
						Outcome: probes.Down, Reasons: []probes.Reason{probes.Reset},
					},
				)
				if at == tdstest.TLS {
					continue
				}
				for what, data := range hostileAnswers(at) {
					c.Scenarios = append(c.Scenarios, probetest.Scenario{
						Name: what + " in " + stage,
						Target: with(func(s *tdstest.Server) {
							s.Raw = func(stage tdstest.Stage, conn io.Writer) {
								if stage == at {
									data(conn)
								}
							}
						}),
						Outcome: probes.Down, Reasons: []probes.Reason{probes.Protocol, probes.Reset},
					})
				}
			}
			probetest.Run(t, c)
		})
	}
}

// hostileAnswers are what a server must not send at a stage.
func hostileAnswers(at tdstest.Stage) map[string]func(io.Writer) {
	endless := func(packet []byte) func(io.Writer) {
		return func(to io.Writer) {
			for {
				if _, err := to.Write(packet); err != nil {
					return
				}
			}
		}
	}
	once := func(data ...byte) func(io.Writer) { return func(to io.Writer) { _, _ = to.Write(data) } }
	whole := func(tokens ...byte) func(io.Writer) {
		return func(to io.Writer) { tdstest.WriteMessage(to, 4, tokens) }
	}
	full := make([]byte, 0xffff)
	copy(full, []byte{4, 0, 0xff, 0xff, 0, 0, 1, 0})
	all := map[string]func(io.Writer){
		"no packet":          once(0x13, 1, 0, 8, 0, 0, 0, 0),
		"short header":       once(4, 1, 0, 7, 0, 0, 0, 0),
		"cut packet":         once(4, 1, 0xff, 0xff, 0, 0, 0, 0, 1),
		"empty message":      whole(),
		"endless packets":    endless([]byte{4, 0, 0, 8, 0, 0, 1, 0}),
		"endless full ones":  endless(full),
		"http":               func(to io.Writer) { _, _ = io.WriteString(to, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"unknown first byte": whole(0x55, 0x55, 0x55),
	}
	if at == tdstest.Prelogin {
		return all
	}
	delete(all, "http") // inside TLS nobody speaks it
	var errs []byte
	for range 3000 {
		errs = append(errs, tdstest.Error(1, 16, strings.Repeat("x", 200))...)
	}
	all["endless errors"] = whole(errs...)
	all["session state of 4 GiB"] = whole(0xe4, 0xff, 0xff, 0xff, 0xff, 1)
	all["feature of 4 GiB"] = whole(0xae, 2, 0xff, 0xff, 0xff, 0xff, 1)
	all["error with nothing in it"] = whole(0xaa, 0, 0)
	all["redirect to nowhere"] = whole(0xe3, 8, 0, 20, 5, 0, 0, 0, 0, 0, 0)
	if at == tdstest.Login {
		all["neither accepted nor refused"] = whole(tdstest.Done(0, 0)...)
	}
	return all
}

// TestMSSQLFacts states what a good run tells.
func TestMSSQLFacts(t *testing.T) {
	var mu sync.Mutex
	var seen tdstest.Request
	var query string
	address, ca := sqlServer(t, &tdstest.Server{
		Login: func(r tdstest.Request) []byte { mu.Lock(); defer mu.Unlock(); seen = r; return tdstest.Accept() },
		Query: func(q string) []byte { mu.Lock(); defer mu.Unlock(); query = q; return tdstest.OneRow() },
	})
	r := run(t, sqlProbe(t, address, ca, withAccount, func(p *probes.MSSQL) { p.Query = "SELECT TOP 1 name FROM sys.tables" }))
	if r.Outcome != probes.Up {
		t.Fatal(r.Detail)
	}
	want := map[string]string{
		"address": address, "server_version": "16.0.1000 (SQL Server 2022)", "encryption": "on", "tls_version": "TLS 1.2", "logon": "probe is accepted", "database": "PerfionDB",
	}
	for name, value := range want {
		if got := fact(r, name); got != value {
			t.Errorf("fact %s is %q, want %q", name, got, value)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if seen.User != "probe" || seen.Password != "Sesame, 0pen!" || seen.Database != "PerfionDB" || seen.App != "firstcall" || seen.Server != "127.0.0.1" {
		t.Errorf("the server sees %+v", seen)
	}
	if query != "SET NOCOUNT OFF; SELECT TOP 1 name FROM sys.tables" {
		t.Errorf("the server is asked %q", query)
	}
	if r.Certificate == nil {
		t.Error("no certificate is told")
	}
	for _, phase := range []string{"connect", "prelogin", "tls", "logon", "query"} {
		if _, ok := r.Phase(phase); !ok {
			t.Errorf("phase %s is missing", phase)
		}
	}
}

// TestMSSQLRoute states that a redirect is followed to the end, told, and that its failures are told apart from the gateway's.
func TestMSSQLRoute(t *testing.T) {
	authority := newAuthority(t, days(90))
	config := &tls.Config{Certificates: []tls.Certificate{authority.issue(t, nil)}}
	gateway := func(t *testing.T, to string) string {
		host, port, _ := net.SplitHostPort(to)
		number, _ := strconv.ParseUint(port, 10, 16)
		return probetest.Listen(t, (&tdstest.Server{TLS: config, Login: func(tdstest.Request) []byte { return tdstest.Route(host, uint16(number)) }}).Serve)
	}
	node := func(t *testing.T, s *tdstest.Server) string {
		if s.TLS == nil {
			s.TLS = config
		}
		return probetest.Listen(t, s.Serve)
	}
	t.Run("followed", func(t *testing.T) {
		servers := make(chan string, 1)
		to := node(t, &tdstest.Server{Login: func(r tdstest.Request) []byte { servers <- r.Server; return tdstest.Accept() }})
		r := run(t, sqlProbe(t, gateway(t, gateway(t, to)), authority.File, withAccount))
		if r.Outcome != probes.Up || fact(r, "routed_to") != to {
			t.Errorf("%s: %s, routed to %s", r.Outcome, r.Detail, fact(r, "routed_to"))
		}
		if server := <-servers; server != "127.0.0.1" {
			t.Errorf("the node is called %s", server)
		}
	})
	down := func(t *testing.T, address string, seen bool, outcome probes.Outcome, reason probes.Reason, detail string) {
		t.Helper()
		p := sqlProbe(t, address, authority.File, withAccount)
		if seen {
			p.Succeed()
		}
		r := run(t, p)
		if r.Outcome != outcome || r.Reason != reason || !strings.Contains(r.Detail, detail) {
			t.Errorf("%s, %s: %s\nwant %s, %s: %s", r.Outcome, r.Reason, r.Detail, outcome, reason, detail)
		}
	}
	t.Run("closed, never seen", func(t *testing.T) {
		to := probetest.Closed(t)
		down(t, gateway(t, to), false, probes.Unknown, probes.Local, "redirected to "+to+": "+to+" refuses the connection; no log-in of this agent has been there before")
	})
	t.Run("closed, seen before", func(t *testing.T) {
		to := probetest.Closed(t)
		down(t, gateway(t, to), true, probes.Down, probes.Refused, "redirected to "+to)
	})
	t.Run("hangs", func(t *testing.T) {
		to := node(t, &tdstest.Server{Hangup: tdstest.Prelogin})
		down(t, gateway(t, to), false, probes.Down, probes.Reset, "redirected to "+to)
	})
	t.Run("certificate of another", func(t *testing.T) {
		to := node(t, &tdstest.Server{TLS: &tls.Config{Certificates: []tls.Certificate{newAuthority(t, days(9)).issue(t, nil)}}})
		down(t, gateway(t, to), false, probes.Down, probes.BadCertificate, "redirected to "+to)
	})
	t.Run("refused there", func(t *testing.T) {
		to := node(t, &tdstest.Server{Login: refuses(40613, 17, "x")})
		down(t, gateway(t, to), false, probes.Down, probes.Status, "redirected to "+to+": the database is not available")
	})
	t.Run("for ever", func(t *testing.T) {
		var self atomic.Uint32
		s := &tdstest.Server{TLS: config, Login: func(tdstest.Request) []byte { return tdstest.Route("127.0.0.1", uint16(self.Load())) }}
		address := probetest.Listen(t, s.Serve)
		_, port, _ := net.SplitHostPort(address)
		number, _ := strconv.ParseUint(port, 10, 16)
		self.Store(uint32(number))
		down(t, address, true, probes.Down, probes.Protocol, "the servers redirect more than 3 times")
	})
}

// TestMSSQLResumes states that a serverless database which resumes is waited for, as long as was configured.
func TestMSSQLResumes(t *testing.T) {
	var asked atomic.Int32
	address, ca := sqlServer(t, &tdstest.Server{Login: func(tdstest.Request) []byte {
		if asked.Add(1) < 4 {
			return tdstest.Refuse(40613, 17, "Database is not currently available.")
		}
		return tdstest.Accept()
	}})
	p := sqlProbe(t, address, ca, withAccount, func(p *probes.MSSQL) { p.ResumeWithin = time.Minute })
	p.PauseFor(time.Millisecond)
	if r := run(t, p); r.Outcome != probes.Up || asked.Load() != 4 {
		t.Errorf("%s after %d log-ins: %s", r.Outcome, asked.Load(), r.Detail)
	}
	asked.Store(-1000)
	p.PauseFor(time.Hour)
	if r := run(t, p); r.Outcome != probes.Down || asked.Load() != -999 {
		t.Errorf("%s after %d log-ins: %s", r.Outcome, asked.Load()+1000, r.Detail)
	}
}

// TestMSSQLToken states that an identity of Azure logs in with its token, that its own faults are unknown, and that a refusal
// does not lock it.
func TestMSSQLToken(t *testing.T) {
	identity := func(p *probes.MSSQL) { p.Credential, p.Database = "managed-identity", "PerfionDB" }
	var mu sync.Mutex
	var tokens []string
	answer := tdstest.AcceptToken()
	server := &tdstest.Server{FedAuth: true, Login: func(r tdstest.Request) []byte {
		mu.Lock()
		defer mu.Unlock()
		tokens = append(tokens, r.Token)
		return answer
	}}
	address, ca := sqlServer(t, server)
	p := sqlProbe(t, address, ca, identity)
	credential := &tokenSource{token: "eyJ.first"}
	p.Fake(credential)
	for range 2 {
		if r := run(t, p); r.Outcome != probes.Up {
			t.Fatalf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
	}
	if !slices.Equal(credential.scopes, []string{"https://database.windows.net/.default"}) {
		t.Errorf("tokens were asked for %q", credential.scopes)
	}
	mu.Lock()
	answer = tdstest.Refuse(18456, 14, "Login failed for user '<token-identified principal>'.")
	mu.Unlock()
	for range 2 {
		r := run(t, p)
		if r.Outcome != probes.Unknown || r.Reason != probes.Auth || !strings.Contains(r.Detail, "make it a user of the database") || fact(r, probes.FactAccount) == "" {
			t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
	}
	if !slices.Equal(tokens, []string{"eyJ.first", "eyJ.first", "eyJ.first", "eyJ.first"}) || len(credential.scopes) != 2 {
		t.Errorf("the server saw %q, %d tokens were asked for", tokens, len(credential.scopes))
	}
	p = sqlProbe(t, address, ca, identity)
	p.Fake(&tokenSource{err: &azidentity.AuthenticationFailedError{RawResponse: &http.Response{StatusCode: 401, Body: http.NoBody}}})
	if r := run(t, p); r.Outcome != probes.Unknown || r.Reason != probes.Auth || !strings.Contains(r.Detail, "microsoft entra refuses the probe's identity (managed-identity)") || fact(r, probes.FactAccount) == "" {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
	p = sqlProbe(t, address, ca, identity)
	p.Fake(&tokenSource{err: errors.New("no network")})
	if r := run(t, p); r.Outcome != probes.Unknown || r.Reason != probes.Local {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
	address, ca = sqlServer(t, new(tdstest.Server))
	p = sqlProbe(t, address, ca, identity)
	p.Fake(new(azfake.TokenCredential))
	if r := run(t, p); r.Outcome != probes.Unknown || !strings.Contains(r.Detail, "the server takes no access tokens") {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
}

type tokenSource struct {
	token  string
	err    error
	scopes []string
}

func (s *tokenSource) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	s.scopes = append(s.scopes, options.Scopes...)
	return azcore.AccessToken{Token: s.token, ExpiresOn: time.Now().Add(time.Hour)}, s.err
}

// TestMSSQLTLS states what a certificate that does not verify and a missing encryption mean, and that nobody is told a password.
func TestMSSQLTLS(t *testing.T) {
	t.Run("unknown authority", func(t *testing.T) {
		asked := false
		address, _ := sqlServer(t, &tdstest.Server{Login: func(tdstest.Request) []byte { asked = true; return tdstest.Accept() }})
		r := run(t, sqlProbe(t, address, newAuthority(t, days(9)).File, withAccount))
		if r.Outcome != probes.Down || r.Reason != probes.BadCertificate || asked || r.Certificate == nil {
			t.Errorf("%s, %s: %s; asked %v", r.Outcome, r.Reason, r.Detail, asked)
		}
	})
	t.Run("skipped", func(t *testing.T) {
		address, _ := sqlServer(t, new(tdstest.Server))
		if r := run(t, sqlProbe(t, address, "", func(p *probes.MSSQL) { p.InsecureSkipVerify = true })); r.Outcome != probes.Up {
			t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
	})
	t.Run("no encryption", func(t *testing.T) {
		address, ca := sqlServer(t, &tdstest.Server{Encryption: 2})
		if r := run(t, sqlProbe(t, address, ca, withAccount)); r.Outcome != probes.Down || r.Reason != probes.TLS || !strings.Contains(r.Detail, "server offers no encryption (not supported)") {
			t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
	})
	t.Run("server_name", func(t *testing.T) {
		address, ca := sqlServer(t, new(tdstest.Server))
		if r := run(t, sqlProbe(t, address, ca, func(p *probes.MSSQL) { p.ServerName = "other.example" })); r.Outcome != probes.Down || r.Reason != probes.BadCertificate {
			t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
	})
}
