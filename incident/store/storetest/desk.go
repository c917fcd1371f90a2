package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/store"
)

var _ desk.Storage = (*store.Store)(nil)

func aDeskCase(key string, created time.Time) incident.StoredCase {
	return incident.StoredCase{
		Key: key, Title: "P1 acme: backend is inaccessible", Body: "since 10:00\n“æøå”", Priority: incident.P1, State: incident.CaseNew, Created: created,
		Log: []incident.Transition{{At: created, Actor: "firstcall", To: incident.CaseNew, Text: "opened"}}, Seqs: []int64{3, 4},
	}
}

func deskCases(t *testing.T, s *store.Store) {
	ctx := t.Context()
	want := aDeskCase("fc-1", at(10, 0))
	got := must[incident.StoredCase](t)(s.CreateDeskCase(ctx, want))
	want.Number = "FC-2026-000001"
	same(t, "created", got, want)
	same(t, "by key", must[incident.StoredCase](t)(s.DeskCaseByKey(ctx, "fc-1")), want)
	same(t, "by number", must[incident.StoredCase](t)(s.DeskCaseByNumber(ctx, want.Number)), want)
	again := aDeskCase("fc-1", at(12, 0))
	again.Title = "another"
	same(t, "created again", must[incident.StoredCase](t)(s.CreateDeskCase(ctx, again)), want)
	if _, err := s.CreateDeskCase(ctx, incident.StoredCase{Created: at(10, 0)}); err == nil {
		t.Error("a case without a key is stored")
	}
}

func deskNumbers(t *testing.T, s *store.Store) {
	ctx := t.Context()
	zone := time.FixedZone("", 3600)
	for i, tc := range []struct {
		created time.Time
		want    string
	}{
		{at(10, 0), "FC-2026-000001"},
		{at(10, 1), "FC-2026-000002"},
		{time.Date(2027, 1, 1, 0, 30, 0, 0, zone), "FC-2026-000003"}, // still 2026 in UTC
		{time.Date(2027, 1, 1, 1, 30, 0, 0, zone), "FC-2027-000001"},
		{at(10, 2), "FC-2026-000004"}, // the clock was set back
	} {
		if got := must[incident.StoredCase](t)(s.CreateDeskCase(ctx, aDeskCase(fmt.Sprint("fc-", i), tc.created))); got.Number != tc.want {
			t.Errorf("case created %s has number %s, want %s", tc.created, got.Number, tc.want)
		}
	}
	// Many at once: no gap, no double, whatever fails meanwhile.
	var group errgroup.Group
	for i := range 40 {
		group.Go(func() error {
			if i%4 == 0 {
				_, _ = s.CreateDeskCase(ctx, incident.StoredCase{Created: at(10, 0)}) // refused
			}
			_, err := s.CreateDeskCase(ctx, aDeskCase(fmt.Sprint("many-", i), at(10, 3)))
			return err
		})
	}
	ok(t, group.Wait())
	var numbers []string
	for i := range 40 {
		numbers = append(numbers, must[incident.StoredCase](t)(s.DeskCaseByKey(ctx, fmt.Sprint("many-", i))).Number)
	}
	slices.Sort(numbers)
	for i, got := range numbers {
		if want := fmt.Sprintf("FC-2026-%06d", i+5); got != want {
			t.Fatalf("number %s, want %s", got, want)
		}
	}
}

func deskUpdates(t *testing.T, s *store.Store) {
	ctx := t.Context()
	c := must[incident.StoredCase](t)(s.CreateDeskCase(ctx, aDeskCase("fc-1", at(10, 0))))
	ok(t, s.UpdateDeskCase(ctx, c.Number, func(c *incident.StoredCase) error {
		c.State, c.Number, c.Key = incident.CaseAcknowledged, "FC-2026-999999", "other"
		c.Log = append(c.Log, incident.Transition{At: at(10, 5), Actor: "Ada", To: incident.CaseAcknowledged})
		return nil
	}))
	want := c
	want.State = incident.CaseAcknowledged
	want.Log = append(slices.Clone(c.Log), incident.Transition{At: at(10, 5), Actor: "Ada", To: incident.CaseAcknowledged})
	same(t, "updated", must[incident.StoredCase](t)(s.DeskCaseByKey(ctx, "fc-1")), want)

	refused := errors.New("a new case cannot be resumed")
	err := s.UpdateDeskCase(ctx, c.Number, func(c *incident.StoredCase) error {
		c.State = incident.CaseResolved
		return refused
	})
	if err != refused { //nolint:errorlint // it must come back unchanged
		t.Errorf("error of change came back as %v", err)
	}
	same(t, "after a refused update", must[incident.StoredCase](t)(s.DeskCaseByKey(ctx, "fc-1")), want)

	var group errgroup.Group
	for i := range 20 {
		group.Go(func() error {
			return s.UpdateDeskCase(ctx, c.Number, func(c *incident.StoredCase) error {
				c.Seqs = append(c.Seqs, int64(100+i))
				return nil
			})
		})
	}
	ok(t, group.Wait())
	if n := len(must[incident.StoredCase](t)(s.DeskCaseByKey(ctx, "fc-1")).Seqs); n != 22 {
		t.Errorf("%d notes after 20 updates at once, want 22: updates were lost", n)
	}
}

func writersAtOnce(t *testing.T, s *store.Store) {
	ctx := t.Context()
	var group errgroup.Group
	for w := range 4 {
		group.Go(func() error {
			for n := range 25 {
				id := fmt.Sprintf("fc-%d-%d", w, n)
				if err := s.Commit(ctx, store.Commit{Incidents: []incident.Incident{openIncident(id, at(10, n))}, Events: []incident.Event{anEvent(id, at(10, n), "opened")}}); err != nil {
					return err
				}
				if err := s.AppendResults(ctx, round(n)); err != nil {
					return err
				}
			}
			return nil
		})
		group.Go(func() error {
			for range 10 {
				all, err := s.Incidents(ctx, store.IncidentFilter{Limit: 10})
				if err != nil {
					return err
				}
				for _, i := range all { // a reader never sees half a commit
					events, err := s.Timeline(ctx, i.ID, 0)
					if err != nil || len(events) != 1 {
						return fmt.Errorf("%s has %d events, want 1 (%w)", i.ID, len(events), err)
					}
				}
			}
			return nil
		})
	}
	ok(t, group.Wait())
	if n := len(must[[]incident.Incident](t)(s.Incidents(ctx, store.IncidentFilter{Limit: 1000}))); n != 100 {
		t.Errorf("%d incidents, want 100", n)
	}
}

// cancelled: a write whose context is over either is stored and returns nil, or is not and returns an error.
func cancelled(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 20 {
		id := fmt.Sprint("fc-", n)
		err := s.Commit(ctx, store.Commit{Incidents: []incident.Incident{openIncident(id, at(10, 0))}})
		if _, missing := s.Incident(t.Context(), id); (err == nil) != (missing == nil) {
			t.Fatalf("Commit said %v, reading it back says %v", err, missing)
		}
	}
	if _, err := s.Incidents(ctx, store.IncidentFilter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a read with a cancelled context: %v", err)
	}
}

func closed(t *testing.T, s *store.Store) {
	ctx := t.Context()
	ok(t, s.AppendResults(ctx, round(0)))
	ok(t, s.Close())
	ok(t, s.Close())
	if err := s.Commit(ctx, store.Commit{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Commit after Close: %v, want ErrClosed", err)
	}
	if _, err := s.Incidents(ctx, store.IncidentFilter{}); err == nil {
		t.Error("a read after Close succeeds")
	}
}
