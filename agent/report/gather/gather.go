// Package gather reads what a service-level report is computed from: the configuration, and an agent's store, which may be in use.
package gather

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/agent/report"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// Store is the part of a store that a report reads.
type Store interface {
	Incidents(ctx context.Context, f store.IncidentFilter) ([]incident.Incident, error)
	Timeline(ctx context.Context, id string, after int64) ([]incident.Event, error)
	Cases(ctx context.Context, id string) ([]incident.Case, error)
	Notices(ctx context.Context, id string) ([]incident.Notice, error)
	Orders(ctx context.Context, since time.Time) ([]incident.Order, error)
	Rollups(ctx context.Context, probe string, from, to time.Time) ([]store.Rollup, error)
	EachResult(ctx context.Context, names []string, from, to time.Time, fn func(probes.Result) error) error
}

// Progress is told how far reading has come: what is read, and the share of it from 0 to 1. It is called often.
type Progress func(what string, done float64)

// pageOf is how many incidents are read at once.
const pageOf = 500

// Read returns what a report of from..to is computed from, as it is now. The store is only read; progress may be nil.
func Read(ctx context.Context, s Store, c *config.Config, from, to, now time.Time, progress Progress) (report.Input, error) {
	if progress == nil {
		progress = func(string, float64) {}
	}
	in := input(c)
	in.From, in.To, in.Made = from, to, now
	until := to
	if now.Before(until) {
		until = now
	}
	if until.Before(from) {
		until = from
	}
	in.Measured = report.NewMeasured(in.Probes, from, until, in.Zone)
	first, end := in.Measured.Bounds()
	for i, p := range in.Probes { // before the single results, so that these are never fewer
		progress("hours", float64(i)/float64(len(in.Probes)))
		hours, err := s.Rollups(ctx, p.ID, first, end)
		if err != nil {
			return in, err
		}
		for _, h := range hours {
			in.Measured.AddHour(h)
		}
	}
	var err error
	if in.Orders, err = s.Orders(ctx, from); err != nil {
		return in, err
	}
	if in.Tales, err = tales(ctx, s, from, until, progress); err != nil {
		return in, err
	}
	return in, results(ctx, s, &in, first, end, progress)
}

// results takes in the single results.
func results(ctx context.Context, s Store, in *report.Input, from, to time.Time, progress Progress) error {
	names := make([]string, len(in.Probes))
	for i, p := range in.Probes {
		names[i] = p.ID
	}
	if len(names) == 0 {
		return nil
	}
	n := 0
	return s.EachResult(ctx, names, from, to, func(r probes.Result) error {
		in.Measured.Add(r)
		if n++; n%10_000 == 0 {
			progress("results", float64(r.Start.Sub(from))/float64(to.Sub(from)))
			return ctx.Err()
		}
		return nil
	})
}

// tales returns the incidents that touch the time, with all that belongs to them.
func tales(ctx context.Context, s Store, from, until time.Time, progress Progress) ([]report.Tale, error) {
	found, err := incidents(ctx, s, from, until)
	if err != nil {
		return nil, err
	}
	all := make([]report.Tale, 0, len(found))
	for i, one := range found {
		progress("incidents", float64(i)/float64(len(found)))
		t := report.Tale{Incident: one}
		var errs [3]error
		t.Timeline, errs[0] = s.Timeline(ctx, one.ID, 0)
		t.Cases, errs[1] = s.Cases(ctx, one.ID)
		t.Notices, errs[2] = s.Notices(ctx, one.ID)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// incidents returns those that lasted in the time. An incident is opened when it is confirmed, some time after it started.
func incidents(ctx context.Context, s Store, from, until time.Time) ([]incident.Incident, error) {
	const confirmed = 24 * time.Hour // by then what started has been opened, or it is found by its end
	var all []incident.Incident
	seen := map[string]bool{}
	before := until.Add(confirmed)
	for limit := pageOf; ; {
		page, err := s.Incidents(ctx, store.IncidentFilter{Before: before, Limit: limit})
		if err != nil {
			return nil, err
		}
		fresh := 0
		for _, i := range page {
			if seen[i.ID] {
				continue
			}
			seen[i.ID] = true
			fresh++
			if i.Started.Before(until) && (i.Open() || !i.Closed.Before(from)) {
				all = append(all, i)
			}
		}
		switch {
		case len(page) < limit:
			return all, nil
		case fresh == 0: // so many were opened at one instant
			limit *= 2
		default:
			before = page[len(page)-1].Opened.Add(1) // inclusive: others may have been opened at the same instant
		}
	}
}

// input returns what the configuration says.
func input(c *config.Config) report.Input {
	in := report.Input{
		Tenant: c.Tenant.ID, Name: c.Tenant.Name, Language: c.Tenant.Language, Zone: c.Tenant.Zone,
		Centre: c.OperationsCentre.Name, Supported: slices.Clone(c.ServiceLevel.Supported), Level: c.Level(), HoldEnds: c.ServiceLevel.HoldEnds,
		StatusEvery: c.ServiceLevel.StatusEvery, StatusFor: slices.Clone(c.ServiceLevel.StatusFor), Momentary: c.Policy.Momentary, Windows: c.Windows(),
	}
	if len(c.Desks) > 0 {
		in.Primary = c.Desks[0].Name
	}
	component := map[string]string{}
	deciding := map[string]bool{}
	for _, m := range c.Solution().Components {
		in.Components = append(in.Components, report.InputComponent{Name: m.Name, Essential: m.Essential, Instances: len(m.Instances)})
		for _, i := range m.Instances {
			for _, p := range i.Probes {
				component[p.ID], deciding[p.ID] = m.Name, p.Deciding
			}
		}
	}
	untimed := c.Untimed()
	for _, p := range c.AllProbes() {
		in.Probes = append(in.Probes, report.Probe{
			ID: p.ID, Component: component[p.ID], Deciding: deciding[p.ID], Untimed: untimed[p.ID], Interval: p.Interval, Schedule: p.Cron,
		})
	}
	return in
}
