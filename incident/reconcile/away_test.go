package reconcile

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// awayDesk notes when it was called, and answers nothing while it is away.
type awayDesk struct {
	*fakeDesk
	away  bool
	calls map[string][]time.Time
}

func newAwayDesk(can desk.Capabilities, how fault) *awayDesk {
	d := &awayDesk{fakeDesk: &fakeDesk{can: can}, calls: map[string][]time.Time{}}
	d.faults = func(action string, _ int) fault { // the desk's lock is held
		d.calls[action] = append(d.calls[action], time.Now())
		if d.away {
			return how
		}
		return fine
	}
	return d
}

// between counts the calls of all actions from one instant to another.
func (d *awayDesk) between(from, to time.Time) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, at := range d.calls {
		for _, t := range at {
			if !t.Before(from) && t.Before(to) {
				n++
			}
		}
	}
	return n
}

func (d *awayDesk) goes(away bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = away
}

// A desk is away for an hour, in which forty incidents open and every third closes. Nothing is lost, nothing is doubled, and the
// desk is flooded neither meanwhile nor when it is back.
func TestDeskAwayForAnHour(t *testing.T) {
	everything := desk.Capabilities{Find: true, ReadBack: true, Transitions: true}
	late := everything
	late.Lag = 20 * time.Second
	for _, c := range []struct {
		name string
		can  desk.Capabilities
		how  fault
	}{
		{"finds, refuses", everything, refuse},
		{"finds, is silent", everything, hang},
		{"finds late, fails", late, fail},
		{"dedupes, fails", desk.Capabilities{DedupeOnCreate: true}, fail},
		{"dedupes, is silent", desk.Capabilities{DedupeOnCreate: true}, hang},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { awayForAnHour(t, newAwayDesk(c.can, c.how), c.how) })
		})
	}
}

func awayForAnHour(t *testing.T, d *awayDesk, how fault) {
	const incidents = 40
	w := newWorld(t)
	w.o.Notifiers = nil
	w.soc, w.o.Desks = d.fakeDesk, []Desk{{Name: "soc", Desk: d}}
	w.run()
	d.goes(true)
	gone := time.Now()
	var all []incident.Incident
	for n := range incidents {
		all = append(all, w.outage(fmt.Sprintf("server-%02d", n), incident.P2))
		if n%3 == 2 {
			all[n-1] = w.recover(all[n-1])
		}
		w.wait(time.Hour / incidents)
	}
	d.goes(false)
	back := time.Now()

	// Within each back-off of at least half its length a case is tried once. A silent desk has one call at a time.
	most := 0
	for n := range incidents {
		most += int((back.Sub(gone) - time.Duration(n)*time.Hour/incidents) / (maxBackoff / 2))
	}
	most += 6 * incidents // the first ones come sooner
	if how == hang {
		most = int(back.Sub(gone)/callTimeout) + incidents
	}
	if got := d.between(gone, back); got > most {
		t.Errorf("%d calls while the desk was away, want at most %d", got, most)
	}
	if got := w.life.Status().DeskErrors["soc"]; got == "" {
		t.Error("the status does not say that the desk fails")
	}

	w.wait(time.Minute)
	// Each case is searched, opened, searched for doubles and read, and then read again as any other.
	most = incidents * (4 + 2*(1+int(time.Minute/pollEvery)))
	if got := d.between(back, back.Add(time.Minute)); got > most {
		t.Errorf("%d calls in the first minute after its return, want at most %d", got, most)
	}
	w.wait(2 * time.Minute)
	d.mu.Lock()
	if len(d.cases) != incidents || d.mostly > 1 {
		t.Errorf("%d cases of %d incidents, %d live of one at once", len(d.cases), incidents, d.mostly)
	}
	d.mu.Unlock()
	for _, i := range all {
		if i.Open() {
			w.recover(i)
		}
	}
	w.wait(3 * time.Minute)
	w.stop()
	for _, i := range all {
		w.settled(i.ID)
		n := slices.IndexFunc(d.cases, func(c *fakeCase) bool { return c.Key == i.ID })
		if n < 0 || d.cases[n].State != incident.CaseResolved {
			t.Errorf("%s has no case that is resolved", i.ID)
		}
	}
	if got := w.life.Status(); len(got.DeskErrors) > 0 || got.Pending > 0 {
		t.Errorf("at the end: %+v", got)
	}
}
