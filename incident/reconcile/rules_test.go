package reconcile

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/sla"
)

// reopening is a desk that can open a resolved case again.
type reopening struct{ *fakeDesk }

func (d reopening) Reopen(ctx context.Context, ref string, _ desk.Fields, note string) error {
	return d.with(ctx, "reopen", ref, func(c *fakeCase) {
		if c.State == incident.CaseResolved {
			c.State = incident.CaseAcknowledged
		}
		c.notes = append(c.notes, desk.Note{Text: note})
	})
}

// virtual runs a test in a world of its own, in virtual time.
func virtual(t *testing.T, name string, test func(w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
	})
}

// said reports whether that many notes of the case hold the text.
func said(c *fakeCase, text string, times int) bool {
	for _, n := range c.notes {
		if strings.Contains(n.Text, text) {
			times--
		}
	}
	return times == 0
}

// Somebody resolves the case of a fault that lasts: after a grace it is opened again, a few times at most.
func TestCaseResolvedTooEarlyIsOpenedAgain(t *testing.T) {
	virtual(t, "again and again", func(w *world) {
		w.o.Desks[0] = Desk{Name: "soc", Desk: reopening{w.soc}, Rules: Rules{EarlyAfter: 15 * time.Minute}}
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		for n := range maxReopens {
			w.soc.person("SOC-1", "jens", incident.CaseResolved, "works here")
			w.wait(14 * time.Minute)
			c := w.soc.only(w.t)
			if c.State != incident.CaseResolved || !said(c, "resolved case SOC-1, but the fault is still measured", n+1) {
				w.t.Fatalf("round %d, in the grace: %s, %+v", n, c.State, c.notes)
			}
			w.wait(2 * time.Minute)
			if c.State != incident.CaseAcknowledged {
				w.t.Fatalf("round %d, after the grace: %s", n, c.State)
			}
			if row := w.theCase(i.ID, "soc"); row.State != incident.CaseAcknowledged || !row.Resolved.IsZero() || row.Reopened != n+1 {
				w.t.Fatalf("round %d: row %+v", n, row)
			}
		}
		w.soc.person("SOC-1", "jens", incident.CaseResolved, "I mean it")
		w.wait(time.Hour)
		if c := w.soc.only(w.t); c.State != incident.CaseResolved {
			w.t.Errorf("people have no last word: %s", c.State)
		}
		w.recover(i)
		w.wait(time.Minute)
		w.settled(i.ID)
		w.stop()
	})
	virtual(t, "it recovers in the grace", func(w *world) {
		w.o.Desks[0] = Desk{Name: "soc", Desk: reopening{w.soc}, Rules: Rules{EarlyAfter: 15 * time.Minute}}
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.soc.person("SOC-1", "jens", incident.CaseResolved, "restarted")
		w.wait(5 * time.Minute)
		w.recover(i)
		w.wait(time.Hour)
		if n := w.soc.counts["reopen"]; n != 0 {
			w.t.Errorf("reopened %d times", n)
		}
		w.settled(i.ID)
		w.stop()
	})
}

// An agent that judged alone and knew no better resolves the case of a fault that lasts: that is nobody's word, and needs no grace.
func TestCaseResolvedByAnotherAgentIsOpenedAgainAtOnce(t *testing.T) {
	for _, rule := range []EarlyRule{EarlyReopen, EarlyComment} {
		virtual(t, string(rule), func(w *world) {
			w.o.Desks[0] = Desk{Name: "soc", Desk: reopening{w.soc}, Rules: Rules{Early: rule, EarlyAfter: 15 * time.Minute}}
			w.run()
			i := w.outage("web-client", incident.P2)
			w.wait(time.Minute)
			w.soc.person("SOC-1", incident.ActorAgent, incident.CaseResolved, "over")
			row := w.theCase(i.ID, "soc") // as the other agent hands it over
			row.State, row.Resolved, row.ResolvedBy = incident.CaseResolved, time.Now(), incident.ActorAgent
			if err := w.o.Store.SaveCase(w.t.Context(), row); err != nil {
				w.t.Fatal(err)
			}
			w.wait(time.Minute)
			if c := w.soc.only(w.t); !c.State.Live() {
				w.t.Errorf("a minute later the case is %s", c.State)
			}
			if row := w.theCase(i.ID, "soc"); !row.State.Live() || row.Reopened != 1 {
				w.t.Errorf("row %+v", row)
			}
			w.recover(i)
			w.wait(time.Minute)
			w.settled(i.ID)
			w.stop()
		})
	}
}

// At a desk that cannot open a case again, or where it is configured so, another case follows it under a key of its own.
func TestAnotherCaseFollows(t *testing.T) {
	virtual(t, "new case", func(w *world) {
		w.o.Desks[0].Rules = Rules{Early: EarlyNewCase, EarlyAfter: 10 * time.Minute}
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.soc.person("SOC-1", "jens", incident.CaseResolved, "works here")
		w.wait(12 * time.Minute)
		if len(w.soc.cases) != 2 {
			w.t.Fatalf("%d cases", len(w.soc.cases))
		}
		second := w.soc.cases[1]
		if second.Key != i.ID+".2" || second.State != incident.CaseNew {
			w.t.Errorf("the case that follows: %+v", second.Case)
		}
		row := w.theCase(i.ID, "soc")
		if row.Number != "SOC-2" || len(row.Earlier) != 1 || row.Earlier[0].Number != "SOC-1" || row.Earlier[0].ResolvedBy != "jens" {
			w.t.Errorf("row %+v", row)
		}
		w.recover(i)
		w.wait(time.Minute)
		w.settled(i.ID)
		if second.State != incident.CaseResolved {
			w.t.Errorf("the case that follows is %s", second.State)
		}
		if got := w.customer.kinds(); got != "opened moved resolved" {
			w.t.Errorf("customer got %s", got)
		}
		if got := w.events(i.ID, incident.EventMoved); got != "moved(firstcall)" {
			w.t.Errorf("timeline %s", got)
		}
		w.stop()
	})
}

// The fault has gone: the case is told so at once, and is resolved when that has lasted, or by people.
func TestEndOfACaseByTheRules(t *testing.T) {
	virtual(t, "after the stability time", func(w *world) {
		w.o.Desks[0].Rules.ResolveAfter = 10 * time.Minute
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.recover(i)
		w.wait(9 * time.Minute)
		c := w.soc.only(w.t)
		if c.State != incident.CaseNew || len(c.notes) != 1 || !strings.Contains(c.notes[0].Text, "The fault has gone; this case will be resolved at") {
			w.t.Fatalf("%s, %+v", c.State, c.notes)
		}
		if n := w.soc.counts["get"]; n > 60 {
			w.t.Errorf("the case was read %d times in 10 min", n)
		}
		w.wait(2 * time.Minute)
		if c.State != incident.CaseResolved || len(c.notes) != 1 {
			w.t.Errorf("%s, %+v", c.State, c.notes)
		}
		w.settled(i.ID)
		w.stop()
	})
	virtual(t, "the fault comes back", func(w *world) {
		w.o.Desks[0].Rules.ResolveAfter = time.Hour
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.recover(i)
		w.wait(5 * time.Minute)
		next := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		if a, b := w.theCase(i.ID, "soc"), w.theCase(next.ID, "soc"); a.State != incident.CaseResolved || b.State != incident.CaseNew {
			w.t.Errorf("the first is %s, the second %s", a.State, b.State)
		}
		w.stop()
	})
	virtual(t, "left to people", func(w *world) {
		w.o.Desks[0].Rules.Leave = true
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.recover(i)
		w.wait(24 * time.Hour)
		c := w.soc.only(w.t)
		if c.State != incident.CaseNew || len(c.notes) != 1 || !strings.Contains(c.notes[0].Text, "please resolve this case when you agree") {
			w.t.Fatalf("%s, %+v", c.State, c.notes)
		}
		if n := w.soc.counts["get"]; n > 350 {
			w.t.Errorf("the case was read %d times in a day", n)
		}
		w.soc.person("SOC-1", "jens", incident.CaseResolved, "agreed")
		w.wait(6 * time.Minute)
		w.settled(i.ID)
		if row := w.theCase(i.ID, "soc"); row.ResolvedBy != "jens" {
			w.t.Errorf("resolved by %q", row.ResolvedBy)
		}
		w.stop()
	})
}

// The customer's answer ends a hold, or the status does; both times are kept.
func TestHoldEndsAtTheAnswerOrTheStatus(t *testing.T) {
	for rule, want := range map[sla.HoldRule]time.Duration{sla.EndsAtAnswer: 10 * time.Minute, sla.EndsAtStatus: 30 * time.Minute} {
		virtual(t, string(rule), func(w *world) {
			w.o.HoldEnds = rule
			w.run()
			i := w.outage("web-client", incident.P2)
			w.wait(time.Minute)
			w.soc.answer("SOC-1", "it@acme.example", "we see it too") // before it is asked for: it answers nothing
			w.wait(time.Second)
			w.soc.person("SOC-1", "jens", incident.CaseHeld, "which server?")
			w.wait(10 * time.Minute)
			w.soc.answer("SOC-1", "it@acme.example", "app01")
			w.wait(20 * time.Minute)
			w.soc.person("SOC-1", "jens", incident.CaseAcknowledged, "")
			w.wait(time.Minute)
			h := w.theCase(i.ID, "soc").Holds[0]
			if h.To.Sub(h.From) != want || h.Left.Sub(h.From) != 30*time.Minute || h.Answered.Sub(h.From) != 10*time.Minute {
				w.t.Errorf("held %s, left after %s, answered after %s", h.To.Sub(h.From), h.Left.Sub(h.From), h.Answered.Sub(h.From))
			}
			if got := w.customer.kinds(); got != "opened held resumed" && got != "opened held resumed status.1" && got != "opened held status.1 resumed" {
				w.t.Errorf("customer got %s", got)
			}
			w.stop()
		})
	}
}

// A desk that forgets what it does not hear of is told again and again while the fault lasts.
func TestKeepAlive(t *testing.T) {
	virtual(t, "every minute", func(w *world) {
		w.soc.can.KeepAlive = 2 * time.Minute
		w.run()
		i := w.outage("web-client", incident.P4) // no status notes
		w.wait(20*time.Minute + 30*time.Second)
		if n := w.soc.updates; n < 19 || n > 22 {
			w.t.Errorf("%d updates in 20 min", n)
		}
		w.recover(i)
		w.wait(time.Minute)
		before := w.soc.updates
		w.wait(time.Hour)
		if w.soc.updates != before {
			w.t.Error("a case that is over is kept alive")
		}
		w.stop()
	})
}

// What comes to a resolved alert opens another one, and another agent may have resolved it in this very moment: what is about to be
// resolved is told nothing more.
func TestDeskThatReopensIsNotUpdatedAtTheEnd(t *testing.T) {
	for name, row := range map[string]struct {
		rules   Rules
		updates int
	}{
		"ends at once": {Rules{}, 0}, "ends after a while": {Rules{ResolveAfter: 10 * time.Minute}, 2}, "people end it": {Rules{Leave: true}, 2},
	} {
		virtual(t, name, func(w *world) {
			w.soc.can.Reopens, w.o.Desks[0].Rules = true, row.rules
			i := w.outage("web-client", incident.P3)
			w.run()
			w.wait(time.Minute)
			away := true
			w.soc.faults = func(string, int) fault {
				if away {
					return fail
				}
				return fine
			}
			before := w.soc.updates
			i = w.raise(i, incident.P2)
			w.wait(time.Second)
			w.recover(i)
			w.wait(time.Minute)
			away = false
			w.wait(time.Hour)
			if got := w.soc.updates - before; got != row.updates {
				w.t.Errorf("%d updates after the end, want %d", got, row.updates)
			}
			w.stop()
		})
	}
}

// A desk that says that something changed is read at once, and not only at the next poll.
func TestDeskSaysThatSomethingChanged(t *testing.T) {
	virtual(t, "poke", func(w *world) {
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(20 * time.Second)
		w.soc.person("SOC-1", "jens", incident.CaseAcknowledged, "")
		if !w.life.Changed("soc") || w.life.Changed("other") {
			w.t.Error("the desks are not known by name")
		}
		w.wait(100 * time.Millisecond)
		if w.theCase(i.ID, "soc").Acknowledged.IsZero() {
			w.t.Error("the case was not read")
		}
		w.stop()
	})
}

func TestTemporarilyRectified(t *testing.T) {
	virtual(t, "by a person", func(w *world) {
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.soc.mu.Lock()
		w.soc.cases[0].people = append(w.soc.cases[0].people, incident.Transition{At: time.Now(), Actor: "mette", Text: "moved to app02", Rectified: true})
		w.soc.mu.Unlock()
		w.wait(time.Minute)
		if row := w.theCase(i.ID, "soc"); row.Rectified.IsZero() || row.RectifiedBy != "mette" {
			w.t.Errorf("row %+v", row)
		}
		if got := w.events(i.ID, incident.EventRectified, incident.EventNote); got != "rectified(mette)" {
			w.t.Errorf("timeline %s", got)
		}
		w.stop()
	})
}
