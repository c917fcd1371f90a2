package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// beatEvery is how often the agent looks whether it gets to run at all.
	beatEvery = 100 * time.Millisecond
	// lagLimit is the delay above which the agent was lagging. A probe's own timing is then not to be trusted: a busy host
	// makes a quick target look slow or dead. Go's scheduler and collector stay two orders of magnitude below it on a host
	// that is not overloaded.
	lagLimit = 250 * time.Millisecond
	// jumpLimit is the sleep or clock jump after which unconfirmed suspicions are dropped: what was seen before and what is
	// seen after are not of one story.
	jumpLimit = 2 * time.Second
	// lagShown is how long after its end a lag is still reported as the agent's state.
	lagShown = 10 * time.Second
)

// lag knows when the agent itself was late, so that no result of such a time is used against a target. It is safe for
// concurrent use.
type lag struct {
	clock  *clock
	log    *slog.Logger
	jumped func(reason string, gap time.Duration) // after a sleep or a jump of more than jumpLimit; gap is how far the clock went on by it

	beat   atomic.Int64 // monotonic time of the newest beat
	newest atomic.Int64 // end of the newest period

	mu      sync.Mutex
	periods [32]period // the newest ones, a ring
	n       int        // periods ever
	reason  string     // of the newest
	worst   [6]worst   // delays by ten seconds
}

type period struct{ from, to time.Duration }

type worst struct {
	slot  int64
	delay time.Duration
}

func newLag(c *clock, log *slog.Logger, jumped func(string, time.Duration)) *lag {
	l := &lag{clock: c, log: log, jumped: jumped}
	l.beat.Store(int64(c.mono()))
	l.newest.Store(-1)
	return l
}

// run beats until ctx ends.
func (l *lag) run(ctx context.Context) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.look()
		}
	}
}

// look is one beat: it measures how late it is, and whether the wall clock jumped.
func (l *lag) look() {
	last, now := time.Duration(l.beat.Load()), l.clock.mono()
	jump := l.clock.follow()
	stall := max(0, now-last-beatEvery)
	var reason string
	switch {
	case jump > jumpLimit:
		reason = fmt.Sprintf("the machine slept or its clock was set forward by %s", jump.Round(time.Second))
	case jump < -jumpLimit:
		reason = fmt.Sprintf("the clock was set back by %s", (-jump).Round(time.Second))
	case stall > lagLimit:
		reason = fmt.Sprintf("the agent did not get to run for %s: the machine is overloaded or was suspended", stall.Round(time.Millisecond))
	}
	l.measure(now, stall)
	if reason != "" {
		l.note(last, now, reason)
	}
	l.beat.Store(int64(now))
	if stall > jumpLimit || jump > jumpLimit || jump < -jumpLimit {
		l.jumped(reason, stall+max(0, jump))
	}
}

// delayed tells that something due at one instant was done at another.
func (l *lag) delayed(due, done time.Duration) {
	if done-due > lagLimit {
		l.measure(done, done-due)
		l.note(due, done, fmt.Sprintf("the schedule was %s late: the machine is overloaded", (done-due).Round(time.Millisecond)))
	}
}

// note records a time of lag; one that touches the newest extends it.
func (l *lag) note(from, to time.Duration, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n > 0 {
		if p := &l.periods[(l.n-1)%len(l.periods)]; from <= p.to && to >= p.from {
			p.from, p.to = min(p.from, from), max(p.to, to)
			l.reason = reason
			l.newest.Store(int64(max(time.Duration(l.newest.Load()), p.to)))
			return
		}
	}
	if fresh := l.n == 0 || to-time.Duration(l.newest.Load()) > lagShown; fresh {
		l.log.Warn("the agent is lagging; results of this time are not used against a target", "reason", reason)
	}
	l.periods[l.n%len(l.periods)] = period{from, to}
	l.n++
	l.reason = reason
	l.newest.Store(int64(max(time.Duration(l.newest.Load()), to)))
}

// overlaps reports whether the agent was lagging at any instant between the two.
func (l *lag) overlaps(from, to time.Duration) bool {
	// A stall that has just ended may be seen by a result before it is seen by the beat.
	if l.clock.mono()-time.Duration(l.beat.Load()) > beatEvery+lagLimit {
		return true
	}
	if time.Duration(l.newest.Load()) < from {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.periods[:min(l.n, len(l.periods))] {
		if p.from <= to && from <= p.to {
			return true
		}
	}
	return false
}

// measure remembers the delay for the figure of the last minute.
func (l *lag) measure(now, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slot := int64(now / (10 * time.Second))
	w := &l.worst[slot%int64(len(l.worst))]
	if w.slot != slot {
		*w = worst{slot: slot}
	}
	w.delay = max(w.delay, delay)
}

// state reports whether the agent is lagging, or was a moment ago, why, and its worst delay within the last minute.
func (l *lag) state() (lagging bool, reason string, delay time.Duration) {
	now := l.clock.mono()
	l.mu.Lock()
	defer l.mu.Unlock()
	slot := int64(now / (10 * time.Second))
	for _, w := range l.worst {
		if slot-w.slot < int64(len(l.worst)) {
			delay = max(delay, w.delay)
		}
	}
	if l.n == 0 || now-time.Duration(l.newest.Load()) > lagShown {
		return false, "", delay
	}
	return true, l.reason, delay
}
