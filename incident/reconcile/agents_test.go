package reconcile

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// slowDesk takes a while for every call, so that those of two agents overlap.
type slowDesk struct {
	lateDesk
	slow time.Duration
}

func (d slowDesk) Find(ctx context.Context, key string) ([]desk.Case, error) {
	found, err := d.lateDesk.Find(ctx, key)
	<-time.After(d.slow)
	return found, err
}

func (d slowDesk) Open(ctx context.Context, f desk.Fields) (desk.Case, error) {
	<-time.After(d.slow)
	return d.lateDesk.Open(ctx, f)
}

// Two agents with stores of their own bring the same incident to one desk, which takes both cases. Soon there is one that is live,
// and in the end there is one, even when the incident was over before either of them looked.
func TestTwoAgentsEndWithOneCase(t *testing.T) {
	for _, lag := range []time.Duration{0, 5 * time.Second} {
		for _, lasts := range []time.Duration{0, time.Second, 12 * time.Second, time.Minute} {
			for apart := time.Duration(0); apart <= 800*time.Millisecond; apart += 100 * time.Millisecond {
				for _, coarse := range []bool{false, true} {
					t.Run(fmt.Sprintf("lag %s, lasts %s, %s apart, by the second: %t", lag, lasts, apart, coarse), func(t *testing.T) {
						soc := &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true, Lag: lag}, coarse: coarse}
						synctest.Test(t, func(t *testing.T) { twoAgents(t, soc, lasts, apart) })
					})
				}
			}
		}
	}
}

func twoAgents(t *testing.T, soc *fakeDesk, lasts, apart time.Duration) {
	started := time.Now()
	var all sync.WaitGroup
	for n := range 2 {
		all.Go(func() {
			w := newWorld(t)
			w.soc, w.o.Notifiers = soc, nil
			w.o.Desks = []Desk{{Name: "soc", Desk: slowDesk{lateDesk{soc}, 200 * time.Millisecond}, Rules: Rules{EarlyAfter: 15 * time.Minute}}}
			i := incident.Incident{
				ID: "fc-acme-web-client", Tenant: "acme", Class: incident.Availability, Root: "web-client", Components: []string{"web-client"},
				Priority: incident.P2, Highest: incident.P2, Title: "web-client is inaccessible", Started: started, Opened: started,
			}
			w.commit(i, incident.EventOpened, i.Title)
			if lasts == 0 {
				w.recover(i)
			}
			<-time.After(time.Duration(n) * apart)
			w.run()
			<-time.After(lasts)
			if lasts > 0 {
				w.recover(i)
			}
			<-time.After(5 * time.Minute)
			w.stop()
			w.settled(i.ID)
		})
	}
	if lasts == time.Minute {
		<-time.After(40 * time.Second)
		soc.mu.Lock()
		if live := len(soc.live("fc-acme-web-client")); live != 1 {
			t.Errorf("%d cases are live while the incident lasts, want 1", live)
		}
		soc.mu.Unlock()
	}
	all.Wait()
	kept := 0
	for _, c := range soc.cases {
		if c.State != incident.CaseWithdrawn {
			kept++
			if c.State != incident.CaseResolved {
				t.Errorf("case %s is %s", c.Number, c.State)
			}
		}
	}
	if kept != 1 {
		t.Errorf("%d of %d cases are left, want 1", kept, len(soc.cases))
	}
}
