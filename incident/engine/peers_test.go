package engine

import (
	"slices"
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

// TestWhatWasBelievedBeforeOpensNothing states that an agent which thaws, and sends what it believed before it was frozen, or which begins, with its vote
// of before still there, opens nothing by that: what it could not reach may be well since.
func TestWhatWasBelievedBeforeOpensNothing(t *testing.T) {
	down := func(since, at time.Time) Vote {
		return Vote{Vantage: "weu", At: at, Probes: map[string]ProbeVote{"rdp/tcp": {
			Outcome: probes.Down, Run: at, Findings: []incident.Finding{{Kind: incident.Outage, Since: since, At: at, Reason: "refused"}},
		}}}
	}
	for name, c := range map[string]struct {
		known bool          // it was heard before
		away  time.Duration // and not for so long
		late  time.Duration // its vote was made so long ago
		again bool          // it was heard already
		want  int
	}{
		"it is new, and sees it now":         {late: time.Second, want: 1},
		"it is new, and saw it before":       {late: 40 * time.Second},
		"it is back, and sees it now":        {known: true, away: minute, late: time.Second, want: 1},
		"it thaws":                           {known: true, away: minute, late: 40 * time.Second},
		"it thaws, after a short time":       {known: true, away: 20 * time.Second, late: 15 * time.Second},
		"it begins, after a short time":      {known: true, away: 10 * time.Second, late: 15 * time.Second, again: true},
		"it begins, after a long time":       {known: true, away: minute, late: minute, again: true},
		"it was never away, and is not late": {known: true, late: 2 * time.Second, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			council := newCouncil(t, "dk neu weu", three()...)
			council.run(5 * minute)
			e, now := council.leader.engine, council.leader.now
			neu, weu := council.of("neu").engine.Vote(), council.of("weu").engine.Vote()
			hear := func(votes ...Vote) {
				now = now.Add(2 * time.Second)
				neu.At = now
				votes = append(votes, neu)
				for n := range votes {
					votes[n] = votes[n].Moved(0)
				}
				e.Hear(now, votes)
			}
			if !c.known {
				e.peers = nil
			}
			back := now.Add(c.away + 4*time.Second)
			vote := down(back.Add(-2*minute), back.Add(-c.late))
			if c.again {
				e.peers[1].said = vote.At
			}
			for now.Before(back.Add(-2 * time.Second)) {
				if c.away == 0 && c.known {
					weu.At = now
					hear(weu)
					continue
				}
				hear()
			}
			hear(vote)
			if got := len(e.s.Open); got != c.want {
				t.Errorf("%d open incidents, want %d", got, c.want)
			}
			hear(Vote{Vantage: "weu", At: now})
			if at := slices.IndexFunc(e.peers, func(p *peer) bool { return p.vote.Vantage == "weu" }); at < 0 || !e.peers[at].counts() {
				t.Error("its next vote does not count")
			}
		})
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
