package detect

import (
	"cmp"
	"math"
	"slices"
)

const (
	keepDays  = 28   // days that a baseline remembers
	matchDays = 7    // of those, the newest that are like a day, from which its hours are expected
	ownDays   = 5    // from so many on an hour is expected from that hour alone, before from its neighbours too
	fewest    = 4    // latencies in an hour that is used, of a probe that has so many
	baseHours = 12   // hours of a day that has a base
	lowest    = -.03 // least that a few days may say an hour stands above its day's base

	logUnit    = 2048. // of levels: one is 0.05 %
	spreadUnit = 400.  // of spreads: one is 0.25 %
	peakUnit   = 100.  // of peaks: one is 1 %
)

// The marks of an hour.
const (
	slowHour   = 1 << iota // for more than a quarter of it the probe was called slow
	touched                // for some of it
	unsureHour             // what was normal was a guess
	oddHour                // something in it stood above the limits of any other hour, whether it is usual or not
)

// hourly sums up one hour of one probe, in logarithms of milliseconds.
type hourly struct {
	level  int16 // median
	spread uint8 // median absolute deviation from it, times 1.4826: the standard deviation of normal noise
	count  uint8 // of latencies; 255 is that or more
	marks  uint8
	high   uint8        // the highest that the short window's median stood above what was expected, called slow or not
	peaks  [tests]uint8 // by test, the highest that its window stood above what was expected, while not called slow
}

func (h *hourly) used() bool          { return h.count > 0 }
func (h *hourly) is(marks uint8) bool { return h.marks&marks != 0 }
func (h *hourly) ms() float64         { return float64(h.level) / logUnit }

// day is the hours of one local date.
type day struct {
	date   int32 // days since 1970-01-01
	rest   bool
	base   float32 // low quartile of its hours' levels; NaN with too few hours
	hours  [24]hourly
	phases [][24]int16 // levels by phase, as baseline.phases names them; 0: unknown
}

// baseline is what one probe's latency was in the last 28 days, hour by hour.
//
// What an hour is expected to be has two parts that change at their own pace: the shape of the day (how far above the day's base
// each hour stands, the same for all working days and for all days of rest) and the base itself, which a new network path moves
// at once and for all hours alike.
type baseline struct {
	days     []day    // oldest first
	phases   []string // names, in the order in which they were seen
	accepted int32    // date*24+hour: a level that had lasted was taken as normal then; 0: never
	level    float32  // the base that was accepted
	hours    int32    // that were ever summed up
	changed  bool     // since Detector.Baseline
}

// row returns the day of that date, or nil.
func (b *baseline) row(date int32) *day {
	for i := len(b.days) - 1; i >= 0 && b.days[i].date >= date; i-- {
		if b.days[i].date == date {
			return &b.days[i]
		}
	}
	return nil
}

// put adds an hour. Of two hours with the same name, in the night that gains one, the fuller stays.
func (b *baseline) put(s slot, h hourly, phases []int16) {
	r := b.row(s.day)
	if r == nil {
		if len(b.days) > 0 && s.day < b.days[len(b.days)-1].date {
			return // the clock was set back; what is there already is better than nothing
		}
		if len(b.days) == keepDays {
			oldest := b.days[0].phases
			copy(b.days, b.days[1:])
			b.days[keepDays-1] = day{phases: oldest}
			clear(oldest)
		} else {
			b.days = append(b.days, day{})
		}
		r = &b.days[len(b.days)-1]
		r.date, r.rest = s.day, s.rest
	}
	if r.hours[s.hour].count > h.count {
		return
	}
	r.hours[s.hour] = h
	r.setBase()
	for len(r.phases) < len(b.phases) {
		r.phases = append(r.phases, [24]int16{})
	}
	for i, level := range phases {
		r.phases[i][s.hour] = level
	}
	b.hours++
	b.changed = true
}

// setBase finds the day's base in its hours, without those that were slow where the others are enough.
func (r *day) setBase() {
	var room [24]float64
	for _, slow := range [...]bool{false, true} {
		levels := room[:0]
		for i := range r.hours {
			if h := &r.hours[i]; h.used() && (slow || !h.is(slowHour)) {
				levels = append(levels, h.ms())
			}
		}
		if len(levels) >= baseHours {
			slices.Sort(levels)
			r.base = float32(quantile(levels, .25))
			return
		}
	}
	r.base = float32(math.NaN())
}

func (r *day) based() bool { return r.base == r.base }

// centre is how far above its day's base one hour is expected to stand, and on how many days that rests: none is unknown.
type centre struct {
	above float64
	days  int
}

// centre looks at days before date that are like it: the median of the newest seven.
//
// Hours in which the probe was called slow do not count, unless they are the rule: a rise that comes every working day must not
// be called slow for ever because it was called slow first. Where one weekday differs from its like every week, it is expected
// to differ again.
func (b *baseline) centre(date int32, hour int, rest bool) centre {
	var like [matchDays]*day
	n, good := 0, 0
	for i := len(b.days) - 1; i >= 0 && n < matchDays; i-- {
		r := &b.days[i]
		if r.date < date && r.rest == rest && r.based() && r.hours[hour].used() {
			like[n] = r
			n++
			if !r.hours[hour].is(slowHour) {
				good++
			}
		}
	}
	slow := good < 3 || 2*good < n
	var own, near [3 * matchDays]float64
	owns, nears := own[:0], near[:0]
	for _, r := range like[:n] {
		if h := &r.hours[hour]; !h.is(slowHour) || slow {
			owns = append(owns, h.ms()-float64(r.base))
		}
	}
	c := centre{days: len(owns)}
	if c.days == 0 {
		return c
	}
	for _, r := range like[:n] {
		for k := max(hour-1, 0); k <= min(hour+1, 23); k++ {
			if h := &r.hours[k]; h.used() && (!h.is(slowHour) || slow) {
				nears = append(nears, h.ms()-float64(r.base))
			}
		}
	}
	c.above = median(nears)
	if c.days >= ownDays || c.days >= 3 && above(owns, c.above) {
		c.above = median(owns)
	}
	if c.days < ownDays {
		c.above = max(c.above, lowest) // a day whose path changed at noon has a base that half of it lies below
	}
	return b.weekly(c, date, hour, rest)
}

// above reports whether all stand clearly above x.
func above(all []float64, x float64) bool {
	const clearly = .1
	return slices.Min(all) > x+clearly
}

// weekly returns what the same weekdays of the last four weeks say where all of them, two or more, stand above the others: a backup
// each Sunday is normal on a Sunday.
func (b *baseline) weekly(c centre, date int32, hour int, rest bool) centre {
	var room [keepDays / 7]float64
	same := room[:0]
	for i := len(b.days) - 1; i >= 0 && len(same) < cap(same); i-- {
		r := &b.days[i]
		if r.date < date && (date-r.date)%7 == 0 && r.rest == rest && r.based() && r.hours[hour].used() {
			same = append(same, r.hours[hour].ms()-float64(r.base))
		}
	}
	if len(same) >= 2 && above(same, c.above) {
		c.above, c.days = median(same), len(same)
	}
	return c
}

// usual returns how far above the expected an hour stands now and then as a rule: it was odd on most of the newest days that are
// like it, or on the same weekdays of some weeks. 0: it does not. A job of half an hour each night is normal in its hour, though
// the hour's median is not.
func (b *baseline) usual(date int32, hour int, rest bool) float64 {
	const more = 20 // of peakUnit: a fifth more than usual is still usual
	var room, weekRoom [keepDays]uint8
	odd, weekly := room[:0], weekRoom[:0]
	like, weeks := 0, 0
	for i := len(b.days) - 1; i >= 0; i-- {
		r := &b.days[i]
		h := &r.hours[hour]
		if r.date >= date || r.rest != rest || !h.used() {
			continue
		}
		if like < matchDays {
			like++
			if h.is(oddHour) {
				odd = append(odd, h.high)
			}
		}
		if (date-r.date)%7 == 0 {
			weeks++
			if h.is(oddHour) {
				weekly = append(weekly, h.high)
			}
		}
	}
	switch {
	case len(odd) >= 3 && 2*len(odd) > like:
		return (float64(median(odd)) + more) / peakUnit
	case weeks >= 2 && len(weekly) == weeks:
		return (float64(median(weekly)) + more) / peakUnit
	}
	return 0
}

// back calls f with every used hour before s, the newest first, and how many hours ago it was, until f returns false.
func (b *baseline) back(s slot, f func(r *day, hour, ago int) bool) {
	for i := len(b.days) - 1; i >= 0; i-- {
		r := &b.days[i]
		if r.date > s.day {
			continue
		}
		last := 23
		if r.date == s.day {
			last = s.hour - 1
		}
		for hour := last; hour >= 0; hour-- {
			if r.hours[hour].used() && !f(r, hour, int(s.day-r.date)*24+s.hour-hour) {
				return
			}
		}
	}
}

// shape returns how far above its day's base an hour was expected to stand.
func (b *baseline) shape(r *day, hour int) (float64, bool) {
	if c := b.centre(r.date, hour, r.rest); c.days > 0 {
		return c.above, true
	}
	// Of a kind of day that was not seen before, hours in which the other kind is near its base are near it too.
	c := b.centre(r.date, hour, !r.rest)
	return c.above, c.days > 0 && c.above < .1
}

// like returns how many days before date, of those that have a base, are days of rest or not.
func (b *baseline) like(date int32, rest bool) (n int) {
	for i := range b.days {
		if r := &b.days[i]; r.date < date && r.rest == rest && r.based() {
			n++
		}
	}
	return n
}

// based returns how many days have a base.
func (b *baseline) based() (n int) {
	for i := range b.days {
		if b.days[i].based() {
			n++
		}
	}
	return n
}

// phaseLevel returns what a phase is expected to take at an hour, as the logarithm of milliseconds: the median of the newest days
// that are like it, or of the newest hours of any where there are none; false: unknown.
func (b *baseline) phaseLevel(phase int, s slot) (float64, bool) {
	var room [matchDays]float64
	levels := room[:0]
	for i := len(b.days) - 1; i >= 0 && len(levels) < matchDays; i-- {
		r := &b.days[i]
		if r.date < s.day && r.rest == s.rest && phase < len(r.phases) && r.phases[phase][s.hour] != 0 && !r.hours[s.hour].is(slowHour) {
			levels = append(levels, float64(r.phases[phase][s.hour])/logUnit)
		}
	}
	for i := len(b.days) - 1; i >= 0 && len(levels) == 0; i-- {
		r := &b.days[i]
		for h := 23; h >= 0 && phase < len(r.phases) && len(levels) < 3; h-- {
			if r.phases[phase][h] != 0 && !r.hours[h].is(slowHour) {
				levels = append(levels, float64(r.phases[phase][h])/logUnit)
			}
		}
	}
	if len(levels) == 0 {
		return 0, false
	}
	return median(levels), true
}

// median returns the median of v, which it sorts; v is not empty.
func median[T cmp.Ordered](v []T) T {
	slices.Sort(v)
	return v[(len(v)-1)/2]
}

// quantile returns the q-quantile of sorted v, which is not empty.
func quantile(v []float64, q float64) float64 {
	x := q * float64(len(v)-1)
	i := int(x)
	if i+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[i] + (x-float64(i))*(v[i+1]-v[i])
}

// histogram counts small numbers, so that quantiles of hundreds cost no sorting.
type histogram struct {
	n     int
	count [256]uint16
}

func (h *histogram) add(x uint8) { h.n++; h.count[x]++ }

// quantile returns the q-quantile; 0 where nothing was added.
func (h *histogram) quantile(q float64) float64 {
	rank := q * float64(h.n-1)
	below, before := 0, 0.
	for x, c := range h.count {
		if c == 0 {
			continue
		}
		// Equal numbers are spread over their unit, so that quantiles move smoothly.
		if float64(below)+float64(c) > rank {
			return max(float64(x)-.5, before) + (rank-float64(below)+.5)/float64(c)
		}
		below += int(c)
		before = float64(x)
	}
	return 0
}

// clamped returns x as a count of units in 0 to 255.
func clamped(x, unit float64) uint8 { return uint8(min(max(math.Round(x*unit), 0), 255)) }

// quantised returns a logarithm as a level.
func quantised(x float64) int16 {
	q := min(max(math.Round(x*logUnit), math.MinInt16), math.MaxInt16)
	if q == 0 {
		q = 1 // 0 is unknown
	}
	return int16(q)
}
