package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// What people ordered outlives a restart and a reload, is in the timeline of what it is about, and ends when it is ended.
func TestOrdersOutliveTheAgent(t *testing.T) {
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	a, stop := s.start(t, true)
	backend.broken.Store(true)
	waitFor(t, "incident", func() bool { return len(a.View().Incidents) == 1 })
	id := a.View().Incidents[0].ID
	now := time.Now()
	order := incident.Order{Kind: incident.OrderMaintenance, Components: []string{"web-client"}, From: now, Until: now.Add(time.Hour), Actor: "mette", Reason: "patches"}
	upkeep, err := a.Order(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	silence, err := a.Order(t.Context(), incident.Order{Kind: incident.OrderSilence, Incident: id, From: now, Until: now.Add(time.Hour), Actor: "mette", Reason: "known"})
	if err != nil || silence.Priority != incident.P2 {
		t.Fatalf("%v: %+v", err, silence)
	}
	if _, err := a.Order(t.Context(), incident.Order{Kind: incident.OrderSilence, Incident: "none", From: now, Until: now.Add(time.Hour)}); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("an incident that is not there: %v", err)
	}
	stop()
	client.broken.Store(true)
	a, _ = s.start(t, true)
	waitFor(t, "outage that is seen", func() bool {
		v := a.View()
		return len(v.Components) == 2 && v.Components[1].Outcome.String() == "down" && v.Components[1].Maintenance == "patches"
	})
	s.write(t, backend, client, "vantage: elsewhere\n")
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := a.View(); len(v.Incidents) != 1 || v.Components[1].Maintenance != "patches" {
		t.Errorf("after a restart and a reload: %+v", v)
	}
	if _, ok := a.orders.silenced(a.View().Incidents[0], false, time.Now()); !ok {
		t.Error("the silence did not outlive the restart")
	}
	if _, err := a.EndOrder(t.Context(), incident.OrderMaintenance, upkeep.ID, "jonas", "done"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "incident of what still fails", func() bool {
		return len(a.View().Incidents) == 2 || len(a.View().Incidents) == 1 && a.View().Incidents[0].Root != "backend"
	})
	if _, err := a.EndOrder(t.Context(), incident.OrderMaintenance, upkeep.ID, "jonas", ""); err == nil {
		t.Error("ended twice")
	}
	if _, err := a.EndOrder(t.Context(), incident.OrderSilence, silence.ID, "jonas", ""); err != nil {
		t.Error(err)
	}
	events, err := a.store.Timeline(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	said := map[incident.EventKind]string{}
	for _, e := range events {
		said[e.Kind] = e.Actor
	}
	if said[incident.EventSilenced] != "mette" {
		t.Errorf("the timeline says %v", said)
	}
}
