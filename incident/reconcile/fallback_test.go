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
}
