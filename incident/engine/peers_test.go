package engine

import (
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// TestAPeerThatComesLowersNothingAtOnce states that what the only vantage saw keeps its priority for a minute when another comes that
// does not.
func TestAPeerThatComesLowersNothingAtOnce(t *testing.T) {
	c := newCouncil(t, "weu", three()...).all(during(2*minute, time.Hour, refused, "rdp"))
	c.run(5 * minute)
	e := c.leader.engine
	for n := range 30 {
		now := c.leader.now.Add(time.Duration(n) * 2 * time.Second)
		e.Hear(now, []Vote{{Vantage: "dk", At: now, Probes: map[string]ProbeVote{"rdp/tcp": {Outcome: probes.Up, Run: now}}}})
		if p := e.s.Open[0].Priority; p != incident.P2 {
			t.Fatalf("%s after %d s", p, n*2)
		}
	}
}

// TestClocksDiffer states that a vantage whose clock is wrong dates nothing in the future, and nothing much too early.
func TestClocksDiffer(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, -20 * time.Second, 3 * time.Second, 20 * time.Second, time.Hour} {
		c := newCouncil(t, "dk neu weu", three()...).all(during(2*minute, 12*minute, refused, "rdp"), "neu", "weu")
		c.of("weu").skew = skew
		c.run(30 * minute)
		if !c.equal("opened P2 rdp", "resolved P2 rdp") && !c.equal("opened P4 rdp", "raised P2 rdp", "resolved P2 rdp") {
			t.Errorf("%s: %s", skew, c.dump())
		}
		for _, i := range c.incidents {
			if off := i.Started.Sub(t0.Add(2 * minute)); off < -clockSlack || off > 15*time.Second {
				t.Errorf("%s: started %s after the fault", skew, off)
			}
			if off := i.Ended.Sub(t0.Add(12 * minute)); off < -clockSlack || off > 30*time.Second {
				t.Errorf("%s: ended %s after the fault", skew, off)
			}
		}
	}
}

// TestALastWordIsNotSaidAgain states that what a vantage said last is no newer for being read, and its clock compared, with each beat: an end
// that others saw since holds.
func TestALastWordIsNotSaidAgain(t *testing.T) {
	c := newCouncil(t, "dk neu weu", three()...).all(during(2*minute, 4*minute+10*time.Second, refused, "rdp"))
	c.run(4 * minute)
	vote := c.of("weu").engine.Vote()
	c.kill("weu")
	c.ghost = &vote
	c.run(5*minute + 30*time.Second)
	c.ghost = nil
	c.run(7 * minute)
	if !c.equal("opened P2 rdp", "resolved P2 rdp") {
		t.Error(c.dump())
	}
}

// TestAnOldVoteDoesNotCount states that the vote of a vantage whose engine stands still counts no more.
func TestAnOldVoteDoesNotCount(t *testing.T) {
	c := newCouncil(t, "dk weu", three()...)
	c.run(2 * minute)
	e, now := c.of("dk").engine, c.of("dk").now
	vote := c.of("weu").engine.Vote()
	for range 20 {
		now = now.Add(2 * time.Second)
		e.Hear(now, []Vote{vote})
	}
	if e.peers[0].counts() {
		t.Error("a vote of 40 s ago counts")
	}
	for range 160 {
		now = now.Add(2 * time.Second)
		e.Hear(now, []Vote{vote})
	}
	if v := e.View(now); len(v.Vantages) > 1 && !v.Vantages[1].Gone {
		t.Errorf("it is seen as living: %+v", v.Vantages)
	}
}

// TestAVoteThatComesLateOpensNothing states that what an agent sends when it thaws, and believed before it was frozen, counts no more: what it could not
// reach may be well since.
func TestAVoteThatComesLateOpensNothing(t *testing.T) {
	for late, want := range map[time.Duration]int{time.Second: 1, 40 * time.Second: 0} {
		c := newCouncil(t, "dk neu weu", three()...)
		c.run(5 * minute)
		e, now := c.leader.engine, c.leader.now
		neu := c.of("neu").engine.Vote()
		for end := now.Add(minute); now.Before(end); now = now.Add(2 * time.Second) {
			neu.At = now
			e.Hear(now, []Vote{neu.Moved(0)})
		}
		at := now.Add(-late)
		neu.At = now
		e.Hear(now, []Vote{neu.Moved(0), Vote{Vantage: "weu", At: at, Probes: map[string]ProbeVote{"rdp/tcp": {
			Outcome: probes.Down, Run: at, Findings: []incident.Finding{{Kind: incident.Outage, Since: now.Add(-2 * minute), At: at, Reason: "refused"}},
		}}}.Moved(0)})
		if got := len(e.s.Open); got != want {
			t.Errorf("a vote of %s ago: %d open incidents, want %d", late, got, want)
		}
		now = now.Add(2 * time.Second)
		neu.At = now
		e.Hear(now, []Vote{neu.Moved(0), Vote{Vantage: "weu", At: now}.Moved(0)})
		if !e.peers[1].counts() {
			t.Errorf("a vote of %s ago: the next one does not count", late)
		}
	}
}

// TestReloadKeepsVotes states that a new configuration in mid-incident does not judge without the peers.
func TestReloadKeepsVotes(t *testing.T) {
	c := newCouncil(t, "dk neu weu", three()...).all(during(2*minute, 12*minute, refused, "rdp"), "neu", "weu")
	c.run(5 * minute)
	m := c.of("dk")
	m.setup.Follows, m.setup.Votes = false, m.engine.Heard()
	m.reload(func(*Setup) {})
	c.run(30 * minute)
	if !c.equal("opened P2 rdp", "resolved P2 rdp") {
		t.Error(c.dump())
	}
}

// TestViewOfVantages states what the page is told of several vantages.
func TestViewOfVantages(t *testing.T) {
	c := newCouncil(t, "dk neu weu", three()...).all(during(2*minute, 12*minute, refused, "rdp"), "weu")
	c.run(5 * minute)
	v := c.of("neu").engine.View(c.of("neu").now)
	if len(v.Vantages) != 3 || v.Vantages[0].Name != "neu" || !v.Vantages[0].Self || v.Vantages[2].Name != "weu" {
		t.Errorf("vantages: %+v", v.Vantages)
	}
	got := v.Components[2].Instances[0].Probes[0].Vantages
	if got["dk"] != probes.Up || got["neu"] != probes.Up || got["weu"] != probes.Down {
		t.Errorf("rdp: %v", got)
	}
}
