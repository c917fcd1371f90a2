package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// lost returns an answer that is bad for the nth run of the probes with that prefix.
func lost(n int, bad func() probes.Result, prefix string) func(string, time.Time) probes.Result {
	runs := 0
	return func(id string, _ time.Time) probes.Result {
		if !strings.HasPrefix(id, prefix) {
			return up()
		}
		if runs++; runs == n {
			return bad()
		}
		return up()
	}
}

// TestRolling states that servers restarted one after the other are never taken for all of them down: the one that came back a
// moment ago has not yet proven its recovery when the next one's outage is confirmed.
func TestRolling(t *testing.T) {
	tests := []struct {
		name          string
		components    []policy.Component
		first, second string
	}{
		{"instances of one component", []policy.Component{two("app"), one("rdp")}, "app/a", "app/b"},
		{"components of a solution", []policy.Component{one("app"), one("rdp")}, "app", "rdp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for n := range 40 {
				w := newWorld(t, tt.components...)
				back := 2*minute + 31*time.Second
				gone := back + time.Duration(n)*500*time.Millisecond
				w.answer = both(during(2*minute, back, refused, tt.first), during(gone, gone+time.Minute, refused, tt.second))
				w.run(20 * minute)
				for _, e := range w.events {
					if e.Priority == incident.P1 {
						t.Fatalf("the second stops %s after the first is back:\n%s", gone-back, strings.Join(w.story(), "\n"))
					}
				}
				if len(w.open()) != 0 || len(w.incidents) == 0 {
					t.Fatalf("gone %s after: %v", gone-back, w.story())
				}
			}
		})
	}
}

// TestSeldom states that probes that run seldom neither delay an opening nor a close nor a raise.
func TestSeldom(t *testing.T) {
	seldom := func(w *world, ids ...string) {
		w.every = map[string]time.Duration{}
		for _, id := range ids {
			w.every[id] = 24 * time.Hour
		}
	}
	// at tells how long after t0 the newest event of a kind was.
	at := func(w *world, kind incident.EventKind) time.Duration {
		for _, e := range slices.Backward(w.events) {
			if e.Kind == kind {
				return e.At.Sub(t0)
			}
		}
		return -1
	}
	t.Run("the end of its outage", func(t *testing.T) {
		w := newWorld(t, three()...)
		seldom(w, "rdp/tcp")
		w.answer = both(during(-minute, 10*minute, refused, "rdp"))
		w.run(12 * minute)
		w.tells(t, "opened P2 rdp", "resolved P2 rdp")
	})
	t.Run("a suspicion that was forgotten", func(t *testing.T) {
		w := newWorld(t, three()...)
		seldom(w, "rdp/tcp")
		w.answer = during(-minute, 10*minute, hang, "rdp")
		w.run(14 * time.Second)
		if !w.engine.probes["rdp/tcp"].detector.Suspect() {
			t.Fatal("no suspicion")
		}
		w.forget(5 * time.Second).run(40 * time.Second)
		w.tells(t, "opened P2 rdp")
	})
	t.Run("a suspicion that stays does not hold an incident open", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.setup.Solution.Components[2].Instances[0].Probes = append(w.setup.Solution.Components[2].Instances[0].Probes, policy.Probe{ID: "rdp/other", Deciding: true})
		failed := false
		w.answer = both(during(2*minute, 10*minute, refused, "rdp/tcp"), func(id string, at time.Time) probes.Result {
			switch {
			case id != "rdp/other" || at.Before(t0.Add(9*minute+50*time.Second)):
				return up()
			case !failed:
				failed = true
				return refused()
			}
			return local()
		})
		w.run(12 * minute)
		w.tells(t, "opened P2 rdp", "resolved P2 rdp")
		if closed := at(w, incident.EventResolved); closed < 10*minute+45*time.Second {
			t.Errorf("closed after %s, with a fresh suspicion", closed)
		}
	})
	t.Run("a suspicion whose re-probes say nothing", func(t *testing.T) {
		w := newWorld(t, three()...)
		seldom(w, "rdp/tcp")
		runs := 0
		w.answer = func(id string, _ time.Time) probes.Result {
			if id != "rdp/tcp" {
				return up()
			}
			if runs++; runs > 1 && runs < 5 {
				return local()
			}
			return refused()
		}
		w.run(5 * minute)
		w.tells(t, "opened P2 rdp")
		if opened := at(w, incident.EventOpened); opened > 4*minute {
			t.Errorf("opened after %s", opened)
		}
	})
	t.Run("an old outage counts towards priority 1 only when it is seen again", func(t *testing.T) {
		w := newWorld(t, two("app"), one("rdp"))
		seldom(w, "app/a/tcp")
		w.answer = both(during(-minute, 10*minute+5*time.Second, refused, "app/a"), during(10*minute, 20*minute, refused, "app/b"))
		w.run(30 * minute)
		w.tells(t, "opened P3 app", "raised P1 app", "lowered P3 app", "resolved P3 app")
		w = newWorld(t, two("app"), one("rdp"))
		seldom(w, "app/a/tcp")
		w.answer = both(during(-minute, 10*minute-5*time.Second, refused, "app/a"), during(10*minute, 20*minute, refused, "app/b"))
		w.run(30 * minute)
		w.tells(t, "opened P3 app", "measured P3 app", "resolved P3 app")
	})
	t.Run("in a solution that is too large to be swept too", func(t *testing.T) {
		var all []policy.Component
		for i := range 110 {
			c := one("c" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
			c.Essential = false
			all = append(all, c)
		}
		all = append(all, two("app"))
		w := newWorld(t, all...)
		seldom(w, "app/a/tcp")
		w.answer = both(during(-minute, 30*minute, refused, "app/a"), during(10*minute, 20*minute, refused, "app/b"))
		w.run(12 * minute)
		w.tells(t, "opened P3 app", "raised P1 app")
		if raised := at(w, incident.EventRaised); raised > 10*minute+15*time.Second {
			t.Errorf("raised after %s", raised)
		}
	})
}

// TestSight states what the agent says when it can hardly see.
func TestSight(t *testing.T) {
	t.Run("one lost answer of the only witness", func(t *testing.T) {
		w := newWorld(t, one("web"))
		w.every = map[string]time.Duration{"witness/w": 5 * minute}
		w.answer = both(lost(2, hang, "witness"), during(2*minute, 30*minute, refused, "web"))
		w.run(3 * minute)
		w.tells(t, "opened P1 solution")
		if took := w.open()[0].Opened.Sub(t0); took > 2*minute+25*time.Second {
			t.Errorf("opened after %s", took)
		}
	})
	t.Run("everything fails within a moment, witnesses run seldom", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.interval = time.Second
		w.every = map[string]time.Duration{"witness/w": 5 * minute}
		w.answer = both(during(112*time.Second, 113*time.Second, refused, "rdp"), during(2*minute, 30*minute, refused, "web", "backend", "rdp"))
		w.run(3 * minute)
		w.tells(t, "opened P1 solution")
		if i := w.open()[0]; i.Opened.Sub(i.Started) > 5*time.Second {
			t.Errorf("opened after %s", i.Opened.Sub(i.Started))
		}
	})
	t.Run("the agent's resolver is gone, the witnesses answer: blind once, as long as it is", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = during(2*minute, 12*minute, local, "web", "backend", "rdp")
		w.run(30 * minute)
		w.tells(t, "opened - sight-agent", "resolved - sight-agent")
		for _, i := range w.incidents {
			if d := i.Closed.Sub(i.Opened); d < 9*minute || d > 11*minute {
				t.Errorf("blind for %s", d)
			}
		}
	})
	t.Run("a probe that runs once a day is asked whether it fails alone", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.every = map[string]time.Duration{"web/tcp": 24 * time.Hour}
		w.answer = during(2*minute, 12*minute, local, "")
		w.run(30 * minute)
		w.tells(t, "opened - sight-agent", "resolved - sight-agent")
	})
	t.Run("some probes fail on the agent's own host: nothing is said", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = both(during(0, 30*minute, local, "web", "backend"), during(2*minute, 12*minute, refused, "rdp"))
		w.run(20 * minute)
		w.tells(t, "opened P2 rdp", "resolved P2 rdp")
	})
	t.Run("a suspicion that lingers does not keep the agent from being blind", func(t *testing.T) {
		w := newWorld(t, three()...)
		failed := false
		w.answer = both(func(id string, at time.Time) probes.Result {
			switch {
			case id != "web/tcp" || at.Before(t0.Add(minute)):
				return up()
			case !failed:
				failed = true
				return refused()
			}
			return local()
		}, during(minute+30*time.Second, 20*minute, hang, ""))
		w.run(5 * minute)
		w.tells(t, "opened - sight-agent")
	})
	t.Run("no witnesses, no resolver, probes that run seldom: they are asked", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.setup.Solution.Witnesses = nil
		w.interval = 5 * minute
		w.answer = during(2*minute, 6*minute, local, "")
		w.run(6*minute + 20*time.Second)
		w.tells(t, "opened - sight-agent", "resolved - sight-agent")
	})
	t.Run("what could not be seen is seen anew", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.interval = 5 * minute
		w.every = map[string]time.Duration{"witness/w": 10 * time.Second}
		w.answer = both(during(2*minute, 6*minute, refused, ""), during(2*minute, 30*minute, refused, "rdp"))
		w.run(6*minute + 20*time.Second)
		w.tells(t, "opened - sight-agent", "resolved - sight-agent", "opened P2 rdp")
		if i := w.open(); len(i) > 0 && i[0].Started.Before(t0.Add(6*minute)) {
			t.Errorf("dated from %s, when the agent was blind", i[0].Started)
		}
	})
	t.Run("no witnesses, no resolver, then everything is down", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.setup.Solution.Witnesses = nil
		w.answer = both(during(2*minute, 12*minute, local, ""), during(12*minute, 30*minute, refused, ""))
		w.run(15 * minute)
		w.tells(t, "opened - sight-agent", "resolved - sight-agent", "opened P1 solution")
	})
}

// TestMaintenance states that a window neither lowers what was there before it nor lets through what it explains.
func TestMaintenance(t *testing.T) {
	covering := func(names ...string) func(*Setup) {
		return func(s *Setup) {
			window1h("5 10 * * *")(s)
			s.Windows[0].Components = names
		}
	}
	t.Run("the entire solution is down before", func(t *testing.T) {
		w := newWorld(t, three()...)
		covering()(&w.setup)
		w.answer = during(2*minute, 90*minute, refused, "")
		w.answer = during(2*minute, 90*minute, refused, "web", "backend", "rdp")
		w.run(80 * minute)
		w.tells(t, "opened P1 solution")
	})
	t.Run("outages in it are not counted", func(t *testing.T) {
		w := newWorld(t, three()...)
		covering()(&w.setup)
		w.answer = both(during(40*minute, 41*minute, refused, "rdp"), during(50*minute, 51*minute, refused, "rdp"), during(60*minute, 61*minute, refused, "rdp"))
		w.run(2 * time.Hour)
		w.tells(t)
	})
	t.Run("a component in maintenance makes no priority 1", func(t *testing.T) {
		w := newWorld(t, three()...)
		covering("web")(&w.setup)
		w.answer = both(during(10*minute, 40*minute, refused, "web"), during(20*minute, 50*minute, refused, "backend", "rdp"))
		w.run(100 * minute)
		for _, e := range w.events {
			if e.Priority == incident.P1 {
				t.Fatal(w.story())
			}
		}
	})
	t.Run("a grandparent explains its grandchild", func(t *testing.T) {
		w := newWorld(t, one("backend"), one("web", "backend"), one("portal", "web"), one("rdp"))
		covering("backend")(&w.setup)
		w.answer = during(10*minute, 40*minute, refused, "backend", "web", "portal")
		w.run(100 * minute)
		w.tells(t)
	})
	t.Run("and is opened with it where it outlives the window", func(t *testing.T) {
		w := newWorld(t, one("backend"), one("web", "backend"), one("portal", "web"), one("rdp"))
		covering("backend")(&w.setup)
		w.answer = during(10*minute, 80*minute, refused, "backend", "web", "portal")
		w.run(100 * minute)
		w.tells(t, "opened P2 backend", "joined P2 backend", "joined P2 backend", "left P2 backend", "left P2 backend", "resolved P2 backend")
	})
}

// TestFamily states how the incidents of components that depend on each other go.
func TestFamily(t *testing.T) {
	t.Run("the parent recovers, the child does not, the parent fails again", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = both(during(2*minute, 40*minute, refused, "web"), during(2*minute, 10*minute, refused, "backend"), during(20*minute, 30*minute, refused, "backend"))
		var roots []string
		for at := 3 * minute; at < 50*minute; at += minute {
			w.run(at)
			for _, i := range w.open() {
				if n := len(roots); n == 0 || roots[n-1] != i.Root {
					roots = append(roots, i.Root)
				}
			}
		}
		if want := []string{"backend", "web", "backend", "web"}; !slices.Equal(roots, want) {
			t.Errorf("roots %v, want %v", roots, want)
		}
		for _, e := range w.events {
			if strings.Contains(e.Text, "web explains") {
				t.Errorf("the child explains its parent: %s", e.Text)
			}
		}
		w.tells(t, "opened P2 backend", "joined P2 backend", "left P2 backend", "joined P2 backend", "left P2 backend", "resolved P2 backend")
	})
	t.Run("a child confirmed before its parent, which waits, waits with it", func(t *testing.T) {
		w := newWorld(t, three()...)
		stuck := func() probes.Result {
			return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: "hung", Duration: 20 * time.Second}
		}
		late := func() probes.Result {
			return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: "late", Duration: 3 * time.Second}
		}
		w.answer = both(during(2*minute, 20*minute, late, "backend"), during(2*minute, 20*minute, refused, "web"), during(105*time.Second, 126*time.Second, stuck, "rdp"))
		w.run(10 * minute)
		if len(w.incidents) != 1 || w.open()[0].Root != "backend" {
			t.Error(w.story())
		}
	})
	t.Run("lost redundancy of the parent explains nothing", func(t *testing.T) {
		child := one("web", "app")
		w := newWorld(t, two("app"), child, one("rdp"))
		w.answer = during(2*minute, 20*minute, refused, "app/a", "web")
		w.run(10 * minute)
		if len(w.open()) != 2 {
			t.Error(w.story())
		}
	})
	t.Run("one that flaps does not make the others of its incident flap", func(t *testing.T) {
		w := newWorld(t, one("backend"), one("web", "backend"), one("rdp"))
		w.answer = both(during(2*minute, 3*minute, refused, "backend"), during(10*minute, 11*minute, refused, "backend"),
			during(20*minute, 21*minute, refused, "backend", "web"))
		w.run(120 * minute)
		w.tells(t, "opened P2 backend", "resolved P2 backend", "opened P2 backend", "resolved P2 backend",
			"opened P2 backend", "joined P2 backend", "measured P2 backend", "left P2 backend", "lowered P3 backend", "resolved P3 backend")
		last := w.incidents[w.events[len(w.events)-1].Incident]
		if quiet := last.Closed.Sub(last.Ended); quiet < 59*minute || last.Resolution != incident.Recovered {
			t.Errorf("%s, %s after the last outage", last.Resolution, quiet)
		}
	})
	t.Run("a component that is not essential neither makes nor keeps from priority 1", func(t *testing.T) {
		extra := one("extra")
		extra.Essential = false
		w := newWorld(t, one("backend"), one("rdp"), extra)
		w.answer = both(during(2*minute, 20*minute, refused, "extra"), during(30*minute, 40*minute, refused, "backend", "rdp"))
		w.run(60 * minute)
		w.tells(t, "opened P2 extra", "resolved P2 extra", "opened P1 solution", "left P1 solution", "resolved P1 solution")
	})
	t.Run("a known outage that is slow to see again makes no second case", func(t *testing.T) {
		for _, took := range []time.Duration{5 * time.Second, 30 * time.Second} {
			stuck := func() probes.Result {
				return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: "hung", Duration: took}
			}
			w := newWorld(t, three()...)
			w.answer = both(during(2*minute, 20*minute, stuck, "rdp"), during(4*minute, 20*minute, refused, "web", "backend"))
			w.run(4*minute + 20*time.Second)
			w.tells(t, "opened P2 rdp", "joined P2 rdp", "joined P2 rdp", "raised P1 rdp")
		}
	})
	t.Run("what is taken in may have begun earlier", func(t *testing.T) {
		w := newWorld(t, one("backend"), one("web"), one("rdp"))
		stuck := func() probes.Result {
			return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: "hung", Duration: 20 * time.Second}
		}
		w.answer = both(during(2*minute, 20*minute, stuck, "rdp"), during(2*minute+15*time.Second, 20*minute, refused, "web"), during(5*minute, 20*minute, refused, "backend"))
		w.run(10 * minute)
		for _, i := range w.incidents {
			if by := w.incidents[i.AbsorbedBy]; i.AbsorbedBy != "" && by.Started.After(i.Started) {
				t.Errorf("%s of %s is in %s of %s", i.ID, i.Started, by.ID, by.Started)
			}
		}
		if i := w.open(); len(i) != 1 || !i[0].Started.Before(t0.Add(2*minute+15*time.Second)) || len(w.incidents) == 1 {
			t.Error(w.story())
		}
	})
	t.Run("each recovery gets its time before the priority falls", func(t *testing.T) {
		w := newWorld(t, one("web"), one("rdp"))
		w.interval = 2 * time.Second
		w.answer = both(during(2*minute, 6*minute, refused, "web"), during(2*minute, 4*minute, refused, "rdp"), during(4*minute+4*time.Second, 5*minute, refused, "rdp"))
		w.run(5 * minute)
		if len(w.open()) != 1 || w.open()[0].Priority != incident.P1 {
			t.Fatal(w.story())
		}
		w.run(5*minute + 8*time.Second)
		if w.open()[0].Priority != incident.P1 {
			t.Error(w.story())
		}
		w.run(5*minute + 15*time.Second)
		if w.open()[0].Priority != incident.P2 {
			t.Error(w.story())
		}
	})
	t.Run("the second of three instances is told too", func(t *testing.T) {
		app := two("app")
		app.Instances = append(app.Instances, policy.Instance{Name: "c", Probes: []policy.Probe{{ID: "app/c/tcp", Deciding: true}}})
		w := newWorld(t, app, one("rdp"))
		w.answer = both(during(2*minute, 20*minute, refused, "app/a"), during(5*minute, 20*minute, refused, "app/b"))
		w.run(10 * minute)
		w.tells(t, "opened P3 app", "measured P3 app")
		if why := w.open()[0].Why; !strings.Contains(why, "2 of 3") {
			t.Error(why)
		}
	})
	t.Run("two instances that fail together are one opening", func(t *testing.T) {
		w := newWorld(t, two("app"), one("rdp"))
		w.answer = during(2*minute, 20*minute, refused, "app")
		w.run(10 * minute)
		w.tells(t, "opened P1 app")
	})
}

// TestNewestWord states that the run that began last has the word, whenever it ends.
func TestNewestWord(t *testing.T) {
	p := &probe{}
	for _, r := range []probes.Result{
		{Start: t0.Add(time.Second), Outcome: probes.Up},
		{Start: t0, Outcome: probes.Down, Duration: time.Minute},
		{Start: t0.Add(2 * time.Second), Outcome: probes.Unknown},
		{Start: t0.Add(2 * time.Second), Outcome: probes.Down, Lagging: true},
	} {
		if p.hear(&r); p.fresh != probes.Up || !p.freshAt.Equal(t0.Add(time.Second)) {
			t.Fatalf("after %+v: %s", r, p.fresh)
		}
	}
}

// TestNeverGoodIsNotUp states that a target which was never measured good is not shown as up while its outage is not confirmed; one that was is.
func TestNeverGoodIsNotUp(t *testing.T) {
	for begins, want := range map[time.Duration]probes.Outcome{-minute: probes.Unknown, 10 * minute: probes.Up} {
		w := newWorld(t, three()...)
		w.answer = during(begins, 20*minute, hang, "rdp")
		seen := false
		for n := range 15 {
			w.run(max(begins, 0) + time.Duration(n)*time.Second)
			if v := w.engine.View(w.now); w.engine.probes["rdp/tcp"].detector.Suspect() {
				seen = true
				if c := v.Components[2]; c.Outcome != want || c.Instances[0].Probes[0].Outcome != want {
					t.Errorf("it fails from %s on: shown as %d, want %d", begins, c.Outcome, want)
				}
			}
		}
		if !seen {
			t.Errorf("it fails from %s on: no suspicion", begins)
		}
	}
}
