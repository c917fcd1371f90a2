// Package fleet watches all tenants of one PostgreSQL: it makes the wall that the SOC looks at, finds what faults of several tenants have
// in common, and has the parent case opened for that, by the reconciler that opens every case: a fleet incident is an incident of a
// pseudo-tenant.
package fleet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// State is how a tenant stands, in one word.
type State string

// The states, the worst first.
const (
	P1     State = "p1"
	P2     State = "p2"
	Silent State = "silent" // its agent is not heard: nothing is known; at P1 or P2 before, it stays there: see Row.Silent
	P3     State = "p3"
	Blind  State = "blind" // its agent is heard, and sees nothing; or see Row.Unsure
	// Impaired is a tenant whose agent is heard and sees, but not every component, or cannot do all of its work.
	Impaired State = "impaired"
	P4       State = "p4"
	Other    State = "other" // an incident that opens no case
	Well     State = "well"
)

// States are all states, the worst first.
var States = []State{P1, P2, Silent, P3, Blind, Impaired, P4, Other, Well}

// Row is a tenant on the wall.
type Row struct {
	ID        string              `json:"id"`
	Name      string              `json:"name"`
	URL       string              `json:"url,omitempty"`
	Labels    map[string]string   `json:"labels,omitempty"`
	State     State               `json:"state"`
	Heard     time.Time           `json:"heard"`            // of its agent, by the server's clock
	Silent    bool                `json:"silent,omitempty"` // its agent is not heard, whatever the state: what stands here is from then
	Unsure    bool                `json:"unsure,omitempty"` // nothing was heard of it yet since the database is read again
	Trouble   string              `json:"trouble,omitempty"`
	Since     time.Time           `json:"since,omitzero"` // of the worst incident, or of the silence
	Incidents []incident.Incident `json:"incidents,omitempty"`
	Cases     []string            `json:"cases,omitempty"`  // their numbers
	Shared    string              `json:"shared,omitempty"` // key of the fleet incident that explains it
}

// Shared is a fleet incident on the wall.
type Shared struct {
	fleet.Incident
	Sentence string   `json:"sentence"`
	Title    string   `json:"title"`
	Why      string   `json:"why"`
	Reasons  string   `json:"reasons"`
	Now      int      `json:"failing"`
	Priority string   `json:"priority"`
	OpenedBy string   `json:"opened_by,omitempty"` // who asked for the parent case; "": nobody yet
	Cases    []string `json:"parent_cases,omitempty"`
	Text     string   `json:"text"` // of the parent case, for a desk that is not configured
}

// Wall is everything at one instant.
type Wall struct {
	At      time.Time     `json:"at"`               // of the database; zero: it was never read, and fleet incidents are those that were known before
	Seen    time.Time     `json:"seen,omitzero"`    // the same by the clock of this host
	Refresh time.Duration `json:"refresh_ns"`       // how often it is read
	Took    time.Duration `json:"took_ns"`          // to read and judge
	Err     string        `json:"err,omitempty"`    // why it is old
	Unkept  string        `json:"unkept,omitempty"` // why what the fleet decides cannot be kept: parent cases wait
	Rows    []Row         `json:"tenants"`          // the worst first
	Shared  []Shared      `json:"fleet_incidents"`  // the most urgent of those that last first
	Counts  map[State]int `json:"counts"`
	// Unheard counts the tenants whose agent is not heard, whatever their state.
	Unheard int  `json:"unheard"`
	Unsure  int  `json:"unsure"` // the same of Row.Unsure
	Desks   bool `json:"desks"`  // a parent case can be opened
}

// Open returns the fleet incidents that last.
func (w Wall) Open() []Shared {
	return slices.DeleteFunc(slices.Clone(w.Shared), func(s Shared) bool { return !s.Open() })
}

// rows makes the rows of what was read, the worst first.
func rows(v store.FleetView, h hearing) []Row {
	byTenant := map[string][]incident.Incident{}
	for _, i := range v.Incidents {
		if i.Open() {
			byTenant[i.Tenant] = append(byTenant[i.Tenant], i)
		}
	}
	cases, open := map[string][]string{}, map[string]bool{}
	for _, i := range v.Incidents {
		open[i.ID] = i.Open()
	}
	for _, c := range v.Cases {
		if c.Number != "" && open[c.Incident] && !slices.Contains(cases[c.Tenant], c.Number) {
			cases[c.Tenant] = append(cases[c.Tenant], c.Number)
		}
	}
	all := make([]Row, 0, len(v.Tenants))
	for _, t := range v.Tenants {
		facts, status := told(t)
		r := Row{
			ID: t.ID, Name: cmp.Or(facts.Name, t.ID), URL: facts.URL, Labels: facts.Labels, Heard: v.At.Add(-t.Silent), Silent: h.silent[t.ID], Unsure: h.unsure[t.ID],
			Trouble: status.Trouble, Incidents: byTenant[t.ID], Cases: cases[t.ID],
		}
		if r.Unsure {
			r.Trouble = notYet
			if status.Trouble != "" {
				r.Trouble += "; before: " + status.Trouble
			}
		}
		slices.SortStableFunc(r.Incidents, func(a, b incident.Incident) int {
			return cmp.Or(cmp.Compare(urgency(a.Priority), urgency(b.Priority)), a.Started.Compare(b.Started))
		})
		unseen, everything := unknown(facts, status)
		r.Trouble = cmp.Or(r.Trouble, unseen)
		r.State = state(r, status.Blind || everything || r.Unsure)
		switch {
		case r.State == Silent:
			r.Since = r.Heard
		case len(r.Incidents) > 0:
			r.Since = r.Incidents[0].Started
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b Row) int {
		return cmp.Or(cmp.Compare(slices.Index(States, a.State), slices.Index(States, b.State)), a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// urgency orders priorities; none comes last.
func urgency(p incident.Priority) int {
	if p == incident.NoPriority {
		return 9
	}
	return int(p)
}

func state(r Row, blind bool) State {
	highest := incident.NoPriority
	if len(r.Incidents) > 0 {
		highest = r.Incidents[0].Priority
	}
	switch {
	case highest == incident.P1:
		return P1
	case highest == incident.P2:
		return P2
	case r.Silent:
		return Silent
	case highest == incident.P3:
		return P3
	case blind:
		return Blind
	case r.Trouble != "":
		return Impaired
	case highest == incident.P4:
		return P4
	case len(r.Incidents) > 0:
		return Other
	}
	return Well
}

// unknown says which components the agent cannot tell of, and whether these are all; "": it can tell of each.
func unknown(f fleet.Facts, s fleet.Status) (text string, all bool) {
	const most = 3 // that are named
	var names []string
	for name, outcome := range s.Components {
		if outcome == probes.Unknown.String() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	n := len(names)
	switch {
	case n == 0 && s.Outcome != probes.Unknown.String():
		return "", false
	case n == 0 || n >= len(f.Components):
		return "the agent cannot tell how any component fares", true
	case n == 1:
		return "the agent cannot tell how " + names[0] + " fares", false
	case n > most:
		names = append(names[:most], fmt.Sprint(n-most, " more"))
	}
	return "the agent cannot tell how these fare: " + strings.Join(names, ", "), false
}

// told reads what an agent told; what cannot be read is nothing.
func told(t store.FleetTenant) (f fleet.Facts, s fleet.Status) {
	_ = json.Unmarshal(t.Facts, &f)
	_ = json.Unmarshal(t.Status, &s)
	return f, s
}

// tenants returns the tenants as the correlation sees them.
func tenants(v store.FleetView) []fleet.Tenant {
	all := make([]fleet.Tenant, 0, len(v.Tenants))
	for _, t := range v.Tenants {
		f, _ := told(t)
		all = append(all, fleet.Tenant{ID: t.ID, Labels: f.Labels, Components: f.Components})
	}
	return all
}

// faults returns the incidents that the correlation looks at: those of infrastructure, and agents that see nothing.
func faults(v store.FleetView) []fleet.Fault {
	var all []fleet.Fault
	for _, i := range v.Incidents {
		if !i.Class.OpensCase() && i.Class != incident.Agent {
			continue
		}
		if i.Class == incident.Agent && strings.Contains(i.Root, "/") { // a further vantage (sight/b) sees nothing: the one that leads does
			continue
		}
		f := fleet.Fault{
			Tenant: i.Tenant, Incident: i.ID, Class: i.Class, Components: []string{i.Root}, Reason: i.Reason, Priority: i.Highest, Started: i.Started, Opened: i.Opened, Ended: i.Ended,
		}
		switch {
		case i.Class == incident.Agent:
			f.Components = []string{fleet.AgentComponent}
		case i.Root == incident.Solution:
			f.Components = append(f.Components, i.Components...)
		}
		if !i.Open() && f.Ended.IsZero() {
			f.Ended = i.Closed
		}
		if i.Open() { // what recovered, and is not confirmed, may fail again
			f.Ended = time.Time{}
		}
		all = append(all, f)
	}
	return all
}
