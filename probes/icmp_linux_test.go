package probes_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

// The two answers that a host can give to an unprivileged ICMP socket, with what the refusal must tell.
const icmpAdvice = `set sysctl -w net.ipv4.ping_group_range="0 2147483647", ` +
	`for a container --sysctl net.ipv4.ping_group_range="0 2147483647", or in Kubernetes securityContext.sysctls: [{name: net.ipv4.ping_group_range, value: "0 2147483647"}] of the pod`

func echo(t *testing.T, host string) probes.Probe {
	t.Helper()
	return valid(t, &probes.ICMP{Host: host, Count: 3, Size: 56})
}

// asHostAllows checks a probe of the loopback against what this host's setting permits.
func asHostAllows(t *testing.T, err error) {
	t.Helper()
	t.Logf("no namespace of its own (%v): checking what this host allows", err)
	r := echo(t, "127.0.0.1").Probe(t.Context())
	if r.Outcome != probes.Up && !strings.Contains(r.Detail, icmpAdvice) {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
}

// A refused socket is this host's fault and says exactly what to set. A new namespace begins with the range "1 0": nobody.
func TestICMPDenied(t *testing.T) {
	if !inNamespace(t, func(err error) { asHostAllows(t, err) }) {
		return
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		r := echo(t, host).Probe(t.Context())
		if r.Outcome != probes.Unknown || r.Reason != probes.Local || !strings.HasSuffix(r.Detail, icmpAdvice) {
			t.Errorf("%s: %s, %s: %s", host, r.Outcome, r.Reason, r.Detail)
		}
	}
}

// The contract, on a loopback that answers and one that was told not to.
func TestICMPContract(t *testing.T) {
	if !inNamespace(t, func(err error) { asHostAllows(t, err) }) {
		return
	}
	advised := "0 2147483647"
	if os.Getenv(mappedEnv) != "" {
		advised = "0 0" // a user namespace of one user knows no other group
	}
	sysctl(t, "ipv4/ping_group_range", advised)
	ignoring := func(host, file string) probetest.Target {
		return func(t *testing.T) probes.Probe {
			sysctl(t, file, "1")
			t.Cleanup(func() { sysctl(t, file, "0") })
			return echo(t, host)
		}
	}
	answering := func(host string) probetest.Target {
		return func(t *testing.T) probes.Probe { return echo(t, host) }
	}
	local := func(name, host, detail string) probetest.Scenario {
		return probetest.Scenario{Name: name, Target: answering(host), Outcome: probes.Unknown, Reasons: []probes.Reason{probes.Local}, Verify: wantDetail(detail)}
	}
	probetest.Run(t, probetest.Case{
		Kind: "icmp", Good: answering("127.0.0.1"), Silent: ignoring("127.0.0.1", "ipv4/icmp_echo_ignore_all"),
		Scenarios: []probetest.Scenario{
			{Name: "ipv6", Target: answering("::1"), Outcome: probes.Up, Verify: func(t *testing.T, r probes.Result) {
				wantFact("loss", "0 of 3")(t, r)
				wantFact("rtt", "min ")(t, r)
				if rtt, ok := r.Phase(probes.PhaseRTT); !ok || rtt <= 0 || rtt > 50*time.Millisecond {
					t.Errorf("phase rtt is %s", rtt)
				}
			}},
			{
				Name: "ipv6 is silent", Target: ignoring("::1", "ipv6/icmp/echo_ignore_all"), Timeout: 500 * time.Millisecond, Outcome: probes.Down,
				Reasons: []probes.Reason{probes.Timeout}, Verify: wantDetail("no reply from ::1 to 3 icmp echo requests"),
			},
			local("no route", "192.0.2.1", "this host has no route to 192.0.2.1"),
			local("no route, ipv6", "2001:db8::1", "this host has no route to 2001:db8::1"),
			local("no resolver", "host.example", "resolver cannot be asked"),
		},
	})
}

// What the own routing table says is unknown, in each of its dialects (route types of ip-route(8)); what a router says is down.
func TestRoutes(t *testing.T) {
	if !inNamespace(t, func(err error) { t.Logf("no namespace of its own (%v): not checked here", err) }) {
		return
	}
	for i, route := range []string{"unreachable", "blackhole", "prohibit", "throw", ""} {
		network := "198.51.100." + string(rune('0'+i))
		if route != "" {
			if output, err := exec.Command("ip", "route", "add", route, network).CombinedOutput(); err != nil {
				t.Fatalf("ip route add %s: %v: %s", route, err, output)
			}
		}
		r := valid(t, &probes.TCP{Address: network + ":443"}).Probe(t.Context())
		if r.Outcome != probes.Unknown || r.Reason != probes.Local {
			t.Errorf("route %q: %s, %s: %s", route, r.Outcome, r.Reason, r.Detail)
		}
	}
	// A firewall on the way rejects as a router does: the route is there.
	rules := "add table inet t; add chain inet t o { type filter hook output priority 0; }; " +
		"add rule inet t o tcp dport 441 reject with icmpx type admin-prohibited; add rule inet t o tcp dport 442 reject with icmp type net-unreachable"
	if output, err := exec.Command("nft", rules).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("nft: %v: %s", err, output)
		}
		t.Logf("nft: %v: %s: rejections are not checked here", err, output)
		return
	}
	for _, port := range []string{"441", "442"} {
		r := valid(t, &probes.TCP{Address: "127.0.0.1:" + port}).Probe(t.Context())
		if r.Outcome != probes.Down || r.Reason != probes.Unreachable {
			t.Errorf("rejected port %s: %s, %s: %s", port, r.Outcome, r.Reason, r.Detail)
		}
	}
}

func TestICMPFaults(t *testing.T) {
	faults := (&probes.ICMP{Host: "a:80", Count: 0, Size: 8}).Validate()
	if len(faults) != 3 {
		t.Errorf("faults are %v, want count, size and host", faults)
	}
}
