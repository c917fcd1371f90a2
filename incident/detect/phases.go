package detect

import (
	"math"

	"github.com/firstcall-agent/firstcall/probes"
)

// phaseSamples is how many samples of an hour a phase keeps: its level needs no more.
const phaseSamples = 32

// takePhases notes the phases of a sample, but for the one that is judged.
func (l *latency) takePhases(of []probes.Phase, judged string) {
	// Every so many samples: what an hour holds at most, by what is kept of it.
	const every = (mostSamples + phaseSamples - 1) / phaseSamples
	keep := len(l.samples) <= phaseSamples/2 || len(l.samples)%every == 0
	for i := range of {
		if of[i].Name == judged || of[i].Duration <= 0 {
			continue
		}
		at := l.phaseOf(of[i].Name)
		if at < 0 {
			continue
		}
		p, y := &l.phases[at], quantised(math.Log(milliseconds(of[i].Duration)))
		p.ring[p.next] = y
		p.next = (p.next + 1) % midWindow
		p.n = min(p.n+1, midWindow)
		if keep && len(p.samples) < phaseSamples {
			p.samples = append(p.samples, y)
		}
	}
}

// phaseOf returns where a phase is kept, or -1 where there is no room for it.
func (l *latency) phaseOf(name string) int {
	for i, known := range l.base.phases {
		if known == name {
			return i
		}
	}
	if len(l.phases) >= maxPhases {
		return -1
	}
	l.base.phases, l.base.changed = append(l.base.phases, name), true
	l.phases = append(l.phases, phase{samples: make([]int16, 0, phaseSamples)})
	return len(l.phases) - 1
}

// closePhases returns the hour's levels by phase and begins anew.
func (l *latency) closePhases() []int16 {
	if len(l.phases) == 0 {
		return nil
	}
	levels := make([]int16, len(l.phases))
	for i := range l.phases {
		p := &l.phases[i]
		if len(p.samples) > 0 {
			levels[i] = median(p.samples)
		}
		p.samples = p.samples[:0]
	}
	return levels
}

// maxPhases bounds what is kept of a probe.
const maxPhases = 8
