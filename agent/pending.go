package agent

import (
	"context"
	"maps"
	"slices"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// step takes a step of the engine. The judge calls it while nothing else is judged, so that steps stay in order.
func (w *writer) step(s engine.Step) {
	w.mu.Lock()
	if !w.at.judges {
		s.Incidents, s.Events = nil, nil
	}
	w.pending = merge(w.pending, store.Commit{At: s.At, Incidents: s.Incidents, Events: s.Events})
	w.steps++
	w.ever++
	w.mu.Unlock()
	for _, e := range s.Events {
		switch e.Kind {
		case incident.EventOpened, incident.EventRaised, incident.EventLowered, incident.EventAbsorbed, incident.EventResolved:
			w.log.Info("a step of an incident", "step", e.Kind, "incident", e.Incident, "priority", e.Priority.String(), "text", e.Text)
		default: // the timeline has it
		}
	}
	w.rouse()
}

// baselines takes what changed of them, to be stored with the next state.
func (w *writer) baselines(changed map[string][]byte) {
	if len(changed) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = merge(w.pending, store.Commit{At: w.pending.At, Baselines: changed})
}

// learnt takes back what a vantage has learnt and is not stored yet.
func (w *writer) learnt(baselines map[string][]byte, seeds map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = merge(store.Commit{Baselines: baselines, Seeds: seeds}, w.pending)
}

// seed notes that a probe's baseline was taught so many points of elsewhere, to be stored with the next state.
func (w *writer) seed(probe string, points int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = merge(w.pending, store.Commit{At: w.pending.At, Seeds: map[string]int{probe: points}})
}

// merge returns two steps as one: the newest form of every incident and of every baseline, and all events, in order.
func merge(first, second store.Commit) store.Commit {
	for _, i := range second.Incidents {
		at := slices.IndexFunc(first.Incidents, func(o incident.Incident) bool { return o.ID == i.ID })
		if at < 0 {
			first.Incidents = append(first.Incidents, i)
		} else {
			first.Incidents[at] = i
		}
	}
	first.Events = append(first.Events, second.Events...)
	first.Baselines = together(first.Baselines, second.Baselines)
	first.Seeds = together(first.Seeds, second.Seeds)
	first.At = second.At
	return first
}

// together returns both maps as one; where both have a key, the second holds.
func together[V any](first, second map[string]V) map[string]V {
	if len(second) == 0 {
		return first
	}
	all := make(map[string]V, len(first)+len(second))
	maps.Copy(all, first)
	maps.Copy(all, second)
	return all
}

// frozen is what is to be written, and where.
type frozen struct {
	store.Commit
	at    place
	turn  int
	moved <-chan struct{}
}

// write makes it durable.
func (f *frozen) write(ctx context.Context) error {
	if f.at.judges {
		return f.at.state.Commit(ctx, f.Commit)
	}
	return f.at.state.SaveVantage(ctx, f.State, f.Baselines, f.Seeds)
}

// take hands over all pending steps as one. judge.freeze calls it, while nothing is judged.
func (w *writer) take() frozen {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := frozen{w.pending, w.at, w.turn, w.moved}
	w.pending, w.writing, w.steps = store.Commit{}, w.writing+w.steps, 0
	return f
}

// putBack returns what could not be written, before all that came since. Steps of an earlier role are not.
func (w *writer) putBack(f *frozen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := f.Commit
	if f.turn != w.turn {
		c.Incidents, c.Events = nil, nil
	}
	w.pending = merge(c, w.pending)
	if w.pending.At.IsZero() {
		w.pending.At = c.At
	}
	w.pending.State = nil
	if f.turn == w.turn {
		w.steps, w.writing = w.steps+w.writing, 0
	}
}

// minResults and maxResults bound the raw results that wait for the store; between them the bound is five minutes' worth.
const (
	minResults = 1_000
	maxResults = 100_000
)

// expect sets the bound on raw results by how many come in a second.
func (w *writer) expect(perSecond float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bound = min(max(int(perSecond*300), minResults), maxResults)
}

// result takes a raw result.
func (w *writer) result(r probes.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.results) - 1
	if last < 0 || len(w.results[last]) >= chunk {
		w.results = append(w.results, make([]probes.Result, 0, 16))
		last++
	}
	w.results[last] = append(w.results[last], r)
	w.held++
	w.shed()
}

// shed drops the oldest results over the bound. The caller holds mu.
func (w *writer) shed() {
	for w.held > w.bound && len(w.results) > 1 {
		n := len(w.results[0])
		w.results[0] = nil
		w.results = w.results[1:]
		w.held -= n
		w.dropped += n
		w.metrics.Dropped(n)
	}
}

// oldest takes out the oldest chunk of results, nil when there is none, and says where it goes.
func (w *writer) oldest() (list []probes.Result, at place, moved <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.results) == 0 {
		return nil, w.at, w.moved
	}
	list = w.results[0]
	w.results[0] = nil
	w.results = w.results[1:]
	w.held -= len(list)
	return list, w.at, w.moved
}

// tellDropped reports, once the store takes results again, how many it never got.
func (w *writer) tellDropped() {
	w.mu.Lock()
	n := w.dropped
	w.dropped = 0
	w.mu.Unlock()
	if n > 0 {
		w.log.Warn("raw results were dropped while the store failed; they had been judged, but charts have a gap", "results", n)
	}
}

// idle reports whether every step is durable, and how many there ever were.
func (w *writer) idle() (ever int, idle bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ever, w.steps+w.writing == 0
}

// waiting returns how many steps and raw results wait for the store.
func (w *writer) waiting() (steps, results int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps + w.writing, w.held
}
