package detect

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// Detector judges one probe. It is not safe for concurrent use.
type Detector struct {
	probe  string
	set    Settings
	limits []Limit
	s      State

	thresholds []Threshold // see Watch
}

// State is all that a Detector remembers; it survives restarts as JSON.
type State struct {
	Outage     Streak              `json:"outage,omitzero"`
	Threshold  Streak              `json:"threshold,omitzero"`
	Functional Streak              `json:"functional,omitzero"`
	Numbers    map[string]*Gauge   `json:"numbers,omitempty"` // by name
	Regression *incident.Finding   `json:"regression,omitempty"`
	Windows    map[string][]Sample `json:"windows,omitempty"` // by phase
	LastGood   time.Time           `json:"last_good,omitzero"`
	Answered   time.Time           `json:"answered,omitzero"` // start of the newest run that was answered
}

// Verdict is what one result changed.
type Verdict struct {
	Started []incident.Finding
	Ended   []incident.Finding
	Recheck int // quick re-probes wanted, spread over Settings.RecheckWithin
}

// Changed reports whether a finding started or ended.
func (v Verdict) Changed() bool { return len(v.Started)+len(v.Ended) > 0 }

// New returns a Detector for the probe with that id, going on from state. What state says of limits that are no longer
// configured is dropped.
func New(probe string, set Settings, limits []Limit, state State) *Detector {
	d := &Detector{probe: probe, set: set, limits: limits, s: state}
	maps.DeleteFunc(d.s.Windows, func(phase string, _ []Sample) bool {
		return !slices.ContainsFunc(limits, func(l Limit) bool { return l.Phase == phase })
	})
	if len(limits) == 0 {
		d.s.Regression = nil
	}
	return d
}

// State returns what the Detector remembers. The value shares memory with the Detector.
func (d *Detector) State() State { return d.s }

// Observe judges the next result of the probe.
//
// A result that the agent took while it was lagging is used only in the target's favour; an unknown one not at all. Neither is
// one of a long run that a run begun later has already contradicted.
func (d *Detector) Observe(r probes.Result) Verdict {
	var v Verdict
	if r.Lagging && r.Outcome == probes.Down && !r.Recheck {
		v.Recheck = 1
	}
	if r.Outcome == probes.Unknown || r.Lagging && r.Outcome != probes.Up {
		return v
	}
	down := r.Outcome == probes.Down
	if down && r.Start.Before(d.s.Answered) || !down && d.s.Outage.began(r.Start) {
		return v
	}
	d.advance(&d.s.Outage, incident.Outage, down, r, &v)
	if down {
		if len(v.Started) > 0 {
			d.s.Windows = nil // what was measured before the outage says nothing about the time after it
		}
		return v
	}
	d.s.LastGood, d.s.Answered = r.End(), r.Start
	if len(v.Ended) > 0 {
		d.s.Regression = nil // it answers again; how fast has yet to be seen
	}
	d.advance(&d.s.Functional, incident.Functional, r.Reason.IsFunctional(), r, &v)
	d.advance(&d.s.Threshold, incident.Threshold, r.Reason == probes.Capacity, r, &v)
	if !r.Lagging {
		d.numbers(&r, &v)
		d.latencies(r, &v)
	}
	return v
}

// advance feeds one machine with one result.
func (d *Detector) advance(s *Streak, kind incident.FindingKind, bad bool, r probes.Result, v *Verdict) {
	var rechecks int
	if bad {
		var confirms bool
		need := 1 + d.set.Rechecks
		if confirms, rechecks = s.bad(r, need); confirms {
			s.Finding = &incident.Finding{
				Probe: d.probe, Kind: kind, Reason: r.Reason, Since: s.FirstBad, At: r.End(),
				Explanation: d.explain(r, s.FirstBad, need),
			}
			v.Started = append(v.Started, *s.Finding)
		}
	} else {
		var ended *incident.Finding
		if ended, rechecks = s.good(r, max(1, d.set.Recover)); ended != nil {
			v.Ended = append(v.Ended, *ended)
		}
	}
	v.Recheck = max(v.Recheck, rechecks)
}

func (d *Detector) explain(r probes.Result, since time.Time, runs int) string {
	text := fmt.Sprintf("%s; %d of %d runs since %s", r.Detail, runs, runs, clock(since))
	if d.s.LastGood.IsZero() {
		return text + ", never good before"
	}
	return text + ", last good " + clock(d.s.LastGood)
}

// Findings returns those that last, in the order of their gravity.
func (d *Detector) Findings() []incident.Finding {
	var all []incident.Finding
	for _, kind := range []incident.FindingKind{incident.Outage, incident.Regression, incident.Threshold, incident.Functional} {
		for f := range d.Lasting(kind) {
			all = append(all, *f)
		}
	}
	return all
}

// Finding returns the one of that kind that lasts, the first of several (see Lasting), or nil.
func (d *Detector) Finding(kind incident.FindingKind) *incident.Finding {
	for f := range d.Lasting(kind) {
		return f
	}
	return nil
}

// Outage returns the outage that lasts, or nil.
func (d *Detector) Outage() *incident.Finding { return d.s.Outage.Finding }

// Suspect reports whether the newest result failed and is neither confirmed nor refuted yet.
func (d *Detector) Suspect() bool { return d.s.Outage.suspect() }

// Doubt returns the start of the first failing result while Suspect; otherwise zero.
func (d *Detector) Doubt() time.Time {
	if !d.Suspect() {
		return time.Time{}
	}
	return d.s.Outage.FirstBad
}

// Forget drops what is not confirmed: after a sleep of the agent, a jump of its clock, or blindness, it says nothing.
func (d *Detector) Forget() {
	for _, s := range d.streaks() {
		s.forget()
	}
	d.s.Windows = nil
}

// ForgetRegression drops a latency regression: nothing rests on it yet, and the results that showed it are too old to be used.
func (d *Detector) ForgetRegression() { d.s.Regression, d.s.Windows = nil, nil }

// Rewind makes the state fit a clock that was set back to now while the agent did not run: nothing lies in the future.
func (d *Detector) Rewind(now time.Time) {
	times := []*time.Time{&d.s.LastGood, &d.s.Answered}
	for _, s := range append(d.streaks(), &Streak{Finding: d.s.Regression}) {
		times = append(times, &s.FirstBad, &s.FirstGood)
		if s.Finding != nil {
			times = append(times, &s.Finding.Since)
		}
	}
	for _, t := range times {
		if t.After(now) {
			*t = now
		}
	}
	d.rewindNumbers(now)
	maps.DeleteFunc(d.s.Windows, func(_ string, window []Sample) bool { return window[len(window)-1].At.After(now) })
}

// Retract drops a confirmed outage: it turned out that the agent could not see.
func (d *Detector) Retract() { d.s.Outage = Streak{} }
