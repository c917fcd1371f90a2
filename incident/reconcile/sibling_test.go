package reconcile

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// peer returns a world of one of several agents, with a store of its own, at a desk that they share.
func peer(t *testing.T, soc *fakeDesk) *world {
	w := newWorld(t)
	w.soc, w.o.Notifiers, w.o.Peers = soc, nil, true
	w.o.Desks = []Desk{{Name: "soc", Desk: soc, Rules: Rules{EarlyAfter: 15 * time.Minute}}}
	return w
}

// outageAt opens an incident as this agent dates it.
func (w *world) outageAt(root string, started time.Time) incident.Incident {
	i := incident.Incident{
		ID: incident.Key("acme", incident.Availability, root, started), Tenant: "acme", Class: incident.Availability, Root: root, Components: []string{root},
		Priority: incident.P2, Highest: incident.P2, Title: root + " is inaccessible", Started: started, Opened: time.Now(),
	}
	if root == incident.Solution {
		i.Components = []string{"backend", "web-client"}
	}
	w.commit(i, incident.EventOpened, i.Title)
	return i
}

func (d *fakeDesk) alive() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.cases {
		if c.State.Live() {
			n++
		}
	}
	return n
}

// Two agents that know nothing of each other date one outage differently, and see more or less of it: the second finds the first
// one's case, and the end of it is told once.
func TestAgentsThatAreCutOffShareACase(t *testing.T) {
	for name, c := range map[string]struct {
		lag           time.Duration
		first, second string
		apart         time.Duration // of the starts
		after         time.Duration // the second looks so much later
		ahead         time.Duration // the second one's clock is, and it knows
		known         bool          // the second goes on with the incident as the first dated it
	}{
		"seconds apart":                       {first: "backend", second: "backend", apart: 3 * time.Second, after: 20 * time.Second},
		"on two sides of ten minutes":         {first: "backend", second: "backend", apart: 2 * time.Minute, after: 20 * time.Second},
		"dated earlier by the second":         {first: "backend", second: "backend", apart: -4 * time.Minute, after: 20 * time.Second},
		"one sees the whole solution":         {first: "backend", second: incident.Solution, apart: time.Second, after: 20 * time.Second},
		"the other sees only a part":          {first: incident.Solution, second: "backend", apart: time.Second, after: 20 * time.Second},
		"a desk that shows it late":           {lag: 10 * time.Second, first: "backend", second: "backend", apart: time.Second, after: 35 * time.Second},
		"clocks that differ by an hour":       {first: "backend", second: "backend", apart: time.Second, after: 20 * time.Second, ahead: time.Hour},
		"an hour ahead, with its incident":    {first: "backend", second: "backend", after: 20 * time.Second, ahead: time.Hour, known: true},
		"at once on two sides":                {first: "backend", second: "backend", apart: 2 * time.Minute},
		"both at once: a double is withdrawn": {first: "backend", second: "backend", apart: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				soc := &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true, Transitions: true, Lag: c.lag}}
				var all sync.WaitGroup
				base := time.Now().Truncate(10 * time.Minute).Add(9 * time.Minute)
				<-time.After(time.Until(base) + 10*time.Second)
				for n, root := range []string{c.first, c.second} {
					all.Go(func() {
						w := peer(t, soc)
						ahead := time.Duration(n) * c.ahead
						started := base.Add(time.Duration(n)*c.apart + ahead)
						w.o.Offset = func() time.Duration { return -ahead }
						if c.known {
							started = base
						}
						<-time.After(time.Duration(n) * c.after)
						i := w.outageAt(root, started)
						w.run()
						<-time.After(time.Minute)
						w.commit(i, incident.EventRaised, "it is worse")
						<-time.After(3 * time.Minute)
						w.recover(i)
						<-time.After(5 * time.Minute)
						w.stop()
						w.settled(i.ID)
					})
				}
				<-time.After(2 * time.Minute)
				if n := soc.alive(); n != 1 {
					t.Errorf("%d live cases while the outage lasts, want 1", n)
				}
				all.Wait()
				if n := soc.alive(); n != 0 {
					t.Errorf("%d live cases in the end", n)
				}
				if soc.strange > 0 {
					t.Errorf("%d calls named a case and another one's key", soc.strange)
				}
				if want := 1; c.after > 0 && len(soc.cases) != want {
					t.Errorf("%d cases were opened, want %d", len(soc.cases), want)
				}
			})
		})
	}
}

// One agent knows of earlier incidents within the same ten minutes, the other only finds their cases: they meet all the same.
func TestAgentsThatKnowDifferentPastsShareACase(t *testing.T) {
	for _, knowing := range []int{0, 1} { // which of the two comes first
		synctest.Test(t, func(t *testing.T) {
			soc := &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true}}
			base := time.Now().Truncate(10 * time.Minute).Add(10 * time.Minute)
			<-time.After(time.Until(base) + 30*time.Second)
			worlds := []*world{peer(t, soc), peer(t, soc)}
			for range 3 {
				i := worlds[0].outageAt("backend", time.Now())
				worlds[0].run()
				worlds[0].wait(time.Minute)
				worlds[0].recover(i)
				worlds[0].wait(time.Minute)
				worlds[0].stop()
			}
			for n := range 2 {
				w := worlds[(n+knowing)%2]
				w.outageAt("backend", time.Now())
				w.run()
				w.wait(10 * time.Second)
			}
			for _, w := range worlds {
				w.wait(time.Minute)
				w.stop()
			}
			if live := soc.alive(); live != 1 || len(soc.cases) != 4 {
				t.Errorf("%d live cases of %d, want 1 of 4", live, len(soc.cases))
			}
		})
	}
}

// What fails again within the same ten minutes is another incident with a case of its own.
func TestASecondOutageWithinTheSameTenMinutesHasItsOwnCase(t *testing.T) {
	for _, can := range []desk.Capabilities{{Find: true, ReadBack: true}, {DedupeOnCreate: true}} {
		synctest.Test(t, func(t *testing.T) {
			soc := &fakeDesk{can: can}
			w := peer(t, soc)
			base := time.Now().Truncate(10 * time.Minute).Add(10 * time.Minute)
			<-time.After(time.Until(base) + 30*time.Second)
			w.run()
			keys := map[string]bool{}
			for n := range 3 {
				i := w.outageAt("backend", time.Now().Add(-5*time.Second))
				w.wait(time.Minute)
				w.recover(i)
				w.wait(time.Minute)
				keys[w.theCase(i.ID, "soc").Key()] = true
				w.settled(i.ID)
				if len(soc.cases) != n+1 {
					t.Fatalf("%d cases after %d outages", len(soc.cases), n+1)
				}
			}
			w.stop()
			if len(keys) != 3 {
				t.Errorf("keys %v", keys)
			}
		})
	}
}

// What one agent attempted without hearing an answer, whatever its clock showed, the next one does not repeat before the desk must
// show it.
func TestTheNextLeaderWaitsForWhatTheLastOneAttempted(t *testing.T) {
	for name, skew := range map[string]time.Duration{"clocks agree": 0, "its clock was an hour behind": -time.Hour, "its clock was an hour ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				soc := &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true, Lag: 30 * time.Second}}
				w := peer(t, soc)
				i := w.outageAt("backend", time.Now())
				key := incident.SharedKey(i, 0)
				if err := w.store.SaveCase(t.Context(), incident.Case{Incident: i.ID, Desk: "soc", As: key, Attempted: time.Now().Add(skew)}); err != nil {
					t.Fatal(err)
				}
				soc.mu.Lock()
				soc.create(desk.Fields{Key: key, Priority: incident.P2}) // it reached the desk, which shows it late
				soc.mu.Unlock()
				w.run()
				w.wait(2 * time.Minute)
				w.stop()
				if n := len(soc.cases); n != 1 {
					t.Errorf("%d cases, want the one that the last leader opened", n)
				}
				if c := w.theCase(i.ID, "soc"); c.Number != "SOC-1" {
					t.Errorf("the case is %q", c.Number)
				}
			})
		})
	}
}

// An agent that may not act asks nobody for anything, and counts no failure.
func TestNothingLeavesAnAgentThatMayNotAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		may := errors.New("another leads")
		w.o.May = func() error { mu.Lock(); defer mu.Unlock(); return may }
		i := w.outage("backend", incident.P2)
		w.run()
		w.wait(time.Minute)
		if len(w.soc.counts) != 0 || len(w.customer.sent)+len(w.oncall.sent) != 0 {
			t.Errorf("the desk was asked %v, and %d messages were sent", w.soc.counts, len(w.customer.sent)+len(w.oncall.sent))
		}
		if c := w.theCase(i.ID, "soc"); c.Failures != 0 || c.LastError != "" {
			t.Errorf("the case counts a failure: %+v", c)
		}
		mu.Lock()
		may = nil
		mu.Unlock()
		w.wait(time.Minute)
		if c := w.theCase(i.ID, "soc"); !c.State.Live() {
			t.Errorf("the case is %q once it may act", c.State)
		}
		w.stop()
	})
}

// An agent that was cut off goes on with an incident whose case another has resolved since; the fault is back, and the other has opened
// a case for it. It takes that one up, and does not open the resolved one again.
func TestACaseThatAnotherAgentResolvedIsNotOpenedAgainBesideTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soc := &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true}}
		w := peer(t, soc)
		i := w.outageAt("backend", time.Now())
		w.run()
		w.wait(time.Minute)
		later := i
		later.Started = time.Now()
		soc.mu.Lock()
		soc.cases[0].State = incident.CaseResolved
		soc.create(desk.Fields{Key: incident.SharedKey(later, 1), Priority: incident.P2})
		soc.mu.Unlock()
		w.wait(20 * time.Minute)
		w.stop()
		if n := soc.alive(); n != 1 || soc.cases[0].State != incident.CaseResolved {
			t.Errorf("%d live cases, the first is %q", n, soc.cases[0].State)
		}
		if c := w.theCase(i.ID, "soc"); c.Number != "SOC-2" {
			t.Errorf("the incident goes on with %q", c.Number)
		}
	})
}

// An agent that was cut off, and knows a fault that is over, leaves the case of the next one, which another agent has opened since, alone: also
// where its own case is not resolved yet.
func TestTheCaseOfTheNextFaultIsNoDouble(t *testing.T) {
	for name, lose := range map[string]bool{"its own is resolved": false, "the desk does not resolve its own at first": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				soc := &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true, Lag: 30 * time.Second}}
				w := peer(t, soc)
				base := time.Now().Truncate(10 * time.Minute).Add(10 * time.Minute)
				<-time.After(time.Until(base) + 30*time.Second)
				i := w.outageAt("backend", time.Now())
				w.run()
				w.wait(10 * time.Second)
				soc.mu.Lock()
				soc.stubborn = lose
				soc.mu.Unlock()
				w.recover(i)
				w.wait(5 * time.Second)
				next := i
				next.Started = time.Now()
				soc.mu.Lock()
				soc.create(desk.Fields{Key: incident.SharedKey(next, 1), Priority: incident.P2})
				soc.mu.Unlock()
				w.wait(2 * time.Minute)
				soc.mu.Lock()
				soc.stubborn = false
				soc.mu.Unlock()
				w.wait(2 * time.Minute)
				w.stop()
				if soc.cases[0].State != incident.CaseResolved || !soc.cases[1].State.Live() {
					t.Errorf("its own case is %q, that of the next fault %q", soc.cases[0].State, soc.cases[1].State)
				}
				w.settled(i.ID)
			})
		})
	}
}

// What kept all agents from the desk ends for all at once: one that judges alone looks twice, and finds the case that the leader, of which it does
// not hear, has opened meanwhile.
func TestAnAgentThatIsAloneLooksTwice(t *testing.T) {
	for _, alone := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			soc := &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true}}
			w := peer(t, soc)
			w.o.Alone = alone
			i := w.outageAt("backend", time.Now())
			w.run()
			w.wait(500 * time.Millisecond)
			soc.mu.Lock()
			opened := len(soc.cases)
			soc.create(desk.Fields{Key: incident.SharedKey(i, 0), Priority: incident.P2})
			soc.mu.Unlock()
			if (opened == 0) != alone {
				t.Errorf("alone %t: %d cases at once", alone, opened)
			}
			w.wait(10 * time.Second)
			if alone && len(soc.cases) != 1 {
				t.Errorf("%d cases, want that of the other agent alone", len(soc.cases))
			}
			w.recover(i)
			w.wait(time.Minute)
			other := w.outageAt("web-client", time.Now())
			w.wait(7 * time.Second)
			if w.theCase(other.ID, "soc").Number == "" {
				t.Errorf("alone %t: an outage without a case", alone)
			}
			w.stop()
		})
	}
}

// slowStore takes a while to make a case durable.
type slowStore struct {
	*memory
	slow time.Duration
}

func (s slowStore) SaveCase(ctx context.Context, c incident.Case, events ...incident.Event) error {
	<-time.After(s.slow)
	return s.memory.SaveCase(ctx, c, events...)
}

// Another agent opens the case while this one's store is slow to make its attempt durable: there is no second one.
func TestASlowStoreMakesNoDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soc := &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true}}
		w := peer(t, soc)
		w.o.Store = slowStore{w.store, 3 * time.Second}
		i := w.outageAt("backend", time.Now())
		w.run()
		w.wait(4 * time.Second)
		soc.mu.Lock()
		early := len(soc.cases)
		soc.create(desk.Fields{Key: incident.SharedKey(i, 0), Priority: incident.P2})
		soc.mu.Unlock()
		w.wait(2 * time.Minute)
		if early != 0 || len(soc.cases) != 1 {
			t.Errorf("%d cases before the other agent's, %d in the end, want 0 and 1", early, len(soc.cases))
		}
		if c := w.theCase(i.ID, "soc"); c.Number != "SOC-1" || c.State != incident.CaseNew {
			t.Errorf("case %+v", c)
		}
		w.stop()
	})
}
