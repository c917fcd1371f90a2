package engine

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
)

// Reading returns how the newest result of a probe stands against what is normal; false: there is no such probe, or it has no
// result.
func (e *Engine) Reading(id string) (detect.Reading, bool) {
	p := e.probes[id]
	if p == nil || p.last == nil {
		return detect.Reading{}, false
	}
	return p.detector.Reading(), true
}

// Baselines returns, by probe, the baselines that changed since the last call; they are committed with the state.
func (e *Engine) Baselines() map[string][]byte {
	var all map[string][]byte
	for id, p := range e.probes {
		if b := p.detector.Baseline(); b != nil {
			if all == nil {
				all = map[string][]byte{}
			}
			all[id] = b
		}
	}
	return all
}

// latencies separates, in a saved state, the JSON from what the detectors remember of latencies: the text of a hundred numbers
// for each of thousands of probes would be several times as large. JSON holds no such byte.
const latencies = 0

// appendLatencies appends the latencies to the JSON of a state: for each probe its id and what it remembers, each after its length.
func (e *Engine) appendLatencies(data []byte) []byte {
	const guess = 1500 // bytes a probe
	out := append(make([]byte, 0, len(data)+guess*len(e.probes)), data...)
	out = append(out, latencies)
	for _, id := range slices.Sorted(maps.Keys(e.probes)) {
		out = append(binary.AppendUvarint(out, uint64(len(id))), id...)
		e.blob = e.probes[id].detector.AppendLatency(e.blob[:0])
		out = append(binary.AppendUvarint(out, uint64(len(e.blob))), e.blob...)
	}
	return out
}

// takeLatencies puts the latencies of a saved state back to the detectors' states, and returns the JSON. What is cut off or damaged
// is left out: it is measured anew.
func takeLatencies(saved []byte) (data []byte, byProbe map[string][]byte) {
	data, rest, _ := bytes.Cut(saved, []byte{latencies})
	byProbe = map[string][]byte{}
	next := func() ([]byte, bool) {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			return nil, false
		}
		part := rest[size : size+int(n)]
		rest = rest[size+int(n):]
		return part, true
	}
	for len(rest) > 0 {
		id, ok := next()
		blob, also := next()
		if !ok || !also {
			break
		}
		byProbe[string(id)] = blob
	}
	return data, byProbe
}

// AllBaselines returns every baseline as it is now, by probe, for an engine that goes on.
func (e *Engine) AllBaselines() map[string][]byte {
	all := make(map[string][]byte, len(e.probes))
	for id, p := range e.probes {
		all[id] = p.detector.AllBaseline()
	}
	return all
}

// Seed teaches a probe's baseline what was measured before, oldest first, and returns how many points it took.
func (e *Engine) Seed(id string, history []detect.Point) (taken int) {
	p := e.probes[id]
	if p == nil {
		return 0
	}
	return p.detector.Seed(history)
}

// Learning returns how many days of so many a probe's baseline has learnt; of is 0 where nothing is learnt about it.
func (e *Engine) Learning(id string) (days, of int) {
	p := e.probes[id]
	if p == nil || p.component == nil {
		return 0, 0
	}
	return p.detector.Learning()
}

// Accept takes the latency that a probe measures now as normal, as an operator decides after a permanent change, for a reason that may
// be ""; false: there is no such probe, or too little is measured to say what that is.
func (e *Engine) Accept(now time.Time, id, by, reason string) (Step, bool) {
	e.begin(now)
	p := e.probes[id]
	if p == nil || p.component == nil {
		return e.finish(), false
	}
	v, ok := p.detector.Accept()
	if !ok {
		return e.finish(), false
	}
	because := "the latency of " + id + " is taken as normal from now on, by " + by
	if reason != "" {
		because += ": " + reason
	}
	e.noteAccepted(p, v, accepted{because, by})
	e.evaluate()
	return e.finish(), true
}

// accepted says why a speed problem is over although it is as slow as before; the zero value: it is not.
type accepted struct {
	because string
	by      string // the operator who decided it; "": it has lasted
}

// noteAccepted remembers why a speed problem ends although it is as slow as before, until the probe is slow again.
func (e *Engine) noteAccepted(p *probe, v detect.Verdict, a accepted) {
	for _, f := range v.Started {
		if f.Kind == incident.Regression {
			p.accepted = accepted{}
		}
	}
	for _, f := range v.Ended {
		if f.Kind == incident.Regression && f.Accepted {
			p.accepted = a
			e.step.Accepted = append(e.step.Accepted, Accepted{Probe: p.id, Text: a.because})
		}
	}
}
