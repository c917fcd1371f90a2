package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
)

// evaluate compares what is measured with the incidents that are open and makes the incidents follow. While the agent is blind
// nothing is opened and nothing is closed.
func (e *Engine) evaluate() {
	e.pending = false
	if e.blind() {
		return
	}
	available := e.conditions[:0]
	for _, c := range e.components {
		available = append(available, e.availability(c))
	}
	e.conditions = available
	e.judgeAvailability(available)
	for i, c := range e.components {
		e.judgeSpeed(e.speed(c), available[i])
		e.judgeOther(incident.Capacity, e.others(c, incident.Threshold))
		e.judgeOther(incident.Function, e.others(c, incident.Functional))
	}
}

// judgeAvailability handles outages: a fault of the entire solution first, then parents before their children.
func (e *Engine) judgeAvailability(all []condition) {
	entire, whole := e.entireSolution(all)
	held := whole && !e.judgeEntire(entire, all)
	for _, k := range all {
		if !held && k.problem() && e.member(incident.Availability, k.c.Name) == nil {
			e.place(k, all)
		}
	}
	e.joinChildren(all)
	for _, l := range e.openOf(incident.Availability) {
		e.follow(l, all, entire, whole)
	}
}

// entireSolution reports whether every essential component is inaccessible, and the situation that this is. A component in
// maintenance is not inaccessible unexpectedly, so it keeps the solution from being so.
func (e *Engine) entireSolution(all []condition) (policy.Verdict, bool) {
	essential := 0
	var first time.Time
	for _, k := range all {
		if !k.c.Essential {
			continue
		}
		if k.Status != policy.Inaccessible || e.inMaintenance(k.c.Name) {
			return policy.Verdict{}, false
		}
		essential++
		if first.IsZero() || k.Since.Before(first) {
			first = k.Since
		}
	}
	return policy.EntireSolution(essential, first), essential > 0
}

// judgeEntire makes one incident of everything that is down; false means that it still waits. The earliest case lives on and
// rises: the SOC has it already.
func (e *Engine) judgeEntire(v policy.Verdict, all []condition) bool {
	var down []condition
	for _, k := range all {
		if k.Status == policy.Inaccessible && !e.inMaintenance(k.c.Name) {
			down = append(down, k)
		}
	}
	survivor := e.earliest(incident.Availability, func(l *live) bool {
		return l.Root == incident.Solution || slices.ContainsFunc(down, func(k condition) bool { return slices.Contains(l.Active, k.c.Name) })
	})
	if survivor == nil {
		if e.waits(slices.MaxFunc(down, func(a, b condition) int { return a.confirmed.Compare(b.confirmed) })) {
			return false
		}
		first := slices.MinFunc(down, func(a, b condition) int { return a.Since.Compare(b.Since) })
		survivor = e.open(incident.Availability, incident.Solution, first.Since, names(down), verdictText{
			priority: v.Priority, title: v.Title, why: v.Why, lines: lines(down), reason: string(first.reason),
		})
		return true
	}
	survivor.Root = incident.Solution
	for _, k := range down {
		switch l := e.member(incident.Availability, k.c.Name); l {
		case survivor:
		case nil:
			e.join(survivor, k)
		default:
			e.absorb(survivor, l, "the entire customer solution is inaccessible")
		}
	}
	return true
}

// place finds the incident that explains a new problem, or opens one.
func (e *Engine) place(k condition, all []condition) {
	if parent := e.downParent(k.c, all); parent != nil && k.Status != policy.Flapping {
		if l := e.member(incident.Availability, parent.c.Name); l != nil {
			e.join(l, k)
			return
		}
		if e.inMaintenance(parent.c.Name) {
			return // explained by a parent whose outage is expected
		}
	}
	if e.inMaintenance(k.c.Name) {
		return
	}
	if e.waits(k) {
		return
	}
	v := policy.Judge(k.Situation, e.set.Readings)
	e.open(incident.Availability, k.c.Name, k.Since, []string{k.c.Name}, verdictText{
		priority: v.Priority, title: v.Title, why: v.Why, lines: k.lines, reason: string(k.reason), quiet: k.Status == policy.Flapping,
	})
}

// waits reports whether the opening of an incident should wait a little for other probes that failed just now, so that one
// case is opened at the right priority instead of several.
func (e *Engine) waits(k condition) bool {
	until := k.confirmed.Add(e.set.Readings.Settle)
	if !e.now.Before(until) {
		return false
	}
	for _, c := range e.components {
		for _, p := range c.deciding {
			if p.detector.Suspect() && c != k.c {
				e.pending = true
				e.step.wake(until)
				return true
			}
		}
	}
	return false
}

// downParent returns the nearest component that k depends on and that is inaccessible, or nil.
func (e *Engine) downParent(c *component, all []condition) *condition {
	seen := map[*component]bool{}
	queue := slices.Clone(c.parents)
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if seen[p] {
			continue
		}
		seen[p] = true
		for i := range all {
			if all[i].c == p && all[i].Status == policy.Inaccessible {
				return &all[i]
			}
		}
		queue = append(queue, p.parents...)
	}
	return nil
}

// joinChildren makes one incident of a parent's and its child's where both were opened before the parent was known to be down.
func (e *Engine) joinChildren(all []condition) {
	for _, l := range e.openOf(incident.Availability) {
		root := e.byName[l.Root]
		if root == nil || !l.Open() {
			continue
		}
		parent := e.downParent(root, all)
		if parent == nil || !slices.Contains(l.Active, root.Name) {
			continue
		}
		wider := e.member(incident.Availability, parent.c.Name)
		if wider == nil || wider == l {
			continue
		}
		because := fmt.Sprintf("%s depends on %s, which is inaccessible", root.Name, parent.c.Name)
		if l.Opened.Before(wider.Opened) {
			l.Root = wider.Root
			e.absorb(l, wider, because)
		} else {
			e.absorb(wider, l, because)
		}
	}
}

// follow brings an open incident up to what is measured now: who is still down, at which priority, or that it is over.
func (e *Engine) follow(l *live, all []condition, entire policy.Verdict, whole bool) {
	var active []condition
	var rectified time.Time
	for _, k := range all {
		if !slices.Contains(l.Components, k.c.Name) {
			continue
		}
		if k.problem() {
			active = append(active, k)
		}
		if k.rectified.After(rectified) {
			rectified = k.rectified
		}
	}
	if len(active) == 0 {
		if !e.unheard(l) {
			e.rectify(l, rectified)
		}
		return
	}
	e.leaveAndReturn(l, active)
	t := verdictText{lines: lines(active), reason: string(active[0].reason), quiet: true}
	if whole && l.Root == incident.Solution {
		t.priority, t.title, t.why, t.quiet = entire.Priority, entire.Title, entire.Why, false
	} else {
		worst := slices.MinFunc(active, func(a, b condition) int {
			return int(policy.Judge(a.Situation, e.set.Readings).Priority) - int(policy.Judge(b.Situation, e.set.Readings).Priority)
		})
		if !slices.Contains(names(active), l.Root) {
			l.Root = worst.c.Name
		}
		v := policy.Judge(worst.Situation, e.set.Readings)
		t.priority, t.title, t.why = v.Priority, v.Title, v.Why
		if len(active) > 1 {
			t.title += " (with " + strings.Join(without(names(active), worst.c.Name), ", ") + ")"
		}
		for _, k := range active {
			t.quiet = t.quiet && k.Status == policy.Flapping
		}
	}
	e.update(l, t)
}

// unheard reports whether an incident cannot be called over yet: a deciding probe of a component that was down has not run since
// the engine began, or has failed and is being looked at. It matters where the incident was taken from the store without the
// state that led to it.
func (e *Engine) unheard(l *live) bool {
	for _, name := range l.Active {
		c := e.byName[name]
		if c == nil {
			continue
		}
		for _, p := range c.deciding {
			if p.last == nil || p.detector.Suspect() {
				return true
			}
		}
	}
	return false
}

// judgeSpeed follows the speed problem of one component. An outage of the component explains it.
func (e *Engine) judgeSpeed(k condition, available condition) {
	l := e.member(incident.Performance, k.c.Name)
	outage := e.member(incident.Availability, k.c.Name)
	if available.Down > 0 && outage != nil {
		if l != nil {
			e.absorb(outage, l, k.c.Name+" is down, which explains that it was slow")
		}
		return
	}
	if !k.problem() {
		if l != nil && k.Since.IsZero() && !e.unheard(l) {
			e.rectify(l, k.rectified)
		}
		return
	}
	v := policy.Judge(k.Situation, e.set.Readings)
	t := verdictText{priority: v.Priority, title: v.Title, why: v.Why, lines: k.lines, reason: string(k.reason), quiet: k.Status == policy.SlowPeriodic}
	switch {
	case l != nil:
		e.update(l, t)
	case available.Down == 0 && !e.inMaintenance(k.c.Name):
		e.open(incident.Performance, k.c.Name, k.Since, []string{k.c.Name}, t)
	}
}

// judgeOther follows thresholds and functional failures of one component.
func (e *Engine) judgeOther(class incident.Class, k condition) {
	l := e.member(class, k.c.Name)
	if !k.problem() {
		if l != nil && !e.unheard(l) {
			e.rectify(l, time.Time{})
		}
		return
	}
	v := policy.Judge(k.Situation, e.set.Readings)
	t := verdictText{priority: v.Priority, title: v.Title, why: v.Why, lines: k.lines, reason: string(k.reason)}
	if class == incident.Function {
		t.priority, t.title = incident.NoPriority, k.c.Name+" has a functional failure"
		t.why = "functional, not infrastructure: the application itself answers that the request is wrong, so no case is opened at the Operations Centre"
	}
	switch {
	case l != nil:
		e.update(l, t)
	case !e.inMaintenance(k.c.Name):
		e.open(class, k.c.Name, k.Since, []string{k.c.Name}, t)
	}
}

func names(all []condition) []string {
	list := make([]string, len(all))
	for i, k := range all {
		list[i] = k.c.Name
	}
	return list
}

func lines(all []condition) []string {
	var list []string
	for _, k := range all {
		list = append(list, k.lines...)
	}
	return list
}

func without(all []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == name })
}
