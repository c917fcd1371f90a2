package replay

import (
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	tickLeast = time.Minute // the engine is told the time no less often than this
	tickMost  = time.Second // and no more often
	// A record is interrupted where nothing comes for so long, and for so many times as long as usual: the agent, or what
	// recorded, did not run. An engine that was off drops what was not confirmed, and so it does here.
	interrupted, interruptedTimes = 10 * time.Minute, 10
)

// runner judges a record by one configuration.
type runner struct {
	report  *Report
	setup   engine.Setup
	engine  *engine.Engine
	series  string
	probes  map[string]*watched
	now     time.Time // of the engine
	wake    time.Time // when the engine wants a tick at the latest; zero: it does not
	usual   time.Duration
	byID    map[string]int // of report.Incidents
	ongoing map[string]*Span
}

// watched is a configured probe.
type watched struct {
	state string
	seen  bool
	needs bool // a witness is not judged
}

func newRunner(c *config.Config, o Options) *runner {
	r := &runner{
		report: &Report{File: c.File, Tenant: c.Tenant.ID, Zone: c.Tenant.Zone, Probe: o.Series, Incidents: []Incident{}}, series: o.Series,
		setup: engine.Setup{
			Solution: c.Solution(), Readings: c.Policy, Windows: c.Windows(), Level: c.Level(),
			Detection: c.Detection, Limits: c.Limits(), Zone: c.Tenant.Zone, Untimed: c.Untimed(),
		},
		probes: map[string]*watched{}, byID: map[string]int{}, ongoing: map[string]*Span{},
	}
	if o.Recorded != nil {
		s := &r.setup.Solution
		s.Witnesses = slices.DeleteFunc(s.Witnesses, func(id string) bool { return !o.Recorded(id) })
	}
	for _, component := range r.setup.Solution.Components {
		r.report.Components = append(r.report.Components, Component{Name: component.Name})
		for _, instance := range component.Instances {
			for _, p := range instance.Probes {
				r.probes[p.ID] = &watched{needs: p.Deciding}
			}
		}
	}
	for _, id := range r.setup.Solution.Witnesses {
		r.probes[id] = &watched{}
	}
	return r
}

// observe lets time pass up to the end of a result and judges it.
func (r *runner) observe(one probes.Result) error {
	p := r.probes[one.Probe]
	if p == nil {
		r.report.Foreign++
		return nil
	}
	p.seen = true
	end := one.End()
	if r.engine == nil {
		if err := r.begin(one.Start); err != nil {
			return err
		}
	}
	r.passTime(end)
	r.report.Results++
	if one.Recheck {
		r.report.Rechecks++
	}
	r.report.End = end
	r.follow(r.engine.Observe(one))
	r.read(one.Probe, p)
	return nil
}

func (r *runner) begin(at time.Time) error {
	e, step, err := engine.New(r.setup, nil, nil, at)
	if err != nil {
		return fmt.Errorf("%s: the judgement cannot begin: %w", r.report.File, err)
	}
	r.engine, r.now, r.report.Start = e, at, at
	r.follow(step)
	return nil
}

// passTime ticks as an agent would, but where the record is interrupted.
func (r *runner) passTime(to time.Time) {
	gap := to.Sub(r.now)
	if gap <= 0 {
		return
	}
	if r.usual > 0 && gap > max(interrupted, interruptedTimes*r.usual) {
		r.report.Gaps = append(r.report.Gaps, Span{From: r.now, To: to})
		r.tick(r.now.Add(max(r.usual, tickLeast))) // what was about to be decided still was
		left := to.Sub(r.now)
		r.now, r.wake = to, time.Time{}
		r.follow(r.engine.Forget(to, "the record was interrupted", left))
		r.look()
		return
	}
	if r.usual == 0 {
		r.usual = gap
	}
	r.usual += (gap - r.usual) / 16
	r.tick(to)
	r.now = to
}

// tick lets the engine act on the time up to an instant.
func (r *runner) tick(to time.Time) {
	for {
		next := r.now.Add(tickLeast)
		if !r.wake.IsZero() && r.wake.Before(next) {
			next = r.wake
			if soonest := r.now.Add(tickMost); next.Before(soonest) {
				next = soonest
			}
		}
		if !next.Before(to) {
			return
		}
		r.now, r.wake = next, time.Time{}
		step := r.engine.Tick(next)
		r.follow(step)
		if step.Changed() {
			r.look()
		}
	}
}

// follow keeps what follows from an input.
func (r *runner) follow(s engine.Step) {
	if !s.Wake.IsZero() && (r.wake.IsZero() || s.Wake.Before(r.wake)) {
		r.wake = s.Wake
	}
	for _, again := range s.Rechecks {
		r.report.Wanted += again.Count
	}
	for _, i := range s.Incidents {
		at, known := r.byID[i.ID]
		if !known {
			at = len(r.report.Incidents)
			r.byID[i.ID] = at
			r.report.Incidents = append(r.report.Incidents, Incident{Measured: i.Detail})
		}
		r.report.Incidents[at].Incident = i
	}
	for _, e := range s.Events {
		if at, known := r.byID[e.Incident]; known && told(e.Kind) {
			r.report.Incidents[at].Events = append(r.report.Incidents[at].Events, e)
		}
	}
}

// told reports whether an event is worth a line: what is measured now and then is not.
func told(kind incident.EventKind) bool {
	switch kind {
	case incident.EventRaised, incident.EventLowered, incident.EventJoined, incident.EventLeft, incident.EventAbsorbed, incident.EventResolved:
		return true
	default:
		return false
	}
}

// read keeps the reading of a probe, and looks at the components where it changed.
func (r *runner) read(id string, p *watched) {
	reading, ok := r.engine.Reading(id)
	if !ok {
		return
	}
	if n := len(r.report.Readings); id == r.series && (n == 0 || reading.At.After(r.report.Readings[n-1].At)) {
		r.report.Readings = append(r.report.Readings, reading)
	}
	if reading.State != p.state {
		p.state = reading.State
		r.look()
	}
}

// look keeps since when each component is degraded or down.
func (r *runner) look() {
	view := r.engine.View(r.now)
	for i := range r.report.Components {
		c := &r.report.Components[i]
		at := slices.IndexFunc(view.Components, func(v engine.ComponentView) bool { return v.Name == c.Name })
		if at < 0 {
			continue
		}
		v := view.Components[at]
		open := r.ongoing[c.Name]
		if open != nil && open.State == v.Outcome {
			continue
		}
		from := r.now
		if open != nil {
			open.To = r.now
			c.add(*open)
			delete(r.ongoing, c.Name)
		} else if !v.Since.IsZero() && v.Since.Before(from) && !v.Since.Before(c.last()) {
			from = v.Since
		}
		if v.Outcome == probes.Degraded || v.Outcome == probes.Down {
			r.ongoing[c.Name] = &Span{From: from, State: v.Outcome}
		}
	}
}

// finish completes the report.
func (r *runner) finish() *Report {
	if r.engine != nil {
		r.tick(r.report.End.Add(tickLeast)) // what was about to be decided still is
	}
	for i := range r.report.Components {
		c := &r.report.Components[i]
		if open := r.ongoing[c.Name]; open != nil {
			open.To = r.report.End
			c.add(*open)
		}
	}
	for id, p := range r.probes {
		if p.needs && !p.seen {
			r.report.Missing = append(r.report.Missing, id)
		}
	}
	slices.Sort(r.report.Missing)
	slices.SortStableFunc(r.report.Incidents, func(a, b Incident) int { return a.Opened.Compare(b.Opened) })
	return r.report
}
