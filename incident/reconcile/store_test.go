package reconcile

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// The real store and the built-in desk, the whole way of one incident.
func TestOnTheBuiltInStoreAndDesk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "firstcall.db")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, err := store.Open(t.Context(), "sqlite:"+file, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		soc, err := (&desk.Builtin{}).Build(desk.Env{Name: "soc", Tenant: "acme", Storage: s, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		w.o.Desks = []Desk{{Name: "soc", Desk: soc}}
		w.o.Store, w.o.StatusEvery = s, 2*time.Minute
		w.run()
		commit := func(i incident.Incident, kind incident.EventKind) {
			t.Helper()
			now := time.Now()
			if err := s.Commit(t.Context(), store.Commit{At: now, Incidents: []incident.Incident{i}, Events: []incident.Event{{Incident: i.ID, At: now, Kind: kind, Actor: incident.ActorAgent, Text: i.Title, Priority: i.Priority}}}); err != nil {
				t.Fatal(err)
			}
			w.life.Kick()
		}
		i := w.outage("web-client", incident.P2)
		commit(i, incident.EventOpened)
		w.wait(time.Minute)
		number := w.theCaseIn(s, i.ID).Number
		if err := soc.(desk.Operable).Act(t.Context(), number, desk.Hold, "jens", "answer?"); err != nil {
			t.Fatal(err)
		}
		w.wait(70 * time.Second)
		i.Priority, i.Highest = incident.P1, incident.P1
		commit(i, incident.EventRaised)
		w.wait(time.Minute)
		i.Ended, i.Closed, i.Resolution = time.Now(), time.Now(), incident.Recovered
		commit(i, incident.EventResolved)
		w.wait(time.Minute)
		w.stop()
		left, err := s.Incidents(t.Context(), store.IncidentFilter{Unsettled: true})
		if err != nil || len(left) > 0 {
			t.Errorf("left %v, %v", left, err)
		}
		c, err := soc.Get(t.Context(), number)
		if err != nil || c.State != incident.CaseResolved || c.Priority != incident.P1 || number != "FC-2000-000001" {
			t.Errorf("case %+v, %v", c, err)
		}
		row := w.theCaseIn(s, i.ID)
		if !row.Settled || len(row.Holds) != 1 || row.Holds[0].To.IsZero() || row.ResolvedBy != incident.ActorAgent || row.AcknowledgedBy != "jens" {
			t.Errorf("row %+v", row)
		}
		if got := w.customer.kinds(); got != "opened held status.1 raised resolved" {
			t.Errorf("customer got %s", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
