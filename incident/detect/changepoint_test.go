package detect_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/firstcall-agent/firstcall/incident/detect"
)

// observeAll returns the onsets declared in a series with one point a unit of time, and when each was declared.
func observeAll(xs []float64) (onsets, declared []int) {
	var c detect.Changes
	for i, x := range xs {
		if onset, ok := c.Observe(int64(i), x); ok {
			onsets, declared = append(onsets, int(onset)), append(declared, i)
		}
	}
	return onsets, declared
}

// noise returns n latencies about a level, with a spread in log latency.
func noise(r *rand.Rand, n int, level, spread float64) []float64 {
	xs := make([]float64, n)
	for i := range xs {
		xs[i] = level * math.Exp(spread*r.NormFloat64())
	}
	return xs
}

func TestChangesDateStep(t *testing.T) {
	for _, tt := range []struct{ spread, factor, within, delay float64 }{
		{0.001, 1.03, 0, 3},
		{0.001, 1.5, 0, 3},
		{0.001, 0.8, 0, 3},
		{0.02, 1.5, 1, 4},
		{0.1, 1.5, 2, 12},
	} {
		dated := 0
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 1))
			onsets, declared := observeAll(append(noise(r, 200, 100, tt.spread), noise(r, 60, 100*tt.factor, tt.spread)...))
			for i, at := range onsets {
				if math.Abs(float64(at-200)) <= tt.within && float64(declared[i]-200) <= tt.delay {
					dated++
				}
			}
		}
		if dated < 16 {
			t.Errorf("step by %v at spread %v: %d of 20 dated within %v", tt.factor, tt.spread, dated, tt.within)
		}
	}
}

func TestChangesRestart(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	xs := append(noise(r, 90, 100, 0.01), append(noise(r, 40, 130, 0.01), noise(r, 90, 90, 0.03)...)...)
	xs[50], xs[120] = math.NaN(), math.NaN()
	var c detect.Changes
	for i, x := range xs {
		text, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 2048 {
			t.Fatalf("state of %d bytes", len(text))
		}
		c = detect.Changes{}
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Observe(int64(i), x)
	}
	onsets, _ := observeAll(xs)
	if len(onsets) == 0 || c.Last().Onset != int64(onsets[len(onsets)-1]) {
		t.Errorf("restarted at every point: %v, want the last of %v", c.Last(), onsets)
	}
}

func BenchmarkChanges(b *testing.B) {
	xs := noise(rand.New(rand.NewPCG(1, 2)), 4096, 50, 0.1)
	var c detect.Changes
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Observe(int64(i), xs[i%len(xs)])
	}
}
