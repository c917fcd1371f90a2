package detect

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// TestShortJobs states that a job of half an hour, which the median of its hour does not show, is learnt too, wherever in the hour it
// begins; and that what is more than usual is still seen there.
func TestShortJobs(t *testing.T) {
	for name, job := range map[string]struct{ from, length time.Duration }{
		"half an hour on the hour": {2 * time.Hour, 30 * time.Minute},
		"half an hour, later":      {2*time.Hour + 20*time.Minute, 30 * time.Minute},
		"an hour and a half":       {2*time.Hour + 30*time.Minute, 90 * time.Minute},
	} {
		begin := monday.Add(14 * aDay)
		level := func(t time.Time) float64 {
			if since := t.Sub(monday) % aDay; t.After(begin) && since >= job.from && since < job.from+job.length {
				return 300
			}
			return 100
		}
		d := learner(nil)
		w := newWorld(level)
		w.run(d, monday, 14*aDay)
		if s := w.run(d, begin, 14*aDay); len(s.started) == 0 || len(s.started) > 14 {
			t.Errorf("%s: %d findings while it is learnt\n%s", name, len(s.started), s)
		}
		if s := w.run(d, begin.Add(14*aDay), 21*aDay); len(s.started) > 0 {
			t.Errorf("%s: never learnt\n%s", name, s)
		}
		worse := begin.Add(35*aDay + job.from)
		w.level = during(level, worse, job.length, 2)
		if s := w.run(d, worse.Add(-job.from), aDay); len(s.started) != 1 {
			t.Errorf("%s: %d findings when it takes twice as long as usual\n%s", name, len(s.started), s)
		}
	}
}

// TestLongPause states that after days without a latency, off or down, nothing is called slow that is as before, and that what was
// known is known still.
func TestLongPause(t *testing.T) {
	for _, pause := range []time.Duration{30 * time.Hour, 4 * aDay, 12 * aDay} {
		d := learner(nil)
		w := newWorld(workday)
		w.run(d, monday, 15*aDay)
		at := monday.Add(15*aDay + pause)
		if s := w.run(d, at, 3*aDay); len(s.started) > 0 {
			t.Errorf("after %s:\n%s", pause, s)
		}
		d = learner(nil)
		w.run(d, monday, 15*aDay)
		w.level = during(workday, at, aDay, 2.5)
		if s := w.run(d, at, 2*time.Hour); len(s.started) != 1 {
			t.Errorf("after %s, more than twice as slow: %d findings", pause, len(s.started))
		}
	}
}

// TestPauseInAnAlarm states that a level is accepted by what is measured for a day, not by a day that passes.
func TestPauseInAnAlarm(t *testing.T) {
	begin := monday.Add(15 * aDay)
	w := newWorld(during(flat, begin, 100*aDay, 3))
	d := learner(nil)
	w.run(d, monday, 15*aDay+time.Hour)
	w.level = during(flat, begin, 100*aDay, 10)
	if s := w.run(d, begin.Add(31*time.Hour), 2*time.Hour); len(s.ended) > 0 {
		t.Errorf("accepted after two hours of measurement: %+v", s.ended[0])
	}
}

// TestChangedPace states that a probe that runs at another pace than before, or at odd times, is learnt and judged on.
func TestChangedPace(t *testing.T) {
	d := learner(nil)
	w := newWorld(flat)
	w.run(d, monday, 15*aDay)
	w.every = time.Hour
	w.run(d, monday.Add(15*aDay), 3*aDay)
	if r := d.latency.base.row(d.latency.calendar.at(monday.Add(17 * aDay).Unix()).day); r == nil || !r.hours[12].used() {
		t.Error("nothing is learnt at the new pace")
	}
	w.level = func(time.Time) float64 { return 300 }
	if s := w.run(d, monday.Add(18*aDay), aDay); len(s.started) != 1 {
		t.Errorf("%d findings at the new pace", len(s.started))
	}
	odd := learner(nil)
	for h := range 20 * 24 { // as "0,5 * * * *" runs
		for _, after := range []time.Duration{0, 5 * time.Minute} {
			odd.Observe(probes.Result{Start: monday.Add(time.Duration(h)*time.Hour + after), Duration: 100 * time.Millisecond, Outcome: probes.Up})
		}
	}
	if days, _ := odd.Learning(); days != 14 {
		t.Errorf("a probe that runs twice an hour has learnt %d days", days)
	}
}

// TestNewPhase states that a phase that appears in the middle of an hour loses nothing at a restart.
func TestNewPhase(t *testing.T) {
	w := newWorld(flat)
	d := learner(nil)
	w.run(d, monday, 8*aDay+10*time.Minute)
	saved := d.Baseline() // as it was stored at the last turn of an hour
	w.level = func(time.Time) float64 { return 300 }
	w.spoil = func(r *probes.Result) { r.Phases = []probes.Phase{{Name: probes.PhaseTLS, Duration: r.Duration / 2}} }
	w.run(d, monday.Add(8*aDay+10*time.Minute), 10*time.Minute)
	if d.Finding(incident.Regression) == nil {
		t.Fatal("no finding")
	}
	s := wholeState(d)
	for name, baseline := range map[string][]byte{"with it": d.AllBaseline(), "without it": saved} {
		other := New(Setup{Probe: "web", Settings: learning, Calendar: Calendar{Zone: copenhagen}, Baseline: baseline, State: s})
		if !cmp.Equal(other.Findings(), d.Findings()) || other.latency.win.n != d.latency.win.n {
			t.Errorf("%s: %+v, want %+v", name, other.Findings(), d.Findings())
		}
	}
	if d.Baseline() == nil {
		t.Error("the new phase is not saved")
	}
	first := learner(nil)
	w.run(first, monday, 30*time.Minute)
	if other := reborn(t, first); len(other.latency.samples) != 30 {
		t.Errorf("%d samples of the first hour after a restart", len(other.latency.samples))
	}
}

// TestSlowBy states that no cap of noise cuts what an operator asks for.
func TestSlowBy(t *testing.T) {
	for name, c := range map[string]struct {
		ratio float64
		by    time.Duration
		rise  float64
		want  int
	}{
		"less than slow_by": {1.18, 200 * time.Millisecond, 2.5, 0}, "more than slow_by": {1.18, 200 * time.Millisecond, 4, 1},
		"less than slow_ratio": {2, 0, 1.7, 0}, "more than slow_ratio": {1.5, 0, 1.8, 1},
	} {
		set := learning
		set.SlowRatio, set.SlowBy = c.ratio, c.by
		d := New(Setup{Probe: "web", Settings: set})
		at := monday.Add(8 * aDay)
		if s := newWorld(during(flat, at, 2*time.Hour, c.rise)).run(d, monday, 8*aDay+3*time.Hour); len(s.started) != c.want {
			t.Errorf("%s: %d findings, want %d\n%s", name, len(s.started), c.want, s)
		}
	}
}

// TestPhaseThatIsGone states that an absolute limit of a phase that is not measured any more holds nothing for ever.
func TestPhaseThatIsGone(t *testing.T) {
	d := New(Setup{Probe: "web", Settings: learning, Limits: []Limit{{Phase: probes.PhaseTLS, Max: 10 * time.Millisecond}}})
	w := newWorld(flat)
	w.spoil = func(r *probes.Result) { r.Phases = []probes.Phase{{Name: probes.PhaseTLS, Duration: r.Duration / 2}} }
	if s := w.run(d, monday, time.Hour); len(s.started) != 1 {
		t.Fatalf("%d findings", len(s.started))
	}
	w.spoil = nil
	if s := w.run(d, monday.Add(time.Hour), time.Hour); len(s.ended) != 1 {
		t.Errorf("%d ended", len(s.ended))
	}
}

// TestSeedWithAStep states that a history that holds a permanent change is not called a creep.
func TestSeedWithAStep(t *testing.T) {
	w := newWorld(during(flat, monday.Add(11*aDay), 100*aDay, 1.6))
	var history []Point
	for at := monday; at.Before(monday.Add(14 * aDay)); at = at.Add(time.Minute) {
		history = append(history, Point{at, time.Duration(w.level(at) * float64(time.Millisecond))})
	}
	d := learner(nil)
	d.Seed(history)
	if s := w.run(d, monday.Add(14*aDay), aDay); len(s.started) > 0 {
		t.Error(s)
	}
}

// TestSeldomRecovers states that what is watched on after a short slow stretch is not watched for days, however seldom it runs.
func TestSeldomRecovers(t *testing.T) {
	begin := monday.Add(20 * aDay)
	w := newWorld(during(flat, begin, 12*time.Hour, 3))
	w.every = time.Hour
	d := learner(nil)
	w.run(d, monday, 20*aDay)
	s := w.run(d, begin, 2*aDay)
	if len(s.started) != 1 || len(s.ended) != 1 {
		t.Fatalf("%d began, %d ended", len(s.started), len(s.ended))
	}
	if after := s.ended[0].Ended.Sub(begin.Add(12 * time.Hour)); after < -2*time.Hour || after > 2*time.Hour {
		t.Errorf("over %s after it was", after)
	}
}

// TestSmallSteps states that a permanent step below every floor is never called slow, nor a creep while the base follows it.
func TestSmallSteps(t *testing.T) {
	for _, step := range []float64{1.08, 1.12, 1.15} {
		for _, sigma := range []float64{.002, .05} {
			w := newWorld(during(workday, monday.Add(15*aDay+7*time.Hour), 100*aDay, step))
			w.sigma = sigma
			if s := w.run(learner(nil), monday, 25*aDay); len(s.started) > 0 {
				t.Errorf("%.2f, noise %.3f:\n%s", step, sigma, s)
			}
		}
	}
}
