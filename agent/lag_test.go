package agent

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// machine is a computer whose clocks a test moves.
type machine struct {
	wall time.Time
	mono time.Duration
}

func (m *machine) clock() *clock {
	return newClockOn(func() time.Time { return m.wall }, func() time.Duration { return m.mono })
}

// pass lets time pass on both clocks.
func (m *machine) pass(d time.Duration) { m.wall, m.mono = m.wall.Add(d), m.mono+d }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestClockFollowsForwardsAtOnceAndNeverGoesBack(t *testing.T) {
	m := &machine{wall: noon}
	c := m.clock()
	m.pass(time.Minute)
	if jump := c.follow(); jump != 0 || !c.Now().Equal(noon.Add(time.Minute)) {
		t.Fatalf("after a quiet minute: jump %s, time %s", jump, c.Now())
	}

	m.wall = m.wall.Add(time.Hour) // it slept
	if jump := c.follow(); jump != time.Hour || !c.Now().Equal(m.wall) {
		t.Errorf("after a sleep of an hour: jump %s, time %s; want 1h and %s", jump, c.Now(), m.wall)
	}

	before := c.Now()
	m.wall = m.wall.Add(-time.Hour) // somebody set it back
	if jump := c.follow(); jump != -time.Hour {
		t.Errorf("jump %s; want -1h", jump)
	}
	for i := range 11 * 3600 {
		m.pass(time.Second)
		if i%7 == 0 {
			if jump := c.follow(); jump != 0 {
				t.Fatalf("jump %s in quiet time", jump)
			}
		}
		now := c.Now()
		if passed := now.Sub(before); passed < 900*time.Millisecond || passed > time.Second {
			t.Fatalf("the clock moved by %s in a second", passed)
		}
		before = now
	}
	if !c.Now().Equal(m.wall) {
		t.Errorf("eleven hours later the clock is %s; want the wall clock's %s", c.Now(), m.wall)
	}
}

func TestLagMarksWhatItOverlaps(t *testing.T) {
	m := &machine{wall: noon}
	var jumps []string
	var gaps []time.Duration
	l := newLag(m.clock(), quiet, func(reason string, gap time.Duration) { jumps, gaps = append(jumps, reason), append(gaps, gap) })
	beats := func(n int) {
		for range n {
			m.pass(beatEvery)
			l.look()
		}
	}
	beats(10) // to 1 s
	if l.overlaps(0, m.mono) {
		t.Error("a second without lag counts as lag")
	}
	m.pass(600 * time.Millisecond) // starved from 1.0 to 1.6 s
	if !l.overlaps(500*time.Millisecond, m.mono) {
		t.Error("a result that ends in a stall is not marked before the beat has seen it")
	}
	l.look()
	beats(9) // to 2.5 s
	for _, c := range []struct {
		from, to time.Duration
		want     bool
	}{
		{0, 900 * time.Millisecond, false},
		{0, 1200 * time.Millisecond, true},
		{1200 * time.Millisecond, 1300 * time.Millisecond, true},
		{1500 * time.Millisecond, 2 * time.Second, true},
		{0, 2 * time.Second, true},
		{1700 * time.Millisecond, 2 * time.Second, false},
	} {
		if got := l.overlaps(c.from, c.to); got != c.want {
			t.Errorf("a run from %s to %s overlaps the lag: %v; want %v", c.from, c.to, got, c.want)
		}
	}
	if lagging, reason, delay := l.state(); !lagging || !strings.Contains(reason, "did not get to run for 500ms") || delay != 500*time.Millisecond {
		t.Errorf("state: %v, %q, %s", lagging, reason, delay)
	}
	beats(110)
	if lagging, reason, _ := l.state(); lagging || reason != "" {
		t.Errorf("eleven seconds later the agent still lags: %q", reason)
	}
	beats(600)
	if _, _, delay := l.state(); delay != 0 {
		t.Errorf("a minute later the worst delay is %s; want none", delay)
	}
	if jumps != nil {
		t.Errorf("half a second counts as sleep: %v", jumps)
	}

	m.pass(3 * time.Second) // suspended, monotonic clock and all
	l.look()
	m.wall = m.wall.Add(time.Hour)
	l.look()
	m.wall = m.wall.Add(-2 * time.Hour)
	l.look()
	if len(jumps) != 3 || !strings.Contains(jumps[0], "2.9s") || !strings.Contains(jumps[1], "forward by 1h0m0s") || !strings.Contains(jumps[2], "set back by 2h0m0s") {
		t.Errorf("jumps %q; want a stall, a sleep and a clock set back", jumps)
	}
	if !slices.Equal(gaps, []time.Duration{3*time.Second - beatEvery, time.Hour, 0}) {
		t.Errorf("the clock went on by %s", gaps)
	}
}

func TestManyLagsAreBounded(t *testing.T) {
	m := &machine{wall: noon}
	l := newLag(m.clock(), quiet, func(string, time.Duration) {})
	for range 1000 {
		m.pass(beatEvery)
		l.look()
		m.pass(time.Second)
		l.look()
	}
	if !l.overlaps(m.mono-1500*time.Millisecond, m.mono) || l.n != 1000 {
		t.Error("the newest lags are not remembered")
	}
}

func TestAStalledAgentMarksItsResultsAndDoesNotBunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// In a bubble nothing ever stalls, so the clock does: it leaps 25 s while the schedule waits for a timer.
		b := newBench()
		var leap atomic.Int64
		real := b.clock.mono
		b.clock.mono = func() time.Duration { return real() + time.Duration(leap.Load()) }
		var jobs []*job
		for i := range 100 {
			jobs = append(jobs, testJob(string(rune('A'+i)), 10*time.Second, func(ctx context.Context) probes.Result {
				time.Sleep(50 * time.Millisecond)
				return up(ctx)
			}))
		}
		b.replace(jobs, 0)
		time.AfterFunc(15*time.Second+20*time.Millisecond, func() { leap.Store(int64(25 * time.Second)) })
		at := map[time.Duration]int{}
		late, marked := 0, 0
		for _, m := range b.run(30 * time.Second) {
			at[m.begun]++
			if m.begun > 40*time.Second && m.begun < 41*time.Second {
				late++
			}
			if m.lagging {
				marked++
			}
		}
		for when, n := range at {
			if n > 11 {
				t.Errorf("%d runs began at once at %s; want a tenth of the probes at most", n, when)
			}
		}
		if marked == 0 || late == 0 {
			t.Errorf("%d results are marked, %d runs began in the second after the stall", marked, late)
		}
		wantMissed(t, b, "late", 240) // 250 ticks fell due in the stall; those of its last second ran
	})
}

func TestAClockSetBackKeepsTheScheduleAndTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		var back atomic.Int64
		b.clock.wall = func() time.Time { return time.Now().Round(0).Add(-time.Duration(back.Load())) }
		b.replace([]*job{testJob("p", 10*time.Second, up)}, 0)
		time.AfterFunc(25*time.Second, func() { back.Store(int64(time.Hour)); b.lag.look(); b.realign() })
		var last time.Time
		got := b.run(10*time.Minute - time.Second)
		for i, m := range got {
			if m.begun != time.Duration(i)*10*time.Second {
				t.Errorf("run %d began at %s", i, m.begun)
			}
			if !m.result.Start.After(last) {
				t.Errorf("result %d is dated %s, after one dated %s", i, m.result.Start, last)
			}
			last = m.result.Start
		}
		if len(got) != 60 {
			t.Errorf("%d runs; want 60", len(got))
		}
	})
}
