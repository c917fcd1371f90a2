// Package path finds the hops between this host and an address, as traceroute does, without any right of its own: packets with a
// rising time to live are sent from ordinary sockets, and the routers' answers are read from the sockets' error queues (ip(7),
// IP_RECVERR). Only Linux hands these to a process without privileges; on other systems a walk says that it is not permitted.
//
// Towards a TCP port the packets are those of a connection attempt, so that the walk ends where a client's would; of a target
// that answers, at most Batch connections are opened and closed at once. Without a port they are ICMP echo requests, where this
// host lets unprivileged processes send them (ping_group_range), and otherwise UDP datagrams to ports that nobody listens on.
package path

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Bounds on a walk.
const (
	MaxHops = 30                     // as far as it goes
	Batch   = 5                      // hops that are asked at once
	Wait    = 900 * time.Millisecond // for one answer: shorter than TCP's own repetition
	Tries   = 2                      // for a hop that is silent
	// Patience is how long the hop after the last one that answers is waited for in the end: a router says only after some seconds
	// of asking that the host next to it is not there.
	Patience = 4 * time.Second
	// Silence is how many hops in a row may be silent before the rest is taken to be.
	Silence = 10
)

// Method is how hops are asked.
type Method string

// The methods.
const (
	TCP  Method = "tcp"
	ICMP Method = "icmp"
	UDP  Method = "udp"
)

// End says how a walk ended. The zero value is a walk that was cut short by its context.
type End string

// The ends.
const (
	Cut          End = ""
	Answers      End = "answers"       // the target answered: it is reached
	Refuses      End = "refuses"       // the target is reached and refuses the connection
	Unreachable  End = "unreachable"   // a hop, or this host, says that the target cannot be reached
	Silent       End = "silent"        // nothing answers from some hop on, or as far as MaxHops
	NotPermitted End = "not permitted" // this host does not let the agent look
)

// Hop is a step on the way.
type Hop struct {
	TTL  int
	Addr netip.Addr    // zero: it was silent
	RTT  time.Duration // 0: it was silent
	Note string        // what it said, where that is more than that the packet passed through it; "" otherwise
}

// Walk is what was found.
type Walk struct {
	Target netip.Addr
	Port   uint16 // 0: none
	Method Method
	Local  netip.Addr // address of this host that is used; zero where not known
	Via    string     // its network interface; "" where not known
	Hops   []Hop      // in order; those after the last one that answered are left out
	Asked  int        // hops that were asked
	End    End
	Why    string // of Unreachable and NotPermitted: in words
}

// answer is what one packet met.
type answer struct {
	hop  Hop
	end  End // Cut: it passed through the hop, or nothing is known
	why  string
	done bool // something is known
}

// errNotPermitted ends a walk for which this host gives no right.
var errNotPermitted = errors.New("not permitted")

// sender sends packets to one target and waits for what they meet.
type sender interface {
	// ask sends a packet for each time to live at once, and waits for their answers until ctx ends or wait is over.
	ask(ctx context.Context, ttls []int, wait time.Duration) ([]answer, error)
	method() Method
}

// Find walks to the target; it returns when it is reached, when nothing can be expected any more, or when ctx ends. port 0 is
// none. The walk holds what was found in any case. It is safe for concurrent use.
func Find(ctx context.Context, target netip.Addr, port uint16) Walk {
	w := Walk{Target: target.Unmap(), Port: port}
	w.Local, w.Via = local(w.Target)
	s, err := newSender(w.Target, port)
	if err != nil {
		return w.refused(err)
	}
	w.Method = s.method()
	return w.follow(ctx, s)
}

// refused ends a walk that this host does not let begin or go on.
func (w Walk) refused(err error) Walk {
	w.End, w.Why = Unreachable, "this host says: "+err.Error()
	if errors.Is(err, errNotPermitted) {
		w.End, w.Why = NotPermitted, err.Error()
	}
	return w
}

// follow asks hop after hop.
func (w Walk) follow(ctx context.Context, s sender) Walk {
	for first := 1; first <= MaxHops && ctx.Err() == nil; first += Batch {
		answers, err := batch(ctx, s, first)
		if err != nil {
			return w.refused(err)
		}
		for _, a := range answers {
			w.Asked = a.hop.TTL
			w.Hops = append(w.Hops, a.hop)
			if a.end != Cut {
				w.End, w.Why = a.end, a.why
				return w.tightened(ctx, s)
			}
		}
		if last := w.trimmed().Hops; w.Asked-len(last) >= Silence {
			break
		}
	}
	w = w.trimmed()
	if ctx.Err() != nil {
		return w
	}
	w.End = Silent
	return w.waited(ctx, s)
}

// tightened asks the silent hops just before the end once more: packets may have been lost while the way was found, and the target
// be nearer.
func (w Walk) tightened(ctx context.Context, s sender) Walk {
	n := len(w.Hops) - 1
	for n > 0 && !w.Hops[n-1].Addr.IsValid() {
		n--
	}
	var silent []int
	for _, h := range w.Hops[n : len(w.Hops)-1] {
		silent = append(silent, h.TTL)
	}
	if len(silent) == 0 {
		return w
	}
	if w = w.joined(); w.End == Unreachable {
		return w
	}
	got, err := s.ask(ctx, silent[:min(len(silent), Batch)], Wait)
	if err != nil {
		return w
	}
	for _, a := range got {
		if !a.done {
			continue
		}
		w.Hops[a.hop.TTL-1] = a.hop
		if a.end != Cut {
			w.Hops, w.Asked, w.End, w.Why = w.Hops[:a.hop.TTL], a.hop.TTL, a.end, a.why
			break
		}
	}
	return w.joined()
}

// joined leaves out the silent hops between a router and what it said late of the host behind it.
func (w Walk) joined() Walk {
	before := Walk{Hops: w.Hops[:len(w.Hops)-1]}.trimmed()
	end := w.Hops[len(w.Hops)-1]
	if n := len(before.Hops); w.End == Unreachable && n > 0 && before.Hops[n-1].Addr == end.Addr {
		end.TTL, w.Asked = n+1, n+1
		w.Hops = append(before.Hops, end)
	}
	return w
}

// waited asks the first silent hop once more, with patience.
func (w Walk) waited(ctx context.Context, s sender) Walk {
	next := w.known() + 1
	if next > MaxHops {
		return w
	}
	got, err := s.ask(ctx, []int{next}, Patience)
	if err == nil && len(got) == 1 && got[0].end != Cut {
		a := got[0]
		w.End, w.Why, w.Asked = a.end, a.why, next
		if a.hop.Addr.IsValid() {
			w.Hops = append(w.Hops, a.hop)
		}
	}
	return w
}

// batch asks the hops from first on, the silent ones again.
func batch(ctx context.Context, s sender, first int) ([]answer, error) {
	answers := make([]answer, min(Batch, MaxHops-first+1))
	for i := range answers {
		answers[i].hop.TTL = first + i
	}
	for range Tries {
		var silent []int
		for _, a := range answers {
			if a.done && a.end != Cut {
				break // what lies behind the end is of no interest
			}
			if !a.done {
				silent = append(silent, a.hop.TTL)
			}
		}
		if len(silent) == 0 || ctx.Err() != nil {
			break
		}
		got, err := s.ask(ctx, silent, Wait)
		if err != nil {
			return nil, err
		}
		for _, a := range got {
			if a.done {
				answers[a.hop.TTL-first] = a
			}
		}
	}
	return answers, nil
}

// trimmed returns the walk without the silent hops at its end.
func (w Walk) trimmed() Walk {
	for len(w.Hops) > 0 && !w.Hops[len(w.Hops)-1].Addr.IsValid() && w.Hops[len(w.Hops)-1].Note == "" {
		w.Hops = w.Hops[:len(w.Hops)-1]
	}
	return w
}

// To returns the target as people write it.
func (w Walk) To() string {
	if w.Port == 0 {
		return w.Target.String()
	}
	return netip.AddrPortFrom(w.Target, w.Port).String()
}

// Summary says in one clause how far the way was followed.
func (w Walk) Summary() string {
	last := "no hop answers"
	if n := len(w.Hops); n > 0 {
		h := w.Hops[n-1]
		last = fmt.Sprintf("the last hop that answers is %d, %s", h.TTL, h.Addr)
	}
	switch w.End {
	case Answers, Refuses:
		return fmt.Sprintf("%s %s at hop %d", w.To(), w.End, w.Asked)
	case Unreachable:
		return w.To() + " cannot be reached: " + w.Why
	case NotPermitted:
		return "the path to " + w.To() + " is not known: " + w.Why
	case Silent:
		return fmt.Sprintf("%s is not reached: %s, none of the %d after it does", w.To(), last, w.Asked-w.known())
	case Cut:
	}
	return fmt.Sprintf("the walk to %s was cut short at hop %d: %s", w.To(), w.Asked, last)
}

func (w Walk) known() int {
	if n := len(w.Hops); n > 0 {
		return w.Hops[n-1].TTL
	}
	return 0
}

// Lines returns the walk as a table, a line a hop, a heading first.
func (w Walk) Lines() []string {
	head := "path to " + w.To()
	if w.Method != "" {
		head += " by " + string(w.Method)
	}
	if w.Local.IsValid() {
		head += " from " + w.Local.String()
		if w.Via != "" {
			head += " (" + w.Via + ")"
		}
	}
	lines := []string{head}
	for _, h := range w.Hops {
		if !h.Addr.IsValid() && h.Note == "" {
			lines = append(lines, fmt.Sprintf("%2d  *", h.TTL))
			continue
		}
		line := fmt.Sprintf("%2d  %-15s  %.1f ms", h.TTL, h.Addr, float64(h.RTT.Microseconds())/1000)
		lines = append(lines, strings.TrimRight(line+"  "+h.Note, " "))
	}
	if w.End != Answers && w.End != Refuses {
		lines = append(lines, w.Summary())
	}
	return lines
}

// local returns the address and the interface that packets to the target leave by. Nothing is sent.
func local(target netip.Addr) (netip.Addr, string) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(target, 9)))
	if err != nil {
		return netip.Addr{}, ""
	}
	defer func() { _ = conn.Close() }()
	at, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, ""
	}
	own := at.AddrPort().Addr().Unmap()
	links, err := net.Interfaces()
	if err != nil {
		return own, ""
	}
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(own.WithZone("").AsSlice()) {
				return own, link.Name
			}
		}
	}
	return own, ""
}
