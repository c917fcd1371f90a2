package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// eachResult states that results of several probes come in the order in which they ended, wherever they are kept.
func eachResult(t *testing.T, s *store.Store) {
	ctx := t.Context()
	const runs = 4000 // enough to be folded more than once, and to leave some in the log
	for n := range runs {
		start := day.Add(time.Duration(n) * time.Second)
		list := []probes.Result{good("a", start, 100*time.Millisecond), good("b", start.Add(time.Millisecond), time.Duration(n%90)*time.Second)}
		if n%7 == 0 {
			list = append(list, evidence("a", start.Add(-20*time.Second)))
		}
		ok(t, s.AppendResults(ctx, append(list, good("other", start, 1))))
	}
	everywhere(t, s, func(t *testing.T) {
		counts, last := map[string]int{}, time.Time{}
		ok(t, s.EachResult(ctx, []string{"a", "b", "nobody"}, day, day.Add(runs*time.Second), func(r probes.Result) error {
			if r.End().Before(last) {
				t.Fatalf("a result that ended %s comes after one that ended %s", r.End(), last)
			}
			last = r.End()
			counts[r.Probe]++
			return nil
		}))
		same(t, "results by probe", counts, map[string]int{"a": runs + runs/7 + 1 - 3, "b": runs})
		counts = map[string]int{}
		ok(t, s.EachResult(ctx, nil, day.Add(10*time.Second), day.Add(12*time.Second), func(r probes.Result) error {
			counts[r.Probe]++
			return nil
		}))
		same(t, "results of two seconds", counts, map[string]int{"a": 2, "b": 2, "other": 2})
	})
}

// eachResultStops states that it ends with the first error of its reader, and when it is cancelled.
func eachResultStops(t *testing.T, s *store.Store) {
	for n := range 10 {
		ok(t, s.AppendResults(t.Context(), round(n)))
	}
	enough, n := errors.New("enough"), 0
	err := s.EachResult(t.Context(), nil, time.Time{}, time.Time{}, func(probes.Result) error {
		if n++; n == 4 {
			return fmt.Errorf("the fourth: %w", enough)
		}
		return nil
	})
	if !errors.Is(err, enough) || err.Error() != "the fourth: enough" || n != 4 {
		t.Errorf("after %d results: %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.EachResult(ctx, nil, time.Time{}, time.Time{}, func(probes.Result) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	ok(t, s.EachResult(t.Context(), []string{"nobody"}, time.Time{}, time.Time{}, func(probes.Result) error { return enough }))
}

func baselines(t *testing.T, s *store.Store) {
	ctx := t.Context()
	read := func() map[string][]byte { return must[map[string][]byte](t)(s.Baselines(ctx)) }
	same(t, "of an empty store", read(), map[string][]byte(nil))
	big := make([]byte, 25<<10)
	for i := range big {
		big[i] = byte(i)
	}
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 0), State: []byte("1"), Baselines: map[string][]byte{"a": big, "b": {0, 1}}}))
	same(t, "inserted", read(), map[string][]byte{"a": big, "b": {0, 1}})
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 1), State: []byte("2")}))
	same(t, "after a commit without any", read(), map[string][]byte{"a": big, "b": {0, 1}})
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 2), Baselines: map[string][]byte{"b": {2}, "c": nil}}))
	same(t, "replaced", read(), map[string][]byte{"a": big, "b": {2}, "c": {}})
	same(t, "the state, left as it was", must[[]byte](t)(s.EngineState(ctx)), []byte("2"))
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 3), Seeds: map[string]int{"a": 7, "b": 9}}))
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 4), Seeds: map[string]int{"b": 10}}))
	same(t, "seeds", must[map[string]int](t)(s.Seeds(ctx)), map[string]int{"a": 7, "b": 10})
	if err := s.Commit(ctx, store.Commit{State: []byte("3"), Baselines: map[string][]byte{"a": {3}, "": {3}}}); err == nil {
		t.Error("a baseline without a probe is stored")
	}
	same(t, "after a commit that failed", read(), map[string][]byte{"a": big, "b": {2}, "c": {}})
	same(t, "the state after it", must[[]byte](t)(s.EngineState(ctx)), []byte("2"))
}

// baselineRetention states that a baseline goes with its probe, and that one of a probe that was never seen is kept as long.
func baselineRetention(t *testing.T, s *store.Store) {
	ctx := t.Context()
	last := day.AddDate(0, 0, 405)
	ok(t, s.AppendResults(ctx, []probes.Result{good("gone", day, 1), good("seldom", day.AddDate(0, 0, 10), 1), good("kept", last, 1)}))
	normal := func(at time.Time, names ...string) store.Commit {
		c := store.Commit{At: at, Baselines: map[string][]byte{}}
		c.Seeds = map[string]int{names[0]: 1}
		for _, name := range names {
			c.Baselines[name] = []byte(name)
		}
		return c
	}
	ok(t, s.Commit(ctx, normal(day, "gone", "seldom", "kept", "never seen")))
	ok(t, s.Commit(ctx, normal(last, "seeded")))
	ok(t, s.Maintain(ctx, day.AddDate(0, 0, 11)))
	if n := len(must[map[string][]byte](t)(s.Baselines(ctx))); n != 5 {
		t.Errorf("%d baselines are left after 11 days, want all 5", n)
	}
	ok(t, s.Maintain(ctx, last))
	same(t, "seeds after 405 days", must[map[string]int](t)(s.Seeds(ctx)), map[string]int{"seeded": 1})
	same(t, "after 405 days", must[map[string][]byte](t)(s.Baselines(ctx)), normal(last, "seldom", "kept", "seeded").Baselines)
}
