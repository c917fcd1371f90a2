package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/fleet"
	"github.com/firstcall-agent/firstcall/incident"
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
