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
	if !e.leads {
		return
	}
	if len(e.peers) > 0 || e.watched {
		e.watchPeers()
	}
	if !e.anySees() {
		return
	}
	e.poll()
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
	entire := e.entireSolution(all)
	held := entire.rises && !e.judgeEntire(entire, all) || entire.doubtful && e.settling(latest(all))
	for _, k := range all {
		if !held && k.problem() && e.member(incident.Availability, k.c.Name) == nil {
			e.place(k, all)
		}
	}
	e.joinChildren(all)
	for _, l := range e.openOf(incident.Availability) {
		e.follow(l, all, entire)
	}
}

// whole is how the entire solution stands. The zero value is one of which something works.
type whole struct {
	policy.Verdict
	down     bool // every essential component is inaccessible
	alone    bool // but not by a quorum of the vantages
	rises    bool // and it is priority 1: nothing of that is in maintenance, so expected, and nothing is doubtful
	doubtful bool // it would rise, but for a doubt
	stays    bool // of a component in it, see condition
}

// entireSolution judges the essential components together.
func (e *Engine) entireSolution(all []condition) whole {
	essential := 0
	var first, last time.Time
	oldest, maintained, stays := e.now, false, false
	var seen seenEntire
	for i := range all {
		k := &all[i]
		if !k.c.Essential {
			continue
		}
		if k.Status != policy.Inaccessible {
			return whole{}
		}
		essential++
		seen.add(k, e.set.Readings)
		stays = stays || k.stays
		if first.IsZero() || k.Since.Before(first) {
			first = k.Since
		}
		if k.Since.After(last) {
			last = k.Since
		}
		if k.oldest.Before(oldest) {
			oldest = k.oldest
		}
		maintained = maintained || e.inMaintenance(k.c.Name)
	}
	if essential == 0 || !seen.one() {
		return whole{}
	}
	w := whole{Verdict: policy.EntireSolution(essential, first), down: true, alone: seen.quorum == 0, stays: stays}
	if w.alone {
		w.Priority = seen.worst
		w.Verdict = seen.by.Narrow(w.Verdict)
	}
	w.doubtful = !maintained && e.outdated(oldest, last, latest(all))
	w.rises = !maintained && !w.doubtful && !w.stays
	if w.doubtful {
		for _, k := range all {
			if k.c.Essential {
				e.look(k, last)
			}
		}
	}
	return w
}

// seenEntire gathers which vantages see every essential component down.
type seenEntire struct {
	quorum, some int // components that a quorum sees down, and that none does
	by           policy.Alone
	worst        incident.Priority // of those that have lasted, or of all where none has
}

func (s *seenEntire) add(k *condition, r policy.Readings) {
	if !k.Alone.Is() {
		s.quorum++
		return
	}
	inFull := k.Situation
	inFull.Alone = policy.Alone{}
	p := policy.Rank(inFull, r)
	switch lasted := k.Alone.Lasted > 0; {
	case lasted != (s.by.Lasted > 0) && s.some > 0:
		if lasted {
			s.worst = p
		}
	case p.Above(s.worst):
		s.worst = p
	}
	if s.some++; s.some == 1 {
		s.by = k.Alone
		return
	}
	others := s.by.Others
	s.by.From = slices.DeleteFunc(slices.Clone(s.by.From), func(name string) bool { return !slices.Contains(k.Alone.From, name) })
	s.by.Others = slices.DeleteFunc(slices.Clone(others), func(name string) bool { return !slices.Contains(k.Alone.Others, name) })
	s.by.Lasted = max(s.by.Lasted, k.Alone.Lasted)
}

// one reports whether it is one fault of everything: a quorum sees each, or the same vantage sees each and no quorum any. Priority 1 for
// the entire solution comes by a quorum alone.
func (s *seenEntire) one() bool { return s.some == 0 || s.quorum == 0 && len(s.by.From) > 0 }

// judgeEntire makes one incident of everything that is down; false means that it still waits. The earliest case lives on and
// rises: the SOC has it already.
func (e *Engine) judgeEntire(w whole, all []condition) bool {
	var down []condition
	for _, k := range all {
		if k.Status == policy.Inaccessible && (!w.alone || k.Alone.Is()) && !e.inMaintenance(k.c.Name) {
			down = append(down, k)
		}
	}
	survivor := e.earliest(incident.Availability, func(l *live) bool {
		return l.Root == incident.Solution || slices.ContainsFunc(down, func(k condition) bool { return slices.Contains(l.Active, k.c.Name) })
	})
	if survivor == nil {
		if e.waits(latest(down)) {
			return false
		}
		first := slices.MinFunc(down, func(a, b condition) int { return a.Since.Compare(b.Since) })
		e.open(incident.Availability, incident.Solution, first.Since, names(down), verdictText{
			priority: w.Priority, title: w.Title, why: w.Why, lines: func() []string { return e.lines(down...) }, reason: string(first.reason), judged: first.judged,
			from: fromWhere(down...),
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

func latest(all []condition) condition {
	return slices.MaxFunc(all, func(a, b condition) int { return a.confirmed.Compare(b.confirmed) })
}

// place finds the incident that explains a new problem, or opens one.
func (e *Engine) place(k condition, all []condition) {
	k, ok := e.certain(k)
	if !ok {
		return
	}
	if parent := e.downParent(k.c, all); parent != nil && k.Status != policy.Flapping {
		if l := e.member(incident.Availability, parent.c.Name); l != nil {
			e.join(l, k)
		}
		return // a parent without an incident is expected to be down, or waits to be placed, or is in doubt: so is what it explains
	}
	if e.inMaintenance(k.c.Name) || e.waits(k) {
		return
	}
	v := policy.Judge(k.Situation, e.set.Readings)
	e.open(incident.Availability, k.c.Name, k.Since, []string{k.c.Name}, verdictText{
		priority: v.Priority, title: v.Title, why: v.Why, lines: func() []string { return e.lines(k) }, reason: string(k.reason), judged: k.judged,
		quiet: k.Status == policy.Flapping, from: fromWhere(k),
	})
}

// waits reports whether the opening of an incident should wait a little for other components, or another instance of this one,
// whose probes failed just now, so that one case is opened at the right priority instead of several.
func (e *Engine) waits(k condition) bool {
	return e.isNew(k) && (k.undecided() || slices.ContainsFunc(e.components, func(c *component) bool {
		return (c != k.c || k.Status == policy.RedundancyLost || k.Alone.Is()) && slices.ContainsFunc(c.deciding, func(p *probe) bool { return e.doubts(p, 0) })
	})) && e.settling(k)
}

// isNew reports whether an outage was confirmed so short a time ago that its opening may wait.
func (e *Engine) isNew(k condition) bool { return e.now.Before(k.confirmed.Add(e.set.Readings.Settle)) }

// settling makes the opening of an outage wait while it is new; false: it is not.
func (e *Engine) settling(k condition) bool {
	if !e.isNew(k) {
		return false
	}
	e.step.wake(k.confirmed.Add(e.set.Readings.Settle))
	return true
}

// downParent returns the nearest component that k depends on and that is inaccessible, or nil.
func (e *Engine) downParent(c *component, all []condition) *condition {
	if len(c.parents) == 0 {
		return nil
	}
	seen := map[*component]bool{}
	queue := slices.Clone(c.parents)
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if seen[p] {
			continue
		}
		seen[p] = true
		if all[p.at].Status == policy.Inaccessible && (!all[p.at].narrow() || all[c.at].narrow() || !all[c.at].problem()) {
			return &all[p.at]
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
func (e *Engine) follow(l *live, all []condition, entire whole) {
	var active []condition
	for i := range all {
		k := &all[i]
		if e.member(incident.Availability, k.c.Name) != l {
			continue
		}
		if k.problem() {
			active = append(active, *k)
		}
		if k.rectified.After(l.Rectified) {
			l.Rectified = k.rectified
		}
	}
	if (len(active) == 0 || l.Stateless) && e.unheard(l) {
		if len(active) > 0 {
			e.raise(l, active, all, entire)
		}
		return
	}
	l.Stateless = false
	if len(active) == 0 {
		e.rectify(l)
		return
	}
	e.noteInaccessible(l, all)
	e.leaveAndReturn(l, active)
	e.update(l, e.sayNow(l, active, all, entire))
}

// raise lets an incident rise by what is measured, while too little is to lower it or to call any of it over.
func (e *Engine) raise(l *live, active, all []condition, entire whole) {
	root := l.Root
	t := e.sayNow(l, active, all, entire)
	if t.doubtful || !t.priority.Above(l.Priority) {
		l.Root = root
		return
	}
	e.update(l, t)
}

// sayNow returns what an incident shall say of its components that have a problem.
func (e *Engine) sayNow(l *live, active, all []condition, entire whole) verdictText {
	t := verdictText{reason: string(active[0].reason), lines: func() []string { return e.lines(active...) }, from: fromWhere(active...)}
	graver := func(k condition) bool { return policy.Rank(k.Situation, e.set.Readings).Above(entire.Priority) }
	if entire.down && l.Root == incident.Solution && (!entire.alone || !slices.ContainsFunc(active, graver)) {
		t.priority, t.title, t.why, t.doubtful = entire.Priority, entire.Title, entire.Why, entire.stays
		return t
	}
	worst := active[0]
	t.quiet = true
	rank := func(k condition) incident.Priority {
		if p := policy.Rank(k.Situation, e.set.Readings); !k.stays || !p.Above(l.Priority) {
			return p
		}
		return l.Priority // it does not hide what may rise
	}
	for _, k := range active {
		if rank(k).Above(rank(worst)) {
			worst = k
		}
		t.quiet = t.quiet && k.Status == policy.Flapping
	}
	e.setRoot(l, active, worst, all)
	v := policy.Judge(worst.Situation, e.set.Readings)
	t.priority, t.title, t.why = v.Priority, v.Title, v.Why
	if len(active) > 1 {
		t.title += " (with " + short(without(names(active), worst.c.Name)) + ")"
	}
	if e.doubtful(worst) {
		e.look(worst, worst.Since)
		t.doubtful = true
	}
	t.doubtful = t.doubtful || worst.stays
	return t
}

// setRoot keeps the root of an incident where the problem is: in the gravest of those that are left, and in what explains it.
func (e *Engine) setRoot(l *live, active []condition, worst condition, all []condition) {
	if !slices.ContainsFunc(active, func(k condition) bool { return k.c.Name == l.Root }) {
		l.Root = worst.c.Name
	}
	for range e.components {
		parent := e.downParent(e.byName[l.Root], all)
		if parent == nil || e.member(incident.Availability, parent.c.Name) != l {
			return
		}
		l.Root = parent.c.Name
	}
}

// unheard reports whether an incident cannot be called over yet: a deciding probe of a component that was down has failed and is
// being looked at; or, where the incident was taken from the store without what led to it or there are peers, has not said anything and
// is not mute.
func (e *Engine) unheard(l *live) bool {
	for _, name := range l.Active {
		c := e.byName[name]
		if c == nil {
			continue
		}
		for _, p := range c.deciding {
			f := p.detector.Outage()
			if (l.Stateless || len(e.peers) > 0) && !e.measured(p) && !e.mute(p, l) || f != nil && !e.blind() && !e.proven(f) || e.doubts(p, lookLong) {
				return true
			}
		}
	}
	return false
}

// judgeSpeed follows the speed problem of one component. An outage of it explains that, as it does where only those instances
// were slow that are down now.
func (e *Engine) judgeSpeed(k condition, available condition) {
	l := e.member(incident.Performance, k.c.Name)
	if l != nil && !k.rectified.IsZero() {
		l.Rectified = k.rectified
	}
	explained := available.Status == policy.Inaccessible || available.Down > 0 && !k.problem()
	if explained && available.narrow() {
		explained = k.narrow() || !k.problem() && (l == nil || l.Priority == incident.P4) // what one vantage sees explains no more than that
	}
	if explained {
		if outage := e.member(incident.Availability, k.c.Name); l != nil && outage != nil {
			e.absorb(outage, l, k.c.Name+" is down, which explains that it was slow")
		}
		return
	}
	if !k.problem() {
		switch {
		case l == nil:
		case !k.Since.IsZero():
			e.sayQuiet(l, k)
		case !e.unheard(l):
			e.rectify(l)
		}
		return
	}
	v, said := policy.Judge(k.Situation, e.set.Readings), k.lines
	t := verdictText{
		priority: v.Priority, title: v.Title, why: v.Why, lines: func() []string { return said }, reason: string(k.reason), judged: k.judged,
		quiet: k.Status == policy.SlowPeriodic, from: fromWhere(k), doubtful: k.stays,
	}
	e.openOrUpdate(incident.Performance, l, k, t)
}

// sayQuiet makes an incident that is watched on, though nothing is slow now, say so.
func (e *Engine) sayQuiet(l *live, k condition) {
	if k.rectified.IsZero() || len(k.lines) == 0 {
		return // it was said when the newest stretch ended
	}
	l.Detail, l.Updated = bounded(k.lines), e.now
	e.step.event(l.Incident, incident.EventMeasured, fmt.Sprintf("%s is fast again since %s; it is watched on, because short slow stretches come again", k.c.Name, clock(k.rectified)))
	e.step.put(l.Incident)
}

// judgeOther follows thresholds and functional failures of one component.
func (e *Engine) judgeOther(class incident.Class, k condition) {
	l := e.member(class, k.c.Name)
	if !k.problem() {
		if l != nil && !e.unheard(l) {
			e.rectify(l)
		}
		return
	}
	v, said := policy.Judge(k.Situation, e.set.Readings), k.lines
	t := verdictText{priority: v.Priority, title: v.Title, why: v.Why, lines: func() []string { return said }, reason: string(k.reason), judged: k.judged}
	if class == incident.Function {
		t.priority, t.title = incident.NoPriority, k.c.Name+" has a functional failure"
		t.why = "functional, not infrastructure, because " + k.judged.Why + "; so no case is opened at the Operations Centre"
		if k.Alone.Is() {
			t.why += "; " + k.Alone.Seen()
		}
	}
	e.openOrUpdate(class, l, k, t)
}

func (e *Engine) openOrUpdate(class incident.Class, l *live, k condition, t verdictText) {
	switch {
	case l != nil:
		e.update(l, t)
	case k.fresh && !e.inMaintenance(k.c.Name):
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

// short lists names; a title has no room for more than a few.
func short(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func without(all []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == name })
}
