package agent

import (
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
)

// voice is a standing with its clocks, and a store that answers or does not.
type voice struct {
	*standing
	now instant
}

func newVoice(owes bool) *voice {
	v := &voice{standing: &standing{grace: time.Minute, stagger: 20 * time.Second}, now: instant{wall: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}}
	v.begin(v.now, owes)
	return v
}

// let lets time pass by both clocks.
func (v *voice) let(d time.Duration) { v.now = instant{v.now.mono + d, v.now.wall.Add(d)} }

func (v *voice) hear(leads string, peers ...string) {
	r := store.Round{Self: "dk", Leader: leads, Leading: leads == "dk", Epoch: 7, Lease: 6 * time.Second}
	for _, p := range peers {
		r.Peers = append(r.Peers, store.Peer{Voter: p})
	}
	v.heard(v.now, v.now, r)
}

// miss lets beats fail, one a second.
func (v *voice) miss(d time.Duration) {
	for range int(d / time.Second) {
		v.let(time.Second)
		v.missed(v.now)
	}
}

func (v *voice) is(t *testing.T, want role, when string) {
	t.Helper()
	if v.role != want {
		t.Errorf("%s: %s, want %s", when, v.role, want)
	}
}

func TestALeadThatIsNotRenewedIsOverByEitherClock(t *testing.T) {
	for name, stop := range map[string]func(*voice){
		"the process stood still":                     func(v *voice) { v.let(7 * time.Second) },
		"the machine was suspended":                   func(v *voice) { v.now.wall = v.now.wall.Add(time.Hour) },
		"only the monotonic clock went on":            func(v *voice) { v.now.mono += 7 * time.Second },
		"the clock was set back while it stood still": func(v *voice) { v.let(7 * time.Second); v.now.wall = v.now.wall.Add(-time.Hour) },
	} {
		v := newVoice(false)
		v.hear("dk", "weu")
		v.is(t, leader, name)
		v.let(5 * time.Second)
		v.pass(v.now)
		v.is(t, leader, name+": after 5 s")
		stop(v)
		if v.sure(v.now) {
			t.Errorf("%s: the lead still counts as sure", name)
		}
		v.pass(v.now)
		v.is(t, follower, name+": afterwards")
		if !v.wants(v.now) {
			t.Errorf("%s: it does not ask for the lead again", name)
		}
	}
}

func TestAnAnswerThatCameTooLateGivesNoLead(t *testing.T) {
	v := newVoice(false)
	sent := v.now
	v.let(6 * time.Second)
	v.heard(sent, v.now, store.Round{Self: "dk", Leading: true, Leader: "dk", Lease: 6 * time.Second})
	v.is(t, follower, "after an answer that took as long as the lease")
}

func TestTheOneThatTheStoreRefusesFollowsAtOnce(t *testing.T) {
	v := newVoice(false)
	v.hear("dk")
	v.lost(v.now)
	v.is(t, follower, "refused")
	if v.sure(v.now) {
		t.Error("the lead still counts as sure")
	}
	v.hear("weu", "weu")
	v.is(t, follower, "another leads")
}

func TestWithoutTheStoreAgentsJudgeAloneOneAfterTheOther(t *testing.T) {
	for _, c := range []struct {
		leads string
		peers []string
		after time.Duration
	}{
		{"dk", []string{"weu", "neu"}, time.Minute}, // it led
		{"weu", []string{"weu"}, 80 * time.Second},
		{"weu", []string{"azure", "weu"}, 100 * time.Second}, // weu, azure, dk
		{"weu", []string{"neu", "weu"}, 80 * time.Second},    // weu, dk, neu
		{"", nil, time.Minute},
	} {
		v := newVoice(false)
		v.hear(c.leads, c.peers...)
		v.miss(c.after - time.Second)
		v.is(t, follower, "shortly before its turn")
		v.miss(time.Second)
		v.is(t, alone, "at its turn")
		if v.wants(v.now) {
			t.Error("an agent that is alone asks for the lead")
		}
	}
}

// Agents that start while the store is away, as after a power failure, judge alone one after the other as well: by what they knew, or by their names.
func TestAgentsThatStartWithoutTheStoreJudgeAloneOneAfterTheOther(t *testing.T) {
	all := []string{"dk", "neu", "weu"}
	for self, after := range map[string]time.Duration{"neu": time.Minute, "dk": 80 * time.Second, "weu": 100 * time.Second} {
		v := newVoice(false)
		v.recall(company{Self: self, Leads: "neu", Voters: all}, self)
		v.miss(after - time.Second)
		v.is(t, follower, self+": shortly before its turn")
		v.miss(time.Second)
		v.is(t, alone, self+": at its turn")
	}
	turns := map[time.Duration]bool{}
	for _, name := range []string{"dk host-1", "weu host-2", "neu host-3", "weu host-4", "weu host-5", "weu host-6"} {
		v := newVoice(false)
		v.recall(company{}, name)
		if v.wait() <= v.grace || v.wait() > v.grace+places*v.stagger {
			t.Errorf("%s, which knows nobody, judges alone after %s", name, v.wait())
		}
		turns[v.wait()] = true
	}
	if len(turns) != places {
		t.Errorf("agents that know nobody have %d turns, want %d", len(turns), places)
	}
}

func TestGraceZeroNeverJudgesAlone(t *testing.T) {
	v := newVoice(false)
	v.grace = 0
	v.hear("dk")
	v.miss(time.Hour)
	v.is(t, follower, "after an hour")
}

func TestOneThatWasAloneHandsOverBeforeItAsksForTheLead(t *testing.T) {
	v := newVoice(false)
	v.hear("dk")
	v.miss(2 * time.Minute)
	v.is(t, alone, "without the store")
	v.let(time.Second)
	v.hear("", "weu")
	v.is(t, follower, "when the store is back")
	if v.wants(v.now) {
		t.Error("it asks for the lead before it handed over")
	}
	v.handed()
	if !v.wants(v.now) {
		t.Error("it handed over and does not ask for the lead")
	}
	v.hear("dk", "weu")
	v.is(t, leader, "after that")
}

func TestAHandOverThatFailsDoesNotKeepTheLeadFromEverybody(t *testing.T) {
	v := newVoice(true)
	v.hear("")
	if v.wants(v.now) {
		t.Error("one that owes asks at once")
	}
	for range 30 {
		v.let(time.Second)
		v.hear("")
	}
	if !v.wants(v.now) {
		t.Error("after half a minute it still does not ask")
	}
	v.hear("dk")
	v.miss(time.Second)
	v.hear("dk")
	if v.is(t, leader, "after one beat that failed"); !v.wants(v.now) {
		t.Error("it gives the lead up for one beat that failed")
	}
}

func TestAloneAgainWithWhatIsOwed(t *testing.T) {
	v := newVoice(true)
	v.miss(time.Minute)
	v.is(t, alone, "the store is away at the start")
	v.hear("")
	v.miss(30 * time.Second)
	v.is(t, follower, "away again for half a minute")
	v.miss(30 * time.Second)
	v.is(t, alone, "away again for a minute")
	if !v.owes {
		t.Error("what it owes is forgotten")
	}
}

// An agent that was stopped for long knows nothing of the store: it asks before it judges alone.
func TestAThawedAgentDoesNotJudgeAloneByOldNews(t *testing.T) {
	v := newVoice(false)
	v.hear("dk", "weu")
	v.let(10 * time.Minute)
	v.missed(v.now) // the beat under way when it was stopped
	v.is(t, follower, "thawed")
	v.miss(50 * time.Second)
	v.is(t, follower, "not a minute after")
	v.miss(20 * time.Second)
	v.is(t, alone, "a minute after")

	v = newVoice(false)
	v.hear("dk")
	v.miss(55 * time.Second)
	v.let(time.Hour)
	v.missed(v.now)
	v.miss(10 * time.Second)
	v.is(t, follower, "stopped in the middle of an outage of the store")
}

// An agent that stops keeps the lead until it has written all, and takes no role any more, whatever becomes of the store.
func TestOneThatStopsTakesNoRole(t *testing.T) {
	v := newVoice(false)
	v.hear("dk", "weu")
	v.end()
	v.let(time.Second)
	v.hear("dk", "weu")
	v.is(t, leader, "the lead is renewed")
	if !v.wants(v.now) {
		t.Error("it gives the lead up before it has resigned")
	}
	v.miss(10 * time.Minute)
	v.is(t, follower, "without the store")
	if v.wants(v.now) {
		t.Error("it asks for the lead while it stops")
	}
	v.hear("dk")
	v.is(t, follower, "a beat of before brings the lead")
}

// An agent that has the lead and cannot begin to judge leaves it to others, where there are any, and asks again after a while.
func TestOneThatCannotJudgeLeavesTheLeadToOthers(t *testing.T) {
	v := newVoice(false)
	fail := func(peers ...string) (wanted bool) {
		for range unfitAfter {
			wanted = v.wants(v.now)
			v.let(time.Second)
			v.hear("dk", peers...)
			v.led(v.now, false)
		}
		return wanted
	}
	if !fail("weu") || v.wants(v.now) {
		t.Errorf("after %d failures it asks for the lead (%t), or gave up before", unfitAfter, v.wants(v.now))
	}
	v.let(restFor - time.Second)
	v.hear("weu", "weu")
	if v.wants(v.now) {
		t.Error("it asks for the lead too soon")
	}
	v.let(time.Second)
	if !v.wants(v.now) {
		t.Error("it never asks for the lead again")
	}
	fail("weu")
	v.hear("")
	if !v.wants(v.now) {
		t.Error("it is the only one that is left")
	}
	fail("weu")
	v.let(vacant - time.Second)
	v.hear("", "weu")
	if v.wants(v.now) {
		t.Error("it asks for the lead before others had time to")
	}
	v.let(time.Second)
	if !v.wants(v.now) {
		t.Error("nobody leads: all failed at the same time")
	}
	fail()
	v.let(time.Second)
	v.led(v.now, true)
	v.hear("dk", "weu")
	if !v.wants(v.now) {
		t.Error("it gives up a lead in which it judges, since it could not before another came")
	}
	for range 10 * unfitAfter {
		v.led(v.now, false)
	}
	if !v.wants(v.now) {
		t.Error("failures in one moment count as several")
	}
	v.led(v.now, true)
	v.let(time.Minute)
	v.hear("dk", "weu")
	for range unfitAfter - 1 {
		v.let(time.Second)
		v.led(v.now, false)
	}
	if !v.wants(v.now) {
		t.Error("failures of before count though it judged between")
	}
}

func TestClocksAreMovedByWhatIsSureOfThem(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	s := shifts{}
	for n, c := range []struct {
		measured, want time.Duration
		said           int // seconds
	}{
		{40 * time.Second, 40 * time.Second, 0},
		{40*time.Second + 20*time.Millisecond, 40 * time.Second, 1},         // it does not wander
		{52 * time.Second, 40 * time.Second, 2},                             // one beat came late
		{52 * time.Second, 40 * time.Second, 2},                             // and nothing after it
		{40 * time.Second, 40 * time.Second, 3},                             // it lives
		{10 * time.Minute, 40 * time.Second, -500},                          // its clock was set back
		{10 * time.Minute, 10 * time.Minute, -499},                          // indeed
		{5 * time.Minute, 5 * time.Minute, -100},                            // set forward: no message comes early
		{5*time.Minute - 2*time.Second, 5*time.Minute - 2*time.Second, -99}, // the first measured late
	} {
		if got := s.of("weu", c.measured, at.Add(time.Duration(c.said)*time.Second)); got != c.want {
			t.Errorf("%d: moved by %s, want %s", n, got, c.want)
		}
	}
}
