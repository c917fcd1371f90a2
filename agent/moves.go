package agent

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// settle is how long after a wake-up, or in a network that was known already, a target that does not answer is not blamed: an
// address, a name server and a tunnel need their time.
const settle = time.Minute

// mostNetworks bounds the networks that are remembered.
const mostNetworks = 32

// Moves says that the agent's machine sleeps and changes networks, as a laptop does, so that neither is held against a target.
// The zero value looks at the machine's own network, and takes the first one for home.
type Moves struct {
	Network func() string // what tells one network from another, "" for none; nil: Network
	Home    string        // network in which the latencies on record were measured; "": the first one
}

// moves knows what the machine went through. A failing result proves something only where the same probe can answer at all: it
// has answered since the network changed, or did before in this very network. It is pure but for network, and not safe for
// concurrent use.
type moves struct {
	network   func() string
	zone      *time.Location
	witnesses int // how many are configured

	home, now string
	changed   time.Time                  // of the newest change or wake-up; zero: there was none
	why       string                     // what happened then
	moved     bool                       // the network changed at least once
	seen      bool                       // a witness answered since changed
	answered  map[string]bool            // probes that did since changed
	known     map[string]map[string]bool // probes that ever answered, by network
	order     []string                   // keys of known, oldest first
}

func newMoves(o Moves, witnesses int, zone *time.Location) *moves {
	if o.Network == nil {
		o.Network = Network
	}
	if zone == nil {
		zone = time.UTC
	}
	m := &moves{network: o.Network, zone: zone, witnesses: witnesses, home: o.Home, known: map[string]map[string]bool{}, answered: map[string]bool{}}
	m.now = m.network()
	if m.home == "" {
		m.home = m.now
	}
	return m
}

// look compares the network with the one before; it returns what happened, or "".
func (m *moves) look(now time.Time) string {
	network := m.network()
	if network == m.now {
		return ""
	}
	what := "the network changed"
	if network == "" {
		what = "the network is gone"
	}
	m.now, m.moved = network, true
	m.disturb(now, what)
	return what
}

// woke tells that the machine slept, or that its clock jumped.
func (m *moves) woke(now time.Time) { m.disturb(now, "the machine woke up or its clock jumped") }

func (m *moves) disturb(now time.Time, what string) {
	m.changed, m.why, m.seen = now, fmt.Sprintf("%s at %s", what, now.In(m.zone).Format("15:04:05")), false
	clear(m.answered)
}

// sift takes from a result what it cannot prove. A failure becomes the agent's own (probes.Local) where the machine's way to the
// target is in doubt; a latency that was measured from elsewhere than those on record is not compared with them.
func (m *moves) sift(r *probes.Result, witness bool) {
	switch r.Outcome {
	case probes.Up, probes.Degraded:
		if !r.Start.Before(m.changed) {
			m.remember(r.Probe, witness)
		}
		if r.Outcome == probes.Up && (m.now != m.home || m.unsettled(r)) {
			r.Lagging = true
		}
	case probes.Down:
		if why := m.doubt(r); why != "" && !witness {
			r.Outcome, r.Reason = probes.Unknown, probes.Local
			r.Detail = why + ", so nothing is said of it (" + r.Detail + ")"
		}
	default:
	}
}

func (m *moves) remember(probe string, witness bool) {
	m.answered[probe] = true
	m.seen = m.seen || witness
	if m.known[m.now] == nil {
		if len(m.order) >= mostNetworks {
			delete(m.known, m.order[0])
			m.order = m.order[1:]
		}
		m.known[m.now], m.order = map[string]bool{}, append(m.order, m.now)
	}
	m.known[m.now][probe] = true
}

// unsettled reports whether a run began before the newest disturbance, or shortly after it.
func (m *moves) unsettled(r *probes.Result) bool {
	return !m.changed.IsZero() && r.Start.Before(m.changed.Add(settle))
}

// doubt says why a failing run proves nothing about its target, or "".
func (m *moves) doubt(r *probes.Result) string {
	switch {
	case m.changed.IsZero():
		return ""
	case r.Start.Before(m.changed):
		return m.why + " during the run"
	case m.answered[r.Probe]:
		return ""
	case m.moved && !m.known[m.now][r.Probe]:
		return m.why + ", and this has never answered from here: is the VPN up?"
	case m.unsettled(r):
		return m.why + ", and this has not answered yet"
	case m.witnesses > 0 && !m.seen:
		return m.why + ", and no witness has answered since"
	}
	return ""
}

// bridges begin the names of interfaces that containers and virtual machines make: they come and go without a change of the way
// to anybody outside.
var bridges = []string{"docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "podman", "lxc", "vmnet", "vEthernet", "bridge"}

// Network returns what tells the network that the machine is in from another: the interfaces that are up, tunnels too, with the
// subnets of their addresses; "" where there is none but loopback.
func Network() string {
	all, err := net.Interfaces()
	if err != nil {
		return "" // of a machine that cannot tell: it never changes
	}
	var parts []string
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || slices.ContainsFunc(bridges, func(b string) bool { return strings.HasPrefix(i.Name, b) }) {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, a := range addresses {
			if subnet := subnetOf(a); subnet != "" {
				parts = append(parts, i.Name+" "+subnet)
			}
		}
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), ", ")
}

// subnetOf returns the subnet of an address that leads further than its own link, or "". Addresses change within a subnet (leases,
// privacy extensions), and a tunnel's own is a subnet of one: so at most 24 bits count, or 64.
func subnetOf(a net.Addr) string {
	n, ok := a.(*net.IPNet)
	if !ok || !n.IP.IsGlobalUnicast() {
		return ""
	}
	ones, bits := n.Mask.Size()
	ip, most := n.IP, 64
	if v4 := n.IP.To4(); v4 != nil {
		ip, most, bits = v4, 24, 32
	}
	ones = min(ones, most)
	return fmt.Sprintf("%s/%d", ip.Mask(net.CIDRMask(ones, bits)), ones)
}
