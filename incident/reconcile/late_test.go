package reconcile

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// lateDesk reads a case back by its search, as the webhook desk does: within the lag after its create it knows it not.
type lateDesk struct{ *fakeDesk }

func (d lateDesk) Get(ctx context.Context, ref string) (desk.Case, error) {
	c, err := d.fakeDesk.Get(ctx, ref)
	if err == nil && time.Since(c.Created) < d.can.Lag {
		return desk.Case{}, fmt.Errorf("desk fake: case %s: %w", ref, incident.ErrNotFound)
	}
	return c, err
}

// A case that cannot be read back yet is not gone: it must be resolved like any other.
func TestACaseThatShowsLateIsResolved(t *testing.T) {
	for _, lasts := range []time.Duration{0, 2 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.soc.can.Lag = 20 * time.Second
			w.o.Desks = []Desk{{Name: "soc", Desk: lateDesk{w.soc}}}
			i := w.outage("web-client", incident.P2)
			if lasts == 0 { // over before anybody looked
				w.recover(i)
			}
			w.run()
			w.wait(lasts)
			if lasts > 0 {
				w.recover(i)
			}
			w.wait(3 * time.Minute)
			w.stop()
			w.settled(i.ID)
			if c := w.soc.only(t); c.State != incident.CaseResolved {
				t.Errorf("lasted %s: the case is %s at the end, timeline %s", lasts, c.State, w.events(i.ID))
			}
		})
	}
}
