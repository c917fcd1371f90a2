package engine

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// fault is a stretch of bad results of some probes.
type fault struct {
	from, to time.Duration
	kind     int
	prefix   string
}

func (f fault) answer() func(string, time.Time) probes.Result {
	bad := []func() probes.Result{
		refused, hang,
		func() probes.Result {
			return probes.Result{Outcome: probes.Unknown, Reason: probes.Local, Detail: "no route", Duration: time.Millisecond}
		},
		func() probes.Result {
			return probes.Result{Outcome: probes.Degraded, Reason: probes.Capacity, Detail: "full", Duration: time.Millisecond}
		},
		func() probes.Result {
			return probes.Result{Outcome: probes.Degraded, Reason: probes.Functional, Detail: "wrong query", Duration: time.Millisecond}
		},
		func() probes.Result {
			return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: "late", Duration: time.Second, Lagging: true}
		},
	}[f.kind]
	return during(f.from, f.to, bad, f.prefix)
}

// play runs drawn faults over a solution with dependencies and redundancy, with restarts and a maintenance window, and lets
// everything be well again at the end.
func play(rt *rapid.T, t testing.TB) *world {
	prefixes := []string{"backend", "app", "app/a", "app/b", "web", "rdp", "witness", ""}
	w := newWorld(t, one("backend"), two("app"), one("web", "backend"), one("rdp"))
	if rapid.Bool().Draw(rt, "no witness") {
		w.setup.Solution.Witnesses = nil
	}
	if rapid.Bool().Draw(rt, "window") {
		window("20 10 * * *", 15*minute)(&w.setup)
	}
	var answers []func(string, time.Time) probes.Result
	for range rapid.IntRange(1, 6).Draw(rt, "faults") {
		from := time.Duration(rapid.IntRange(0, 3000).Draw(rt, "from")) * time.Second
		f := fault{
			from: from, to: from + time.Duration(rapid.IntRange(1, 1200).Draw(rt, "for"))*time.Second,
			kind: rapid.IntRange(0, 5).Draw(rt, "kind"), prefix: rapid.SampledFrom(prefixes).Draw(rt, "of"),
		}
		answers = append(answers, f.answer())
	}
	w.answer = both(answers...)
	for range rapid.IntRange(0, 3).Draw(rt, "restarts") {
		w.run(w.now.Sub(t0) + time.Duration(rapid.IntRange(1, 1500).Draw(rt, "until"))*time.Second).restart()
	}
	return w.run(7 * time.Hour)
}

// TestInvariants states what holds whatever happens: opens and closes alternate, every incident is closed in the end, a
// component is never in two open incidents of one class, priorities move only with a recorded reason, nothing of the SOC is
// opened while the agent is blind or for a functional failure.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := play(rt, t)
		if open := w.open(); len(open) != 0 {
			rt.Fatalf("still open: %+v", open)
		}
		holder := map[string]string{}
		priority := map[string]incident.Priority{}
		blind := false
		for _, e := range w.events {
			i := w.incidents[e.Incident]
			switch e.Kind {
			case incident.EventOpened:
				if _, twice := priority[i.ID]; twice {
					rt.Fatalf("%s opened twice", i.ID)
				}
				if blind && i.Class.OpensCase() {
					rt.Fatalf("%s opened while blind", i.ID)
				}
				priority[i.ID] = e.Priority
				key := string(i.Class) + i.Root
				if i.Class == incident.Agent {
					blind = true
				} else if holder[key] != "" && i.Root != incident.Solution {
					rt.Fatalf("%s opened while %s holds %s", i.ID, holder[key], key)
				}
			case incident.EventResolved:
				if i.Class == incident.Agent {
					blind = false
				}
			case incident.EventRaised, incident.EventLowered:
				if e.Text == "" || e.Priority == priority[i.ID] || e.Priority.Above(priority[i.ID]) != (e.Kind == incident.EventRaised) {
					rt.Fatalf("%s %s from %s to %s: %q", i.ID, e.Kind, priority[i.ID], e.Priority, e.Text)
				}
				priority[i.ID] = e.Priority
			}
			if p, ok := priority[i.ID]; ok && p != e.Priority {
				rt.Fatalf("%s moved from %s to %s at %q", i.ID, p, e.Priority, e.Kind)
			}
		}
		for _, i := range w.incidents {
			if i.Class == incident.Function && i.Priority != incident.NoPriority {
				rt.Fatalf("a functional failure has priority %s", i.Priority)
			}
		}
	})
}

// TestOneHolder states at every instant that a component is in at most one open incident of a class.
func TestOneHolder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := play(rt, t)
		type span struct {
			from, to time.Time
			id       string
		}
		held := map[string][]span{}
		for _, i := range w.incidents {
			if i.Class != incident.Availability {
				continue
			}
			s := span{i.Opened, i.Closed, i.ID}
			for _, other := range held[i.Root] {
				if s.from.Before(other.to) && other.from.Before(s.to) {
					rt.Fatalf("%s is in %s and %s at once", i.Root, s.id, other.id)
				}
			}
			held[i.Root] = append(held[i.Root], s)
		}
	})
}

// FuzzObserve feeds the engine results in any order: it never panics and its incidents stay well formed.
func FuzzObserve(f *testing.F) {
	f.Add([]byte{1, 3, 0, 1, 3, 9, 2, 3, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t, one("backend"), two("app"), one("web", "backend"))
		w.start()
		ids := []string{"backend/tcp", "app/a/tcp", "app/b/tcp", "web/tcp", "witness/w", "gone"}
		at := t0
		for len(data) >= 3 {
			at = at.Add(time.Duration(int8(data[2])) * 100 * time.Millisecond)
			r := probes.Result{
				Probe: ids[int(data[0])%len(ids)], Start: at, Outcome: probes.Outcome(data[1] % 4), Duration: time.Duration(data[1]) * time.Millisecond,
				Recheck: data[1]&16 != 0, Lagging: data[1]&32 != 0,
			}
			if r.Outcome >= probes.Degraded {
				r.Reason, r.Detail = probes.Reasons[int(data[1]>>2)%len(probes.Reasons)], "bad"
			}
			w.now = at
			w.take(w.engine.Observe(r))
			data = data[3:]
		}
	})
}
