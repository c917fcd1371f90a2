package detect

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

var (
	sessions     = Threshold{probes.NumberKind{Name: "sessions", Unit: "%", Full: 100}, 90}
	hosts        = Threshold{probes.NumberKind{Name: "hosts", Low: true}, 2}
	certificates = Threshold{probes.NumberKind{Name: probes.CertificateDays, Unit: "days", Low: true, Countdown: true}, 21}
)

func watching(thresholds ...Threshold) *Detector {
	return New(Setup{Probe: "pool", Settings: settings, Numbers: thresholds})
}

// again returns a Detector that goes on from what d would have saved.
func again(t testing.TB, d *Detector) *Detector {
	t.Helper()
	data, err := json.Marshal(wholeState(d))
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return New(Setup{Probe: d.probe, Settings: d.set, Limits: d.limits, Numbers: d.numbered, State: s})
}

func measuredAt(at time.Time, name string, value float64) probes.Result {
	return probes.Result{Start: at, Duration: time.Millisecond, Outcome: probes.Up, Numbers: []probes.Number{{Name: name, Value: value}}}
}

// run plays values a minute apart and returns what started and ended, by the index of Since and Ended.
func run(d *Detector, name string, values ...float64) string {
	var story []string
	for i, value := range values {
		at := t0.Add(time.Duration(i) * time.Minute)
		v := d.Observe(measuredAt(at, name, value))
		for _, f := range v.Started {
			story = append(story, fmt.Sprintf("%s@%d", f.Kind, int(f.Since.Sub(t0)/time.Minute)))
		}
		for _, f := range v.Ended {
			story = append(story, fmt.Sprintf("end@%d", int(f.Ended.Sub(t0)/time.Minute)))
		}
	}
	return strings.Join(story, " ")
}

func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		name   string
		limit  Threshold
		values []float64
		want   string
	}{
		{"inside", sessions, []float64{0, 89.9, 89.99, 12, 89}, ""},
		{"a peak that does not last", sessions, []float64{10, 95, 95, 95, 89, 95, 95, 95, 10}, ""},
		{"reached counts as passed", sessions, []float64{89, 90, 90, 90, 90}, "threshold@1"},
		{"passed", sessions, []float64{95, 95, 95, 95, 99}, "threshold@0"},
		{"just inside is not over", sessions, []float64{95, 95, 95, 95, 85, 82, 81, 89, 85, 85}, "threshold@0"},
		{"over", sessions, []float64{95, 95, 95, 95, 85, 80, 80, 80}, "threshold@0 end@5"},
		{"over wants a row", sessions, []float64{95, 95, 95, 95, 80, 80, 85, 80, 80, 95, 80, 80, 80}, "threshold@0 end@10"},
		{"and again", sessions, []float64{95, 95, 95, 95, 80, 80, 80, 95, 95, 95, 95}, "threshold@0 end@4 threshold@7"},
		{"a low one", hosts, []float64{5, 3, 2, 1, 2, 0, 2.2, 2.1, 3, 3, 3}, "threshold@2 end@8"},
		{"a renewed certificate", certificates, []float64{22, 21, 20.9, 20.8, 20.7, 20.6, 90, 90, 90}, "threshold@1 end@6"},
		{"one day more is no renewal", certificates, []float64{20, 20, 20, 20, 22, 23, 22, 23, 22, 23}, "threshold@0"},
		{"without a margin", Threshold{probes.NumberKind{Name: "left", Low: true}, 0}, []float64{0, 0, -1, 0, 1, 1, 1}, "threshold@0 end@4"},
		{"nonsense", sessions, []float64{math.NaN(), math.Inf(1), math.Inf(1), math.Inf(1), math.Inf(1)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := run(watching(c.limit), c.limit.Name, c.values...); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestNumbersThatSayNothing states which results are never used, though they hold a number.
func TestNumbersThatSayNothing(t *testing.T) {
	for name, spoil := range map[string]func(*probes.Result){
		"unknown": func(r *probes.Result) { r.Outcome = probes.Unknown },
		"down":    func(r *probes.Result) { r.Outcome = probes.Down },
		"lagging": func(r *probes.Result) { r.Lagging = true },
		"other":   func(r *probes.Result) { r.Numbers[0].Name = "other" },
		"late":    func(r *probes.Result) { r.Start = r.Start.Add(-time.Hour) },
	} {
		d := watching(sessions)
		d.Observe(measuredAt(t0, "sessions", 10))
		for i := range 9 {
			r := measuredAt(t0.Add(time.Duration(i+1)*time.Minute), "sessions", 99)
			spoil(&r)
			d.Observe(r)
		}
		if f := d.Finding(incident.Threshold); f != nil {
			t.Errorf("%s: %+v", name, f)
		}
		if g := d.State().Numbers["sessions"]; g.Value != 10 || !g.At.Equal(t0) {
			t.Errorf("%s: %+v", name, g)
		}
	}
}

// TestQuickReProbesConfirmThresholds states that a probe that runs once a day is not judged next week only.
func TestQuickReProbesConfirmThresholds(t *testing.T) {
	d := watching(certificates)
	at := func(i int, days float64, recheck bool) Verdict {
		r := measuredAt(t0.Add(time.Duration(i)*time.Second), probes.CertificateDays, days)
		r.Recheck = recheck
		return d.Observe(r)
	}
	if v := at(0, 20, false); v.Recheck != 3 || v.Changed() {
		t.Fatalf("%+v", v)
	}
	at(1, 20, true)
	at(2, 20, true)
	if v := at(3, 20, true); len(v.Started) != 1 || v.Started[0].Reason != probes.Capacity || v.Started[0].Kind != incident.Threshold {
		t.Fatalf("%+v", v)
	}
	if v := at(10, 90, false); v.Recheck != 2 {
		t.Fatalf("%+v", v)
	}
}

// TestSeveralNumbers states that numbers of one probe are judged on their own, beside what the probe itself reports.
func TestSeveralNumbers(t *testing.T) {
	d := watching(certificates, sessions)
	var ended []incident.Finding
	for i := range 30 {
		r := probes.Result{Start: t0.Add(time.Duration(i) * time.Minute), Outcome: probes.Degraded, Reason: probes.Capacity, Detail: "draining"}
		r.Numbers = []probes.Number{{Name: "sessions", Value: 95}, {Name: probes.CertificateDays, Value: 5, Of: "the authority R3"}}
		switch i / 10 {
		case 1:
			r.Numbers[0].Value = 20
		case 2:
			r.Outcome, r.Reason, r.Numbers = probes.Up, probes.None, r.Numbers[1:]
		}
		ended = append(ended, d.Observe(r).Ended...)
		if want := 3 - i/10; i%10 == 9 && len(d.Findings()) != want {
			t.Errorf("after %d: %+v", i, d.Findings())
		}
		if i == 9 && d.Finding(incident.Threshold).Explanation[:8] != "draining" {
			t.Errorf("first is %+v", d.Finding(incident.Threshold))
		}
	}
	if len(ended) != 2 || !strings.HasPrefix(ended[0].Explanation, "sessions is 20 %") {
		t.Errorf("ended: %+v", ended)
	}
	if f := d.Finding(incident.Threshold); !strings.HasPrefix(f.Explanation, "certificate_days (the authority R3) is 5 days") || !d.Beyond() {
		t.Errorf("%+v", f)
	}
}

// TestAbsentNumber states that what is not measured any more does not last for ever, and is not over at once.
func TestAbsentNumber(t *testing.T) {
	d := watching(certificates)
	run(d, probes.CertificateDays, 5, 5, 5, 5)
	var ended time.Duration
	for i := range 40 {
		at := time.Duration(i+1) * time.Hour
		if v := d.Observe(probes.Result{Start: t0.Add(at), Outcome: probes.Up}); len(v.Ended) > 0 {
			ended = at
		}
	}
	if ended < 24*time.Hour || ended > 26*time.Hour || len(d.Findings()) > 0 {
		t.Errorf("ended after %s", ended)
	}
}

// TestThresholdIsNoLongerConfigured states that what is no longer limited is gone, and that a changed limit is judged by the next
// results.
func TestThresholdIsNoLongerConfigured(t *testing.T) {
	d := watching(sessions)
	run(d, "sessions", 95, 95, 95, 95)
	gone := again(t, d)
	gone.watch([]Threshold{certificates})
	if len(gone.Findings()) > 0 || len(gone.State().Numbers) > 0 {
		t.Errorf("%+v", gone.State())
	}
	wider := sessions
	wider.Limit = 99
	other := again(t, d)
	other.watch([]Threshold{wider})
	r := measuredAt(t0.Add(time.Hour), "sessions", 95)
	if v := other.Observe(r); v.Changed() || !strings.Contains(other.Finding(incident.Threshold).Explanation, "limit 99 %") {
		t.Errorf("%+v", other.Findings())
	}
	r.Numbers[0].Value = 60
	for range 3 {
		r.Start = r.Start.Add(time.Minute)
		other.Observe(r)
	}
	if len(other.Findings()) > 0 {
		t.Errorf("%+v", other.Findings())
	}
}

// TestThresholdForgetAndRewind states that only what is confirmed survives a sleep, and that nothing stays in the future.
func TestThresholdForgetAndRewind(t *testing.T) {
	d := watching(sessions)
	run(d, "sessions", 95, 95, 95)
	d.Forget()
	later := d.Observe(measuredAt(t0.Add(time.Hour), "sessions", 95))
	if later.Changed() || later.Recheck != 3 {
		t.Errorf("what was seen before the sleep counts: %+v", later)
	}
	d = watching(sessions)
	for i := range 4 {
		d.Observe(measuredAt(t0.AddDate(0, 0, i-3), "sessions", 95))
	}
	past := t0.AddDate(0, 0, -2)
	d.Rewind(past)
	if f := d.Finding(incident.Threshold); f == nil || f.Since.After(past) {
		t.Fatalf("%+v", f)
	}
	g := d.State().Numbers["sessions"]
	if g.At.After(past) || len(g.Trend.Slots) != 1 || len(g.Trend.Values) > 0 {
		t.Errorf("%+v", g)
	}
	var ended []incident.Finding
	for i := range 4 {
		ended = append(ended, d.Observe(measuredAt(past.Add(time.Duration(i)*time.Second), "sessions", 5)).Ended...)
	}
	if len(ended) != 1 {
		t.Errorf("it does not end: %+v", d.State())
	}
}

// TestThresholdRoundTrip states that a Detector restored at any point says what one says that never ended, word for word.
func TestThresholdRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var all []probes.Result
	for i := range 400 {
		r := measuredAt(t0.Add(time.Duration(i)*30*time.Minute), "sessions", 60+20*math.Sin(float64(i)/7.6)+float64(i)/12+4*random.Float64())
		switch {
		case i%17 == 0:
			r.Outcome = probes.Unknown
		case i%23 == 0:
			r.Numbers = nil
		case i%29 == 0:
			r.Recheck = true
		}
		r.Numbers = append(r.Numbers, probes.Number{Name: probes.CertificateDays, Value: 23 - float64(i)/48})
		all = append(all, r)
	}
	whole := watching(sessions, certificates)
	var want []Verdict
	for _, r := range all {
		want = append(want, whole.Observe(r))
	}
	if n := len(slices.DeleteFunc(slices.Clone(want), func(v Verdict) bool { return !v.Changed() })); n < 4 {
		t.Fatalf("the story has %d turns only", n)
	}
	one := watching(sessions, certificates)
	for i, r := range all {
		one = again(t, one)
		if diff := cmp.Diff(want[i], one.Observe(r)); diff != "" {
			t.Fatalf("cut before each result, at %d (-want +got):\n%s", i, diff)
		}
	}
	if diff := cmp.Diff(whole.Findings(), one.Findings()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestThresholdProperties states what holds for any values: findings start and end in turn, none starts while the number is inside
// its limit and none ends before it is past the release, and noise that is smaller than the margin makes one at the most.
func TestThresholdProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := Threshold{probes.NumberKind{Name: "n", Low: rapid.Bool().Draw(rt, "low")}, rapid.Float64Range(0.001, 1e6).Draw(rt, "limit")}
		d := watching(limit)
		around := rapid.Float64Range(0.5, 1.5).Draw(rt, "around")
		noise := rapid.Float64Range(0, 0.6).Draw(rt, "noise")
		lasts, starts := false, 0
		least, most := math.Inf(1), math.Inf(-1)
		at := t0
		for range rapid.IntRange(1, 200).Draw(rt, "results") {
			at = at.Add(time.Duration(rapid.IntRange(-10, 4000).Draw(rt, "after")) * time.Second)
			value := limit.Limit * (around + noise*rapid.Float64Range(-1, 1).Draw(rt, "value"))
			least, most = min(least, value), max(most, value)
			r := measuredAt(at, "n", value)
			r.Recheck = rapid.Bool().Draw(rt, "recheck")
			v := d.Observe(r)
			if len(v.Started)+len(v.Ended) > 1 || len(v.Started) > 0 && lasts || len(v.Ended) > 0 && !lasts {
				rt.Fatalf("lasts %t: %+v", lasts, v)
			}
			if len(v.Started) > 0 {
				lasts, starts = true, starts+1
				if !limit.Passed(value, limit.Limit) {
					rt.Fatalf("started at %v inside %v", value, limit.Limit)
				}
			}
			if len(v.Ended) > 0 {
				lasts = false
				if !limit.released(value) || v.Ended[0].Ended.Before(v.Ended[0].Since) {
					rt.Fatalf("ended at %v, limit %v: %+v", value, limit.Limit, v.Ended)
				}
			}
			if (d.Finding(incident.Threshold) != nil) != lasts {
				rt.Fatal("what lasts and what was said differ")
			}
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				d = again(t, d)
			}
		}
		if most-least < margin*limit.Limit*0.99 && starts > 1 {
			rt.Fatalf("%d findings of noise within %v to %v around %v", starts, least, most, limit.Limit)
		}
	})
}

// TestThresholdStateIsBounded states that years of results take no more room than a week's.
func TestThresholdStateIsBounded(t *testing.T) {
	d := watching(sessions, hosts)
	size := 0
	for i := range 100_000 {
		r := measuredAt(t0.Add(time.Duration(i)*5*time.Minute), "sessions", 50+float64(i%700)/9)
		r.Numbers = append(r.Numbers, probes.Number{Name: "hosts", Value: 3}, probes.Number{Name: "unlimited", Value: 3})
		d.Observe(r)
		if i%10_000 == 9_999 {
			data, err := json.Marshal(d.State().Numbers)
			if err != nil {
				t.Fatal(err)
			}
			size = max(size, len(data))
		}
	}
	if size > 5<<10 {
		t.Errorf("two numbers take %d bytes", size)
	}
	d = watching(sessions)
	d.Observe(measuredAt(t0, "sessions", math.MaxFloat64))
	again(t, d)
}

func BenchmarkObserveNumber(b *testing.B) {
	for name, value := range map[string]float64{"inside": 42, "passed": 95} {
		b.Run(name, func(b *testing.B) {
			d := watching(sessions, certificates)
			r := measuredAt(t0, "sessions", value)
			r.Numbers = append(r.Numbers, probes.Number{Name: probes.CertificateDays, Value: 90})
			for range 10_000 { // the state of a live probe
				r.Start = r.Start.Add(2 * time.Minute)
				d.Observe(r)
			}
			b.ReportAllocs()
			for b.Loop() {
				r.Start = r.Start.Add(10 * time.Second)
				d.Observe(r)
			}
		})
	}
}

// TestObserveNumberAllocatesNothing holds the benchmark's promise.
func TestObserveNumberAllocatesNothing(t *testing.T) {
	d := watching(sessions)
	r := measuredAt(t0, "sessions", 42)
	one := func() {
		r.Start = r.Start.Add(10 * time.Minute)
		d.Observe(r)
	}
	for range 2000 {
		one()
	}
	if n := testing.AllocsPerRun(2000, one); n != 0 {
		t.Errorf("%v allocations a result; want none", n)
	}
}

// TestLateNumberAfterARestart states that a long run that began before the newest one says nothing, after a restart neither.
func TestLateNumberAfterARestart(t *testing.T) {
	d := watching(sessions)
	run(d, "sessions", 95, 95, 95, 20)
	d = again(t, d)
	for range 4 {
		if v := d.Observe(measuredAt(t0, "sessions", 95)); v.Changed() || v.Recheck > 0 {
			t.Fatalf("%+v", v)
		}
	}
}

// TestAbsentNumberBreaksARow states that results in a row are in a row.
func TestAbsentNumberBreaksARow(t *testing.T) {
	d := watching(sessions)
	for i := range 9 {
		r := measuredAt(t0.Add(time.Duration(i)*time.Minute), "sessions", 95)
		if i%4 == 3 {
			r.Numbers = nil
		}
		if v := d.Observe(r); v.Changed() {
			t.Fatalf("at %d: %+v", i, v)
		}
	}
}

// TestQuickReProbesMakeNoTrend states that a burst of runs does not weigh more than time does.
func TestQuickReProbesMakeNoTrend(t *testing.T) {
	d := watching(sessions)
	for i := range 4 {
		r := measuredAt(t0.Add(time.Duration(i)*time.Second), "sessions", 95)
		r.Recheck = i > 0
		d.Observe(r)
	}
	if g := d.State().Numbers["sessions"]; len(g.Trend.Values) != 1 || g.Finding == nil {
		t.Errorf("%+v", g)
	}
}
