package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// slowFrom returns an answer that takes 100 ms, give or take 3, and four times as long in the spells given in hours after t0, two
// numbers each.
func slowFrom(id string, spells ...float64) func(string, time.Time) probes.Result {
	return func(at string, t time.Time) probes.Result {
		r := up()
		r.Duration = 100*time.Millisecond + time.Duration(t.Unix()*7919%61-30)*100*time.Microsecond
		for n := 0; n+1 < len(spells) && at == id; n += 2 {
			if h := t.Sub(t0).Hours(); h >= spells[n] && h < spells[n+1] {
				r.Duration *= 4
			}
		}
		return r
	}
}

func sluggish(t *testing.T, id string, spells ...float64) *world {
	t.Helper()
	w := newWorld(t, one("web"), one("rdp"))
	w.interval, w.beat, w.answer = 30*time.Second, 10*time.Second, slowFrom(id, spells...)
	return w
}

// hours is so many of them.
func hours(n float64) time.Duration { return time.Duration(n * float64(time.Hour)) }

func TestAnOperatorAcceptsALatency(t *testing.T) {
	w := sluggish(t, "web/tcp", 8, 100).run(hours(8.5))
	open := w.open()
	if len(open) != 1 || open[0].Class != incident.Performance {
		t.Fatalf("open: %+v", open)
	}
	step, ok := w.engine.Accept(w.now, "web/tcp", "mette", "moved to another zone")
	if !ok || len(step.Accepted) != 1 || step.Accepted[0].Probe != "web/tcp" {
		t.Fatalf("%v, %+v", ok, step.Accepted)
	}
	w.take(step)
	closed := w.incidents[open[0].ID]
	if closed.Open() || closed.Resolution != incident.Accepted || closed.AcceptedBy != "mette" {
		t.Errorf("%+v", closed)
	}
	last := w.events[len(w.events)-1]
	if want := "the latency of web/tcp is taken as normal from now on, by mette: moved to another zone"; last.Kind != incident.EventResolved || last.Text != want {
		t.Errorf("the timeline says %s %q", last.Kind, last.Text)
	}
	if again, ok := w.engine.Accept(w.now, "web/tcp", "mette", ""); ok || again.Changed() {
		t.Error("accepted again, with nothing measured since")
	}
	if w.run(hours(12)); len(w.open()) != 0 {
		t.Errorf("slow again at the level that was accepted: %+v", w.open())
	}
}

func TestWhatCannotBeAccepted(t *testing.T) {
	w := sluggish(t, "web/tcp").run(hours(1))
	for _, id := range []string{"web/tcp", "witness/w", "none"} {
		if step, ok := w.engine.Accept(w.now, id, "mette", ""); ok || step.Changed() {
			t.Errorf("%s: %v %+v", id, ok, step)
		}
	}
}

// What was accepted while no incident was open says nothing of one that comes later.
func TestAnAcceptanceIsNotOfALaterIncident(t *testing.T) {
	w := sluggish(t, "web/tcp", 8, 8.1, 9, 12).run(hours(8) + 4*time.Minute)
	if len(w.open()) != 0 || w.engine.probes["web/tcp"].detector.Finding(incident.Regression) == nil {
		t.Fatalf("want a finding and no incident yet: %+v", w.open())
	}
	w.answer = slowFrom("web/tcp", 8, 8.1, 20, 20.5)
	step, ok := w.engine.Accept(w.now, "web/tcp", "mette", "")
	if !ok || step.Changed() || len(step.Accepted) != 1 {
		t.Fatalf("%v %+v", ok, step)
	}
	w.take(step)
	slower := func(id string, at time.Time) probes.Result { // twelve times as long from 20 h to 20.5 h
		r := slowFrom("web/tcp", 8, 100)(id, at)
		if h := at.Sub(t0).Hours(); id == "web/tcp" && h >= 20 && h < 20.5 {
			r.Duration *= 3
		}
		return r
	}
	w.answer = slower
	w.run(hours(23))
	if len(w.incidents) != 1 {
		t.Fatalf("incidents: %+v", w.incidents)
	}
	for _, i := range w.incidents {
		if i.Open() || i.Resolution != incident.Recovered || i.AcceptedBy != "" || strings.Contains(w.events[len(w.events)-1].Text, "mette") {
			t.Errorf("%+v", i)
		}
	}
}
