package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

func TestStatusMailsEveryHalfHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(95 * time.Minute)
		w.recover(i)
		w.wait(time.Hour)
		if got := w.customer.kinds(); got != "opened status.1 status.2 status.3 resolved" {
			t.Fatalf("customer got %s", got)
		}
		if got := w.oncall.kinds(); got != "opened resolved" {
			t.Errorf("on-call got %s", got)
		}
		for n, m := range w.customer.sent {
			if late := w.customer.at[n].Sub(m.Date); late < 0 || late > 2*time.Second {
				t.Errorf("%s was due %s and sent %s", m.ID, m.Date, w.customer.at[n])
			}
			if m.Kind == incident.NoticeStatus && n > 1 && m.Date.Sub(w.customer.sent[n-1].Date) != 30*time.Minute {
				t.Errorf("%s was due %s", m.ID, m.Date)
			}
		}
		if c := w.soc.only(t); len(c.notes) != 3 || c.notes[0].Public || !strings.Contains(c.notes[2].Text, "status 3: web-client is inaccessible") {
			t.Errorf("the case has %v", c.notes)
		}
		w.stop()
	})
}

func TestStatusMailsOnlyForTheirPriorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		w.outage("web-client", incident.P4)
		w.wait(65 * time.Minute)
		if got := w.customer.kinds(); got != "opened" {
			t.Errorf("customer got %s", got)
		}
		w.stop()
	})
}

// Outside the supported time the half hours count from the commencement that the first mail names.
func TestStatusCountsFromCommencement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		i := w.outage("web-client", incident.P3)
		i.Commencement = time.Now().Add(time.Hour)
		w.commit(i, incident.EventMeasured, "commences tomorrow")
		w.run()
		w.wait(89 * time.Minute)
		if got := w.customer.kinds(); got != "opened" {
			t.Errorf("customer got %s", got)
		}
		w.wait(2 * time.Minute)
		if got := w.customer.kinds(); got != "opened status.1" {
			t.Errorf("customer got %s", got)
		}
		w.stop()
	})
}

// While the mail server is down statuses are superseded, nothing else; after its return everything comes, in order.
func TestMailServerDown(t *testing.T) {
	for n := range 12 {
		name, f := "refuses", refuse
		if n%2 == 1 {
			name, f = "hangs", hang
		}
		down := 100*time.Minute + time.Duration(n*3/2)*time.Second
		t.Run(fmt.Sprintf("%s for %s", name, down), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.o.Jitter = func() float64 { return 0 }
				back := time.Now().Add(down)
				w.customer.faults = func(int) fault {
					if time.Now().Before(back) {
						return f
					}
					return fine
				}
				w.run()
				i := w.outage("web-client", incident.P2)
				w.wait(50 * time.Minute)
				i = w.raise(i, incident.P1)
				w.wait(time.Until(back) - time.Second)
				if s := w.life.Status(); s.NoticeErrors["mail"] == "" || len(s.NoticeErrors) != 1 {
					t.Errorf("status %+v", s)
				}
				w.wait(time.Second + maxBackoff + 3*time.Second)
				if got := w.customer.kinds(); got != "opened raised status.3" {
					t.Fatalf("customer got %s", got)
				}
				if got := w.events(i.ID, incident.EventNoticeFailed); got != "notice-failed(mail)" {
					t.Errorf("failures told: %s", got)
				}
				states := map[incident.NoticeState]int{}
				for _, n := range w.store.notices {
					if n.Notifier == "mail" {
						states[n.State]++
					}
				}
				if states[incident.NoticeSuperseded] != 2 || states[incident.NoticeSent] != 3 {
					t.Errorf("states %v", states)
				}
				w.recover(i)
				w.wait(2 * time.Minute)
				if s := w.life.Status(); len(s.NoticeErrors) != 0 {
					t.Errorf("status %+v", s)
				}
				w.settled(i.ID)
				w.stop()
			})
		})
	}
}

// After a restart only the newest missed status is sent; its number shows the gap.
func TestStatusAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(35 * time.Minute)
		w.stop()
		w.wait(2 * time.Hour)
		w.run()
		w.wait(time.Minute)
		if got := w.customer.kinds(); got != "opened status.1 status.5" {
			t.Errorf("customer got %s", got)
		}
		w.stop()
		w.recover(i) // while the agent is down
		w.wait(time.Hour)
		w.run()
		w.wait(time.Minute)
		if got := w.customer.kinds(); got != "opened status.1 status.5 resolved" {
			t.Errorf("customer got %s", got)
		}
		if got := w.oncall.kinds(); got != "opened resolved" {
			t.Errorf("on-call got %s", got)
		}
		w.settled(i.ID)
		w.stop()
	})
}

// The answer is lost: the message is sent again with the same id.
func TestLostAnswerOfANotifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.oncall.faults = func(n int) fault {
			if n <= 2 {
				return lose
			}
			return fine
		}
		w.run()
		w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		if len(w.oncall.sent) != 3 || w.oncall.sent[0].ID != w.oncall.sent[2].ID || w.oncall.kinds() != "opened" {
			t.Errorf("sent %v", w.oncall.sent)
		}
		w.stop()
	})
}

// Where the desk mails the customer itself, the agent does not; its status stands in the case, for the customer's eyes.
func TestDeskThatMailsTheCustomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.soc.can.MailsCustomer = true
		w.o.Tenant.Language = "da"
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(35 * time.Minute)
		w.recover(i)
		w.wait(time.Minute)
		if got := w.customer.kinds(); got != "" {
			t.Errorf("customer got %s", got)
		}
		if c := w.soc.only(t); len(c.notes) != 1 || !c.notes[0].Public || !strings.Contains(c.notes[0].Text, "web-client er utilgængelig") {
			t.Errorf("the case has %v", c.notes)
		}
		w.settled(i.ID)
		w.stop()
	})
}

func TestPrioritiesOfANotifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.o.Notifiers[1].Priorities = []incident.Priority{incident.P1}
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(10 * time.Minute)
		if got := w.oncall.kinds(); got != "" {
			t.Errorf("on-call got %s of a P2", got)
		}
		i = w.raise(i, incident.P1)
		w.wait(10 * time.Minute)
		i.Priority = incident.P2
		w.commit(i, incident.EventLowered, "one instance is back")
		w.wait(10 * time.Minute)
		w.recover(i)
		w.wait(time.Minute)
		if got := w.oncall.kinds(); got != "opened lowered resolved" {
			t.Errorf("on-call got %s", got)
		}
		if m := w.oncall.sent[0]; !strings.HasPrefix(m.Subject, "[SOC-1] P1 ACME A/S: ") {
			t.Errorf("subject %q", m.Subject)
		}
		w.stop()
	})
}

// Notices of a notifier, and cases of a desk, that are configured no more do not hold an incident open in silence.
func TestConfiguredNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.customer.faults = func(int) fault { return refuse }
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.stop()
		w.o.Notifiers = w.o.Notifiers[1:]
		other := &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true}}
		w.o.Desks = []Desk{{Name: "other", Desk: other}}
		w.run()
		w.recover(i)
		w.wait(time.Minute)
		for _, n := range w.store.notices {
			if n.Notifier == "mail" && n.State != incident.NoticeSuperseded {
				t.Errorf("notice %+v", n)
			}
		}
		if s := w.life.Status(); s.Pending != 1 || !strings.Contains(s.DeskErrors["soc"], "SOC-1") {
			t.Errorf("status %+v", s)
		}
		if c := other.only(t); c.State != incident.CaseResolved {
			t.Errorf("the new desk's case is %s", c.State)
		}
		w.stop()
	})
}

// A notifier that is configured anew is told of what lasts, not of what is long over.
func TestNewNotifierHearsNoHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		over, lasts := w.outage("web-client", incident.P2), w.outage("backend", incident.P2)
		w.wait(time.Minute)
		w.recover(over)
		w.wait(time.Minute)
		w.stop()
		added := &fakeNotifier{}
		w.o.Notifiers = append(w.o.Notifiers, Notifier{Name: "added", Notifier: added})
		w.run()
		w.wait(2 * time.Minute)
		if added.kinds() != "opened" || added.sent[0].Thread != lasts.ID {
			t.Errorf("it got %v", added.sent)
		}
		w.stop()
	})
}

// The case of a class that opens none stays unopened, and only those concerned are told.
func TestWhoIsToldOfWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		functional := &fakeNotifier{}
		w.o.Notifiers = append(w.o.Notifiers, Notifier{Name: "partner", Notifier: functional, To: []Recipient{{RoleFunctional, incident.Contact{Name: "Perfion support", Email: "s@partner.example"}}}})
		w.run()
		synctest.Wait()
		for _, class := range []incident.Class{incident.Function, incident.Agent, incident.Account} {
			life := w.life
			w.life = nil // nobody looks before it is of that class
			i := w.outage("web-client", incident.NoPriority)
			w.life = life
			i.ID, i.Class = incident.Key("acme", class, "web-client", time.Now()), class
			w.store.mu.Lock()
			w.store.incidents, w.store.events = nil, nil
			w.store.mu.Unlock()
			w.commit(i, incident.EventOpened, "opened")
			w.wait(10 * time.Minute)
			w.recover(i)
			w.wait(time.Minute)
			told := "customer " + w.customer.kinds() + ", on-call " + w.oncall.kinds() + ", functional " + functional.kinds()
			want := "customer , on-call , functional opened resolved"
			switch class {
			case incident.Agent:
				want = "customer , on-call opened resolved, functional opened resolved"
			case incident.Account: // its owners: both
				want = "customer , on-call opened resolved opened resolved, functional opened resolved opened resolved"
			default:
			}
			if told != want || len(w.soc.cases) != 0 {
				t.Errorf("%s: %s, %d cases", class, told, len(w.soc.cases))
			}
		}
		w.stop()
	})
}
