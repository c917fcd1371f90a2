package engine

import (
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
		e.leads = false
		e.s.Open = nil
		clear(e.holders)
	}
	return e.finish()
}

// Lead makes the engine judge incidents, with what the last leader committed: state is as State returned it, of any vantage's engine;
// of it what all share is taken (the memory of components and the open incidents) and the rest is left. nil: it begins with the
// incidents that the store has as open, as New does. Keys, priorities and beginnings stay, and what this vantage knows nothing of
// stays open until it, or a quorum, has measured it. The votes of the peers must have been heard before. An engine that leads keeps its
// state and takes up the open incidents that it does not know.
//
// A state that cannot be read is an error, and the engine follows as before: call it again with nil.
func (e *Engine) Lead(now time.Time, state []byte, open []incident.Incident) (Step, error) {
	e.begin(now)
	e.leads = true
	e.takeUp(open)
	e.evaluate()
	return e.finish(), nil
}
