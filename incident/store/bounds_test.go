package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// However many orders were made since, the one in force is read at the next start.
func TestAnOrderInForceIsAlwaysRead(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, "sqlite::memory:", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	began := time.Date(2026, 3, 2, 11, 0, 0, 0, time.UTC)
	order := incident.Order{Kind: incident.OrderMaintenance, From: began, Until: began.Add(30 * 24 * time.Hour), Actor: "mette", Reason: "moving"}
	first, err := s.AddOrder(ctx, order)
	if err != nil {
		t.Fatal(err)
	}
	order.Kind, order.Until = incident.OrderSilence, began.Add(time.Minute)
	for range allOrders {
		if _, err := s.AddOrder(ctx, order); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Orders(ctx, began)
	if err != nil || len(all) != allOrders || all[len(all)-1].ID != first.ID || all[0].ID != first.ID+allOrders {
		t.Errorf("%d orders, %v", len(all), err)
	}
}

// The files of evidence are bounded on the disk whatever comes: the oldest go first, and never what a case may still need.
func TestFilesOfEvidenceAreBounded(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, "sqlite::memory:", Options{FileBytes: 2500})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	began := time.Date(2026, 3, 2, 11, 0, 0, 0, time.UTC)
	for n, state := range []string{"open", "unsettled", "over", "over", "over"} {
		at := began.Add(time.Duration(n) * time.Minute)
		i := incident.Incident{ID: fmt.Sprint(n, state), Class: incident.Availability, Started: at, Opened: at, Updated: at}
		if state != "open" {
			i.Ended, i.Closed, i.Resolution = at.Add(time.Second), at.Add(time.Second), incident.Recovered
		}
		e := incident.Evidence{Incident: i.ID, At: at, Text: "text", Left: []string{"large.har"}, Files: []incident.EvidenceFile{
			{Name: "path.txt", Type: "text/plain", Content: make([]byte, 200)}, {Name: "screenshot.jpg", Type: "image/jpeg", Content: make([]byte, 300)},
		}}
		_, kept := s.SaveEvidence(ctx, e)
		if !errors.Is(kept, incident.ErrNotFound) {
			t.Fatal(kept)
		}
		if err := s.Commit(ctx, Commit{At: at, Incidents: []incident.Incident{i}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SaveEvidence(ctx, e); err != nil {
			t.Fatal(err)
		}
		if state == "unsettled" {
			if err := s.SaveCase(ctx, incident.Case{Incident: i.ID, Desk: "soc", Ref: "7", State: incident.CaseNew}); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := func() (have []string) {
		if err := s.Maintain(ctx, began.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"0open", "1unsettled", "2over", "3over", "4over"} {
			e, err := s.Evidence(ctx, id)
			if err != nil || e.Text != "text" {
				t.Fatalf("%s: %+v, %v", id, e, err)
			}
			_, err = s.EvidenceFile(ctx, id, "path.txt")
			if gone := errors.Is(err, incident.ErrNotFound); gone != (len(e.Files) == 0) || gone != slices.Equal(e.Left, []string{"large.har", "path.txt", "screenshot.jpg"}) {
				t.Errorf("%s: %v, files %v, left %v", id, err, e.Files, e.Left)
			} else if !gone {
				have = append(have, id)
			}
		}
		return have
	}
	if have := files(); len(have) != 5 {
		t.Errorf("at the bound %v have their files", have)
	}
	s.options.FileBytes = 1600
	if have := files(); !slices.Equal(have, []string{"0open", "1unsettled", "4over"}) {
		t.Errorf("over the bound %v have their files", have)
	}
	s.options.FileBytes = 1
	if have := files(); !slices.Equal(have, []string{"0open", "1unsettled"}) {
		t.Errorf("far over the bound %v have their files", have)
	}
}
