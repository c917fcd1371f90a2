package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	chartsMost  = 6   // probes with charts on one page; the others are a link away
	marksMost   = 100 // incidents
	ticks       = 5   // instants below a chart
	dayAndClock = 26 * time.Hour
)

type componentPage struct {
	page
	Row      componentRow
	Ranges   []chartRange
	Range    string
	Chosen   string // the one probe whose charts are shown; "": the first few
	Others   []string
	Charts   []probeCharts
	Ticks    []string
	Marks    []markRow
	More     bool // marks
	Upkeep   []spanRow
	Silenced []orderRow
}

// markRow is an incident in the range.
type markRow struct {
	incident.Incident
	Since, Until moment
	Lasts        bool
}

// spanRow is a stretch of maintenance.
type spanRow struct {
	Name        string
	From, Until moment
	Open        bool
	Components  []string
}

// probeCharts are the charts of a probe.
type probeCharts struct {
	ID      string
	Empty   bool
	Hourly  bool
	Partial bool
	Latency figure
	Normal  string
	Limit   string
	Phases  []string
	Numbers []numberFigure
	Table   []sliceRow
}

type numberFigure struct {
	figure
	Name, Doc, Now, Limit string
}

// sliceRow is a part of the table that says the same as a chart.
type sliceRow struct {
	From, Typical, Slowest string
	Runs, Down, Degraded   int
}

func (s *site) componentPage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	q := query{values: r.URL.Query()}
	p := componentPage{Ranges: chartRanges, Range: q.text("range"), Chosen: q.text("probe")}
	if p.Range == "" {
		p.Range = chartRanges[0].Name
	}
	at := slices.IndexFunc(chartRanges, func(c chartRange) bool { return c.Name == p.Range })
	if at < 0 {
		q.fail("range", "is not known", "it is 3h, 24h, 7d or 30d")
	}
	g := s.look(ctx, 0)
	c := slices.IndexFunc(g.view.Components, func(c engine.ComponentView) bool { return c.Name == r.PathValue("name") })
	switch {
	case c < 0:
		s.refuse(w, r, &fault{Status: http.StatusNotFound, Message: fmt.Sprintf("there is no component %q", bounded(clean(r.PathValue("name")), 60)), Hint: "the status page lists them"})
		return
	case q.fault != nil:
		s.refuse(w, r, q.fault)
		return
	}
	p.Row = s.componentRow(g, g.view.Components[c])
	p.page = s.page(r, p.Row.Name, levelWell)
	if err := s.drawComponent(ctx, &p, g, g.now.Add(-chartRanges[at].Last)); err != nil {
		s.refuse(w, r, asFault(err))
		return
	}
	s.render(w, http.StatusOK, "component", p)
}

// drawComponent fills in the charts and what happened meanwhile.
func (s *site) drawComponent(ctx context.Context, p *componentPage, g glance, from time.Time) error {
	name := p.Row.Name
	var b backdrop
	for _, m := range s.Agent.Maintenance(from, g.now.Add(windowsAhead)) {
		if m.Covers(name) {
			b.maintenance = append(b.maintenance, m)
			if m.To.After(g.now) && len(p.Upkeep) < 5 {
				p.Upkeep = append(p.Upkeep, s.spanRow(m, g.now))
			}
		}
	}
	for _, o := range s.Agent.Orders() {
		if o.Kind == incident.OrderSilence && o.Active(g.now) && o.Covers(name) {
			p.Silenced = append(p.Silenced, s.orderRow(o, g.now))
		}
	}
	found, err := s.incidentsWithin(ctx, name, from)
	if err != nil {
		return err
	}
	p.More = len(found) > marksMost
	b.incidents = found[:min(len(found), marksMost)]
	for _, i := range b.incidents {
		p.Marks = append(p.Marks, markRow{i.AtWorst(), s.when(i.Started, g.now), s.when(i.Ended, g.now), i.Ended.IsZero()})
	}
	for n := range ticks {
		p.Ticks = append(p.Ticks, s.tick(from.Add(g.now.Sub(from)*time.Duration(n)/(ticks-1)), g.now.Sub(from)))
	}
	return s.drawProbes(ctx, p, g, b, from)
}

// incidentsWithin returns the incidents of a component that lasted into the range, newest first, one more than are shown.
func (s *site) incidentsWithin(ctx context.Context, name string, from time.Time) ([]incident.Incident, error) {
	const before = 7 * 24 * time.Hour // that one may have begun
	found, err := s.Store.Incidents(ctx, store.IncidentFilter{Component: name, From: from.Add(-before), Limit: marksMost + 1})
	return slices.DeleteFunc(found, func(i incident.Incident) bool { return !i.Ended.IsZero() && i.Ended.Before(from) }), err
}

// tick writes an instant below a chart of that width.
func (s *site) tick(t time.Time, width time.Duration) string {
	if t = t.In(s.Zone); width < dayAndClock {
		return t.Format("15:04")
	}
	return t.Format("Mon 2 Jan")
}

func (s *site) drawProbes(ctx context.Context, p *componentPage, g glance, b backdrop, from time.Time) error {
	for _, in := range p.Row.Instances {
		for _, v := range in.Probes {
			if (p.Chosen != "" && p.Chosen != v.ID) || len(p.Charts) == chartsMost || (p.Chosen == "" && !v.Deciding && len(p.Row.Rows) > chartsMost) {
				p.Others = append(p.Others, v.ID)
				continue
			}
			drawn, err := s.drawProbe(ctx, v, g, b, from)
			if err != nil {
				return err
			}
			p.Charts = append(p.Charts, drawn)
		}
	}
	return nil
}

func (s *site) drawProbe(ctx context.Context, v engine.ProbeView, g glance, b backdrop, from time.Time) (probeCharts, error) {
	info, _ := s.Agent.Info(v.ID)
	out := probeCharts{ID: v.ID}
	d, err := s.series(ctx, v.ID, info, from, g.now)
	if err != nil {
		return out, err
	}
	out.Hourly, out.Partial, out.Empty = d.Hourly, d.Partial, len(d.Slices) == 0
	if v.Baseline != nil {
		b.normal, b.slow = v.Baseline.Expected, v.Baseline.Limit
	}
	b.limit = info.Limits[probes.PhaseTotal]
	if b.limit > 0 {
		out.Limit = latency(b.limit)
	}
	out.Normal = normal(v.Baseline)
	for _, name := range d.Phases {
		out.Phases = append(out.Phases, strings.ReplaceAll(clean(name), "_", " "))
	}
	out.Latency = s.latencyChart(d, b, v.ID)
	kind, _ := probes.Lookup(info.Kind)
	for k, name := range d.Numbers {
		n, known := kind.Number(name)
		if !known {
			n = probes.NumberKind{Name: name}
		}
		limit, limited := info.Thresholds[name]
		f := numberFigure{figure: s.numberChart(d, b, k, n, limit, limited), Name: strings.ReplaceAll(clean(name), "_", " "), Doc: n.Doc}
		if last := lastNumber(d, k); last != nil {
			f.Now = n.Format(*last)
		}
		if limited {
			f.Limit = n.Format(limit)
		}
		out.Numbers = append(out.Numbers, f)
	}
	out.Table = s.table(d)
	return out, nil
}

func lastNumber(d series, k int) *float64 {
	for _, p := range slices.Backward(d.Slices) {
		if p.Has[k] {
			return &p.Numbers[k]
		}
	}
	return nil
}

// table says a chart in at most so many rows, newest first.
func (s *site) table(d series) []sliceRow {
	if len(d.Slices) == 0 {
		return nil
	}
	per := (len(d.Slices) + tableMost - 1) / tableMost
	var rows []sliceRow
	for first := 0; first < len(d.Slices); first += per {
		part := d.Slices[first:min(first+per, len(d.Slices))]
		var typical []time.Duration
		row := sliceRow{From: clock(part[0].From, d.To, s.Zone), Typical: "–", Slowest: "–"}
		var slowest time.Duration
		for _, p := range part {
			row.Runs += p.runs()
			row.Down += p.Counts[probes.Down]
			row.Degraded += p.Counts[probes.Degraded]
			if p.answered() {
				typical = append(typical, p.Typical)
				slowest = max(slowest, p.Slowest)
			}
		}
		if len(typical) > 0 {
			row.Typical, row.Slowest = latency(middle(typical)), latency(slowest)
		}
		rows = append(rows, row)
	}
	slices.Reverse(rows)
	return rows
}

func (s *site) spanRow(m policy.Span, now time.Time) spanRow {
	return spanRow{clean(m.Name), s.when(m.From, now), s.when(m.To, now), m.Active(now), m.Components}
}
