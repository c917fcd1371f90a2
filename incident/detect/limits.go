package detect

import (
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// maxSamples bounds the window of one limit, whatever the interval.
const maxSamples = 120

// released is the share of a limit below which a median must fall before a regression ends, so that a value on the limit does
// not come and go.
const released = 0.9

// Sample is one latency in a window.
type Sample struct {
	At time.Time     `json:"t"`
	D  time.Duration `json:"d"`
}

// latencies judges the absolute limits over a window. It never says that anything is down.
func (d *Detector) latencies(r probes.Result, v *Verdict) {
	if r.Recheck || len(d.limits) == 0 {
		return // re-probes come in bursts: they would weigh more than time does
	}
	judged := false
	var over, held *measured
	for _, l := range d.limits {
		took, ok := r.Phase(l.Phase)
		if !ok {
			continue
		}
		m := d.measure(l, Sample{At: r.Start, D: took})
		if m == nil {
			continue
		}
		judged = true
		switch {
		case m.median > l.Max:
			over = m
		case float64(m.median) > released*float64(l.Max):
			held = m
		}
	}
	switch f := d.s.Regression; {
	case f == nil && over != nil:
		d.s.Regression = &incident.Finding{
			Probe: d.probe, Kind: incident.Regression, Reason: probes.Slow,
			Since: over.since, At: r.End(), Explanation: over.explain(),
		}
		v.Started = append(v.Started, *d.s.Regression)
	case f != nil && over != nil:
		f.Explanation = over.explain()
	case f != nil && held == nil && judged:
		f.Ended = r.Start
		v.Ended = append(v.Ended, *f)
		d.s.Regression = nil
	}
}

// measured is a window judged against its limit.
type measured struct {
	limit       Limit
	median      time.Duration
	over, total int
	since       time.Time // first sample over the limit in the window
	span        time.Duration
}

func (m *measured) explain() string {
	return fmt.Sprintf("%s: median of the last %d runs (%s) is %s, limit %s; %d of %d over it, since %s",
		m.limit.Phase, m.total, short(m.span), short(m.median), short(m.limit.Max), m.over, m.total, clock(m.since))
}

// measure adds a sample to the limit's window and judges it; nil while there are too few samples.
func (d *Detector) measure(l Limit, s Sample) *measured {
	window := append(d.s.Windows[l.Phase], s)
	oldest := s.At.Add(-d.set.LimitWindow)
	// A probe that runs seldom is judged on its newest samples, however old.
	drop := 0
	for n := len(window); n-drop > d.set.LimitPoints && (window[drop].At.Before(oldest) || n-drop > maxSamples); drop++ {
	}
	window = slices.Delete(window, 0, drop)
	if d.s.Windows == nil {
		d.s.Windows = map[string][]Sample{}
	}
	d.s.Windows[l.Phase] = window
	if len(window) < d.set.LimitPoints {
		return nil
	}
	m := &measured{limit: l, total: len(window), span: s.At.Sub(window[0].At)}
	sorted := make([]time.Duration, len(window))
	for i, w := range window {
		sorted[i] = w.D
		if w.D > l.Max {
			if m.over == 0 {
				m.since = w.At
			}
			m.over++
		}
	}
	slices.Sort(sorted)
	m.median = sorted[(len(sorted)-1)/2]
	return m
}

// short rounds a duration to what a person reads.
func short(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(100 * time.Microsecond).String()
	}
}

// clock prints an instant for an explanation; texts for people add their own zone.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }
