package detect

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/probes"
)

// wholeState returns the state with all that belongs into it.
func wholeState(d *Detector) State {
	s := d.State()
	s.Latency = d.AppendLatency(nil)
	return s
}

// reborn returns a Detector that goes on from what d would have saved.
func reborn(t testing.TB, d *Detector) *Detector {
	t.Helper()
	data, err := json.Marshal(wholeState(d))
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return New(Setup{Probe: d.probe, Settings: d.set, Limits: d.limits, Numbers: d.numbered, Calendar: d.latency.calendar, Baseline: d.AllBaseline(), State: s})
}

// TestRestartChangesNothing states that a Detector restored at any point judges every later result as one that went on.
func TestRestartChangesNothing(t *testing.T) {
	at := monday.Add(6*aDay + 11*time.Hour)
	level := during(during(during(workday, at, 20*time.Minute, 2), at.Add(time.Hour), 6*time.Minute, 3), at.Add(5*time.Hour), 30*time.Hour, 1.6)
	w := newWorld(level)
	w.spoil = func(r *probes.Result) {
		r.Phases = []probes.Phase{{Name: probes.PhaseTLS, Duration: r.Duration / 3}}
		if w.Float64() < .01 {
			r.Outcome, r.Reason, r.Phases = probes.Down, probes.Timeout, nil
		}
	}
	whole := learner(nil)
	w.run(whole, monday, 6*aDay)
	other := reborn(t, whole)
	for n, at := 0, monday.Add(6*aDay); at.Before(monday.Add(9 * aDay)); n, at = n+1, at.Add(w.every) {
		r := probes.Result{Start: at, Outcome: probes.Up, Duration: time.Duration(w.level(at) * math.Exp(w.sigma*w.NormFloat64()) * float64(time.Millisecond))}
		w.spoil(&r)
		a, b := whole.Observe(r), other.Observe(r)
		if !cmp.Equal(a, b) || whole.Reading() != other.Reading() || !cmp.Equal(whole.Findings(), other.Findings()) {
			t.Fatalf("%s: %+v %+v\nwithout the restart: %+v %+v", at, b, other.Reading(), a, whole.Reading())
		}
		if n%7 == 0 {
			other = reborn(t, other)
		}
	}
}

// TestSeed states that a history teaches what a probe would have learnt, and that what it learnt itself goes first.
func TestSeed(t *testing.T) {
	w := newWorld(workday)
	var history []Point
	for at := monday; at.Before(monday.Add(14 * aDay)); at = at.Add(time.Minute) {
		history = append(history, Point{at, time.Duration(w.level(at) * math.Exp(w.sigma*w.NormFloat64()) * float64(time.Millisecond))})
	}
	d := learner(nil)
	if taken := d.Seed(history); taken != len(history) {
		t.Errorf("%d of %d points", taken, len(history))
	}
	if days, of := d.Learning(); days != of {
		t.Errorf("%d of %d days", days, of)
	}
	at := monday.Add(14*aDay + 10*time.Hour)
	w.level = during(workday, at, time.Hour, 1.5)
	if s := w.run(d, monday.Add(14*aDay), 10*time.Hour); len(s.started) > 0 {
		t.Errorf("the first hours after a seed:\n%s", s)
	}
	if s := w.run(d, at, 30*time.Minute); len(s.started) != 1 {
		t.Errorf("half as slow again on the first day: %d findings", len(s.started))
	}
	own := learner(nil)
	w.level = func(time.Time) float64 { return 40 }
	w.run(own, monday.Add(13*aDay), aDay)
	own.Seed(history)
	if r := own.latency.base.row(own.latency.calendar.at(monday.Add(13*aDay + time.Hour).Unix()).day); math.Abs(math.Exp(r.hours[3].ms())-40) > 3 {
		t.Errorf("its own hour became %.0f ms", math.Exp(r.hours[3].ms()))
	}
	if days, _ := own.Learning(); days != 14 {
		t.Errorf("%d days after a seed", days)
	}
	if learner(nil).Seed(nil) != 0 {
		t.Error("nothing was taken of nothing")
	}
}

// TestBaselineSize states how much a whole baseline with all phases takes.
func TestBaselineSize(t *testing.T) {
	w := newWorld(workday)
	w.every = 10 * time.Minute
	w.spoil = func(r *probes.Result) {
		for i, name := range []string{"dns", "connect", "x224", "tls", "first_byte", "transfer", "seventh"} {
			r.Phases = append(r.Phases, probes.Phase{Name: name, Duration: time.Duration(i+1) * time.Millisecond})
		}
	}
	d := learner(nil)
	w.run(d, monday, 60*aDay)
	if size := len(d.AllBaseline()); size > maxBaseline || size < 1000 {
		t.Errorf("%d bytes, want at most %d", size, maxBaseline)
	}
	if size := len(wholeState(d).Latency); size > 2500 {
		t.Errorf("the state beside it takes %d bytes", size)
	}
	if n := len(d.latency.base.days); n != keepDays {
		t.Errorf("%d days", n)
	}
}

// FuzzRestore states that no saved bytes do harm.
func FuzzRestore(f *testing.F) {
	d := learner(nil)
	newWorld(workday).run(d, monday, 2*aDay)
	f.Add(d.AllBaseline(), wholeState(d).Latency)
	f.Add([]byte{}, []byte{})
	f.Add([]byte{baselineForm, 255}, []byte{latencyForm, 255, 255, 255})
	f.Fuzz(func(t *testing.T, baseline, latency []byte) {
		d := New(Setup{Probe: "web", Settings: learning, Baseline: baseline, State: State{Latency: latency}})
		for i := range 5 {
			d.Observe(probes.Result{Start: monday.Add(time.Duration(i) * time.Minute), Duration: time.Second, Outcome: probes.Up})
		}
		d.Rewind(monday)
		if len(d.AllBaseline()) > maxBaseline {
			t.Error("it grows")
		}
	})
}

func BenchmarkLatency(b *testing.B) {
	d := learner(nil)
	w := newWorld(workday)
	w.run(d, monday, 20*aDay)
	results := make([]probes.Result, 30_000)
	phases := []probes.Phase{{Name: probes.PhaseDNS, Duration: 5 * time.Millisecond}, {Name: probes.PhaseConnect, Duration: 10 * time.Millisecond}, {Name: probes.PhaseTLS, Duration: 20 * time.Millisecond}}
	for i := range results {
		at := monday.Add(20*aDay + time.Duration(i)*time.Minute)
		results[i] = probes.Result{Start: at, Outcome: probes.Up, Phases: phases, Duration: time.Duration(workday(at) * math.Exp(.05*w.NormFloat64()) * float64(time.Millisecond))}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == len(results) {
			b.StopTimer()
			d = learner(nil)
			w.run(d, monday, 20*aDay)
			i = 0
			b.StartTimer()
		}
		d.Observe(results[i])
		i++
	}
}
