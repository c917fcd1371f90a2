package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// condition is how one component stands now, in one class.
type condition struct {
	c *component
	policy.Situation
	confirmed time.Time // of availability: when the newest finding was confirmed
	reason    probes.Reason
	judged    incident.Judgement // whose matter that is; zero where no single result stands for it
	lines     []string           // what is measured, a line a finding; of outages see Engine.lines
	rectified time.Time          // start of the first good result after the problem that ended just now
	fresh     bool               // of speed, thresholds and functional failures: shown by a run since the engine began

	// Of the newest runs that show every single instance down: the earliest and the latest; zero: there is none.
	oldest, newest time.Time
}

func (k condition) problem() bool { return k.Status != policy.Fine }

// down returns the outage findings of an instance's deciding probes that rest on proven sight.
func (e *Engine) down(instance []*probe) []*incident.Finding {
	var all []*incident.Finding
	for _, p := range instance {
		f := p.detector.Outage()
		if !p.deciding || f == nil {
			continue
		}
		if !e.proven(f) {
			e.unproven = true
			continue
		}
		all = append(all, f)
	}
	return all
}

// proven reports whether the agent saw something else answer since the outage began. What was proven once stays so.
func (e *Engine) proven(f *incident.Finding) bool {
	if e.s.Seen[f.Probe].Equal(f.Since) {
		return true
	}
	if !e.sees(f.Since) {
		return false
	}
	e.s.Seen[f.Probe] = f.Since
	return true
}

func earliest(found []*incident.Finding) *incident.Finding {
	return slices.MinFunc(found, func(a, b *incident.Finding) int { return a.Since.Compare(b.Since) })
}

// availability returns how a component stands as to its instances. It notes the outages that ended, so it is called once a
// step for every component.
func (e *Engine) availability(c *component) condition {
	k := condition{c: c, Situation: policy.Situation{Component: c.Name, Instances: len(c.instances)}}
	var last time.Time // start of the newest instance's outage
	for _, instance := range c.instances {
		found := e.down(instance)
		if len(found) == 0 {
			continue
		}
		k.Down++
		at := e.newest(found)
		if k.Down == 1 || at.Before(k.oldest) {
			k.oldest = at
		}
		if at.After(k.newest) {
			k.newest = at
		}
		first := earliest(found)
		if k.Since.IsZero() || first.Since.Before(k.Since) {
			e.blame(&k, first)
		}
		if first.Since.After(last) {
			last = first.Since
		}
		for _, f := range found {
			if f.At.After(k.confirmed) {
				k.confirmed = f.At
			}
		}
	}
	switch {
	case k.Down > 0 && k.Down == k.Instances:
		k.Status, k.Since = policy.Inaccessible, last
	case k.Down > 0:
		k.Status = policy.RedundancyLost
	}
	e.noteOutage(&k)
	return k
}

// lines says what is measured of the conditions. It is not kept in them: nobody asks while an outage goes on.
func (e *Engine) lines(all ...condition) []string {
	var list []string
	for _, k := range all {
		list = append(list, k.lines...)
		if k.Status != policy.Inaccessible && k.Status != policy.RedundancyLost && k.Status != policy.Flapping {
			continue
		}
		for _, instance := range k.c.instances {
			for _, f := range e.down(instance) {
				list = append(list, line(*f))
			}
		}
		list = append(list, e.evidence(k.c)...)
	}
	return list
}

// noteOutage keeps the memory of momentary outages and turns a component that is fine now, but was not repeatedly, into one
// that flaps.
func (e *Engine) noteOutage(k *condition) {
	m, r := k.c.memory, e.set.Readings
	if k.Down > 0 {
		if m.DownSince.IsZero() {
			m.DownSince = k.Since
		}
	} else if !m.DownSince.IsZero() {
		k.rectified = e.firstGood(k.c)
		if k.rectified.Sub(m.DownSince) < r.Momentary && !e.inMaintenance(k.c.Name) {
			m.Short = append(m.Short, k.rectified)
		}
		m.DownSince = time.Time{}
	}
	m.Short = since(m.Short, e.now.Add(-r.MomentaryWindow))
	// Once a problem, they stay one until a whole window is quiet, so that its case does not come and go.
	m.Flaps = len(m.Short) > 0 && (len(m.Short) >= r.MomentaryCount || m.Flaps && e.member(incident.Availability, k.c.Name) != nil)
	e.noteLosses(k)
	if k.Down == 0 && m.Flaps {
		k.Status, k.Count, k.Since, k.reason = policy.Flapping, len(m.Short), m.Short[0], probes.None
		k.judged = incident.Judgement{}
		k.confirmed = m.Short[len(m.Short)-1]
		k.Losses = false
		k.lines = append(k.lines, fmt.Sprintf("%d momentary outages in the last %s, the newest ended %s", len(m.Short), r.MomentaryWindow, clock(m.Short[len(m.Short)-1])))
		e.step.wake(m.Short[0].Add(r.MomentaryWindow))
	}
}

// noteLosses makes a component that answers, but of which a probe fails again and again, one that flaps.
func (e *Engine) noteLosses(k *condition) {
	if k.Down > 0 {
		return
	}
	for _, p := range k.c.deciding {
		f := p.detector.Finding(incident.MomentaryOutages)
		if f == nil || p.fresh == probes.Unknown {
			continue
		}
		if k.Status != policy.Flapping || f.Since.Before(k.Since) {
			e.blame(k, f)
		}
		k.Status, k.Losses = policy.Flapping, true
		k.confirmed = f.At
		k.lines = append(k.lines, line(*f))
	}
}

// follow notes when the probe's newest outage and its newest slow stretch ended.
func (p *probe) follow(v *detect.Verdict) {
	for _, f := range v.Ended {
		switch f.Kind {
		case incident.Outage:
			p.ended = f.Ended
		case incident.Regression:
			p.fast = f.Ended
		default:
		}
	}
	if f := p.detector.Finding(incident.Regression); f != nil && !f.Quiet.IsZero() {
		p.fast = f.Quiet
	}
}

// sustainedHolds is for how many times policy.sustained a sustained speed problem stays one, in a pause, before it is periodic.
const sustainedHolds = 4

// was reports whether the open speed problem of a component has a priority.
func (e *Engine) was(p incident.Priority, component string) bool {
	l := e.member(incident.Performance, component)
	return l != nil && l.Priority == p
}

// speed returns how a component stands as to its latency. A finding that is quiet, held only because short slow stretches come
// again, keeps an incident open and opens none.
func (e *Engine) speed(c *component) condition {
	k := condition{c: c, Situation: policy.Situation{Component: c.Name, Instances: len(c.instances)}}
	m, r := c.memory, e.set.Readings
	var again, newest, fast time.Time // of active stretches: start of the oldest, newest slow run; end of the newest that is over
	slow := false
	for _, p := range c.deciding {
		if p.fast.After(fast) {
			fast = p.fast
		}
		f := p.detector.Finding(incident.Regression)
		if f == nil || p.detector.Outage() != nil {
			continue
		}
		k.add(f, p)
		if f.Quiet.IsZero() {
			slow = true
			if at := f.Again; again.IsZero() || at.Before(again) {
				again = at
			}
			if f.Slow.After(newest) {
				newest = f.Slow
			}
		}
	}
	if slow && m.SlowSince.IsZero() {
		m.SlowSince = again
	} else if !slow && !m.SlowSince.IsZero() {
		if fast.IsZero() || fast.Before(m.SlowSince) {
			fast = e.now
		}
		k.rectified = fast
		m.SlowSince = time.Time{}
		if !e.inMaintenance(c.Name) {
			m.Slow = append(m.Slow, fast)
		}
	}
	m.Slow = since(m.Slow, e.now.Add(-r.PeriodicWindow))
	k.Count = len(m.Slow)
	if slow {
		k.Count++
	}
	periodic := k.Count >= r.PeriodicCount || k.Count > 0 && e.holds(incident.Performance, c.Name)
	switch {
	case slow && newest.Sub(again) >= r.Sustained:
		k.Status, k.Since = policy.SlowSustained, again
	case periodic && !slow && e.was(incident.P2, c.Name) && e.now.Sub(fast) < sustainedHolds*r.Sustained:
		// It may come again: a case that falls in every pause and rises at every stretch wakes people for nothing.
		if k.Since.IsZero() {
			k.Since = fast
		}
	case periodic:
		k.Status = policy.SlowPeriodic
		if !slow {
			k.fresh = true
			k.Since = m.Slow[0]
			k.lines = append(k.lines, fmt.Sprintf("%d speed problems in the last %s, the newest ended %s", k.Count, r.PeriodicWindow, clock(m.Slow[len(m.Slow)-1])))
		}
	}
	return k
}

// others returns how a component stands as to thresholds or functional failures.
func (e *Engine) others(c *component, kind incident.FindingKind) condition {
	k := condition{c: c, Situation: policy.Situation{Component: c.Name, Instances: len(c.instances)}}
	for _, instance := range c.instances {
		for _, p := range instance {
			for f := range p.detector.Lasting(kind) {
				if f.Reason == probes.Auth && e.member(incident.Account, p.id) != nil {
					continue // its owners know
				}
				k.Status = policy.LimitPassed
				k.add(f, p)
			}
		}
	}
	return k
}

// add takes in a finding that is no outage.
func (k *condition) add(f *incident.Finding, p *probe) {
	k.fresh = k.fresh || p.fresh == probes.Degraded ||
		p.fresh == probes.Up && (f.Kind == incident.Regression || f.Kind == incident.Threshold && p.detector.Beyond())
	if k.Since.IsZero() || f.Since.Before(k.Since) {
		k.Since, k.reason, k.judged = f.Since, f.Reason, p.judgedFinding(f)
	}
	k.lines = append(k.lines, line(*f))
}

// holds reports whether an open incident of the class has the component as an active problem and ends only when it has been
// quiet for a whole window.
func (e *Engine) holds(class incident.Class, component string) bool {
	l := e.member(class, component)
	return l != nil && l.Quiet
}

// firstGood returns the start of the first good result after the newest outage of a component: the latest among its probes.
func (e *Engine) firstGood(c *component) time.Time {
	var at time.Time
	for _, p := range c.deciding {
		if p.ended.After(at) {
			at = p.ended
		}
	}
	if at.IsZero() {
		return e.now
	}
	return at
}

// evidence says what the probes of a component that do not fail measured last: it tells the reader where to look.
func (e *Engine) evidence(c *component) []string {
	var lines []string
	for _, instance := range c.instances {
		for _, p := range instance {
			switch {
			case p.last == nil || p.deciding && p.detector.Outage() != nil:
			case p.last.Outcome == probes.Up:
				lines = append(lines, fmt.Sprintf("%s: still answers, in %s", p.id, p.last.Duration.Round(100*time.Microsecond)))
			case p.last.Detail != "":
				lines = append(lines, fmt.Sprintf("%s: %s (%s)", p.id, p.last.Detail, p.last.Outcome))
			}
		}
	}
	return lines
}

// inMaintenance returns whether a window or an ordered span that covers the component is open.
func (e *Engine) inMaintenance(component string) bool {
	name, _ := e.window(component)
	return name != ""
}

// window returns the name of the maintenance that covers the component now, and when it ends; "" while there is none. Where several
// do, it is the one that ends last.
func (e *Engine) window(component string) (name string, until time.Time) {
	later := func(what string, end time.Time) {
		if end.After(until) {
			name, until = what, end
		}
	}
	for _, w := range e.set.Windows {
		if w.Covers(component) {
			if _, end, open := w.Active(e.now, e.set.Zone); open {
				later(w.Name, end)
			}
		}
	}
	for _, s := range e.set.Spans {
		if s.Covers(component) && s.Active(e.now) {
			later(s.Name, s.To)
		}
	}
	if name != "" {
		e.step.wake(until)
	}
	return name, until
}

func line(f incident.Finding) string { return f.Probe + ": " + f.Explanation }

func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// since drops the instants before from.
func since(all []time.Time, from time.Time) []time.Time {
	return slices.DeleteFunc(all, func(t time.Time) bool { return t.Before(from) })
}
