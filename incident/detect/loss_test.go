package detect

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// recorded are the settings for results without quick re-probes: three failures in a row confirm at the least.
var recorded = Settings{Rechecks: 2, Recover: 3, LimitWindow: 5 * time.Minute, LimitPoints: 5, SlowRatio: 1.18}

// path plays scheduled runs, a minute apart, of which those fail for which lost says so, and returns the findings that began.
func path(d *Detector, from time.Time, runs int, lost func(i int) bool) (started []incident.Finding) {
	for i := range runs {
		r := probes.Result{Start: from.Add(time.Duration(i) * time.Minute), Duration: 10 * time.Millisecond, Outcome: probes.Up}
		if lost(i) {
			r.Outcome, r.Reason, r.Detail, r.Duration = probes.Down, probes.Timeout, "no answer", 0
		}
		started = append(started, d.Observe(r).Started...)
	}
	return started
}

func count(all []incident.Finding, kind incident.FindingKind) (n int) {
	for _, f := range all {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

// gilbert returns the losses of a path with a good and a bad state (Gilbert 1960, Elliott 1963).
func gilbert(r *rand.Rand, toBad, toGood, lossBad float64) func(int) bool {
	bad := false
	return func(int) bool {
		if bad {
			bad = r.Float64() >= toGood
		} else {
			bad = r.Float64() < toBad
		}
		return bad && r.Float64() < lossBad
	}
}

// TestLossIsNoOutage states that a path's own loss, independent or in bursts, is not called an outage, and that one is still
// confirmed within a few runs.
func TestLossIsNoOutage(t *testing.T) {
	const month = 30 * 24 * 60
	r := rand.New(rand.NewPCG(7, 11))
	for _, c := range []struct {
		name    string
		lost    func(int) bool
		most    int // outages called in ten months, at most
		confirm int // runs
	}{
		{"none", func(int) bool { return false }, 0, 3},
		{"0.1 %", func(int) bool { return r.Float64() < .001 }, 0, 3},
		{"1 %", func(int) bool { return r.Float64() < .01 }, 0, 4},
		{"3 %", func(int) bool { return r.Float64() < .03 }, 0, 5},
		{"pairs now and then", gilbert(r, .0005, .5, 1), 40, 6},
		{"bursts that lose half", gilbert(r, .002, .3, .5), 40, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := New(Setup{Probe: "p", Settings: recorded})
			path(d, t0, 2000, c.lost) // until it is known
			if n := count(path(d, t0.Add(2000*time.Minute), 10*month, c.lost), incident.Outage); n > c.most {
				t.Errorf("%d outages called in ten months, want at most %d", n, c.most)
			}
			at := t0.Add((2000 + 10*month) * time.Minute)
			path(d, at, 60, func(int) bool { return false })
			n := 0
			for d.Outage() == nil && n < 20 {
				path(d, at.Add(time.Duration(60+n)*time.Minute), 1, func(int) bool { return true })
				n++
			}
			if n > c.confirm {
				t.Errorf("an outage is confirmed by the failure %d, want %d", n, c.confirm)
			}
		})
	}
}

// TestFlaky states that an outage that lets some runs through is one, and one only, and dated to its first failure.
func TestFlaky(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	late := 0
	for n := range 200 {
		d := New(Setup{Probe: "p", Settings: recorded})
		path(d, t0, 3000, func(int) bool { return false })
		begin := t0.Add(3000 * time.Minute)
		failed, confirmed := 0, 0
		var started []incident.Finding
		for i := range 30 {
			fails := i == 0 || r.Float64() < .8
			if fails {
				failed++
			}
			one := path(d, begin.Add(time.Duration(i)*time.Minute), 1, func(int) bool { return fails })
			if len(one) > 0 && confirmed == 0 {
				confirmed = failed
			}
			started = append(started, one...)
		}
		if count(started, incident.Outage) == 0 {
			t.Fatalf("series %d: not found", n)
		}
		if confirmed > 3 {
			late++
		}
		if since := started[0].Since.Sub(begin); since < 0 || since > 12*time.Minute {
			t.Errorf("series %d: since %s after it began", n, since)
		}
	}
	if late > 30 {
		t.Errorf("%d of 200 are confirmed later than by the third failure", late)
	}
}

// TestNowAndThen states that a target whose single failures the re-probes refute is not down, but has momentary outages.
func TestNowAndThen(t *testing.T) {
	d := New(Setup{Probe: "p", Settings: settings})
	var started, ended []incident.Finding
	at := t0
	observe := func(o probes.Outcome, recheck bool) int {
		at = at.Add(time.Second)
		r := probes.Result{Start: at, Duration: time.Millisecond, Outcome: o, Recheck: recheck, Detail: "no answer"}
		if o == probes.Down {
			r.Reason = probes.Timeout
		}
		v := d.Observe(r)
		started, ended = append(started, v.Started...), append(ended, v.Ended...)
		return v.Recheck
	}
	for i := range 60 {
		at = t0.Add(time.Duration(i) * time.Minute)
		if i >= 20 && i%3 == 0 {
			if observe(probes.Down, false) == 0 {
				t.Fatal("no re-probe is asked for")
			}
			observe(probes.Up, true)
			continue
		}
		observe(probes.Up, false)
	}
	if len(started) != 1 || started[0].Kind != incident.MomentaryOutages || d.Outage() != nil {
		t.Fatalf("%+v", started)
	}
	for i := range 40 {
		at = t0.Add(time.Duration(60+i) * time.Minute)
		observe(probes.Up, false)
	}
	if len(ended) != 1 || len(d.Findings()) != 0 {
		t.Errorf("%+v, %+v", ended, d.Findings())
	}
}

// TestAfterAnOutage states that the failures of an outage are that one's: a single failure after it, or the first one of the next outage, is no momentary
// outage since then.
func TestAfterAnOutage(t *testing.T) {
	d := New(Setup{Probe: "p", Settings: settings})
	started := path(d, t0, 60, func(i int) bool { return i >= 20 && i < 40 || i == 50 })
	if len(started) != 1 || started[0].Kind != incident.Outage {
		t.Errorf("%+v", started)
	}
}

// TestInARow states how many failures the loss of a path asks for.
func TestInARow(t *testing.T) {
	for _, c := range []struct {
		runs, lost, pairs float64
		want              int
	}{{0, 0, 0, 4}, {10_000, 1, 0, 3}, {10_000, 5, 1, 3}, {10_000, 100, 1, 4}, {10_000, 300, 9, 5}, {10_000, 300, 150, 6}} {
		l := Loss{Runs: c.runs, Lost: c.lost, Pairs: c.pairs, Every: 60}
		if got := l.inARow(); got != c.want {
			t.Errorf("%s: %d, want %d", fmt.Sprint(c), got, c.want)
		}
	}
}
