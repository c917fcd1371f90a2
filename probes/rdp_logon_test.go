//go:build servers && linux

package probes_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
	"github.com/firstcall-agent/firstcall/probes/rdp"
)

// shadowLogon is a probe that logs on to the server, with a latch of its own.
func shadowLogon(s *servers.Shadow, password string) probes.RDP {
	p := probes.RDP{Address: s.Address, Depth: "logon", User: s.User, Domain: "", Password: secret.New(password)}
	if s.Domain != "" {
		p.User = s.Domain + `\` + s.User
	}
	p.SetLatch(new(probes.MemoryLatch))
	return p
}

func TestRDPLogonOnFreeRDP(t *testing.T) {
	rsa := servers.StartShadow(t, servers.ShadowOptions{})
	domain := servers.StartShadow(t, servers.ShadowOptions{Domain: "PERFION", Password: "Pä55:wörd"})
	expired := servers.StartShadow(t, servers.ShadowOptions{Cert: servers.SelfSigned(t, servers.CertOptions{
		NotBefore: time.Now().Add(-90 * 24 * time.Hour), NotAfter: time.Now().Add(-49 * time.Hour),
	})})
	ecdsa := servers.StartShadow(t, servers.ShadowOptions{Cert: servers.SelfSigned(t, servers.CertOptions{ECDSA: true})})
	for name, c := range map[string]struct {
		server  *servers.Shadow
		change  func(p *probes.RDP)
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		"right":          {rsa, func(*probes.RDP) {}, probes.Up, probes.None, ""},
		"right, by hash": {rsa, func(p *probes.RDP) { p.Password, p.NTHash = secret.Value{}, secret.New(hashOf(rsa.Password)) }, probes.Up, probes.None, ""},
		"wrong":          {rsa, func(p *probes.RDP) { p.Password = secret.New("Wrong-Pass1") }, probes.Unknown, probes.Auth, "is probably refused"},
		"unknown user":   {rsa, func(p *probes.RDP) { p.User = "nobody" }, probes.Unknown, probes.Auth, "is probably refused"},
		"of a domain":    {domain, func(*probes.RDP) {}, probes.Up, probes.None, ""},
		"other domain":   {domain, func(p *probes.RDP) { p.User = `OTHER\` + domain.User }, probes.Unknown, probes.Auth, "is probably refused"},
		"ecdsa":          {ecdsa, func(*probes.RDP) {}, probes.Up, probes.None, ""},
		"ecdsa, wrong":   {ecdsa, func(p *probes.RDP) { p.Password = secret.New("Wrong-Pass1") }, probes.Unknown, probes.Auth, "is probably refused"},
		"expired":        {expired, func(*probes.RDP) {}, probes.Down, probes.BadCertificate, "certificate expired 2 days ago"},
		"expired, let":   {expired, func(p *probes.RDP) { p.Certificate = "ignore" }, probes.Up, probes.None, ""},
		"expired, wrong": {expired, func(p *probes.RDP) { p.Certificate, p.Password = "ignore", secret.New("Wrong-Pass1") }, probes.Unknown, probes.Auth, "is probably refused"},
	} {
		t.Run(name, func(t *testing.T) {
			p := shadowLogon(c.server, c.server.Password)
			c.change(&p)
			r := runRDP(t, p, rdpPatience)
			wantRDP(t, r, c.outcome, c.reason, c.detail)
			if c.outcome == probes.Up && (phaseNames(r) != "connect x224 tls ntlm logon" || fact(r, "logon") == "") {
				t.Errorf("phases %q, logon %q", phaseNames(r), fact(r, "logon"))
			}
		})
	}
}

func hashOf(password string) string { return hex.EncodeToString(rdp.HashOf(password).Bytes()) }

// FreeRDP truncates its clock to whole seconds.
func TestRDPChallengeOfFreeRDP(t *testing.T) {
	s := servers.StartShadow(t, servers.ShadowOptions{})
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	r := runRDP(t, probes.RDP{Address: s.Address, Host: host}, rdpPatience)
	wantRDP(t, r, probes.Up, probes.None, "", "security=nla, credssp 6", "host="+strings.ToUpper(host[:min(len(host), 8)]), "os=6.1.7601", "domain=", "clock=this agent's")
	if n, ok := r.Number(probes.ClockSkew); !ok || n.Value > 2.5 {
		t.Errorf("skew %+v, %v", n, ok)
	}
	wantRDP(t, runRDP(t, probes.RDP{Address: s.Address, Host: "other"}, rdpPatience), probes.Down, probes.Content, "another host answers")
}

// Right and wrong log-ons are told apart, each of them. FIRSTCALL_LOGONS=200 makes more.
func TestRDPRightAndWrongLogonsAreToldApart(t *testing.T) {
	n := 20
	if more, err := strconv.Atoi(os.Getenv("FIRSTCALL_LOGONS")); err == nil {
		n = more
	}
	s := servers.StartShadow(t, servers.ShadowOptions{})
	right, wrong := 0, 0
	for i := range n {
		if r := runRDP(t, shadowLogon(s, s.Password), rdpPatience); r.Outcome == probes.Up && fact(r, "logon") != "" {
			right++
		} else {
			t.Errorf("right: %v %s", r.Outcome, r.Detail)
		}
		if r := runRDP(t, shadowLogon(s, fmt.Sprint("Wrong-", i)), rdpPatience); r.Outcome == probes.Unknown && r.Reason == probes.Auth {
			wrong++
		} else {
			t.Errorf("wrong: %v %s", r.Outcome, r.Detail)
		}
	}
	t.Logf("%d of %d right, %d of %d wrong", right, n, wrong, n)
}

// The server stops after every so many bytes of a whole log-on: each time the run ends at its deadline, says that the server
// hangs, and shows the phase in which it does.
func TestRDPHangsAtEveryStageAreTimeoutsOfThatStage(t *testing.T) {
	s := servers.StartShadow(t, servers.ShadowOptions{})
	relay := servers.StartRelay(t, s.Address, servers.Unlimited)
	p := shadowLogon(s, s.Password)
	p.Address = relay.Address
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "")
	whole := relay.Forwarded()
	if whole < 1000 {
		t.Fatalf("a whole log-on has %d bytes", whole)
	}
	stuck := map[string]int{}
	for _, limit := range []int64{0, 5, 19, 100, 19 + (whole-19)/2, whole - 350, whole - 120, whole - 1} {
		relay.SetLimit(limit)
		began := time.Now()
		r := runRDP(t, p, 4*rdpSilence)
		if took := time.Since(began); took > 4*rdpSilence+time.Second {
			t.Errorf("limit %d: took %s", limit, took)
		}
		wantRDP(t, r, probes.Down, probes.Timeout, "(hung")
		stuck[r.Phases[len(r.Phases)-1].Name]++
	}
	t.Logf("stuck in %v of %d bytes", stuck, whole)
	for _, phase := range []string{"x224", "tls", "ntlm", "logon"} {
		if stuck[phase] == 0 {
			t.Errorf("stuck in %v of %d bytes, never in %s", stuck, whole, phase)
		}
	}
	relay.SetLimit(servers.Unlimited)
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "")
}

func TestRDPServersWithoutNLAEndTheLadderAtTLS(t *testing.T) {
	for name, address := range map[string]string{
		"xrdp":   servers.StartXrdp(t, servers.XrdpOptions{}).Address,
		"weston": servers.StartWeston(t, servers.WestonOptions{}).Address,
	} {
		p := probes.RDP{Address: address, Depth: "logon", User: "probe", Password: secret.New("p")}
		r := runRDP(t, p, rdpPatience)
		wantRDP(t, r, probes.Up, probes.None, "", "security=tls", "ladder=ends at tls: the server does not offer network level authentication (nla)")
		if got := phaseNames(r); got != "connect x224 tls" {
			t.Errorf("%s: phases %q", name, got)
		}
	}
}
