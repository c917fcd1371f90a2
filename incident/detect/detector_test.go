package detect

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

var (
	t0       = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	settings = Settings{Rechecks: 3, RecheckWithin: 4 * time.Second, Recover: 3, LimitWindow: 5 * time.Minute, LimitPoints: 5}
)

// feed plays one letter a second: u up, d down, r down in a re-probe, g up in a re-probe, ? unknown, l lagging down, c capacity,
// f functional.
func feed(d *Detector, letters string) (started, ended []incident.Finding, rechecks []int) {
	for i, letter := range letters {
		r := probes.Result{Start: t0.Add(time.Duration(i) * time.Second), Duration: 10 * time.Millisecond, Detail: "bad"}
		switch letter {
		case 'u':
			r.Outcome = probes.Up
		case 'g':
			r.Outcome, r.Recheck = probes.Up, true
		case 'd':
			r.Outcome, r.Reason = probes.Down, probes.Refused
		case 'r':
			r.Outcome, r.Reason, r.Recheck = probes.Down, probes.Refused, true
		case 'l':
			r.Outcome, r.Reason, r.Lagging = probes.Down, probes.Timeout, true
		case 'c':
			r.Outcome, r.Reason = probes.Degraded, probes.Capacity
		case 'f':
			r.Outcome, r.Reason = probes.Degraded, probes.Functional
		}
		v := d.Observe(r)
		started, ended, rechecks = append(started, v.Started...), append(ended, v.Ended...), append(rechecks, v.Recheck)
	}
	return started, ended, rechecks
}

func TestMachines(t *testing.T) {
	tests := []struct {
		name, letters string
		started       string // kind@second of Since, space separated
		ended         string
		suspect       bool
	}{
		{"good", "uuuu", "", "", false},
		{"a blip", "uduuu", "", "", false},
		{"a blip refuted by a re-probe", "udrgrr", "", "", true},
		{"first failure", "ud", "", "", true},
		{"all re-probes fail", "udrrr", "outage@1", "", false},
		{"scheduled runs alone confirm too", "udddd", "outage@1", "", false},
		{"recovery wants three good in a row", "udrrruguugg", "outage@1", "outage@5", false},
		{"a failure in between starts the recovery again", "udrrrugduuuuu", "outage@1", "outage@8", false},
		{"where good ones came in between, three may be luck", "udrrrugduuuu", "outage@1", "", false},
		{"unknown says nothing", "ud?r?rr", "outage@1", "", false},
		{"unknown does not recover", "udrrr????", "outage@1", "", false},
		{"lagging failures are never used", "ulllllll", "", "", false},
		{"a threshold", "ucccc", "threshold@1", "", false},
		{"a threshold ends", "uccccuuu", "threshold@1", "threshold@5", false},
		{"functional is no outage", "uffff", "functional@1", "", false},
		{"functional after an outage: the outage ends", "udrrrfff", "outage@1", "outage@5", false},
		{"functional ends", "uffffuuu", "functional@1", "functional@5", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDetector(settings, nil, State{})
			started, ended, _ := feed(d, tt.letters)
			if got := list(started, func(f incident.Finding) time.Time { return f.Since }); got != tt.started {
				t.Errorf("started %q, want %q", got, tt.started)
			}
			if got := list(ended, func(f incident.Finding) time.Time { return f.Ended }); got != tt.ended {
				t.Errorf("ended %q, want %q", got, tt.ended)
			}
			if d.Suspect() != tt.suspect {
				t.Errorf("suspect %v, want %v", d.Suspect(), tt.suspect)
			}
		})
	}
}

func list(findings []incident.Finding, at func(incident.Finding) time.Time) string {
	var words []string
	for _, f := range findings {
		words = append(words, string(f.Kind)+"@"+strings.TrimSuffix(at(f).Sub(t0).String(), "s"))
	}
	return strings.Join(words, " ")
}

// TestRechecks states how many quick re-probes are asked for, and that re-probes ask for no more.
func TestRechecks(t *testing.T) {
	_, _, got := feed(newDetector(settings, nil, State{}), "udrrruggu")
	for i, want := range []int{0, 3, 0, 0, 0, 2, 0, 0, 0} {
		if got[i] != want {
			t.Errorf("after result %d: %d re-probes, want %d (%v)", i, got[i], want, got)
		}
	}
	none := settings
	none.Rechecks = 0
	started, _, _ := feed(newDetector(none, nil, State{}), "ud")
	if len(started) != 1 {
		t.Error("without re-probes the first failure confirms")
	}
}

// TestLimits states that a limit is judged on the median of a window, never on one sample, and never says down.
func TestLimits(t *testing.T) {
	limits := []Limit{{Phase: "total", Max: time.Second}}
	latency := func(d *Detector, at time.Duration, took time.Duration) Verdict {
		return d.Observe(probes.Result{Start: t0.Add(at), Duration: took, Outcome: probes.Up})
	}
	d := newDetector(settings, limits, State{})
	for i := range 30 {
		took := 100 * time.Millisecond
		if i%3 == 0 {
			took = 4 * time.Second // a third of the samples are slow: the median is not
		}
		if v := latency(d, time.Duration(i)*10*time.Second, took); v.Changed() {
			t.Fatalf("sample %d: %+v", i, v)
		}
	}
	var began, over time.Duration
	for i := range 60 {
		at := 300*time.Second + time.Duration(i)*10*time.Second
		took := 4 * time.Second
		if i >= 30 {
			took = 100 * time.Millisecond
		}
		v := latency(d, at, took)
		for _, f := range v.Started {
			began = at
			if f.Kind != incident.Regression || f.Reason != probes.Slow || !strings.Contains(f.Explanation, "limit 1s") {
				t.Errorf("finding %+v", f)
			}
		}
		for range v.Ended {
			over = at
		}
	}
	if began < 320*time.Second || began > 420*time.Second || over < 700*time.Second || over > 760*time.Second {
		t.Errorf("began %s, over %s", began, over)
	}
	if d.Outage() != nil {
		t.Error("latency must never say down")
	}
}

// TestSeldom states that a probe that runs less often than the window holds is still judged.
func TestSeldom(t *testing.T) {
	d := newDetector(settings, []Limit{{Phase: "total", Max: time.Second}}, State{})
	n := 0
	for i := range 8 {
		n += len(d.Observe(probes.Result{Start: t0.Add(time.Duration(i) * 15 * time.Minute), Duration: 2 * time.Second, Outcome: probes.Up}).Started)
	}
	if n != 1 {
		t.Errorf("%d findings, want 1", n)
	}
}

// TestStateRoundTrip states that a Detector restored from JSON at any point goes on as if nothing had happened.
func TestStateRoundTrip(t *testing.T) {
	const letters = "uudruuudrrrruuggdrrrrcccccuuufffffuu?ldduuuu"
	whole := newDetector(settings, nil, State{})
	wantStarted, wantEnded, _ := feed(whole, letters)
	for cut := range letters {
		d := newDetector(settings, nil, State{})
		s1, e1, _ := feed(d, letters[:cut])
		data, err := json.Marshal(wholeState(d))
		if err != nil {
			t.Fatal(err)
		}
		var st State
		if err := json.Unmarshal(data, &st); err != nil {
			t.Fatal(err)
		}
		s2, e2, _ := feed(newDetector(settings, nil, st), strings.Repeat("?", cut)+letters[cut:])
		if len(s1)+len(s2) != len(wantStarted) || len(e1)+len(e2) != len(wantEnded) {
			t.Errorf("cut at %d: %d started, %d ended; want %d, %d", cut, len(s1)+len(s2), len(e1)+len(e2), len(wantStarted), len(wantEnded))
		}
	}
}

func TestForget(t *testing.T) {
	d := newDetector(settings, nil, State{})
	feed(d, "udr")
	d.Forget()
	if d.Suspect() || !d.Doubt().IsZero() {
		t.Error("a suspicion must be forgotten")
	}
	feed(d, "drrr")
	d.Forget()
	if d.Outage() == nil {
		t.Error("a confirmed outage must stay")
	}
	d.Retract()
	if d.Outage() != nil {
		t.Error("a retracted outage must go")
	}
}

func BenchmarkObserve(b *testing.B) {
	d := newDetector(settings, []Limit{{Phase: "total", Max: time.Second}}, State{})
	r := probes.Result{Start: t0, Duration: 10 * time.Millisecond, Outcome: probes.Up}
	for b.Loop() {
		r.Start = r.Start.Add(10 * time.Second)
		d.Observe(r)
	}
}

// TestLateResults states that a long run says nothing where one that began after it has already said the opposite.
func TestLateResults(t *testing.T) {
	at := func(start, took time.Duration, o probes.Outcome) probes.Result {
		return probes.Result{Start: t0.Add(start), Duration: took, Outcome: o}
	}
	d := newDetector(settings, nil, State{})
	d.Observe(at(0, time.Second, probes.Up))
	for s := range 4 {
		d.Observe(at(time.Duration(10+s)*time.Second, time.Second, probes.Down))
	}
	for range 3 {
		if v := d.Observe(at(9*time.Second, 30*time.Second, probes.Up)); v.Changed() || v.Recheck > 0 {
			t.Fatalf("an answer to a question from before the outage ends it: %+v", v)
		}
	}
	for range 3 {
		d.Observe(at(40*time.Second, time.Second, probes.Up))
	}
	if d.Outage() != nil {
		t.Fatal("the outage is over")
	}
	if v := d.Observe(at(39*time.Second, 30*time.Second, probes.Down)); d.Suspect() || v.Recheck > 0 {
		t.Error("a run that began before the recovery began an outage anew")
	}
}

// TestRegressionStays states that a regression ends only by measurement: not because the window is empty, but with the outage
// that came after it and with its limit.
func TestRegressionStays(t *testing.T) {
	limits := []Limit{{Phase: "total", Max: time.Second}}
	slow := func() *Detector {
		d := newDetector(settings, limits, State{})
		for i := range 5 {
			d.Observe(probes.Result{Start: t0.Add(time.Duration(i) * time.Second), Duration: 2 * time.Second, Outcome: probes.Up})
		}
		if len(d.Findings()) != 1 {
			t.Fatal("no regression")
		}
		return d
	}
	d := slow()
	d.Forget()
	for i := range 4 {
		if v := d.Observe(probes.Result{Start: t0.Add(time.Duration(60+i) * time.Second), Duration: time.Millisecond, Outcome: probes.Up}); v.Changed() {
			t.Fatalf("ended by %d results", i+1)
		}
	}
	if v := d.Observe(probes.Result{Start: t0.Add(70 * time.Second), Duration: time.Millisecond, Outcome: probes.Up}); len(v.Ended) != 1 {
		t.Fatal("five results are enough")
	}
	d = slow()
	for i := range 7 {
		o := probes.Down
		if i > 3 {
			o = probes.Up
		}
		d.Observe(probes.Result{Start: t0.Add(time.Duration(60+i) * time.Second), Outcome: o, Recheck: true})
	}
	if len(d.Findings()) != 0 {
		t.Errorf("after an outage: %+v", d.Findings())
	}
	if all := newDetector(settings, nil, slow().State()).Findings(); len(all) != 0 {
		t.Errorf("without the limit: %+v", all)
	}
	other := newDetector(settings, []Limit{{Phase: "tls", Max: time.Second}}, slow().State())
	if len(other.State().Windows) != 0 || len(other.Findings()) != 1 {
		t.Error("with another limit the regression stays until that is judged, its samples do not")
	}
	d = slow()
	d.ForgetRegression()
	if len(d.Findings()) != 0 {
		t.Error("a forgotten regression must go")
	}
}

// TestRewind states that a state from the future neither keeps an outage from ending nor one from beginning.
func TestRewind(t *testing.T) {
	for _, letters := range []string{"uuuu", "uudrrr", "uuud", "uucc", "uuff"} {
		before := newDetector(settings, nil, State{})
		feed(before, strings.Repeat("?", 1000)+letters)
		d := newDetector(settings, nil, before.State())
		d.Rewind(t0)
		feed(d, "?uuu")
		if d.Outage() != nil || d.Suspect() {
			t.Errorf("%s: no recovery", letters)
		}
		started, _, _ := feed(d, "?????drrr")
		if d.Outage() == nil {
			t.Errorf("%s: no outage", letters)
		}
		again := newDetector(settings, nil, before.State())
		again.Rewind(t0)
		more, _, _ := feed(again, "?cccc")
		for _, f := range append(started, more...) {
			if f.Since.After(t0.Add(10 * time.Second)) {
				t.Errorf("%s: %s since the future", letters, f.Kind)
			}
		}
	}
	d := newDetector(settings, []Limit{{Phase: "total", Max: time.Second}}, State{Regression: &incident.Finding{Since: t0.Add(time.Hour)}})
	d.Observe(probes.Result{Start: t0.Add(time.Hour), Duration: time.Minute, Outcome: probes.Up})
	if d.Rewind(t0); !d.Findings()[0].Since.Equal(t0) || len(d.State().Windows) != 0 {
		t.Error("slow since the future, or by samples of it")
	}
}

func newDetector(set Settings, limits []Limit, s State) *Detector {
	return New(Setup{Probe: "web", Settings: set, Limits: limits, State: s, Functional: func(r probes.Reason) bool { return r == probes.Functional }})
}
