package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/probes"
)

var quiet = slog.New(slog.DiscardHandler)

// probeFunc is a probe that does what a test says.
type probeFunc func(ctx context.Context) probes.Result

func (probeFunc) Validate() field.Errors                    { return nil }
func (f probeFunc) Probe(ctx context.Context) probes.Result { return f(ctx) }

// up answers at once.
func up(context.Context) probes.Result { return probes.Result{Outcome: probes.Up} }

// hang does not answer before its deadline.
func hang(ctx context.Context) probes.Result {
	<-ctx.Done()
	return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: context.Cause(ctx).Error()}
}

func testJob(id string, interval time.Duration, f probeFunc) *job {
	timeout := 5 * time.Second
	if interval > 0 {
		timeout = min(timeout, interval)
	}
	j := &job{
		id: id, kind: "test", interval: interval, timeout: timeout, late: fmt.Errorf("no answer within %s", timeout),
		series: metrics.NewSeries(id, "test", time.Time{}),
	}
	var p probes.Probe = f
	j.probe.Store(&p)
	return j
}

// bench is a schedule with what it delivered.
type bench struct {
	*schedule
	start time.Time

	mu  sync.Mutex
	got []measured
}

// newBench returns a bench whose clock starts now.
func newBench() *bench {
	b := &bench{start: time.Now()}
	c := newClock()
	m := metrics.New("test", time.Time{}, func() metrics.Snapshot { return metrics.Snapshot{} })
	b.schedule = newSchedule(c, newLag(c, quiet, func(string, time.Duration) {}), quiet, m, func(m measured) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.got = append(b.got, m)
	})
	return b
}

// run runs the schedule for d and returns what it delivered.
func (b *bench) run(d time.Duration) []measured {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	b.lag.beat.Store(math.MaxInt64) // the heart does not beat here; it would make a day of the bubble long
	b.schedule.run(ctx)
	b.stop(10 * time.Second)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got
}

// starts returns when runs of a probe began, since the test's start.
func (b *bench) starts(id string) (list []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.got {
		if m.job.id == id {
			list = append(list, m.result.Start.Sub(b.start))
		}
	}
	return list
}

// waitFor waits until a condition holds, for tests on real sockets.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("still no %s after 2 min", what)
		case <-ticker.C:
		}
	}
}
