package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/firstcall-agent/firstcall/config/field"
)

// DNSProbe asks for a name.
type DNSProbe struct {
	Name   string   `yaml:"name" required:"true" doc:"Name that is asked for; an IP address for the type PTR."`
	Type   string   `yaml:"type" default:"A" enum:"A,AAAA,CNAME,MX,TXT,NS,SRV,PTR" doc:"Type of record."`
	Server string   `yaml:"server" doc:"DNS server to ask, host:port; the system's resolver, with its hosts file and search list, unless given."`
	Expect []string `yaml:"expect" doc:"Answers that must be among those given, as dig prints them: an address, a name, \"10 mail.example.\", \"0 5 5060 sip.example.\"."`
}

func init() {
	Register(Kind{
		Name:   "dns",
		Doc:    "Asks the system's resolver, or a given DNS server, for a name.",
		New:    func() Probe { return new(DNSProbe) },
		Phases: []string{PhaseDNS},
	})
}

// Limits on one question to a given server.
const (
	dnsTries    = 3    // datagrams sent, evenly over the time there is, at least dnsPatience apart
	dnsStrays   = 64   // datagrams that are no answer to the question, before the server is called broken
	dnsDatagram = 1232 // bytes, the size that is never fragmented (DNS flag day 2020)
	dnsPatience = 300 * time.Millisecond
)

// Validate checks name, type and server.
func (p *DNSProbe) Validate() field.Errors {
	var faults field.Errors
	p.Type = strings.ToUpper(p.Type)
	if p.Type == "" {
		p.Type = "A"
	}
	if p.Type == "PTR" {
		if _, err := netip.ParseAddr(p.Name); err != nil && p.Name != "" {
			faults.AddHint("name", "write the address itself, such as 192.0.2.1", "is not an IP address, which the type PTR asks for")
		}
	} else if _, ok := dns.IsDomainName(p.Name); !ok && p.Name != "" {
		faults.Add("name", "is not a domain name")
	}
	checkAddress(&faults, "server", p.Server)
	return faults
}

// Probe asks once.
func (p *DNSProbe) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	rec.Begin(PhaseDNS)
	ask := p.askSystem
	if p.Server != "" {
		ask = p.askServer
		rec.Fact("server", p.Server)
	}
	answers, err := ask(ctx)
	rec.End()
	var rcode rcodeError
	switch {
	case errors.As(err, &rcode):
		return rec.Finish(Down, DNS, "%s", rcode.Error())
	case err != nil && p.Server != "":
		return p.failServer(ctx, rec, err)
	case err != nil:
		return rec.Fail(ctx, err, DNS)
	case len(answers) == 0:
		return rec.Finish(Down, DNS, "there is no %s record for %s", p.Type, p.Name)
	}
	slices.Sort(answers)
	rec.Fact("answers", strings.Join(answers, ", "))
	for _, want := range p.Expect {
		if !slices.ContainsFunc(answers, func(got string) bool { return p.same(got, want) }) {
			return rec.Finish(Down, DNS, "%s is not among the %s records of %s: %s", want, p.Type, p.Name, strings.Join(answers, ", "))
		}
	}
	return rec.Up()
}

// failServer judges an error towards a given server: unlike the system's resolver it is the target, so its silence is Down.
func (p *DNSProbe) failServer(ctx context.Context, rec *Recorder, err error) Result {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && isTimeout(err) {
		// The server's own name is the system's resolver to tell.
		if _, own := errors.AsType[*net.DNSError](err); !own {
			return rec.Finish(Down, Timeout, "no answer from the dns server %s", p.Server)
		}
	}
	outcome, reason, detail := Classify(ctx, PhaseConnect, err, Protocol)
	if reason == Protocol {
		detail = "the answer is no dns message: " + clause(err)
	}
	return rec.Finish(outcome, reason, "%s", detail)
}

// same compares answers: names whatever the case and with or without the final dot, addresses whatever their spelling.
func (p *DNSProbe) same(got, want string) bool {
	if a, err := netip.ParseAddr(got); err == nil {
		b, err := netip.ParseAddr(want)
		return err == nil && a == b
	}
	if p.Type == "TXT" {
		return got == want
	}
	return strings.EqualFold(strings.TrimSuffix(got, "."), strings.TrimSuffix(want, "."))
}

// askSystem asks the system's resolver.
func (p *DNSProbe) askSystem(ctx context.Context) ([]string, error) {
	r := net.DefaultResolver
	switch p.Type {
	case "A", "AAAA":
		network := map[string]string{"A": "ip4", "AAAA": "ip6"}[p.Type]
		addrs, err := r.LookupNetIP(ctx, network, p.Name)
		return each(addrs, func(a netip.Addr) string { return a.Unmap().String() }), err
	case "CNAME":
		name, err := r.LookupCNAME(ctx, p.Name)
		return []string{name}, err
	case "MX":
		all, err := r.LookupMX(ctx, p.Name)
		return each(all, func(m *net.MX) string { return fmt.Sprintf("%d %s", m.Pref, m.Host) }), err
	case "TXT":
		return r.LookupTXT(ctx, p.Name)
	case "NS":
		all, err := r.LookupNS(ctx, p.Name)
		return each(all, func(n *net.NS) string { return n.Host }), err
	case "SRV":
		_, all, err := r.LookupSRV(ctx, "", "", p.Name)
		return each(all, func(s *net.SRV) string {
			return fmt.Sprintf("%d %d %d %s", s.Priority, s.Weight, s.Port, s.Target)
		}), err
	}
	return r.LookupAddr(ctx, p.Name)
}

func each[T any](all []T, text func(T) string) []string {
	texts := make([]string, 0, len(all))
	for _, one := range all {
		texts = append(texts, text(one))
	}
	return texts
}

// rcodeError is an answer that says no (RFC 1035 section 4.1.1).
type rcodeError struct {
	rcode        int
	server, name string
}

func (e rcodeError) Error() string {
	if e.rcode == dns.RcodeNameError {
		return fmt.Sprintf("the name %s does not exist, says %s", e.name, e.server)
	}
	return fmt.Sprintf("%s answers %s for %s", e.server, dns.RcodeToString[e.rcode], e.name)
}

// askServer asks the given server over UDP and, when the answer is cut short, over TCP (RFC 7766).
func (p *DNSProbe) askServer(ctx context.Context) ([]string, error) {
	name := dns.Fqdn(p.Name)
	if p.Type == "PTR" {
		name, _ = dns.ReverseAddr(p.Name) // Validate has seen that it is an address
	}
	question := new(dns.Msg).SetQuestion(name, dns.StringToType[p.Type]).SetEdns0(dnsDatagram, false)
	answer, err := p.exchange(ctx, "udp", question)
	if err == nil && answer.Truncated {
		answer, err = p.exchange(ctx, "tcp", question)
	}
	if err != nil {
		return nil, err
	}
	if answer.Rcode != dns.RcodeSuccess {
		return nil, rcodeError{answer.Rcode, p.Server, p.Name}
	}
	return pick(answer.Answer, dns.StringToType[p.Type]), nil
}

// exchange sends question, over UDP up to dnsTries times, and reads until the answer to it comes.
func (p *DNSProbe) exchange(ctx context.Context, network string, question *dns.Msg) (*dns.Msg, error) {
	dialer := net.Dialer{KeepAlive: -1}
	raw, err := dialer.DialContext(ctx, network, p.Server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.Close() }()
	conn := &dns.Conn{Conn: raw, UDPSize: dnsDatagram}
	for try := range dnsTries {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok && network == "udp" && try < dnsTries-1 {
			share := max(dnsPatience, time.Until(deadline)/time.Duration(dnsTries-try))
			wait, cancel = context.WithTimeout(ctx, share)
		}
		answer, err := p.once(wait, conn, question)
		cancel()
		if err == nil || ctx.Err() != nil || wait.Err() == nil {
			return answer, err
		}
		_ = raw.SetDeadline(time.Time{})
	}
	return nil, context.DeadlineExceeded
}

// once sends question and reads until ctx ends, the answer comes, or the server is seen to send something else.
func (p *DNSProbe) once(ctx context.Context, conn *dns.Conn, question *dns.Msg) (*dns.Msg, error) {
	defer Bind(ctx, conn)()
	if err := conn.WriteMsg(question); err != nil {
		return nil, err
	}
	for range dnsStrays {
		answer, err := conn.ReadMsg()
		if err != nil {
			return nil, err
		}
		if answer.Id == question.Id && answer.Response && sameQuestion(answer, question) {
			return answer, nil
		}
	}
	return nil, fmt.Errorf("the server sent %d messages, none of which answers the question", dnsStrays)
}

func sameQuestion(answer, question *dns.Msg) bool {
	if len(answer.Question) == 0 {
		return answer.Rcode != dns.RcodeSuccess // servers may leave it out when they refuse
	}
	a, q := answer.Question[0], question.Question[0]
	return a.Qtype == q.Qtype && a.Qclass == q.Qclass && strings.EqualFold(a.Name, q.Name)
}

// pick returns the data of the records of type t.
func pick(records []dns.RR, t uint16) []string {
	var found []string
	for _, rr := range records {
		if rr.Header().Rrtype != t {
			continue
		}
		if txt, ok := rr.(*dns.TXT); ok {
			found = append(found, strings.Join(txt.Txt, ""))
			continue
		}
		found = append(found, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return found
}
