package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// withFallback returns the world's second desk, which is used when the first could not be reached for five minutes.
func withFallback(w *world) *fakeDesk {
	d := &fakeDesk{can: desk.Capabilities{DedupeOnCreate: true}}
	w.o.Desks = append(w.o.Desks, Desk{Name: "mailbox", Desk: d, Rules: Rules{FallbackAfter: 5 * time.Minute}})
	return d
}

// gone makes every call to the desk fail while it is true.
func gone(d *fakeDesk, while *bool) {
	d.faults = func(string, int) fault {
		if *while {
			return refuse
		}
		return fine
	}
}

func set(d *fakeDesk, b *bool, to bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*b = to
}

func TestFallback(t *testing.T) {
	virtual(t, "is not used while the primary answers", func(w *world) {
		mailbox := withFallback(w)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Hour)
		w.recover(i)
		w.wait(time.Minute)
		w.settled(i.ID)
		if len(mailbox.cases) != 0 || w.theCase(i.ID, "mailbox").Incident != "" {
			w.t.Errorf("the fallback has %d cases", len(mailbox.cases))
		}
		w.stop()
	})
	virtual(t, "takes the case, and the primary takes it over", func(w *world) {
		mailbox, away := withFallback(w), true
		gone(w.soc, &away)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(4*time.Minute + 55*time.Second)
		if len(mailbox.cases) != 0 {
			w.t.Fatal("the fallback is used too early")
		}
		w.wait(10 * time.Second)
		if len(mailbox.cases) != 1 {
			w.t.Fatalf("the fallback has %d cases", len(mailbox.cases))
		}
		if got := w.customer.kinds(); got != "opened" {
			w.t.Errorf("customer got %q while the fallback has the case", got)
		}
		if m := w.customer.sent[0]; !strings.Contains(m.Text, "SOC-1") {
			w.t.Errorf("the mail does not name the fallback's number: %s", m.Text)
		}
		w.wait(10 * time.Minute)
		set(w.soc, &away, false)
		w.wait(time.Minute)
		c := w.soc.only(w.t)
		if c.State != incident.CaseNew || mailbox.cases[0].State != incident.CaseWithdrawn || mailbox.cases[0].winner != c.Number {
			w.t.Fatalf("primary %s, fallback %s in favour of %q", c.State, mailbox.cases[0].State, mailbox.cases[0].winner)
		}
		if !said(c, "goes on as case SOC-1 at soc", 1) {
			w.t.Errorf("the primary does not hear of the fallback's case: %+v", c.notes)
		}
		w.recover(i)
		w.wait(time.Minute)
		w.settled(i.ID)
		if c.State != incident.CaseResolved || len(mailbox.cases) != 1 {
			w.t.Errorf("in the end: primary %s, %d at the fallback", c.State, len(mailbox.cases))
		}
		if got := w.customer.kinds(); got != "opened moved resolved" {
			w.t.Errorf("customer got %s", got)
		}
		w.stop()
	})
	virtual(t, "has the whole incident", func(w *world) {
		mailbox, away := withFallback(w), true
		gone(w.soc, &away)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(8 * time.Minute)
		w.recover(i)
		w.wait(10 * time.Minute)
		if mailbox.cases[0].State != incident.CaseResolved {
			w.t.Errorf("the fallback's case is %s", mailbox.cases[0].State)
		}
		set(w.soc, &away, false)
		w.wait(time.Minute)
		w.settled(i.ID)
		if len(w.soc.cases) != 0 {
			w.t.Errorf("the primary has %d cases of what is over", len(w.soc.cases))
		}
		w.stop()
	})
	virtual(t, "hears that the priority rose when the primary does not", func(w *world) {
		mailbox, away := withFallback(w), false
		gone(w.soc, &away)
		w.run()
		i := w.outage("web-client", incident.P3)
		w.wait(time.Minute)
		set(w.soc, &away, true)
		w.wait(time.Minute)
		i = w.raise(i, incident.P1)
		w.wait(7 * time.Minute)
		if len(mailbox.cases) != 1 || mailbox.cases[0].Priority != incident.P1 {
			w.t.Fatalf("the fallback has %d cases", len(mailbox.cases))
		}
		set(w.soc, &away, false)
		w.wait(time.Minute)
		if c := w.soc.only(w.t); c.Priority != incident.P1 || mailbox.cases[0].State != incident.CaseWithdrawn {
			w.t.Errorf("primary at %s, fallback %s", c.Priority, mailbox.cases[0].State)
		}
		w.recover(i)
		w.wait(time.Minute)
		w.settled(i.ID)
		w.stop()
	})
	virtual(t, "an unanswered create at the primary is found before anything is handed over", func(w *world) {
		mailbox, away := withFallback(w), true
		w.soc.faults = func(action string, n int) fault {
			switch {
			case action == "open" && n == 1:
				return lose
			case away && (action != "find" || n > 1):
				return refuse
			}
			return fine
		}
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(8 * time.Minute)
		if len(mailbox.cases) != 1 || len(w.soc.cases) != 1 {
			w.t.Fatalf("%d at the fallback, %d at the primary", len(mailbox.cases), len(w.soc.cases))
		}
		set(w.soc, &away, false)
		w.wait(time.Minute)
		w.recover(i)
		w.wait(time.Minute)
		w.settled(i.ID)
		if len(w.soc.cases) != 1 || w.soc.cases[0].State != incident.CaseResolved || mailbox.cases[0].State != incident.CaseWithdrawn {
			w.t.Errorf("in the end: %d at the primary, first %s; fallback %s", len(w.soc.cases), w.soc.cases[0].State, mailbox.cases[0].State)
		}
		w.stop()
	})
	virtual(t, "is used again when the primary goes away again", func(w *world) {
		mailbox, away := withFallback(w), true
		gone(w.soc, &away)
		w.run()
		i := w.outage("web-client", incident.P3)
		w.wait(6 * time.Minute)
		set(w.soc, &away, false)
		w.wait(time.Minute)
		set(w.soc, &away, true)
		w.wait(time.Minute)
		i = w.raise(i, incident.P1)
		w.wait(7 * time.Minute)
		if len(mailbox.cases) != 2 || mailbox.cases[0].State != incident.CaseWithdrawn || mailbox.cases[1].State != incident.CaseNew || mailbox.cases[1].Key == i.ID {
			w.t.Fatalf("the fallback has %d cases: %+v", len(mailbox.cases), mailbox.cases)
		}
		set(w.soc, &away, false)
		w.wait(time.Minute)
		w.recover(i)
		w.wait(time.Minute)
		w.settled(i.ID)
		if mailbox.cases[1].State != incident.CaseWithdrawn {
			w.t.Errorf("the fallback's second case is %s", mailbox.cases[1].State)
		}
		w.stop()
	})
	virtual(t, "the agent mails the customer while the desk that does so is away", func(w *world) {
		withFallback(w)
		away := true
		gone(w.soc, &away)
		w.soc.can.MailsCustomer = true
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(20 * time.Minute)
		if got := w.customer.kinds(); got != "opened" {
			w.t.Errorf("customer got %q from the agent", got)
		}
		set(w.soc, &away, false)
		w.wait(40 * time.Minute)
		w.recover(i)
		w.wait(time.Minute)
		if got := w.customer.kinds(); got != "opened" {
			w.t.Errorf("customer got %q from the agent, beside the desk's own", got)
		}
		public := 0
		for _, n := range w.soc.only(w.t).notes {
			if n.Public {
				public++
			}
		}
		if public < 2 { // that it moved, and a status
			w.t.Errorf("%d notes for the customer", public)
		}
		w.settled(i.ID)
		w.stop()
	})
	virtual(t, "who took the case there has taken it", func(w *world) {
		clocked(w)
		mailbox, away := withFallback(w), true
		mailbox.can.Transitions, mailbox.can.ReadBack = true, true
		gone(w.soc, &away)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(7 * time.Minute)
		mailbox.person("SOC-1", "jens", incident.CaseAcknowledged, "")
		w.wait(time.Minute)
		set(w.soc, &away, false)
		w.wait(2 * time.Hour)
		if got := w.events(i.ID, incident.EventReaction); got != "" {
			w.t.Errorf("warned although it was taken at the fallback: %s", got)
		}
		w.stop()
	})
}

// A case that somebody deletes while its fault is measured is as good as resolved too early.
func TestCaseIsDeleted(t *testing.T) {
	virtual(t, "another one follows", func(w *world) {
		w.o.Desks[0].Rules.EarlyAfter = 5 * time.Minute
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.soc.mu.Lock()
		w.soc.cases[0].Ref, w.soc.cases[0].Key = "deleted", "deleted"
		w.soc.mu.Unlock()
		w.wait(4 * time.Minute)
		if row := w.theCase(i.ID, "soc"); row.State != incident.CaseResolved || row.Failures != 0 {
			w.t.Errorf("row %+v", row)
		}
		w.wait(3 * time.Minute)
		row := w.theCase(i.ID, "soc")
		if row.Number != "SOC-2" || row.State != incident.CaseNew {
			w.t.Errorf("row %+v", row)
		}
		w.recover(i)
		w.wait(time.Minute)
		w.settled(i.ID)
		w.stop()
	})
}

// What engineers owe each other is not for the customer, whom the desk mails what is public.
func TestWarningsAreNotForTheCustomer(t *testing.T) {
	virtual(t, "reaction", func(w *world) {
		clocked(w)
		w.soc.can.MailsCustomer = true
		w.run()
		w.outage("web-client", incident.P2)
		w.wait(59 * time.Minute)
		for _, n := range w.soc.only(w.t).notes {
			if warning := strings.Contains(n.Text, "reaction time has passed"); warning == n.Public {
				w.t.Errorf("public %t: %s", n.Public, n.Text)
			}
		}
		w.stop()
	})
}
