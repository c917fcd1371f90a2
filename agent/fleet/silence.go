package fleet

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// gone is how long an agent is silent that nobody runs any more: its silence is no fault of now.
const gone = 7 * 24 * time.Hour

// notYet is said of a tenant of whom nothing was heard, where nothing could be.
const notYet = "its agent is not heard yet since the database is read again"

// silence is a time in which an agent was not heard.
type silence struct {
	Tenant string    `json:"tenant"`
	Heard  time.Time `json:"heard"`          // before it
	Told   time.Time `json:"told"`           // since when it is one
	Ended  time.Time `json:"ended,omitzero"` // when the agent was heard again; zero while it lasts
}

func (s silence) fault() fleet.Fault {
	return fleet.Fault{
		Tenant: s.Tenant, Incident: "silent since " + s.Heard.Format(time.RFC3339), Class: incident.Agent, Components: []string{fleet.AgentComponent}, Reason: "silent",
		Started: s.Heard, Opened: s.Told, Ended: s.Ended,
	}
}

// hearing is who is heard.
type hearing struct {
	silences []silence       // that last, and those of the last days, which tell how often there are some
	silent   map[string]bool // tenants whose agent is not heard
	unsure   map[string]bool // tenants of whom nothing was heard since it could be: the database was not read before
}

// hear tells who is heard. While the database is away nobody is: a silence counts from when it is read again. What was one before stays.
func hear(v store.FleetView, before []silence, listening time.Time, silentAfter, keep time.Duration) hearing {
	h := hearing{silent: map[string]bool{}, unsure: map[string]bool{}}
	lasts := map[string]silence{}
	for _, s := range before {
		switch {
		case s.Ended.IsZero():
			lasts[s.Tenant] = s
		case !s.Ended.Before(v.At.Add(-keep)):
			h.silences = append(h.silences, s)
		}
	}
	for _, t := range v.Tenants {
		heard := v.At.Add(-t.Silent).Truncate(time.Second)
		s, silent := lasts[t.ID]
		if silent && heard.Sub(s.Heard) > 2*time.Second { // less is what rounding makes of it
			s.Ended, silent = heard, false
			h.silences = append(h.silences, s)
		}
		if !silent && t.Silent > silentAfter {
			s = silence{Tenant: t.ID, Heard: heard, Told: heard.Add(silentAfter)}
			if since := listening.Add(silentAfter); !listening.IsZero() && s.Told.Before(since) {
				s.Told = since
			}
			silent = !s.Told.After(v.At)
			h.unsure[t.ID] = !silent
		}
		if silent {
			h.silent[t.ID] = true
			h.silences = append(h.silences, s)
		}
	}
	slices.SortStableFunc(h.silences, func(a, b silence) int { return a.Told.Compare(b.Told) })
	return h
}

// faults returns the silences that the correlation looks at.
func (h hearing) faults(at time.Time) (all []fleet.Fault) {
	for _, s := range h.silences {
		if !s.Ended.IsZero() || at.Sub(s.Heard) < gone {
			all = append(all, s.fault())
		}
	}
	return all
}
