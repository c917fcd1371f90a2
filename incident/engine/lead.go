package engine

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Leads reports whether the engine judges incidents. One that follows does not: its Steps have neither incidents nor events.
func (e *Engine) Leads() bool { return e.leads }

// Follow makes the engine follow: from now on no incident is judged, and none is known. Its detectors, its sight and its vote go on.
// One that follows already stays as it is.
func (e *Engine) Follow(now time.Time) Step {
	e.begin(now)
	if e.leads {
		e.leads, e.watched = false, false
		e.s.Open = nil
		clear(e.holders)
	}
	return e.finish()
}

// Lead makes the engine judge incidents, with what the last leader committed: state is as State returned it, of any vantage's engine;
// of it what all share is taken (the memory of components and the open incidents) and the rest is left. nil: it begins with the
// incidents that the store has as open, as New does. Of what is open the store knows more than the state, which may be older than what an
// agent did alone. Keys, priorities and beginnings stay, and what this vantage knows nothing of
// stays open until it, or a quorum, has measured it. The votes of the peers must have been heard before. An engine that leads keeps its
// state and takes up the open incidents that it does not know.
//
// A state that cannot be read is an error, and the engine follows as before: call it again with nil.
func (e *Engine) Lead(now time.Time, saved []byte, open []incident.Incident) (Step, error) {
	e.begin(now)
	if !e.leads {
		var shared state
		if len(saved) > 0 {
			data, _ := takeLatencies(saved)
			if err := shared.read(data); err != nil {
				return e.finish(), err
			}
		}
		e.leads, e.began = true, e.now
		shared.correct(open)
		e.share(&shared)
	}
	known := len(e.s.Open)
	e.takeUp(open)
	e.uniteDoubles(e.s.Open[known:])
	e.dropUnconfigured()
	if len(e.peers) > 0 {
		e.countInFull()
	}
	if e.blind() && e.member(incident.Agent, sightRoot) == nil {
		e.openSight()
	}
	e.evaluate()
	return e.finish(), nil
}

// correct makes the open incidents of a state those that the store has as open, as the store has them where that is newer: an agent that
// was alone ended or raised some after the state was stored.
func (s *state) correct(open []incident.Incident) {
	s.Open = slices.DeleteFunc(s.Open, func(l *live) bool {
		at := slices.IndexFunc(open, func(i incident.Incident) bool { return i.ID == l.ID })
		if at >= 0 && open[at].Updated.After(l.Updated) {
			l.Incident, l.Active = open[at], slices.Clone(open[at].Components)
		}
		return at < 0
	})
}

// share takes what all vantages share of the last leader's state.
func (e *Engine) share(shared *state) {
	e.s.Components = map[string]*memory{}
	for _, c := range e.components {
		if c.memory = shared.Components[c.Name]; c.memory == nil {
			c.memory = &memory{}
		}
		c.memory.rewind(e.now)
		e.s.Components[c.Name] = c.memory
	}
	e.s.Begun = map[string]time.Time{}
	for key, at := range shared.Begun {
		if !at.After(e.now) {
			e.s.Begun[key] = at
		}
	}
	e.s.Open = shared.Open
	for _, l := range e.s.Open {
		l.Stateless = l.Class != incident.Agent && l.Class != incident.Account
		switch {
		case l.Class != incident.Agent:
			continue
		case l.Root == sightRoot && shared.Vantage != "" && shared.Vantage != e.set.Vantage:
			l.Root = peerRoot(shared.Vantage)
		case l.Root == peerRoot(e.set.Vantage):
			l.Root = sightRoot
		default:
			continue
		}
		l.Components, l.Active = []string{l.Root}, []string{l.Root}
		e.step.put(l.Incident)
	}
}

// uniteDoubles makes one incident of two of the same class and component, as they come about where agents could not see each other.
func (e *Engine) uniteDoubles(added []*live) {
	for _, l := range slices.Clone(added) {
		for _, name := range l.Components {
			other := e.member(l.Class, name)
			if other == nil || other == l || !slices.Contains(e.s.Open, l) {
				continue
			}
			const because = "two agents that could not see each other opened one each"
			if l.Opened.Before(other.Opened) {
				e.absorb(l, other, because)
			} else {
				e.absorb(other, l, because)
			}
		}
	}
}
