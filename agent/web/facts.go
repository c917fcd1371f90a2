package web

import (
	"context"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	factsProbes = 8                // of an incident, whose first failing result is shown
	factsWithin = 10 * time.Minute // of its start
	factsSearch = 500              // results
)

// factRow is the first result of a probe that showed an incident, with all that it said.
type factRow struct {
	Probe     string
	At        moment
	State     string
	Reason    probes.Reason
	Detail    string
	Took      string
	Phases    []probes.Phase
	Facts     []probes.Fact
	Subject   string // of the certificate
	ValidTill moment
}

// firstFacts returns the first failing result of each probe of the incident's components. What the store does not keep any more, or
// cannot read, is left out: the page is of use without it.
func (s *site) firstFacts(ctx context.Context, i incident.Incident, now time.Time) []factRow {
	var rows []factRow
	to := i.Started.Add(factsWithin)
	if !i.Ended.IsZero() && i.Ended.Before(to) {
		to = i.Ended
	}
	for _, c := range s.Agent.View().Components {
		if !slices.Contains(i.Components, c.Name) {
			continue
		}
		for _, in := range c.Instances {
			for _, p := range in.Probes {
				if len(rows) == factsProbes {
					return rows
				}
				results, err := s.Store.Results(ctx, p.ID, i.Started.Add(-time.Second), to, factsSearch)
				at := slices.IndexFunc(results, func(r probes.Result) bool { return r.Outcome != probes.Up && !r.Lagging })
				if err == nil && at >= 0 {
					rows = append(rows, s.factRow(results[at], now))
				}
			}
		}
	}
	return rows
}

func (s *site) factRow(r probes.Result, now time.Time) factRow {
	row := factRow{
		Probe: clean(r.Probe), At: s.when(r.Start, now), State: r.Outcome.String(), Reason: r.Reason, Detail: clean(r.Detail), Took: latency(r.Duration),
		Phases: r.Phases[:min(maxPhases, len(r.Phases))], Facts: r.Facts[:min(maxEvidence, len(r.Facts))],
	}
	if r.Certificate != nil {
		row.Subject, row.ValidTill = clean(r.Certificate.Subject), s.when(r.Certificate.NotAfter, now)
	}
	return row
}
