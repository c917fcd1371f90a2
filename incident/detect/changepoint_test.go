package detect_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/firstcall-agent/firstcall/incident/detect"
)

// declared is a change of level: the index of its onset, and that of the point at which it was told.
type declared struct{ onset, at int }

// observeAll returns the changes declared in a series with one point a second.
func observeAll(xs []float64) (all []declared) {
	var c detect.Changes
	for i, x := range xs {
		if onset, ok := c.Observe(int64(i), x); ok {
			all = append(all, declared{int(onset), i})
		}
	}
	return all
}

// noise returns n latencies about a level, with a spread in log latency.
func noise(r *rand.Rand, n int, level, spread float64) []float64 {
	xs := make([]float64, n)
	for i := range xs {
		xs[i] = level * math.Exp(spread*r.NormFloat64())
	}
	return xs
}

func TestChangesDateSteps(t *testing.T) {
	for _, tt := range []struct {
		spread, factor float64
		within, delay  int // points
		want           int // of 20
	}{
		{0.001, 1.03, 0, 3, 20},
		{0.001, 1.5, 0, 3, 20},
		{0.001, 0.8, 0, 3, 20},
		{0.02, 1.5, 0, 4, 20},
		{0.04, 1.25, 2, 10, 20},
		{0.1, 1.5, 2, 12, 18},
		{0.1, 2, 2, 8, 20},
	} {
		dated := 0
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 1))
			all := observeAll(slices.Concat(noise(r, 200, 100, tt.spread), noise(r, 60, 100*tt.factor, tt.spread)))
			if len(all) == 1 && max(all[0].onset-200, 200-all[0].onset) <= tt.within && all[0].at-200 <= tt.delay {
				dated++
			}
		}
		if dated < tt.want {
			t.Errorf("step by %v at spread %v: %d of 20 dated within %d points, want %d", tt.factor, tt.spread, dated, tt.within, tt.want)
		}
	}
}

func TestChangesLast(t *testing.T) {
	var c detect.Changes
	r := rand.New(rand.NewPCG(1, 1))
	for i, x := range slices.Concat(noise(r, 100, 50, 0.001), noise(r, 20, 80, 0.001)) {
		_, _ = c.Observe(1000+60*int64(i), x)
	}
	if got := c.Last(); got.Onset != 7000 || math.Abs(got.Before-50) > 0.1 || math.Abs(got.After-80) > 0.1 {
		t.Errorf("got %+v, want 50 to 80 ms since 7000", got)
	}
}

// A day of a point a minute, of whatever an endpoint does that keeps its level.
func TestChangesLeaveNoiseAlone(t *testing.T) {
	const day = 1440
	for _, tt := range []struct {
		name   string
		change func(r *rand.Rand, i int, x float64) float64
		most   int // declarations in 20 days in all
	}{
		{"noise", func(_ *rand.Rand, _ int, x float64) float64 { return x }, 0},
		{"spikes", func(r *rand.Rand, _ int, x float64) float64 {
			if r.Float64() < 0.01 {
				return x * (2 + 8*r.Float64())
			}
			return x
		}, 0},
		{"losses", func(r *rand.Rand, i int, x float64) float64 {
			if r.Float64() < 0.03 || i%500 < 20 {
				return math.NaN()
			}
			return x
		}, 0},
		{"excursions of three points", func(_ *rand.Rand, i int, x float64) float64 {
			if i%100 >= 97 {
				return 4 * x
			}
			return x
		}, 0},
		{"office hours", func(_ *rand.Rand, i int, x float64) float64 {
			return x * (1 + 0.4*(1-math.Cos(2*math.Pi*float64(i)/day)))
		}, 40},
	} {
		for _, spread := range []float64{0.04, 0.1, 0.2} {
			told := 0
			for seed := range uint64(20) {
				r := rand.New(rand.NewPCG(seed, 2))
				xs := noise(r, day, 100, spread)
				for i := range xs {
					xs[i] = tt.change(r, i, xs[i])
				}
				told += len(observeAll(xs))
			}
			if told > tt.most {
				t.Errorf("%s at spread %v: %d changes in 20 days, want at most %d", tt.name, spread, told, tt.most)
			}
		}
	}
}

func TestChangesIgnoreWhatIsNoLatency(t *testing.T) {
	var c detect.Changes
	for i, x := range []float64{math.NaN(), 0, -1, math.Inf(1), math.Inf(-1)} {
		if _, ok := c.Observe(int64(i), x); ok || c != (detect.Changes{}) {
			t.Errorf("%v: taken for a latency", x)
		}
	}
}

// eventful has steps, losses and spikes.
func eventful() []float64 {
	r := rand.New(rand.NewPCG(3, 4))
	xs := slices.Concat(noise(r, 90, 100, 0.01), noise(r, 40, 130, 0.01), noise(r, 9, 250, 0.2), noise(r, 120, 90, 0.03))
	xs[50], xs[120], xs[30] = math.NaN(), math.NaN(), 900
	return xs
}

func TestChangesRestart(t *testing.T) {
	xs := eventful()
	want := observeAll(xs)
	var unbroken detect.Changes
	for i, x := range xs {
		_, _ = unbroken.Observe(int64(i), x)
	}
	end, err := unbroken.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 3 {
		t.Fatalf("the series makes %d changes: too dull", len(want))
	}
	for cut := range xs {
		type state struct{ Changes detect.Changes } // by value, as in a snapshot
		var before, after state
		var got []declared
		for i, x := range xs {
			if i == cut {
				text, err := json.Marshal(before)
				if err != nil {
					t.Fatal(err)
				}
				if len(text) > 2048 {
					t.Fatalf("after %d points the state takes %d bytes", cut, len(text))
				}
				if err := json.Unmarshal(text, &after); err != nil {
					t.Fatal(err)
				}
				if again, err := json.Marshal(after); err != nil || !bytes.Equal(again, text) {
					t.Fatalf("restarted after %d points: another state (%v)", cut, err)
				}
				before = after
			}
			if onset, ok := before.Changes.Observe(int64(i), x); ok {
				got = append(got, declared{int(onset), i})
			}
		}
		if state, err := before.Changes.MarshalBinary(); err != nil || !bytes.Equal(state, end) || !slices.Equal(got, want) {
			t.Errorf("restarted after %d points: %v (%v), want %v and the same state", cut, got, err, want)
		}
	}
}

func TestChangesDamagedState(t *testing.T) {
	var c detect.Changes
	for i, x := range eventful() {
		_, _ = c.Observe(int64(i), x)
	}
	whole, err := c.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		got := c
		if err := got.UnmarshalBinary(whole[:n]); err == nil || got != c {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	for i := range whole { // whatever it makes of it, it goes on
		var got detect.Changes
		broken := bytes.Clone(whole)
		broken[i] ^= 0xff
		if got.UnmarshalBinary(broken) != nil {
			continue
		}
		for j, x := range eventful() {
			_, _ = got.Observe(int64(j), x)
		}
	}
	if err := c.UnmarshalText([]byte("?")); err == nil {
		t.Error("no error for what is not base64")
	}
}

func TestChangesDoNotAllocate(t *testing.T) {
	xs := eventful()
	if n := testing.AllocsPerRun(10, func() { observeAllQuietly(xs) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func observeAllQuietly(xs []float64) {
	var c detect.Changes
	for i, x := range xs {
		_, _ = c.Observe(int64(i), x)
	}
}

func BenchmarkChanges(b *testing.B) {
	xs := noise(rand.New(rand.NewPCG(1, 2)), 4096, 50, 0.1)
	var c detect.Changes
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = c.Observe(int64(i), xs[i%len(xs)])
	}
}
