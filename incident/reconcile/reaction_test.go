package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/sla"
)

// telephone is a notifier that interrupts people. It is not answered unless set so.
type telephone struct {
	fakeNotifier
	pace     notify.Pace
	answered bool
	calls    []time.Time
}

func (p *telephone) Pace() notify.Pace { return p.pace }

func (p *telephone) Send(ctx context.Context, m notify.Message) (string, error) {
	p.mu.Lock()
	p.calls = append(p.calls, time.Now())
	ok := p.answered
	p.mu.Unlock()
	if !ok {
		return "", errors.New("notifier phone: +45 00 00 00 01: not answered within 40 s")
	}
	return p.fakeNotifier.Send(ctx, m)
}

// clocked gives the world the contract's reaction clock, and a telephone for on-call and the Operations Centre.
func clocked(w *world) *telephone {
	w.o.Level = sla.Level{Reaction: [5]time.Duration{0, 15 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour}}
	w.o.WarnAt = []int{50, 80, 100}
	phone := &telephone{pace: notify.Pace{Timeout: 3 * time.Minute, Attempts: 3, Pause: 2 * time.Minute, UntilTold: true}, answered: true}
	w.o.Notifiers = append(w.o.Notifiers, Notifier{
		Name: "phone", Notifier: phone, Priorities: []incident.Priority{incident.P1, incident.P2},
		To: []Recipient{{RoleOnCall, incident.Contact{Phone: "+4500000001"}}, {RoleCentre, incident.Contact{Phone: "+4533366300"}}},
	})
	return phone
}

func TestOnCallIsWarnedUntilSomebodyReacts(t *testing.T) {
	virtual(t, "nobody reacts", func(w *world) {
		phone := clocked(w)
		w.run()
		i := w.outage("web-client", incident.P2) // due in an hour
		w.wait(29 * time.Minute)
		if got := w.oncall.kinds(); got != "opened" {
			w.t.Errorf("on-call got %s", got)
		}
		w.wait(2 * time.Minute)
		w.wait(time.Hour)
		if got := w.oncall.kinds(); got != "opened reaction reaction reaction" {
			w.t.Errorf("on-call got %s", got)
		}
		if got := phone.kinds(); got != "opened opened reaction reaction reaction reaction reaction reaction" { // on-call and the centre
			w.t.Errorf("the telephone rang for %s", got)
		}
		last := w.oncall.sent[len(w.oncall.sent)-1]
		for _, want := range []string{"+45 33 36 63 00", "ACME IT service desk", "SOC-1", "100 % of the reaction time has passed and nobody has taken case SOC-1 at soc"} {
			if !strings.Contains(last.Text, want) {
				w.t.Errorf("the warning does not say %q:\n%s", want, last.Text)
			}
		}
		if c := w.soc.only(w.t); !said(c, "of the reaction time has passed", 3) {
			w.t.Errorf("notes in the case: %+v", c.notes)
		}
		w.recover(i)
		w.wait(time.Minute)
		if got := phone.kinds(); strings.Contains(got, "resolved") {
			w.t.Error("the telephone rings at the end")
		}
		w.settled(i.ID)
		w.stop()
	})
	virtual(t, "somebody takes it in time", func(w *world) {
		clocked(w)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(20 * time.Minute)
		w.soc.person("SOC-1", "jens", incident.CaseAcknowledged, "")
		w.wait(2 * time.Hour)
		if got := w.events(i.ID, incident.EventReaction); got != "" {
			w.t.Errorf("warned although it was taken: %s", got)
		}
		w.stop()
	})
	virtual(t, "an agent that was away warns once, of the newest share", func(w *world) {
		clocked(w)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		w.stop()
		w.wait(3 * time.Hour)
		w.run()
		w.wait(time.Minute)
		if got := w.events(i.ID, incident.EventReaction); got != "reaction(firstcall)" {
			w.t.Errorf("warned %s", got)
		}
		w.stop()
	})
	virtual(t, "no case can be opened", func(w *world) {
		clocked(w)
		away := true
		gone(w.soc, &away)
		w.run()
		w.outage("web-client", incident.P1)
		w.wait(10 * time.Minute)
		if got := w.oncall.kinds(); got != "opened" {
			w.t.Errorf("on-call got %s", got) // the world makes it due in an hour, so that most of it has not begun
		}
		w.wait(time.Hour)
		if last := w.oncall.sent[len(w.oncall.sent)-1]; !strings.Contains(last.Text, "no case could be opened yet") {
			w.t.Errorf("warning:\n%s", last.Text)
		}
		w.stop()
	})
}

func TestTelephoneRingsAFewTimesAtMost(t *testing.T) {
	virtual(t, "nobody answers", func(w *world) {
		phone := clocked(w)
		phone.answered = false
		w.o.Notifiers[2].To = w.o.Notifiers[2].To[:1]
		w.o.WarnAt = nil
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Hour)
		if len(phone.calls) != 3 {
			w.t.Fatalf("%d calls, want 3", len(phone.calls))
		}
		if pause := phone.calls[2].Sub(phone.calls[1]); pause < 2*time.Minute || pause > 2*time.Minute+11*time.Second {
			w.t.Errorf("%s between two calls", pause)
		}
		list, err := w.store.Notices(w.t.Context(), i.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		found := false
		for _, n := range list {
			found = found || n.Notifier == "phone" && n.State == incident.NoticeFailed && n.Failures == 3
		}
		if !found {
			w.t.Errorf("no notice was given up: %+v", list)
		}
		w.recover(i)
		w.wait(time.Minute)
		w.settled(i.ID)
		w.stop()
	})
	virtual(t, "somebody takes the case meanwhile", func(w *world) {
		phone := clocked(w)
		phone.answered = false
		w.run()
		w.outage("web-client", incident.P2)
		w.wait(90 * time.Second)
		w.soc.person("SOC-1", "jens", incident.CaseAcknowledged, "")
		w.wait(time.Hour)
		if len(phone.calls) != 2 { // one each for on-call and the centre
			w.t.Errorf("%d calls", len(phone.calls))
		}
		w.stop()
	})
}

func TestQuietHours(t *testing.T) {
	night, err := sla.ParseCalendar([]string{"Mon-Sun 00:00-06:00"}, time.UTC, "")
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[incident.Priority]string{incident.P3: "", incident.P1: "opened"} {
		virtual(t, p.String(), func(w *world) { // it is midnight in UTC
			w.o.Notifiers[1].Quiet, w.o.Notifiers[1].Loud = &night, []incident.Priority{incident.P1}
			w.run()
			w.outage("web-client", p)
			w.wait(5 * time.Hour)
			if got := w.oncall.kinds(); got != want {
				w.t.Errorf("in quiet hours: %q, want %q", got, want)
			}
			w.wait(time.Hour + time.Minute)
			if got := w.oncall.kinds(); got != "opened" {
				w.t.Errorf("after them: %q", got)
			}
			w.stop()
		})
	}
}
