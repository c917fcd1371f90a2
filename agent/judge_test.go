package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

func TestJudgementGoesOnWhileTheStoreFailsAndNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j := newCourt(), testJob("p", time.Second, up)
		var want []string
		c.run(t, func() {
			for i := range 600 { // ten minutes, of which the store fails for five
				switch i {
				case 100:
					c.disk.breaks(errors.New("disk full"), 0)
				case 200:
					c.disk.breaks(nil, time.Hour) // it does not even answer
				case 300:
					c.disk.breaks(errors.New("database is locked"), 0)
				case 400:
					c.disk.breaks(nil, 0)
				}
				before := time.Now()
				c.hand(j, probes.Down, fmt.Sprint("case ", i/10))
				synctest.Wait()
				if waited := time.Since(before); waited != 0 {
					t.Fatalf("result %d waited %s for the store", i, waited)
				}
				want = append(want, fmt.Sprint(i+1))
				if i == 398 {
					if reason, lasting := c.writer.failure(); reason != "database is locked" || lasting < 4*time.Minute {
						t.Errorf("failure %q for %s; want the newest error and its whole time", reason, lasting)
					}
					if steps, results := c.writer.waiting(); steps < 290 || results < 290 {
						t.Errorf("%d steps and %d results wait; want about 299", steps, results)
					}
				}
				time.Sleep(time.Second)
			}
		})
		var events []string
		newest := map[string]incident.Incident{}
		for _, commit := range c.disk.commits {
			for _, e := range commit.Events {
				events = append(events, e.Text)
			}
			for _, i := range commit.Incidents {
				newest[i.ID] = i
			}
			if len(commit.State) == 0 {
				t.Error("a commit without the engine's state")
			}
		}
		if diff := cmp.Diff(want, events); diff != "" {
			t.Errorf("timeline (-want +got):\n%s", diff)
		}
		if len(newest) != 60 || newest["p case 7"].Detail[0] != "80" {
			t.Errorf("%d incidents, the eighth %v; want 60, each in its newest form", len(newest), newest["p case 7"].Detail)
		}
		if len(c.disk.results) != 600 {
			t.Errorf("%d raw results in the store; want 600", len(c.disk.results))
		}
		if !slices.IsSortedFunc(c.disk.results, func(a, b probes.Result) int { return a.Start.Compare(b.Start) }) {
			t.Error("raw results are out of order")
		}
		if last := c.disk.commits[len(c.disk.commits)-1]; string(last.State) != "600" {
			t.Errorf("the last saved state is %s; want 600", last.State)
		}
		if reason, _ := c.writer.failure(); reason != "" {
			t.Errorf("the store still fails: %s", reason)
		}
		if len(c.rechecks) != 600 {
			t.Errorf("%d re-probes were asked for; want 600", len(c.rechecks))
		}
	})
}

// TestBaselinesOutliveAFailingStore states that no baseline is lost while the store fails, and that the newest holds.
func TestBaselinesOutliveAFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j := newCourt(), testJob("p", time.Second, up)
		c.run(t, func() {
			c.disk.breaks(errors.New("disk full"), 0)
			for i := range 100 {
				c.hand(j, probes.Up, "")
				if i == 40 {
					synctest.Wait()
					if n := c.seed("p", []detect.Point{{Value: 1}, {Value: 2}}); n != 2 {
						t.Errorf("%d points were taken; want 2", n)
					}
				}
				time.Sleep(time.Second)
			}
			c.disk.breaks(nil, 0)
			time.Sleep(time.Minute)
			c.engine.seeded = make([]detect.Point, 14)
			if n := c.seed("p", []detect.Point{{Value: 1}}); n != 0 {
				t.Errorf("a baseline that has learnt enough took %d points", n)
			}
		})
		all, seeds := map[string][]byte{}, map[string]int{}
		for _, commit := range c.disk.commits {
			maps.Copy(all, commit.Baselines)
			maps.Copy(seeds, commit.Seeds)
		}
		if string(all["p"]) != "100" || len(all) < 3 {
			t.Errorf("stored baselines %q; want the newest of p, and every other", all)
		}
		if diff := cmp.Diff(map[string]int{"p": 2}, seeds); diff != "" {
			t.Errorf("seeds (-want +got):\n%s", diff)
		}
	})
}

func TestAStateIsNeverOlderThanItsSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j := newCourt(), testJob("p", time.Second, up)
		c.disk.breaks(nil, 300*time.Millisecond)
		c.run(t, func() {
			for i := range 200 {
				c.hand(j, probes.Down, fmt.Sprint(i))
				time.Sleep(70 * time.Millisecond)
			}
		})
		for _, commit := range c.disk.commits {
			for _, e := range commit.Events {
				var event, state int
				_ = json.Unmarshal([]byte(e.Text), &event)
				_ = json.Unmarshal(commit.State, &state)
				if state < event {
					t.Fatalf("event %d was stored with state %d", event, state)
				}
			}
		}
		if len(c.disk.commits) > 100 {
			t.Errorf("200 steps took %d commits; want those that wait folded together", len(c.disk.commits))
		}
	})
}

func TestAStepIsDurableAtOnceAndThenKicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j := newCourt(), testJob("p", time.Second, up)
		c.run(t, func() {
			c.hand(j, probes.Down, "x")
			synctest.Wait() // without any time passing
			if commits, _ := c.disk.holds(); commits != 1 || c.kicks.Load() != 1 {
				t.Errorf("%d commits and %d kicks; want one each at once", commits, c.kicks.Load())
			}
			c.hand(j, probes.Up, "")
			synctest.Wait()
			if commits, results := c.disk.holds(); commits != 1 || results != 0 {
				t.Errorf("%d commits, %d results; want no write for a plain result", commits, results)
			}
			time.Sleep(1100 * time.Millisecond)
			if _, results := c.disk.holds(); results != 2 {
				t.Errorf("%d results a second later; want 2", results)
			}
			time.Sleep(30 * time.Second)
			if commits, _ := c.disk.holds(); commits != 2 || c.kicks.Load() != 1 {
				t.Errorf("%d commits, %d kicks after half a minute; want one more for the state and no kick", commits, c.kicks.Load())
			}
		})
	})
}

func TestStepsAreWrittenAtOnceWhileRawResultsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j := newCourt(), testJob("p", time.Second, up)
		c.disk.torn = errors.New("no room in the table of results")
		c.run(t, func() {
			for i := range 60 {
				c.hand(j, probes.Down, fmt.Sprint(i))
				synctest.Wait()
				if steps, _ := c.writer.waiting(); steps != 0 {
					t.Fatalf("%d steps wait while only raw results fail", steps)
				}
				time.Sleep(time.Second)
			}
			c.disk.mu.Lock()
			c.disk.torn = nil
			c.disk.mu.Unlock()
			time.Sleep(10 * time.Second)
		})
		if n := len(c.disk.results); n != 60 || !slices.IsSortedFunc(c.disk.results, func(a, b probes.Result) int { return a.Start.Compare(b.Start) }) {
			t.Errorf("%d results in the store; want 60, in order", n)
		}
	})
}

func TestRawResultsAreBoundedWhenTheStoreFailsForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j := newCourt(), testJob("p", time.Second, up)
		c.writer.expect(20) // bound: 6,000
		c.disk.breaks(errors.New("disk full"), 0)
		c.run(t, func() {
			for range 1000 {
				for range 20 {
					c.hand(j, probes.Up, "")
				}
				synctest.Wait()
				if _, held := c.writer.waiting(); held > 6000+chunk {
					t.Fatalf("%d results are held", held)
				}
				time.Sleep(time.Second)
			}
			c.disk.breaks(nil, 0)
			time.Sleep(10 * time.Second)
		})
		kept := len(c.disk.results)
		if kept < 4000 || kept > 6000 {
			t.Errorf("%d results were kept; want the newest five minutes", kept)
		}
		if !slices.IsSortedFunc(c.disk.results, func(a, b probes.Result) int { return a.Start.Compare(b.Start) }) {
			t.Error("raw results are out of order")
		}
		if first := c.disk.results[0].Start; time.Since(first) > 6*time.Minute {
			t.Errorf("the oldest kept result is of %s ago", time.Since(first))
		}
	})
}

func TestTheEngineIsToldTheTimeWhenItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCourt()
		start := time.Now()
		c.engine.wake = 300 * time.Millisecond
		c.run(t, func() {
			time.Sleep(2500 * time.Millisecond)
			c.mu.Lock()
			c.engine.wake = 0
			c.mu.Unlock()
			time.Sleep(3 * time.Second)
		})
		var got []string
		for _, at := range c.engine.ticks {
			got = append(got, at.Sub(start).String())
		}
		want := "1s 1.3s 1.6s 1.9s 2.2s 2.5s"
		if !strings.HasPrefix(strings.Join(got, " "), want) || len(got) < 8 || len(got) > 10 {
			t.Errorf("ticks at %v; want %s and then one a second", got, want)
		}
	})
}

func TestResultsOfRetiredProbesAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j := newCourt(), testJob("p", time.Second, up)
		j.retired.Store(true)
		c.run(t, func() { c.hand(j, probes.Down, "x") })
		if c.engine.seen != 0 {
			t.Error("a result of a probe that is no longer configured was judged")
		}
	})
}

func TestSwapKeepsTheStateOrTheOldEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j := newCourt(), testJob("p", time.Second, up)
		c.run(t, func() {
			c.hand(j, probes.Up, "")
			synctest.Wait()
			err := c.swap(func(remembered, time.Time) (Engine, engine.Step, error) {
				return nil, engine.Step{}, errors.New("cannot be")
			}, func() { t.Error("something was installed although the engine could not be built") })
			if err == nil {
				t.Error("a failing swap gave no error")
			}
			c.hand(j, probes.Up, "")
			synctest.Wait()
			fresh := &counting{}
			installed := false
			err = c.swap(func(from remembered, _ time.Time) (Engine, engine.Step, error) {
				if string(from.baselines["p"]) != "2" {
					t.Errorf("baselines %q; want those of both results", from.baselines)
				}
				return fresh, engine.Step{Incidents: []incident.Incident{{ID: "removed"}}}, json.Unmarshal(from.state, &fresh.seen)
			}, func() { installed = true })
			if err != nil || !installed || fresh.seen != 2 {
				t.Errorf("swap: %v, installed %v, state %d; want the state of both results", err, installed, fresh.seen)
			}
			synctest.Wait()
			if last := c.disk.commits[0].Baselines; string(last["p"]) != "2" {
				t.Errorf("baselines %q are stored with the swap; what the old engine learnt last would be lost", last)
			}
			c.hand(j, probes.Up, "")
			synctest.Wait()
			if commits, _ := c.disk.holds(); fresh.seen != 3 || c.engine.seen != 2 || commits != 1 {
				t.Errorf("new engine saw %d, old %d, %d commits; want 3, 2 and the step of the swap", fresh.seen, c.engine.seen, commits)
			}
		})
	})
}

func TestAJudgeThatStandsStillIsNotAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCourt()
		ctx, end := context.WithCancel(context.Background())
		go c.judge.run(ctx)
		time.Sleep(time.Minute)
		if !c.alive() {
			t.Error("an idle judge is not alive")
		}
		c.engine.block = 40 * time.Second
		c.hand(testJob("p", time.Second, up), probes.Up, "")
		time.Sleep(35 * time.Second)
		if c.alive() {
			t.Error("a judge that stood still for 35 s is alive")
		}
		time.Sleep(10 * time.Second)
		if !c.alive() {
			t.Error("a judge that moves again is not alive")
		}
		end()
		<-c.done
	})
}
