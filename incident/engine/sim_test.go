package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/probes"
)

// t0 is a Monday.
var t0 = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// world is a simulated solution: scheduled runs, quick re-probes and ticks in virtual time, and what the store would hold.
type world struct {
	t         tester
	setup     Setup
	engine    *Engine
	now       time.Time
	interval  time.Duration
	every     map[string]time.Duration                    // of single probes, instead of interval
	beat      time.Duration                               // between two ticks
	answer    func(id string, at time.Time) probes.Result // Outcome, Reason, Detail, Duration; nil map: up
	queue     []run
	incidents map[string]incident.Incident
	events    []incident.Event
	saved     []byte
	offs      int
	words     map[string]word // what every probe says
	calm      time.Time       // since when nothing happened to the agent
	among     *council        // of a vantage among several; nil: it is alone
	hearing   bool            // it is told, again and again, that it has no peers
}

type run struct {
	at      time.Time
	id      string
	recheck bool
	tick    bool
	result  *probes.Result // a run that ended
}

func defaults() (detect.Settings, policy.Readings, sla.Level) {
	return detect.Settings{Rechecks: 3, RecheckWithin: 4 * time.Second, Recover: 3, LimitWindow: 5 * time.Minute, LimitPoints: 5},
		policy.Readings{
			Momentary: 5 * time.Minute, MomentaryCount: 3, MomentaryWindow: time.Hour, Sustained: 15 * time.Minute,
			PeriodicCount: 3, PeriodicWindow: 6 * time.Hour, RedundancyLost: incident.P3, Settle: 6 * time.Second,
		},
		sla.Level{Reaction: [5]time.Duration{0, 15 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour}}
}

// one returns a component with one instance and one deciding probe named after it.
func one(name string, dependsOn ...string) policy.Component {
	return policy.Component{Name: name, Essential: true, DependsOn: dependsOn, Instances: []policy.Instance{
		{Name: name, Probes: []policy.Probe{{ID: name + "/tcp", Deciding: true}}},
	}}
}

// two returns a redundant component.
func two(name string) policy.Component {
	return policy.Component{Name: name, Essential: true, Instances: []policy.Instance{
		{Name: "a", Probes: []policy.Probe{{ID: name + "/a/tcp", Deciding: true}}},
		{Name: "b", Probes: []policy.Probe{{ID: name + "/b/tcp", Deciding: true}}},
	}}
}

// tester is what a test of testing and of rapid have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newWorld(t tester, components ...policy.Component) *world {
	d, r, l := defaults()
	return &world{
		t: t, now: t0, interval: 10 * time.Second, beat: time.Second, incidents: map[string]incident.Incident{},
		setup: Setup{
			Solution:  policy.Solution{Tenant: "acme", Components: components, Witnesses: []string{"witness/w"}},
			Readings:  r,
			Level:     l,
			Detection: d,
		},
		answer: func(string, time.Time) probes.Result { return up() },
	}
}

func up() probes.Result { return probes.Result{Outcome: probes.Up, Duration: 5 * time.Millisecond} }

func refused() probes.Result {
	return probes.Result{Outcome: probes.Down, Reason: probes.Refused, Detail: "connection refused", Duration: time.Millisecond}
}

func hang() probes.Result {
	return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: "no answer within 5s", Duration: 5 * time.Second}
}

// during returns an answer that gives bad for the probes whose id has one of the prefixes, from..to after t0.
func during(from, to time.Duration, bad func() probes.Result, prefixes ...string) func(string, time.Time) probes.Result {
	return func(id string, at time.Time) probes.Result {
		for _, p := range prefixes {
			if len(id) >= len(p) && id[:len(p)] == p && !at.Before(t0.Add(from)) && at.Before(t0.Add(to)) {
				return bad()
			}
		}
		return up()
	}
}

// both overlays answers: the first that is not up counts.
func both(all ...func(string, time.Time) probes.Result) func(string, time.Time) probes.Result {
	return func(id string, at time.Time) probes.Result {
		for _, f := range all {
			if r := f(id, at); r.Outcome != probes.Up {
				return r
			}
		}
		return up()
	}
}

// start makes the engine from what was saved and from what the store has as open, and spreads the schedule.
func (w *world) start() *world {
	w.make(w.saved)
	w.queue = nil
	ids := w.ids()
	for n, id := range ids {
		w.push(run{at: w.now.Add(w.interval * time.Duration(n) / time.Duration(len(ids))), id: id})
	}
	w.push(run{at: w.now.Add(w.beat), tick: true})
	return w
}

func (w *world) make(state []byte) {
	var open []incident.Incident
	for _, i := range w.incidents {
		if i.Open() {
			open = append(open, i)
		}
	}
	slices.SortFunc(open, func(a, b incident.Incident) int { return cmp.Or(b.Opened.Compare(a.Opened), cmp.Compare(b.ID, a.ID)) })
	e, step, err := New(w.setup, state, open, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.engine, w.calm = e, w.now
	w.take(step)
	if w.among == nil {
		w.wellFormed()
	}
}

// ids returns every configured probe.
func (w *world) ids() (ids []string) {
	for _, c := range w.setup.Solution.Components {
		for _, i := range c.Instances {
			for _, p := range i.Probes {
				ids = append(ids, p.ID)
			}
		}
	}
	return append(ids, w.setup.Solution.Witnesses...)
}

// reload puts another configuration in force, as the agent does: probes keep their place in the schedule, new ones run at once.
func (w *world) reload(change func(*Setup)) *world {
	before := w.ids()
	w.setup.Baselines = w.engine.AllBaselines()
	change(&w.setup)
	state, err := w.engine.State()
	if err != nil {
		w.t.Fatal(err)
	}
	w.make(state)
	for _, id := range w.ids() {
		if !slices.Contains(before, id) {
			w.push(run{at: w.now, id: id})
		}
	}
	w.queue = slices.DeleteFunc(w.queue, func(r run) bool { return !r.tick && !slices.Contains(w.ids(), r.id) })
	return w
}

// off kills the agent and starts it again after d; by is how far its clock was set meanwhile.
func (w *world) off(d, by time.Duration) *world {
	w.offs++
	w.now = w.now.Add(d + by + 7*time.Millisecond<<w.offs) // a clock that is set back does not repeat itself to the millisecond
	if by < 0 {
		w.words = nil
	}
	return w.restart()
}

// forget lets the agent sleep for d: what is under way is lost.
func (w *world) forget(d time.Duration) *world {
	w.now = w.now.Add(d)
	w.queue = slices.DeleteFunc(w.queue, func(r run) bool { return r.recheck || r.result != nil })
	for i := range w.queue {
		w.queue[i].at = w.queue[i].at.Add(d)
	}
	w.calm = w.now
	w.take(w.engine.Forget(w.now, "slept", d))
	return w
}

func (w *world) push(r run) {
	at, _ := slices.BinarySearchFunc(w.queue, r, func(a, b run) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id), 1)
	})
	w.queue = slices.Insert(w.queue, at, r)
}

// run plays until that long after t0.
func (w *world) run(until time.Duration) *world {
	if w.engine == nil {
		w.start()
	}
	for len(w.queue) > 0 && w.queue[0].at.Before(t0.Add(until)) {
		r := w.queue[0]
		w.queue = w.queue[1:]
		w.now = r.at
		if r.tick {
			w.take(w.engine.Tick(r.at))
			if w.hearing {
				w.take(w.engine.Hear(r.at, nil))
			}
			w.followed()
			w.push(run{at: r.at.Add(w.beat), tick: true})
			continue
		}
		if r.result != nil {
			if p := w.engine.probes[r.id]; p != nil {
				w.heard(p.counted(*r.result))
			}
			w.take(w.engine.Observe(*r.result))
			continue
		}
		result := w.answer(r.id, r.at)
		result.Probe, result.Start, result.Recheck = r.id, r.at, r.recheck
		w.push(run{at: result.End(), id: r.id, result: &result})
		if !r.recheck {
			w.push(run{at: r.at.Add(cmp.Or(w.every[r.id], w.interval)), id: r.id})
		}
	}
	w.now = t0.Add(until)
	return w
}

// restart kills the engine: what was committed with the newest changed step is all that is left.
func (w *world) restart() *world { w.engine = nil; return w.start() }

func (w *world) take(s Step) {
	for _, r := range s.Rechecks {
		for n := range r.Count {
			w.push(run{at: w.now.Add(r.Within * time.Duration(n+1) / time.Duration(r.Count)).Add(time.Millisecond), id: r.Probe, recheck: true})
		}
	}
	if w.among != nil {
		w.among.take(w, s)
		return
	}
	if !s.Changed() {
		return
	}
	for _, i := range s.Incidents {
		w.check(i)
		w.incidents[i.ID] = i
	}
	w.events = append(w.events, s.Events...)
	w.sober(s)
	w.wellFormed()
	saved, err := w.engineState()
	if err != nil {
		w.t.Fatal(err)
	}
	w.saved = saved
	w.keep(w.engine)
}

// keep stores the baselines that changed, as they are with every state.
func (w *world) keep(e *Engine) {
	if e == nil {
		return
	}
	changed := e.Baselines()
	if w.setup.Baselines == nil {
		w.setup.Baselines = map[string][]byte{}
	}
	maps.Copy(w.setup.Baselines, changed)
}

func (w *world) engineState() ([]byte, error) {
	if w.engine == nil {
		return w.saved, nil
	}
	return w.engine.State()
}

// check holds what must be true of every change.
func (w *world) check(i incident.Incident) {
	w.t.Helper()
	before, known := w.incidents[i.ID]
	switch {
	case i.ID == "" || len(i.ID) > incident.MaxKey:
		w.t.Fatalf("bad key %q", i.ID)
	case known && !before.Open():
		w.t.Fatalf("%s changed after it was closed", i.ID)
	case i.Class.OpensCase() && (i.Priority == incident.NoPriority || i.Why == "" || i.Title == ""):
		w.t.Fatalf("%s has no priority, title or reason: %+v", i.ID, i)
	case !i.Open() && (i.Ended.Before(i.Started) || i.Closed.Before(i.Ended) || i.Closed.Before(i.Opened) || i.Resolution == ""):
		w.t.Fatalf("%s is closed badly: %+v", i.ID, i)
	case i.Started.After(i.Opened), !i.Open() && !i.Opened.After(w.now) && i.Closed.After(w.now):
		w.t.Fatalf("%s is dated in the future: %+v", i.ID, i)
	case known && i.ReactionDue.After(before.ReactionDue):
		w.t.Fatalf("%s got more time for a reaction: %s, then %s", i.ID, before.ReactionDue, i.ReactionDue)
	case known && (i.Opened != before.Opened || i.Class != before.Class || i.Highest.Above(i.Priority) != (i.Highest != i.Priority)):
		w.t.Fatalf("%s was %+v, is %+v", i.ID, before, i)
	}
	ends := map[string]time.Time{}
	for _, o := range i.Outages {
		end, earlier := ends[o.Component]
		if earlier && (end.IsZero() || o.From.Before(end)) || !o.To.IsZero() && o.To.Before(o.From) || o.To.IsZero() && !i.Open() || !slices.Contains(i.Components, o.Component) {
			w.t.Fatalf("%s has bad outages: %+v", i.ID, i)
		}
		ends[o.Component] = o.To
	}
}

// wellFormed holds what must be true of the engine itself: no two open incidents have one name or speak of one component, and the
// store has the same ones as open.
func (w *world) wellFormed() {
	w.t.Helper()
	if w.engine == nil {
		return
	}
	ids, held := map[string]bool{}, map[string]string{}
	for _, l := range w.engine.s.Open {
		if ids[l.ID] || !w.incidents[l.ID].Open() || w.incidents[l.ID].ID == "" {
			w.t.Fatalf("%s is open twice, or not open in the store", l.ID)
		}
		ids[l.ID] = true
		for _, c := range l.Components {
			key := string(l.Class) + " " + c
			if held[key] != "" {
				w.t.Fatalf("%s of %s is in %s and in %s", l.Class, c, held[key], l.ID)
			}
			held[key] = l.ID
		}
	}
	for _, i := range w.incidents {
		if i.Open() && !ids[i.ID] {
			w.t.Fatalf("%s is open in the store and unknown to the engine", i.ID)
		}
	}
}

// open returns the open incidents of the SOC's classes.
func (w *world) open() []incident.Incident {
	var list []incident.Incident
	for _, i := range w.incidents {
		if i.Open() && i.Class.OpensCase() {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b incident.Incident) int { return a.Opened.Compare(b.Opened) })
	return list
}

// story prints the timeline in short: "+12s opened P2 web".
func (w *world) story() []string {
	var list []string
	for _, e := range w.events {
		i := w.incidents[e.Incident]
		list = append(list, fmt.Sprintf("%s %s %s %s", e.At.Sub(t0).Round(time.Second), e.Kind, e.Priority, i.ID[len("fc-acme-"):len(i.ID)-len("-20261123T100000.000Z")]))
	}
	return list
}
