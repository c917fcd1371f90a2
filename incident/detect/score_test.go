package detect_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/probes"
)

// This file scores the detector as a whole on small series: faults are laid into backgrounds that have none, and what is called
// slow or down is compared with them. A hit is an onset inside the fault; an alarm that was on already is a miss; what begins
// outside every fault is a false alarm.

// begin is a Monday.
var begin = time.Date(2026, 8, 31, 0, 0, 0, 0, time.UTC)

// series is one probe's history with the truth; a latency that is NaN failed.
type series struct {
	name   string
	every  time.Duration
	ms     []float64
	faults []fault
}

type fault struct {
	class    string
	from, to int // points, both inclusive
	ref      int // from which the delay counts
}

// shape lays one class of fault into a series at a point.
type shape struct {
	class  string
	points int
	factor func(r *rand.Rand, i int) float64 // NaN: the run fails
	ref    int
}

func times(f float64) func(*rand.Rand, int) float64 {
	return func(r *rand.Rand, _ int) float64 { return f * math.Exp(.02*r.NormFloat64()) }
}

func lost(*rand.Rand, int) float64 { return math.NaN() }

func shapes(every time.Duration) []shape {
	hour := float64(time.Hour / every)
	ramp := int(math.Log(1.6) / math.Log(1.01) * hour)
	return []shape{
		{"outage of 5", 5, lost, 0},
		{"outage of 15", 15, lost, 0},
		{"flaky outage", 30, func(r *rand.Rand, i int) float64 {
			if i == 0 || r.Float64() < .8 {
				return math.NaN()
			}
			return 1
		}, 0},
		{"+25 %", 60, times(1.25), 0},
		{"+50 %", 60, times(1.5), 0},
		{"+100 %", 60, times(2), 0},
		{"x3", 60, times(3), 0},
		{"+100 % for 15", 15, times(2), 0},
		{"bursts", 216, func(r *rand.Rand, i int) float64 {
			if i%30 < 6 {
				return 3 * math.Exp(.02*r.NormFloat64())
			}
			return 1
		}, 0},
		{"ramp", ramp + 60, func(_ *rand.Rand, i int) float64 { return min(1.6, math.Pow(1.01, float64(i)/hour)) }, int(math.Log(1.25) / math.Log(1.01) * hour)},
		{"blip", 2, lost, 0},
	}
}

// web returns two weeks of a page: noise with heavy tails and dependent neighbours, a working-hours wave, a few lost runs.
func web(seed uint64) series {
	r := rand.New(rand.NewPCG(seed, 99))
	level, sigma, wave := 70+600*r.Float64(), .04+.12*r.Float64(), .1+.5*r.Float64()
	s := series{name: fmt.Sprintf("web %d", seed), every: time.Minute}
	run := 0.
	for i := range 14 * 24 * 60 {
		run = .6*run + .8*r.NormFloat64()
		v := sigma * run
		if r.Float64() < .03 {
			v += .3 * r.ExpFloat64()
		}
		x := level * math.Exp(v)
		if r.Float64() < .01 {
			x *= 2 + 6*r.Float64()
		}
		hour := float64(i%(24*60)) / 60
		if d := i / (24 * 60) % 7; d < 5 {
			x *= 1 + wave*max(0, min(1, (hour-7)/2, (18-hour)/3))
		}
		if r.Float64() < .0005 {
			x = math.NaN()
		}
		s.ms = append(s.ms, x)
	}
	return s
}

// lay puts faults into a series, in shuffled rounds, with a day and more between them, after five days to learn.
func lay(s series, seed uint64) series {
	r := rand.New(rand.NewPCG(seed, 5))
	s.ms = slices.Clone(s.ms)
	day := int(24 * time.Hour / s.every)
	var deck []shape
	for at := 5*day + r.IntN(100); ; {
		if len(deck) == 0 {
			deck = shapes(s.every)
			r.Shuffle(len(deck), func(i, k int) { deck[i], deck[k] = deck[k], deck[i] })
		}
		c := deck[0]
		if at+c.points+60 >= len(s.ms) {
			return s
		}
		deck = deck[1:]
		for i := range c.points {
			s.ms[at+i] *= c.factor(r, i)
		}
		s.faults = append(s.faults, fault{c.class, at, at + c.points - 1, at + c.ref})
		at += c.points + day + r.IntN(day)
	}
}

// judge returns the state after every point.
func (s series) judge() []string {
	d := detect.New(detect.Setup{Probe: s.name, Settings: detect.Settings{Rechecks: 2, Recover: 3, LimitWindow: 5 * time.Minute, LimitPoints: 5, SlowRatio: 1.18}})
	states := make([]string, len(s.ms))
	for i, ms := range s.ms {
		r := probes.Result{Start: begin.Add(time.Duration(i) * s.every), Outcome: probes.Up, Duration: time.Duration(ms * float64(time.Millisecond))}
		if math.IsNaN(ms) {
			r.Outcome, r.Reason, r.Duration = probes.Down, probes.Timeout, 0
		}
		d.Observe(r)
		states[i] = d.Reading().State
	}
	return states
}

// score adds up what was found.
type score struct {
	of, hit, wrong, tickets int
	delays                  []int
}

type scores struct {
	class              map[string]*score
	falseSlow, falseUp int
	days               float64
}

// episodes returns where the state is so, as pairs of points; what is apart by five points or less is one.
func episodes(states []string, so func(string) bool) (all [][2]int) {
	for i, state := range states {
		switch n := len(all); {
		case !so(state):
		case n > 0 && i-all[n-1][1] <= 5:
			all[n-1][1] = i
		default:
			all = append(all, [2]int{i, i})
		}
	}
	return all
}

func (t *scores) add(s series) {
	states := s.judge()
	t.days += float64(len(s.ms)) * s.every.Hours() / 24
	bad := episodes(states, func(state string) bool { return state != detect.StateOK })
	for _, f := range s.faults {
		t.fault(f, states, bad)
	}
	near := func(at, grace int, only func(string) bool) bool {
		return slices.ContainsFunc(s.faults, func(f fault) bool { return only(f.class) && at >= f.from && at <= f.to+grace })
	}
	for _, e := range bad {
		if !near(e[0], 60, func(string) bool { return true }) {
			t.falseSlow++
		}
	}
	for _, e := range episodes(states, func(state string) bool { return state == detect.StateDown }) {
		if !near(e[0], 5, isOutage) {
			t.falseUp++
		}
	}
}

func isOutage(class string) bool { return strings.Contains(class, "outage") }

func (t *scores) fault(f fault, states []string, bad [][2]int) {
	c := t.class[f.class]
	if c == nil {
		c = &score{}
		t.class[f.class] = c
	}
	c.of++
	on := func(state string) bool {
		return state == detect.StateDown || !isOutage(f.class) && state != detect.StateOK
	}
	if !isOutage(f.class) && slices.Contains(states[f.from:f.to+1], detect.StateDown) {
		c.wrong++
	}
	for i := f.from; i <= f.to+1; i++ {
		if on(states[i]) && !on(states[i-1]) {
			c.hit++
			c.delays = append(c.delays, i-f.ref)
			break
		}
	}
	for _, e := range bad {
		if e[0] <= f.to && e[1] >= f.from {
			c.tickets++
		}
	}
}

// TestScore states what the detector is good for, on series that are small enough for a test; docs/benchmarks.md has the figures on
// large ones.
func TestScore(t *testing.T) {
	total := scores{class: map[string]*score{}}
	clean := scores{class: map[string]*score{}}
	for seed := range uint64(16) {
		s := web(seed)
		clean.add(s)
		total.add(lay(s, seed))
		total.add(lay(s, seed+1000))
	}
	for class, want := range map[string]struct {
		recall float64
		delay  int // median
	}{
		"outage of 5": {1, 2}, "outage of 15": {1, 2}, "flaky outage": {1, 2},
		// Neighbours depend on each other more here than in what was measured on real paths: a quarter more is hard to see.
		"+25 %": {.75, 45}, "+50 %": {.97, 15}, "+100 %": {.99, 8}, "x3": {.99, 5}, "+100 % for 15": {.97, 9},
		"bursts": {1, 5}, "ramp": {.98, 600}, "blip": {0, 0},
	} {
		c := total.class[class]
		if c == nil || c.of < 8 {
			t.Fatalf("%s: too few in the series: %+v", class, c)
		}
		slices.Sort(c.delays)
		delay := 0
		if len(c.delays) > 0 {
			delay = c.delays[len(c.delays)/2]
		}
		t.Logf("%-14s %3d of %3d, median delay %d, %.2f tickets, %d called down", class, c.hit, c.of, delay, float64(c.tickets)/float64(c.of), c.wrong)
		if recall := float64(c.hit) / float64(c.of); recall < want.recall {
			t.Errorf("%s: recall %.3f, want %.2f", class, recall, want.recall)
		}
		if delay > want.delay {
			t.Errorf("%s: median delay %d points, want at most %d", class, delay, want.delay)
		}
		if c.wrong > 0 {
			t.Errorf("%s: %d called down", class, c.wrong)
		}
		if class == "bursts" && float64(c.tickets) > 1.5*float64(c.of) {
			t.Errorf("%d tickets for %d patterns of bursts", c.tickets, c.of)
		}
	}
	for name, s := range map[string]*scores{"clean": &clean, "with faults": &total} {
		rate := float64(s.falseSlow) / s.days * 30
		t.Logf("%s: %d false alarms in %.0f days, %.2f a month; %d falsely down", name, s.falseSlow, s.days, rate, s.falseUp)
		if rate > .5 || s.falseUp > 0 {
			t.Errorf("%s: %.2f false alarms a month, want at most 0.5; %d falsely down, want none", name, rate, s.falseUp)
		}
	}
}

// TestRealTraces states that two real traces of six weeks, whose paths change now and then, raise few alarms, and none of an outage
// that is none.
func TestRealTraces(t *testing.T) {
	for _, name := range []string{"11241", "15271"} {
		trace := readTrace(t, filepath.Join("testdata", "rtt", name+".csv.gz"))
		s := series{name: name, every: 4 * time.Minute, ms: trace.ms}
		states := s.judge()
		bad := episodes(states, func(state string) bool { return state != detect.StateOK })
		down := episodes(states, func(state string) bool { return state == detect.StateDown })
		t.Logf("%s: %d points, %d changes that people marked, %d slow or down, %d down", name, len(s.ms), len(trace.marked), len(bad), len(down))
		if len(bad) > 12 || len(down) > 2 {
			t.Errorf("%s: %d alarms, %d of them down", name, len(bad), len(down))
		}
	}
}
