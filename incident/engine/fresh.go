package engine

import (
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	lookEvery = 5 * time.Second // how often a probe is asked on whose newest word a decision waits
	lookLong  = time.Minute     // what fails is looked at no less often than this, however seldom the probe runs
	lookMost  = 10              // of those at most so many at once
)

// hear notes what the newest run says, where it says anything. One of a late agent may speak for the target only: that it answers. A
// failing one of an outage of before, see reconfirm, says nothing until there are enough; how many are still wanted, at once, is returned.
func (p *probe) hear(r *probes.Result) (again int) {
	if r.Outcome == probes.Unknown || r.Lagging && r.Outcome == probes.Down || r.Start.Before(p.freshAt) {
		return 0
	}
	if p.again > 0 && p.detector.Outage() == nil {
		p.again = 0
	}
	if p.again > 0 && r.Outcome == probes.Down {
		if p.again--; p.again > 0 && r.Recheck {
			return 0
		}
		if p.again > 0 {
			return p.again
		}
	}
	p.fresh, p.freshAt, p.took = r.Outcome, r.Start, r.Duration
	return 0
}

// reconfirm lets an outage that was confirmed before count for what is opened or raised only when as many runs as confirm one have failed
// once more: it may be long over, as the others know, and a single failure says little. What is open it holds.
func (e *Engine) reconfirm() {
	for _, p := range e.probes {
		if p.fresh, p.freshAt = probes.Unknown, (time.Time{}); p.again == 0 && p.detector.Outage() != nil {
			p.again, p.anew = p.detector.Confirms(), e.now
		}
	}
}

// bygone reports whether an outage of before is nobody's word any more: the probe had its time and says nothing of it, as one whose credential expired. The
// others would wait for it, and open nothing.
func (e *Engine) bygone(p *probe) bool {
	had := wordHolds
	if p.again == 0 || p.again == p.detector.Confirms() { // no run failed since
		had = 2 * lookLong
	}
	return len(e.peers) > 0 && p.fresh == probes.Unknown && e.now.Sub(p.anew) > had && e.now.Sub(e.began) > had
}

// newest returns the start of the newest run that shows one of the outages, or zero where the newest run of none of them does.
func (e *Engine) newest(found []*incident.Finding) (at time.Time) {
	for _, f := range found {
		if p := e.probes[f.Probe]; p.fresh == probes.Down && p.freshAt.After(at) {
			at = p.freshAt
		}
	}
	return at
}

// doubtful reports whether what is said of a component's instances may be over: nothing is opened and nothing rises on it. Every
// instance that is called down must have failed once more after the last of them began to: one server that is back a moment
// before the next one goes, as in a rolling restart, has not yet proven its recovery.
func (e *Engine) doubtful(k condition) bool {
	switch k.Status {
	case policy.Inaccessible:
		return e.outdated(k.oldest, k.Since, k)
	case policy.RedundancyLost:
		return k.newest.IsZero()
	default:
	}
	return false
}

// outdated reports whether a run that began then is too old to say that something is down since. Where there is one at all, that
// is so for a moment only: what answers does so soon when it is asked, and what hangs does not.
func (e *Engine) outdated(run, since time.Time, k condition) bool {
	return run.IsZero() || run.Before(since) && e.isNew(k)
}

// certain returns the condition without the instances of which it is in doubt, and whether a problem is left.
func (e *Engine) certain(k condition) (condition, bool) {
	if !e.doubtful(k) {
		return k, true
	}
	e.look(k, k.Since)
	if k.Status == policy.RedundancyLost {
		return k, false
	}
	since := k.Since
	k.Down, k.Since = 0, time.Time{}
	for n := range k.c.instances {
		found, newest, _ := e.downAt(k.c, n)
		if len(found) == 0 || e.outdated(newest, since, k) {
			continue
		}
		k.Down++
		if first := earliest(found); k.Since.IsZero() || first.Since.Before(k.Since) {
			e.blame(&k, first)
		}
	}
	k.Status = policy.RedundancyLost
	return k, k.Down > 0
}

// look asks the probes that do not show, in a run begun since, that a component is still down.
func (e *Engine) look(k condition, since time.Time) {
	for _, p := range k.c.deciding {
		if (p.detector.Outage() != nil || len(e.peers) > 0) && (p.fresh != probes.Down || p.freshAt.Before(since)) && e.now.Sub(p.asked) >= lookEvery {
			p.asked = e.now
			e.step.recheck(p.id, 1, 0)
		}
	}
}

// lookAgain asks what fails, or is in an open incident and unheard, and has not run for long: a probe that runs once a day must
// neither hold an incident open nor leave a suspicion open until tomorrow.
func (e *Engine) lookAgain() {
	asked := 0
	for _, c := range e.components {
		for _, p := range c.deciding {
			if asked >= lookMost {
				return
			}
			open := p.fresh == probes.Unknown && e.inIncident(c.Name)
			if !open && !p.detector.Suspect() && p.detector.Outage() == nil {
				continue
			}
			if e.now.Sub(p.asked) < lookLong || p.last != nil && e.now.Sub(p.last.End()) < lookLong {
				continue
			}
			p.asked = e.now
			e.step.recheck(p.id, 1, 0)
			asked++
		}
	}
}

func (e *Engine) inIncident(component string) bool {
	for _, l := range e.s.Open {
		if e.holders[holding{l.Class, component}] == l {
			return true
		}
	}
	return false
}

// forget drops what is not confirmed, and what is confirmed but was not acted upon has to be seen again: the agent slept, was off,
// could not see, or its clock jumped. Suspicions are looked at anew.
func (e *Engine) forget() {
	for _, c := range e.components {
		for _, p := range c.deciding {
			if p.detector.Suspect() {
				e.step.recheck(p.id, 1, 0)
			}
		}
	}
	for _, p := range e.probes {
		p.detector.Forget()
		if e.leads && p.component != nil && e.member(incident.Performance, p.component.Name) == nil {
			p.detector.ForgetRegression()
		}
	}
	e.reconfirm()
}
