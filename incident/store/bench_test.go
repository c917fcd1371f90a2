//go:build unix

package store

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkAppendResults(b *testing.B) {
	for _, batch := range []int{100, 500} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			const count = 1000
			ctx := context.Background()
			s, err := Open(ctx, "sqlite:"+filepath.Join(b.TempDir(), "bench.db"), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			batches := make([][]probes.Result, count/batch)
			start := time.Date(2026, 2, 4, 10, 0, 0, 0, time.UTC)
			for i := range batches {
				batches[i] = httpResults(i*batch, batch, start)
			}
			b.ReportAllocs()
			before, n := cpuTime(), 0
			for b.Loop() {
				results := batches[n%len(batches)]
				for i := range results {
					results[i].Start = results[i].Start.Add(10 * time.Second)
				}
				if err := s.AppendResults(ctx, results); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(n*batch)/1000, "cpu-µs/result")
		})
	}
}

// BenchmarkTrimming is appending to a store that holds as much as it may: every fold takes the oldest results away.
func BenchmarkTrimming(b *testing.B) {
	for _, rows := range []int64{0, 100_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			ctx := context.Background()
			s, err := Open(ctx, "sqlite:"+filepath.Join(b.TempDir(), "bench.db"), Options{RawRows: rows})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			start := time.Date(2026, 2, 4, 10, 0, 0, 0, time.UTC)
			add := func() {
				start = start.Add(30 * time.Second)
				if err := s.AppendResults(ctx, httpResults(0, 100, start)); err != nil {
					b.Fatal(err)
				}
			}
			for range 1000 {
				add()
			}
			before, n := cpuTime(), 0
			for b.Loop() {
				add()
				n++
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(n*100)/1000, "cpu-µs/result")
		})
	}
}

// BenchmarkEachResult streams ten probes' results.
func BenchmarkEachResult(b *testing.B) {
	ctx := context.Background()
	s, err := Open(ctx, "sqlite:"+filepath.Join(b.TempDir(), "bench.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const rounds = 10_000
	start := time.Date(2026, 2, 4, 10, 0, 0, 0, time.UTC)
	for n := range rounds {
		if err := s.AppendResults(ctx, httpResults(0, 10, start.Add(time.Duration(n)*30*time.Second))); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if err := s.EachResult(ctx, nil, time.Time{}, time.Time{}, func(probes.Result) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/result")
}
