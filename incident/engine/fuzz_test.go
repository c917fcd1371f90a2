package engine

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// fault is a stretch of bad results of some probes.
type fault struct {
	from, to time.Duration
	kind     int
	prefix   string
}

func (f fault) answer() func(string, time.Time) probes.Result {
	bad := []func() probes.Result{
		refused, hang, local, slow,
		func() probes.Result {
			return probes.Result{Outcome: probes.Degraded, Reason: probes.Capacity, Detail: "full", Duration: time.Millisecond}
		},
		func() probes.Result {
			return probes.Result{Outcome: probes.Degraded, Reason: probes.Functional, Detail: "wrong query", Duration: time.Millisecond}
		},
		func() probes.Result {
			return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: "late", Duration: time.Second, Lagging: true}
		},
		func() probes.Result {
			return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: "hung", Duration: 30 * time.Second}
		},
		func() probes.Result { return used(95) },
		func() probes.Result { return used(85) },
		wrong, lockedOut("locked out"), fact(up(), "locked out"),
	}[f.kind]
	return during(f.from, f.to, bad, f.prefix)
}

// shape is what a reload may change.
type shape struct {
	Witness, Window, Limit, Second, Rdp, Essential, Chain, Deciding, Judged, Account bool
}

func (s shape) apply(to *Setup) {
	probe := func(id string, deciding bool) policy.Probe { return policy.Probe{ID: id, Deciding: deciding} }
	app, portal, rdp := two("app"), one("portal"), one("rdp")
	if !s.Second {
		app.Instances = app.Instances[:1]
	}
	portal.Instances[0].Probes = append(portal.Instances[0].Probes, probe("portal/seldom", true), probe("portal/ping", s.Deciding))
	if s.Judged {
		as := map[probes.Reason]incident.Matter{probes.Content: incident.MatterFunctional, probes.Functional: incident.MatterInfrastructure}
		app.Instances[0].Probes[0].JudgeAs, portal.Instances[0].Probes[0].JudgeAs = as, as
	}
	app.Instances[0].Probes[0].Account, rdp.Instances[0].Probes[0].Account = s.Account, true
	if s.Chain {
		portal.DependsOn = []string{"web"}
	}
	rdp.Essential = s.Essential
	to.Solution.Components = []policy.Component{portal, one("web", "backend"), one("backend"), app}
	if s.Rdp {
		to.Solution.Components = append(to.Solution.Components, rdp)
	}
	to.Solution.Witnesses, to.Windows, to.Limits, to.Thresholds = nil, nil, nil, nil
	if s.Witness {
		to.Solution.Witnesses = []string{"witness/w"}
	}
	if s.Window {
		window("20 10 * * *", 15*minute)(to)
	}
	if s.Limit {
		to.Limits = limits("web/tcp", "total", 3*time.Second)
		to.Limits["app/a/tcp"] = to.Limits["web/tcp"]
		to.Thresholds = sessions("web/tcp", "app/a/tcp", "portal/seldom", "portal/ping")
	}
}

// turn is something that happens to the agent.
type turn struct {
	at   time.Duration // after the one before
	kind int
	next shape
	gap  time.Duration
}

// script is a drawn story.
type script struct {
	first  shape
	faults []fault
	turns  []turn
}

func draw(rt *rapid.T) (s script) {
	shapes := rapid.Make[shape]()
	prefixes := []string{"backend", "app", "app/a", "app/b", "web", "rdp", "witness", "portal", "portal/ping", "portal/seldom", ""}
	s.first = shapes.Draw(rt, "shape")
	for range rapid.IntRange(1, 7).Draw(rt, "faults") {
		from := time.Duration(rapid.IntRange(0, 1500).Draw(rt, "from")) * time.Second
		s.faults = append(s.faults, fault{
			from: from, to: from + time.Duration(rapid.IntRange(1, 900).Draw(rt, "for"))*time.Second,
			kind: rapid.IntRange(0, 12).Draw(rt, "kind"), prefix: rapid.SampledFrom(prefixes).Draw(rt, "of"),
		})
	}
	for range rapid.IntRange(0, 5).Draw(rt, "turns") {
		s.turns = append(s.turns, turn{
			at: time.Duration(rapid.IntRange(1, 500).Draw(rt, "after")) * time.Second, kind: rapid.IntRange(0, 4).Draw(rt, "turn"),
			next: shapes.Draw(rt, "shape"), gap: time.Duration(rapid.IntRange(1, 1500).Draw(rt, "gap")) * time.Second,
		})
	}
	return s
}

// play runs a script over a solution with dependencies, redundancy, evidence and probes that run seldom, with restarts, reloads,
// sleeps, a clock that is set back and a lost state, and lets everything be well again at the end.
func play(s script, t tester) *world { return playWith(s, t, func(*world) {}) }

func playWith(s script, t tester, prepare func(*world)) *world {
	w := newWorld(t)
	s.first.apply(&w.setup)
	prepare(w)
	w.every = map[string]time.Duration{"portal/seldom": 5 * minute}
	var answers []func(string, time.Time) probes.Result
	for _, f := range s.faults {
		answers = append(answers, f.answer())
	}
	faulty := overlay(answers...)
	w.answer = func(id string, at time.Time) probes.Result {
		r := faulty(id, at)
		if r.Numbers == nil {
			r.Numbers = used(20).Numbers
		}
		return r
	}
	w.start()
	for _, n := range s.turns {
		w.run(w.now.Sub(t0) + n.at)
		switch n.kind {
		case 0:
			w.restart()
		case 1:
			w.reload(n.next.apply)
		case 2:
			w.forget(n.gap)
		case 3:
			w.off(0, min(n.gap, w.now.Sub(t0))*-1)
		case 4:
			w.saved = nil
			n.next.apply(&w.setup)
			w.off(n.gap, 0)
		}
	}
	w.run(max(w.now.Sub(t0), 45*minute))
	w.beat, w.interval = 30*time.Second, time.Minute
	return w.run(w.now.Sub(t0) + 7*time.Hour)
}

// TestInvariants states what holds whatever happens; what holds at every instant is in world.check, wellFormed and sober.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := draw(rt)
		w := play(s, rt)
		if len(w.engine.s.Open) != 0 {
			rt.Fatalf("still open: %+v\n%s", w.engine.s.Open, strings.Join(w.story(), "\n"))
		}
		priority := map[string]incident.Priority{}
		blind := false
		for _, e := range w.events {
			i := w.incidents[e.Incident]
			switch e.Kind {
			case incident.EventOpened:
				if _, twice := priority[i.ID]; twice {
					rt.Fatalf("%s opened twice", i.ID)
				}
				if blind && i.Class.OpensCase() {
					rt.Fatalf("%s opened while blind", i.ID)
				}
				priority[i.ID] = e.Priority
				blind = blind || i.Class == incident.Agent
			case incident.EventResolved:
				blind = blind && i.Class != incident.Agent
			case incident.EventRaised, incident.EventLowered:
				if e.Text == "" || e.Priority == priority[i.ID] || e.Priority.Above(priority[i.ID]) != (e.Kind == incident.EventRaised) {
					rt.Fatalf("%s %s from %s to %s: %q", i.ID, e.Kind, priority[i.ID], e.Priority, e.Text)
				}
				priority[i.ID] = e.Priority
			default:
			}
			if p, ok := priority[i.ID]; !ok || p != e.Priority {
				rt.Fatalf("%s moved from %s to %s at %q", i.ID, p, e.Priority, e.Kind)
			}
			if i.Class == incident.Function && e.Priority != incident.NoPriority {
				rt.Fatalf("a functional failure has priority %s", e.Priority)
			}
		}
		if rapid.IntRange(0, 4).Draw(rt, "again") == 0 {
			again := playWith(s, rt, func(w *world) {
				w.setup.Vantage, w.setup.Quorum, w.hearing = "weu", Quorum{Need: 2, AloneFor: time.Minute}, true
			})
			one, _ := w.engine.State()
			two, _ := again.engine.State()
			if !reflect.DeepEqual(w.events, again.events) || !reflect.DeepEqual(w.incidents, again.incidents) || !bytes.Equal(one, two) {
				rt.Fatal("the same story was judged differently, or otherwise by a vantage that has no peers")
			}
		}
	})
}

// word is what a probe says: since when the same without a break.
type word struct {
	outcome      probes.Outcome
	first, start time.Time // of the runs
}

// heard notes what a result says.
func (w *world) heard(r probes.Result) {
	if w.words == nil {
		w.words = map[string]word{}
	}
	o := r.Outcome
	if o == probes.Degraded {
		o = probes.Up
	}
	if o == probes.Unknown || r.Lagging && o == probes.Down {
		w.words[r.Probe] = word{outcome: w.words[r.Probe].outcome, start: w.words[r.Probe].start} // how long is not known
		return
	}
	said, ok := w.words[r.Probe]
	if ok && r.Start.Before(said.start) {
		return
	}
	if !ok || said.outcome != o || said.first.IsZero() {
		said = word{outcome: o, first: r.Start}
	}
	said.start = r.Start
	w.words[r.Probe] = said
}

// says reports whether a deciding probe of every instance said that last, without a break for d; all: every deciding probe.
func (w *world) says(c policy.Component, o probes.Outcome, d time.Duration, all bool) bool {
	for _, i := range c.Instances {
		n, fits := 0, 0
		for _, p := range i.Probes {
			if !p.Deciding {
				continue
			}
			n++
			if said, ok := w.words[p.ID]; ok && said.outcome == o && (d == 0 || !said.first.IsZero() && !said.first.After(w.now.Add(-d)) && !said.start.Before(w.now.Add(-d))) {
				fits++
			}
		}
		if fits == 0 || all && fits < n {
			return false
		}
	}
	return true
}

// sober holds what must be true of a step, given what the probes said: priority 1 only where the newest word of everything that
// is called inaccessible is that it is down.
func (w *world) sober(s Step) {
	for _, e := range s.Events {
		if e.Priority != incident.P1 || e.Kind != incident.EventOpened && e.Kind != incident.EventRaised {
			continue
		}
		ok := false
		if strings.Contains(e.Text, "entire customer solution") {
			ok = !slices.ContainsFunc(w.setup.Solution.Components, func(c policy.Component) bool { return c.Essential && !w.says(c, probes.Down, 0, false) })
		} else {
			ok = slices.ContainsFunc(w.setup.Solution.Components, func(c policy.Component) bool { return c.Redundant() && w.says(c, probes.Down, 0, false) })
		}
		if !ok {
			w.t.Fatalf("%s at %s: %s\n%+v", e.Kind, e.At, e.Text, w.words)
		}
	}
}

// steady is how long a state has lasted when the engine must have followed it, whatever happened before.
const steady = 3 * minute

// followed holds that what is plainly down for long is in an incident, and what is plainly well for long is in none that says
// otherwise.
func (w *world) followed() {
	if w.engine.blind() || w.among != nil {
		w.calm = w.now
	}
	if w.now.Sub(w.calm) < steady {
		return
	}
	for _, c := range w.setup.Solution.Components {
		l := w.engine.member(incident.Availability, c.Name)
		maintained := len(w.setup.Windows)+len(w.setup.Spans) > 0
		if !maintained && l == nil && w.says(c, probes.Down, steady, false) {
			w.t.Fatalf("%s: %s is down and in no incident\n%s", w.now.Sub(t0), c.Name, strings.Join(w.story(), "\n"))
		}
		if l != nil && !l.Stateless && slices.Contains(l.Active, c.Name) && w.says(c, probes.Up, steady, true) && !w.flaps(c.Name) {
			w.t.Fatalf("%s: %s is well and in %s\n%s", w.now.Sub(t0), c.Name, l.ID, strings.Join(w.story(), "\n"))
		}
	}
}

// flaps reports whether a component answers, but did not repeatedly.
func (w *world) flaps(name string) bool {
	c := w.engine.byName[name]
	return c.memory.Flaps || slices.ContainsFunc(c.deciding, func(p *probe) bool { return p.detector.Finding(incident.MomentaryOutages) != nil })
}

// FuzzObserve feeds the engine results in any order: it never panics and its incidents stay well formed.
func FuzzObserve(f *testing.F) {
	f.Add([]byte{1, 3, 0, 1, 3, 9, 2, 3, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t, one("backend"), two("app"), one("web", "backend"))
		w.start()
		ids := []string{"backend/tcp", "app/a/tcp", "app/b/tcp", "web/tcp", "witness/w", "gone"}
		at := t0
		for len(data) >= 3 {
			at = at.Add(time.Duration(int8(data[2])) * 100 * time.Millisecond)
			r := probes.Result{
				Probe: ids[int(data[0])%len(ids)], Start: at, Outcome: probes.Outcome(data[1] % 4), Duration: time.Duration(data[1]) * time.Millisecond,
				Recheck: data[1]&16 != 0, Lagging: data[1]&32 != 0,
			}
			if r.Outcome >= probes.Degraded {
				r.Reason, r.Detail = probes.Reasons[int(data[1]>>2)%len(probes.Reasons)], "bad"
			}
			if r.End().After(w.now) {
				w.now = r.End()
			}
			w.heard(r)
			w.take(w.engine.Observe(r))
			data = data[3:]
		}
	})
}

// drawn is a story of several vantages: what each sees, and what happens to them.
type drawn struct {
	vantages int
	crowd    bool // some share a place
	first    shape
	faults   []fault
	of       []int // by fault: bits of the vantages that see it
	skew     []int // seconds, by vantage
	turns    []turn
	who      []int // by turn
}

func drawSeveral(rt *rapid.T) (d drawn) {
	d.vantages, d.crowd = rapid.IntRange(2, 4).Draw(rt, "vantages"), rapid.Bool().Draw(rt, "crowd")
	s := draw(rt)
	d.first, d.faults, d.turns = s.first, s.faults, s.turns
	for i := range d.faults {
		d.of = append(d.of, rapid.IntRange(1, 1<<d.vantages-1).Draw(rt, "seen by"))
		if rapid.Bool().Draw(rt, "plain") {
			d.faults[i].kind = 0 // what is to be agreed on most
		}
	}
	for range d.vantages {
		d.skew = append(d.skew, rapid.SampledFrom([]int{0, 0, 0, 2, -3, 40, -90}).Draw(rt, "skew"))
	}
	for range d.turns {
		d.who = append(d.who, rapid.IntRange(0, d.vantages-1).Draw(rt, "who"))
	}
	return d
}

// playSeveral plays a story: vantages die and come back, lose touch with the store, lead one after the other, and all is well at the
// end.
func playSeveral(d drawn, t tester) *council {
	names := []string{"dk", "neu", "sea", "weu"}
	if d.crowd {
		names = []string{"weu", "weu#2", "dk", "weu#3"}
	}
	c := newCouncil(t, strings.Join(names[:d.vantages], " "))
	for n, m := range c.members {
		d.first.apply(&m.setup)
		m.every, m.beat = map[string]time.Duration{"portal/seldom": 5 * minute}, c.pace
		m.skew = time.Duration(d.skew[n]) * time.Second
		var answers []func(string, time.Time) probes.Result
		for i, f := range d.faults {
			if d.of[i]>>n&1 == 1 {
				answers = append(answers, f.answer())
			}
		}
		faulty := overlay(answers...)
		m.answer = func(id string, at time.Time) probes.Result {
			r := faulty(id, at)
			if r.Numbers == nil {
				r.Numbers = used(20).Numbers
			}
			return r
		}
	}
	c.run(2 * time.Second)
	for n, turn := range d.turns {
		c.run(c.now + turn.at)
		m := c.members[d.who[n]]
		switch turn.kind {
		case 0:
			if !m.alive {
				c.begin(m)
			}
			if !m.cut {
				c.lead(m.name)
			}
		case 1, 4:
			if m.alive {
				c.kill(m.name)
			} else {
				c.begin(m)
			}
		case 2:
			m.cut = !m.cut
			if m.cut && c.leader == m {
				m.take(m.engine.Follow(m.now))
				c.leader = nil
			}
		case 3:
			if c.leader != nil {
				c.lead(c.leader.name) // again
			}
		}
	}
	c.run(max(c.now, 45*minute))
	for _, m := range c.members {
		if m.cut = false; !m.alive {
			c.begin(m)
		}
		m.beat, m.interval = 20*time.Second, time.Minute
	}
	c.pace = 20 * time.Second
	for end := c.now + 7*time.Hour; c.now < end && (c.now-c.calm < 30*minute || len(c.leader.engine.s.Open) > 0); {
		c.run(c.now + 10*minute)
	}
	return c
}

// TestSeveralVantages states what holds whatever happens to several vantages; what holds at every instant is in council.take and
// world.check.
func TestSeveralVantages(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := playSeveral(drawSeveral(rt), rt)
		if open := c.leader.engine.s.Open; len(open) != 0 {
			rt.Fatalf("still open: %+v\n%s", open[0], c.dump())
		}
		priority := map[string]incident.Priority{}
		for _, e := range c.events {
			if _, twice := priority[e.Incident]; twice && e.Kind == incident.EventOpened {
				rt.Fatalf("%s opened twice", e.Incident)
			}
			before, known := priority[e.Incident]
			moves := e.Kind == incident.EventRaised || e.Kind == incident.EventLowered
			if known && !moves && before != e.Priority || moves && (e.Text == "" || e.Priority.Above(before) != (e.Kind == incident.EventRaised)) {
				rt.Fatalf("%s moved from %s to %s at %q: %s", e.Incident, before, e.Priority, e.Kind, e.Text)
			}
			priority[e.Incident] = e.Priority
		}
	})
}
