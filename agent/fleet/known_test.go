package fleet

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// TestKnownBeforeTheFirstReading states that what is remembered is on the wall before the database was read, which it does not pretend, that a parent case can be asked for then, and
// that what began while it was away is found all the same.
func TestKnownBeforeTheFirstReading(t *testing.T) {
	d := outage()
	state, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	own, err := new(desk.Builtin).Build(desk.Env{Name: "soc", Tenant: "fleet", Storage: state, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	start := func() *Fleet {
		f, err := New(t.Context(), Options{Reader: d, State: state, Desks: []reconcile.Desk{{Name: "soc", Desk: own}}, Tenant: reconcile.Tenant{ID: "fleet"}, Now: func() time.Time { return d.view.At }})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if w := start().Wall(); len(w.Shared) != 0 || !w.At.IsZero() {
		t.Errorf("a fleet that knows nothing yet shows %+v", w)
	}
	f := start()
	if err := f.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := f.Wall().Open()
	if len(before) != 1 {
		t.Fatalf("%d fleet incidents", len(before))
	}
	f = start()
	d.err = errors.New("away")
	if err := f.Round(t.Context()); err == nil {
		t.Fatal("the database is read")
	}
	w := f.Wall()
	if open := w.Open(); len(open) != 1 || open[0].Key != before[0].Key || open[0].Sentence != before[0].Sentence || open[0].Now != 10 || !w.At.IsZero() || !w.Seen.IsZero() || w.Err != "away" || !w.Desks {
		t.Errorf("%+v", w)
	}
	last := f.last
	if err := f.Open(t.Context(), before[0].Key, "mette"); err != nil {
		t.Fatal(err)
	}
	if w := f.Wall(); w.Open()[0].OpenedBy != "mette" || !w.At.IsZero() || w.Err != "away" || !f.last.Equal(last) {
		t.Errorf("asked for by %q; it is old for %q; what is judged again begins at %s, not %s", w.Open()[0].OpenedBy, w.Err, f.last, last)
	}
	d.err = nil
	if err := f.Round(t.Context()); err != nil || len(f.Wall().Open()) != 1 || f.Wall().Open()[0].OpenedBy != "mette" {
		t.Errorf("when it is back: %v, %+v", err, f.Wall().Open())
	}
}
