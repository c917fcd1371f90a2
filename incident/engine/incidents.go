package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
)

// verdictText is what an incident shall say now.
type verdictText struct {
	priority   incident.Priority
	title, why string
	reason     string
	judged     incident.Judgement // whose matter that is; zero: by the class
	lines      func() []string    // what is measured, a line a finding
	quiet      bool
	from       string // which vantages see it, as a clause for the timeline; "": there is but one
	doubtful   bool   // good enough to stay as it is, not to rise
}

// maxLines bounds what an incident says of its findings; a person reads no more, and a case field holds no more.
const maxLines = 40

// open begins an incident. Its identity follows from what it is about and when it began; one that goes on where another was
// absorbed into something else since is a new one, and begins now.
func (e *Engine) open(class incident.Class, root string, started time.Time, components []string, t verdictText) {
	key := string(class) + "/" + root
	started = started.UTC()
	if before, ok := e.s.Begun[key]; ok && !started.Truncate(time.Millisecond).After(before.Truncate(time.Millisecond)) {
		started = e.now
		if at := before.Add(time.Millisecond); at.After(started) {
			started = at
		}
	}
	e.s.Begun[key] = started
	if t.judged == (incident.Judgement{}) {
		t.judged = judgedClass(class)
	}
	l := &live{
		Incident: incident.Incident{
			ID: incident.Key(e.set.Solution.Tenant, class, root, started), Tenant: e.set.Solution.Tenant,
			Class: class, Root: root, Components: slices.Clone(components),
			Priority: t.priority, Highest: t.priority, Reason: t.reason, Judged: t.judged, Title: t.title, Widest: t.title, Why: t.why, Detail: bounded(t.lines()),
			Started: started, Opened: e.now, Updated: e.now, Outages: []incident.ComponentOutage{},
		},
		Active: slices.Clone(components), Quiet: t.quiet,
	}
	if class.OpensCase() {
		l.Commencement = e.set.Level.Commencement(e.now)
		l.ReactionDue = e.set.Level.ReactionDue(t.priority, l.Commencement)
	}
	e.s.Open = append(e.s.Open, l)
	e.hold(l)
	e.step.put(l.Incident)
	text := t.why + t.from
	if !strings.HasPrefix(text, t.title) {
		text = t.title + ": " + text
	}
	e.step.event(l.Incident, incident.EventOpened, text)
}

// update makes an open incident say what is measured now. Priority rises in place; it falls only with the reason recorded.
func (e *Engine) update(l *live, t verdictText) {
	if t.doubtful && t.priority.Above(l.Priority) || !e.fallsNow(l, t.priority) {
		return
	}
	l.Quiet = t.quiet
	if l.Priority == t.priority && l.Title == t.title && (l.Why == t.why || t.quiet) {
		return
	}
	was := l.Priority
	if l.Class == incident.Function {
		l.Reason, l.Judged = t.reason, t.judged
	}
	l.Priority, l.Title, l.Why, l.Detail, l.Updated = t.priority, t.title, t.why, bounded(t.lines()), e.now
	switch {
	case t.priority.Above(was):
		if t.priority.Above(l.Highest) {
			l.Highest, l.Widest = t.priority, t.title
		}
		if due := e.set.Level.ReactionDue(t.priority, e.set.Level.Commencement(e.now)); due.Before(l.ReactionDue) {
			l.ReactionDue = due
		}
		e.step.event(l.Incident, incident.EventRaised, fmt.Sprintf("%s to %s: %s%s", was, t.priority, t.why, t.from))
	case was.Above(t.priority):
		e.step.event(l.Incident, incident.EventLowered, fmt.Sprintf("%s to %s: %s", was, t.priority, t.why))
	case !slices.ContainsFunc(e.step.Events, func(o incident.Event) bool { return o.Incident == l.ID }):
		e.step.event(l.Incident, incident.EventMeasured, t.title+": "+t.why+t.from)
	}
	e.step.put(l.Incident)
}

// fallsNow reports whether a priority that is not lower may be taken at once, or a lower one has waited long enough: while the
// components of an incident recover one after the other nobody is told of each step down.
func (e *Engine) fallsNow(l *live, p incident.Priority) bool {
	if !l.Priority.Above(p) {
		l.Falling = time.Time{}
		return true
	}
	if l.Falling.IsZero() || l.Falling.After(e.now) {
		l.Falling = e.now
	}
	if due := l.Falling.Add(e.set.Readings.Settle); e.now.Before(due) {
		e.step.wake(due)
		return false
	}
	l.Falling = time.Time{}
	return true
}

// join adds a component whose problem the incident explains.
func (e *Engine) join(l *live, k condition) {
	text := fmt.Sprintf("%s too, since %s", policy.Judge(k.Situation, e.set.Readings).Title, clock(k.Since))
	if e.dependsOn(k.c, l.Root) {
		text += "; " + l.Root + " explains it"
	}
	l.Components = addName(l.Components, k.c.Name)
	l.Active = addName(l.Active, k.c.Name)
	e.hold(l)
	l.Detail, l.Updated = bounded(append(slices.Clone(l.Detail), e.lines(k)...)), e.now
	e.step.event(l.Incident, incident.EventJoined, text)
	e.step.put(l.Incident)
}

// leaveAndReturn records which components of an incident answer again, and which of them do not once more.
func (e *Engine) leaveAndReturn(l *live, active []condition) {
	before, now := set(l.Active), set(names(active))
	l.Active = slices.DeleteFunc(l.Active, func(name string) bool { return !now[name] })
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if !now[name] {
			l.Updated = e.now
			e.step.event(l.Incident, incident.EventLeft, fmt.Sprintf("%s answers again; what remains: %s", name, short(names(active))))
			e.step.put(l.Incident)
		}
	}
	for _, k := range active {
		if !before[k.c.Name] {
			e.join(l, k)
		}
	}
}

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}

// dependsOn reports whether a component depends on the named one, however indirectly.
func (e *Engine) dependsOn(c *component, name string) bool {
	return slices.ContainsFunc(c.parents, func(p *component) bool { return p.Name == name || e.dependsOn(p, name) })
}

// absorb closes loser into survivor: one root cause, one case.
func (e *Engine) absorb(survivor, loser *live, because string) {
	for _, name := range loser.Components {
		survivor.Components = addName(survivor.Components, name)
	}
	if survivor.Class == loser.Class {
		for _, name := range loser.Active {
			survivor.Active = addName(survivor.Active, name)
		}
		if loser.Started.Before(survivor.Started) {
			survivor.Started = loser.Started
		}
		e.takeOutages(survivor, loser)
	}
	survivor.Updated = e.now
	e.step.event(survivor.Incident, incident.EventAbsorbed, fmt.Sprintf("took in %s (%s): %s", loser.ID, loser.Title, because))
	e.step.put(survivor.Incident)
	loser.AbsorbedBy = survivor.ID
	defer e.hold(survivor) // what it took over is the loser's until that is closed
	e.closeIncident(loser, incident.Absorbed, e.now, fmt.Sprintf("absorbed by %s (%s): %s", survivor.ID, survivor.Title, because))
}

// rectify closes an incident whose every problem is measured good again.
func (e *Engine) rectify(l *live) {
	at := l.Rectified
	if at.IsZero() || at.After(e.now) {
		at = e.now
	}
	resolution := incident.Recovered
	lasted := max(0, at.Sub(l.Started)) // the clock may have been set back
	text := fmt.Sprintf("measured good again since %s, after %s", clock(at), lasted.Round(time.Second))
	if l.Class == incident.Availability && !l.Quiet && lasted < e.set.Readings.Momentary {
		resolution = incident.Momentary
		text += fmt.Sprintf("; a momentary outage, shorter than %s", e.set.Readings.Momentary)
	}
	if e.rejudged[l.ID] {
		resolution, text, at = incident.Rejudged, rejudgedText(l), e.now
	}
	if a := e.acceptedOf(l); a.because != "" {
		resolution, text, l.AcceptedBy = incident.Accepted, a.because, a.by
	}
	e.closeIncident(l, resolution, at, text)
}

// acceptedOf returns why a speed problem is over although it is as slow as before.
func (e *Engine) acceptedOf(l *live) (a accepted) {
	for _, name := range l.Components {
		c := e.byName[name]
		if c == nil || l.Class != incident.Performance {
			continue
		}
		for _, p := range c.deciding {
			if p.accepted.because != "" {
				a, p.accepted = p.accepted, accepted{}
			}
		}
	}
	return a
}

func (e *Engine) closeIncident(l *live, how incident.Resolution, ended time.Time, text string) {
	l.Resolution, l.Ended, l.Closed, l.Updated = how, ended.UTC(), e.now, e.now
	if l.Ended.Before(l.Started) { // as above
		l.Ended = l.Started
	}
	l.Outages = endOutages(l.Outages, "", l.Ended, e.now)
	for _, t := range []time.Time{l.Ended, l.Opened} {
		if l.Closed.Before(t) {
			l.Closed = t
		}
	}
	kind := incident.EventResolved
	if how == incident.Absorbed {
		kind = incident.EventAbsorbed
	}
	e.step.event(l.Incident, kind, text)
	e.step.put(l.Incident)
	e.s.Open = slices.DeleteFunc(e.s.Open, func(o *live) bool { return o == l })
	maps.DeleteFunc(e.holders, func(_ holding, o *live) bool { return o == l })
}

// hold notes which components an incident speaks of.
func (e *Engine) hold(l *live) {
	for _, name := range l.Components {
		if at := (holding{l.Class, name}); e.holders[at] == nil {
			e.holders[at] = l
		}
	}
}

// member returns the open incident of a class that speaks of the component, or nil.
func (e *Engine) member(class incident.Class, component string) *live {
	return e.holders[holding{class, component}]
}

// openOf returns the open incidents of a class, in the order in which they were opened.
func (e *Engine) openOf(class incident.Class) []*live {
	var list []*live
	for _, l := range e.s.Open {
		if l.Class == class {
			list = append(list, l)
		}
	}
	return list
}

// earliest returns the first opened incident of a class that fits, or nil.
func (e *Engine) earliest(class incident.Class, fits func(*live) bool) *live {
	for _, l := range e.openOf(class) {
		if fits(l) {
			return l
		}
	}
	return nil
}

func addName(all []string, name string) []string {
	if slices.Contains(all, name) {
		return all
	}
	return append(all, name)
}

func bounded(all []string) []string {
	if len(all) <= maxLines {
		return slices.Clone(all)
	}
	return append(slices.Clone(all[:maxLines]), fmt.Sprintf("and %d more", len(all)-maxLines))
}
