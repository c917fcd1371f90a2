package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/probes/rdp"
)

// challenge is the ntlm stage: the authentication service answers before any account is named, and says whose it is.
func (p *RDP) challenge(ctx context.Context, rec *Recorder, conn *rdp.Conn) (Result, bool) {
	rec.Begin(PhaseNTLM)
	told, err := conn.Challenge(ctx, rdp.CredSSP{SPNEGO: p.SPNEGO, Target: spn(p.target)})
	rec.End()
	if err != nil {
		return p.unchallenged(ctx, rec, err)
	}
	rec.Fact("security", fmt.Sprintf("%s, credssp %d", conn.Confirm().Selected, told.Version))
	rec.Fact("host", bothNames(told.NetBIOSComputer, told.DNSComputer))
	rec.Fact("domain", domainFact(told))
	rec.Fact("os", system(told))
	p.clock(rec, told)
	if p.Host != "" && !p.isHost(told) {
		return rec.Finish(Down, Content, "another host answers at this address: it says that it is %s, expected %s", orNone(bothNames(told.NetBIOSComputer, told.DNSComputer)), p.Host), true
	}
	if p.Domain != "" && !sameAny(p.Domain, told.NetBIOSDomain, told.DNSDomain, told.DNSTree) {
		if alone(told) {
			return rec.Finish(Down, Content, "the host fell out of its domain: it says that it is in none, expected %s; nobody can log on with a domain account", p.Domain), true
		}
		return rec.Finish(Down, Content, "the host is in another domain: it says %s, expected %s", orNone(bothNames(told.NetBIOSDomain, told.DNSDomain)), p.Domain), true
	}
	return Result{}, false
}

// unchallenged judges a server that gives no challenge. One that answers that it takes no NTLM has an authentication service
// that works.
func (p *RDP) unchallenged(ctx context.Context, rec *Recorder, err error) (Result, bool) {
	status, answered := errors.AsType[*rdp.StatusError](err)
	violation, wrong := errors.AsType[*rdp.ProtocolError](err)
	switch {
	case errors.Is(err, rdp.ErrNoNTLM):
		rec.Fact("ladder", "ends at tls: "+rdp.ErrNoNTLM.Error())
		return Result{}, false
	case answered && slices.Contains(ntlmOff, status.Status):
		rec.Fact("ladder", "ends at tls: server does not accept ntlm, or not like this: "+status.Status.String())
		return Result{}, false
	case answered:
		why := meanings[status.Status].words
		if why == "" || !meanings[status.Status].outage {
			why = "the authentication service refuses to begin"
		}
		return rec.Finish(Down, Status, "%s: %s", why, status.Status), true
	case wrong:
		return rec.Finish(Down, Protocol, "%s", violation.Error()), true
	}
	return failStage(ctx, rec, err, Protocol, "tls works, but the authentication service does not answer (hung): nobody can log on"), true
}

// clock notes by how much the clocks differ. The host read its own about half a round trip before the challenge came.
func (p *RDP) clock(rec *Recorder, told rdp.Challenge) {
	if told.Time.IsZero() {
		return
	}
	skew := told.Time.Sub(told.Received.Add(-told.RoundTrip / 2))
	text := apart(skew)
	rec.Fact("clock", text)
	rec.NumberOf(ClockSkew, skew.Abs().Seconds(), "the host's clock, which is "+text)
}

// apart says by how much a clock is ahead of this agent's, or behind.
func apart(skew time.Duration) string {
	text := skew.Abs().Round(10 * time.Millisecond).String()
	if skew > 0 {
		return text + " ahead of this agent's"
	}
	return text + " behind this agent's"
}

// isHost reports whether the server is the one that is expected: by its DNS name where that is asked for, else by its first
// label, or by its NetBIOS name, which has 15 characters at most.
func (p *RDP) isHost(told rdp.Challenge) bool {
	if strings.Contains(p.Host, ".") {
		return strings.EqualFold(strings.TrimSuffix(p.Host, "."), told.DNSComputer)
	}
	label, _, _ := strings.Cut(told.DNSComputer, ".")
	return sameAny(p.Host, label, told.NetBIOSComputer) || len(p.Host) > 15 && strings.EqualFold(p.Host[:15], told.NetBIOSComputer)
}

func sameAny(want string, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(want, name) })
}

// alone reports whether a host is in no domain: Windows then gives its own name as the domain's.
func alone(told rdp.Challenge) bool {
	return sameAny(told.NetBIOSDomain, "", told.NetBIOSComputer) && sameAny(told.DNSDomain, "", told.DNSComputer, told.NetBIOSComputer)
}

func domainFact(told rdp.Challenge) string {
	if alone(told) {
		return "none"
	}
	return bothNames(told.NetBIOSDomain, told.DNSDomain)
}

// bothNames returns a NetBIOS name with its DNS name, bounded.
func bothNames(short, long string) string {
	switch {
	case long == "" || strings.EqualFold(short, long):
		return Printable(short, 100)
	case short == "":
		return Printable(long, 100)
	}
	return Printable(short, 60) + " (" + Printable(long, 100) + ")"
}

func orNone(name string) string {
	if name == "" {
		return "nobody"
	}
	return name
}

// builds names the releases of Windows by their builds, the newest first: a build is of the first that is not above it.
var builds = []struct {
	build uint16
	name  string
}{
	{26100, "Windows Server 2025 or Windows 11"},
	{22000, "Windows 11"},
	{20348, "Windows Server 2022"},
	{19041, "Windows 10"},
	{17763, "Windows Server 2019 or Windows 10"},
	{14393, "Windows Server 2016 or Windows 10"},
	{10240, "Windows 10"},
	{9600, "Windows Server 2012 R2"},
	{9200, "Windows Server 2012"},
	{7600, "Windows Server 2008 R2"},
	{6001, "Windows Server 2008"},
}

// system names the operating system that the server says it is.
func system(told rdp.Challenge) string {
	if told.Major == 0 && told.Build == 0 {
		return ""
	}
	version := fmt.Sprintf("%d.%d.%d", told.Major, told.Minor, told.Build)
	for _, b := range builds {
		if told.Build >= b.build {
			return version + " (" + b.name + ")"
		}
	}
	return version
}

// entra asks for Entra authentication over a connection of its own and wants what the server says first.
func (p *RDP) entra(ctx context.Context, rec *Recorder) error {
	rec.Begin(PhaseEntra)
	defer rec.End()
	raw, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return err
	}
	conn := rdp.NewConn(raw)
	defer func() { _ = conn.Close() }()
	confirm, err := conn.Negotiate(ctx, rdp.ProtocolRDSAAD|rdp.ProtocolRDSTLS)
	if err != nil {
		return err
	}
	if confirm.Selected == rdp.ProtocolRDP {
		return errNoEntra
	}
	if _, err := conn.StartTLS(ctx, p.name); err != nil {
		return err
	}
	if err := conn.Greeting(ctx); err != nil {
		return err
	}
	rec.Fact("entra", "offered ("+confirm.Selected.String()+"), and the server begins")
	return nil
}

// errNoEntra is a server that answers with what was not asked for.
var errNoEntra = errors.New("the server offers standard rdp security only")

// askEntra is entra where it is required.
func (p *RDP) askEntra(ctx context.Context, rec *Recorder) (Result, bool) {
	err := p.entra(ctx, rec)
	switch {
	case err == nil:
		return Result{}, false
	case errors.Is(err, errNoEntra):
		return rec.Finish(Down, Protocol, "entra authentication is not offered: %s", err), true
	}
	if refusal, ok := errors.AsType[*rdp.NegotiationError](err); ok {
		return rec.Finish(Down, Protocol, "entra authentication is not offered: %s", refusal), true
	}
	if violation, ok := errors.AsType[*rdp.ProtocolError](err); ok {
		return rec.Finish(Down, Protocol, "entra authentication fails: %s", violation), true
	}
	return failStage(ctx, rec, err, Protocol, "the server does not answer the request for entra authentication (hung)"), true
}
