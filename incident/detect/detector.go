package detect

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// Detector judges one probe. It is not safe for concurrent use.
type Detector struct {
	probe    string
	set      Settings
	limits   []Limit
	numbered []Threshold
	unlearnt bool
	applied  func(probes.Reason) bool
	s        State
	latency  latency
	reading  Reading
	said     time.Time // when the regression's numbers were put into words last
}

// State is all that a Detector remembers but its baseline; it survives restarts as JSON.
type State struct {
	Outage     Streak              `json:"outage,omitzero"`
	Threshold  Streak              `json:"threshold,omitzero"`
	Functional Streak              `json:"functional,omitzero"`
	Numbers    map[string]*Gauge   `json:"numbers,omitempty"` // by name
	Loss       Loss                `json:"loss,omitzero"`
	Momentary  *incident.Finding   `json:"momentary,omitempty"`
	Regression *incident.Finding   `json:"regression,omitempty"`
	Limited    bool                `json:"limited,omitempty"`    // an absolute limit holds Regression
	Unmeasured int                 `json:"unmeasured,omitempty"` // good runs in a row without any phase that has one
	Windows    map[string][]Sample `json:"windows,omitempty"`    // of the absolute limits, by phase
	Latency    []byte              `json:"latency,omitempty"`    // what is measured against the baseline; see Detector.AppendLatency
	LastGood   time.Time           `json:"last_good,omitzero"`   // end of the newest run that was answered
	Answered   time.Time           `json:"answered,omitzero"`    // and its start
}

// Verdict is what one result changed.
type Verdict struct {
	Started []incident.Finding
	Ended   []incident.Finding
	Moved   bool // a finding that lasts went quiet, or rose again
	Recheck int  // quick re-probes wanted, spread over Settings.RecheckWithin
}

// Changed reports whether a finding started, ended or moved.
func (v Verdict) Changed() bool { return len(v.Started)+len(v.Ended) > 0 || v.Moved }

// Reading is how the newest latency of a probe stands against what is normal for its hour.
type Reading struct {
	At       time.Time
	Value    time.Duration // of the phase that is judged; 0: the run failed, or was not judged
	Expected time.Duration // what is normal at that time; 0: too little is learnt to say
	Limit    time.Duration // that the middle window's median must pass to be slow; 0: none
	Change   time.Time     // where the level changed, when the newest result told it; zero: it did not
	State    string        // StateOK, StateDegraded or StateDown
}

// The states of a Reading.
const (
	StateOK       = "ok"
	StateDegraded = "degraded"
	StateDown     = "down"
)

// Setup is what a Detector is made of.
type Setup struct {
	Probe    string // its id
	Settings Settings
	Limits   []Limit
	Numbers  []Threshold // of what the probe measures of resources
	Calendar Calendar
	Baseline []byte // as Detector.Baseline returned it; nil: nothing is learnt
	Unlearnt bool   // no baseline is kept: of a witness, which is asked and not judged

	// Functional reports whether a degraded result with that reason is the application's matter; nil: none is.
	Functional func(probes.Reason) bool
	State      State
}

// New returns a Detector that goes on from a state and a baseline. What the state says of limits that are no longer configured is
// dropped, as is a baseline that cannot be read: it is learnt anew.
func New(o Setup) *Detector {
	d := &Detector{probe: o.Probe, set: o.Settings, limits: o.Limits, unlearnt: o.Unlearnt, applied: o.Functional, s: o.State}
	d.latency.calendar, d.latency.slowRatio, d.latency.slowBy = o.Calendar, o.Settings.SlowRatio, o.Settings.SlowBy
	d.dropLimits()
	d.watch(o.Numbers)
	d.latency.restore(o.Baseline, o.State.Latency)
	d.s.Latency = nil
	switch f := d.s.Regression; {
	case f == nil:
		d.latency.alarm = alarm{}
	case !d.latency.alarm.on && len(o.Limits) == 0:
		d.s.Regression = nil
	case f.Latency == nil:
		d.s.Limited = true
	}
	d.s.Limited = d.s.Limited && d.s.Regression != nil && len(o.Limits) > 0
	d.reading.State = d.state()
	return d
}

// State returns what the Detector remembers, but for State.Latency. The value shares memory with the Detector.
func (d *Detector) State() State { return d.s }

// AppendLatency appends to b what belongs into State.Latency.
func (d *Detector) AppendLatency(b []byte) []byte { return d.latency.appendState(b) }

// Baseline returns what is learnt, where that has changed since the last call; nil: it has not.
func (d *Detector) Baseline() []byte {
	if !d.latency.base.changed {
		return nil
	}
	d.latency.base.changed = false
	return d.latency.base.encode(nil)
}

// AllBaseline returns what is learnt, changed or not; nil: nothing.
func (d *Detector) AllBaseline() []byte {
	if len(d.latency.base.days) == 0 && len(d.latency.base.phases) == 0 {
		return nil
	}
	return d.latency.base.encode(nil)
}

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
	d.reading = Reading{At: r.Start}
	d.availability(down, r, &v)
	if !down {
		d.s.LastGood, d.s.Answered = r.End(), r.Start
		d.advance(&d.s.Functional, incident.Functional, d.functional(&r), r, &v)
		d.advance(&d.s.Threshold, incident.Threshold, r.Reason == probes.Capacity, r, &v)
		if !r.Lagging {
			d.numbers(&r, &v)
		}
		if !r.Lagging && !d.s.Outage.confirmed() {
			d.latencies(r, &v)
		}
	}
	d.reading.State = d.state()
	return v
}

// functional reports whether a result is a functional failure.
func (d *Detector) functional(r *probes.Result) bool {
	return r.Outcome == probes.Degraded && d.applied != nil && d.applied(r.Reason)
}

func (d *Detector) state() string {
	switch {
	case d.s.Outage.confirmed():
		return StateDown
	case d.s.Regression != nil || d.s.Momentary != nil:
		return StateDegraded
	}
	return StateOK
}

// availability feeds the outage machine. Latency never says that anything is down.
func (d *Detector) availability(down bool, r probes.Result, v *Verdict) {
	was := d.s.Outage.confirmed()
	if was {
		d.s.Loss.explained()
	}
	if !r.Recheck && !r.Lagging {
		d.s.Loss.scheduled(down, r.Start)
	}
	d.advance(&d.s.Outage, incident.Outage, down, r, v)
	if r.Recheck && !down {
		d.s.Loss.Refuted = r.Start
	}
	if of, flaky := d.s.Loss.flaky(d.Confirms(), r.Start); flaky && down && !d.s.Outage.confirmed() && d.set.Rechecks > 0 {
		d.confirmFlaky(of, r, v)
	}
	switch now := d.s.Outage.confirmed(); {
	case now && !was:
		d.s.Loss.explained()
		d.s.Windows = nil // what was measured before the outage says nothing about the time after it
		d.latency.forget()
		d.endMomentary(r, v)
	case was && !now:
		d.s.Loss.History = 0                                               // its failures are explained, and say nothing of momentary outages after it
		d.s.Regression, d.s.Limited, d.latency.alarm = nil, false, alarm{} // it answers again; how fast has yet to be seen
	case !now:
		d.momentary(r, v)
	}
}

// Confirms returns how many failures in a row confirm an outage: as many as are configured, or more on a path that loses runs of its
// own accord. Who wants no re-probes wants the first failure to be believed.
func (d *Detector) Confirms() int {
	if d.set.Rechecks == 0 {
		return 1
	}
	return max(1+d.set.Rechecks, d.s.Loss.inARow())
}

// confirmFlaky confirms an outage in which some runs are answered.
func (d *Detector) confirmFlaky(of int, r probes.Result, v *Verdict) {
	failed := d.s.Loss.failed(of)
	since := d.s.Loss.firstFailed(of, r.Start)
	if since.Before(d.s.Outage.FirstBad) || d.s.Outage.FirstBad.IsZero() {
		d.s.Outage.FirstBad = since
	}
	d.s.Outage.Bad = failed
	d.s.Outage.confirm(incident.Finding{
		Probe: d.probe, Kind: incident.Outage, Reason: r.Reason, Since: since, At: r.End(),
		Explanation: fmt.Sprintf("%s; %d of the last %d scheduled runs failed since about %s, others were answered", r.Detail, failed, of, clock(since)),
	})
	d.s.Outage.Goods = of - failed
	v.Started = append(v.Started, *d.s.Outage.Finding)
}

// momentary notes a target that fails now and then, without an outage: each failure is refuted by the next run.
func (d *Detector) momentary(r probes.Result, v *Verdict) {
	if r.Recheck || r.Lagging {
		return
	}
	failed := d.s.Loss.failed(longRuns)
	switch f := d.s.Momentary; {
	case f == nil && failed >= momentary && r.Outcome == probes.Down:
		since := d.s.Loss.firstFailed(longRuns, r.Start)
		d.s.Momentary = &incident.Finding{
			Probe: d.probe, Kind: incident.MomentaryOutages, Reason: r.Reason, Since: since, At: r.End(),
			Explanation: fmt.Sprintf("%s; %d of the last %d scheduled runs failed since about %s, each was answered when asked again", r.Detail, failed, d.s.Loss.Known, clock(since)),
		}
		v.Started = append(v.Started, *d.s.Momentary)
	case f != nil && failed <= clearedRuns:
		d.endMomentary(r, v)
	}
}

func (d *Detector) endMomentary(r probes.Result, v *Verdict) {
	if f := d.s.Momentary; f != nil {
		f.Ended = r.Start
		v.Ended = append(v.Ended, *f)
		d.s.Momentary = nil
	}
}

// advance feeds one machine with one result.
func (d *Detector) advance(s *Streak, kind incident.FindingKind, bad bool, r probes.Result, v *Verdict) {
	var rechecks int
	if bad {
		var confirms bool
		need := 1 + d.set.Rechecks
		if kind == incident.Outage {
			need = d.Confirms()
		}
		if confirms, rechecks = s.bad(r, need); confirms {
			s.confirm(incident.Finding{
				Probe: d.probe, Kind: kind, Reason: r.Reason, Since: s.FirstBad, At: r.End(),
				Explanation: d.explain(r, s.FirstBad, s.Bad),
			})
			v.Started = append(v.Started, *s.Finding)
		}
	} else {
		var ended *incident.Finding
		need := max(1, d.set.Recover)
		if kind == incident.Outage {
			need = s.goodNeeded(need)
		}
		if ended, rechecks = s.good(r, need); ended != nil {
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
	for _, kind := range []incident.FindingKind{incident.Outage, incident.MomentaryOutages, incident.Regression, incident.Threshold, incident.Functional} {
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

// Reading returns how the newest result stands against what is normal.
func (d *Detector) Reading() Reading { return d.reading }

// Normal returns the latency that is normal now, and the one that a lasting latency must pass to be slow; 0: too little is learnt to say.
func (d *Detector) Normal() (expected, limit time.Duration) {
	l := &d.latency
	if l.hour.start == 0 || l.n.warming {
		return 0, 0
	}
	x := l.expected(l.last)
	if math.IsNaN(x) {
		return 0, 0
	}
	return fromLog(x), fromLog(x + l.n.limits[midMedian])
}

// Learning returns how many whole days the baseline has learnt, of those with which it is whole.
func (d *Detector) Learning() (days, of int) { return d.latency.learning() }

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
	d.s.Loss.forget()
	d.latency.forget()
}

// ForgetRegression drops a latency regression: nothing rests on it yet, and the results that showed it are too old to be used.
func (d *Detector) ForgetRegression() {
	d.s.Regression, d.s.Limited, d.s.Windows, d.latency.alarm = nil, false, nil, alarm{}
	d.latency.forget()
}

// Accept takes the latency that is measured now as normal from now on, as an operator decides after a permanent change. It
// returns false where too little is measured to say what that is.
func (d *Detector) Accept() (Verdict, bool) {
	var v Verdict
	if !d.latency.acceptNow() {
		return v, false
	}
	if f := d.s.Regression; f != nil && !d.s.Limited {
		f.Ended, f.Accepted = time.Unix(d.latency.last, 0).UTC(), true
		v.Ended = append(v.Ended, *f)
		d.s.Regression = nil
	}
	return v, true
}

// Rewind makes the state fit a clock that was set back to now while the agent did not run: nothing lies in the future.
func (d *Detector) Rewind(now time.Time) {
	times := []*time.Time{&d.s.LastGood, &d.s.Answered, &d.said}
	for _, f := range []*incident.Finding{d.s.Regression, d.s.Momentary} {
		if f != nil {
			times = append(times, &f.Since, &f.Again, &f.Quiet)
		}
	}
	for _, s := range d.streaks() {
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
	for phase, window := range d.s.Windows {
		if window[len(window)-1].At.After(now) {
			delete(d.s.Windows, phase)
		}
	}
	d.s.Loss.rewind(now)
	d.latency.rewind(now)
	d.rewindNumbers(now)
}

// Retract drops a confirmed outage: it turned out that the agent could not see.
func (d *Detector) Retract() { d.s.Outage = Streak{} }

// Rejudge drops the findings of failures that keep no longer holds for such: the configuration judges them otherwise now.
func (d *Detector) Rejudge(keep func(*incident.Finding) bool) (dropped []incident.FindingKind) {
	if f := d.s.Outage.Finding; f != nil && !keep(f) {
		d.s.Outage = Streak{}
		d.s.Loss.forget()
		dropped = append(dropped, incident.Outage)
	}
	if f := d.s.Momentary; f != nil && !keep(f) {
		d.s.Momentary = nil
		d.s.Loss.forget()
		dropped = append(dropped, incident.MomentaryOutages)
	}
	if f := d.s.Functional.Finding; f != nil && !keep(f) {
		d.s.Functional = Streak{}
		dropped = append(dropped, incident.Functional)
	}
	d.reading.State = d.state()
	return dropped
}

// dropLimits forgets the windows of limits that are not configured any more.
func (d *Detector) dropLimits() {
	for phase := range d.s.Windows {
		if !slices.ContainsFunc(d.limits, func(l Limit) bool { return l.Phase == phase }) {
			delete(d.s.Windows, phase)
		}
	}
}
