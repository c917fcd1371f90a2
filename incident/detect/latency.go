package detect

import (
	"math"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// tests is how many questions are asked of the windows; a latency is slow when one of them is answered with yes.
const tests = 4

// The tests, from the one that is quickest and wants most to the one that is slowest and wants least. slowCreep is none of a
// window: it compares days.
const (
	inARow    = iota // the last four all stand above
	mostShort        // six of the last seven do
	midMedian        // the median of the last 20 does
	longMean         // the mean of the middle half of the last 60 does
	slowCreep
)

// How a test judges. The figures were found on public RIPE Atlas traces and on series made of their noise; docs/detection.md
// shows what each costs and brings.
var judges = [tests]struct {
	floor float64 // smallest ratio that matters to a person
	cap   float64 // largest that is ever asked for, so that noise never hides a doubling
	young float64 // smallest while what is normal is being learnt
	own   float64 // how far above its own usual peaks, in scales of their distribution
	size  int     // of its window
}{
	inARow:    {1.7, 8, 2.5, 14, 4},
	mostShort: {1.4, 1.85, 2, 10, shortWindow},
	midMedian: {1.215, 1.6, 1.6, 8.5, midWindow},
	longMean:  {1.18, 1.4, 1.5, 4, longWindow},
}

const (
	sigmas       = 3.   // standard errors of a window's median that a limit keeps off
	slopeShare   = .35  // of the hourly change that is expected anyway, added to the limits: the hour may come a little early
	guessed      = 1.15 // factor on the limits while the kind of day has not been seen yet
	fewHours     = 10.  // hours by whose share the own peaks are raised, while there are few of them
	creepRatio   = 1.18 // above the base of the last days
	warmHours    = 6    // before that nothing is judged
	youngHours   = 24
	creepBases   = 7        // days whose bases a creep is compared with
	creepHours   = 3        // newest ones, in which a creep must stand
	acceptAfter  = 24       // hours after which a level that lasts is taken as normal
	sampleEvery  = 20       // seconds that lie between samples at the least
	gapMost      = 10       // sample intervals without a sample after which the windows say nothing
	gapLeast     = 1800     // seconds that such a gap has at the least
	quietShort   = 40       // good samples that end what was short: it is likely to come again
	quietLong    = 5        // and what was long
	quietMost    = 3 * 3600 // seconds of a hold, at the most
	fewGaps      = 5        // between samples, whose median is the usual one
	longActive   = 40       // samples
	recentHours  = 24       // hours from which the base is taken
	recentWithin = 72       // hours from which the constant is taken, and for which an accepted level stands in for a base
	stepMost     = 1.6      // largest rise of one hour above all before that is taken for a day's beginning
	peakHours    = 336      // hours whose peaks count
	mostSamples  = 180      // in an hour
)

// latency judges the latency of one probe against what is normal for it. Its zero value has learnt nothing.
type latency struct {
	calendar  Calendar
	slowRatio float64       // Settings.SlowRatio
	slowBy    time.Duration // Settings.SlowBy
	base      baseline
	win       windows
	changes   Changes
	phases    []phase // as baseline.phases names them
	phase     string  // that is judged

	hour    slot // that is being filled; start 0: none
	samples []int16
	peaks   [tests]float64
	slow    int // samples of the hour that were called slow

	bin  [8]float32 // latencies since the last sample
	bins int
	last int64          // Unix seconds of the newest sample
	gaps [fewGaps]int64 // seconds between the newest ones, the newest last; 0: not known
	high float64        // of the hour: the highest that the short window's median stood above what was expected
	odd  int            // samples of the hour that stood above the limits of any other hour

	n normal // of the hour; derived

	alarm alarm
}

// phase is one part of the latency, kept to tell where the time went.
type phase struct {
	ring    [midWindow]int16
	next, n int
	samples []int16 // of the hour, every few
}

// normal is what is expected in one hour, derived from the baseline alone.
type normal struct {
	around       [3]centre // of the hour before, the hour, the hour after
	base         float64   // NaN: unknown
	drift        float64   // of the base above that of the last days; 0 where that is unknown
	reference    float64   // median of the bases of the last days
	hasReference bool
	creep        float64 // of the newest hours together, shape taken off, above the reference; -Inf where that is not known
	constant     float64 // expected level while young
	sigma        float64
	own          [tests]float64 // own peaks extrapolated; 0: not known yet
	limits       [tests]float64
	plain        [tests]float64 // limits without what is usual at this hour only
	by           [tests]term    // what set the limit
	warming      bool           // too little is known to judge at all
	young        bool           // what is normal is not known well
	unsure       bool           // this kind of day was not seen before
}

// term is what sets a limit.
type term uint8

const (
	byFloor term = iota
	byNoise
	byHistory
	byCap
	byLearning
	byUsual
)

// step is what one sample changed.
type step struct {
	accepted        bool    // ended because the level lasted
	judged          bool    // a sample was taken
	known           bool    // and something was expected of it
	value, expected float64 // logarithms of milliseconds
	change          int64   // Unix seconds to which a change of level is dated that the sample told; 0: none
}

// observe takes a latency at t, in Unix seconds and milliseconds, with the phases of its run.
func (l *latency) observe(t int64, ms float64, phases []probes.Phase, judged string) (s step) {
	if !(ms > 0) || t < l.last {
		return s
	}
	l.phase = judged
	l.bin[l.bins%len(l.bin)] = float32(math.Log(ms))
	l.bins++
	if t-l.last < sampleEvery-1 {
		return s
	}
	room := l.bin
	y := float64(median(room[:min(l.bins, len(room))]))
	l.bins = 0
	if t >= l.hour.end {
		l.turn(t)
	}
	l.pause(t)
	l.last = t
	if len(l.samples) < mostSamples {
		l.samples = append(l.samples, quantised(y))
	}
	l.takePhases(phases, judged)
	s.judged, s.value = true, y
	if at, ok := l.changes.Observe(t, math.Exp(y)); ok {
		s.change = at
	}
	if l.n.warming {
		return s
	}
	s.known, s.expected = true, l.expected(t)
	l.win.push(t, float32(y-s.expected))
	l.judge(t, &s)
	if l.alarm.on {
		l.slow++
	}
	return s
}

// pause takes the time since the newest sample into account: after many intervals without one the windows say nothing.
func (l *latency) pause(t int64) {
	if l.last == 0 {
		return
	}
	gap := t - l.last
	if usual := l.interval(); usual > 0 && gap > max(gapMost*usual, gapLeast) {
		l.win.clear()
		l.alarm.lasting = 0
	}
	copy(l.gaps[:], l.gaps[1:])
	l.gaps[fewGaps-1] = gap
}

// interval returns the usual time between samples, in seconds; 0: not known.
func (l *latency) interval() int64 {
	var room [fewGaps]int64
	known := room[:0]
	for _, gap := range l.gaps {
		if gap > 0 {
			known = append(known, gap)
		}
	}
	if len(known) == 0 {
		return 0
	}
	return median(known)
}

// turn closes the hour that is full and begins the one that holds t.
func (l *latency) turn(t int64) {
	if l.hour.start != 0 {
		l.closeHour()
	}
	l.hour = l.calendar.at(t)
	l.samples, l.slow, l.odd, l.high, l.peaks = l.samples[:0], 0, 0, 0, [tests]float64{}
	l.learn()
}

func (l *latency) closeHour() {
	levels := l.closePhases()
	count := len(l.samples)
	if count == 0 || count < fewest && int64(count)*2*slices.Max(l.gaps[:]) < 3600 {
		return // too little of an hour, for how often the probe runs
	}
	h := hourly{count: uint8(min(count, 255)), level: median(l.samples)}
	if l.slow > 0 {
		h.marks |= touched
	}
	if l.slow > 0 || l.odd > 0 {
		h.marks |= oddHour
	}
	h.high = clamped(l.high, peakUnit)
	if l.slow*4 > count {
		h.marks |= slowHour
	}
	off := 0.
	if l.n.unsure || l.n.young {
		h.marks |= unsureHour
		if !l.n.warming {
			off = h.ms() - l.expected(l.hour.start+1800) // of a guess the noise is learnt, not how far it was off
		}
	}
	for i, p := range l.peaks {
		h.peaks[i] = clamped(p-off, peakUnit)
	}
	for i, x := range l.samples {
		l.samples[i] = max(x-h.level, h.level-x)
	}
	h.spread = clamped(1.4826*float64(median(l.samples))/logUnit, spreadUnit)
	l.base.put(l.hour, h, levels)
}

// expected returns what is normal at t, in the hour that is being filled.
func (l *latency) expected(t int64) float64 {
	n := &l.n
	if n.young {
		return n.constant
	}
	a, b, f := n.around[1], n.around[2], float64(t-l.hour.start)/3600-.5
	if f < 0 {
		a, b, f = n.around[0], n.around[1], f+1
	}
	if a.days == 0 {
		a = n.around[1]
	}
	if b.days == 0 {
		b = n.around[1]
	}
	return n.base + a.above + f*(b.above-a.above)
}

// measure returns how far above the expected a test's window stands, and whether it holds enough samples to be asked.
func (l *latency) measure(test int) (above float64, ok bool) {
	w := &l.win
	switch test {
	case inARow:
		if w.n < 4 {
			return 0, false
		}
		return float64(min(w.newest(1), w.newest(2), w.newest(3), w.newest(4))), true
	case mostShort:
		s := w.sorted(0)
		if len(s) < 6 {
			return 0, false
		}
		return float64(s[len(s)-6]), true
	case midMedian:
		s := w.sorted(1)
		if len(s) < midWindow*3/4 {
			return 0, false
		}
		return s.median(), true
	}
	s := w.sorted(2)
	if len(s) < longWindow*3/4 {
		return 0, false
	}
	return max(s.median(), s.midmean()), true
}

// judge asks the tests and moves the alarm.
func (l *latency) judge(t int64, s *step) {
	over := -1
	long, longOK := 0., false
	for test := range tests {
		above, ok := l.measure(test)
		if !ok {
			continue
		}
		if test == longMean {
			long, longOK = above, true
		}
		if !l.alarm.on && above > l.peaks[test] {
			l.peaks[test] = above
		}
		if above > l.n.limits[test] && over < 0 {
			over = test
		}
		if above > l.n.plain[test] {
			l.odd++
		}
	}
	l.high = max(l.high, l.short())
	if over < 0 && longOK && !l.n.unsure && l.n.creep > l.creepLimit() && long+l.n.drift > l.creepLimit() {
		over = slowCreep
	}
	l.move(t, over, s)
}

// creepLimit is how far above the base of the last days the long window may stand.
func (l *latency) creepLimit() float64 {
	return math.Log(creepRatio) + max(0, l.n.limits[longMean]-math.Log(judges[longMean].floor))
}

// short returns how far above the expected, or above the base of the last days for a creep, the short window's median stands.
func (l *latency) short() float64 {
	if len(l.win.sorted(0)) == 0 {
		return 0
	}
	m := l.win.sorted(0).median()
	if l.alarm.on && l.alarm.test == slowCreep {
		m += l.n.drift
	}
	return m
}

// forget drops what is measured but not learnt yet.
func (l *latency) forget() {
	l.win.clear()
	l.bins, l.alarm.lasting = 0, 0
}

// learning returns how many whole days are learnt, of those that make a baseline.
func (l *latency) learning() (days, of int) { return min(l.base.based(), learnDays), learnDays }

// learnDays is the days with which a baseline is whole: two of every weekday.
const learnDays = 14

// rewind makes the state fit a clock that was set back to now: nothing lies in the future.
func (l *latency) rewind(now time.Time) {
	t := now.Unix()
	if l.last > t {
		l.last, l.bins, l.changes = 0, 0, Changes{}
		l.win.clear()
	}
	if l.hour.start > t {
		l.hour, l.samples = slot{}, l.samples[:0]
	}
	today := l.calendar.at(t).day
	l.base.days = slices.DeleteFunc(l.base.days, func(r day) bool { return r.date > today })
	l.base.accepted, l.base.changed = min(l.base.accepted, today*24), true
	for _, x := range []*int64{&l.alarm.since, &l.alarm.onset, &l.alarm.again, &l.alarm.still, &l.alarm.lasting, &l.alarm.slow} {
		*x = min(*x, t)
	}
	if l.hour.start != 0 {
		l.learn()
	}
}
