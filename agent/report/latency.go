package report

import (
	"math"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
)

// Percentiles are those that the report tells.
var percentiles = []float64{0.50, 0.95, 0.99}

// latency returns how long the runs of every timed probe of a component took, in the order of the configuration.
func (b *builder) latency() []Latency {
	all := []Latency{}
	for i := range b.in.Probes {
		p := &b.in.Probes[i]
		m := b.in.Measured.probes[p.ID]
		if p.Component == "" || p.Untimed || m == nil {
			continue
		}
		all = append(all, m.latency(b.in.Measured))
	}
	return all
}

func (p *measured) latency(m *Measured) Latency {
	l := Latency{Probe: p.ID, Component: p.Component, list: p.list(m)}
	var sum time.Duration
	sources := map[string]bool{}
	exact := true
	for i := range l.list {
		h := &l.list[i]
		if h.timed == 0 {
			continue
		}
		l.Hours++
		if l.Runs == 0 || Seconds(h.least) < l.Least {
			l.Least = Seconds(h.least)
		}
		l.Most = max(l.Most, Seconds(h.most))
		l.Runs += h.timed
		sum += h.sum
		if !h.known() {
			l.Missing++
			continue
		}
		sources[h.source] = true
		exact = exact && h.took != nil
	}
	if l.Runs > 0 {
		l.Mean = Seconds(sum / time.Duration(l.Runs))
	}
	l.Source = FromRuns
	switch {
	case sources[FromRuns] && sources[FromHours]:
		l.Source = FromRuns + " and " + FromHours
	case sources[FromHours]:
		l.Source = FromHours
	}
	if l.Hours == l.Missing {
		return l
	}
	if !exact {
		l.Error = store.HistogramError
	}
	values := quantiles(l.list, exact)
	l.P50, l.P95, l.P99 = &values[0], &values[1], &values[2]
	for _, v := range []*Seconds{l.P50, l.P95, l.P99} { // the middle of a bucket may lie beyond what was ever measured
		*v = min(max(*v, l.Least), l.Most)
	}
	return l
}

// quantiles returns the percentiles of the hours that are known: the run of rank ceil(q*N) where all single runs are there, the middle of
// its bucket otherwise.
func quantiles(list []hour, exact bool) []Seconds {
	var took []time.Duration
	var h store.Histogram
	for i := range list {
		switch {
		case !list[i].known():
		case exact:
			took = append(took, list[i].took...)
		default:
			h.Merge(list[i].distribution())
		}
	}
	slices.Sort(took)
	var all []Seconds
	for _, q := range percentiles {
		if exact {
			all = append(all, Seconds(ranked(took, q)))
		} else {
			all = append(all, Seconds(h.Quantile(q)))
		}
	}
	return all
}

// ranked returns the value of rank ceil(q*N) of sorted ones; 0 where there is none.
func ranked(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted), max(1, int(math.Ceil(q*float64(len(sorted))-1e-9))))-1]
}

// distribution returns the hour's histogram.
func (h *hour) distribution() store.Histogram {
	if h.took == nil {
		return h.histogram
	}
	var made store.Histogram
	for _, d := range h.took {
		made.Add(d)
	}
	return made
}

// quantile returns a percentile of the hour; false where it is not known.
func (h *hour) quantile(q float64) (time.Duration, bool) {
	switch {
	case h.timed == 0 || !h.known():
		return 0, false
	case h.took != nil:
		return ranked(h.took, q), true
	}
	return min(max(h.histogram.Quantile(q), h.least), h.most), true
}
