package fleet

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// hanging is a database that never answers.
type hanging struct{}

func (hanging) Read(ctx context.Context, _ time.Time) (store.FleetView, error) {
	<-ctx.Done()
	return store.FleetView{}, ctx.Err()
}

// A database that takes a reading and never answers does not hold the wall: it says so, and is tried again.
func TestAReadingThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for refresh, want := range map[time.Duration]time.Duration{5 * time.Second: readFor, time.Minute: 3 * time.Minute} {
			f, err := New(t.Context(), Options{Reader: hanging{}, Refresh: refresh})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			err = f.Round(t.Context())
			if err == nil || !strings.Contains(err.Error(), "took longer than "+want.String()) || f.Wall().Err != err.Error() {
				t.Errorf("each %s: %v; the wall says %q", refresh, err, f.Wall().Err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("each %s: given up after %s", refresh, took)
			}
		}
		ctx, end := context.WithCancel(t.Context())
		end()
		f, err := New(t.Context(), Options{Reader: hanging{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Round(ctx); err == nil || strings.Contains(err.Error(), "took longer") {
			t.Errorf("at the end it says %v", err)
		}
	})
}

// Readings that take long put no silence off for ever: a gap in which nobody could be heard is longer.
func TestSlowReadingsHearSilences(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Second, 16 * time.Second, 29 * time.Second} {
		d := outage()
		d.view.Incidents, d.view.Cases = nil, nil
		state, err := store.Open(t.Context(), "sqlite::memory:", store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := New(t.Context(), Options{Reader: d, State: state})
		if err != nil {
			t.Fatal(err)
		}
		for at := time.Duration(0); at < 10*time.Minute; at += every {
			d.view.At = start.Add(at)
			for n := range 12 {
				d.view.Tenants[2*n].Silent = at
			}
			if err := f.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if w := f.Wall(); w.Unheard != 12 || w.Unsure != 0 || len(w.Open()) != 1 {
			t.Errorf("read each %s: %d are silent, %d unsure, %d fleet incidents", every, w.Unheard, w.Unsure, len(w.Open()))
		}
		if err := state.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A parent case can be asked for while a reading takes long.
func TestAnOrderWaitsForNoReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := outage()
		state, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = state.Close() }()
		own, err := new(desk.Builtin).Build(desk.Env{Name: "soc", Tenant: "fleet", Storage: state, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		f, err := New(t.Context(), Options{Reader: d, State: state, Desks: []reconcile.Desk{{Name: "soc", Desk: own}}, Tenant: reconcile.Tenant{ID: "fleet"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.o.Reader = hanging{}
		ended := make(chan struct{})
		go func() { defer close(ended); _ = f.Round(t.Context()) }()
		synctest.Wait()
		began := time.Now()
		if err := f.Open(t.Context(), f.Wall().Open()[0].Key, "mette"); err != nil || time.Since(began) > 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		<-ended
		if w := f.Wall(); w.Err == "" || len(w.Open()) != 1 || w.Open()[0].OpenedBy != "mette" {
			t.Errorf("after the reading: %q, %+v", w.Err, w.Open())
		}
	})
}
