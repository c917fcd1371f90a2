package probes_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

// serveDNS answers over UDP and TCP on one port until t ends; no answer is sent for nil.
func serveDNS(t *testing.T, answer func(question *dns.Msg) *dns.Msg) string {
	t.Helper()
	packets, listener := samePort(t)
	address := packets.LocalAddr().String()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		if reply := answer(question); reply != nil {
			if w.LocalAddr().Network() == "tcp" {
				reply.Truncated = false
			} else if reply.Truncated {
				reply.Answer = nil
			}
			_ = w.WriteMsg(reply)
		}
	})
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}} {
		up, down := make(chan struct{}), make(chan struct{})
		server.NotifyStartedFunc = func() { close(up) }
		go func() {
			defer close(down)
			_ = server.ActivateAndServe()
		}()
		<-up
		t.Cleanup(func() {
			_ = server.Shutdown()
			<-down
		})
	}
	return address
}

// samePort listens on one port for UDP and TCP, as a DNS server does.
func samePort(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 50 { // the other protocol's port may be taken by somebody else
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		_ = packets.Close()
	}
	t.Fatal("there is no port free for both udp and tcp")
	return nil, nil
}

// listenUDP calls handle for each datagram until t ends.
func listenUDP(t *testing.T, handle func(reply func([]byte), datagram []byte)) string {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 4096)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			handle(func(b []byte) { _, _ = packets.WriteTo(b, from) }, buffer[:n])
		}
	}()
	t.Cleanup(func() {
		_ = packets.Close()
		<-ended
	})
	return packets.LocalAddr().String()
}

func silentUDP(t *testing.T) string { return listenUDP(t, func(func([]byte), []byte) {}) }

// zone answers from records in the form of a zone file.
func zone(t *testing.T, records ...string) func(*dns.Msg) *dns.Msg {
	t.Helper()
	var all []dns.RR
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rr)
	}
	return func(question *dns.Msg) *dns.Msg {
		reply := new(dns.Msg).SetReply(question)
		for _, rr := range all {
			if strings.EqualFold(rr.Header().Name, question.Question[0].Name) && rr.Header().Rrtype == question.Question[0].Qtype {
				reply.Answer = append(reply.Answer, rr)
			}
		}
		return reply
	}
}

func TestDNSContract(t *testing.T) {
	ask := func(t *testing.T, server string) probes.Probe {
		return valid(t, &probes.DNSProbe{Name: "web.example", Type: "A", Server: server, Expect: []string{"192.0.2.7"}})
	}
	answers := func(answer func(*dns.Msg) *dns.Msg) probetest.Target {
		return func(t *testing.T) probes.Probe { return ask(t, serveDNS(t, answer)) }
	}
	udp := func(handle func(func([]byte), []byte)) probetest.Target {
		return func(t *testing.T) probes.Probe { return ask(t, listenUDP(t, handle)) }
	}
	rcode := func(code int) probetest.Target {
		return answers(func(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, code) })
	}
	down := func(name, detail string, target probetest.Target, reason probes.Reason) probetest.Scenario {
		return probetest.Scenario{Name: name, Target: target, Outcome: probes.Down, Reasons: []probes.Reason{reason}, Verify: wantDetail(detail)}
	}
	good := zone(t, "web.example. 60 IN A 192.0.2.8", "web.example. 60 IN A 192.0.2.7")
	probetest.Run(t, probetest.Case{
		Kind:   "dns",
		Good:   answers(good),
		Silent: udp(func(func([]byte), []byte) {}),
		Scenarios: []probetest.Scenario{
			down("nxdomain", "the name web.example does not exist, says 127.0.0.1:", rcode(dns.RcodeNameError), probes.DNS),
			down("servfail", "answers SERVFAIL for web.example", rcode(dns.RcodeServerFailure), probes.DNS),
			down("refused by rule", "answers REFUSED for web.example", rcode(dns.RcodeRefused), probes.DNS),
			down("no record", "there is no A record for web.example", answers(zone(t)), probes.DNS),
			down("wrong record", "192.0.2.7 is not among the A records of web.example: 203.0.113.9", answers(zone(t, "web.example. 60 IN A 203.0.113.9")), probes.DNS),
			down("port closed", "refuses the connection", func(t *testing.T) probes.Probe { return ask(t, probetest.Closed(t)) }, probes.Refused),
			down("garbage", "the answer is no dns message", udp(func(reply func([]byte), _ []byte) { reply([]byte("\xff\xffno")) }), probes.Protocol),
			down("flood of other answers", "none of which answers the question", udp(func(reply func([]byte), _ []byte) {
				other, _ := new(dns.Msg).SetQuestion("other.example.", dns.TypeA).Pack()
				for range 200 {
					reply(other)
				}
			}), probes.Protocol),
			{Name: "answers the third time", Timeout: 2 * time.Second, Outcome: probes.Up, Target: func(t *testing.T) probes.Probe {
				var asked atomic.Int32
				return ask(t, serveDNS(t, func(q *dns.Msg) *dns.Msg {
					if asked.Add(1) < 3 {
						return nil
					}
					return good(q)
				}))
			}},
			{Name: "truncated", Outcome: probes.Up, Target: answers(func(q *dns.Msg) *dns.Msg {
				reply := good(q)
				reply.Truncated = true
				return reply
			})},
			{Name: "hostile text", Outcome: probes.Down, Reasons: []probes.Reason{probes.DNS}, Target: func(t *testing.T) probes.Probe {
				return valid(t, &probes.DNSProbe{Name: "web.example", Type: "TXT", Expect: []string{"v=1"}, Server: serveDNS(t,
					zone(t, `web.example. 60 IN TXT "`+strings.Repeat(`\027\010`, 100)+`"`))})
			}},
		},
	})
}

func TestDNSTypes(t *testing.T) {
	server := serveDNS(t, zone(t,
		"a.example. 60 IN AAAA 2001:db8::7", "a.example. 60 IN CNAME web.example.", "a.example. 60 IN MX 10 mail.example.",
		`a.example. 60 IN TXT "v=spf1 " "-all"`, "a.example. 60 IN NS ns1.example.", "a.example. 60 IN SRV 0 5 5060 sip.example.",
		"7.2.0.192.in-addr.arpa. 60 IN PTR web.example.",
	))
	for kind, expect := range map[string]string{
		"AAAA": "2001:db8:0::7", "CNAME": "web.example", "MX": "10 Mail.example.", "TXT": "v=spf1 -all", "NS": "ns1.example.",
		"SRV": "0 5 5060 sip.example", "PTR": "web.example.",
	} {
		name := "a.example"
		if kind == "PTR" {
			name = "192.0.2.7"
		}
		r := valid(t, &probes.DNSProbe{Name: name, Type: kind, Server: server, Expect: []string{expect}}).Probe(t.Context())
		if r.Outcome != probes.Up {
			t.Errorf("%s: %s, %s (answers %s)", kind, r.Outcome, r.Detail, fact(r, "answers"))
		}
	}
}

// The system's resolver knows localhost from the hosts file on every machine, and that .invalid never exists (RFC 6761); where
// there is no resolver at all, that is the machine's own fault.
func TestDNSSystem(t *testing.T) {
	r := valid(t, &probes.DNSProbe{Name: "localhost", Expect: []string{"127.0.0.1"}}).Probe(t.Context())
	if r.Outcome != probes.Up {
		t.Errorf("localhost is %s: %s", r.Outcome, r.Detail)
	}
	r = valid(t, &probes.DNSProbe{Name: "firstcall.invalid."}).Probe(t.Context())
	if ok := (r.Outcome == probes.Down && r.Reason == probes.DNS) || (r.Outcome == probes.Unknown && r.Reason == probes.Local); !ok {
		t.Errorf("firstcall.invalid is %s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
}

func TestDNSFaults(t *testing.T) {
	faults := (&probes.DNSProbe{Name: "web.example", Type: "PTR", Server: "192.0.2.1"}).Validate()
	if len(faults) != 2 || faults[0].Path != "name" || faults[1].Path != "server" {
		t.Errorf("faults are %v, want name and server", faults)
	}
	if faults := (&probes.DNSProbe{Name: "a..b"}).Validate(); len(faults) != 1 {
		t.Errorf("faults are %v, want one of name", faults)
	}
}
