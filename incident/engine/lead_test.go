package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
)

// TestTakeOver states that another vantage's engine goes on with what the last leader committed.
func TestTakeOver(t *testing.T) {
	answer := both(during(2*minute, 20*minute, refused, "app/a"), during(6*minute, 12*minute, refused, "app/b"))
	for _, at := range []time.Duration{3 * minute, 7 * minute, 9 * minute, 13 * minute, 19 * minute, 21 * minute} {
		for _, clean := range []bool{false, true} {
			c := newCouncil(t, "dk neu weu", two("app"), one("rdp")).all(answer)
			c.run(at)
			if clean {
				c.lead("weu")
			} else {
				c.kill("dk")
			}
			c.run(40 * minute)
			if !c.equal("opened P3 app", "raised P1 app", "lowered P3 app", "resolved P3 app") {
				t.Errorf("take-over at %s, clean %t:\n%s", at, clean, c.dump())
			}
		}
	}
}

// TestTakeOverAlone states that a vantage that knows nothing of an open incident does not close it before it has measured, whether it
// has the leader's state, none, or one that it cannot read.
func TestTakeOverAlone(t *testing.T) {
	for name, state := range map[string]func([]byte) []byte{
		"state": func(s []byte) []byte { return s }, "none": func([]byte) []byte { return nil },
	} {
		c := newCouncil(t, "dk neu", three()...).all(during(2*minute, time.Hour, refused, "rdp"))
		c.run(5 * minute)
		c.kill("dk")
		c.kill("neu")
		c.shared = state(c.shared)
		c.of("neu").saved = nil
		c.now = 10 * minute
		c.begin(c.of("neu"))
		c.lead("neu")
		c.run(50 * minute)
		if got := c.short(); !slices.Equal(slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "measured") }), []string{"opened P2 rdp"}) || len(c.open()) != 1 {
			t.Errorf("%s: %s", name, c.dump())
		}
		c.run(90 * minute)
		if len(c.open()) != 0 || len(c.incidents) != 1 {
			t.Errorf("%s, after: %s", name, c.dump())
		}
	}
	c := newCouncil(t, "dk", three()...)
	c.run(minute)
	e := c.of("dk").engine
	e.Follow(c.of("dk").now)
	if step, err := e.Lead(c.of("dk").now, []byte("{"), nil); err == nil || e.Leads() || step.Changed() {
		t.Errorf("a state that cannot be read: %v, leads %t", err, e.Leads())
	}
	if _, err := e.Lead(c.of("dk").now, nil, nil); err != nil || !e.Leads() {
		t.Errorf("without a state: %v, leads %t", err, e.Leads())
	}
}

// TestLeadOfOneThatKnewNoPeers states that what a leader without peers opened in full is not lowered at once by a successor that has some.
func TestLeadOfOneThatKnewNoPeers(t *testing.T) {
	for name, state := range map[string]func([]byte) []byte{
		"state": func(s []byte) []byte { return s }, "none": func([]byte) []byte { return nil },
	} {
		c := newCouncil(t, "weu dk neu", three()...).all(during(2*minute, 12*minute, refused, "rdp"), "weu")
		c.of("dk").engine, c.of("neu").engine = &Engine{}, &Engine{}
		c.run(5 * minute)
		c.begin(c.of("dk"))
		c.begin(c.of("neu"))
		c.leader.engine.Follow(c.leader.now)
		c.now += 20 * time.Second
		for _, m := range c.members {
			m.run(c.now)
		}
		c.beat()
		c.leader, c.shared = nil, state(c.shared)
		c.lead("dk")
		c.run(30 * minute)
		if !c.equal("opened P2 rdp", "lowered P4 rdp", "resolved P4 rdp") {
			t.Fatalf("%s: %s", name, c.dump())
		}
		if at := c.events[1].At.Sub(t0); at < 6*minute+20*time.Second || at > 6*minute+40*time.Second {
			t.Errorf("%s: lowered at %s", name, at)
		}
	}
}

// TestBlindnessIsHandedOn states that a leader that is blind and dies leaves an incident that says so, which its successor keeps until it
// sees again.
func TestBlindnessIsHandedOn(t *testing.T) {
	c := newCouncil(t, "dk neu", three()...).all(during(2*minute, 12*minute, hang, "web", "backend", "rdp", "witness"), "dk")
	c.run(4 * minute).lead("neu")
	c.run(8 * minute)
	var agent []incident.Incident
	for _, i := range c.incidents {
		agent = append(agent, i)
	}
	if len(agent) != 1 || !agent[0].Open() || agent[0].Root != peerRoot("dk") {
		t.Fatalf("%+v", agent)
	}
	c.run(20 * minute)
	if !c.equal("opened - agent sight/dk", "resolved - agent sight/dk") {
		t.Error(c.dump())
	}
}

// TestBlindnessThatAnotherSawIsItsOwn states that a leader ends the incident of its own blindness which another agent opened while it was alone.
func TestBlindnessThatAnotherSawIsItsOwn(t *testing.T) {
	c := newCouncil(t, "dk neu", three()...)
	c.run(2 * minute)
	seen := incident.Incident{
		ID: "fc-acme-sight-dk", Class: incident.Agent, Root: peerRoot("dk"), Components: []string{peerRoot("dk")}, Priority: incident.NoPriority,
		Highest: incident.NoPriority, Started: t0.Add(minute), Opened: t0.Add(minute), Updated: t0.Add(minute), Title: "the agent at dk is blind",
	}
	c.incidents[seen.ID] = seen
	c.lead("dk")
	if i := c.incidents[seen.ID]; i.Open() || i.Resolution != incident.Recovered {
		t.Errorf("it sees, and %+v is open", i)
	}
}

// TestFollowerProvesSight states that a follower, too, asks the witnesses while an outage that it confirmed is not proven: its vote would
// not tell of it.
func TestFollowerProvesSight(t *testing.T) {
	w := newWorld(t, three()...)
	w.setup.Follows = true
	w.answer = during(0, time.Hour, refused, "rdp")
	e, _, err := New(w.setup, nil, nil, t0)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		r := refused()
		r.Probe, r.Start, r.Recheck = "rdp/tcp", t0.Add(time.Duration(n+1)*time.Second), n > 0
		e.Observe(r)
	}
	if len(e.Vote().Probes["rdp/tcp"].Findings) != 0 {
		t.Fatal("it is proven")
	}
	step := e.Tick(t0.Add(8 * time.Second))
	if !slices.ContainsFunc(step.Rechecks, func(r Recheck) bool { return r.Probe == "witness/w" }) {
		t.Errorf("no witness is asked: %+v", step)
	}
}

// TestDoublesBecomeOne states that two incidents of one thing, opened by agents that could not see each other, become one.
func TestDoublesBecomeOne(t *testing.T) {
	c := newCouncil(t, "dk neu", three()...).all(during(2*minute, 20*minute, refused, "rdp"))
	c.run(5 * minute)
	mine := c.open()[0]
	other := mine
	other.Started, other.Opened = mine.Started.Add(-time.Second), mine.Opened.Add(-time.Second)
	other.ID = incident.Key("acme", incident.Availability, "rdp", other.Started)
	c.incidents[other.ID] = other
	c.lead("dk")
	if open := c.open(); len(open) != 1 || open[0].ID != other.ID || c.incidents[mine.ID].AbsorbedBy != other.ID {
		t.Fatal(c.dump())
	}
	c.run(30 * minute)
	if len(c.open()) != 0 {
		t.Error(c.dump())
	}
}

// TestTakeOverAfterATimeAlone states that a new leader goes by what agents did alone, which the store has and the last leader's state has not:
// what they ended is not open any more, and what they raised is neither raised nor told again.
func TestTakeOverAfterATimeAlone(t *testing.T) {
	begin := func() (*council, incident.Incident) {
		c := newCouncil(t, "dk neu", three()...).all(during(2*minute, time.Hour, refused, "rdp"))
		c.run(5 * minute)
		i := c.open()[0]
		c.leader.engine.Follow(c.leader.now)
		c.leader = nil
		return c, i
	}
	c, known := begin()
	over, next := known, known
	over.Ended, over.Closed, over.Updated, over.Resolution = known.Opened.Add(minute), known.Opened.Add(minute), known.Opened.Add(minute), incident.Momentary
	next.Started, next.Opened, next.Updated = over.Ended.Add(minute), over.Ended.Add(minute), over.Ended.Add(minute)
	next.ID = incident.Key("acme", incident.Availability, "rdp", next.Started)
	c.incidents[over.ID], c.incidents[next.ID] = over, next
	c.lead("neu")
	c.run(30 * minute)
	if open := c.open(); len(open) != 1 || open[0].ID != next.ID || c.incidents[known.ID].Open() {
		t.Errorf("ended, and there again: %s", c.dump())
	}

	c, known = begin()
	raised := known
	raised.Priority, raised.Highest, raised.Title, raised.Updated = incident.P1, incident.P1, "raised", known.Opened.Add(minute)
	c.incidents[raised.ID] = raised
	c.events = nil
	c.lead("neu")
	if open := c.open(); len(open) != 1 || open[0].Priority != incident.P1 || c.leader.engine.s.Open[0].Priority != incident.P1 || len(c.events) > 0 {
		t.Errorf("raised: %s", c.dump())
	}
	if c.run(30 * minute); len(c.events) == 0 || c.events[0].Kind != incident.EventLowered {
		t.Errorf("raised by what no quorum sees: %s", c.dump())
	}
}

// TestAProbeThatIsMuteHoldsNothingUp states that a deciding probe that never says anything, as one whose browser is missing, keeps no
// incident open for good, and does not keep one that was taken over from rising.
func TestAProbeThatIsMuteHoldsNothingUp(t *testing.T) {
	withMute := func(c policy.Component) policy.Component {
		for n := range c.Instances {
			i := &c.Instances[n]
			i.Probes = append(i.Probes, policy.Probe{ID: "mute/" + i.Name, Deciding: true})
		}
		return c
	}
	mute := during(0, 3*time.Hour, local, "mute")
	moves := func(c *council) []string {
		return slices.DeleteFunc(c.short(), func(s string) bool { return strings.HasPrefix(s, "measured") })
	}

	c := newCouncil(t, "dk neu weu", withMute(one("web")), one("rdp"))
	c.all(both(during(2*minute, 12*minute, refused, "web"), mute))
	c.run(30 * minute)
	if got := moves(c); !slices.Equal(got, []string{"opened P2 web", "resolved P2 web"}) {
		t.Errorf("it ends: %s", c.dump())
	}

	c = newCouncil(t, "dk", withMute(two("app")), one("rdp"))
	c.all(both(during(2*minute, 20*minute, refused, "app/a"), during(6*minute, 12*minute, refused, "app/b"), mute))
	c.run(5 * minute)
	c.leader.engine.Follow(c.leader.now)
	c.leader = nil
	c.run(7 * minute)
	if got := moves(c); !slices.Equal(got, []string{"opened P3 app", "raised P1 app"}) {
		t.Errorf("it rises: %s", c.dump())
	}
	c.run(30 * minute)
	if got := moves(c); !slices.Equal(got, []string{"opened P3 app", "raised P1 app", "lowered P3 app", "resolved P3 app"}) {
		t.Errorf("it rises, falls and ends: %s", c.dump())
	}

	// Nothing else of the instance speaks: nobody knows whether it is over.
	c = newCouncil(t, "dk neu", one("web"), one("rdp"))
	c.all(both(during(2*minute, 5*minute, refused, "rdp"), during(5*minute, 40*minute, local, "rdp")))
	c.run(5 * minute)
	c.kill("dk")
	c.kill("neu")
	c.of("neu").saved = nil
	c.begin(c.of("neu"))
	c.run(35 * minute)
	if got := moves(c); !slices.Equal(got, []string{"opened P2 rdp"}) {
		t.Errorf("nobody knows: %s", c.dump())
	}
	if c.run(50 * minute); len(c.open()) != 0 {
		t.Errorf("it is known again: %s", c.dump())
	}
}
