package web

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// lookTimeout bounds the store's part of a glance: a page that says less comes before a page that says nothing.
const lookTimeout = 2 * time.Second

// glance is everything that the first sight of the page is made of, taken at one instant.
type glance struct {
	now       time.Time
	zone      *time.Location
	view      engine.View
	health    Health
	alertOnly bool
	open      []incident.Incident // of the view: the SOC's first, most urgent first
	over      []incident.Incident // of the store: closed ones that are not settled
	tales     map[string]tale     // of the first few of open and of over, by incident
	storeErr  error               // why tales may be incomplete
	upkeep    []policy.Span       // maintenance of the last day and now
}

// tale is what the store knows of an incident.
type tale struct {
	cases    []incident.Case
	notices  []incident.Notice
	timeline []incident.Event
}

// look takes a glance and reads the tales of the first few open incidents.
func (s *site) look(ctx context.Context, few int) glance {
	g := glance{now: s.Now(), zone: s.Zone, view: s.Agent.View(), health: s.Agent.Health(), tales: map[string]tale{}}
	g.upkeep = s.Agent.Maintenance(g.now.Add(-24*time.Hour), g.now.Add(time.Second))
	g.alertOnly = s.AlertOnly || g.health.AlertOnly
	g.open = slices.Clone(g.view.Incidents)
	slices.SortStableFunc(g.open, func(a, b incident.Incident) int {
		switch {
		case a.Priority.Above(b.Priority):
			return -1
		case b.Priority.Above(a.Priority):
			return 1
		}
		return 0
	})
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	unsettled, err := s.Store.Incidents(ctx, store.IncidentFilter{Unsettled: true, Limit: defaultLimit})
	if err != nil {
		g.storeErr = err
		return g
	}
	g.over = slices.DeleteFunc(unsettled, func(i incident.Incident) bool { return i.Open() })
	g.over = g.over[:min(few, len(g.over))]
	for _, i := range slices.Concat(g.open[:min(few, len(g.open))], g.over) {
		t, err := s.tale(ctx, i.ID)
		if err != nil {
			g.storeErr = err
			break
		}
		g.tales[i.ID] = t
	}
	return g
}

func (s *site) tale(ctx context.Context, id string) (t tale, err error) {
	if t.cases, err = s.Store.Cases(ctx, id); err != nil {
		return t, err
	}
	if t.notices, err = s.Store.Notices(ctx, id); err != nil {
		return t, err
	}
	t.timeline, err = s.Store.Timeline(ctx, id, 0)
	return t, err
}

// probesOf yields every probe of the view: the components' and the witnesses'.
func probesOf(v engine.View) iter.Seq[engine.ProbeView] {
	return func(yield func(engine.ProbeView) bool) {
		for _, c := range v.Components {
			for _, i := range c.Instances {
				for _, p := range i.Probes {
					if !yield(p) {
						return
					}
				}
			}
		}
		for _, w := range v.Witnesses {
			if !yield(w) {
				return
			}
		}
	}
}
