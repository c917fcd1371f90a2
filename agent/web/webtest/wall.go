package webtest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/agent/fleet"
	"github.com/firstcall-agent/firstcall/incident"
	shared "github.com/firstcall-agent/firstcall/incident/fleet"
)

// Fleet is a made-up fleet in one state. It is safe for concurrent use.
type Fleet struct {
	mu   sync.Mutex
	wall fleet.Wall
	Err  error // of Open
}

// Walls are the names of the states.
var Walls = []string{"empty", "well", "full"}

// NewFleet returns a fleet in a state at an instant: empty, well or full, which has 1,000 tenants, a fleet incident and silent agents.
func NewFleet(name string, now time.Time) *Fleet {
	w := fleet.Wall{At: now.Add(-2 * time.Second), Seen: now.Add(-2 * time.Second), Refresh: 5 * time.Second, Took: 31 * time.Millisecond, Counts: map[fleet.State]int{}, Desks: true}
	add := func(n int, state fleet.State, mend func(*fleet.Row, int)) {
		for range n {
			k := len(w.Rows)
			r := fleet.Row{
				ID: fmt.Sprintf("t%04d", k), Name: fmt.Sprintf("%s %d", []string{"Nordlys Møbler", "Acme", "Hansen & Sønner", "Fabrikam"}[k%4], k), URL: fmt.Sprintf("https://t%04d.example/", k), State: state,
				Heard: now.Add(-5 * time.Second), Labels: map[string]string{"region": []string{"westeurope", "northeurope", "denmark"}[k%3], "supplier": fmt.Sprint("s", k%12)},
			}
			if mend != nil {
				mend(&r, k)
			}
			w.Rows = append(w.Rows, r)
			w.Counts[state]++
			if r.Silent {
				w.Unheard++
			}
		}
	}
	failing := func(p incident.Priority, title string) func(*fleet.Row, int) {
		return func(r *fleet.Row, k int) {
			r.Since = now.Add(-time.Duration(20+k) * time.Minute)
			r.Incidents = []incident.Incident{{ID: "fc-" + r.ID, Tenant: r.ID, Priority: p, Title: title, Started: r.Since, Class: incident.Availability}}
			r.Cases = []string{fmt.Sprint("INC-", 4000+k)}
		}
	}
	switch name {
	case "well":
		add(40, fleet.Well, nil)
	case "full":
		add(2, fleet.P1, failing(incident.P1, "the entire customer solution is inaccessible"))
		add(36, fleet.P2, func(r *fleet.Row, k int) {
			if k == 2 {
				r.Silent, r.Heard = true, now.Add(-9*time.Minute)
			}
			failing(incident.P2, "virtual-desktop is inaccessible")(r, k)
			r.Shared = "fc-fleet-virtual-desktop-westeurope-20261103T094200.000Z"
		})
		add(5, fleet.Silent, func(r *fleet.Row, _ int) {
			r.Silent, r.Heard, r.Since = true, now.Add(-9*time.Minute), now.Add(-9*time.Minute)
		})
		add(6, fleet.P3, failing(incident.P3, "backend is slow at times: <b>412 ms</b>, normally 118 ms"))
		add(3, fleet.Blind, func(r *fleet.Row, _ int) { r.Trouble = "the agent is blind" })
		add(2, fleet.Impaired, func(r *fleet.Row, _ int) {
			r.Trouble = "The newest configuration is not in force: acme.yaml:9:7: unknown key"
		})
		add(4, fleet.P4, failing(incident.P4, "the certificate of web-client expires in 12 days"))
		add(942, fleet.Well, nil)
		i := shared.Incident{
			Key: "fc-fleet-virtual-desktop-westeurope-20261103T094200.000Z", Scope: shared.Scope{Class: incident.Availability, Components: []string{"virtual-desktop"}, Label: "region", Values: []string{"westeurope"}},
			Started: now.Add(-21 * time.Minute), Found: now.Add(-20 * time.Minute), Of: 334, First: 7, Odds: 1e-6,
		}
		for _, r := range w.Rows[2:38] {
			m := shared.Member{Tenant: r.ID, Incidents: []string{"fc-" + r.ID}, Components: []string{"virtual-desktop"}, Reason: "timeout", Priority: incident.P2, Started: i.Started}
			if len(i.Members) > 30 {
				m.Ended = now.Add(-time.Minute)
			}
			i.Members = append(i.Members, m)
		}
		w.Shared = []fleet.Shared{{
			Incident: i, Sentence: i.Sentence(time.UTC, now), Title: i.Title(), Why: i.Why(shared.Rules{}), Reasons: i.Reasons(), Now: i.Failing(), Priority: "P2", Text: "P2 " + i.Title(),
		}}
	default:
	}
	return &Fleet{wall: w}
}

// Wall implements web.Wall.
func (f *Fleet) Wall() fleet.Wall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wall
}

// Open implements web.Wall.
func (f *Fleet) Open(_ context.Context, key, who string) error {
	if f.Err != nil {
		return f.Err
	}
	f.Change(func(w *fleet.Wall) {
		list := append([]fleet.Shared(nil), w.Shared...)
		for n := range list {
			if list[n].Key == key {
				list[n].OpenedBy = who
			}
		}
		w.Shared = list
	})
	return nil
}

// Change changes the wall.
func (f *Fleet) Change(change func(*fleet.Wall)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.wall)
}
