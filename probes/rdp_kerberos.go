package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/probes/kerberos"
	"github.com/firstcall-agent/firstcall/probes/rdp"
)

const (
	kerberosPort = "88"
	// maxKDCs bounds how many controllers of a realm are listed, or taken of what DNS says: each has its share of the time.
	maxKDCs = 8
	// maxRealm bounds realm and service, in bytes: a DNS name has 255 at most.
	maxRealm = 255
)

// RDPKerberos makes an rdp probe ask a domain's Key Distribution Center (KDC) for tickets. Without a realm it is off.
type RDPKerberos struct {
	Realm   string   `yaml:"realm" doc:"Kerberos realm, which is the domain's DNS name in upper case: user is of it. Setting it turns the stage on, at any depth; it needs user and a secret."`
	KDC     []string `yaml:"kdc" doc:"Domain controllers, host or host:port, port 88 unless given; the next is asked where one does not answer. Without, they are looked up in DNS (_kerberos._tcp.REALM) at each run."`
	Service string   `yaml:"service" doc:"Service principal that a ticket is asked for; TERMSRV/ and the host of address unless given."`
}

// checkKerberos checks the keys below kerberos.
func (p *RDP) checkKerberos(faults *field.Errors) {
	p.kdcs, p.service = nil, p.Kerberos.Service
	if p.Kerberos.Realm == "" {
		if len(p.Kerberos.KDC) > 0 || p.Kerberos.Service != "" {
			faults.AddHint("kerberos.realm", "write the domain's DNS name in upper case", "is required")
		}
		return
	}
	if realm := p.Kerberos.Realm; len(realm) > maxRealm || !plain(realm) || strings.ContainsAny(realm, ` /:@\`) {
		faults.AddHint("kerberos.realm", "write the domain's DNS name in upper case, ACME.EXAMPLE", "is no realm")
	}
	if len(p.Kerberos.KDC) > maxKDCs {
		faults.Add("kerberos.kdc", "has more than %d entries", maxKDCs)
	}
	for i, kdc := range p.Kerberos.KDC {
		kdc = withPort(kdc, kerberosPort)
		checkAddress(faults, fmt.Sprintf("kerberos.kdc[%d]", i), kdc)
		p.kdcs = append(p.kdcs, kdc)
	}
	class, host, ok := strings.Cut(p.service, "/")
	switch {
	case p.Address == "":
		faults.Add("address", "is required with kerberos")
	case p.service != "" && (!ok || class == "" || host == "" || len(p.service) > maxRealm || !plain(p.service) || strings.ContainsAny(p.service, ` @\`)):
		faults.AddHint("kerberos.service", "write CLASS/host, TERMSRV/host.acme.example", "is no service principal")
	case p.service == "":
		if p.service = strings.TrimSuffix(spn(p.target), "."); p.service == "" {
			faults.AddHint("kerberos.service", "write TERMSRV/host.acme.example", "is required where address is no name")
		}
	}
	if strings.HasPrefix(p.User, `.\`) {
		faults.AddHint("user", "name an account of the domain", "is of the host's own, which kerberos does not know")
	}
}

// kdcResolver looks controllers up in DNS. The system's own resolver, asked for anything but addresses, takes no notice of a
// context that is cancelled.
var kdcResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		Bind(ctx, conn)
	}
	return conn, err
}}

// controllers returns the KDCs to ask, in their order: those that are listed, else those that DNS knows (RFC 4120 7.2.3.2).
func (p *RDP) controllers(ctx context.Context) ([]string, error) {
	if len(p.kdcs) > 0 {
		return p.kdcs, nil
	}
	resolver := kdcResolver
	if p.resolver != nil {
		resolver = p.resolver
	}
	_, records, err := resolver.LookupSRV(ctx, "kerberos", "tcp", strings.TrimSuffix(p.Kerberos.Realm, ".")+".")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, r := range records {
		if host := strings.TrimSuffix(r.Target, "."); host != "" && len(all) < maxKDCs {
			all = append(all, net.JoinHostPort(host, fmt.Sprint(r.Port)))
		}
	}
	if len(all) == 0 {
		return nil, &net.DNSError{Name: "_kerberos._tcp." + p.Kerberos.Realm, IsNotFound: true}
	}
	return all, nil
}

// ticketRun is one run of the kerberos stage.
type ticketRun struct {
	probe   *RDP
	rec     *Recorder
	guard   guard
	tries   int
	ntlmOff bool // the host takes NLA and no NTLM, so users depend on Kerberos
	x       *kerberos.Exchange
}

// tickets is the kerberos stage: a KDC answers, accepts the account, and knows the host's service. The host is not asked.
func (p *RDP) tickets(ctx context.Context, rec *Recorder, conn *rdp.Conn) (Result, bool) {
	rec.Begin(PhaseKerberos)
	defer rec.End()
	nla := conn.Confirm().Selected&(rdp.ProtocolHybrid|rdp.ProtocolHybridEx) != 0
	t := &ticketRun{probe: p, rec: rec, guard: p.guard().aside(rec), ntlmOff: nla && p.asks() && !conn.Ready()}
	kdcs, err := p.controllers(ctx)
	if err != nil {
		return t.noKDC(ctx, err), true
	}
	end, ok := t.guard.turn(ctx)
	if !ok {
		return p.waited(ctx, rec), true
	}
	defer end()
	if ctx.Err() != nil {
		return rec.Fail(ctx, ctx.Err(), Protocol), true
	}
	tries, held := t.guard.begin(time.Now())
	if held != nil {
		return t.forNobody(ctx, kdcs, held)
	}
	t.tries = tries
	t.x, err = kerberos.Ask(ctx, kdcs, kerberos.Account{
		User: p.account.User, Realm: p.Kerberos.Realm, Password: p.Password, Hash: p.account.Hash.Bytes,
	})
	if err != nil {
		return t.notAsked(ctx, err), true
	}
	err = t.x.Logon(ctx)
	t.notes()
	if err != nil {
		return t.notAccepted(ctx, err), true
	}
	t.guard.accepted()
	return t.serviceOf(ctx)
}

// forNobody asks whether a KDC answers while the account rests.
func (t *ticketRun) forNobody(ctx context.Context, kdcs []string, held *hold) (Result, bool) {
	x, err := kerberos.Ask(ctx, kdcs, kerberos.Nobody(t.probe.Kerberos.Realm))
	denial, answered := errors.AsType[*kerberos.Error](err)
	switch {
	case answered && outages[denial.Code] != "":
		return t.outage(denial), true
	case err != nil && !answered:
		return t.noKDC(ctx, err), true
	}
	t.x = x
	t.notes()
	off := "log-on with " + t.probe.who() + " is off: " + held.why
	held.note(t.rec, off)
	t.rec.Fact("kerberos", "ends at the kdc, which answers: the account rests")
	if held.silent {
		return t.rec.Finish(Unknown, Auth, "%s", off), true
	}
	return Result{}, false
}

// notes takes down who answered and what its clock says.
func (t *ticketRun) notes() {
	text := t.x.KDC
	if t.x.Address != "" && t.x.Address != text {
		text += " (" + t.x.Address + ")"
	}
	if t.x.Timed {
		differs := apart(t.x.Skew)
		text += ", its clock " + differs
		if seconds := t.x.Skew.Abs().Seconds(); seconds > t.rec.number(ClockSkew) {
			t.rec.NumberOf(ClockSkew, seconds, "the domain controller's clock, which is "+differs)
		}
	}
	t.rec.Fact("kdc", text)
}

// serviceOf asks for the ticket of the host's service.
func (t *ticketRun) serviceOf(ctx context.Context) (Result, bool) {
	service := t.probe.service
	known := "with a ticket for "
	err := t.x.Service(ctx, service)
	denial, answered := errors.AsType[*kerberos.Error](err)
	referral, elsewhere := errors.AsType[*kerberos.ReferralError](err)
	switch {
	case elsewhere:
		known = "and refers to the realm " + Printable(referral.Realm, 80) + " for "
	case answered && denial.Code == kerberos.MustUseUser2User:
		known = "and knows "
	case answered && denial.Code == kerberos.ServiceUnknown:
		return t.noService(ctx), true
	case answered:
		return t.ticketDenied(denial), true
	case err != nil:
		return t.brokenOff(ctx, err, "the domain controller accepts the account and does not answer for "+service+" (hung)"), true
	}
	t.rec.Fact("kerberos", fmt.Sprintf("%s is accepted (%s%s), %s%s", t.who(), t.x.Etype, t.open(), known, service))
	return Result{}, false
}

func (t *ticketRun) who() string { return t.probe.account.User + " of " + t.probe.Kerberos.Realm }

// open warns of an account whose password anybody may try to guess from what the KDC gives away.
func (t *ticketRun) open() string {
	if t.x.Open {
		return ", without pre-authentication: demand it of this account"
	}
	return ""
}

// noService tells a missing name from a missing host.
func (t *ticketRun) noService(ctx context.Context) Result {
	service := t.probe.service
	class, host, _ := strings.Cut(service, "/")
	if !strings.EqualFold(class, "TERMSRV") {
		return t.withoutTickets("the domain has no service principal %s", service)
	}
	err := t.x.Service(ctx, "HOST/"+host)
	denial, answered := errors.AsType[*kerberos.Error](err)
	switch {
	case answered && denial.Code == kerberos.ServiceUnknown:
		return t.rec.Finish(Down, Content, "the domain knows no host %s: it fell out of the domain, or has another name there (then set kerberos.service)", host)
	case err != nil && !answered:
		return t.brokenOff(ctx, err, "the domain controller accepts the account and does not answer for HOST/"+host+" (hung)")
	}
	return t.withoutTickets("the domain knows the host, but not its service principal %s", service)
}

// withoutTickets ends a run in which users get no ticket for a host that is there: an outage where the host takes nothing else.
func (t *ticketRun) withoutTickets(format string, args ...any) Result {
	why := fmt.Sprintf(format, args...)
	if t.ntlmOff {
		return t.rec.Finish(Down, Content, "%s, and the host takes no ntlm: nobody can log on with a domain account", why)
	}
	return t.rec.Finish(Degraded, Functional, "%s: no kerberos there, users fall back to ntlm", why)
}
