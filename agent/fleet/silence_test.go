package fleet

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// quiet is a database in which all is well.
func quiet() *database {
	d := outage()
	d.view.Incidents, d.view.Cases = nil, nil
	return d
}

// pass lets time go by, in which every tenant is heard, but for the first so many of region weu.
func (d *database) pass(after time.Duration, silent int) {
	d.view.At = d.view.At.Add(after)
	for n := range d.view.Tenants {
		if t := &d.view.Tenants[n]; n%2 == 0 && n/2 < silent {
			t.Silent += after
		} else {
			t.Silent = 0
		}
	}
}

// TestDatabaseIsBack states that no agent is silent for what it could not say while the database was away, and that one that stays away is.
func TestDatabaseIsBack(t *testing.T) {
	d := quiet()
	f, err := New(t.Context(), Options{Reader: d})
	if err != nil {
		t.Fatal(err)
	}
	look := func(when string, open, unheard, unsure int) Wall {
		t.Helper()
		if err := f.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := f.Wall()
		if len(w.Open()) != open || w.Unheard != unheard || w.Unsure != unsure || w.Counts[Silent] != unheard {
			t.Fatalf("%s: %d open, %d not heard, %d not sure", when, len(w.Open()), w.Unheard, w.Unsure)
		}
		return w
	}
	d.view.Tenants[1].Silent = time.Hour // before it
	look("before", 0, 1, 0)
	d.view.At = d.view.At.Add(5 * time.Minute)
	for n := range d.view.Tenants {
		d.view.Tenants[n].Silent += 5 * time.Minute
	}
	w := look("when it is back", 0, 1, 39)
	if r := w.Rows[1]; r.State != Blind || !strings.Contains(r.Trouble, "not heard yet since the database is read again") {
		t.Errorf("nothing is known of it: %+v", r)
	}
	d.pass(15*time.Second, 12)
	look("some told again", 0, 0, 12)
	for range 2 {
		d.pass(15*time.Second, 12)
		look("not for long enough", 0, 0, 12)
	}
	d.pass(15*time.Second, 12)
	w = look("they stay away", 1, 12, 0)
	if got := w.Open()[0].Title; got != "agent silent or blind at 12 tenants in region weu" {
		t.Error(got)
	}
}

// TestSilenceOutlivesRestart states that who was silent before a restart is after it, at once and without a step in between.
func TestSilenceOutlivesRestart(t *testing.T) {
	d := quiet()
	file := "sqlite:" + filepath.Join(t.TempDir(), "fleet.db")
	var was fleet.Incident
	for n := range 2 {
		state, err := store.Open(t.Context(), file, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := New(t.Context(), Options{Reader: d, State: state})
		if err != nil {
			t.Fatal(err)
		}
		for round := 0; round < 10 && (n == 0 || round < 1); round++ {
			d.pass(10*time.Second, 12)
			if err := f.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w := f.Wall()
		if len(w.Open()) != 1 || w.Open()[0].Now != 12 || w.Unheard != 12 {
			t.Fatalf("%d open, %d not heard", len(w.Open()), w.Unheard)
		}
		is := w.Open()[0].Incident
		if n == 1 && len(fleet.Steps(was, is, fleet.Rules{}, d.view.At)) > 0 {
			t.Errorf("%+v", fleet.Steps(was, is, fleet.Rules{}, d.view.At))
		}
		was = is
		if err := state.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSilencesCount states that agents that are silent together again and again, as for patches, are no common cause.
func TestSilencesCount(t *testing.T) {
	d := quiet()
	f, err := New(t.Context(), Options{Reader: d, Refresh: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for range 6 { // nights, each with the same agents
		for _, step := range []struct {
			after  time.Duration
			silent int
		}{{2 * time.Minute, 0}, {24*time.Hour - 4*time.Minute, 0}, {2 * time.Minute, 6}} {
			d.pass(step.after, step.silent)
			if err := f.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		found = len(f.Wall().Open())
	}
	if found > 0 {
		t.Errorf("what happens every night is one cause: %s", f.Wall().Open()[0].Why)
	}
}

// TestBlindAgents states that tenants whose own agent sees nothing are not watched, and that those who lack a further vantage only are.
func TestBlindAgents(t *testing.T) {
	for root, want := range map[string]int{"sight": 1, "sight/dc-2": 0} {
		d := quiet()
		for n := range 12 {
			i := lost(2*n, time.Duration(n)*time.Second)
			i.Class, i.Root, i.Components, i.Priority, i.Highest, i.Reason = incident.Agent, root, []string{root}, incident.NoPriority, incident.NoPriority, "blind"
			d.view.Incidents = append(d.view.Incidents, i)
		}
		f, err := New(t.Context(), Options{Reader: d})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if open := f.Wall().Open(); len(open) != want {
			t.Errorf("%s: %d fleet incidents", root, len(open))
		}
	}
}
