package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

func orders(t *testing.T, s *store.Store) {
	ctx := t.Context()
	ok(t, s.Commit(ctx, store.Commit{At: at(9, 0), Incidents: []incident.Incident{openIncident("fc-1", at(9, 0))}}))
	first := incident.Order{Kind: incident.OrderMaintenance, Components: []string{"backend"}, From: at(10, 0), Until: at(12, 0), Actor: "Ada", Reason: "“patches”"}
	second := incident.Order{Kind: incident.OrderSilence, Incident: "fc-1", Priority: incident.P2, Customer: true, From: at(10, 5), Until: at(11, 0), Actor: "Bo", Reason: "known"}
	first = must[incident.Order](t)(s.AddOrder(ctx, first))
	second = must[incident.Order](t)(s.AddOrder(ctx, second, anEvent("fc-1", at(10, 5), "silenced")))
	if first.ID == 0 || second.ID <= first.ID {
		t.Errorf("ids %d, %d", first.ID, second.ID)
	}
	same(t, "newest first", must[[]incident.Order](t)(s.Orders(ctx, at(9, 0))), []incident.Order{second, first})
	same(t, "those in force at 11:30", must[[]incident.Order](t)(s.Orders(ctx, at(11, 30))), []incident.Order{first})
	first.Ended, first.EndedBy = at(11, 0), "Bo"
	ok(t, s.SaveOrder(ctx, first, anEvent("fc-1", at(11, 0), "over")))
	same(t, "ended before its time", must[[]incident.Order](t)(s.Orders(ctx, at(11, 30))), []incident.Order(nil))
	if n := len(must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", 0))); n != 2 {
		t.Errorf("%d steps in the timeline, want 2", n)
	}
	if err := s.SaveOrder(ctx, incident.Order{ID: 99, Kind: incident.OrderSilence}, anEvent("fc-1", at(12, 0), "no")); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("an order that is not there: %v", err)
	}
	if _, err := s.AddOrder(ctx, incident.Order{Kind: incident.OrderSilence, From: at(10, 0), Until: at(10, 0)}); err == nil {
		t.Error("an order that lasts no time is stored")
	}
	if n := len(must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", 0))); n != 2 {
		t.Errorf("%d steps in the timeline after what was refused, want 2", n)
	}
	ok(t, s.Maintain(ctx, at(12, 0).Add(401*24*time.Hour)))
	same(t, "after 401 days", must[[]incident.Order](t)(s.Orders(ctx, time.Time{})), []incident.Order(nil))
}
