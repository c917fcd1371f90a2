package store

import (
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/firstcall-agent/firstcall/probes"
)

func TestBucketsTouchAndAreNarrow(t *testing.T) {
	last := bucketOf(math.MaxInt64)
	next := time.Duration(0)
	for i := range last {
		from, to := Bucket{Index: i}.Bounds()
		if from != next || to <= from || bucketOf(from) != i || bucketOf(to-1) != i {
			t.Fatalf("bucket %d is %d to %d, after one that ends at %d", i, from, to, next)
		}
		if width := to - from; width > 1 && float64(width)/float64(from) > 2*HistogramError {
			t.Errorf("bucket %d, %d to %d, is too wide", i, from, to)
		}
		next = to
	}
	if from, _ := (Bucket{Index: last}).Bounds(); from != next {
		t.Errorf("the last bucket begins at %d, the one before ends at %d", from, next)
	}
}

func TestQuantilesAreNear(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(rapid.Map(rapid.Int64Range(0, int64(time.Hour)), func(n int64) time.Duration { return time.Duration(n) }), 1, 200).Draw(rt, "values")
		cut := rapid.IntRange(0, len(values)).Draw(rt, "cut")
		var h, other Histogram
		for _, v := range values[:cut] {
			h.Add(v)
		}
		for _, v := range values[cut:] {
			other.Add(v)
		}
		h.Merge(decodeHistogram(other.encode()))
		slices.Sort(values)
		q := rapid.Float64Range(0, 1).Draw(rt, "q")
		exact := values[max(1, int(math.Ceil(q*float64(len(values))-1e-9)))-1]
		if got := h.Quantile(q); math.Abs(float64(got-exact)) > HistogramError*float64(exact)+1 || h.N() != int64(len(values)) {
			rt.Errorf("quantile %g of %d values is %d, want about %d", q, h.N(), got, exact)
		}
	})
	var none Histogram
	none.Merge(nil)
	if none.Quantile(0.5) != 0 || none.N() != 0 || none.encode() != nil {
		t.Error("an empty histogram has something in it")
	}
}

// Whatever is stored, reading it ends, and what can be read is stored again as it was.
func FuzzHistogram(f *testing.F) {
	f.Add(Histogram{{Index: 3, Count: 1}, {Index: 400, Count: 77}, {Index: bucketOf(math.MaxInt64), Count: 1}}.encode())
	f.Add([]byte{histogramFormat, 0, 0})
	f.Add([]byte{histogramFormat, 0x80})
	f.Add([]byte{9, 1, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		h := decodeHistogram(body)
		for i, b := range h {
			if b.Count <= 0 || i > 0 && b.Index <= h[i-1].Index {
				t.Fatalf("%+v", h)
			}
		}
		h.Quantile(0.5)
		if again := decodeHistogram(h.encode()); !slices.Equal(again, h) {
			t.Errorf("%+v is read again as %+v", h, again)
		}
	})
}

// Roll-ups of before have no histogram; in the hour of the upgrade it holds what came after.
func TestRollupsOfBeforeHaveNoHistogram(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "old.db")
	s := openAt(t, path, Options{})
	hours := []probes.Result{
		{Probe: "a", Start: at, Duration: 7 * time.Millisecond, Outcome: probes.Up},
		{Probe: "a", Start: at.Add(2 * time.Hour), Duration: 9 * time.Millisecond, Outcome: probes.Up},
	}
	if err := s.AppendResults(ctx, hours); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	older := raw(t, path)
	downgrade(t, older, 3)
	if err := older.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, Options{})
	hours[1].Duration = 70 * time.Millisecond
	if err := s.AppendResults(ctx, hours[1:]); err != nil {
		t.Fatal(err)
	}
	for _, folded := range []bool{false, true} {
		if folded {
			if err := s.Maintain(ctx, at); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Rollups(ctx, "a", time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		want := []Histogram{nil, {{bucketOf(70 * time.Millisecond), 1}}}
		if diff := cmp.Diff(want, []Histogram{got[0].Latency, got[1].Latency}); diff != "" || got[1].Counts[probes.Up] != 2 {
			t.Errorf("folded %t: %+v\n%s", folded, got, diff)
		}
	}
}
