//go:build servers && linux

package probes_test

import (
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

func TestRDPKerberosOnMIT(t *testing.T) {
	k := servers.StartKDC(t, servers.KDCOptions{Realm: "EXAMPLE.TEST", Commands: []string{
		"addprinc -pw Right-Pass1 -allow_tix locked", "addprinc -pw Right-Pass1 -pwexpire yesterday expired",
		"addprinc -randkey TERMSRV/host.example.test", "addprinc -randkey HOST/nospn.example.test",
		"addpol -maxfailure 1 -lockoutduration 1h careful", "addprinc -pw Right-Pass1 -policy careful limited",
	}})
	relay := servers.StartRelay(t, k.Address, servers.Unlimited)
	for name, c := range map[string]struct {
		change  func(p *probes.RDP)
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		"right":        {func(*probes.RDP) {}, probes.Up, probes.None, ""},
		"hash":         {func(p *probes.RDP) { p.Password, p.NTHash = secret.Value{}, secret.New(hashOf(k.Password)) }, probes.Up, probes.None, ""},
		"wrong":        {func(p *probes.RDP) { p.Password = secret.New("Wrong-Pass1") }, probes.Unknown, probes.Auth, "its password is wrong (KDC_ERR_PREAUTH_FAILED)"},
		"unknown user": {func(p *probes.RDP) { p.User = `EXAMPLE\nobody` }, probes.Unknown, probes.Auth, "no such user in the realm"},
		"locked":       {func(p *probes.RDP) { p.User = `EXAMPLE\locked` }, probes.Unknown, probes.Auth, "locked out or disabled"},
		"expired":      {func(p *probes.RDP) { p.User = `EXAMPLE\expired` }, probes.Unknown, probes.Auth, "its password has expired"},
		"no host":      {func(p *probes.RDP) { p.Kerberos.Service = "TERMSRV/gone.example.test" }, probes.Down, probes.Content, "fell out of the domain"},
		"no spn":       {func(p *probes.RDP) { p.Kerberos.Service = "TERMSRV/nospn.example.test" }, probes.Degraded, probes.Functional, "the domain knows the host, but not its service principal"},
		"other class":  {func(p *probes.RDP) { p.Kerberos.Service = "HTTP/nospn.example.test" }, probes.Degraded, probes.Functional, "the domain has no service principal HTTP/"},
	} {
		t.Run(name, func(t *testing.T) {
			p := krbProbe(t, k.Address)
			c.change(&p)
			r := runRDP(t, p, rdpPatience)
			wantRDP(t, r, c.outcome, c.reason, c.detail, "kdc="+k.Address+", its clock ")
			if c.reason != probes.Auth {
				return
			}
			before := k.Requests(t)
			wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "account=is off: refused at", "kerberos=ends at the kdc, which answers")
			if since := k.Requests(t)[len(before):]; strings.Contains(since, strings.TrimPrefix(p.User, `EXAMPLE\`)+"@") {
				t.Errorf("the account is named after its refusal: %s", since)
			}
		})
	}
	t.Run("one failure only", func(t *testing.T) {
		p := krbProbe(t, k.Address)
		p.User, p.Password = `EXAMPLE\limited`, secret.New("Wrong-Pass1")
		for range 3 {
			runRDP(t, p, rdpPatience)
		}
		if n := strings.Count(k.Requests(t), "PREAUTH_FAILED: limited@"); n != 1 {
			t.Errorf("%d wrong log-ons, want 1", n)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		p := krbProbe(t, relay.Address)
		for limit, words := range map[int64]string{0: "no log-on server", 100: "no log-on server", 400: "takes the log-on and does not answer"} {
			relay.SetLimit(limit)
			wantRDP(t, runRDP(t, p, 4*rdpSilence), probes.Down, probes.Timeout, words)
		}
		relay.SetLimit(servers.Unlimited)
		p.SetLatch(new(probes.MemoryLatch))
		wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "")
	})
	t.Run("frozen", func(t *testing.T) {
		p := krbProbe(t, k.Address)
		k.Freeze()
		wantRDP(t, runRDP(t, p, 2*rdpSilence), probes.Down, probes.Timeout, "no log-on server")
		k.Thaw()
		wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "")
		k.Stop()
		wantRDP(t, runRDP(t, p, rdpPatience), probes.Down, probes.Refused, "no log-on server")
	})
}
