//go:build servers && linux

package store

import (
	"context"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
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

// BenchmarkBeat has sixty agents of twenty tenants beat as fast as the server answers, with votes that change each time and votes that
// do not.
func BenchmarkBeat(b *testing.B) {
	for name, changes := range map[string]bool{"vote changes": true, "vote stays": false} {
		b.Run(name, func(b *testing.B) {
			server := servers.StartPostgres(b)
			database := server.Database(b, "firstcall")
			var agents []*Store
			for range 20 {
				url := aTenant(database)
				for _, vantage := range []string{"weu", "dk", "neu"} {
					s, err := Open(b.Context(), url, Options{Vantage: vantage})
					if err != nil {
						b.Fatal(err)
					}
					defer func() { _ = s.Close() }()
					s.reader.SetMaxIdleConns(0)
					agents = append(agents, s)
				}
			}
			number := func(query string) float64 {
				n, err := strconv.ParseFloat(server.SQL(b, "firstcall", query), 64)
				if err != nil {
					b.Fatal(err)
				}
				return n
			}
			const wal = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
			before := number(wal)
			var next atomic.Int64
			var rounds sync.WaitGroup
			b.ResetTimer()
			for _, s := range agents {
				rounds.Go(func() {
					vote := make([]byte, 2048)
					for i := range vote {
						vote[i] = 'a' + byte(i*7%26)
					}
					for next.Add(1) <= int64(b.N) {
						if changes {
							vote = strconv.AppendInt(vote[:2000], time.Now().UnixNano(), 10)
						}
						if _, err := s.Beat(b.Context(), Beat{Wants: true, Vote: vote, Now: time.Now()}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			rounds.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "beats/s")
			b.ReportMetric((number(wal)-before)/float64(b.N), "WAL-B/beat")
			server.SQL(b, "firstcall", "SELECT pg_sleep(1)") // until the statistics are told
			b.ReportMetric(100*number("SELECT sum(n_tup_hot_upd) / sum(n_tup_upd) FROM pg_stat_user_tables WHERE relname IN ('voters', 'leases', 'votes')"), "%HOT")
			b.ReportMetric(number("SELECT sum(pg_total_relation_size(oid)) / 1024 FROM pg_class WHERE relname IN ('voters', 'leases', 'votes')"), "KiB-tables")
		})
	}
}
