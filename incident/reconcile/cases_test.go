package reconcile

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

func TestOneIncidentBecomesOneCaseFromOpenToResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(2 * time.Second)
		c := w.soc.only(t)
		if c.title != "P2 acme: web-client is inaccessible" || c.Key != i.ID || c.Priority != incident.P2 {
			t.Errorf("case %+v", c)
		}
		for _, want := range []string{"+45 33 36 63 00", "it@acme.example", i.ID, "firstcall 1.0.0 (aks-westeurope)", "no answer within 5 s"} {
			if !strings.Contains(c.body, want) {
				t.Errorf("the case does not say %q:\n%s", want, c.body)
			}
		}
		w.wait(time.Minute)
		i = w.raise(i, incident.P1)
		w.wait(2 * time.Second)
		if c.Priority != incident.P1 || c.title != "P1 acme: web-client is inaccessible" || len(c.notes) != 1 {
			t.Errorf("after the raise: %s, %q, notes %v", c.Priority, c.title, c.notes)
		}
		w.wait(time.Minute)
		i = w.recover(i)
		w.wait(time.Minute)
		if c.State != incident.CaseResolved || !strings.Contains(c.closing, "Downtime:          2 min 8 s") {
			t.Errorf("state %s, closing note:\n%s", c.State, c.closing)
		}
		w.settled(i.ID)
		if got := w.customer.kinds(); got != "opened raised resolved" {
			t.Errorf("customer got %s", got)
		}
		if got := w.oncall.kinds(); got != "opened raised resolved" {
			t.Errorf("on-call got %s", got)
		}
		if got := w.events(i.ID, incident.EventCaseOpened, incident.EventCaseUpdated, incident.EventCaseResolved, incident.EventCaseFailed); got != "case-opened(soc) case-updated(soc) case-resolved(firstcall)" {
			t.Errorf("timeline %s", got)
		}
		if n := len(w.soc.opens); n != 1 || w.soc.counts["resolve"] != 1 {
			t.Errorf("%d creates, %d resolves", n, w.soc.counts["resolve"])
		}
		w.stop()
	})
}

// Every n-th answer of a kind is lost: the case stays one, and ends resolved.
func TestLostReplies(t *testing.T) {
	desks := map[string]desk.Capabilities{
		"finds":        {Find: true, ReadBack: true, Transitions: true},
		"finds late":   {Find: true, ReadBack: true, Transitions: true, Lag: time.Minute},
		"dedupes":      {DedupeOnCreate: true, ReadBack: true},
		"dedupes only": {DedupeOnCreate: true},
	}
	for name, can := range desks {
		for _, action := range []string{"open", "update", "resolve", "get", "find", "any"} {
			for every := 1; every <= 3; every++ {
				t.Run(fmt.Sprintf("%s, %s, every %d", name, action, every), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t)
						w.soc.can = can
						w.soc.faults = func(a string, n int) fault {
							// every = 1 would lose all: the first three then
							if (a == action || action == "any") && (every > 1 && n%every == 0 || every == 1 && n <= 3) {
								return lose
							}
							return fine
						}
						w.run()
						i := w.outage("web-client", incident.P2)
						w.wait(150 * time.Second)
						i = w.raise(i, incident.P1)
						w.wait(90 * time.Second)
						if c := w.soc.only(t); c.Priority != incident.P1 && can.ReadBack {
							t.Errorf("priority %s", c.Priority)
						}
						i = w.recover(i)
						w.wait(90 * time.Second)
						if c := w.soc.only(t); c.State != incident.CaseResolved {
							t.Errorf("state %s", c.State)
						}
						w.settled(i.ID)
						if w.soc.mostly != 1 {
							t.Errorf("%d live cases at once", w.soc.mostly)
						}
						if s := w.life.Status(); len(s.DeskErrors) != 0 || s.Pending != 0 {
							t.Errorf("status %+v", s)
						}
						w.stop()
					})
				})
			}
		}
	}
}

// A create without an answer is never repeated before the lag has passed and the desk was searched again.
func TestSearchLagNeverDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.soc.can.Lag = time.Minute
		w.soc.faults = func(a string, n int) fault {
			if a == "open" && n == 1 {
				return fail // nothing happened, but who knows
			}
			if a == "open" && n == 2 {
				return lose
			}
			return fine
		}
		w.run()
		began := time.Now()
		i := w.outage("web-client", incident.P2)
		w.wait(69 * time.Second)
		if n := w.soc.counts["open"]; n != 1 {
			t.Fatalf("%d creates within the lag", n)
		}
		w.wait(5 * time.Minute)
		c := w.soc.only(t)
		if d := w.soc.opens[0].Sub(began); d < 70*time.Second || d > 80*time.Second {
			t.Errorf("repeated after %s", d)
		}
		w.recover(i)
		w.wait(3 * time.Minute)
		if c.State != incident.CaseResolved {
			t.Errorf("state %s", c.State)
		}
		w.settled(i.ID)
		w.stop()
	})
}

func TestRefusedCreateIsRepeatedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.soc.can.Lag = time.Hour // a refusal is no reason to wait for it
		w.soc.faults = func(a string, n int) fault {
			if a == "open" && n <= 5 {
				return refuse
			}
			return fine
		}
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(30 * time.Second)
		w.soc.only(t)
		if got := w.events(i.ID, incident.EventCaseFailed); got != "case-failed(soc)" {
			t.Errorf("the same error is told once, got %s", got)
		}
		w.stop()
	})
}

// Another agent, which shares nothing but the desk, opened a case for the same incident.
func TestDoubleOfAnotherAgent(t *testing.T) {
	for name, later := range map[string]bool{"it was first": false, "it was later": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.soc.can.Lag = 20 * time.Second
				w.run()
				foreign := func(key string) {
					w.soc.mu.Lock()
					defer w.soc.mu.Unlock()
					w.soc.create(desk.Fields{Key: key, Title: "theirs", Priority: incident.P2})
				}
				key := incident.Key("acme", incident.Availability, "web-client", time.Now().UTC().Add(time.Second-6*time.Second))
				if !later {
					foreign(key)
				}
				w.wait(time.Second)
				i := w.outage("web-client", incident.P2)
				if i.ID != key {
					t.Fatalf("key %s, want %s", i.ID, key)
				}
				w.wait(time.Second)
				if later {
					foreign(key)
				}
				w.wait(2 * time.Minute)
				first, second := w.soc.cases[0], w.soc.cases[1]
				if first.State != incident.CaseNew || second.State != incident.CaseWithdrawn || second.winner != "SOC-1" {
					t.Errorf("first %s, second %s, told of %q", first.State, second.State, second.winner)
				}
				if c := w.theCase(i.ID, "soc"); c.Number != "SOC-1" {
					t.Errorf("the row is about %s", c.Number)
				}
				w.recover(i)
				w.wait(time.Minute)
				if first.State != incident.CaseResolved || second.State != incident.CaseWithdrawn {
					t.Errorf("at the end: first %s, second %s", first.State, second.State)
				}
				w.settled(i.ID)
				w.stop()
			})
		})
	}
}

func TestDeskDownForAMinute(t *testing.T) {
	for n := range 3 * 16 {
		name, f := "refuses", refuse
		switch n % 3 {
		case 1:
			name, f = "fails", fail
		case 2:
			name, f = "hangs", hang
		}
		down := 60*time.Second + time.Duration(n/3)*time.Second
		if f == hang {
			down += 2 * time.Minute // until the back-off is at its longest
		}
		t.Run(fmt.Sprintf("%s for %s", name, down), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.o.Jitter = func() float64 { return 0 }
				back := time.Now().Add(down)
				w.soc.faults = func(string, int) fault {
					if time.Now().Before(back) {
						return f
					}
					return fine
				}
				w.run()
				i := w.outage("web-client", incident.P2)
				short := w.outage("remote-desktop", incident.P2)
				w.wait(20 * time.Second)
				w.recover(short)
				w.wait(time.Until(back) - time.Second)
				if s := w.life.Status(); s.Pending != 2 || s.Oldest < 50*time.Second || s.DeskErrors["soc"] == "" {
					t.Errorf("status while it is down %+v", s)
				}
				w.wait(time.Second + maxBackoff + 3*time.Second)
				if len(w.soc.cases) != 2 || w.soc.mostly != 1 {
					t.Fatalf("%d cases", len(w.soc.cases))
				}
				for _, c := range w.soc.cases {
					if over(c.State) != (c.Key == short.ID) {
						t.Errorf("case %s is %s", c.Key, c.State)
					}
				}
				if got := w.customer.kinds(); got != "opened opened resolved" && got != "opened resolved opened" {
					t.Errorf("customer got %s", got)
				}
				if got := w.events(i.ID, incident.EventCaseFailed); got != "case-failed(soc)" {
					t.Errorf("failures told: %s", got)
				}
				w.wait(15 * time.Second)
				w.settled(short.ID)
				w.stop()
			})
		})
	}
}

// One desk hangs for minutes; the other one and the notices do not notice.
func TestASlowDeskDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow := &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true}, faults: func(string, int) fault { return hang }}
		w.o.Desks = append(w.o.Desks, Desk{Name: "archive", Desk: slow})
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(2 * time.Second)
		w.soc.only(t)
		if w.customer.kinds() != "opened" || w.oncall.kinds() != "opened" {
			t.Errorf("customer got %q, on-call %q", w.customer.kinds(), w.oncall.kinds())
		}
		w.wait(5 * time.Minute)
		i = w.recover(i)
		w.wait(2 * time.Second)
		if c := w.soc.only(t); c.State != incident.CaseResolved {
			t.Errorf("state %s", c.State)
		}
		if w.customer.kinds() != "opened resolved" {
			t.Errorf("customer got %s", w.customer.kinds())
		}
		slow.mu.Lock()
		slow.faults = nil
		slow.mu.Unlock()
		w.wait(time.Minute)
		if c := slow.only(t); c.State != incident.CaseResolved {
			t.Errorf("the slow desk's case is %s", c.State)
		}
		w.settled(i.ID)
		w.stop()
	})
}

func TestAnIncidentThatEndedBeforeItsCaseExisted(t *testing.T) {
	for _, tt := range []struct {
		how   incident.Resolution
		cases int
	}{{incident.Recovered, 1}, {incident.Momentary, 1}, {incident.Absorbed, 0}, {incident.Removed, 0}} {
		t.Run(string(tt.how), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				i := w.outage("web-client", incident.P2)
				i.Ended, i.Closed, i.Resolution = time.Now(), time.Now(), tt.how
				w.commit(i, incident.EventResolved, "over")
				w.run() // no row speaks of it: it must be found all the same
				w.wait(30 * time.Second)
				if len(w.soc.cases) != tt.cases {
					t.Fatalf("%d cases, want %d", len(w.soc.cases), tt.cases)
				}
				for _, c := range w.soc.cases {
					if c.State != incident.CaseResolved || !strings.Contains(c.body, "ended before this case could be opened") {
						t.Errorf("case %s:\n%s", c.State, c.body)
					}
				}
				w.settled(i.ID)
				w.stop()
			})
		})
	}
}

func TestAlertOnlyOpensNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.o.Desks = nil
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(10 * time.Minute)
		w.recover(i)
		w.wait(2 * time.Second)
		w.settled(i.ID)
		if len(w.store.cases) != 0 || w.customer.kinds() != "" || w.oncall.kinds() != "opened resolved" {
			t.Errorf("cases %v, customer %q, on-call %q", w.store.cases, w.customer.kinds(), w.oncall.kinds())
		}
		w.stop()
	})
}

// What is not durable is not sent.
func TestStoreDownSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		w.outage("web-client", incident.P2)
		w.store.mu.Lock()
		w.store.down = errors.New("database is locked")
		w.store.mu.Unlock()
		w.wait(time.Minute)
		if len(w.soc.cases) != 0 || w.oncall.kinds() != "" {
			t.Errorf("%d cases, on-call %q", len(w.soc.cases), w.oncall.kinds())
		}
		w.store.mu.Lock()
		w.store.down = nil
		w.store.mu.Unlock()
		w.wait(3 * time.Second)
		w.soc.only(t)
		w.stop()
	})
}

// A short outage that comes and goes while the desk hangs with another case is brought to the desk all the same.
func TestShortOutageBehindASlowDesk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.soc.faults = func(string, int) fault { return hang }
		w.run()
		w.outage("backend", incident.P1)
		w.wait(time.Second)
		short := w.outage("web-client", incident.P2)
		w.wait(2 * time.Second)
		w.recover(short)
		w.wait(2 * time.Second)
		if got := w.oncall.kinds(); got != "opened opened resolved" {
			t.Errorf("on-call got %s", got)
		}
		w.soc.mu.Lock()
		w.soc.faults = nil
		w.soc.mu.Unlock()
		w.wait(time.Minute)
		if len(w.soc.cases) != 2 {
			t.Errorf("%d cases", len(w.soc.cases))
		}
		w.settled(short.ID)
		w.stop()
	})
}

// A desk that takes the resolve and keeps the case open is asked until it shows it resolved.
func TestResolveIsReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.soc.stubborn = true
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(10 * time.Second)
		w.recover(i)
		w.wait(time.Minute)
		if c := w.theCase(i.ID, "soc"); c.Settled || !strings.Contains(c.LastError, "still new after it was resolved") {
			t.Errorf("case %+v", c)
		}
		w.soc.mu.Lock()
		w.soc.stubborn = false
		w.soc.mu.Unlock()
		w.wait(maxBackoff + time.Second)
		if c := w.soc.only(t); c.State != incident.CaseResolved {
			t.Errorf("state %s", c.State)
		}
		w.settled(i.ID)
		w.stop()
	})
}

// The priority rises while a step is under way with what was true before.
func TestRaiseDuringAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var i incident.Incident
		w.soc.faults = func(a string, n int) fault {
			if a == "get" && n == 2 {
				w.raise(i, incident.P1)
			}
			return fine
		}
		w.run()
		i = w.outage("web-client", incident.P2)
		w.wait(2 * time.Minute)
		if c := w.soc.only(t); c.Priority != incident.P1 {
			t.Errorf("priority %s, notes %v", c.Priority, c.notes)
		}
		w.stop()
	})
}
