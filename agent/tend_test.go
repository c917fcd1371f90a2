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

// What a leader has stored is in the copy that it would go alone with, whatever is read late, until a copy has it.
func TestALeaderGoesAloneWithWhatItStored(t *testing.T) {
	now := time.Now()
	r := openRefuge(t)
	defer func() { _ = r.close() }()
	one := incident.Incident{ID: "one", Class: incident.Availability, Root: "backend", Opened: now, Updated: now}
	over := one
	over.Closed, over.Updated = now.Add(time.Second), now.Add(time.Second)
	next := incident.Incident{ID: "next", Class: incident.Availability, Root: "backend", Opened: now, Updated: now}
	copyOf := func(list ...incident.Incident) store.Snapshot { return store.Snapshot{At: now, Incidents: list} }
	open := func() (ids string) {
		for _, i := range r.snapshot().Incidents {
			if i.Open() {
				ids += i.ID + " "
			}
		}
		return ids
	}
	r.keep(copyOf(one))
	r.note([]incident.Incident{over, next})
	if got := open(); got != "next " || len(r.snapshot().Incidents) != 2 {
		t.Errorf("%q are open", got)
	}
	r.keep(copyOf(one)) // read before
	if got := open(); got != "next " {
		t.Errorf("%q are open after a copy that is older", got)
	}
	r.keep(copyOf(next))
	if len(r.made) > 0 {
		t.Errorf("%+v are noted, which the copy has, or which are settled", r.made)
	}
	r.note([]incident.Incident{one})
	r.another()
	if got := open(); got != "next " {
		t.Errorf("%q are open when another leads", got)
	}
	r.note([]incident.Incident{one})
	if err := r.adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.another()
	r.note([]incident.Incident{over})
	if all, err := r.own.Incidents(t.Context(), store.IncidentFilter{Open: true}); err != nil || len(all) != 2 || open() != "next one " {
		t.Errorf("alone it has %+v open, and compares with %q (%v)", all, open(), err)
	}
}
