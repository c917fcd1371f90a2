package detect

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// margin is the share of a limit by which a number must come back past it before its finding ends, so that a value on the limit
// does not come and go.
const margin = 0.1

// absentLong is how long answered results must have been without a number before what it showed is over: it is measured no more.
const absentLong = 24 * time.Hour

// Threshold is the limit of one number of a probe. A number that reaches it has passed it.
type Threshold struct {
	probes.NumberKind
	Limit float64
}

// release returns the value past which the number must come back.
func (t *Threshold) release() float64 {
	back := margin * math.Abs(t.Limit)
	if t.Limit == 0 && !math.IsNaN(t.Full) {
		back = margin * math.Abs(t.Full)
	}
	if t.Low {
		return t.Limit + back
	}
	return t.Limit - back
}

// released reports whether a value has come back far enough.
func (t *Threshold) released(value float64) bool {
	if t.Low {
		return value > t.release() || t.release() == t.Limit && !t.Passed(value, t.Limit)
	}
	return value < t.release() || t.release() == t.Limit && !t.Passed(value, t.Limit)
}

// Gauge is the machine of one number: its Streak is confirmed by as many results in a row at the limit, quick re-probes included,
// as an outage, and ended by as many in a row that are past the release; in between the finding lasts. The zero value has seen
// nothing.
type Gauge struct {
	Streak

	At     time.Time `json:"at,omitzero"` // start of the newest run that measured it
	Value  float64   `json:"value"`       // then
	Of     string    `json:"of,omitempty"`
	Absent int       `json:"absent,omitempty"` // answered results in a row without it, while confirmed
	Told   Told      `json:"told,omitzero"`    // what the finding's explanation rests on
	Trend  Trend     `json:"trend,omitzero"`
}

// Told is what an explanation was made of: it is made anew when the value has moved by a percent of the limit, or every two
// hours.
type Told struct {
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	Slot  int64   `json:"slot"`
}

// watch sets the limits of the probe's numbers. What the state says of any other number is
// dropped, its finding too.
func (d *Detector) watch(thresholds []Threshold) {
	d.numbered = thresholds
	limited := make(map[string]bool, len(thresholds))
	for _, t := range thresholds {
		limited[t.Name] = true
	}
	maps.DeleteFunc(d.s.Numbers, func(name string, g *Gauge) bool { return g == nil || !limited[name] })
}

// numbers feeds the machines of the probe's numbers with one answered result; they are independent of each other.
func (d *Detector) numbers(r *probes.Result, v *Verdict) {
	for i := range d.numbered {
		t := &d.numbered[i]
		g := d.s.Numbers[t.Name]
		measured := false
		for n := range r.Numbers {
			if r.Numbers[n].Name == t.Name {
				measured = true
				if g == nil {
					g = d.gauge(t.Name)
				}
				d.number(t, g, &r.Numbers[n], r, v)
			}
		}
		if !measured && g != nil {
			d.absent(g, r, v)
		}
	}
}

func (d *Detector) gauge(name string) *Gauge {
	if d.s.Numbers == nil {
		d.s.Numbers = map[string]*Gauge{}
	}
	d.s.Numbers[name] = new(Gauge)
	return d.s.Numbers[name]
}

// number feeds one machine with one measured value. A run that began before the newest one says nothing any more.
func (d *Detector) number(t *Threshold, g *Gauge, n *probes.Number, r *probes.Result, v *Verdict) {
	if r.Start.Before(g.At) || math.IsNaN(n.Value) || math.IsInf(n.Value, 0) {
		return
	}
	g.At, g.Value, g.Of, g.Absent = r.Start, n.Value, n.Of, 0
	if !r.Recheck && !t.Countdown {
		g.Trend.add(r.Start, n.Value) // re-probes come in bursts: they would weigh more than time does
	}
	switch {
	case t.Passed(n.Value, t.Limit):
		confirms, rechecks := g.bad(*r, 1+d.set.Rechecks)
		v.Recheck = max(v.Recheck, rechecks)
		if confirms {
			g.confirm(incident.Finding{Probe: d.probe, Kind: incident.Threshold, Reason: probes.Capacity, Since: g.FirstBad, At: r.End()})
			g.tell(t)
			v.Started = append(v.Started, *g.Finding)
		}
	case g.confirmed() && !t.released(n.Value):
		g.Good = 0
	default:
		ended, rechecks := g.good(*r, max(1, d.set.Recover))
		v.Recheck = max(v.Recheck, rechecks)
		if ended != nil {
			v.Ended = append(v.Ended, *ended)
		}
	}
	if g.Finding != nil && g.outdated(t) {
		g.tell(t)
	}
}

// absent notes an answered result without the number: a row of results is broken, and what is no longer measured, because the
// server shows no certificate any more for example, must not last for ever.
func (d *Detector) absent(g *Gauge, r *probes.Result, v *Verdict) {
	if r.Start.Before(g.At) {
		return
	}
	g.forget()
	if g.Finding == nil {
		return
	}
	g.Absent++
	if g.Absent < max(1, d.set.Recover) || r.Start.Sub(g.At) < absentLong {
		return
	}
	g.Finding.Ended = r.Start
	v.Ended = append(v.Ended, *g.Finding)
	*g = Gauge{}
}

// outdated reports whether the explanation says something else than what is measured now.
func (g *Gauge) outdated(t *Threshold) bool {
	return g.Told.Limit != t.Limit || g.Told.Slot != slotOf(g.At) || math.Abs(g.Told.Value-g.Value) > math.Abs(t.Limit)/100
}

// tell writes the finding's explanation.
func (g *Gauge) tell(t *Threshold) {
	g.Told = Told{Value: g.Value, Limit: t.Limit, Slot: slotOf(g.At)}
	of, past := "", "below"
	if g.Of != "" {
		of = " (" + g.Of + ")"
	}
	if t.Low {
		past = "above"
	}
	g.Finding.Explanation = fmt.Sprintf("%s%s is %s, limit %s, reached since %s; %s; good again %s %s", t.Name, of, t.Format(g.Value), t.Format(t.Limit),
		g.Finding.Since.UTC().Format("2006-01-02 15:04:05 UTC"), g.outlook(t), past, t.Format(t.release()))
}

// outlook says when the resource will be exhausted, as far as the data tell.
func (g *Gauge) outlook(t *Threshold) string {
	if t.Countdown {
		return countdown(g.At, g.Value)
	}
	return g.Trend.outlook(&t.NumberKind, g.At, g.Value)
}

// countdown says when days that pass by themselves are over.
func countdown(at time.Time, days float64) string {
	const century = 36500
	switch {
	case days > century:
		return "it ends in more than a hundred years"
	case days < -century:
		return "it ended more than a hundred years ago"
	}
	end := at.Add(time.Duration(days * 24 * float64(time.Hour)))
	if days <= 0 {
		return "it ended on " + date(end)
	}
	return "it ends on " + date(end) + ", in " + away(end.Sub(at))
}

// Lasting returns the findings of a kind that last. Of thresholds there may be several: what the probe itself reports first, then
// those of its numbers in the order of their limits.
func (d *Detector) Lasting(kind incident.FindingKind) iter.Seq[*incident.Finding] {
	return func(yield func(*incident.Finding) bool) {
		give := func(f *incident.Finding) bool { return f == nil || yield(f) }
		switch kind {
		case incident.Outage:
			give(d.s.Outage.Finding)
		case incident.MomentaryOutages:
			give(d.s.Momentary)
		case incident.Regression:
			give(d.s.Regression)
		case incident.Functional:
			give(d.s.Functional.Finding)
		case incident.Threshold:
			if !give(d.s.Threshold.Finding) {
				return
			}
			for i := range d.numbered {
				if g := d.s.Numbers[d.numbered[i].Name]; g != nil && !give(g.Finding) {
					return
				}
			}
		}
	}
}

// Beyond reports whether a number with a finding, when it was measured last, had not come back past its limit.
func (d *Detector) Beyond() bool {
	for i := range d.numbered {
		t := &d.numbered[i]
		if g := d.s.Numbers[t.Name]; g != nil && g.Finding != nil && !t.released(g.Value) {
			return true
		}
	}
	return false
}

// streaks returns every machine, for what is done to all of them.
func (d *Detector) streaks() []*Streak {
	all := []*Streak{&d.s.Outage, &d.s.Threshold, &d.s.Functional}
	for _, g := range d.s.Numbers {
		all = append(all, &g.Streak)
	}
	return all
}

// rewindNumbers makes the measurements fit a clock that was set back to now.
func (d *Detector) rewindNumbers(now time.Time) {
	for _, g := range d.s.Numbers {
		if g.At.After(now) {
			g.At = now
		}
		g.Trend.rewind(now)
	}
}

func date(t time.Time) string { return t.UTC().Format("Mon 2 Jan 2006") }

// away prints how far off an instant is: in days, or in hours when it is near.
func away(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d h", int(math.Round(d.Hours())))
	}
	return fmt.Sprintf("%d days", int(math.Round(d.Hours()/24)))
}

// perDay prints a rate with two significant digits.
func perDay(k *probes.NumberKind, rate float64) string {
	rate = math.Abs(rate)
	if rate >= 10 {
		return k.Format(math.Round(rate))
	}
	return strings.TrimSpace(strconv.FormatFloat(rate, 'g', 2, 64) + " " + k.Unit)
}
