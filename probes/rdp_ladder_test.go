package probes_test

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/rdp"
	"github.com/firstcall-agent/firstcall/probes/rdp/rdptest"
)

// Runs against servers that stay silent take all of rdpSilence; others may take long on a loaded machine, and do not.
const (
	rdpPatience = 20 * time.Second
	rdpSilence  = 400 * time.Millisecond
)

func runRDP(t *testing.T, p probes.RDP, limit time.Duration) probes.Result {
	t.Helper()
	if faults := p.Validate(); len(faults) > 0 {
		t.Fatalf("not valid: %v", faults)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return p.Probe(ctx)
}

// wantRDP compares what a person sees of a result; detail is a part of it, facts are "name=part of the value".
func wantRDP(t *testing.T, r probes.Result, outcome probes.Outcome, reason probes.Reason, detail string, facts ...string) {
	t.Helper()
	if r.Outcome != outcome || r.Reason != reason || !strings.Contains(r.Detail, detail) || (detail == "" && r.Detail != "") {
		t.Errorf("got %v %q %q, want %v %q %q", r.Outcome, r.Reason, r.Detail, outcome, reason, detail)
	}
	for _, f := range facts {
		name, value, _ := strings.Cut(f, "=")
		if got := fact(r, name); !strings.Contains(got, value) {
			t.Errorf("fact %s is %q, want %q in it", name, got, value)
		}
	}
}

func phaseNames(r probes.Result) string {
	var names []string
	for _, p := range r.Phases {
		names = append(names, p.Name)
	}
	return strings.Join(names, " ")
}

// logonProbe is a probe that logs on; each name of a user has a latch key of its own in this process.
func logonProbe(address, user, password string) probes.RDP {
	return probes.RDP{Address: address, Depth: "logon", User: user, Password: secret.New(password)}
}

func TestRDPChallengeSaysWhoAnswers(t *testing.T) {
	s := rdptest.Start(t, rdptest.Options{})
	r := runRDP(t, probes.RDP{Address: s.Address}, rdpPatience)
	wantRDP(t, r, probes.Up, probes.None, "", "security=nla, credssp 6", "host=FAKE (fake.example.test)", "domain=EXAMPLE (example.test)",
		"os=10.0.20348 (Windows Server 2022)", "clock=this agent's")
	if got := phaseNames(r); got != "connect x224 tls ntlm" {
		t.Errorf("phases %q", got)
	}
	if seen := s.Seen(); seen.Challenges != 1 || seen.Responses != 0 {
		t.Errorf("seen %+v: an account was named", seen)
	}
}

func TestRDPClockSkewIsMeasuredAndNotJudged(t *testing.T) {
	for skew, word := range map[time.Duration]string{-5 * time.Minute: "5m0s behind", 7 * time.Minute: "7m0s ahead"} {
		s := rdptest.Start(t, rdptest.Options{Skew: skew})
		r := runRDP(t, probes.RDP{Address: s.Address}, rdpPatience)
		wantRDP(t, r, probes.Up, probes.None, "")
		n, ok := r.Number(probes.ClockSkew)
		if want := skew.Abs().Seconds(); !ok || n.Value < want-3 || n.Value > want+3 || !strings.Contains(n.Of, strings.Fields(word)[1]) {
			t.Errorf("skew of %s is %+v, want %s", skew, n, word)
		}
	}
	s := rdptest.Start(t, rdptest.Options{NoTimestamp: true})
	if _, ok := runRDP(t, probes.RDP{Address: s.Address}, rdpPatience).Number(probes.ClockSkew); ok {
		t.Error("a server that does not tell its time has a skew")
	}
	p := probes.RDP{MaxClockSkew: 4 * time.Minute}
	if limit, key := p.OwnLimit(probes.ClockSkew); limit != 240 || key != "max_clock_skew" {
		t.Errorf("limit %v by %s", limit, key)
	}
}

func TestRDPWrongHostAndDomain(t *testing.T) {
	member := rdptest.Start(t, rdptest.Options{Computer: "ACME-APP01", Domain: "ACME"}).Address
	fallen := rdptest.Start(t, rdptest.Options{Computer: "ACME-APP01", Domain: "ACME-APP01"}).Address
	for _, c := range []struct {
		address, host, domain string
		detail                string // "": up
	}{
		{member, "acme-app01", "acme", ""},
		{member, "ACME-APP01.example.test", "EXAMPLE.test", ""},
		{member, "acme-app02", "", "another host answers at this address: it says that it is ACME-APP01 (acme-app01.example.test), expected acme-app02"},
		{member, "acme-app01.other.test", "", "another host answers"},
		{member, "", "OTHER", "the host is in another domain: it says ACME (example.test), expected OTHER"},
		{fallen, "acme-app01", "", ""},
		{fallen, "", "ACME", "the host fell out of its domain"},
	} {
		r := runRDP(t, probes.RDP{Address: c.address, Host: c.host, Domain: c.domain}, rdpPatience)
		if c.detail == "" {
			wantRDP(t, r, probes.Up, probes.None, "")
		} else {
			wantRDP(t, r, probes.Down, probes.Content, c.detail)
		}
	}
	// No account is named to a host that is not the right one.
	s := rdptest.Start(t, rdptest.Options{})
	p := logonProbe(s.Address, `WRONGHOST\probe`, "p")
	p.Host = "other"
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Down, probes.Content, "another host")
	if s.Seen().Responses != 0 {
		t.Error("the account was named to the wrong host")
	}
}

func TestRDPLadderEndsWhereTheServerDoesNotGoOn(t *testing.T) {
	for name, c := range map[string]struct {
		o      rdptest.Options
		spnego bool
		fact   string
	}{
		"tls only":      {rdptest.Options{Protocols: rdp.ProtocolSSL}, false, "ladder=ends at tls: the server does not offer network level authentication"},
		"ntlm blocked":  {rdptest.Options{ChallengeStatus: rdp.StatusNTLMBlocked}, false, "ladder=does not accept ntlm, or not like this: STATUS_NTLM_BLOCKED"},
		"raw not taken": {rdptest.Options{ChallengeStatus: rdp.SecInvalidToken}, false, "ladder=SEC_E_INVALID_TOKEN"},
		"kerberos only": {answers(t, rdptest.Challenge, "3018a003020106a111300f300da00b0409a1073005a0030a0102"), true, "ladder=server does not accept ntlm"},
		"standard":      {rdptest.Options{Failure: rdp.SSLNotAllowed}, false, "ladder=neither tls nor network level authentication"},
		"entra only":    {rdptest.Options{Protocols: rdp.ProtocolRDSAAD}, false, "entra=offered (entra)"},
		"rdstls only":   {rdptest.Options{Protocols: rdp.ProtocolRDSTLS}, false, "ladder=the server offers entra authentication only"},
		"weak session":  {rdptest.Options{}, true, "security=nla, credssp 6"},
	} {
		t.Run(name, func(t *testing.T) {
			s := rdptest.Start(t, c.o)
			p := logonProbe(s.Address, `LADDER\`+strings.ReplaceAll(name, " ", "-"), "p")
			if name == "weak session" {
				p.Depth, p.User, p.Password = "", "", secret.Value{}
			}
			p.SPNEGO = c.spnego
			wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", c.fact)
			if s.Seen().Responses != 0 {
				t.Error("an account was named")
			}
		})
	}
}

func answers(t *testing.T, at rdptest.Stage, packet string) rdptest.Options {
	t.Helper()
	b, err := hex.DecodeString(packet)
	if err != nil {
		t.Fatal(err)
	}
	return rdptest.Options{Mangle: map[rdptest.Stage]func([]byte) []byte{at: func([]byte) []byte { return b }}}
}

func TestRDPRefusalsOfTheNegotiationAreToldInWords(t *testing.T) {
	for code, want := range map[rdp.FailureCode]string{
		rdp.SSLRequired: "SSL_REQUIRED_BY_SERVER: it insists on tls", rdp.SSLCertNotOnServer: "no usable certificate",
		rdp.InconsistentFlags: "INCONSISTENT_FLAGS: it finds the flags of the request contradictory", rdp.HybridRequired: "it insists on nla",
		rdp.SSLWithUserAuthRequired: "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER: the server wants a client certificate", 77: "code 0x4d: tls and nla were offered",
	} {
		s := rdptest.Start(t, rdptest.Options{Failure: code})
		wantRDP(t, runRDP(t, probes.RDP{Address: s.Address}, rdpPatience), probes.Down, probes.Protocol, want, "negotiation="+code.String())
	}
}

func TestRDPEntraIsAskedWhereItIsRequired(t *testing.T) {
	both := rdptest.Start(t, rdptest.Options{Protocols: rdp.ProtocolHybrid | rdp.ProtocolRDSAAD})
	r := runRDP(t, probes.RDP{Address: both.Address, Entra: "require"}, rdpPatience)
	wantRDP(t, r, probes.Up, probes.None, "", "entra=offered (entra)", "host=FAKE")
	if got := phaseNames(r); got != "connect x224 tls ntlm entra" {
		t.Errorf("phases %q", got)
	}
	for name, c := range map[string]struct {
		o      rdptest.Options
		entra  string
		reason probes.Reason
		detail string
	}{
		"not offered": {rdptest.Options{}, "require", probes.Protocol, "entra authentication is not offered: server refuses the negotiation"},
		"silent":      {rdptest.Options{Protocols: rdp.ProtocolHybrid | rdp.ProtocolRDSAAD, Silent: rdptest.Greeting}, "require", probes.Timeout, "does not answer the request for entra"},
		"closes":      {rdptest.Options{Protocols: rdp.ProtocolHybrid | rdp.ProtocolRDSAAD, Close: rdptest.Greeting}, "require", probes.Reset, "closed the connection"},
		"off":         {rdptest.Options{Protocols: rdp.ProtocolRDSAAD}, "off", probes.Protocol, "HYBRID_REQUIRED_BY_SERVER"},
	} {
		t.Run(name, func(t *testing.T) {
			limit := rdpPatience
			if c.reason == probes.Timeout {
				limit = 3 * rdpSilence // the stages before take their time on a loaded machine
			}
			wantRDP(t, runRDP(t, probes.RDP{Address: rdptest.Start(t, c.o).Address, Entra: c.entra}, limit), probes.Down, c.reason, c.detail)
		})
	}
}

func TestRDPAuthenticationServiceThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		o      rdptest.Options
		reason probes.Reason
		detail string
	}{
		"silent":    {rdptest.Options{Silent: rdptest.Challenge}, probes.Timeout, "tls works, but the authentication service does not answer (hung)"},
		"closes":    {rdptest.Options{Close: rdptest.Challenge}, probes.Reset, "closed the connection before it had answered (ntlm)"},
		"lsa fails": {rdptest.Options{ChallengeStatus: rdp.SecInternalError}, probes.Status, "the host's local security authority fails: SEC_E_INTERNAL_ERROR"},
		"unknown":   {rdptest.Options{ChallengeStatus: 0xC0000001}, probes.Status, "refuses to begin: status 0xc0000001"},
		"garbage":   {answers(t, rdptest.Challenge, "53534800"), probes.Protocol, "answer is not credssp"},
		"no ntlm":   {answers(t, rdptest.Challenge, "3012a003020106a10b30093007a0050403010203"), probes.Protocol, "token is no ntlm message"},
	} {
		t.Run(name, func(t *testing.T) {
			limit := rdpPatience
			if c.reason == probes.Timeout {
				limit = 3 * rdpSilence // the stages before take their time on a loaded machine
			}
			wantRDP(t, runRDP(t, probes.RDP{Address: rdptest.Start(t, c.o).Address}, limit), probes.Down, c.reason, c.detail)
		})
	}
}

func TestRDPGateway(t *testing.T) {
	var answer atomic.Pointer[http.HandlerFunc]
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "RDG_OUT_DATA" || r.URL.Path != "/remoteDesktopGateway/" || r.Header.Get("Rdg-Connection-Id") == "" || r.Header.Get("Authorization") != "" {
			t.Errorf("asked %s %s %v", r.Method, r.URL, r.Header)
		}
		(*answer.Load())(w, r)
	}))
	t.Cleanup(server.Close)
	ca := writePEM(t, "ca", "CERTIFICATE", server.Certificate().Raw)
	says := func(status int, schemes ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, s := range schemes {
				w.Header().Add("WWW-Authenticate", s)
			}
			w.WriteHeader(status)
		}
	}
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		probe   probes.RDP
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		"negotiate":   {says(401, "Negotiate", "NTLM"), probes.RDP{CAFile: ca}, probes.Up, probes.None, ""},
		"basic":       {says(401, `Basic realm="x"`), probes.RDP{CAFile: ca}, probes.Up, probes.None, ""},
		"no scheme":   {says(401, "Digest"), probes.RDP{CAFile: ca}, probes.Down, probes.Protocol, "offers no scheme"},
		"no role":     {says(404), probes.RDP{CAFile: ca}, probes.Down, probes.Status, "gateway: status 404 Not Found, expected 401: a web server answers, but not the remote desktop gateway role"},
		"overload":    {says(503), probes.RDP{CAFile: ca}, probes.Down, probes.Status, "gateway: status 503 Service Unavailable, expected 401"},
		"anybody":     {says(200), probes.RDP{CAFile: ca}, probes.Down, probes.Status, "gateway: status 200"},
		"not trusted": {says(401, "NTLM"), probes.RDP{}, probes.Down, probes.BadCertificate, "gateway: "},
		"hangs":       {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, probes.RDP{CAFile: ca}, probes.Down, probes.Timeout, "gateway: no answer"},
		"drops":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, probes.RDP{CAFile: ca}, probes.Down, probes.Reset, "gateway: "},
	} {
		t.Run(name, func(t *testing.T) {
			answer.Store(&c.answer)
			c.probe.Gateway = server.URL
			limit := rdpPatience
			if name == "hangs" {
				limit = 3 * rdpSilence // the stages before take their time on a loaded machine
			}
			r := runRDP(t, c.probe, limit)
			wantRDP(t, r, c.outcome, c.reason, c.detail)
			if got := phaseNames(r); got != "gateway" {
				t.Errorf("phases %q", got)
			}
		})
	}
	last := says(401, "Negotiate")
	answer.Store(&last)
	r := runRDP(t, probes.RDP{Address: rdptest.Start(t, rdptest.Options{}).Address, Gateway: server.URL, CAFile: ca}, rdpPatience)
	wantRDP(t, r, probes.Up, probes.None, "", "gateway=401 Unauthorized, offers Negotiate", "host=FAKE")
	if got := phaseNames(r); got != "gateway connect x224 tls ntlm" {
		t.Errorf("phases %q", got)
	}
}

func TestRDPContractToTheChallengeAndTheLogon(t *testing.T) {
	const user = `CONTRACT\probe`
	accounts := map[string]string{user: "Right-Pass1"}
	on := func(o rdptest.Options, depth string) probetest.Target {
		return func(t *testing.T) probes.Probe {
			o.Accounts = accounts
			p := &probes.RDP{Address: rdptest.Start(t, o).Address, Depth: depth}
			if depth == "logon" {
				p.User, p.Password = user, secret.New("Right-Pass1")
				p.SetLatch(new(probes.MemoryLatch))
			}
			return valid(t, p)
		}
	}
	mangle := func(at rdptest.Stage, f func([]byte) []byte) rdptest.Options {
		return rdptest.Options{Mangle: map[rdptest.Stage]func([]byte) []byte{at: f}}
	}
	huge := func([]byte) []byte { return append([]byte{0x30, 0x83, 0xff, 0xff, 0xff}, make([]byte, 1<<20)...) }
	for _, depth := range []string{"challenge", "logon"} {
		t.Run(depth, func(t *testing.T) {
			probetest.Run(t, probetest.Case{
				Kind: "rdp", Good: on(rdptest.Options{}, depth), Silent: on(rdptest.Options{Silent: rdptest.Challenge}, depth),
				Scenarios: []probetest.Scenario{
					{Name: "hostile names", Target: on(rdptest.Options{Computer: "\x1b[2J\u202e" + strings.Repeat("x", 100)}, depth), Outcome: probes.Up},
					{Name: "huge answer", Target: on(mangle(rdptest.Challenge, huge), depth), Outcome: probes.Down, Reasons: []probes.Reason{probes.Protocol}},
					{Name: "closes", Target: on(rdptest.Options{Close: rdptest.Challenge}, depth), Outcome: probes.Down, Reasons: []probes.Reason{probes.Reset}},
					{Name: "entra", Target: on(rdptest.Options{Protocols: rdp.ProtocolRDSAAD}, depth), Outcome: probes.Up},
				},
			})
		})
	}
}

// BenchmarkRDPChallenge is a run to the challenge against a server in the same process: both sides' work, and the ladder up to tls
// to take away from it.
func BenchmarkRDPChallenge(b *testing.B) {
	for _, depth := range []string{"tcp", "tls", "challenge", "logon"} {
		b.Run(depth, func(b *testing.B) {
			s := rdptest.Start(b, rdptest.Options{Accounts: map[string]string{`BENCH\probe`: "p"}})
			p := &probes.RDP{Address: s.Address, Depth: depth}
			if depth == "logon" {
				p.User, p.Password = `BENCH\probe`, secret.New("p")
			}
			valid(b, p)
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), rdpPatience)
				if r := p.Probe(ctx); r.Outcome != probes.Up {
					b.Fatal(r.Detail)
				}
				cancel()
			}
		})
	}
}

func TestRDPValidate(t *testing.T) {
	for name, c := range map[string]struct {
		probe probes.RDP
		want  string // path of the one fault and a part of it; "" for none
	}{
		"name":                    {probes.RDP{Address: "host.example"}, ""},
		"name and port":           {probes.RDP{Address: "host.example:3390"}, ""},
		"ipv4":                    {probes.RDP{Address: "192.0.2.1"}, ""},
		"ipv6":                    {probes.RDP{Address: "2001:db8::1"}, ""},
		"ipv6 in brackets":        {probes.RDP{Address: "[2001:db8::1]"}, ""},
		"ipv6 with port":          {probes.RDP{Address: "[2001:db8::1]:3389"}, ""},
		"url":                     {probes.RDP{Address: "rdp://host.example"}, "address: "},
		"no host":                 {probes.RDP{Address: ":3389"}, "address: has no host"},
		"nothing":                 {probes.RDP{}, "address: is required"},
		"gateway alone":           {probes.RDP{Gateway: "https://rdgw.example"}, ""},
		"gateway, no https":       {probes.RDP{Gateway: "http://rdgw.example"}, "gateway: is no address"},
		"gateway with path":       {probes.RDP{Gateway: "https://rdgw.example/x"}, "gateway: must not hold a path"},
		"gateway with its path":   {probes.RDP{Gateway: "https://rdgw.example/RemoteDesktopGateway"}, ""},
		"gateway with user":       {probes.RDP{Gateway: "https://u:p@rdgw.example"}, "gateway: must not hold credentials"},
		"gateway and logon":       {probes.RDP{Gateway: "https://g", Depth: "logon", User: "u", Password: secret.New("p")}, "address: is required"},
		"challenge":               {probes.RDP{Address: "h", Depth: "challenge", Host: "h", Domain: "ACME", SPNEGO: true}, ""},
		"logon":                   {probes.RDP{Address: "h", Depth: "logon", User: `ACME\probe`, Password: secret.New("p")}, ""},
		"logon with hash":         {probes.RDP{Address: "h", Depth: "logon", User: "probe@acme.example", NTHash: secret.New("a4f49c406510bdcab6824ee7c30fd852")}, ""},
		"hash that is none":       {probes.RDP{Address: "h", Depth: "logon", User: "probe", NTHash: secret.New("a4f49c4065")}, "nt_hash: an nt hash has 32 hexadecimal digits"},
		"two secrets":             {probes.RDP{Address: "h", Depth: "logon", User: "probe", Password: secret.New("p"), NTHash: secret.New("a4f49c406510bdcab6824ee7c30fd852")}, "password: depth: logon needs one secret"},
		"no secret":               {probes.RDP{Address: "h", Depth: "logon", User: "probe"}, "password: depth: logon needs one secret"},
		"no user":                 {probes.RDP{Address: "h", Depth: "logon", Password: secret.New("p")}, "user: depth: logon needs a user"},
		"built-in user":           {probes.RDP{Address: "h", Depth: "logon", User: `ACME\Administrator`, Password: secret.New("p")}, "user: must not be a built-in account"},
		"odd user":                {probes.RDP{Address: "h", Depth: "logon", User: "a/b", Password: secret.New("p")}, "user: is no user name"},
		"user without logon":      {probes.RDP{Address: "h", User: "probe"}, "user: has no effect at this depth (use depth: logon)"},
		"secret without logon":    {probes.RDP{Address: "h", Password: secret.New("p")}, "password: has no effect at this depth"},
		"host without challenge":  {probes.RDP{Address: "h", Depth: "tls", Host: "h"}, "host: has no effect at this depth"},
		"domain without":          {probes.RDP{Address: "h", Depth: "tls", Domain: "d"}, "domain: has no effect at this depth"},
		"spnego without":          {probes.RDP{Address: "h", Depth: "tls", SPNEGO: true}, "spnego: has no effect at this depth"},
		"entra":                   {probes.RDP{Address: "h", Entra: "yes"}, "entra: is none of them"},
		"entra without":           {probes.RDP{Address: "h", Depth: "tcp", Entra: "require"}, "entra: has no effect here"},
		"negative skew":           {probes.RDP{Address: "h", MaxClockSkew: -1}, "max_clock_skew: is negative"},
		"depth":                   {probes.RDP{Address: "h", Depth: "deep"}, "depth: is no depth"},
		"policy":                  {probes.RDP{Address: "h", Certificate: "yes"}, "certificate: is no certificate policy"},
		"ignored threshold":       {probes.RDP{Address: "h", Certificate: "ignore", ExpiresWithin: time.Hour}, "expires_within: has no effect"},
		"negative threshold":      {probes.RDP{Address: "h", ExpiresWithin: -time.Hour}, "expires_within: is negative"},
		"authority without check": {probes.RDP{Address: "h", CAFile: "rdp_ladder_test.go"}, "ca_file: has no effect"},
		"authority missing":       {probes.RDP{Address: "h", Certificate: "verify", CAFile: "nowhere.pem"}, "ca_file: "},
	} {
		t.Run(name, func(t *testing.T) {
			faults := c.probe.Validate()
			if c.want == "" && len(faults) > 0 {
				t.Errorf("got %v, want none", faults)
			}
			if c.want != "" && (len(faults) == 0 || !strings.HasPrefix(faults[0].Error(), c.want)) {
				t.Errorf("got %v, want %q", faults, c.want)
			}
		})
	}
}
