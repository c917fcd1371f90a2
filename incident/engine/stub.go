package engine

import (
	"encoding/binary"
	"maps"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/probes"
)

// learningDays is how many days a baseline learns before it is judged by.
const learningDays = 14

// Reading returns how the newest result of a probe stands against what is normal; false: there is no such probe, or no result.
func (e *Engine) Reading(id string) (detect.Reading, bool) {
	p := e.probes[id]
	if p == nil || p.last == nil {
		return detect.Reading{}, false
	}
	r := detect.Reading{At: p.last.End(), State: "ok"}
	if p.last.Outcome == probes.Up || p.last.Outcome == probes.Degraded {
		r.Value = p.last.Duration
	}
	for _, l := range e.set.Limits[id] {
		if l.Phase == probes.PhaseTotal {
			r.Limit = l.Max
		}
	}
	switch {
	case p.detector.Outage() != nil:
		r.State = "down"
	case p.detector.Finding(incident.Regression) != nil:
		r.State = "degraded"
	}
	return r, true
}

// Baselines returns, by probe, the baselines that changed since the last call; they are committed with the state.
func (e *Engine) Baselines() map[string][]byte { return maps.Clone(e.set.Baselines) }

// AllBaselines returns every baseline as it is now, by probe, for an engine that goes on.
func (e *Engine) AllBaselines() map[string][]byte { return maps.Clone(e.set.Baselines) }

// Seed teaches a probe's baseline what was measured before, oldest first, and returns how many points it took.
func (e *Engine) Seed(id string, history []detect.Point) (taken int) {
	if e.probes[id] == nil || len(history) == 0 {
		return 0
	}
	e.set.Baselines = maps.Clone(e.set.Baselines)
	if e.set.Baselines == nil {
		e.set.Baselines = map[string][]byte{}
	}
	days := history[len(history)-1].At.Sub(history[0].At) / (24 * time.Hour)
	e.set.Baselines[id] = binary.AppendUvarint(nil, uint64(min(days, learningDays)))
	return len(history)
}

// Learning returns how many days of so many a probe's baseline has learnt.
func (e *Engine) Learning(id string) (days, of int) {
	n, _ := binary.Uvarint(e.set.Baselines[id])
	return int(n), learningDays
}
