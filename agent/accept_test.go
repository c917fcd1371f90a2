package agent

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
)

// Accept ends an incident of the probe slow, changes what is normal for the probe fast, and knows too little of any other.
func (e *counting) Accept(now time.Time, probe, by, _ string) (engine.Step, bool) {
	s := engine.Step{At: now}
	switch probe {
	case "slow":
		s.Incidents = []incident.Incident{{ID: "i", AcceptedBy: by}}
		s.Events = []incident.Event{{Incident: "i", At: now, Text: by}}
		s.Accepted = []engine.Accepted{{Probe: probe, Text: "accepted by " + by}}
	case "fast":
		e.learnt++
	default:
		return s, false
	}
	return s, true
}

// TestAnAcceptanceIsDurableAtOnceAndLoggedOnce states what becomes of an operator's acceptance, with an incident and without.
func TestAnAcceptanceIsDurableAtOnceAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := newCourt()
		c.writer.log = slog.New(slog.NewTextHandler(&log, nil))
		c.run(t, func() {
			synctest.Wait()
			for n, probe := range []string{"slow", "fast", "unknown"} {
				before := c.current()
				if ok := c.accept(probe, "mette", "a new host"); ok != (probe != "unknown") {
					t.Errorf("%s: accepted %v", probe, ok)
				}
				synctest.Wait()
				if commits, _ := c.disk.holds(); commits != min(n+1, 2) {
					t.Errorf("%s: %d commits at once", probe, commits)
				}
				time.Sleep(time.Millisecond)
				if c.current().At.Equal(before.At) {
					t.Errorf("%s: the view is from before", probe)
				}
			}
			time.Sleep(time.Minute)
		})
		if first := c.disk.commits[0]; len(first.Events) != 1 || first.Incidents[0].AcceptedBy != "mette" {
			t.Errorf("the first commit is %+v", first)
		}
		if second := c.disk.commits[1]; len(second.Incidents) != 0 || len(second.Baselines) == 0 {
			t.Errorf("the second commit has the baselines %v", second.Baselines)
		}
		events := 0
		for _, commit := range c.disk.commits {
			events += len(commit.Events)
		}
		if said := strings.Count(log.String(), `probe=slow reason="accepted by mette"`); said != 1 || events != 1 {
			t.Errorf("said %d times, %d events:\n%s", said, events, log.String())
		}
	})
}
