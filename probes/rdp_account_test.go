package probes_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/rdp"
	"github.com/firstcall-agent/firstcall/probes/rdp/rdptest"
)

func TestRDPLogonIsAcceptedAndOpensNothing(t *testing.T) {
	s := rdptest.Start(t, rdptest.Options{Accounts: map[string]string{`GOOD\probe`: "Right-Pass1"}})
	p := logonProbe(s.Address, `GOOD\probe`, "Right-Pass1")
	for range 3 {
		r := runRDP(t, p, rdpPatience)
		wantRDP(t, r, probes.Up, probes.None, "", `logon=GOOD\probe is accepted, the server is proven`)
		if got := phaseNames(r); got != "connect x224 tls ntlm logon" {
			t.Errorf("phases %q", got)
		}
	}
	p.Password, p.NTHash = secret.Value{}, secret.New(hex.EncodeToString(rdp.HashOf("Right-Pass1").Bytes()))
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "logon=accepted")
	if seen := s.Seen(); seen.Accepted != 4 || seen.After != 0 {
		t.Errorf("seen %+v", seen)
	}
}

// Every status of the account's: the result is unknown, auth, the account rests until its secret changes, and meanwhile the
// probe goes on with the challenge.
func TestRDPRefusedAccountIsNotTriedAgain(t *testing.T) {
	for status, words := range map[rdp.Status]string{
		rdp.StatusLogonFailure: "user name or password is wrong", rdp.StatusWrongPassword: "password is wrong", rdp.StatusNoSuchUser: "no such user",
		rdp.StatusAccountLockedOut: "locked out", rdp.StatusPasswordExpired: "password has expired", rdp.StatusPasswordMustChange: "must be changed",
		rdp.StatusAccountExpired: "it has expired", rdp.StatusAccountDisabled: "disabled", rdp.StatusAccountRestriction: "restriction",
		rdp.StatusInvalidLogonHours: "outside its logon hours", rdp.StatusInvalidWorkstation: "may not log on from", rdp.StatusLogonTypeNotGranted: "lacks the right",
		rdp.StatusAuthFirewallFailed: "selective authentication", rdp.StatusNTLMBlocked: "blocks ntlm", rdp.SecLogonDenied: "is wrong", rdp.StatusNoSuchDomain: "does not know its domain",
	} {
		s := rdptest.Start(t, rdptest.Options{Status: status})
		p := logonProbe(s.Address, fmt.Sprintf(`LATCH\u%x`, uint32(status)), "Wrong-Pass1")
		r := runRDP(t, p, rdpPatience)
		wantRDP(t, r, probes.Unknown, probes.Auth, words, "account=the monitoring account LATCH")
		if !strings.Contains(r.Detail, status.String()) || !strings.Contains(r.Detail, "until its secret changes") {
			t.Errorf("detail %q", r.Detail)
		}
		for range 2 {
			wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "account=is off: refused at", "host=FAKE")
		}
		if n := s.Seen().Responses; n != 1 {
			t.Errorf("%s: the account was named %d times", status, n)
		}
		p.Password = secret.New("New-Pass1")
		wantRDP(t, runRDP(t, p, rdpPatience), probes.Unknown, probes.Auth, words)
		if n := s.Seen().Responses; n != 2 {
			t.Errorf("%s: with a new secret the account was named %d times", status, n)
		}
	}
}

func TestRDPOutagesBehindTheHostAreDownAndLatchNothing(t *testing.T) {
	for status, words := range map[rdp.Status]string{
		rdp.StatusNoLogonServers: "reaches no domain controller", rdp.StatusNetlogonNotStarted: "netlogon", rdp.StatusDCNotFound: "finds no domain controller",
		rdp.StatusNoTrustSAMAccount: "trust is broken", rdp.StatusTrustedDomainFailure: "is broken", rdp.StatusTrustFailure: "trust with its domain is broken",
		rdp.StatusTimeDifferenceAtDC: "clocks", rdp.SecTimeSkew: "clocks", rdp.SecNoAuthority: "no authority", rdp.SecInternalError: "security authority fails",
	} {
		s := rdptest.Start(t, rdptest.Options{Status: status})
		p := logonProbe(s.Address, fmt.Sprintf(`OUTAGE\u%x`, uint32(status)), "p")
		for range 3 {
			r := runRDP(t, p, rdpPatience)
			wantRDP(t, r, probes.Down, probes.Status, words)
			if fact(r, "account") != "" {
				t.Errorf("%s: the account is blamed", status)
			}
		}
		if n := s.Seen().Responses; n != 3 {
			t.Errorf("%s: the account was named %d times", status, n)
		}
	}
}

// An end without an answer may have been a refusal: the account rests at once.
func TestRDPUnclearAnswersLetTheAccountRest(t *testing.T) {
	for name, c := range map[string]struct {
		o    rdptest.Options
		want string
	}{
		"closes":   {rdptest.Options{Refusal: rdptest.ByClosing}, "ends the connection without an answer, as old servers do"},
		"unproven": {rdptest.Options{Refusal: rdptest.Unproven}, "not made with the account's secret"},
		"unknown":  {rdptest.Options{Status: 0xC00700EA}, "status 0xc00700ea"},
		"garbage":  {answers(t, rdptest.Proof, "53534800"), "answer is not credssp"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "garbage" {
				c.o.Accounts = map[string]string{`DOUBT\garbage`: "p"}
			}
			s := rdptest.Start(t, c.o)
			p := logonProbe(s.Address, `DOUBT\`+name, "p")
			wantRDP(t, runRDP(t, p, rdpPatience), probes.Unknown, probes.Auth, c.want, "account=tried once more after")
			wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "account=ended without an answer: tried again after")
			if n := s.Seen().Responses; n != 1 {
				t.Errorf("the account was named %d times", n)
			}
		})
	}
}

func TestRDPServerThatTakesTheLogonAndIsSilent(t *testing.T) {
	o := rdptest.Options{Accounts: map[string]string{`SILENT\new`: "p", `SILENT\proven`: "p"}}
	good := rdptest.Start(t, o)
	o.Silent = rdptest.Proof
	s := rdptest.Start(t, o)
	// An account that never proved good rests, and what the challenge shows does not hide that the log-on hung.
	p := logonProbe(s.Address, `SILENT\new`, "p")
	wantRDP(t, runRDP(t, p, 3*rdpSilence), probes.Down, probes.Timeout, "takes the log-on and does not answer (hung")
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Unknown, probes.Auth, "was not answered: tried again after", "logon=is off", "account=")
	// One that did is tried again: the silence is the server's.
	p.User = `SILENT\proven`
	p.Address = good.Address
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "")
	p.Address = s.Address
	for range 2 {
		wantRDP(t, runRDP(t, p, 3*rdpSilence), probes.Down, probes.Timeout, "takes the log-on and does not answer")
	}
}

func TestRDPInterceptedLogonIsDown(t *testing.T) {
	s := rdptest.Start(t, rdptest.Options{OtherKey: true, Accounts: map[string]string{`RELAY\probe`: "p"}})
	wantRDP(t, runRDP(t, logonProbe(s.Address, `RELAY\probe`, "p"), rdpPatience), probes.Down, probes.Protocol, "somebody intercepts the connection")
}

// However many runs there are at once, one log-on is refused.
func TestRDPRunsAtOnceLockNobodyOut(t *testing.T) {
	s := rdptest.Start(t, rdptest.Options{})
	p := valid(t, &probes.RDP{Address: s.Address, Depth: "logon", User: `ONCE\probe`, Password: secret.New("wrong")})
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), rdpPatience)
			defer cancel()
			p.Probe(ctx)
		})
	}
	all.Wait()
	if n := s.Seen().Responses; n != 1 {
		t.Errorf("the account was named %d times", n)
	}
}

// A local account is another one on each host; one of a domain is not.
func TestRDPLatchKnowsWhoseAccountItIs(t *testing.T) {
	a, b := rdptest.Start(t, rdptest.Options{}), rdptest.Start(t, rdptest.Options{})
	for user, want := range map[string]int{`.\scope`: 1, `SCOPE\probe`: 0, "scope@example.test": 0} {
		before := b.Seen().Responses
		runRDP(t, logonProbe(a.Address, user, "wrong"), rdpPatience)
		runRDP(t, logonProbe(b.Address, user, "wrong"), rdpPatience)
		if n := b.Seen().Responses - before; n != want {
			t.Errorf("%s: named %d times to the second host, want %d", user, n, want)
		}
	}
}

// What was refused is remembered over a restart by the latch that the probe was given, and a reset lets it be tried again.
func TestRDPLatchOutlivesTheProbe(t *testing.T) {
	s := rdptest.Start(t, rdptest.Options{})
	dir := filepath.Join(t.TempDir(), "latch")
	run := func() probes.Result {
		p := &probes.RDP{Address: s.Address, Depth: "logon", User: `FILE\probe`, Password: secret.New("Wrong-Pass1")}
		p.SetLatch(probes.FileLatch(dir))
		ctx, cancel := context.WithTimeout(t.Context(), rdpPatience)
		defer cancel()
		return valid(t, p).Probe(ctx)
	}
	wantRDP(t, run(), probes.Unknown, probes.Auth, "is refused")
	wantRDP(t, run(), probes.Up, probes.None, "", "account=is off: refused at")
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	if err != nil || strings.Contains(string(text), "Wrong-Pass1") || strings.Contains(string(text), hex.EncodeToString(rdp.HashOf("Wrong-Pass1").Bytes())) {
		t.Errorf("%q, %v", text, err)
	}
	if err := os.Remove(filepath.Join(dir, files[0].Name())); err != nil {
		t.Fatal(err)
	}
	wantRDP(t, run(), probes.Unknown, probes.Auth, "is refused")
	if n := s.Seen().Responses; n != 2 {
		t.Errorf("the account was named %d times", n)
	}
	p := &probes.RDP{Address: s.Address, Depth: "logon", User: `FILE\probe`, Password: secret.New("Wrong-Pass1")}
	p.SetLatch(probes.FileLatch(dir))
	valid(t, p)
	if err := p.ResetLatch(); err != nil {
		t.Fatal(err)
	}
	wantRDP(t, run(), probes.Unknown, probes.Auth, "is refused")
	// Where nothing can be remembered, nothing is tried.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantRDP(t, run(), probes.Up, probes.None, "", "account=is off")
	if n := s.Seen().Responses; n != 3 {
		t.Errorf("without a memory the account was named %d times", n)
	}
}

// No result, however it comes about, holds the password, the hash or what is derived from them.
func TestRDPResultsHoldNoSecret(t *testing.T) {
	const password = "Tr0ub4dor-and-3"
	hash := hex.EncodeToString(rdp.HashOf(password).Bytes())
	for name, o := range map[string]rdptest.Options{
		"accepted": {Accounts: map[string]string{`SECRET\probe`: password}}, "refused": {}, "closed": {Refusal: rdptest.ByClosing},
		"unproven": {Refusal: rdptest.Unproven}, "down": {Status: rdp.StatusNoLogonServers},
	} {
		for _, hashed := range []bool{false, true} {
			p := logonProbe(rdptest.Start(t, o).Address, `SECRET\probe`, password)
			if hashed {
				p.Password, p.NTHash = secret.Value{}, secret.New(hash)
			}
			p.SetLatch(new(probes.MemoryLatch))
			r := runRDP(t, p, rdpPatience)
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			p.Validate()
			all := strings.ToLower(string(text) + fmt.Sprintf("%+v %#v %v", r, &p, p))
			bytes := fmt.Sprintf("%d", rdp.HashOf(password).Bytes())
			for _, s := range []string{password, hash, hash[:12], bytes[1:12]} {
				if strings.Contains(all, strings.ToLower(s)) {
					t.Errorf("%s: %q is in %s", name, s, all)
				}
			}
		}
	}
}
