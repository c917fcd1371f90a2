package reconcile

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

func TestWhatPeopleDoAtTheDesk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.soc.person("SOC-1", "jens", incident.CaseAcknowledged, "")
		acked := time.Now()
		w.wait(time.Minute)
		w.soc.person("SOC-1", "jens", incident.CaseHeld, "which\x1b[31m server?")
		w.wait(10 * time.Minute)
		w.soc.person("SOC-1", "mette", incident.CaseAcknowledged, "")
		w.wait(time.Minute)
		w.soc.person("SOC-1", "mette", "", "restarted IIS")
		w.wait(time.Minute)
		w.soc.person("SOC-1", "mette", incident.CaseHeld, "answer?")
		w.wait(5 * time.Minute) // held when it ends
		c := w.theCase(i.ID, "soc")
		if !c.Acknowledged.Equal(acked) || c.AcknowledgedBy != "jens" || c.State != incident.CaseHeld || len(c.Holds) != 2 {
			t.Fatalf("case %+v", c)
		}
		if h := c.Holds[0]; h.To.Sub(h.From) != 10*time.Minute || h.Actor != "jens" || strings.ContainsRune(h.Reason, '\x1b') {
			t.Errorf("hold %+v", h)
		}
		w.recover(i)
		w.wait(30 * time.Second)
		c = w.theCase(i.ID, "soc")
		if !c.Settled || c.ResolvedBy != incident.ActorAgent || c.Holds[1].To.IsZero() {
			t.Errorf("case %+v", c)
		}
		// 6 s before it was opened, 19 min after, less the last 2 s: 10 min and 5 min (less 2 s) of it on hold
		if got := w.soc.only(t).closing; !strings.Contains(got, "Downtime:          19 min, less 15 min on hold: 4 min 6 s") {
			t.Errorf("closing note:\n%s", got)
		}
		want := "acknowledged(jens) held(jens) resumed(mette) note(mette) held(mette) resumed(firstcall) case-resolved(firstcall)"
		if got := w.events(i.ID, incident.EventAcknowledged, incident.EventHeld, incident.EventResumed, incident.EventNote, incident.EventCaseResolved); got != want {
			t.Errorf("timeline\n%s, want\n%s", got, want)
		}
		if got := w.customer.kinds(); got != "opened held resumed held resumed resolved" && got != "opened held resumed held resolved" {
			t.Errorf("customer got %s", got)
		}
		if got := w.oncall.kinds(); got != "opened acknowledged resolved" {
			t.Errorf("on-call got %s", got)
		}
		w.stop()
	})
}

// Somebody resolves the case of a fault that lasts: the case is told so once, and is not opened again.
func TestPersonResolvesEarly(t *testing.T) {
	for name, history := range map[string]bool{"with history": true, "by its state only": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.soc.can.Transitions, w.o.Desks[0].Rules.Early = history, EarlyComment
				w.run()
				i := w.outage("web-client", incident.P2)
				w.wait(time.Minute)
				w.soc.person("SOC-1", "jens", incident.CaseResolved, "works here")
				w.wait(20 * time.Minute)
				c := w.soc.only(t)
				if len(c.notes) != 1 || !strings.Contains(c.notes[0].Text, "still measured") || c.State != incident.CaseResolved {
					t.Fatalf("state %s, notes %v", c.State, c.notes)
				}
				if row := w.theCase(i.ID, "soc"); row.Settled || row.Resolved.IsZero() || history && row.ResolvedBy != "jens" {
					t.Errorf("row %+v", row)
				}
				w.recover(i)
				w.wait(30 * time.Second)
				w.settled(i.ID)
				if len(c.notes) != 1 || c.closing != "" {
					t.Errorf("notes %v, closing %q", c.notes, c.closing)
				}
				if got := w.customer.kinds(); got != "opened resolved" {
					t.Errorf("customer got %s", got)
				}
				w.stop()
			})
		})
	}
}

// A priority that people change is theirs; one that a rule of the desk does not take is told as an error.
func TestPriorityIsReadBack(t *testing.T) {
	t.Run("changed by people", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.run()
			i := w.outage("web-client", incident.P2)
			w.wait(time.Minute)
			w.soc.mu.Lock()
			w.soc.cases[0].Priority = incident.P3
			w.soc.mu.Unlock()
			w.wait(time.Minute)
			w.commit(i, incident.EventJoined, "remote-desktop is down too")
			w.wait(time.Minute)
			if c := w.soc.only(t); c.Priority != incident.P3 || len(c.notes) != 1 {
				t.Errorf("priority %s, notes %v", c.Priority, c.notes)
			}
			w.raise(i, incident.P1)
			w.wait(time.Minute)
			if c := w.soc.only(t); c.Priority != incident.P1 {
				t.Errorf("priority %s after the raise", c.Priority)
			}
			w.stop()
		})
	})
	t.Run("refused by a rule", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.soc.wrong = true
			w.run()
			i := w.outage("web-client", incident.P2)
			w.wait(time.Minute)
			if s := w.life.Status(); !strings.Contains(s.DeskErrors["soc"], "shows P4 where P2 was written") {
				t.Errorf("status %+v", s)
			}
			if got := w.events(i.ID, incident.EventCaseFailed); got != "case-failed(soc)" {
				t.Errorf("told %s", got)
			}
			w.soc.mu.Lock()
			w.soc.wrong = false
			w.soc.mu.Unlock()
			w.wait(20 * time.Second)
			if c := w.soc.only(t); c.Priority != incident.P2 || len(c.notes) != 0 {
				t.Errorf("priority %s, notes %v", c.Priority, c.notes)
			}
			w.stop()
		})
	})
}

// What people did is told even when the step that read it fails further on.
func TestPeopleAreHeardWhenTheDeskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.soc.mu.Lock()
		w.soc.faults = func(a string, _ int) fault {
			if a == "get" {
				return fail
			}
			return fine
		}
		w.soc.mu.Unlock()
		w.soc.person("SOC-1", "jens", incident.CaseAcknowledged, "")
		w.wait(time.Minute)
		w.soc.mu.Lock()
		w.soc.faults = nil
		w.soc.mu.Unlock()
		w.wait(time.Minute)
		if got := w.events(i.ID, incident.EventAcknowledged); got != "acknowledged(jens)" {
			t.Errorf("timeline %q", got)
		}
		if c := w.theCase(i.ID, "soc"); c.AcknowledgedBy != "jens" {
			t.Errorf("case %+v", c)
		}
		w.stop()
	})
}

// busyDesk is a desk at which people act just before, or just after, their work is read.
type busyDesk struct {
	*fakeDesk
	before, after func() // once; nil: nothing
}

func (d *busyDesk) Transitions(ctx context.Context, ref string, since time.Time) ([]incident.Transition, error) {
	once := func(do *func()) {
		if *do != nil {
			(*do)()
			*do = nil
		}
	}
	once(&d.before)
	list, err := d.fakeDesk.Transitions(ctx, ref, since)
	once(&d.after)
	return list, err
}

// What somebody does while the desk is read is told by who did it, with what they said.
func TestWhatPeopleDoWhileTheDeskIsRead(t *testing.T) {
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprintf("before the history: %t", before), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				busy := &busyDesk{fakeDesk: w.soc}
				w.o.Desks[0] = Desk{Name: "soc", Desk: busy, Rules: Rules{Early: EarlyComment}}
				w.run()
				i := w.outage("web-client", incident.P2)
				w.wait(time.Minute)
				acts := func(do func()) {
					if busy.before = do; !before {
						busy.before, busy.after = nil, do
					}
					w.wait(time.Minute)
				}
				acts(func() {
					w.soc.person("SOC-1", "jens", incident.CaseHeld, "which server?")
					<-time.After(time.Second)
					w.soc.person("SOC-1", "mette", "", "restarted IIS")
				})
				acts(func() { w.soc.person("SOC-1", "mette", incident.CaseResolved, "works here") })
				c := w.theCase(i.ID, "soc")
				if len(c.Holds) != 1 || c.Holds[0].Actor != "jens" || c.Holds[0].Reason != "which server?" || c.AcknowledgedBy != "jens" || c.ResolvedBy != "mette" {
					t.Errorf("case %+v", c)
				}
				want := "held(jens) note(mette) resumed(mette) case-resolved(mette) note(firstcall)"
				if got := w.events(i.ID, incident.EventAcknowledged, incident.EventHeld, incident.EventResumed, incident.EventNote, incident.EventCaseResolved); got != want {
					t.Errorf("timeline\n%s, want\n%s", got, want)
				}
				w.stop()
			})
		})
	}
}

// A desk whose clock is ahead dates what people do later than the agent reads it: they have their time all the same.
func TestADeskWhoseClockIsAheadIsNotReopenedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.o.Desks[0].Rules = Rules{Early: EarlyNewCase, EarlyAfter: 15 * time.Minute}
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.soc.mu.Lock()
		c := w.soc.cases[0]
		c.State = incident.CaseResolved
		c.people = append(c.people, incident.Transition{At: time.Now().Add(time.Minute), Actor: "mette", To: incident.CaseResolved})
		w.soc.mu.Unlock()
		w.wait(14 * time.Minute)
		if row := w.theCase(i.ID, "soc"); row.State != incident.CaseResolved || row.ResolvedBy != "mette" || row.Round != 0 {
			t.Errorf("case %+v", row)
		}
		w.wait(3 * time.Minute)
		if row := w.theCase(i.ID, "soc"); row.Round != 1 {
			t.Errorf("no other case followed: %+v", row)
		}
		w.stop()
	})
}
