package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/go-ping/ping"

	"github.com/firstcall-agent/firstcall/config/field"
)

// ICMP sends echo requests and waits for the replies.
type ICMP struct {
	Host  string `yaml:"host" required:"true" doc:"Host name or address."`
	Count int    `yaml:"count" default:"3" doc:"Echo requests a run, 1 to 20; one reply is enough to be up."`
	Size  int    `yaml:"size" default:"56" doc:"Bytes of data in each request, 24 to 1400."`
}

func init() {
	Register(Kind{
		Name:     "icmp",
		Doc:      "Sends ICMP echo requests from an unprivileged socket. The phase rtt is the average round trip; a run itself takes longer, since its requests are spread.",
		New:      func() Probe { return new(ICMP) },
		Evidence: true,
		Phases:   []string{PhaseDNS, PhaseRTT},
	})
}

const (
	// icmpSpacing is the longest time between two requests; a short timeout makes it shorter.
	icmpSpacing = 200 * time.Millisecond
	// icmpGrace is how long the ping library may take to stop: it looks up from its socket at least every 102 ms. Under a
	// permanent lack of socket buffers it never does; then its goroutine is left behind rather than the run made late.
	icmpGrace = 150 * time.Millisecond
)

// socketDenied says what to set when the kernel refuses the unprivileged ICMP socket (icmp(7), ping_group_range).
const socketDenied = `this host does not let the agent send icmp: set sysctl -w net.ipv4.ping_group_range="0 2147483647", ` +
	`for a container --sysctl net.ipv4.ping_group_range="0 2147483647", or in Kubernetes securityContext.sysctls: [{name: net.ipv4.ping_group_range, value: "0 2147483647"}] of the pod`

// Validate checks count and size.
func (p *ICMP) Validate() field.Errors {
	var faults field.Errors
	if p.Count < 1 || p.Count > 20 {
		faults.Add("count", "is not between 1 and 20")
	}
	if p.Size < 24 || p.Size > 1400 {
		faults.Add("size", "is not between 24 and 1400")
	}
	if _, _, err := net.SplitHostPort(p.Host); err == nil {
		faults.AddHint("host", "for a port, use the kind tcp", "has a port, which icmp does not know")
	}
	return faults
}

// Probe sends Count requests.
func (p *ICMP) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	addr, err := resolveOne(ctx, rec, p.Host)
	if err != nil {
		return rec.Fail(ctx, err, DNS)
	}
	rec.Fact("address", addr.String())
	e := p.start(ctx, addr)
	defer e.stop()
	err = e.wait()
	sent, rtts := e.counts()
	switch _, onWire := errors.AsType[*net.OpError](err); {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return rec.Fail(ctx, ctx.Err(), Timeout)
	case errors.Is(err, os.ErrPermission) && !onWire:
		return rec.Finish(Unknown, Local, "%s", socketDenied)
	case err != nil && sent == 0:
		outcome, reason, detail := classifyErrno(err)
		if reason == None {
			outcome, reason, detail = Unknown, Local, "this host cannot send icmp: "+clause(err)
		}
		return rec.Finish(outcome, reason, "%s", detail)
	case len(rtts) == 0:
		return rec.Finish(Down, Timeout, "no reply from %s to %d icmp echo requests", addr, sent)
	}
	var sum time.Duration
	for _, rtt := range rtts {
		sum += rtt
	}
	average := sum / time.Duration(len(rtts))
	rec.Add(PhaseRTT, average)
	rec.Fact("loss", fmt.Sprintf("%d of %d", sent-len(rtts), sent))
	rec.Fact("rtt", fmt.Sprintf("min %s, avg %s, max %s", micros(slices.Min(rtts)), micros(average), micros(slices.Max(rtts))))
	return rec.Up()
}

func micros(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

// resolveOne returns the address of host that a client of this machine would try first.
func resolveOne(ctx context.Context, rec *Recorder, host string) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap(), nil
	}
	rec.Begin(PhaseDNS)
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	rec.End()
	return addrs[0].Unmap(), nil
}

// echo is one run of the ping library, which knows no context and believes the time that the peer sends back. So the times are
// taken here, and the library is stopped here.
type echo struct {
	pinger *ping.Pinger
	early  context.Context // ends a little before the run must
	cancel context.CancelFunc
	all    chan struct{} // closed when every reply is in
	ended  chan struct{} // closed when the library's Run has returned
	err    error         // what it returned; read after ended

	mu   sync.Mutex
	sent map[int]time.Time
	rtts []time.Duration
}

// start sends the first request; the others follow from the library's goroutines.
func (p *ICMP) start(ctx context.Context, addr netip.Addr) *echo {
	e := &echo{pinger: ping.New(""), all: make(chan struct{}), ended: make(chan struct{}), sent: make(map[int]time.Time, p.Count)}
	e.pinger.SetIPAddr(&net.IPAddr{IP: addr.AsSlice(), Zone: addr.Zone()})
	e.pinger.SetLogger(ping.NoopLogger{})
	e.pinger.SetPrivileged(runtime.GOOS == "windows") // which has no datagram socket of this kind and asks no right for the other
	e.pinger.Count, e.pinger.Size, e.pinger.Interval = p.Count, p.Size, icmpSpacing
	e.early, e.cancel = context.WithCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		e.early, e.cancel = context.WithDeadline(ctx, deadline.Add(-min(icmpGrace, left/2)))
		e.pinger.Interval = max(time.Millisecond, min(icmpSpacing, left/time.Duration(4*p.Count)))
	}
	e.pinger.OnSend = func(packet *ping.Packet) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.sent[packet.Seq] = time.Now()
	}
	e.pinger.OnRecv = func(packet *ping.Packet) { // the library has dropped replies to others' requests, and doubles
		e.mu.Lock()
		defer e.mu.Unlock()
		e.rtts = append(e.rtts, time.Since(e.sent[packet.Seq]))
		if len(e.rtts) == p.Count {
			close(e.all)
		}
	}
	go func() {
		defer close(e.ended)
		e.err = e.pinger.Run()
	}()
	return e
}

// wait returns when every reply is in or no more can be waited for; its error is that of a library that could not run.
func (e *echo) wait() error {
	select {
	case <-e.all:
	case <-e.early.Done():
	case <-e.ended:
		return e.err
	}
	return nil
}

// counts returns how many requests were sent, and the round trips of those answered.
func (e *echo) counts() (sent int, rtts []time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.sent), slices.Clone(e.rtts)
}

// stop ends the library's goroutines.
func (e *echo) stop() {
	e.cancel()
	e.pinger.Stop()
	grace := time.NewTimer(icmpGrace)
	defer grace.Stop()
	select {
	case <-e.ended:
	case <-grace.C:
	}
}
