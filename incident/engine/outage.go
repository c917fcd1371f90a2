package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// availability returns how a component stands as to its instances. It notes the outages that ended, so it is called once a
// step for every component.
func (e *Engine) availability(c *component) condition {
	k := condition{c: c, Situation: policy.Situation{Component: c.Name, Instances: len(c.instances)}}
	var last time.Time // start of the newest instance's outage
	if e.several(c) {
		e.judgeInstances(c)
	}
	for n := range c.instances {
		found, at, seen := e.downAt(c, n)
		if len(found) == 0 {
			continue
		}
		k.Down++
		k.Alone = together(k.Alone, seen)
		k.stays = k.stays || e.several(c) && c.judged[n].weight == stays
		k.seen = append(k.seen, e.seenBy(c, n)...)
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

// downAt returns the outages of an instance that count, the start of the newest run that shows them, and who sees them where no quorum
// does. Of a component of which several vantages speak it is what availability found last.
func (e *Engine) downAt(c *component, n int) (found []*incident.Finding, newest time.Time, seen policy.Alone) {
	if e.several(c) && len(c.judged) == len(c.instances) {
		j := &c.judged[n]
		return j.found, j.newest, j.alone
	}
	found = e.down(c.instances[n])
	return found, e.newest(found), policy.Alone{}
}

// down returns the outage findings of an instance's deciding probes that rest on proven sight.
func (e *Engine) down(instance []*probe) []*incident.Finding {
	var all []*incident.Finding
	for _, p := range instance {
		f := p.detector.Outage()
		if !p.deciding || f == nil {
			continue
		}
		if e.proven(f) {
			all = append(all, f)
		}
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

// noteOutage keeps the memory of momentary outages and turns a component that is fine now, but was not repeatedly, into one
// that flaps.
func (e *Engine) noteOutage(k *condition) {
	m, r := k.c.memory, e.set.Readings
	if k.Down > 0 && !k.narrow() {
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
	e.noteAloneOutage(k)
	m.Short = since(m.Short, e.now.Add(-r.MomentaryWindow))
	m.AloneShort = since(m.AloneShort, e.now.Add(-r.MomentaryWindow))
	short := merged(m.Short, m.AloneShort)
	// Once a problem, they stay one until a whole window is quiet, so that its case does not come and go.
	flapped := m.Flaps && !m.AloneFlaps
	m.Flaps = len(short) > 0 && (len(short) >= r.MomentaryCount || m.Flaps && e.member(incident.Availability, k.c.Name) != nil)
	m.AloneFlaps = m.Flaps && len(m.AloneShort) > 0 && len(m.Short) < r.MomentaryCount && (!flapped || len(m.Short) == 0)
	e.noteLosses(k)
	if k.Down == 0 && m.Flaps {
		k.Status, k.Count, k.Since, k.reason = policy.Flapping, len(short), short[0], probes.None
		k.judged = incident.Judgement{}
		k.confirmed = short[len(short)-1]
		full := k.Losses && !k.narrow()
		k.Losses, k.Alone = false, policy.Alone{}
		if m.AloneFlaps && !full {
			k.Alone.From = m.AloneFrom
		}
		k.lines = append(k.lines, fmt.Sprintf("%d momentary outages in the last %s, the newest ended %s", len(short), r.MomentaryWindow, clock(short[len(short)-1])))
		e.step.wake(short[0].Add(r.MomentaryWindow))
	}
}

// narrow reports whether a problem is seen by no quorum of the vantages, and does not count in full.
func (k *condition) narrow() bool { return k.Alone.Is() && k.Alone.Lasted == 0 }

// noteAloneOutage keeps the memory of momentary outages that no quorum saw.
func (e *Engine) noteAloneOutage(k *condition) {
	m := k.c.memory
	switch {
	case k.Down > 0 && k.narrow():
		m.AloneFrom = k.Alone.From
		if m.AloneSince.IsZero() {
			m.AloneSince = k.Since
		}
	case m.AloneSince.IsZero():
	case k.Down > 0: // it is one of the whole world by now
		m.AloneSince = time.Time{}
	default:
		at := e.firstGood(k.c)
		if k.rectified.IsZero() || at.After(k.rectified) {
			k.rectified = at
		}
		if at.Sub(m.AloneSince) < e.set.Readings.Momentary && !e.inMaintenance(k.c.Name) {
			m.AloneShort = append(m.AloneShort, at)
		}
		m.AloneSince = time.Time{}
	}
}

// firstGood returns the start of the first good result after the newest outage of a component: the latest among its probes.
func (e *Engine) firstGood(c *component) time.Time {
	var at time.Time
	for _, p := range c.deciding {
		if p.ended.After(at) {
			at = p.ended
		}
		for i := range p.voices {
			if v := &p.voices[i]; len(e.peers) > 0 && !v.held && v.Ended.After(at) {
				at = v.Ended
			}
		}
	}
	if at.IsZero() || len(e.peers) > 0 && at.Before(c.memory.DownSince) {
		return e.now
	}
	return at
}

// noteLosses makes a component that answers, but of which a probe fails again and again, one that flaps.
func (e *Engine) noteLosses(k *condition) {
	if k.Down > 0 {
		return
	}
	if e.several(k.c) {
		e.weighLosses(k)
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

// weighLosses does the same where several vantages speak of it.
func (e *Engine) weighLosses(k *condition) {
	open := e.member(incident.Availability, k.c.Name) != nil
	t, found, begun := count(k.c.deciding, open, incident.MomentaryOutages, func(v *voice) *incident.Finding {
		if v.Outcome == probes.Unknown {
			return nil
		}
		return v.finding(incident.MomentaryOutages)
	})
	w, seen := e.weigh(k.c, losses, t, begun, open)
	if w == nothing {
		return
	}
	k.stays = w == stays
	for _, f := range found {
		if k.Status != policy.Flapping || f.Since.Before(k.Since) {
			e.blame(k, f)
		}
		k.Status, k.Losses, k.Alone = policy.Flapping, true, seen
		k.confirmed = f.At
	}
	for _, p := range k.c.deciding {
		p.lasting(incident.MomentaryOutages, open, func(v *voice, f *incident.Finding) { k.lines = append(k.lines, v.vantage+": "+line(*f)) })
	}
}
