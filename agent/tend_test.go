package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// A leader that loses the database the moment after it resolved a case does not go on with a copy in which it is open: to the desk that would be a
// case that people resolved too early, and a new outage would have none for as long as they may be right.
func TestALeaderKnowsAtOnceWhatItDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		shared := p.a.store.shared.Load()
		p.heard(true)
		p.acts(1)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.tend(ctx)
		}()
		synctest.Wait()
		i := incident.Incident{ID: "one", Class: incident.Availability, Root: "backend", Opened: time.Now(), Updated: time.Now()}
		c := incident.Case{Incident: "one", Desk: "soc", Ref: "7", Number: "7", State: incident.CaseNew}
		decide := func() {
			t.Helper()
			if err := shared.Commit(ctx, store.Commit{At: i.Updated, Incidents: []incident.Incident{i}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := shared.SaveCase(ctx, c); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		decide()
		p.mu.Lock()
		p.s.missed(p.now()) // a beat was lost, and the next one is not sent yet
		p.mu.Unlock()
		time.Sleep(restMost)
		i.Closed, i.Updated, c.State, c.Resolved = time.Now(), time.Now(), incident.CaseResolved, time.Now()
		decide()
		snap := p.refuge.snapshot()
		if len(snap.Incidents) != 1 || snap.Incidents[0].Open() || len(snap.Cases) != 1 || snap.Cases[0].State != incident.CaseResolved {
			t.Errorf("it would judge alone with %+v and %+v", snap.Incidents, snap.Cases)
		}
		end()
		<-ended
	})
}
