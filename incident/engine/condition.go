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
	stays     bool               // part of it is no quorum's any more: it stays at the priority that it has, and does not rise
	fresh     bool               // of speed, thresholds and functional failures: shown by a run since the engine began

	// Of the newest runs that show every single instance down: the earliest and the latest; zero: there is none.
	oldest, newest time.Time
}

func (k condition) problem() bool { return k.Status != policy.Fine }

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

// add takes in a finding that is no outage.
func (k *condition) add(f *incident.Finding, p *probe) {
	k.fresh = k.fresh || p.fresh == probes.Degraded ||
		p.fresh == probes.Up && (f.Kind == incident.Regression || f.Kind == incident.Threshold && p.detector.Beyond())
	if k.Since.IsZero() || f.Since.Before(k.Since) {
		k.Since, k.reason, k.judged = f.Since, f.Reason, p.judgedFinding(f)
	}
	k.lines = append(k.lines, line(*f))
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

func line(f incident.Finding) string { return f.Probe + ": " + f.Explanation }

func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

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

// holds reports whether an open incident of the class has the component as an active problem and ends only when it has been
// quiet for a whole window.
func (e *Engine) holds(class incident.Class, component string) bool {
	l := e.member(class, component)
	return l != nil && l.Quiet
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

// merged returns the instants of both, oldest first.
func merged(a, b []time.Time) []time.Time {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// since drops the instants before from.
func since(all []time.Time, from time.Time) []time.Time {
	return slices.DeleteFunc(all, func(t time.Time) bool { return t.Before(from) })
}
