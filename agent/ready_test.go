package agent

import (
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// TestReadyWithoutRareProbes states that an agent is ready when its frequent probes ran once, so that nobody who waits for its start waits for an hourly one.
func TestReadyWithoutRareProbes(t *testing.T) {
	var a Agent
	often, rare := &job{interval: readyWithin}, &job{interval: time.Hour}
	s := &set{jobs: []*job{{interval: time.Hour}, rare, often}}
	if a.isReady(s) {
		t.Error("ready before a frequent probe ran")
	}
	rare.recent.add(&probes.Result{Outcome: probes.Up})
	if a.isReady(s) {
		t.Error("ready when only the rare probe ran")
	}
	often.recent.add(&probes.Result{Outcome: probes.Up})
	if !a.isReady(s) {
		t.Error("not ready, though every frequent probe ran")
	}
}
