package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// Measured is what was measured in a time: the roll-ups of every hour that it touches, and single results where they are still
// there. It is not safe for concurrent use.
type Measured struct {
	from, to time.Time // what is counted
	zone     *time.Location
	probes   map[string]*measured
}

// NewMeasured returns a Measured of the probes that has nothing yet.
func NewMeasured(all []Probe, from, to time.Time, zone *time.Location) *Measured {
	m := &Measured{from: from, to: to, zone: zone, probes: map[string]*measured{}}
	paces, fastest := map[string]time.Duration{}, time.Duration(0)
	for i := range all {
		p := &all[i]
		step := p.pace(from, zone)
		if p.Component != "" && p.Deciding && (paces[p.Component] == 0 || step < paces[p.Component]) {
			paces[p.Component] = step
		}
		if fastest == 0 || step < fastest {
			fastest = step
		}
	}
	for i := range all {
		p := &all[i]
		m.probes[p.ID] = &measured{
			Probe: p, step: p.pace(from, zone), pace: cmp.Or(paces[p.Component], fastest), hours: map[int64]*hourly{}, rolled: map[int64]store.Rollup{},
		}
	}
	return m
}

// pace returns how far two runs lie apart.
func (p *Probe) pace(at time.Time, zone *time.Location) time.Duration {
	next := p.next(at, zone)
	return max(p.next(next, zone).Sub(next), leastStep)
}

// Bounds returns which results and roll-ups are wanted: whole hours, and before the beginning those that still speak for it.
func (m *Measured) Bounds() (from, to time.Time) {
	longest := time.Hour
	for _, p := range m.probes {
		longest = max(longest, min(2*p.step, 8*24*time.Hour))
	}
	return m.from.Add(-longest).Truncate(time.Hour), m.to.Add(time.Hour - 1).Truncate(time.Hour)
}

// measured is what was measured by one probe.
type measured struct {
	*Probe
	step, pace time.Duration // between its runs; between those of its component's most frequent deciding probe
	hours      map[int64]*hourly
	rolled     map[int64]store.Rollup
	ran, saw   cover // by its own step
	often      cover // saw, by pace: for how long a run speaks for the component
	alive      cover // ran, by pace
}

// hourly is what single results say of an hour.
type hourly struct {
	results                int64 // all of them, to tell whether they are complete
	runs, unknown, lagging int64 // in the time that is counted
	took                   []time.Duration
}

// AddHour takes in a roll-up; those of probes that are not known are left out.
func (m *Measured) AddHour(r store.Rollup) {
	if p := m.probes[r.Probe]; p != nil {
		p.rolled[hourOf(r.Hour)] = r
	}
}

// Add takes in a single result; those of probes that are not known are left out.
func (m *Measured) Add(r probes.Result) {
	p := m.probes[r.Probe]
	if p == nil {
		return
	}
	h := p.hours[hourOf(r.Start)]
	if h == nil {
		h = &hourly{}
		p.hours[hourOf(r.Start)] = h
	}
	h.results++
	saw := r.Outcome != probes.Unknown && !r.Lagging
	p.speak(r.Start, saw, m.zone)
	if r.Start.Before(m.from) || !r.Start.Before(m.to) {
		return
	}
	h.runs++
	switch {
	case r.Lagging:
		h.lagging++
	case r.Outcome == probes.Unknown:
		h.unknown++
	case r.Outcome == probes.Up, r.Outcome == probes.Degraded:
		h.took = append(h.took, r.Duration)
	}
}

// speak notes for how long a run speaks: until the next one is due, and a tenth of that, since no run begins to the instant.
func (p *measured) speak(start time.Time, saw bool, zone *time.Location) {
	step := p.step
	if p.Schedule != nil {
		step = max(p.next(start, zone).Sub(start), leastStep)
	}
	own := Span{start, start.Add(step + step/10)}
	often := Span{start, earlier(own.To, start.Add(p.pace+p.pace/10))}
	p.ran.add(own)
	p.alive.add(often)
	if saw {
		p.saw.add(own)
		p.often.add(often)
	}
}

func hourOf(t time.Time) int64 { return t.Unix() / int64(time.Hour/time.Second) }

func hourSpan(h int64) Span {
	from := time.Unix(h*3600, 0).UTC()
	return Span{from, from.Add(time.Hour)}
}

// Where the figures of an hour come from.
const (
	FromRuns  = "runs"     // every single result of it is there
	FromHours = "roll-ups" // it is known by its roll-up only
)

// complete reports whether every result that an hour ever had is there.
func (p *measured) complete(h int64) bool {
	r, rolled := p.rolled[h]
	if !rolled {
		return true
	}
	return p.hours[h] != nil && p.hours[h].results >= r.Counts[0]+r.Counts[1]+r.Counts[2]+r.Counts[3]+r.Lagging
}

// sight is in which time a probe ran and saw.
type sight struct{ ran, saw, alive, often spans }

// sight returns when the probe was measured: to the run where single results are there, by the hour where they are not.
func (p *measured) sight(m *Measured) sight {
	within := unite(Span{m.from, m.to})
	var rolled []Span
	var ran, saw, alive, often []Span
	for _, h := range slices.Sorted(maps.Keys(p.rolled)) {
		if p.complete(h) {
			continue
		}
		r := p.rolled[h]
		rolled = append(rolled, hourSpan(h))
		known := r.Counts[probes.Up] + r.Counts[probes.Degraded] + r.Counts[probes.Down]
		all := known + r.Counts[probes.Unknown] + r.Lagging
		ran, saw = append(ran, p.share(h, all, p.step, m.to)), append(saw, p.share(h, known, p.step, m.to))
		alive, often = append(alive, p.share(h, all, p.pace, m.to)), append(often, p.share(h, known, p.pace, m.to))
	}
	hours := unite(rolled...)
	both := func(c *cover, byHour []Span) spans { return c.spans().less(hours).or(unite(byHour...)).and(within) }
	return sight{ran: both(&p.ran, ran), saw: both(&p.saw, saw), alive: both(&p.alive, alive), often: both(&p.often, often)}
}

// share returns which part of an hour so many runs speak for, taken from its beginning. One run is forgiven: it may have fallen
// into the hour beside.
func (p *measured) share(h, runs int64, speaks time.Duration, until time.Time) Span {
	hour := hourSpan(h)
	if runs == 0 {
		return Span{hour.From, hour.From}
	}
	speaks = min(speaks, p.step)
	if p.step >= time.Hour { // few runs an hour, at instants that are not known
		return Span{hour.From, hour.From.Add(speaks + speaks/10)}
	}
	return Span{hour.From, earlier(hour.From.Add(time.Duration(runs+1)*speaks), earlier(hour.To, until))}
}

// hour is what is known of an hour of a probe.
type hour struct {
	at                     time.Time
	runs, unknown, lagging int64
	timed                  int64 // runs that were answered
	sum, least, most       time.Duration
	took                   []time.Duration // sorted; nil where only the histogram is there
	histogram              store.Histogram
	source                 string
}

// known reports whether percentiles of the hour can be told.
func (h *hour) known() bool { return h.took != nil || h.histogram.N() == h.timed }

// list returns what is known of every hour with a run, in order. Of an hour that lies partly in the time, roll-ups count where the
// hour begins in it.
func (p *measured) list(m *Measured) []hour {
	var all []hour
	keys := map[int64]bool{}
	for h := range p.rolled {
		keys[h] = true
	}
	for h := range p.hours {
		keys[h] = true
	}
	for _, h := range slices.Sorted(maps.Keys(keys)) {
		at := hourSpan(h).From
		if p.complete(h) {
			one := p.hours[h]
			if one == nil || one.runs == 0 {
				continue
			}
			k := hour{at: at, runs: one.runs, unknown: one.unknown, lagging: one.lagging, timed: int64(len(one.took)), source: FromRuns}
			k.took = slices.Sorted(slices.Values(one.took))
			for _, d := range k.took {
				k.sum += d
			}
			if k.timed > 0 {
				k.least, k.most = k.took[0], k.took[k.timed-1]
			}
			all = append(all, k)
			continue
		}
		r := p.rolled[h]
		if at.Before(m.from) || !at.Before(m.to) {
			continue
		}
		k := hour{at: at, unknown: r.Counts[probes.Unknown], lagging: r.Lagging, timed: r.Counts[probes.Up] + r.Counts[probes.Degraded], source: FromHours}
		k.runs = k.timed + r.Counts[probes.Down] + k.unknown + k.lagging
		k.sum, k.least, k.most, k.histogram = r.Sum, r.Min, r.Max, r.Latency
		all = append(all, k)
	}
	return all
}
