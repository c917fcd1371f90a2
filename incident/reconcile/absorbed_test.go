package reconcile

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

func TestAbsorbedCaseNamesTheOneThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		narrow := w.outage("web-client", incident.P2)
		w.wait(10 * time.Second)
		w.soc.mu.Lock()
		w.soc.faults = func(a string, _ int) fault {
			if a == "open" {
				return refuse // the wider case takes a while to get its number
			}
			return fine
		}
		w.soc.mu.Unlock()
		wide := w.outage("backend", incident.P1)
		narrow.Ended, narrow.Closed, narrow.Resolution, narrow.AbsorbedBy = time.Now(), time.Now(), incident.Absorbed, wide.ID
		w.commit(narrow, incident.EventAbsorbed, "absorbed by "+wide.ID)
		w.wait(20 * time.Second)
		if c := w.soc.only(t); over(c.State) {
			t.Error("closed without the number of the case that goes on")
		}
		w.soc.mu.Lock()
		w.soc.faults = nil
		w.soc.mu.Unlock()
		w.wait(30 * time.Second)
		if c := w.soc.cases[0]; c.State != incident.CaseResolved || !strings.Contains(c.closing, "goes on as case SOC-2") {
			t.Errorf("%s: %s", c.State, c.closing)
		}
		w.settled(narrow.ID)
		if got := w.customer.kinds(); got != "opened opened resolved" && got != "opened resolved opened" {
			t.Errorf("customer got %s", got)
		}
		for _, m := range w.customer.sent {
			if m.Kind == incident.NoticeResolved && !strings.Contains(m.Subject, "Part of case SOC-2") {
				t.Errorf("subject %q", m.Subject)
			}
		}
		w.stop()
	})
}

// An incident that is absorbed while its desk is told of it waits for that number, too.
func TestAbsorbedInTheMiddleNamesTheOneThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		narrow := w.outage("web-client", incident.P3)
		w.soc.faults = func(action string, n int) fault {
			switch {
			case action == "get" && n == 1:
				narrow = w.raise(narrow, incident.P2)
				wide := w.outage("backend", incident.P1)
				narrow.Ended, narrow.Closed, narrow.Resolution, narrow.AbsorbedBy = time.Now(), time.Now(), incident.Absorbed, wide.ID
				w.commit(narrow, incident.EventAbsorbed, "absorbed by "+wide.ID)
			case action == "open" && n > 1 && n < 5:
				return refuse // the wider case takes a while to get its number
			}
			return fine
		}
		w.run()
		w.wait(5 * time.Minute)
		if c := w.soc.cases[0]; c.State != incident.CaseResolved || !strings.Contains(c.closing, "goes on as case SOC-2") {
			t.Errorf("%s: %s", c.State, c.closing)
		}
		w.stop()
	})
}

func TestAbsorbedCaseDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run()
		narrow := w.outage("web-client", incident.P2)
		w.wait(10 * time.Second)
		narrow.Ended, narrow.Closed, narrow.Resolution, narrow.AbsorbedBy = time.Now(), time.Now(), incident.Absorbed, "fc-nobody"
		w.commit(narrow, incident.EventAbsorbed, "absorbed")
		w.wait(absorbWait + 2*time.Second)
		if c := w.soc.only(t); c.State != incident.CaseResolved {
			t.Errorf("state %s", c.State)
		}
		w.settled(narrow.ID)
		w.stop()
	})
}
