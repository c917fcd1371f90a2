package web

import (
	"context"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// span of time that a chart may show.
type chartRange struct {
	Name string // in the address
	Text string
	Last time.Duration
}

var chartRanges = []chartRange{
	{"3h", "3 hours", 3 * time.Hour}, {"24h", "24 hours", 24 * time.Hour}, {"7d", "7 days", 7 * 24 * time.Hour}, {"30d", "30 days", 30 * 24 * time.Hour},
}

const (
	rawMost    = 10_500 // single results of a probe that a chart is made of; where the range has more, it is made of hours
	sliceMost  = 240    // slices of time of a chart
	tableMost  = 24     // rows of the table beside it
	numbersMax = probes.MaxNumbers
)

// slice is what was measured in one stretch of time.
type slice struct {
	From, To time.Time
	Counts   [4]int // by outcome, of results that are used
	Unused   int    // since the agent was late
	Typical  time.Duration
	Slowest  time.Duration
	Phases   []time.Duration // typical, by series.Phases
	Numbers  []float64       // the newest, by series.Numbers
	Has      []bool          // whether there is one
}

// answered reports whether anything was.
func (c *slice) answered() bool { return c.Counts[probes.Up]+c.Counts[probes.Degraded] > 0 }

// runs returns how many results there are.
func (c *slice) runs() int { return c.Counts[0] + c.Counts[1] + c.Counts[2] + c.Counts[3] + c.Unused }

// series is a probe over time.
type series struct {
	From, To time.Time
	Hourly   bool // made of hourly figures, which have no phases and no numbers
	Partial  bool // older results than the first are not kept one by one, or there were too many
	Phases   []string
	Numbers  []string
	Slices   []slice
}

// read returns the series of a probe between two instants.
func (s *site) series(ctx context.Context, probe string, info ProbeInfo, from, to time.Time) (series, error) {
	out := series{From: from, To: to}
	if info.Interval <= 0 || to.Sub(from)/info.Interval <= rawMost {
		results, err := s.Store.Results(ctx, probe, from, to, rawMost)
		if err != nil {
			return out, err
		}
		out.Partial = len(results) == rawMost
		out.take(results, info.Interval)
		return out, nil
	}
	out.Hourly = true
	out.From = from.Truncate(time.Hour)
	hours, err := s.Store.Rollups(ctx, probe, out.From, to)
	if err != nil {
		return out, err
	}
	out.hours(hours)
	return out, nil
}

// hours makes a slice of each hour.
func (d *series) hours(all []store.Rollup) {
	for _, h := range all {
		c := slice{From: h.Hour, To: h.Hour.Add(time.Hour), Slowest: h.Max, Unused: int(h.Lagging)}
		for o, n := range h.Counts {
			c.Counts[o] = int(n)
		}
		if n := h.Counts[probes.Up] + h.Counts[probes.Degraded]; n > 0 {
			c.Typical = h.Sum / time.Duration(n)
		}
		d.Slices = append(d.Slices, c)
	}
}

// take sorts results into slices that are no shorter than the interval, so that a chart has no holes where none are.
func (d *series) take(results []probes.Result, interval time.Duration) {
	width := max(d.To.Sub(d.From)/sliceMost, interval*5/4, time.Second)
	for _, r := range results {
		for _, p := range r.Phases {
			if !slices.Contains(d.Phases, p.Name) && len(d.Phases) < maxPhases {
				d.Phases = append(d.Phases, p.Name)
			}
		}
		for _, n := range r.Numbers {
			if !slices.Contains(d.Numbers, n.Name) && len(d.Numbers) < numbersMax {
				d.Numbers = append(d.Numbers, n.Name)
			}
		}
	}
	for first := 0; first < len(results); {
		at := int64(results[first].Start.Sub(d.From) / width)
		end := first
		for end < len(results) && int64(results[end].Start.Sub(d.From)/width) == at {
			end++
		}
		from := d.From.Add(width * time.Duration(at))
		d.Slices = append(d.Slices, d.slice(from, from.Add(width), results[first:end]))
		first = end
	}
}

func (d *series) slice(from, to time.Time, results []probes.Result) slice {
	c := slice{From: from, To: to, Phases: make([]time.Duration, len(d.Phases)), Numbers: make([]float64, len(d.Numbers)), Has: make([]bool, len(d.Numbers))}
	var whole []time.Duration
	parts := make([][]time.Duration, len(d.Phases))
	for _, r := range results {
		for _, n := range r.Numbers {
			if at := slices.Index(d.Numbers, n.Name); at >= 0 {
				c.Numbers[at], c.Has[at] = n.Value, true
			}
		}
		if r.Lagging {
			c.Unused++
			continue
		}
		c.Counts[min(int(r.Outcome), len(c.Counts)-1)]++
		if r.Outcome != probes.Up && r.Outcome != probes.Degraded {
			continue
		}
		whole = append(whole, r.Duration)
		c.Slowest = max(c.Slowest, r.Duration)
		for k, name := range d.Phases {
			took, _ := r.Phase(name)
			parts[k] = append(parts[k], took)
		}
	}
	c.Typical = middle(whole)
	for k := range parts {
		c.Phases[k] = middle(parts[k])
	}
	return c
}

// middle returns the median; 0 of nothing.
func middle(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}
