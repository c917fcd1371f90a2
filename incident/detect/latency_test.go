package detect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// monday is 00:00 on a Monday in Copenhagen.
var monday = time.Date(2026, 8, 30, 22, 0, 0, 0, time.UTC)

var copenhagen = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Copenhagen")
	if err != nil {
		panic(err)
	}
	return zone
}()

var learning = Settings{Rechecks: 3, RecheckWithin: 4 * time.Second, Recover: 3, LimitWindow: 5 * time.Minute, LimitPoints: 5, SlowRatio: 1.18, SlowBy: 2 * time.Millisecond}

func learner(holiday func(time.Time) bool) *Detector {
	return New(Setup{Probe: "web", Settings: learning, Calendar: Calendar{Zone: copenhagen, Holiday: holiday}})
}

// world makes the results of one probe: a level in milliseconds by time, and noise.
type world struct {
	*rand.Rand
	every time.Duration
	sigma float64
	level func(t time.Time) float64
	spoil func(*probes.Result)
}

func newWorld(level func(t time.Time) float64) *world {
	return &world{Rand: rand.New(rand.NewPCG(1, 2)), every: time.Minute, sigma: .05, level: level}
}

func flat(time.Time) float64 { return 100 }

// workday is a wave of 60 % in working hours, in the local time of t.
func workday(t time.Time) float64 {
	local := t.In(copenhagen)
	hour := float64(local.Hour()) + float64(local.Minute())/60
	if local.Weekday() == time.Saturday || local.Weekday() == time.Sunday {
		return 100
	}
	return 100 + 60*max(0, min(1, (hour-7)/2, (18-hour)/2))
}

// told is what the detector said in a stretch of time.
type told struct{ started, ended []incident.Finding }

func (s told) String() string {
	var b strings.Builder
	for _, f := range s.started {
		fmt.Fprintf(&b, "%s %s since %s: %s\n", f.At.Format("Mon 01-02 15:04"), f.Kind, f.Since.Format("15:04"), f.Explanation)
	}
	return b.String()
}

// run plays the world to a detector.
func (w *world) run(d *Detector, from time.Time, length time.Duration) (s told) {
	for t := from; t.Before(from.Add(length)); t = t.Add(w.every) {
		r := probes.Result{Start: t, Outcome: probes.Up}
		r.Duration = time.Duration(w.level(t) * math.Exp(w.sigma*w.NormFloat64()) * float64(time.Millisecond))
		if w.spoil != nil {
			w.spoil(&r)
		}
		v := d.Observe(r)
		s.started = append(s.started, v.Started...)
		s.ended = append(s.ended, v.Ended...)
	}
	return s
}

const aDay = 24 * time.Hour

// during returns level where t lies in the stretch, times f, and level itself elsewhere.
func during(level func(time.Time) float64, from time.Time, length time.Duration, f float64) func(time.Time) float64 {
	return func(t time.Time) float64 {
		if !t.Before(from) && t.Before(from.Add(length)) {
			return level(t) * f
		}
		return level(t)
	}
}

// TestWarmUp states what is said of a baseline that is young, and that only what is gross is called slow then.
func TestWarmUp(t *testing.T) {
	d := learner(nil)
	w := newWorld(flat)
	if s := w.run(d, monday, 3*aDay+time.Hour); len(s.started) > 0 {
		t.Errorf("called slow while learning:\n%s", s)
	}
	if days, of := d.Learning(); days != 3 || of != 14 {
		t.Errorf("learning, %d of %d days; want 3 of 14", days, of)
	}
	if r := d.Reading(); r.Expected < 90*time.Millisecond || r.Expected > 115*time.Millisecond || r.Limit <= r.Expected {
		t.Errorf("%+v", r)
	}
	young := learner(nil)
	at := monday.Add(2 * time.Hour)
	w = newWorld(during(flat, at, time.Hour, 8))
	if s := w.run(young, monday, 4*time.Hour); len(s.started) > 0 {
		t.Errorf("called slow when nothing was known:\n%s", s)
	}
	at = monday.Add(10 * time.Hour)
	w = newWorld(during(flat, at, time.Hour, 3))
	if s := w.run(learner(nil), monday, 12*time.Hour); len(s.started) != 1 || !strings.Contains(s.started[0].Explanation, "learning, 0 of 14 days") {
		t.Errorf("three times slower on the first day:\n%s", s)
	}
}

// TestDoublingIsNeverMissed states that no noise hides a doubling, by day or night, on working days or not.
func TestDoublingIsNeverMissed(t *testing.T) {
	for _, sigma := range []float64{0, .01, .1, .2, .3, .45} {
		for _, hours := range []int{5*24 + 3, 6*24 + 11, 7*24 + 10, 12*24 + 14, 15 * 24} {
			at := monday.Add(time.Duration(hours) * time.Hour)
			d := learner(nil)
			w := newWorld(during(workday, at, time.Hour, 2))
			w.sigma = sigma
			w.run(d, monday, at.Sub(monday))
			if s := w.run(d, at, time.Hour); len(s.started) != 1 || s.started[0].Kind != incident.Regression {
				t.Errorf("noise %.2f, hour %d: %d findings\n%s", sigma, hours, len(s.started), s)
			}
			if d.Outage() != nil {
				t.Error("latency must never say down")
			}
		}
	}
}

// TestOrdinaryWeeks states that working days, weekends and both nights of clock change are normal, once they are known.
func TestOrdinaryWeeks(t *testing.T) {
	for _, start := range []time.Time{
		monday,
		time.Date(2026, 10, 4, 22, 0, 0, 0, time.UTC), // the night that gains an hour is in the third week
		time.Date(2027, 3, 7, 23, 0, 0, 0, time.UTC),  // the one that loses an hour
	} {
		for _, sigma := range []float64{.002, .05, .15} {
			d := learner(nil)
			w := newWorld(workday)
			w.sigma, w.every = sigma, 2*time.Minute
			w.run(d, start, 9*aDay)
			if s := w.run(d, start.Add(9*aDay), 26*aDay); len(s.started) > 0 {
				t.Errorf("from %s, noise %.3f:\n%s", start.Format("2006-01-02"), sigma, s)
			}
		}
	}
}

// TestHolidays states that a public holiday is expected to be like a weekend: what would be a working day's rise is slow then.
func TestHolidays(t *testing.T) {
	free := monday.Add(16 * aDay) // a Wednesday
	holiday := func(local time.Time) bool { return local.YearDay() == free.In(copenhagen).YearDay() }
	quiet := func(t time.Time) float64 {
		if holiday(t.In(copenhagen)) {
			return 100
		}
		return workday(t)
	}
	noon := free.Add(12 * time.Hour)
	for name, c := range map[string]struct {
		holiday func(time.Time) bool
		want    int
	}{"known": {holiday, 1}, "not known": {nil, 0}} {
		d := learner(c.holiday)
		w := newWorld(during(quiet, noon, time.Hour, 1.5))
		w.run(d, monday, noon.Sub(monday))
		if s := w.run(d, noon, time.Hour); len(s.started) != c.want {
			t.Errorf("%s: %d findings, want %d\n%s", name, len(s.started), c.want, s)
		}
	}
}

// TestWhatComesAgainIsLearnt states that what is called slow first is not called slow for ever: a job every night, one every Sunday.
func TestWhatComesAgainIsLearnt(t *testing.T) {
	job := func(weekly bool) func(time.Time) float64 {
		return func(t time.Time) float64 {
			local := t.In(copenhagen)
			if local.Hour() == 2 && t.After(monday.Add(14*aDay)) && (!weekly || local.Weekday() == time.Sunday) {
				return 300
			}
			return 100
		}
	}
	for name, c := range map[string]struct {
		level    func(time.Time) float64
		learn    time.Duration // from the first job on
		most     int
		afterFor time.Duration
	}{
		"nightly": {job(false), 14 * aDay, 8, 20 * aDay},
		"Sundays": {job(true), 21 * aDay, 3, 35 * aDay},
	} {
		d := learner(nil)
		w := newWorld(c.level)
		w.run(d, monday, 14*aDay)
		if s := w.run(d, monday.Add(14*aDay), c.learn); len(s.started) == 0 || len(s.started) > c.most {
			t.Errorf("%s: %d findings while it is learnt, want 1 to %d\n%s", name, len(s.started), c.most, s)
		}
		if s := w.run(d, monday.Add(14*aDay+c.learn), c.afterFor); len(s.started) > 0 {
			t.Errorf("%s: never learnt\n%s", name, s)
		}
	}
}

// TestPermanentChange states that a level that lasts for a day is taken as normal, that this is said, and that the next one is seen
// at its own limits; an operator may say so at once.
func TestPermanentChange(t *testing.T) {
	change, again := monday.Add(15*aDay+10*time.Hour), monday.Add(18*aDay+10*time.Hour)
	level := during(during(flat, change, 100*aDay, 1.5), again, time.Hour, 1.5)
	d := learner(nil)
	w := newWorld(level)
	w.run(d, monday, change.Sub(monday))
	s := w.run(d, change, 2*aDay)
	if len(s.started) != 1 || len(s.ended) != 1 || !s.ended[0].Accepted {
		t.Fatalf("%d findings began, %d ended: %+v", len(s.started), len(s.ended), s.ended)
	}
	if since := s.started[0].Since.Sub(change); since < -3*time.Minute || since > 3*time.Minute {
		t.Errorf("dated %s off", since)
	}
	if lasted := s.ended[0].Ended.Sub(s.ended[0].Since); lasted < aDay || lasted > aDay+time.Hour || !strings.Contains(s.ended[0].Explanation, "taken as normal") {
		t.Errorf("accepted after %s: %s", lasted, s.ended[0].Explanation)
	}
	w.run(d, change.Add(2*aDay), again.Sub(change.Add(2*aDay)))
	if s := w.run(d, again, time.Hour); len(s.started) != 1 {
		t.Errorf("the next change: %d findings\n%s", len(s.started), s)
	}

	d, w = learner(nil), newWorld(level)
	w.run(d, monday, change.Sub(monday)+2*time.Hour)
	v, ok := d.Accept()
	if !ok || len(v.Ended) != 1 || !v.Ended[0].Accepted || len(d.Findings()) != 0 {
		t.Fatalf("accepted %v: %+v", ok, v)
	}
	if s := w.run(d, change.Add(2*time.Hour), aDay); len(s.started) > 0 {
		t.Errorf("after an operator accepted it:\n%s", s)
	}
	if _, ok := learner(nil).Accept(); ok {
		t.Error("nothing is measured that could be accepted")
	}
}

// TestBursts states that short slow stretches that come again are one finding, which is quiet in between, and that its numbers say
// how often.
func TestBursts(t *testing.T) {
	begin := monday.Add(15 * aDay)
	level := func(t time.Time) float64 {
		if since := t.Sub(begin); since >= 0 && since < 4*time.Hour && since%(30*time.Minute) < 6*time.Minute {
			return 300
		}
		return 100
	}
	d := learner(nil)
	w := newWorld(level)
	w.run(d, monday, begin.Sub(monday))
	quiet, most := 0, 0
	var s told
	for at := time.Duration(0); at < 6*time.Hour; at += time.Minute {
		one := w.run(d, begin.Add(at), time.Minute)
		s.started, s.ended = append(s.started, one.started...), append(s.ended, one.ended...)
		if f := d.Finding(incident.Regression); f != nil {
			if !f.Quiet.IsZero() {
				quiet++
				if f.Quiet.Before(f.Again) {
					t.Fatalf("quiet since %s, before it began again at %s", f.Quiet, f.Again)
				}
			}
			most = max(most, f.Latency.Stretch)
		}
	}
	if len(s.started) != 1 || len(s.ended) != 1 || quiet < 60 || most != 8 {
		t.Errorf("%d findings, %d ended, quiet for %d min, %d stretches; want one of 8 stretches\n%s", len(s.started), len(s.ended), quiet, most, s)
	}
	if end := s.ended[0].Ended.Sub(begin); end < 3*time.Hour+34*time.Minute || end > 3*time.Hour+40*time.Minute {
		t.Errorf("over %s after it began, want where the last burst ended", end)
	}
}

// TestCreep states that a rise of 1 % an hour is seen before it has reached a quarter.
func TestCreep(t *testing.T) {
	begin := monday.Add(15 * aDay)
	level := func(t time.Time) float64 {
		return workday(t) * math.Pow(1.01, max(0, t.Sub(begin).Hours()))
	}
	d := learner(nil)
	w := newWorld(level)
	w.run(d, monday, begin.Sub(monday))
	s := w.run(d, begin, 23*time.Hour)
	if len(s.started) != 1 {
		t.Errorf("%d findings before it reached 25 %%", len(s.started))
	}
}

// TestWhere states that a finding says which phase takes the time.
func TestWhere(t *testing.T) {
	slow := monday.Add(15 * aDay)
	w := newWorld(flat)
	w.spoil = func(r *probes.Result) {
		r.Phases = []probes.Phase{{Name: probes.PhaseDNS, Duration: r.Duration / 20}, {Name: probes.PhaseConnect, Duration: r.Duration / 10}, {Name: probes.PhaseTLS, Duration: r.Duration / 5}, {Name: probes.PhaseFirstByte, Duration: r.Duration / 2}}
		if r.Start.After(slow) {
			r.Duration += 280 * time.Millisecond
			r.Phases[2].Duration += 280 * time.Millisecond
		}
	}
	d := learner(nil)
	w.run(d, monday, slow.Sub(monday))
	w.run(d, slow, 30*time.Minute)
	f := d.Finding(incident.Regression)
	if f == nil || f.Latency == nil || len(f.Latency.Where) == 0 || f.Latency.Where[0].Phase != probes.PhaseTLS {
		t.Fatalf("%+v", f)
	}
	e := f.Latency
	if e.Phase != probes.PhaseTotal || e.Days < 5 || e.Ratio < 3.5 || e.Ratio > 4.1 || e.Over != e.Of || e.LimitBy != "floor" || e.Hour != "Tue 0 h" {
		t.Errorf("%+v", e)
	}
	for _, part := range []string{"total: median of the last 7 runs (7m) 38", "normal for this hour (Tue 0 h) ", " days like it", "20 of the last 20 runs over it", "tls 28", "since about "} {
		if !strings.Contains(f.Explanation, part) {
			t.Errorf("%q does not say %q", f.Explanation, part)
		}
	}
}

// TestRoundTrip states that an ICMP probe is judged by its round trip, not by the time of the run.
func TestRoundTrip(t *testing.T) {
	slow := monday.Add(8 * aDay)
	w := newWorld(func(time.Time) float64 { return 3000 })
	w.spoil = func(r *probes.Result) {
		rtt := 20 * time.Millisecond
		if r.Start.After(slow) {
			rtt *= 3
		}
		r.Phases = []probes.Phase{{Name: probes.PhaseRTT, Duration: rtt}}
	}
	d := learner(nil)
	w.run(d, monday, slow.Sub(monday)+10*time.Minute)
	if f := d.Finding(incident.Regression); f == nil || f.Latency.Phase != probes.PhaseRTT || f.Latency.Median.Round(time.Millisecond) != 60*time.Millisecond {
		t.Errorf("%+v", f)
	}
}

// TestSmallTimes states that what nobody can feel is not slow.
func TestSmallTimes(t *testing.T) {
	at := monday.Add(8 * aDay)
	w := newWorld(during(func(time.Time) float64 { return .3 }, at, time.Hour, 3))
	d := learner(nil)
	if s := w.run(d, monday, 9*aDay); len(s.started) > 0 {
		t.Errorf("0.9 ms is called slow:\n%s", s)
	}
}

// TestPaces states that a probe is judged alike whether it runs every second, every ten minutes, or each hour.
func TestPaces(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		days  int
		after time.Duration // within which a doubling is seen
	}{{5 * time.Second, 5, 5 * time.Minute}, {20 * time.Second, 6, 5 * time.Minute}, {10 * time.Minute, 9, 2 * time.Hour}, {time.Hour, 16, 8 * time.Hour}} {
		at := monday.Add(time.Duration(c.days)*aDay + 12*time.Hour)
		d := learner(nil)
		w := newWorld(during(flat, at, 3*aDay, 2))
		w.every = c.every
		if s := w.run(d, monday, at.Sub(monday)); len(s.started) > 0 {
			t.Errorf("every %s:\n%s", c.every, s)
		}
		if s := w.run(d, at, c.after); len(s.started) != 1 {
			t.Errorf("every %s: %d findings %s after a doubling", c.every, len(s.started), c.after)
		}
	}
}

// TestNothingIsLearntOf states which results never enter the baseline.
func TestNothingIsLearntOf(t *testing.T) {
	for name, spoil := range map[string]func(*probes.Result){
		"lagging":   func(r *probes.Result) { r.Lagging = true },
		"unknown":   func(r *probes.Result) { r.Outcome = probes.Unknown },
		"re-probes": func(r *probes.Result) { r.Recheck = true },
		"down":      func(r *probes.Result) { r.Outcome, r.Reason = probes.Down, probes.Timeout },
	} {
		d := learner(nil)
		w := newWorld(flat)
		w.run(d, monday, 5*aDay)
		want := d.AllBaseline()
		w.level, w.spoil = func(time.Time) float64 { return 1000 }, spoil
		w.run(d, monday.Add(5*aDay), 6*time.Hour)
		if !slices.Equal(d.AllBaseline(), want) || d.Finding(incident.Regression) != nil {
			t.Errorf("%s results changed the baseline, or were called slow", name)
		}
	}
	witness := New(Setup{Probe: "w", Settings: learning, Unlearnt: true})
	newWorld(flat).run(witness, monday, aDay)
	if witness.AllBaseline() != nil || wholeState(witness).Latency != nil {
		t.Error("something is learnt of a witness")
	}
}
