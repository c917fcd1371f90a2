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
	seen      []string           // vantages that say so, where there are several; not in order, and more than once
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

// together returns who sees two things, where no quorum sees one of them.
func together(a, b policy.Alone) policy.Alone {
	if !a.Is() || !b.Is() {
		if b.Is() {
			return b
		}
		return a
	}
	a.From, a.Others = slices.Clone(a.From), slices.Clone(a.Others)
	for _, name := range b.From {
		a.From = addName(a.From, name)
	}
	for _, name := range b.Others {
		a.Others = addName(a.Others, name)
	}
	a.Others = slices.DeleteFunc(a.Others, func(name string) bool { return slices.Contains(a.From, name) })
	slices.Sort(a.From)
	slices.Sort(a.Others)
	return a
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

// lines says what is measured of the conditions. It is not kept in them: nobody asks while an outage goes on.
func (e *Engine) lines(all ...condition) []string {
	var list []string
	for _, k := range all {
		list = append(list, k.lines...)
		if k.Status != policy.Inaccessible && k.Status != policy.RedundancyLost && k.Status != policy.Flapping {
			continue
		}
		for n, instance := range k.c.instances {
			found, _, _ := e.downAt(k.c, n)
			if len(found) > 0 && e.several(k.c) {
				list = append(list, e.told(instance)...)
				continue
			}
			for _, f := range found {
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
		full := k.Losses && !k.Alone.Is()
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

// merged returns the instants of both, oldest first.
func merged(a, b []time.Time) []time.Time {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, time.Time.Compare)
	return all
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
	m.FullSlow = several && slow && (m.FullSlow || w == inFull)
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
		if w == inFull {
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
		case !slow || w == inFull:
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

// others returns how a component stands as to thresholds or functional failures.
func (e *Engine) others(c *component, kind incident.FindingKind) condition {
	k := condition{c: c, Situation: policy.Situation{Component: c.Name, Instances: len(c.instances)}}
	for _, instance := range c.instances {
		for _, p := range instance {
			if e.several(c) {
				e.weighOthers(&k, p, kind)
				continue
			}
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

// weighOthers takes in what several vantages say of a probe's thresholds or functional failures. One vantage's word is enough: no
// priority depends on how many say so. The condition says who does.
func (e *Engine) weighOthers(k *condition, p *probe, kind incident.FindingKind) {
	class := incident.Capacity
	if kind == incident.Functional {
		class = incident.Function
	}
	open := e.member(class, k.c.Name) != nil
	p.lasting(kind, open, func(v *voice, f *incident.Finding) {
		if f.Reason == probes.Auth && e.member(incident.Account, p.id) != nil {
			return // its owners know
		}
		k.Status = policy.LimitPassed
		k.hear(f, p, v)
	})
	t, _, _ := count([]*probe{p}, open, kind, func(v *voice) *incident.Finding { return v.finding(kind) })
	if says := len(t.says) + len(t.held); says > 0 && len(t.denies) > 0 {
		k.Alone = together(k.Alone, policy.Alone{From: slices.Sorted(slices.Values(slices.Concat(t.says, t.held))), Others: t.denies})
	}
}

// hear takes in a finding of a vantage that is no outage.
func (k *condition) hear(f *incident.Finding, p *probe, v *voice) {
	k.fresh = k.fresh || !v.held && (v.Outcome == probes.Degraded || v.Outcome == probes.Up && (f.Kind == incident.Regression || f.Kind == incident.Threshold && v.Beyond))
	if k.Since.IsZero() || f.Since.Before(k.Since) {
		k.Since, k.reason, k.judged = f.Since, f.Reason, p.judgedFinding(f)
	}
	text := v.vantage + ": " + line(*f)
	if v.held {
		text = v.vantage + ", before it fell silent: " + line(*f)
	}
	k.lines = append(k.lines, text)
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

// evidence says what the probes of a component that do not fail measured last: it tells the reader where to look.
func (e *Engine) evidence(c *component) []string {
	var lines []string
	from := ""
	if e.several(c) {
		from = e.set.Vantage + ": "
	}
	for n, instance := range c.instances {
		for _, p := range instance {
			switch {
			case p.last == nil || p.deciding && p.detector.Outage() != nil:
			case from != "" && p.deciding && len(c.judged) == len(c.instances) && c.judged[n].weight != nothing: // it is told
			case p.last.Outcome == probes.Up:
				lines = append(lines, fmt.Sprintf("%s%s: still answers, in %s", from, p.id, p.last.Duration.Round(100*time.Microsecond)))
			case p.last.Detail != "":
				lines = append(lines, fmt.Sprintf("%s%s: %s (%s)", from, p.id, p.last.Detail, p.last.Outcome))
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
