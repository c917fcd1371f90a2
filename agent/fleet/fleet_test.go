package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// database is a made-up one.
type database struct {
	mu   sync.Mutex
	view store.FleetView
	err  error
	gave int // cases, in the newest reading
}

// given reports whether the newest reading had so many cases.
func (d *database) given(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gave == n
}

func (d *database) Read(_ context.Context, since time.Time) (store.FleetView, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.view
	over := map[string]bool{}
	v.Incidents = slices.DeleteFunc(slices.Clone(v.Incidents), func(i incident.Incident) bool {
		over[i.ID] = !i.Open() && i.Closed.Before(since)
		return over[i.ID]
	})
	v.Cases = slices.DeleteFunc(slices.Clone(v.Cases), func(c store.FleetCase) bool { return over[c.Incident] })
	d.gave = len(v.Cases)
	return v, d.err
}

func (d *database) set(change func(*store.FleetView)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.view)
}

var start = time.Date(2026, 11, 3, 9, 42, 0, 0, time.UTC)

// outage is a database with forty tenants in two regions, of which ten in one lost their desktops.
func outage() *database {
	d := &database{view: store.FleetView{At: start.Add(5 * time.Minute)}}
	for n := range 40 {
		facts, _ := json.Marshal(fleet.Facts{Name: fmt.Sprint("Tenant ", n), Labels: map[string]string{"region": []string{"weu", "neu"}[n%2]}, Components: []string{"backend", "virtual-desktop"}})
		d.view.Tenants = append(d.view.Tenants, store.FleetTenant{ID: fmt.Sprint("t", n), Facts: facts, Status: []byte(`{"outcome":"up"}`)})
	}
	for n := range 10 {
		i := lost(2*n, time.Duration(n)*time.Second)
		d.view.Incidents = append(d.view.Incidents, i)
		d.view.Cases = append(d.view.Cases, store.FleetCase{Tenant: i.Tenant, Case: incident.Case{Incident: i.ID, Desk: "soc", Number: fmt.Sprint("INC-", n)}})
	}
	return d
}

func lost(tenant int, after time.Duration) incident.Incident {
	return incident.Incident{
		ID: fmt.Sprint("fc-t", tenant, "-", after), Tenant: fmt.Sprint("t", tenant), Class: incident.Availability, Root: "virtual-desktop", Components: []string{"virtual-desktop"},
		Priority: incident.P2, Highest: incident.P2, Reason: "timeout", Title: "virtual-desktop is inaccessible", Started: start.Add(after), Opened: start.Add(after + time.Minute),
	}
}

func TestWall(t *testing.T) {
	d := outage()
	d.view.Tenants[1].Silent = 2 * time.Minute
	d.view.Tenants[2].Silent = 3 * time.Minute
	d.view.Tenants[3].Status = []byte(`{"outcome":"unknown","blind":true,"trouble":"the agent is blind"}`)
	d.view.Tenants[5].Facts = []byte(`{"name":`) // what cannot be read is nothing
	total := lost(6, time.Hour)
	total.Priority = incident.P1
	d.view.Incidents = append(d.view.Incidents, total)
	f, err := New(t.Context(), Options{Reader: d})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := f.Wall()
	var order []string
	for _, r := range w.Rows[:13] {
		order = append(order, string(r.State))
	}
	if got := strings.Join(order, " "); got != "p1 p2 p2 p2 p2 p2 p2 p2 p2 p2 silent blind well" {
		t.Error(got)
	}
	if n := slices.IndexFunc(w.Rows, func(r Row) bool { return r.ID == "t2" }); w.Unheard != 2 || w.Rows[n].State != P2 || !w.Rows[n].Silent {
		t.Errorf("%d agents are not heard; %+v", w.Unheard, w.Rows[n])
	}
	if w.Rows[0].ID != "t6" || w.Rows[1].Cases[0] != "INC-0" || w.Counts[Well] != 28 {
		t.Errorf("%+v", w.Counts)
	}
	if len(w.Open()) != 1 || w.Open()[0].Sentence != "10 tenants lost virtual-desktop in region weu at 09:42 UTC: one cause" || w.Open()[0].OpenedBy != "" {
		t.Fatalf("%+v", w.Shared)
	}
	if err := f.Open(t.Context(), w.Open()[0].Key, "mette"); !errors.Is(err, ErrNoDesk) {
		t.Errorf("without a desk: %v", err)
	}
	d.err = errors.New("away")
	if err := f.Round(t.Context()); err == nil || f.Wall().Err != "away" || len(f.Wall().Rows) != 40 {
		t.Errorf("the database is away: %v, %d rows", err, len(f.Wall().Rows))
	}
}

// TestMostUrgentFirst states that of two fleet incidents the more urgent one is told first, however few tenants it has.
func TestMostUrgentFirst(t *testing.T) {
	d := outage()
	for n := range 6 {
		i := lost(2*n+1, time.Hour+time.Duration(n)*time.Second)
		i.Root, i.Components, i.Priority, i.Highest = "backend", []string{"backend"}, incident.P1, incident.P1
		d.view.Incidents = append(d.view.Incidents, i)
	}
	d.view.At = start.Add(65 * time.Minute)
	f, err := New(t.Context(), Options{Reader: d})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if open := f.Wall().Open(); len(open) != 2 || open[0].Priority != "P1" || open[0].Now != 6 || open[1].Now != 10 {
		t.Errorf("%+v", open)
	}
}

// TestEmptyReading states that a reading without any tenant ends nothing, also after a restart.
func TestEmptyReading(t *testing.T) {
	d := outage()
	file := "sqlite:" + filepath.Join(t.TempDir(), "fleet.db")
	for range 2 {
		state, err := store.Open(t.Context(), file, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := New(t.Context(), Options{Reader: d, State: state})
		if err != nil {
			t.Fatal(err)
		}
		if len(d.view.Tenants) > 0 {
			if err := f.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		d.view = store.FleetView{At: d.view.At.Add(time.Hour)}
		if err := f.Round(t.Context()); !errors.Is(err, errEmpty) || f.Wall().Err == "" {
			t.Errorf("no tenant is left: %v", err)
		}
		if len(f.kept.Incidents) != 1 || !f.kept.Incidents[0].Open() || f.kept.Incidents[0].Failing() != 10 {
			t.Errorf("what nobody sees is over: %+v", f.kept.Incidents)
		}
		if err := state.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnAgentThatCannotTellIsNotWell states that no tenant is well whose agent does not know how it fares, or cannot do all of its work.
func TestAnAgentThatCannotTellIsNotWell(t *testing.T) {
	for name, c := range map[string]struct {
		status string
		want   State
		why    string
	}{
		"well":                   {`{"outcome":"up"}`, Well, ""},
		"a slow component":       {`{"outcome":"degraded","components":{"backend":"degraded"}}`, Well, ""},
		"blind":                  {`{"outcome":"unknown","blind":true,"trouble":"the agent is blind"}`, Blind, "the agent is blind"},
		"all unknown":            {`{"outcome":"unknown","components":{"backend":"unknown","virtual-desktop":"unknown"}}`, Blind, "the agent cannot tell how any component fares"},
		"unknown without a name": {`{"outcome":"unknown"}`, Blind, "the agent cannot tell how any component fares"},
		"one unknown":            {`{"outcome":"unknown","components":{"backend":"unknown"}}`, Impaired, "the agent cannot tell how backend fares"},
		"in trouble":             {`{"outcome":"up","trouble":"A desk fails: soc: refused"}`, Impaired, "A desk fails: soc: refused"},
	} {
		d := outage()
		d.view.Incidents, d.view.Cases, d.view.Tenants = nil, nil, d.view.Tenants[:1]
		d.view.Tenants[0].Status = []byte(c.status)
		f, _ := New(t.Context(), Options{Reader: d})
		if err := f.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := f.Wall()
		if r := w.Rows[0]; r.State != c.want || r.Trouble != c.why || w.Counts[c.want] != 1 {
			t.Errorf("%s: %s, %q; want %s, %q", name, r.State, r.Trouble, c.want, c.why)
		}
	}
}

// TestSilentAgents states that agents that fall silent together are one cause, too, and that it is over when they are heard.
func TestSilentAgents(t *testing.T) {
	d := outage()
	d.view.Incidents, d.view.Cases = nil, nil
	for n := range 12 {
		d.view.Tenants[2*n].Silent = 90*time.Second + time.Duration(n)*time.Second
	}
	f, _ := New(t.Context(), Options{Reader: d})
	if err := f.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	open := f.Wall().Open()
	if len(open) != 1 || open[0].Title != "agent silent or blind at 12 tenants in region weu" {
		t.Fatalf("%+v", open)
	}
	for n := range d.view.Tenants {
		d.view.Tenants[n].Silent = 0
	}
	d.view.At = d.view.At.Add(time.Minute)
	_ = f.Round(t.Context())
	if now := f.Wall().Open(); len(now) != 1 || now[0].Now != 0 {
		t.Errorf("heard again: %+v", now)
	}
	d.view.At = d.view.At.Add(6 * time.Minute)
	_ = f.Round(t.Context())
	if now := f.Wall().Open(); len(now) != 0 {
		t.Errorf("it does not end: %+v", now)
	}
}

// TestFoundAfterAGap states that a common cause of hours in which the fleet was not read is found, by the same process and by the next.
func TestFoundAfterAGap(t *testing.T) {
	file := "sqlite:" + filepath.Join(t.TempDir(), "fleet.db")
	for _, restart := range []bool{false, true} {
		d := outage()
		d.set(func(v *store.FleetView) { v.At, v.Incidents = start.Add(-20*time.Minute), nil })
		state, err := store.Open(t.Context(), fmt.Sprint(file, restart), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := New(t.Context(), Options{Reader: d, State: state})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if restart {
			if f, err = New(t.Context(), Options{Reader: d, State: state}); err != nil {
				t.Fatal(err)
			}
		}
		d.view.Incidents, d.view.At = outage().view.Incidents, start.Add(3*time.Hour)
		if err := f.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if open := f.Wall().Open(); len(open) != 1 || len(open[0].Members) != 10 {
			t.Errorf("restart %t: %d fleet incidents", restart, len(open))
		}
		if err := state.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// watched is a fleet with the built-in desk.
func watched(t *testing.T, d *database, file string, auto bool) (*Fleet, *store.Store, func()) {
	t.Helper()
	state, err := store.Open(t.Context(), "sqlite:"+file, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := new(desk.Builtin).Build(desk.Env{Name: "soc", Tenant: "fleet", Storage: state, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(t.Context(), Options{
		Reader: d, State: state, Desks: []reconcile.Desk{{Name: "soc", Desk: own}}, Tenant: reconcile.Tenant{ID: "fleet", Name: "Fleet"}, OpenCases: auto,
		Level: sla.Level{Reaction: [5]time.Duration{2: time.Hour}}, Refresh: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	return f, state, sync.OnceFunc(func() {
		cancel()
		<-done
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
}

// until waits for what another goroutine does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(time.Minute)
	for !ok() {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("still not: %s", what)
		}
	}
}

// TestParentCase states that one parent case is opened when it is asked for, however often and over a restart, is told of who joins and
// recovers, and is resolved when all have.
func TestParentCase(t *testing.T) {
	d := outage()
	late := d.view.Cases[9] // whose number comes after the parent case
	d.view.Cases = d.view.Cases[:9]
	file := filepath.Join(t.TempDir(), "fleet.db")
	f, state, end := watched(t, d, file, false)
	defer end()
	until(t, "a fleet incident", func() bool { return len(f.Wall().Open()) == 1 })
	key := f.Wall().Open()[0].Key
	if all, err := state.Incidents(t.Context(), store.IncidentFilter{}); err != nil || len(all) != 0 {
		t.Fatalf("nobody asked, and %d parents are there (%v)", len(all), err)
	}
	if err := f.Open(t.Context(), "fc-fleet-other", "mette"); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("another key: %v", err)
	}
	for range 3 {
		if err := f.Open(t.Context(), key, "mette"); err != nil {
			t.Fatal(err)
		}
	}
	opened := func() bool {
		w := f.Wall().Open()
		return len(w) == 1 && len(w[0].Cases) == 1 && strings.HasPrefix(w[0].Cases[0], "FC-")
	}
	until(t, "the parent case", opened)
	d.set(func(v *store.FleetView) { v.Cases = append(v.Cases, late) })
	until(t, "the number that came late in the parent incident", func() bool {
		i, err := state.Incident(t.Context(), key)
		return err == nil && strings.Contains(strings.Join(i.Detail, "\n"), "t18: P2, timeout, case INC-9")
	})
	end()

	f, state, end = watched(t, d, file, false) // a restart, while more join
	defer end()
	d.set(func(v *store.FleetView) {
		v.Incidents = append(v.Incidents, lost(30, 100*time.Second), lost(32, 101*time.Second))
		v.At = v.At.Add(time.Minute)
	})
	until(t, "twelve members", func() bool {
		w := f.Wall().Open()
		return len(w) == 1 && len(w[0].Members) == 12 && w[0].Key == key && opened()
	})
	cases, err := state.Cases(t.Context(), key)
	if err != nil || len(cases) != 1 {
		t.Fatalf("%d cases (%v)", len(cases), err)
	}
	d.set(func(v *store.FleetView) { // one recovers long before the others
		v.Incidents[0].Ended, v.Incidents[0].Closed, v.Incidents[0].Resolution = start.Add(6*time.Minute), start.Add(7*time.Minute), incident.Recovered
		v.At = start.Add(8 * time.Minute)
	})
	until(t, "the first that recovered", func() bool { w := f.Wall().Open(); return len(w) == 1 && w[0].Now == 11 })
	for _, r := range f.Wall().Rows {
		if r.ID == "t0" && (r.State != Well || len(r.Cases) > 0) {
			t.Errorf("it recovered: %+v", r)
		}
	}
	d.set(func(v *store.FleetView) { v.At = start.Add(19 * time.Minute) })
	until(t, "a reading without what closed long before", func() bool { return d.given(9) })
	d.set(func(v *store.FleetView) {
		for n := range v.Incidents {
			if v.Incidents[n].Open() {
				v.Incidents[n].Ended, v.Incidents[n].Closed, v.Incidents[n].Resolution = start.Add(20*time.Minute), start.Add(21*time.Minute), incident.Recovered
			}
		}
		v.At = start.Add(30 * time.Minute)
	})
	var body, log string
	until(t, "the end of the parent case", func() bool {
		c, err := state.Cases(t.Context(), key)
		if err != nil || len(c) != 1 || c[0].State != incident.CaseResolved || !c[0].Settled {
			return false
		}
		kept, err := state.DeskCaseByKey(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		body = kept.Body
		for _, l := range kept.Log {
			log += l.Text + "\n"
		}
		return true
	})
	for _, want := range []string{"virtual-desktop inaccessible at 10 tenants in region weu", "t0: P2, timeout, case INC-0", "by chance that is expected"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	parent, err := state.Incident(t.Context(), key)
	if text := strings.Join(parent.Detail, "\n"); err != nil || strings.Count(text, ", case INC-") != 10 {
		t.Errorf("the numbers at the end (%v):\n%s", err, text)
	}
	if strings.Contains(body, "still works") {
		t.Errorf("the fleet measures nothing itself:\n%s", body)
	}
	for _, want := range []string{"2 more, 12 in all: t30, t32"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
}

// TestFullDisk states that the wall goes on where nothing can be kept, that no parent case is opened meanwhile, and that it is when it can be.
func TestFullDisk(t *testing.T) {
	d := outage()
	open := func(name string) *store.Store {
		s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), name), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	state, full := open("fleet.db"), open("full.db")
	own, err := new(desk.Builtin).Build(desk.Env{Name: "soc", Tenant: "fleet", Storage: state, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(t.Context(), Options{Reader: d, State: full, Desks: []reconcile.Desk{{Name: "soc", Desk: own}}, Tenant: reconcile.Tenant{ID: "fleet"}, OpenCases: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := full.Close(); err != nil { // it takes nothing more
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if w := f.Wall(); len(w.Open()) != 1 || w.Err != "" || w.Unkept == "" || w.Seen.IsZero() {
			t.Errorf("%d fleet incidents, %q, %q", len(w.Open()), w.Err, w.Unkept)
		}
		d.view.At = d.view.At.Add(5 * time.Second)
	}
	if err := f.Open(t.Context(), f.Wall().Open()[0].Key, "mette"); err == nil {
		t.Error("a parent case is promised that is kept nowhere")
	}
	f.o.State = state
	if err := f.Round(t.Context()); err != nil || f.Wall().Unkept != "" {
		t.Errorf("when there is room: %v, %q", err, f.Wall().Unkept)
	}
	key := f.Wall().Open()[0].Key
	events, err := state.Timeline(t.Context(), key, 0)
	if err != nil || len(events) == 0 || events[0].Kind != incident.EventOpened {
		t.Errorf("%v (%v)", events, err)
	}
}

func TestParentCaseByItself(t *testing.T) {
	f, _, end := watched(t, outage(), filepath.Join(t.TempDir(), "fleet.db"), true)
	defer end()
	until(t, "the parent case", func() bool {
		w := f.Wall().Open()
		return len(w) == 1 && w[0].OpenedBy == incident.ActorAgent && len(w[0].Cases) == 1
	})
}
