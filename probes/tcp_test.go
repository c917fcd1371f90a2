package probes_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

// valid returns p after its Validate found nothing.
func valid[P probes.Probe](t testing.TB, p P) probes.Probe {
	t.Helper()
	if faults := p.Validate(); len(faults) > 0 {
		t.Fatalf("the configuration has faults: %v", faults)
	}
	return p
}

func TestTCPContract(t *testing.T) {
	greeting := func(t *testing.T, address string) probes.Probe {
		return valid(t, &probes.TCP{Address: address, Expect: "220 "})
	}
	says := func(text string) probetest.Target {
		return func(t *testing.T) probes.Probe {
			return greeting(t, probetest.Listen(t, func(conn net.Conn) {
				_, _ = io.WriteString(conn, text)
				probetest.Hangup(conn)
			}))
		}
	}
	probetest.Run(t, probetest.Case{
		Kind:   "tcp",
		Good:   says("220 mail.example ready\r\n"),
		Silent: func(t *testing.T) probes.Probe { return greeting(t, probetest.Listen(t, probetest.Silence)) },
		Scenarios: append(probetest.Peers(greeting),
			probetest.Scenario{
				Name: "says no", Target: says("554 no service\r\n"), Outcome: probes.Down, Reasons: []probes.Reason{probes.Content},
				Verify: wantFact("received", `554 no service\r\n`),
			},
			probetest.Scenario{Name: "expected text across reads", Outcome: probes.Up, Target: func(t *testing.T) probes.Probe {
				return greeting(t, probetest.Listen(t, probetest.Drip("--220 --")))
			}},
			probetest.Scenario{
				Name: "control characters", Target: says("\x1b[2J\u202e<b>\r\n\xff"), Outcome: probes.Down, Reasons: []probes.Reason{probes.Content},
				Verify: wantFact("received", `\x1b[2J\u202e<b>\r\n\xff`),
			},
		),
	})
}

// An open port is up when no text is expected, and what is sent arrives as it stands.
func TestTCPSend(t *testing.T) {
	got := make(chan string, 2)
	address := probetest.Listen(t, func(conn net.Conn) {
		text, _ := io.ReadAll(conn)
		got <- string(text)
	})
	for _, text := range []string{"", "QUIT\r\n"} {
		r := valid(t, &probes.TCP{Address: address, Send: text}).Probe(t.Context())
		if r.Outcome != probes.Up {
			t.Errorf("send %q: %s, %s", text, r.Outcome, r.Detail)
		}
		if arrived := <-got; arrived != text {
			t.Errorf("sent %q, arrived %q", text, arrived)
		}
	}
}

func TestTCPByName(t *testing.T) {
	_, port, _ := net.SplitHostPort(probetest.Listen(t, probetest.Silence))
	r := valid(t, &probes.TCP{Address: "localhost:" + port}).Probe(t.Context())
	if r.Outcome != probes.Up || len(r.Phases) != 2 || r.Phases[0].Name != probes.PhaseDNS || r.Phases[1].Name != probes.PhaseConnect {
		t.Errorf("result is %s (%s), phases %v, want dns and connect", r.Outcome, r.Detail, r.Phases)
	}
}

func TestAddressFaults(t *testing.T) {
	for address, want := range map[string]string{
		"":                 "", // the required tag says it
		"host.example:443": "",
		"[2001:db8::1]:53": "",
		"host.example":     "is not host:port",
		"2001:db8::1":      "is not host:port",
		":443":             "has no host",
		"host.example:0":   "has no port",
		"host.example:ssh": "has no port",
	} {
		faults := (&probes.TCP{Address: address}).Validate()
		if (want == "") != (len(faults) == 0) || (want != "" && !strings.Contains(faults[0].Error(), want)) {
			t.Errorf("address %q: faults %v, want %q", address, faults, want)
		}
	}
}

// wantFact demands a fact that contains value.
func wantFact(name, value string) func(*testing.T, probes.Result) {
	return func(t *testing.T, r probes.Result) {
		t.Helper()
		if got := fact(r, name); !strings.Contains(got, value) {
			t.Errorf("fact %s is %q, want %q in it", name, got, value)
		}
	}
}

func wantDetail(text string) func(*testing.T, probes.Result) {
	return func(t *testing.T, r probes.Result) {
		t.Helper()
		if !strings.Contains(r.Detail, text) {
			t.Errorf("detail is %q, want %q in it", r.Detail, text)
		}
	}
}

func fact(r probes.Result, name string) string {
	for _, f := range r.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}
