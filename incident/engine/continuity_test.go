package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// tells fails the test when the timeline is not the wanted one: kind, priority and subject of each event.
func (w *world) tells(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, line := range w.story() {
		got = append(got, line[strings.Index(line, " ")+1:])
	}
	if !slices.Equal(got, want) {
		t.Errorf("story:\n%s\nwant:\n%s", strings.Join(w.story(), "\n"), strings.Join(want, "\n"))
	}
}

func local() probes.Result {
	return probes.Result{Outcome: probes.Unknown, Reason: probes.Local, Detail: "no resolver", Duration: time.Millisecond}
}

func slow() probes.Result { return probes.Result{Outcome: probes.Up, Duration: 4 * time.Second} }

// overlay answers with f where it says anything but a quick "up".
func overlay(all ...func(string, time.Time) probes.Result) func(string, time.Time) probes.Result {
	return func(id string, at time.Time) probes.Result {
		for _, f := range all {
			if r := f(id, at); r.Outcome != probes.Up || r.Duration > time.Second {
				return r
			}
		}
		return up()
	}
}

func window1h(from string) func(*Setup) { return window(from, time.Hour) }

// TestStaleStateOpensNothing states that an agent that was off for long does not open incidents on what it measured before.
func TestStaleStateOpensNothing(t *testing.T) {
	t.Run("an outage inside a maintenance window", func(t *testing.T) {
		w := newWorld(t, three()...)
		window1h("5 10 * * *")(&w.setup)
		w.answer = during(10*minute, 70*minute, refused, "backend", "web", "rdp")
		w.run(30 * minute)
		w.saved, _ = w.engine.State()
		w.off(2*time.Hour, 0).run(4 * time.Hour)
		w.tells(t)
	})
	t.Run("the same, and the fault lasts: opened at once, dated from its start", func(t *testing.T) {
		w := newWorld(t, three()...)
		window1h("5 10 * * *")(&w.setup)
		w.answer = during(10*minute, 5*time.Hour, refused, "rdp")
		w.run(30 * minute)
		w.saved, _ = w.engine.State()
		w.off(2*time.Hour, 0).run(3 * time.Hour)
		w.tells(t, "opened P2 rdp")
		if i := w.open()[0]; i.Started.After(t0.Add(11*minute)) || i.Opened.After(t0.Add(2*time.Hour+31*minute)) {
			t.Errorf("started %s, opened %s", i.Started, i.Opened)
		}
	})
	t.Run("lost redundancy, and a passed limit", func(t *testing.T) {
		w := newWorld(t, two("app"), one("rdp"))
		window1h("5 10 * * *")(&w.setup)
		w.answer = both(during(10*minute, 70*minute, refused, "app/a"), during(10*minute, 70*minute, func() probes.Result {
			return probes.Result{Outcome: probes.Degraded, Reason: probes.Capacity, Detail: "full", Duration: time.Millisecond}
		}, "rdp"))
		w.run(30 * minute)
		w.saved, _ = w.engine.State()
		w.off(2*time.Hour, 0).run(4 * time.Hour)
		w.tells(t)
	})
	t.Run("a speed problem that was not sustained", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.setup.Limits = limits("web/tcp", "total", 3*time.Second)
		w.answer = during(10*minute, 40*minute, slow, "web")
		w.run(20 * minute)
		w.saved, _ = w.engine.State()
		w.off(time.Hour, 0).run(4 * time.Hour)
		w.tells(t)
	})
	t.Run("a speed problem before a jump of the clock", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.setup.Limits = limits("web/tcp", "total", 3*time.Second)
		w.answer = during(10*minute, 20*minute, slow, "web")
		w.run(18 * minute).forget(time.Hour).run(4 * time.Hour)
		w.tells(t)
	})
	t.Run("an outage that waited when the agent fell asleep", func(t *testing.T) {
		w := newWorld(t, three()...)
		stuck := func() probes.Result {
			return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: "hung", Duration: 20 * time.Second}
		}
		w.answer = both(during(2*minute+20*time.Second, 10*minute, refused, "rdp"), during(2*minute, 3*minute, stuck, "web"))
		for at := 2 * minute; w.engine == nil || w.engine.probes["rdp/tcp"].detector.Outage() == nil; at += 100 * time.Millisecond {
			w.run(at)
		}
		w.tells(t)
		w.forget(time.Hour).run(4 * time.Hour)
		w.tells(t)
	})
}

// TestClockSetBack states that a restart after the clock was set back neither judges by times that lie in the future nor waits
// for them.
func TestClockSetBack(t *testing.T) {
	t.Run("nothing is proven by an answer from the future", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = during(0, 10*minute, hang, "")
		w.now = t0.Add(time.Hour)
		w.start().run(70 * minute)
		w.saved, _ = w.engine.State()
		w.off(0, -70*minute).run(9 * minute)
		w.tells(t, "opened - sight-agent")
	})
	t.Run("an outage goes on and ends", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = both(during(65*minute, 80*minute, refused, "rdp"), during(0, 3*minute, refused, "rdp"))
		w.now = t0.Add(time.Hour)
		w.start().run(70*minute).off(0, -70*minute)
		if w.run(time.Second); len(w.engine.byName["rdp"].memory.Short) > 0 {
			t.Error("it counts as over")
		}
		w.run(10 * minute)
		w.tells(t, "opened P2 rdp", "measured P2 rdp", "resolved P2 rdp")
	})
	t.Run("one component is well before, the other after", func(t *testing.T) {
		w := newWorld(t, three()...)
		before, after := both(during(62*minute, 80*minute, refused, "backend"), during(62*minute, 70*minute, refused, "web")), during(0, 66*minute, refused, "backend")
		w.answer = func(id string, at time.Time) probes.Result {
			if w.offs > 0 {
				return after(id, at)
			}
			return before(id, at)
		}
		w.now = t0.Add(time.Hour)
		w.start().run(71*minute).off(0, -6*minute).run(68 * minute)
		if len(w.open()) != 0 {
			t.Error(w.story())
		}
	})
	t.Run("momentary outages before, an outage after", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = both(during(62*minute, 63*minute, refused, "rdp"), during(65*minute, 66*minute, refused, "rdp"), during(68*minute, 69*minute, refused, "rdp"),
			during(2*minute, 10*minute, refused, "web"), during(71*minute, 72*minute, refused, "web"))
		w.now = t0.Add(time.Hour)
		w.start().run(80*minute).off(0, -80*minute)
		w.run(3 * time.Hour)
		if len(w.open()) != 0 {
			t.Error(w.story())
		}
	})
	t.Run("a new outage opens, a short speed problem does not", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.setup.Limits = limits("web/tcp", "total", 3*time.Second)
		w.answer = overlay(during(5*minute, 10*minute, refused, "rdp"), during(2*minute, 10*minute, slow, "web"))
		w.now = t0.Add(2 * time.Hour)
		w.start().run(130 * minute)
		w.saved, _ = w.engine.State()
		w.off(0, -130*minute).run(time.Hour)
		w.tells(t, "opened P2 rdp", "resolved P2 rdp")
	})
	t.Run("blind", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = during(65*minute, 80*minute, hang, "")
		w.now = t0.Add(time.Hour)
		w.start().run(70*minute).off(0, -70*minute)
		w.run(minute)
		w.tells(t, "opened - sight-agent", "resolved - sight-agent")
	})
}

// TestLostStateWaits states that an incident without state is not called over before its probes have answered.
func TestLostStateWaits(t *testing.T) {
	lose := func(w *world) { w.saved = nil; w.restart() }
	t.Run("unknown is no answer", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = both(during(2*minute, 5*minute, refused, "rdp"), during(5*minute, 10*minute, local, "rdp"))
		w.run(5 * minute)
		lose(w)
		w.run(9 * minute)
		w.tells(t, "opened P2 rdp")
		w.run(20 * minute)
		w.tells(t, "opened P2 rdp", "resolved P2 rdp")
	})
	t.Run("blindness is none", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = both(during(2*minute, 20*minute, hang, "rdp"), during(5*minute, 10*minute, hang, ""))
		w.run(5 * minute)
		lose(w)
		w.run(15 * minute)
		w.tells(t, "opened P2 rdp", "opened - sight-agent", "resolved - sight-agent", "measured P2 rdp")
	})
	t.Run("the earliest lives on", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = both(during(2*minute, 20*minute, refused, "rdp"), during(3*minute, 20*minute, refused, "web"), during(10*minute, 20*minute, refused, "backend"))
		w.run(5 * minute)
		lose(w)
		w.run(30 * minute)
		w.tells(t, "opened P2 rdp", "opened P2 web", "measured P2 web", "measured P2 rdp", "joined P2 rdp", "absorbed P2 rdp", "absorbed P2 web",
			"raised P1 rdp", "left P1 rdp", "left P1 rdp", "resolved P1 rdp")
	})
	t.Run("nothing is lowered before all have answered", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.every = map[string]time.Duration{"rdp/tcp": 2 * minute}
		w.answer = both(during(2*minute, 20*minute, refused, "web", "backend"), during(4*minute+30*time.Second, 5*minute, local, "rdp"), during(2*minute, 20*minute, refused, "rdp"))
		w.run(4*minute + 30*time.Second)
		lose(w)
		w.run(15 * minute)
		w.tells(t, "opened P1 solution", "measured P1 solution")
		if w.engine.s.Open[0].Stateless {
			t.Error("by now it is known")
		}
	})
	t.Run("blindness itself", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = during(2*minute, 5*minute, hang, "")
		w.run(5 * minute)
		lose(w)
		w.run(10 * minute)
		w.tells(t, "opened - sight-agent", "resolved - sight-agent")
	})
	t.Run("a probe that runs once a day is asked", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.setup.Solution.Components[2].Instances[0].Probes = append(w.setup.Solution.Components[2].Instances[0].Probes, policy.Probe{ID: "rdp/daily", Deciding: true})
		w.every = map[string]time.Duration{"rdp/daily": 24 * time.Hour}
		w.answer = during(2*minute, 10*minute, refused, "rdp/tcp")
		w.run(5 * minute)
		lose(w)
		w.queue = slices.DeleteFunc(w.queue, func(r run) bool { return r.id == "rdp/daily" && !r.recheck })
		w.run(20 * minute)
		w.tells(t, "opened P2 rdp", "measured P2 rdp", "resolved P2 rdp")
	})
}

// TestRestartDoesNotWait states that a restart does not delay the end of an incident until every seldom probe has run.
func TestRestartDoesNotWait(t *testing.T) {
	w := newWorld(t, three()...)
	w.setup.Solution.Components[2].Instances[0].Probes = append(w.setup.Solution.Components[2].Instances[0].Probes, policy.Probe{ID: "rdp/daily", Deciding: true})
	w.every = map[string]time.Duration{"rdp/daily": 24 * time.Hour}
	w.answer = during(2*minute, 10*minute, refused, "rdp/tcp")
	w.run(5 * minute).reload(func(*Setup) {}).run(12 * minute)
	w.tells(t, "opened P2 rdp", "resolved P2 rdp")
}

// TestReload states what a new configuration does to what is open.
func TestReload(t *testing.T) {
	role := func(deciding bool) func(*Setup) {
		return func(s *Setup) { s.Solution.Components[2].Instances[0].Probes[0].Deciding = deciding }
	}
	t.Run("a role to and fro: never one name twice", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.setup.Solution.Components[2].Instances[0].Probes = append(w.setup.Solution.Components[2].Instances[0].Probes, policy.Probe{ID: "rdp/other", Deciding: true})
		w.answer = during(2*minute, 30*minute, refused, "rdp/tcp")
		w.run(5 * minute).reload(role(false)).run(10 * minute).reload(role(true)).run(40 * minute)
		w.tells(t, "opened P2 rdp", "resolved P2 rdp", "opened P2 rdp", "resolved P2 rdp")
	})
	t.Run("a limit is removed", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.setup.Limits = limits("web/tcp", "total", 3*time.Second)
		w.answer = during(2*minute, 5*time.Hour, slow, "web")
		w.run(30 * minute).reload(func(s *Setup) { s.Limits = nil }).run(31 * minute)
		w.tells(t, "opened P2 web-performance", "resolved P2 web-performance")
	})
	t.Run("every component of a quiet incident goes", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = both(during(2*minute, 3*minute, refused, "rdp"), during(10*minute, 11*minute, refused, "rdp"), during(20*minute, 21*minute, refused, "rdp"))
		w.run(30 * minute)
		if len(w.open()) != 1 {
			t.Fatal("no quiet incident")
		}
		w.reload(func(s *Setup) { s.Solution.Components = s.Solution.Components[:2] })
		if len(w.open()) != 0 {
			t.Error("still open")
		}
	})
	t.Run("the root goes", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = during(2*minute, 30*minute, refused, "backend", "web")
		w.run(10 * minute).reload(func(s *Setup) {
			s.Solution.Components = s.Solution.Components[1:]
			s.Solution.Components[0].DependsOn = nil
		}).run(11 * minute)
		if open := w.open(); len(open) != 1 || open[0].Root != "web" {
			t.Fatalf("%+v", open)
		}
		if w.run(40 * minute); len(w.open()) != 0 {
			t.Error("still open")
		}
	})
	t.Run("redundancy is added while the only instance is down", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = during(2*minute, 30*minute, refused, "rdp/tcp")
		w.run(5 * minute).reload(func(s *Setup) {
			i := policy.Instance{Name: "b", Probes: []policy.Probe{{ID: "rdp/b", Deciding: true}}}
			s.Solution.Components[2].Instances = append(slices.Clone(s.Solution.Components[2].Instances), i)
		}).run(40 * minute)
		w.tells(t, "opened P2 rdp", "lowered P3 rdp", "resolved P3 rdp")
	})
	t.Run("the witnesses go while none answers", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = both(during(0, time.Hour, hang, "witness"), during(2*minute, 30*minute, hang, ""))
		w.run(2*minute + 5*time.Second).reload(func(s *Setup) { s.Solution.Witnesses = nil }).run(10 * minute)
		w.tells(t, "opened P1 solution")
	})
	t.Run("the witnesses go while the agent is blind and all is down", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.answer = during(2*minute, 30*minute, hang, "")
		w.run(5 * minute).reload(func(s *Setup) { s.Solution.Witnesses = nil }).run(10 * minute)
		w.tells(t, "opened - sight-agent", "resolved - sight-agent", "opened P1 solution")
	})
	t.Run("before the witnesses have run again", func(t *testing.T) {
		w := newWorld(t, three()...)
		w.every = map[string]time.Duration{"witness/w": 10 * minute}
		w.answer = both(during(0, time.Hour, hang, "witness"), during(2*minute, 30*minute, hang, ""))
		w.run(2*minute + 12*time.Second).reload(func(*Setup) {}).run(3 * minute)
		w.tells(t, "opened - sight-agent")
	})
}

// TestSpeedAndOutage states how a speed problem and an outage of one component go together.
func TestSpeedAndOutage(t *testing.T) {
	seldom := func(w *world) { // more re-probes than runs: the outage ends before a run tells how fast it is now
		w.setup.Limits = limits("web/tcp", "total", 3*time.Second)
	}
	t.Run("slow, down, well", func(t *testing.T) {
		w := newWorld(t, three()...)
		seldom(w)
		w.answer = overlay(during(40*minute, 50*minute, refused, "web"), during(2*minute, 40*minute, slow, "web"))
		w.run(3 * time.Hour)
		w.tells(t, "opened P2 web-performance", "opened P2 web", "absorbed P2 web", "absorbed P2 web-performance", "resolved P2 web")
	})
	t.Run("one probe slow all the time, another down: the slowness is there again after", func(t *testing.T) {
		w := newWorld(t, three()...)
		seldom(w)
		w.setup.Solution.Components[1].Instances[0].Probes = append(w.setup.Solution.Components[1].Instances[0].Probes, policy.Probe{ID: "web/x", Deciding: true})
		w.answer = overlay(during(40*minute, 50*minute, refused, "web/x"), during(2*minute, 70*minute, slow, "web/tcp"))
		w.run(3 * time.Hour)
		w.tells(t, "opened P2 web-performance", "opened P2 web", "absorbed P2 web", "absorbed P2 web-performance", "resolved P2 web",
			"opened P2 web-performance", "resolved P2 web-performance")
		newest := w.incidents[w.events[len(w.events)-1].Incident]
		if began := newest.Started.Sub(t0); began < 50*minute || began > 51*minute {
			t.Errorf("the second began after %s", began)
		}
	})
	t.Run("an outage that nothing proves is no end of slowness", func(t *testing.T) {
		w := newWorld(t, one("web"))
		seldom(w)
		w.answer = overlay(during(40*minute, 50*minute, refused, ""), during(2*minute, 40*minute, slow, "web"))
		w.run(40*minute + 12*time.Second)
		w.tells(t, "opened P2 web-performance", "opened - sight-agent")
	})
	t.Run("lost redundancy does not explain that what answers is slow", func(t *testing.T) {
		w := newWorld(t, two("app"), one("rdp"))
		w.setup.Limits = limits("app/a/tcp", "total", 3*time.Second)
		w.answer = overlay(during(40*minute, 50*minute, refused, "app/b"), during(2*minute, 70*minute, slow, "app/a"))
		w.run(3 * time.Hour)
		w.tells(t, "opened P2 app-performance", "opened P3 app", "resolved P3 app", "resolved P2 app-performance")
	})
	t.Run("the slow instance goes down", func(t *testing.T) {
		w := newWorld(t, two("app"), one("rdp"))
		w.setup.Limits = limits("app/a/tcp", "total", 3*time.Second)
		w.answer = overlay(during(40*minute, 50*minute, refused, "app/a"), during(2*minute, 40*minute, slow, "app/a"))
		w.run(3 * time.Hour)
		w.tells(t, "opened P2 app-performance", "opened P3 app", "absorbed P3 app", "absorbed P2 app-performance", "resolved P3 app")
	})
	t.Run("a sleep does not end it", func(t *testing.T) {
		w := newWorld(t, three()...)
		seldom(w)
		w.answer = during(2*minute, 5*time.Hour, slow, "web")
		w.run(40 * minute).forget(time.Hour).run(4 * time.Hour)
		w.tells(t, "opened P2 web-performance")
	})
	t.Run("the end of periodic problems is the end of the last", func(t *testing.T) {
		w := newWorld(t, three()...)
		seldom(w)
		w.answer = overlay(during(10*minute, 18*minute, slow, "web"), during(60*minute, 68*minute, slow, "web"), during(120*minute, 128*minute, slow, "web"))
		w.run(9 * time.Hour)
		w.tells(t, "opened P3 web-performance", "resolved P3 web-performance")
		for _, i := range w.incidents {
			if ended := i.Ended.Sub(t0); ended < 128*minute || ended > 133*minute {
				t.Errorf("ended %s after the start", ended)
			}
		}
	})
}
