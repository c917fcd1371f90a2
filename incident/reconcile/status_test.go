package reconcile

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/sla"
)

// TestStatusSaysWhatIsNotDelivered states for how long each desk and notifier has not heard something, and how often that failed.
func TestStatusSaysWhatIsNotDelivered(t *testing.T) {
	virtual(t, "nothing waits", func(w *world) {
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		calm := Status{
			DeskErrors: map[string]string{}, NoticeErrors: map[string]string{},
			Desks: map[string]Backlog{"soc": {}}, Notifiers: map[string]Backlog{"mail": {}, "chat": {}},
		}
		got := w.life.Status()
		got.Reaction, got.Untaken = nil, nil
		if diff := cmp.Diff(calm, got); diff != "" {
			w.t.Errorf("-want +got\n%s", diff)
		}
		w.recover(i)
		w.wait(time.Minute)
		calm.Reaction, calm.Untaken = map[incident.Priority]time.Duration{}, map[incident.Priority]int{}
		if diff := cmp.Diff(calm, w.life.Status()); diff != "" {
			w.t.Errorf("when it is over: -want +got\n%s", diff)
		}
		w.stop()
	})
	virtual(t, "the desk and a notifier fail", func(w *world) {
		away := true
		gone(w.soc, &away)
		w.oncall.faults = func(int) fault { return refuse }
		mailbox := withFallback(w)
		gone(mailbox, &away)
		w.run()
		w.outage("remote-desktop", incident.P3)
		w.wait(time.Minute)
		w.outage("web-client", incident.P2)
		w.wait(time.Minute)
		s := w.life.Status()
		if d := s.Desks["soc"]; d.Pending != 2 || d.Oldest != 2*time.Minute || d.Failures < 8 || d.Failures > 20 {
			w.t.Errorf("soc %+v", d)
		}
		if waits := s.Desks["soc"].Waits; waits != [...]time.Duration{incident.P2: time.Minute, incident.P3: 2 * time.Minute, incident.P4: 0} {
			w.t.Errorf("soc waits by priority %v", waits)
		}
		if d := s.Desks["mailbox"]; d != (Backlog{}) {
			w.t.Errorf("a fallback that is not used yet: %+v", d)
		}
		if n := s.Notifiers["chat"]; n.Pending != 2 || n.Oldest != 2*time.Minute || n.Failures < 8 {
			w.t.Errorf("chat %+v", n)
		}
		if n := s.Notifiers["mail"]; n != (Backlog{}) {
			w.t.Errorf("the customer is not told before there is a number: %+v", n)
		}
		w.wait(4 * time.Minute)
		if d := w.life.Status().Desks["mailbox"]; d.Pending != 2 || d.Oldest != time.Minute {
			w.t.Errorf("a fallback waits since it is wanted: %+v", d)
		}
		set(w.soc, &away, false)
		w.wait(time.Minute)
		if s := w.life.Status(); s.Desks["soc"] != (Backlog{}) || s.Desks["mailbox"] != (Backlog{}) || s.Pending != 0 {
			w.t.Errorf("after the desk is back: %+v", s)
		}
		w.stop()
	})
	virtual(t, "an update fails", func(w *world) {
		away := false
		gone(w.soc, &away)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(10 * time.Minute)
		set(w.soc, &away, true)
		w.wait(time.Minute)
		w.raise(i, incident.P1)
		w.wait(2 * time.Minute)
		d := w.life.Status().Desks["soc"]
		if d.Pending != 1 || d.Oldest < 2*time.Minute || d.Oldest > 3*time.Minute {
			w.t.Errorf("soc %+v", d)
		}
		w.stop()
	})
	virtual(t, "what waits as the rules say is not late", func(w *world) {
		w.o.Desks[0].Rules.ResolveAfter = time.Hour
		w.run()
		w.recover(w.outage("web-client", incident.P2))
		w.wait(30 * time.Minute)
		if s := w.life.Status(); s.Pending != 0 || s.Desks["soc"] != (Backlog{}) {
			w.t.Errorf("while it waits: %+v", s)
		}
		w.wait(31 * time.Minute)
		if c := w.soc.only(w.t); c.State != incident.CaseResolved {
			w.t.Errorf("the case is %s", c.State)
		}
		w.stop()
	})
	virtual(t, "quiet hours are no delay", func(w *world) {
		quiet := sla.Calendar{} // always
		w.o.Notifiers[1].Quiet = &quiet
		w.run()
		w.outage("web-client", incident.P2)
		w.wait(time.Hour)
		if n := w.life.Status().Notifiers["chat"]; n != (Backlog{}) || w.oncall.kinds() != "" {
			w.t.Errorf("%+v, told %q", n, w.oncall.kinds())
		}
		w.stop()
	})
}

// TestStatusShowsTheSmallestMargin states that of the incidents of a priority the one that is due first counts, until somebody takes it.
func TestStatusShowsTheSmallestMargin(t *testing.T) {
	virtual(t, "", func(w *world) {
		clocked(w)
		w.run()
		first := w.outage("web-client", incident.P2) // due in an hour
		w.wait(50 * time.Minute)
		w.outage("backend", incident.P2)
		w.outage("remote-desktop", incident.P3)
		w.wait(20 * time.Minute)
		want := map[incident.Priority]time.Duration{incident.P2: -10 * time.Minute, incident.P3: 40 * time.Minute}
		if diff := cmp.Diff(want, w.life.Status().Reaction); diff != "" {
			w.t.Errorf("-want +got\n%s", diff)
		}
		if diff := cmp.Diff(map[incident.Priority]int{incident.P2: 2, incident.P3: 1}, w.life.Status().Untaken); diff != "" {
			w.t.Errorf("not taken: -want +got\n%s", diff)
		}
		c := w.theCase(first.ID, "soc")
		w.soc.person(c.Number, "jonas", incident.CaseAcknowledged, "")
		w.wait(time.Minute)
		if got := w.life.Status().Reaction[incident.P2]; got != 39*time.Minute {
			w.t.Errorf("after the first is taken: %s", got)
		}
		if got := w.life.Status().Untaken[incident.P2]; got != 1 {
			w.t.Errorf("after the first is taken, %d are not", got)
		}
		w.stop()
	})
}
