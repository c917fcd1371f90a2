package engine

import (
	"fmt"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
)

// speed returns how a component stands as to its latency. A finding that is quiet, held only because short slow stretches come
// again, keeps an incident open and opens none.
func (e *Engine) speed(c *component) condition {
	k := condition{c: c, Situation: policy.Situation{Component: c.Name, Instances: len(c.instances)}}
	m, r := c.memory, e.set.Readings
	var again, newest, fast time.Time // of active stretches: start of the oldest, newest slow run; end of the newest that is over
	slow := false
	w, several := inFull, e.several(c)
	if several {
		w, again, newest, fast = e.weighSpeed(&k)
		slow = w != nothing
	}
	for _, p := range c.deciding {
		if several {
			break
		}
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
	wasFull := !several || m.FullSlow
	m.FullSlow = several && slow && (m.FullSlow || w >= stays)
	if slow && m.SlowSince.IsZero() {
		m.SlowSince = again
	} else if !slow && !m.SlowSince.IsZero() {
		if fast.IsZero() || fast.Before(m.SlowSince) {
			fast = e.now
		}
		k.rectified = fast
		m.SlowSince = time.Time{}
		switch {
		case e.inMaintenance(c.Name):
		case wasFull:
			m.Slow = append(m.Slow, fast)
		default:
			m.AloneSlow = append(m.AloneSlow, fast)
		}
	}
	m.Slow = since(m.Slow, e.now.Add(-r.PeriodicWindow))
	m.AloneSlow = since(m.AloneSlow, e.now.Add(-r.PeriodicWindow))
	ends := merged(m.Slow, m.AloneSlow)
	k.Count = len(ends)
	full := len(m.Slow)
	if slow {
		k.Count++
		if w >= stays {
			full++
		}
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
		switch {
		case full >= r.PeriodicCount || full > 0 && e.holds(incident.Performance, c.Name) && !e.was(incident.P4, c.Name):
			k.Alone = policy.Alone{} // what a quorum saw is enough
		case !slow || w >= stays:
			k.Alone = policy.Alone{From: m.AloneFrom}
		}
		if !slow {
			k.fresh = true
			k.Since = ends[0]
			k.lines = append(k.lines, fmt.Sprintf("%d speed problems in the last %s, the newest ended %s", k.Count, r.PeriodicWindow, clock(ends[len(ends)-1])))
		}
	}
	return k
}

// weighSpeed gathers what several vantages say of a component's latency: how far it counts, and of the active stretches the start of
// the oldest, the newest slow run, and the end of the newest that is over.
func (e *Engine) weighSpeed(k *condition) (w weight, again, newest, fast time.Time) {
	open := e.member(incident.Performance, k.c.Name) != nil
	slow := func(v *voice) *incident.Finding {
		if f := v.finding(incident.Regression); f != nil && f.Quiet.IsZero() && v.finding(incident.Outage) == nil {
			return f
		}
		return nil
	}
	t, found, _ := count(k.c.deciding, open, incident.Regression, slow)
	for _, f := range found {
		if at := f.Again; again.IsZero() || at.Before(again) {
			again = at
		}
		if f.Slow.After(newest) {
			newest = f.Slow
		}
	}
	w, k.Alone = e.weigh(k.c, slowness, t, again.Add(e.set.Readings.Sustained), open)
	k.stays = w == stays
	k.seen = t.says
	if k.Alone.Is() {
		k.c.memory.AloneFrom = k.Alone.From
	}
	for _, p := range k.c.deciding {
		for i := range p.voices {
			if v := &p.voices[i]; v.Fast.After(fast) && (!v.held || open) {
				fast = v.Fast
			}
		}
		p.lasting(incident.Regression, open, func(v *voice, f *incident.Finding) {
			if v.finding(incident.Outage) == nil {
				k.hear(f, p, v)
			}
		})
	}
	return w, again, newest, fast
}

// sustainedHolds is for how many times policy.sustained a sustained speed problem stays one, in a pause, before it is periodic.
const sustainedHolds = 4

// was reports whether the open speed problem of a component has a priority.
func (e *Engine) was(p incident.Priority, component string) bool {
	l := e.member(incident.Performance, component)
	return l != nil && l.Priority == p
}
