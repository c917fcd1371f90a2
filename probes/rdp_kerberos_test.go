package probes_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/kerberos"
	"github.com/firstcall-agent/firstcall/probes/kerberos/kerberostest"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/rdp"
	"github.com/firstcall-agent/firstcall/probes/rdp/rdptest"
)

const (
	krbPassword = "Right-Pass1"
	krbService  = "TERMSRV/host.example.test"
)

// krbOptions is a KDC that knows probe and the host.
func krbOptions() kerberostest.Options {
	return kerberostest.Options{Accounts: map[string]string{"probe": krbPassword}, Services: []string{krbService, "HOST/host.example.test"}}
}

// krbProbe is a probe of a good host and of the KDC, with a latch of its own.
func krbProbe(t *testing.T, kdcs ...string) probes.RDP {
	t.Helper()
	p := probes.RDP{
		Address: rdptest.Start(t, rdptest.Options{}).Address, User: `EXAMPLE\probe`, Password: secret.New(krbPassword),
		Kerberos: probes.RDPKerberos{Realm: "EXAMPLE.TEST", KDC: kdcs, Service: krbService},
	}
	p.SetLatch(new(probes.MemoryLatch))
	return p
}

func TestRDPKerberosProvesControllerAccountAndService(t *testing.T) {
	k := kerberostest.Start(t, krbOptions())
	p := krbProbe(t, k.Address)
	r := runRDP(t, p, rdpPatience)
	wantRDP(t, r, probes.Up, probes.None, "", "kdc="+k.Address+", its clock ", "kerberos=probe of EXAMPLE.TEST is accepted (aes256-cts-hmac-sha1-96), with a ticket for "+krbService, "host=FAKE")
	if got := phaseNames(r); got != "connect x224 tls ntlm kerberos" {
		t.Errorf("phases %q", got)
	}
	p.Password, p.NTHash = secret.Value{}, secret.New(hex.EncodeToString(rdp.HashOf(krbPassword).Bytes()))
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "kerberos=accepted (rc4-hmac)")
	p.Depth = "tcp"
	if got := phaseNames(runRDP(t, p, rdpPatience)); got != "connect kerberos" {
		t.Errorf("phases %q", got)
	}
	open := krbOptions()
	open.Open = true
	p = krbProbe(t, kerberostest.Start(t, open).Address)
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "kerberos=without pre-authentication: demand it")
}

// The stage and depth: logon use one account and one latch.
func TestRDPKerberosAndLogonShareTheAccount(t *testing.T) {
	host := rdptest.Start(t, rdptest.Options{Accounts: map[string]string{`EXAMPLE\probe`: krbPassword}})
	k := kerberostest.Start(t, krbOptions())
	p := krbProbe(t, k.Address)
	p.Address, p.Depth = host.Address, "logon"
	r := runRDP(t, p, rdpPatience)
	wantRDP(t, r, probes.Up, probes.None, "", "kerberos=is accepted", "logon=is accepted")
	if got := phaseNames(r); got != "connect x224 tls ntlm kerberos logon" {
		t.Errorf("phases %q", got)
	}
	p.Password = secret.New("Wrong-Pass1")
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Unknown, probes.Auth, "its password is wrong (KDC_ERR_PREAUTH_FAILED)", "account=EXAMPLE\\probe is refused")
	before, asked := host.Seen().Responses, k.Seen().Logons
	for range 2 {
		wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "account=is off: refused at", "kerberos=ends at the kdc, which answers", "host=FAKE")
	}
	if n, m := host.Seen().Responses-before, k.Seen().Logons-asked; n != 0 || m != 0 {
		t.Errorf("after the refusal the host was told %d times, the kdc %d times", n, m)
	}
	if err := p.ResetLatch(); err != nil {
		t.Fatal(err)
	}
}

// Every answer about the account that is a refusal: it is latched at once and the account is never named again.
func TestRDPKerberosRefusedAccountIsNotTriedAgain(t *testing.T) {
	for code, words := range map[kerberos.Code]string{
		kerberos.ClientExpired: "it has expired", kerberos.ClientUnknown: "no such user", kerberos.NotUnique: "not unique", kerberos.NullKey: "no key",
		kerberos.Policy: "a policy forbids", kerberos.ClientRevoked: "locked out or disabled", kerberos.ClientNotYet: "not valid yet",
		kerberos.KeyExpired: "password has expired", kerberos.PreauthFailed: "password is wrong", kerberos.BadIntegrity: "password is wrong",
	} {
		for _, step := range []kerberostest.Step{kerberostest.Ask, kerberostest.Logon} {
			o := krbOptions()
			o.Codes = map[kerberostest.Step]int32{step: int32(code)}
			k := kerberostest.Start(t, o)
			p := krbProbe(t, k.Address)
			r := runRDP(t, p, rdpPatience)
			wantRDP(t, r, probes.Unknown, probes.Auth, words, "account=the monitoring account")
			if !strings.Contains(r.Detail, code.String()) || !strings.Contains(r.Detail, "until its secret changes") {
				t.Errorf("detail %q", r.Detail)
			}
			before := k.Seen()
			wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "account=is off: refused at")
			if after := k.Seen(); after.Logons != before.Logons || after.Asked != before.Asked+1 {
				t.Errorf("%s: seen %+v, then %+v", code, before, after)
			}
		}
	}
}

// What Windows adds says more than the code.
func TestRDPKerberosTellsWhatWindowsAdds(t *testing.T) {
	for status, words := range map[rdp.Status]string{
		rdp.StatusAccountDisabled: "it is disabled", rdp.StatusAccountLockedOut: "it is locked out", rdp.StatusInvalidLogonHours: "outside its logon hours",
	} {
		o := krbOptions()
		o.Codes, o.Status = map[kerberostest.Step]int32{kerberostest.Ask: int32(kerberos.ClientRevoked)}, uint32(status)
		p := krbProbe(t, kerberostest.Start(t, o).Address)
		wantRDP(t, runRDP(t, p, rdpPatience), probes.Unknown, probes.Auth, words+" (KDC_ERR_CLIENT_REVOKED, "+status.String()+")")
	}
}

// What is neither a refusal nor good latches nothing.
func TestRDPKerberosAnswersThatLatchNothing(t *testing.T) {
	codes := func(step kerberostest.Step, code kerberos.Code) kerberostest.Options {
		o := krbOptions()
		o.Codes = map[kerberostest.Step]int32{step: int32(code)}
		return o
	}
	changed := func(change func(*kerberostest.Options)) kerberostest.Options {
		o := krbOptions()
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		o       kerberostest.Options
		outcome probes.Outcome
		reason  probes.Reason
		words   string
	}{
		"unavailable":         {codes(kerberostest.Ask, kerberos.ServiceUnavailable), probes.Down, probes.Status, "cannot serve log-ons now"},
		"fails":               {codes(kerberostest.Logon, kerberos.Generic), probes.Down, probes.Status, "the domain controller fails: KRB_ERR_GENERIC"},
		"unheard of":          {codes(kerberostest.Logon, 4242), probes.Unknown, probes.Auth, "refuses the request (error 4242)"},
		"skew":                {codes(kerberostest.Logon, kerberos.Skew), probes.Unknown, probes.Local, "clock and this agent's differ too much"},
		"skew, ticket":        {codes(kerberostest.Ticket, kerberos.Skew), probes.Unknown, probes.Local, "clock and this agent's differ too much"},
		"no etype":            {codes(kerberostest.Ask, kerberos.EtypeUnsupported), probes.Unknown, probes.Auth, "shares no encryption type"},
		"smart card":          {codes(kerberostest.Logon, kerberos.PADataUnsupported), probes.Unknown, probes.Auth, "must use a smart card"},
		"wrong realm":         {codes(kerberostest.Ask, kerberos.WrongRealm), probes.Unknown, probes.Auth, "of another realm: check kerberos.realm (KDC_ERR_WRONG_REALM), the kdc says OTHER.TEST"},
		"realm not served":    {codes(kerberostest.Ask, kerberos.ServiceUnknown), probes.Unknown, probes.Auth, "does not serve the realm"},
		"no timestamp":        {changed(func(o *kerberostest.Options) { o.NoPAData = true }), probes.Unknown, probes.Auth, "takes no password from it"},
		"another kdc":         {changed(func(o *kerberostest.Options) { o.WrongKey = kerberostest.Logon }), probes.Down, probes.Protocol, "without knowing its secret"},
		"another kdc, ticket": {changed(func(o *kerberostest.Options) { o.WrongKey = kerberostest.Ticket }), probes.Down, probes.Protocol, "not made with the session's key"},
		"too much work":       {changed(func(o *kerberostest.Options) { o.Iterations = 1 << 31 }), probes.Down, probes.Protocol, "131072 rounds"},
		"no kdc": {changed(func(o *kerberostest.Options) {
			o.Raw = map[kerberostest.Step][]byte{kerberostest.Ask: []byte("HTTP")}
		}), probes.Down, probes.Protocol, "what answers is no kdc"},
		"no host":            {changed(func(o *kerberostest.Options) { o.Services = nil }), probes.Down, probes.Content, "the domain knows no host host.example.test: it fell out of the domain"},
		"no service":         {changed(func(o *kerberostest.Options) { o.Services = o.Services[1:] }), probes.Degraded, probes.Functional, "not its service principal " + krbService + ": no kerberos there, users fall back to ntlm"},
		"host disabled":      {codes(kerberostest.Ticket, kerberos.ServiceRevoked), probes.Down, probes.Status, "the host's account in the domain is disabled"},
		"host expired":       {codes(kerberostest.Ticket, kerberos.ServiceExpired), probes.Down, probes.Status, "the host's account in the domain has expired"},
		"two hosts":          {codes(kerberostest.Ticket, kerberos.NotUnique), probes.Degraded, probes.Functional, "several accounts of the domain"},
		"ticket by policy":   {codes(kerberostest.Ticket, kerberos.Policy), probes.Unknown, probes.Auth, "a policy keeps it from " + krbService},
		"ticket, closes":     {changed(func(o *kerberostest.Options) { o.Closes = kerberostest.Ticket }), probes.Down, probes.Reset, "no log-on server: the peer closed"},
		"ticket, other code": {codes(kerberostest.Ticket, kerberos.TGTRevoked), probes.Unknown, probes.Auth, "KDC_ERR_TGT_REVOKED"},
	} {
		t.Run(name, func(t *testing.T) {
			k := kerberostest.Start(t, c.o)
			p := krbProbe(t, k.Address)
			for i := range 2 {
				r := runRDP(t, p, rdpPatience)
				wantRDP(t, r, c.outcome, c.reason, c.words)
				if (fact(r, "account") != "") != (c.reason == probes.Auth) {
					t.Errorf("account %q", fact(r, "account"))
				}
				if n := k.Seen().Asked; n != i+1 {
					t.Errorf("asked %d times, want %d", n, i+1)
				}
			}
		})
	}
}

func TestRDPKerberosTicketsWithARemark(t *testing.T) {
	o := krbOptions()
	o.Referral = "OTHER.TEST"
	p := krbProbe(t, kerberostest.Start(t, o).Address)
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "kerberos=and refers to the realm OTHER.TEST for "+krbService)
	o = krbOptions()
	o.Codes = map[kerberostest.Step]int32{kerberostest.Ticket: int32(kerberos.MustUseUser2User)}
	p = krbProbe(t, kerberostest.Start(t, o).Address)
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "kerberos=and knows "+krbService)
}

// Where the host takes no NTLM, a missing service principal is an outage.
func TestRDPKerberosWithoutServiceWhereNTLMIsOff(t *testing.T) {
	o := krbOptions()
	o.Services = o.Services[1:]
	p := krbProbe(t, kerberostest.Start(t, o).Address)
	p.Address = rdptest.Start(t, rdptest.Options{ChallengeStatus: rdp.StatusNTLMBlocked}).Address
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Down, probes.Content, "and the host takes no ntlm", "ladder=does not accept ntlm")
}

func TestRDPKerberosControllerThatIsNotThere(t *testing.T) {
	p := krbProbe(t, probetest.Closed(t))
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Down, probes.Refused, "no log-on server: 127.0.0.1:")
	p = krbProbe(t, probetest.Listen(t, probetest.Silence))
	wantRDP(t, runRDP(t, p, 3*rdpSilence), probes.Down, probes.Timeout, "no log-on server: the domain controller (127.0.0.1:")
	// Nobody was named: the account is not held back.
	p.Kerberos.KDC = []string{kerberostest.Start(t, krbOptions()).Address}
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "")
	// While the account rests, too, it is seen that no controller answers.
	p.Password = secret.New("Wrong-Pass1")
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Unknown, probes.Auth, "is refused")
	p.Kerberos.KDC = []string{probetest.Closed(t)}
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Down, probes.Refused, "no log-on server")
}

func TestRDPKerberosControllerThatTakesTheLogonAndIsSilent(t *testing.T) {
	o := krbOptions()
	o.Silent = kerberostest.Logon
	o.Accounts = map[string]string{"silent": krbPassword, "probe": krbPassword}
	k := kerberostest.Start(t, o)
	p := krbProbe(t, k.Address)
	p.User = `EXAMPLE\silent` // of whom this process knows nothing good
	wantRDP(t, runRDP(t, p, 5*rdpSilence), probes.Down, probes.Timeout, "takes the log-on and does not answer (hung)")
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Unknown, probes.Auth, "was not answered: tried again after", "logon=is off", "account=")
	if n := k.Seen().Logons; n != 1 {
		t.Errorf("the secret was used %d times", n)
	}
	o.Silent, o.Closes = "", kerberostest.Logon
	k = kerberostest.Start(t, o)
	p = krbProbe(t, k.Address)
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Unknown, probes.Auth, "ends the connection without an answer; it is tried once more after", "account=probably refused")
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "account=ended without an answer")
	if n := k.Seen().Logons; n != 1 {
		t.Errorf("the secret was used %d times", n)
	}
	o.Closes, o.Silent = "", kerberostest.Ticket
	p = krbProbe(t, kerberostest.Start(t, o).Address)
	for range 2 {
		wantRDP(t, runRDP(t, p, 5*rdpSilence), probes.Down, probes.Timeout, "accepts the account and does not answer for "+krbService)
	}
}

// The number is of the clock that is furthest off.
func TestRDPKerberosClockSkew(t *testing.T) {
	o := krbOptions()
	o.Skew = 7 * time.Minute
	p := krbProbe(t, kerberostest.Start(t, o).Address)
	r := runRDP(t, p, rdpPatience)
	wantRDP(t, r, probes.Up, probes.None, "", "kdc=its clock 7m0", "clock=this agent's")
	if n, ok := r.Number(probes.ClockSkew); !ok || n.Value < 400 || !strings.Contains(n.Of, "domain controller") {
		t.Errorf("%+v", n)
	}
	o.Skew = 0
	p = krbProbe(t, kerberostest.Start(t, o).Address)
	p.Address = rdptest.Start(t, rdptest.Options{Skew: -7 * time.Minute}).Address
	if n, ok := runRDP(t, p, rdpPatience).Number(probes.ClockSkew); !ok || n.Value < 400 || !strings.Contains(n.Of, "host's clock") {
		t.Errorf("%+v", n)
	}
}

// Controllers are looked up where none is listed; what the resolver does not know is told.
func TestRDPKerberosFindsControllersInDNS(t *testing.T) {
	k := kerberostest.Start(t, krbOptions())
	p := krbProbe(t)
	p.SetResolver(srvResolver(t, map[string]string{"_kerberos._tcp.EXAMPLE.TEST.": k.Address}))
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Up, probes.None, "", "kdc=127.0.0.1:")
	p.SetResolver(srvResolver(t, nil))
	wantRDP(t, runRDP(t, p, rdpPatience), probes.Down, probes.DNS, "no log-on server: the name _kerberos._tcp.EXAMPLE.TEST")
}

// srvResolver asks a name server that knows one address for each name.
func srvResolver(t *testing.T, answers map[string]string) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if to, ok := answers[q.Question[0].Name]; ok && q.Question[0].Qtype == dns.TypeSRV {
			_, port, _ := net.SplitHostPort(to)
			record, err := dns.NewRR(fmt.Sprintf("%s 60 IN SRV 0 0 %s localhost.", q.Question[0].Name, port))
			if err != nil {
				t.Error(err)
				return
			}
			m.Answer = append(m.Answer, record)
		} else {
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ActivateAndServe() })
	t.Cleanup(func() { _ = socket.Close(); serving.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

func TestRDPKerberosFaults(t *testing.T) {
	full := probes.RDP{Address: "host.example.test", User: "probe", Password: secret.New("p"), Kerberos: probes.RDPKerberos{Realm: "EXAMPLE.TEST"}}
	for name, c := range map[string]struct {
		change func(p *probes.RDP)
		want   string // "": valid
	}{
		"full":      {func(*probes.RDP) {}, ""},
		"with kdcs": {func(p *probes.RDP) { p.Kerberos.KDC = []string{"dc01.example.test", "10.0.0.1:1088", "[::1]:88"} }, ""},
		"any depth": {func(p *probes.RDP) { p.Depth = "x224" }, ""},
		"upn":       {func(p *probes.RDP) { p.User = "probe@example.test" }, ""},
		"address":   {func(p *probes.RDP) { p.Address, p.Kerberos.Service = "10.0.0.1", "TERMSRV/host" }, ""},
		"no realm": {func(p *probes.RDP) {
			*p = probes.RDP{Address: p.Address, Kerberos: probes.RDPKerberos{KDC: []string{"dc"}}}
		}, "kerberos.realm: is required"},
		"realm":         {func(p *probes.RDP) { p.Kerberos.Realm = "EXAMPLE TEST" }, "kerberos.realm: is no realm"},
		"kdc":           {func(p *probes.RDP) { p.Kerberos.KDC = []string{"dc01", "a:b:c"} }, "kerberos.kdc[1]"},
		"many kdcs":     {func(p *probes.RDP) { p.Kerberos.KDC = strings.Split(strings.Repeat("dc01,", 9)+"dc", ",") }, "kerberos.kdc: has more than 8"},
		"service":       {func(p *probes.RDP) { p.Kerberos.Service = "host" }, "kerberos.service: is no service principal"},
		"no name":       {func(p *probes.RDP) { p.Address = "10.0.0.1" }, "kerberos.service: is required where address is no name"},
		"no address":    {func(p *probes.RDP) { p.Address, p.Gateway = "", "https://gw.example.test" }, "address: is required with kerberos"},
		"no user":       {func(p *probes.RDP) { p.User = "" }, "user: kerberos needs a user"},
		"no secret":     {func(p *probes.RDP) { p.Password = secret.Value{} }, "password: kerberos needs one secret"},
		"own account":   {func(p *probes.RDP) { p.User = `.\probe` }, "user: is of the host's own"},
		"built-in":      {func(p *probes.RDP) { p.User = "Administrator" }, "user: must not be a built-in account"},
		"without stage": {func(p *probes.RDP) { p.Kerberos = probes.RDPKerberos{} }, "user: has no effect at this depth"},
	} {
		p := full
		c.change(&p)
		faults := p.Validate()
		if c.want == "" && len(faults) > 0 || c.want != "" && (len(faults) != 1 || !strings.Contains(faults[0].Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, faults, c.want)
		}
	}
}

func TestRDPKerberosResultsHoldNoSecret(t *testing.T) {
	hash := hex.EncodeToString(rdp.HashOf(krbPassword).Bytes())
	wrong := krbOptions()
	wrong.Accounts = map[string]string{"probe": "other"}
	unfit := krbOptions()
	unfit.NoPAData = true
	for _, o := range []kerberostest.Options{krbOptions(), wrong, unfit, {}} {
		for _, hashed := range []bool{false, true} {
			p := krbProbe(t, kerberostest.Start(t, o).Address)
			if hashed {
				p.Password, p.NTHash = secret.Value{}, secret.New(hash)
			}
			r := runRDP(t, p, rdpPatience)
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			p.Validate()
			all := strings.ToLower(string(text) + fmt.Sprintf("%+v %#v %v", r, &p, p))
			for _, s := range []string{krbPassword, hash, hash[:12], fmt.Sprintf("%d", rdp.HashOf(krbPassword).Bytes())[1:12]} {
				if strings.Contains(all, strings.ToLower(s)) {
					t.Errorf("%q is in %s", s, all)
				}
			}
		}
	}
}

// The whole contract, with the host that is always good and a KDC that is not.
func TestRDPKerberosKeepsTheContract(t *testing.T) {
	// a pointer to a probe of its own: the latch is in it
	probe := func(t *testing.T, kdc string) probes.Probe {
		p := krbProbe(t, kdc)
		return valid(t, &p)
	}
	good := func(t *testing.T) probes.Probe { return probe(t, kerberostest.Start(t, krbOptions()).Address) }
	probetest.Run(t, probetest.Case{
		Kind: "rdp", Good: good,
		Silent:    func(t *testing.T) probes.Probe { return probe(t, probetest.Listen(t, probetest.Silence)) },
		Scenarios: probetest.Peers(probe),
	})
}
