//go:build servers && linux

package store

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// BenchmarkAppendResultsTo compares the stores in one run, on one machine.
func BenchmarkAppendResultsTo(b *testing.B) {
	urls := map[string]string{"sqlite": "sqlite:" + filepath.Join(b.TempDir(), "bench.db"), "postgres": aTenant(servers.StartPostgres(b).Database(b, "firstcall"))}
	const batch = 100
	for _, name := range []string{"sqlite", "postgres"} {
		b.Run(name, func(b *testing.B) {
			ctx := context.Background()
			s, err := Open(ctx, urls[name], Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			start := time.Date(2026, 2, 4, 10, 0, 0, 0, time.UTC)
			n := 0
			for b.Loop() {
				start = start.Add(10 * time.Second)
				if err := s.AppendResults(ctx, httpResults(0, batch, start)); err != nil {
					b.Fatal(err)
				}
				n += batch
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "results/s")
		})
	}
}
