package detect

import (
	"fmt"
	"math"
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

// latencies judges a result against the absolute limits and the baseline. It never says that anything is down.
func (d *Detector) latencies(r probes.Result, v *Verdict) {
	if r.Recheck {
		return // re-probes come in bursts: they would weigh more than time does
	}
	over, held, judged := d.absolute(r)
	var s step
	if ms, phase := primary(&r); ms > 0 && !d.unlearnt {
		s = d.latency.observe(r.Start.Unix(), ms, r.Phases, phase)
		d.read(s)
	}
	switch {
	case over != nil:
		d.s.Limited = true
	case judged && !held:
		d.s.Limited = false
	}
	d.regression(r, over, judged || s.judged, s, v)
}

// primary returns the latency that is judged against the baseline, in milliseconds: an ICMP probe's round trip, any other kind's
// whole run.
func primary(r *probes.Result) (ms float64, phase string) {
	took, phase := Judged(r)
	return milliseconds(took), phase
}

// Judged returns the latency of a result that is judged against the baseline, and which phase it is.
func Judged(r *probes.Result) (took time.Duration, phase string) {
	for i := range r.Phases {
		if p := &r.Phases[i]; p.Name == probes.PhaseRTT {
			return p.Duration, p.Name
		}
	}
	return r.Duration, probes.PhaseTotal
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// absolute adds a result to the windows of the absolute limits. It returns a window over its limit, whether one is not far
// enough below to end what is going on, and whether any could be judged.
func (d *Detector) absolute(r probes.Result) (over *measured, held, judged bool) {
	reported := len(d.limits) == 0
	for _, l := range d.limits {
		took, ok := r.Phase(l.Phase)
		if !ok {
			continue
		}
		reported = true
		m, ok := d.measure(l, Sample{At: r.Start, D: took})
		if !ok {
			continue
		}
		judged = true
		switch {
		case m.median > l.Max:
			over = &measured{}
			*over = m
		case float64(m.median) > released*float64(l.Max):
			held = true
		}
	}
	if d.s.Unmeasured++; reported {
		d.s.Unmeasured = 0
	}
	if d.s.Unmeasured > d.set.LimitPoints {
		d.s.Windows, d.s.Unmeasured = nil, 0 // a phase that is not there any more must not hold anything for ever
		return nil, false, true
	}
	return over, held, judged
}

// regression moves the finding that stands for the absolute limits and the baseline together.
func (d *Detector) regression(r probes.Result, over *measured, judged bool, s step, v *Verdict) {
	a := &d.latency.alarm
	slow := a.on && !a.isQuiet()
	f := d.s.Regression
	switch {
	case f == nil && (over != nil || slow):
		f = &incident.Finding{Probe: d.probe, Kind: incident.Regression, Reason: probes.Slow, At: r.End()}
		if slow {
			f.Since = time.Unix(a.onset, 0).UTC()
		}
		if over != nil && (!slow || over.since.Before(f.Since)) {
			f.Since = over.since
		}
		f.Again, f.Slow = f.Since, r.Start
		d.s.Regression, d.said = f, time.Time{}
		d.say(f, r.Start, over, slow)
		v.Started = append(v.Started, *f)
	case f == nil:
	case over != nil || slow:
		if !f.Quiet.IsZero() {
			f.Again = r.Start
			if again := time.Unix(a.again, 0).UTC(); slow && again.After(f.Quiet) {
				f.Again = again
			}
			f.Quiet, v.Moved, d.said = time.Time{}, true, time.Time{}
		}
		f.Slow = r.Start
		if over == nil {
			f.Slow = time.Unix(a.slow, 0).UTC()
		}
		d.say(f, r.Start, over, slow)
	case d.s.Limited:
	case a.on:
		if f.Quiet.IsZero() {
			f.Quiet, v.Moved = time.Unix(a.still, 0).UTC(), true
			if f.Quiet.Before(f.Again) {
				f.Quiet = f.Again
			}
			f.Explanation += "; fast again since " + clock(f.Quiet) + ", watched on because short slow stretches come again"
		}
	case judged:
		f.Ended = r.Start
		if !f.Quiet.IsZero() {
			f.Ended = f.Quiet
		}
		if s.accepted {
			f.Ended, f.Accepted = r.Start, true
			f.Explanation += fmt.Sprintf("; this has lasted for %d h and is taken as normal from now on", acceptAfter)
		}
		v.Ended = append(v.Ended, *f)
		d.s.Regression = nil
	}
}

// sayEvery is how often a regression that lasts is put into new words, at the most.
const sayEvery = time.Minute

// say makes a finding say what is measured now.
func (d *Detector) say(f *incident.Finding, now time.Time, over *measured, slow bool) {
	if !d.said.IsZero() && now.Sub(d.said) < sayEvery {
		return
	}
	d.said = now
	f.Explanation, f.Latency = "", nil
	if slow {
		f.Latency = d.latency.explain()
		f.Explanation = Explain(f.Latency, time.Unix(d.latency.last, 0))
	}
	if over != nil {
		if f.Explanation != "" {
			f.Explanation += "; "
		}
		f.Explanation += over.explain()
	}
}

// read notes how the newest latency stands.
func (d *Detector) read(s step) {
	if !s.judged {
		return
	}
	d.reading.Value = fromLog(s.value)
	if s.known {
		d.reading.Expected = fromLog(s.expected)
		d.reading.Limit = fromLog(s.expected + d.latency.n.limits[midMedian])
	}
	if s.change != 0 {
		d.reading.Change = time.Unix(s.change, 0).UTC()
	}
}

// fromLog turns the logarithm of milliseconds into a duration.
func fromLog(x float64) time.Duration { return time.Duration(math.Exp(x) * float64(time.Millisecond)) }

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

// measure adds a sample to the limit's window and judges it; false while there are too few samples.
func (d *Detector) measure(l Limit, s Sample) (m measured, ok bool) {
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
		return measured{}, false
	}
	m = measured{limit: l, total: len(window), span: s.At.Sub(window[0].At)}
	var room [maxSamples]time.Duration
	took := room[:0]
	for _, w := range window {
		took = append(took, w.D)
		if w.D > l.Max {
			if m.over == 0 {
				m.since = w.At
			}
			m.over++
		}
	}
	m.median = median(took)
	return m, true
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
