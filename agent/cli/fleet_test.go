package cli

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/agent/fleet"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// TestFleetFitsTheTerminal states that no line of the table is broken on a terminal, and that what is cut off is what matters least.
func TestFleetFitsTheTerminal(t *testing.T) {
	since := time.Date(2026, 11, 3, 9, 42, 0, 0, time.UTC)
	silent := fleet.Wall{At: since, Rows: []fleet.Row{{ID: "nordlys", State: fleet.P2, Silent: true, Since: since}, {ID: "acme", State: fleet.Silent, Silent: true, Since: since}}}
	var first bytes.Buffer
	if err := (&fleetFlags{}).print(&first, silent, 0); err != nil || !strings.Contains(first.String(), "P2 silent  nordlys") || !strings.Contains(first.String(), "silent     acme") {
		t.Errorf("agents that are not heard (%v):\n%s", err, &first)
	}
	if s := fleetSnapshot(fleet.Wall{Unheard: 2}); s.Silent != 2 {
		t.Errorf("%d silent agents in the metrics", s.Silent)
	}
	w := fleet.Wall{At: since.Add(time.Minute), Counts: map[fleet.State]int{fleet.P2: 1}, Rows: []fleet.Row{{
		ID: "nordlys", State: fleet.P2, Since: since, Cases: []string{"INC-4001"}, Labels: map[string]string{"region": "westeurope"},
		Incidents: []incident.Incident{{Title: "virtual-desktop is inaccessible"}},
	}}}
	for width, want := range map[int]string{
		80:  "P2     nordlys  2026-11-03 09:42:00 UTC  INC-4001  virtual-desktop is inacces...",
		160: "P2     nordlys  2026-11-03 09:42:00 UTC  INC-4001  virtual-desktop is inaccessible  region=westeurope",
		0:   "P2     nordlys  2026-11-03 09:42:00 UTC  INC-4001  virtual-desktop is inaccessible  region=westeurope",
	} {
		var out bytes.Buffer
		if err := (&fleetFlags{}).print(&out, w, width); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		if len(lines) != 4 || lines[1] != want || lines[2] != "1 tenant at 2026-11-03 09:43:00 UTC: 1 P2" {
			t.Errorf("%d columns:\n%s", width, &out)
		}
	}
}

// TestFleetSaysWhat states what stands beside a tenant: why its agent cannot tell, before an incident that is less.
func TestFleetSaysWhat(t *testing.T) {
	low := []incident.Incident{{Title: "the certificate of web-client expires in 12 days"}}
	for _, c := range []struct {
		row  fleet.Row
		want string
	}{
		{fleet.Row{State: fleet.P2, Incidents: low, Trouble: "the agent is blind"}, low[0].Title},
		{fleet.Row{State: fleet.Silent}, "its agent is not heard"},
		{fleet.Row{State: fleet.Blind, Incidents: low, Trouble: "the agent is blind"}, "the agent is blind"},
		{fleet.Row{State: fleet.Impaired, Incidents: low, Trouble: "A desk fails: soc"}, "A desk fails: soc"},
		{fleet.Row{State: fleet.Well}, "-"},
	} {
		if got := whatOf(c.row); got != c.want {
			t.Errorf("%s: %q, want %q", c.row.State, got, c.want)
		}
	}
}

func TestFleetIsTroubled(t *testing.T) {
	for name, c := range map[string]struct {
		rows []fleet.Row
		want bool
	}{
		"P1":                        {[]fleet.Row{{State: fleet.Well}, {State: fleet.P1}}, true},
		"P2":                        {[]fleet.Row{{State: fleet.P2}}, true},
		"silent":                    {[]fleet.Row{{State: fleet.Silent, Silent: true}}, true},
		"P3":                        {[]fleet.Row{{State: fleet.P3}}, false},
		"P3, and the agent's blind": {[]fleet.Row{{State: fleet.P3, Trouble: "the agent is blind"}}, true},
		"not heard yet":             {[]fleet.Row{{State: fleet.Blind, Unsure: true}}, true},
		"impaired":                  {[]fleet.Row{{State: fleet.Impaired, Trouble: "A desk fails: soc"}}, true},
		"P4":                        {[]fleet.Row{{State: fleet.P4}, {State: fleet.Other}, {State: fleet.Well}}, false},
		"nothing is known":          {nil, true},
	} {
		if got := troubled(fleet.Wall{Rows: c.rows}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// readings answers each reading in turn.
type readings []error

func (r *readings) Read(context.Context, time.Time) (v store.FleetView, err error) {
	err = (*r)[0]
	*r = (*r)[1:]
	return store.FleetView{At: time.Now(), Tenants: []store.FleetTenant{{ID: "acme"}}}, err
}

// TestFleetWatchesOn states that --watch goes on after a reading that failed, and says so above what is old; the very first must not fail.
func TestFleetWatchesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
		defer cancel()
		var out bytes.Buffer
		f := &fleetFlags{watch: true, every: 5 * time.Second, zone: time.FixedZone("CET", 3600)}
		watched, _ := fleet.New(ctx, fleet.Options{Reader: &readings{nil, errors.New("the database is away"), nil}})
		if err := f.show(ctx, &out, watched); !errors.Is(err, exitError{code: exitInterrupted}) {
			t.Errorf("it ends with %v", err)
		}
		const at = "1 tenant at 2000-01-01 01:00:0"
		if want := at + "0 CET: 1 well\nold: the database is not read since 2000-01-01 01:00:00 CET: the database is away\n"; !strings.Contains(out.String(), want) ||
			strings.Count(out.String(), "old: ") != 1 || !strings.Contains(out.String(), "1 tenant at 2000-01-01 01:00:10 CET: ") {
			t.Errorf("no %q in\n%s", want, &out)
		}
		for _, watch := range []bool{true, false} {
			f.watch = watch
			never, _ := fleet.New(ctx, fleet.Options{Reader: &readings{errors.New("away")}})
			if err := f.show(t.Context(), &out, never); err == nil || err.Error() != "away" {
				t.Errorf("a first reading that fails ends it with %v", err)
			}
		}
	})
}

func TestFleetWithoutTenants(t *testing.T) {
	var out bytes.Buffer
	w := fleet.Wall{At: time.Date(2026, 11, 3, 9, 42, 0, 0, time.UTC)}
	if err := (&fleetFlags{}).print(&out, w, 0); err != nil || out.String() != "0 tenants at 2026-11-03 09:42:00 UTC: no agent has told of itself\n" {
		t.Errorf("%s, %v", &out, err)
	}
}

// TestFleetBeginsWithoutItsDatabase states that a database that is silent, or not there, does not end a start, and is tried again by each reading.
func TestFleetBeginsWithoutItsDatabase(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // which takes connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	r := &fleetReader{address: "postgres://a@" + l.Addr().String() + "/b?sslmode=disable"}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.begin(ctx); err != nil {
		t.Errorf("where it is silent: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.begin(t.Context()); err != nil {
		t.Errorf("where it is not there: %v", err)
	}
	if _, err := r.Read(t.Context(), time.Time{}); !errors.Is(err, store.ErrAway) {
		t.Errorf("a reading: %v", err)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
	if err := (&fleetReader{address: "sqlite:firstcall.db"}).begin(t.Context()); err == nil || !strings.Contains(err.Error(), "a file has one tenant") {
		t.Errorf("wrong usage: %v", err)
	}
}
