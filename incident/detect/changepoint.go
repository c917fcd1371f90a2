package detect

import (
	"math"
	"slices"
)

// What a change of level is. The figures come from public RIPE Atlas ping traces with change points that people marked, judged
// by cross-validation over the traces. Each lies on a plateau: a little more or less of any makes no difference that shows.
const (
	changeRef    = 60 // points that say where the level was
	changePast   = 14 // newest points among which an onset is looked for; at the oldest of them it may as well be older yet
	changeBefore = 4  // points a level must have lasted before it can change
	changeAfter  = 4  // points a new level must have lasted; fewer are a spike

	madToSigma = 1.4826 // of a normal distribution

	changeLimit  = 16.0 // weighted log likelihood ratio that declares a change
	changeSlack  = 0.5  // taken off it for every point of the new level: what each has to be worth, as in a CUSUM
	changeMs     = 1.5  // ms; a change of level by less is of no account
	changeRatio  = 5e-3 // in log latency; likewise
	changeSpread = 0.5  // in spreads of the level before; likewise

	changeFloorMs  = 0.1  // ms; no spread is smaller: clocks and rounding
	changeFloor    = 5e-4 // in log latency; likewise
	changeTypical  = 3e-3 // in log latency: the spread of a level of which nothing is known
	changeStep     = 0.01 // of itself, by which the typical spread follows at each point
	changeKnown    = 20   // points after which the spread of a level is known
	changeMaxTyp   = 0.1  // in log latency: the largest spread that passes for typical
	changePrior    = 6.0  // points that the typical spread counts for, in the spread before an onset
	changePriorNew = 3.0  // likewise, in the spread after it
)

// Changes dates changes of level in the log latency of one probe, while it watches: the "since 14:02" of a text, and the change
// of path that explains a case. It raises no alarm.
//
// It is a generalised likelihood ratio test (Lorden 1971; Siegmund and Venkatraman 1995) of a level and a spread, both unknown
// before and after, in a form for latencies: the likelihood is Cauchy's, about the median and the median absolute deviation,
// so that a spike counts for little however high it is; and it is weighted by how long the level before has lasted, so that a
// queue that fills is one change, not one at each of its waves.
//
// The zero value has seen nothing. A value is bounded, and MarshalBinary or MarshalText (and so JSON) keep it exactly. It is not
// safe for concurrent use.
type Changes struct {
	n       int // points in xs: all of this level
	xs      [changeRef + changePast]float64
	recent  [changePast]changePoint // the newest last
	typical float64                 // spread of an ordinary level; 0: not known
	last    Change
	before  changeSorted // the last changeRef of xs
}

// changePoint is what one point has been judged by: the level and the spread before it.
type changePoint struct {
	t      int64 // unix seconds
	median float64
	spread float64
}

// Change is a change of level.
type Change struct {
	Onset         int64   // unix seconds: the first point of the new level
	Before, After float64 // medians in ms
}

// Last returns the change that was declared last; the zero Change if there was none.
func (c *Changes) Last() Change { return c.last }

// Observe takes the next point: when the run began, in unix seconds, and how long it took. A failed run is NaN, and leaves no
// trace. It returns the onset of a change that this point makes sure of: the first point of the new level.
func (c *Changes) Observe(t int64, ms float64) (onset int64, ok bool) {
	if !(ms > 0) || math.IsInf(ms, 1) {
		return 0, false
	}
	floor := max(changeFloor, changeFloorMs/ms)
	c.push(t, math.Log(ms), floor)
	best, at := changeLimit, 0
	var after changeSorted
	for i := 1; i <= min(changePast, c.n-changeBefore); i++ {
		after.add(c.xs[c.n-i])
		if i < changeAfter {
			continue
		}
		if g := c.ratio(i, &after, ms, floor); g > best {
			best, at = g, i
		}
	}
	if at == 0 || at == changePast {
		return 0, false
	}
	c.declare(at, floor)
	return c.last.Onset, true
}

// push appends a point, judged by the level before it.
func (c *Changes) push(t int64, x, floor float64) {
	if c.typical == 0 {
		c.typical = changeTypical
	}
	p := changePoint{t: t}
	p.median, p.spread = c.judge(floor)
	if c.n >= changeKnown {
		step := changeStep
		if p.spread < c.typical {
			step = -step
		}
		c.typical = min(max(c.typical*(1+step), floor), changeMaxTyp)
	}
	copy(c.recent[:], c.recent[1:])
	c.recent[changePast-1] = p
	if c.n == len(c.xs) {
		c.n = copy(c.xs[:], c.xs[1:])
	}
	if c.before.n == changeRef {
		c.before.remove(c.xs[c.n-changeRef])
	}
	c.before.add(x)
	c.xs[c.n] = x
	c.n++
}

// judge returns the level and the spread of the points in before.
func (c *Changes) judge(floor float64) (median, spread float64) {
	if c.before.n == 0 {
		return 0, floor
	}
	median = c.before.median()
	n := float64(c.before.n)
	return median, max(floor, (c.before.mad(median)*n+c.typical*changePrior)/(n+changePrior))
}

// ratio returns the weighted log likelihood ratio of an onset at the i-th newest point, or 0 where the change is of no account.
func (c *Changes) ratio(i int, after *changeSorted, ms, floor float64) float64 {
	p := c.recent[changePast-i]
	median := after.median()
	by := math.Abs(median - p.median)
	if by < changeRatio || by*ms < changeMs || by < changeSpread*p.spread {
		return 0
	}
	for _, x := range [...]float64{c.xs[c.n-i], c.xs[c.n-1]} {
		if math.Abs(x-median) > math.Abs(x-p.median) {
			return 0 // it begins later, or is over
		}
	}
	n := float64(i)
	spread := max(floor, (after.mad(median)*n+c.typical*changePriorNew)/(n+changePriorNew))
	g := 1.0
	for _, x := range c.xs[c.n-i : c.n] {
		a, b := (x-p.median)/p.spread, (x-median)/spread
		g *= (1 + a*a) / (1 + b*b)
	}
	before := float64(c.n - i)
	return (math.Log(g) + n*(math.Log(p.spread/spread)-changeSlack)) * before / (before + n)
}

// declare begins a new level at the i-th newest point.
func (c *Changes) declare(i int, floor float64) {
	p := c.recent[changePast-i]
	c.n = copy(c.xs[:], c.xs[c.n-i:c.n])
	c.before.n = 0
	for j, x := range c.xs[:c.n] {
		q := &c.recent[changePast-i+j]
		q.median, q.spread = c.judge(floor)
		c.before.add(x)
	}
	c.last = Change{Onset: p.t, Before: math.Exp(p.median), After: math.Exp(c.before.median())}
}

// changeSorted is a few points in order. The zero value is empty.
type changeSorted struct {
	n  int
	xs [changeRef]float64
}

func (s *changeSorted) add(x float64) {
	i := s.n
	for ; i > 0 && s.xs[i-1] > x; i-- {
		s.xs[i] = s.xs[i-1]
	}
	s.xs[i] = x
	s.n++
}

func (s *changeSorted) remove(x float64) {
	i, _ := slices.BinarySearch(s.xs[:s.n], x)
	s.n--
	copy(s.xs[i:s.n], s.xs[i+1:s.n+1])
}

func (s *changeSorted) median() float64 { return (s.xs[s.n/2] + s.xs[(s.n-1)/2]) / 2 }

// mad returns the median absolute deviation from m, the median, on the scale of a standard deviation.
//
// Deviations grow on either side of the median, so it merges two sorted halves.
func (s *changeSorted) mad(m float64) float64 {
	lo, hi := (s.n-1)/2, (s.n-1)/2+1
	var last, d float64
	for range s.n/2 + 1 {
		last = d
		if hi >= s.n || lo >= 0 && m-s.xs[lo] <= s.xs[hi]-m {
			d = m - s.xs[lo]
			lo--
		} else {
			d = s.xs[hi] - m
			hi++
		}
	}
	if s.n%2 == 1 {
		return madToSigma * d
	}
	return madToSigma * (last + d) / 2
}
