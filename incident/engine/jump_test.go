package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// TestAJumpOfTheClockIsNoTime states that what one vantage sees has not lasted because the leader slept, or its clock was set.
func TestAJumpOfTheClockIsNoTime(t *testing.T) {
	c := newCouncil(t, "dk neu weu", three()...).all(during(2*minute, 3*time.Hour, refused, "rdp"), "weu")
	c.run(5 * minute)
	for _, m := range c.members { // the clocks of all, since t0 is that of none
		m.engine.Forget(m.now.Add(time.Hour), "set", time.Hour)
	}
	c.now += time.Hour
	for _, m := range c.members {
		m.queue = slices.DeleteFunc(m.queue, func(r run) bool { return r.recheck || r.result != nil })
		for i := range m.queue {
			m.queue[i].at = m.queue[i].at.Add(time.Hour)
		}
	}
	c.run(c.now + 10*minute)
	moves := func() []string {
		return slices.DeleteFunc(c.short(), func(s string) bool { return strings.HasPrefix(s, "measured") })
	}
	if got := moves(); !slices.Equal(got, []string{"opened P4 rdp"}) {
		t.Errorf("soon: %s", c.dump())
	}
	c.run(c.now + 10*minute)
	if got := moves(); !slices.Equal(got, []string{"opened P4 rdp", "raised P2 rdp"}) {
		t.Errorf("at last: %s", c.dump())
	}
}

// TestStallsDoNotBeginItAnew states that a leader that stalls again and again takes off the time of the stalls from what one vantage's word
// has lasted, and no more.
func TestStallsDoNotBeginItAnew(t *testing.T) {
	const stall = 4 * time.Second
	c := newCouncil(t, "dk neu weu", three()...).all(during(2*minute, time.Hour, refused, "rdp"), "weu")
	stalled := time.Duration(0)
	for c.run(4 * minute); c.now < 30*minute && c.open()[0].Priority == incident.P4; c.run(c.now + minute) {
		c.leader.take(c.leader.engine.Forget(c.leader.now, "stalled", stall))
		stalled += stall
	}
	raised := c.events[len(c.events)-1]
	if lasted := raised.At.Sub(c.open()[0].Opened); raised.Kind != incident.EventRaised || lasted < 15*minute+stalled-stall || lasted > 15*minute+stalled+stall {
		t.Errorf("raised after %s, %s of it stalls: %s", lasted, stalled, c.dump())
	}

	e, now := c.leader.engine, c.leader.now
	for n := range 20 { // nobody is heard, and the leader stalls
		now = now.Add(5 * time.Second)
		e.Forget(now, "stalled", 2*time.Second)
		e.Tick(now)
		if counts, want := e.peers[0].counts(), n < 10; counts != want { // 30 s of its own time
			t.Fatalf("a peer that is silent for %d stalls counts: %t", n+1, counts)
		}
	}
}

// TestAnOutageOfBeforeIsConfirmedAnew states that an agent which was off while an outage ended, and knows of it still, opens none by a single failure; and
// that one which was confirmed before, and lasts, is opened as soon as any other.
func TestAnOutageOfBeforeIsConfirmedAnew(t *testing.T) {
	for name, off := range map[string]func(*council, *member){
		"off": func(c *council, weu *member) { c.kill("weu"); c.run(c.now + 40*time.Second).begin(weu) },
		"off, and its clock set back": func(c *council, weu *member) {
			c.kill("weu")
			c.run(c.now + 40*time.Second)
			weu.skew = -minute
			c.begin(weu)
		},
		"off for long": func(c *council, weu *member) { c.kill("weu"); c.run(c.now + 3*minute).begin(weu) },
	} {
		for _, lasts := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", lasts ", lasts), func(t *testing.T) {
				c := newCouncil(t, "dk neu weu", three()...).all(during(2*minute, 4*minute, refused, "rdp"))
				c.run(3*minute + 58*time.Second)
				weu := c.of("weu")
				if weu.engine.probes["rdp/tcp"].detector.Outage() == nil {
					t.Fatal("weu does not see the outage")
				}
				off(c, weu)
				c.pace = 100 * time.Millisecond // a vote of every instant
				var first time.Time
				weu.answer = func(id string, at time.Time) probes.Result {
					if !strings.HasPrefix(id, "rdp") {
						return up()
					}
					if first.IsZero() {
						first = at
					}
					if lasts || at.Sub(first) < 500*time.Millisecond {
						return refused()
					}
					return up()
				}
				began := c.now
				c.run(c.now + 2*minute)
				want := []string{"opened P2 rdp", "resolved P2 rdp"}
				if lasts {
					want = append(want, "opened P4 rdp")
				}
				got := slices.DeleteFunc(c.short(), func(s string) bool { return strings.HasPrefix(s, "measured") })
				if first.IsZero() || !slices.Equal(got, want) {
					t.Errorf("the first run at %s failed: %s", first, c.dump())
				} else if lasts {
					if took := c.events[len(c.events)-1].At.Sub(t0.Add(began)); took > 12*time.Second { // 15 s, if it waited for its schedule
						t.Errorf("opened after %s", took)
					}
				}
			})
		}
	}
}

// TestAnOutageOfBeforeThatNobodyMeasures states that what an agent knew before it was off, and can say nothing of since, neither adds to what others see
// nor keeps it from being opened, nor what is over from being resolved, but for two minutes in which it may still be measured.
func TestAnOutageOfBeforeThatNobodyMeasures(t *testing.T) {
	for _, test := range []struct {
		names string
		lead  string
		want  string
	}{
		{"dk neu weu", "dk", "opened P4 rdp"},
		{"dk neu weu", "weu", "opened P4 rdp"},
		{"neu weu", "neu", "opened P2 rdp"},
		{"neu weu", "weu", "opened P2 rdp"},
	} {
		for _, when := range []struct {
			off, since time.Duration
			fails      int // runs since, before it can say nothing
		}{{3 * minute, 10 * time.Second, 0}, {3 * minute, 8 * minute, 0}, {0, 3 * minute, 0}, {4 * time.Second, 3 * minute, 0}, {3 * minute, 8 * minute, 1}} {
			t.Run(fmt.Sprintf("%s, %s leads, off for %s, %d runs fail, %s later", test.names, test.lead, when.off, when.fails, when.since), func(t *testing.T) {
				c := newCouncil(t, test.names, three()...).all(during(2*minute, 4*minute, refused, "rdp"))
				c.run(3*minute + 58*time.Second)
				c.kill("weu")
				c.run(c.now + when.off)
				weu, neu := c.of("weu"), c.of("neu")
				left := when.fails
				weu.answer = func(id string, _ time.Time) probes.Result {
					if strings.HasPrefix(id, "rdp") {
						if left--; left >= 0 {
							return refused()
						}
						return probes.Result{Outcome: probes.Unknown, Reason: probes.Local}
					}
					return up()
				}
				c.begin(weu)
				c.run(c.now + 4*time.Second).lead(test.lead)
				if when.fails == 0 && len(weu.engine.Vote().Probes["rdp/tcp"].Findings) == 0 {
					t.Error("it has no word any more, before its probe had the time to say something")
				}
				began := c.now + when.since
				neu.answer = during(began, time.Hour, refused, "rdp")
				c.run(began + 3*minute)
				got := slices.DeleteFunc(c.short(), func(s string) bool { return strings.HasPrefix(s, "measured") || strings.HasPrefix(s, "lowered") })
				for i, line := range got { // where it was lowered first
					got[i] = strings.Replace(line, "resolved P4", "resolved P2", 1)
				}
				if want := []string{"opened P2 rdp", "resolved P2 rdp", test.want}; !slices.Equal(got, want) {
					t.Error(c.dump())
				}
			})
		}
	}
}

// TestAnOutageThatNobodyCanMeasureStaysOpen states that an open incident neither ends nor changes when all agents begin again and can say nothing of it.
func TestAnOutageThatNobodyCanMeasureStaysOpen(t *testing.T) {
	for _, off := range []time.Duration{0, 4 * time.Second, 3 * minute} {
		c := newCouncil(t, "dk neu", three()...).all(during(2*minute, time.Hour, refused, "rdp"))
		c.run(6 * minute)
		for _, m := range c.members {
			c.kill(m.name)
			m.answer = func(id string, _ time.Time) probes.Result {
				if strings.HasPrefix(id, "rdp") {
					return probes.Result{Outcome: probes.Unknown, Reason: probes.Local}
				}
				return up()
			}
		}
		c.run(c.now + off)
		for _, m := range c.members {
			c.begin(m)
		}
		c.run(40 * minute)
		if open := c.open(); !c.equal("opened P2 rdp") || len(open) != 1 {
			t.Errorf("off for %s: %s", off, c.dump())
		}
	}
}
