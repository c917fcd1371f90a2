package engine

import (
	"fmt"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	blindGrace = 10 * time.Second // how long nothing must answer before the agent is called blind
	blindLook  = 5 * time.Second  // how often the witnesses are asked while blind
	sweepEvery = 10 * time.Second // at most one look around in this time
	sweepMost  = 100              // a solution with more deciding probes is not swept: its next scheduled runs tell
)

// sightRoot is the root of the agent's own incident while it is blind.
const sightRoot = "sight"

// blind reports whether the agent's own network is broken: then it says nothing about the tenant.
func (e *Engine) blind() bool { return !e.s.BlindSince.IsZero() }

// sees reports whether the agent has proven sight since that instant: a witness, or any target, answered a run that began at
// or after it. Without witnesses sight is taken for granted, unless every deciding probe fails for want of a local network.
func (e *Engine) sees(since time.Time) bool {
	return len(e.set.Solution.Witnesses) == 0 || !e.s.Sight.Before(since)
}

// judgeSight turns blindness off where a good result proves sight, or on where nothing does; it returns whether the result says
// nothing about its own target any more.
func (e *Engine) judgeSight(p *probe, good bool) bool {
	if p.component == nil {
		e.noteWitness(good)
	}
	if e.blind() {
		if p.last.Start.After(e.s.BlindSince) && e.showsSight(p, good) {
			e.regainSight(p)
		}
		return p.component == nil
	}
	return !good && e.checkSight() || p.component == nil
}

// showsSight reports whether the newest result of a probe ends blindness. A witness that answers does not, while the agent's own
// host keeps every target's probe from running; without witnesses, any answer or refusal of a target does.
func (e *Engine) showsSight(p *probe, good bool) bool {
	if _, reason := e.allLocal(); reason != "" {
		return false
	}
	return good || len(e.set.Solution.Witnesses) == 0 && p.deciding && p.last.Outcome == probes.Down
}

// lookForSight asks, while the agent is blind, whoever may end that.
func (e *Engine) lookForSight() {
	e.askWitnesses()
	if _, reason := e.allLocal(); reason != "" {
		e.sweep(nil)
	}
}

// askWitnesses runs the witnesses, now and then.
func (e *Engine) askWitnesses() {
	if e.now.Sub(e.lastLook) < blindLook {
		return
	}
	e.lastLook = e.now
	for _, id := range e.set.Solution.Witnesses {
		e.step.recheck(id, 1, 0)
	}
}

// noteWitness keeps the instant since when no witness answers.
func (e *Engine) noteWitness(good bool) {
	if good {
		e.dark = time.Time{}
		return
	}
	var first time.Time
	for _, id := range e.set.Solution.Witnesses {
		last := e.probes[id].last
		if last == nil || answers(last) {
			return
		}
		if first.IsZero() || last.Start.Before(first) {
			first = last.Start
		}
	}
	if e.dark.IsZero() {
		e.dark = first
	}
}

// answers reports whether the run proves that the agent's network works.
func answers(r *probes.Result) bool { return r.Outcome == probes.Up || r.Outcome == probes.Degraded }

// isLocal reports whether a run, where there was one, failed on the agent's own host.
func isLocal(r *probes.Result) bool {
	return r != nil && r.Outcome == probes.Unknown && r.Reason == probes.Local
}

// checkSight makes the agent blind when it has to be; it returns whether it is.
func (e *Engine) checkSight() bool {
	if e.blind() {
		return true
	}
	since, reason := e.allLocal()
	if reason == "" {
		since, reason = e.noWitness()
	}
	if reason == "" {
		return false
	}
	e.loseSight(since, reason)
	return true
}

// noWitness returns since when and why the agent is blind for want of a witness, or "": no witness answers, a target failed
// lately, and blindGrace after that nothing at all, the other targets included, has answered a run that began since.
func (e *Engine) noWitness() (since time.Time, reason string) {
	if e.dark.IsZero() {
		return time.Time{}, ""
	}
	everyDown := len(e.components) > 0
	for _, c := range e.components {
		for _, p := range c.deciding {
			first := p.detector.Doubt()
			if f := p.detector.Outage(); f != nil && !e.proven(f) {
				first = f.Since
			}
			everyDown = everyDown && p.last != nil && !answers(p.last)
			if e.s.Sight.Before(first) && (since.IsZero() || first.Before(since)) {
				since = first
			}
		}
	}
	if since.IsZero() && everyDown {
		since = e.dark
	}
	if since.IsZero() || !e.s.Sight.Before(since) {
		return time.Time{}, ""
	}
	if due := since.Add(blindGrace); e.now.Before(due) {
		e.step.wake(due)
		return time.Time{}, ""
	}
	ids := e.set.Solution.Witnesses
	return since, fmt.Sprintf("none of %d witnesses answers since %s, nor does any target (%s: %s)", len(ids), clock(e.dark), ids[0], e.probes[ids[0]].last.Detail)
}

// allLocal returns since when every deciding probe fails for a reason of the agent's own host.
func (e *Engine) allLocal() (first time.Time, reason string) {
	any := false
	for _, c := range e.components {
		for _, p := range c.deciding {
			if !isLocal(p.last) {
				return time.Time{}, ""
			}
			if !any || p.last.Start.Before(first) {
				first, reason = p.last.Start, "every probe fails on the agent's own host ("+p.last.Detail+")"
			}
			any = true
		}
	}
	return first, reason
}

// loseSight drops all that was not proven while the agent could see, and opens the agent's own incident.
func (e *Engine) loseSight(since time.Time, reason string) {
	e.s.BlindSince = since
	e.lastLook, e.blindWhy = e.now, reason
	e.forget()
	for _, p := range e.probes {
		if f := p.detector.Outage(); f != nil && !e.proven(f) {
			p.detector.Retract()
		}
	}
	e.openSight()
}

// openSight opens the agent's own incident while it is blind.
func (e *Engine) openSight() {
	if !e.leads {
		return
	}
	e.open(incident.Agent, sightRoot, e.s.BlindSince, []string{sightRoot}, verdictText{
		title: "the agent is blind",
		why:   "the agent's own network is broken: nothing is said about the customer and no case is opened",
		lines: func() []string { return []string{e.blindWhy} },
	})
}

// regainSight ends blindness and looks at every target at once.
func (e *Engine) regainSight(p *probe) {
	since := e.s.BlindSince
	e.s.BlindSince = time.Time{}
	if l := e.member(incident.Agent, sightRoot); l != nil {
		e.closeIncident(l, incident.Recovered, p.last.Start,
			fmt.Sprintf("the agent sees again: %s answered; it was blind for %s", p.id, e.now.Sub(since).Round(time.Second)))
	}
	e.sweep(p)
}

// lookAround is done at the first failure of a deciding probe: the witnesses tell whether the agent sees, and the other
// targets whether the fault is wider, so that one case is opened at the right priority.
func (e *Engine) lookAround(p *probe) {
	e.lastLook = time.Time{}
	e.askWitnesses()
	e.sweep(p)
}

// sweep runs every deciding probe but p once, at once.
func (e *Engine) sweep(p *probe) {
	if !e.lastSweep.IsZero() && e.now.Sub(e.lastSweep) < sweepEvery {
		return
	}
	var all []*probe
	for _, c := range e.components {
		all = append(all, c.deciding...)
	}
	if len(all) > sweepMost {
		return
	}
	e.lastSweep = e.now
	for _, other := range all {
		if other != p && !other.detector.Suspect() {
			e.step.recheck(other.id, 1, 0)
		}
	}
}
