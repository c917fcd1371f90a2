package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/robfig/cron/v3"

	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

func TestScheduleKeepsItsGridForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		var jobs []*job
		for i := range 10 {
			jobs = append(jobs, testJob(fmt.Sprint("p", i), 30*time.Second, func(ctx context.Context) probes.Result {
				time.Sleep(time.Duration(i) * 500 * time.Millisecond) // of a target: the time that a run takes must not shift the next
				return up(ctx)
			}))
		}
		b.replace(jobs, 0)
		b.run(24*time.Hour + 5*time.Second)
		for i := range 10 {
			got := b.starts(fmt.Sprint("p", i))
			if got = got[:min(len(got), 24*120)]; len(got) != 24*120 {
				t.Fatalf("probe %d ran %d times in a day; want 2880", i, len(got))
			}
			for k, at := range got {
				if want := time.Duration(i)*3*time.Second + time.Duration(k)*30*time.Second; at != want {
					t.Fatalf("run %d of probe %d began at %s; want %s", k, i, at, want)
				}
			}
		}
	})
}

func TestEveryProbeBeginsWithinItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		var jobs []*job
		for i := range 300 {
			interval := []time.Duration{10 * time.Second, 30 * time.Second, 5 * time.Minute}[i%3]
			jobs = append(jobs, testJob(fmt.Sprint("p", i), interval, up))
		}
		b.replace(jobs, 0)
		b.run(5 * time.Minute)
		all := map[time.Duration]int{}
		for _, j := range jobs {
			first := b.starts(j.id)[0]
			if first >= j.interval {
				t.Errorf("%s began after %s; its interval is %s", j.id, first, j.interval)
			}
			all[first]++
		}
		if all[0] != 1 {
			t.Errorf("%d probes began at once; want one", all[0])
		}
		for at, n := range all {
			if n > 2 {
				t.Errorf("%d probes began together at %s; want them spread", n, at)
			}
		}
	})
}

func TestAHangingTargetDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		jobs := []*job{testJob("well", time.Second, up)}
		for i := range 50 {
			jobs = append(jobs, testJob(fmt.Sprint("hangs", i), time.Second, hang))
		}
		b.replace(jobs, 0)
		b.run(59500 * time.Millisecond)
		got := b.starts("well")
		if len(got) != 60 {
			t.Errorf("the well target was probed %d times in a minute; want 60", len(got))
		}
		for k, at := range got {
			if at != time.Duration(k)*time.Second {
				t.Errorf("run %d began at %s", k, at)
			}
		}
		if n := len(b.starts("hangs0")); n != 59 { // the 60th is cancelled with the end
			t.Errorf("the hanging target was probed %d times; want 59", n)
		}
	})
}

func TestATickIsSkippedWhileTheRunBeforeLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		j := testJob("slow", 10*time.Second, func(ctx context.Context) probes.Result { time.Sleep(14 * time.Second); return up(ctx) })
		j.timeout = 15 * time.Second
		b.replace([]*job{j}, 0)
		b.run(69 * time.Second)
		if diff := cmp.Diff([]time.Duration{0, 20 * time.Second, 40 * time.Second}, b.starts("slow")); diff != "" {
			t.Errorf("runs began (-want +got):\n%s", diff)
		}
		wantMissed(t, b, "running", 3)
	})
}

func wantMissed(t *testing.T, b *bench, reason string, want float64) {
	t.Helper()
	families, err := b.metrics.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "firstcall_probe_missed_total" && m.GetLabel()[0].GetValue() == reason && m.GetCounter().GetValue() != want {
				t.Errorf("%v runs missed for %q; want %v", m.GetCounter().GetValue(), reason, want)
			}
		}
	}
}

func TestRechecksAreSpreadAndMayOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.replace([]*job{testJob("p", time.Minute, hang), testJob("q", time.Minute, up)}, 0)
		time.AfterFunc(10*time.Second, func() {
			b.recheck([]engine.Recheck{{Probe: "p", Count: 3, Within: 3 * time.Second}, {Probe: "q", Count: 1}, {Probe: "nobody", Count: 1}})
		})
		var rechecks []string
		for _, m := range b.run(29 * time.Second) {
			if m.result.Recheck {
				rechecks = append(rechecks, fmt.Sprint(m.job.id, " ", m.result.Start.Sub(b.start), " ", m.result.Outcome))
			}
		}
		want := []string{"q 10s up", "p 11s down", "p 12s down", "p 13s down"}
		if diff := cmp.Diff(want, rechecks); diff != "" {
			t.Errorf("re-probes (-want +got):\n%s", diff)
		}
	})
}

func TestRechecksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.replace([]*job{testJob("p", time.Hour, hang)}, 0)
		b.recheck([]engine.Recheck{{Probe: "p", Count: 1000}})
		if n := len(b.run(time.Minute)); n != maxRechecks+1 {
			t.Errorf("%d runs; want %d re-probes and one scheduled run", n, maxRechecks)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if j := b.jobs["p"]; j.rechecks != 0 || j.running {
			t.Errorf("after all runs %d re-probes and running %v are left", j.rechecks, j.running)
		}
	})
}

func TestACronScheduleRunsInItsZoneOverBothDSTNights(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Copenhagen")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from time.Time
		spec string
		want []string
	}{
		"spring": {time.Date(2000, 3, 25, 12, 0, 0, 0, zone), "30 1,3 * * *", []string{"26 01:30 CET", "26 03:30 CEST", "27 01:30 CEST", "27 03:30 CEST"}},
		"autumn": {time.Date(2000, 10, 28, 12, 0, 0, 0, zone), "0 1,4 * * *", []string{"29 01:00 CEST", "29 04:00 CET", "30 01:00 CET", "30 04:00 CET"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(c.from)) // the bubble's clock begins on 1 January 2000
				b := newBench()
				j := testJob("p", 0, up)
				j.timeout, j.cron = time.Second, inZone(t, c.spec, zone)
				b.replace([]*job{j}, 0)
				var got []string
				for _, m := range b.run(42 * time.Hour) {
					got = append(got, m.result.Start.In(zone).Format("02 15:04 MST"))
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("runs (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func inZone(t *testing.T, spec string, zone *time.Location) cron.Schedule {
	t.Helper()
	s, err := cron.ParseStandard(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.(*cron.SpecSchedule).Location = zone
	return s
}

func TestAPanicBecomesAResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.replace([]*job{
			testJob("index", time.Minute, func(context.Context) probes.Result { return probes.Result{Facts: []probes.Fact{}[3:][:]} }),
			testJob("secret", time.Minute, func(context.Context) probes.Result { panic("hunter2") }),
		}, 0)
		for _, m := range b.run(80 * time.Second) {
			if m.result.Outcome != probes.Unknown || m.result.Reason != probes.Internal {
				t.Errorf("%s: a panic gave %s/%s; want unknown/internal", m.job.id, m.result.Outcome, m.result.Reason)
			}
			if strings.Contains(m.result.Detail, "hunter2") {
				t.Errorf("the detail %q tells what was panicked with", m.result.Detail)
			}
		}
		if len(b.starts("index")) != 2 || len(b.starts("secret")) != 1 {
			t.Errorf("probes that panicked ran %v and %v; want 2 and 1 runs", b.starts("index"), b.starts("secret"))
		}
	})
}

func TestARunThatDoesNotReturnIsGivenUpAndNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		release := make(chan struct{})
		calls := 0
		j := testJob("stuck", 10*time.Second, func(ctx context.Context) probes.Result {
			if calls++; calls == 1 {
				<-release // whatever ctx says
			}
			return up(ctx)
		})
		b.replace([]*job{j}, 0)
		time.AfterFunc(15*time.Second, func() { b.recheck([]engine.Recheck{{Probe: "stuck", Count: 1}}) })
		time.AfterFunc(24*time.Second, func() {
			if n := b.stuckRuns(); n != 1 {
				t.Errorf("%d stuck runs; want 1", n)
			}
		})
		time.AfterFunc(25*time.Second, func() { close(release) })
		got := b.run(35 * time.Second)
		if len(got) != 2 {
			t.Fatalf("%d results; want the one that was given up and the one after its return", len(got))
		}
		if r := got[0].result; r.Outcome != probes.Unknown || r.Reason != probes.Internal || r.Duration != 6*time.Second {
			t.Errorf("the stuck run gave %s/%s after %s; want unknown/internal after 6s", r.Outcome, r.Reason, r.Duration)
		}
		if at := b.starts("stuck")[1]; at != 30*time.Second {
			t.Errorf("it ran again at %s; want 30s", at)
		}
		if b.stuckRuns() != 0 || b.underway != 0 {
			t.Errorf("%d stuck and %d runs are left", b.stuckRuns(), b.underway)
		}
		wantMissed(t, b, "stuck", 3) // ticks at 10 and 20 s, and the re-probe
	})
}

func TestTheBoundOnRunsIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		var jobs []*job
		most := 0
		for i := range 10 {
			jobs = append(jobs, testJob(fmt.Sprint("p", i), 10*time.Second, func(ctx context.Context) probes.Result {
				b.schedule.mu.Lock()
				most = max(most, b.underway)
				b.schedule.mu.Unlock()
				return hang(ctx)
			}))
		}
		b.replace(jobs, 3)
		b.run(time.Minute)
		if most != 3 {
			t.Errorf("at most %d runs were under way; want 3", most)
		}
	})
}

func TestTheDeadlineSaysWhatItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.replace([]*job{testJob("p", time.Minute, hang)}, 0)
		got := b.run(30 * time.Second)
		if len(got) != 1 || got[0].result.Detail != "no answer within 5s" || got[0].result.Duration != 5*time.Second {
			t.Errorf("results %+v; want one that says \"no answer within 5s\"", got)
		}
	})
}

func TestCancelledRunsSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.replace([]*job{testJob("p", time.Minute, func(ctx context.Context) probes.Result {
			<-ctx.Done()
			if !errors.Is(ctx.Err(), context.Canceled) {
				t.Error("the run was not cancelled when the schedule stopped")
			}
			return probes.Result{Outcome: probes.Down}
		})}, 0)
		if got := b.run(3 * time.Second); len(got) != 0 {
			t.Errorf("a cancelled run was handed to the judge: %+v", got)
		}
	})
}

func TestReplaceKeepsThePhaseOfWhatDidNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		kept, gone := testJob("kept", 10*time.Second, up), testJob("gone", 10*time.Second, hang)
		b.replace([]*job{gone, kept}, 0) // gone at 0, kept at 5 s
		time.AfterFunc(12*time.Second, func() {
			b.recheck([]engine.Recheck{{Probe: "gone", Count: 1, Within: time.Second}})
			b.replace([]*job{kept, testJob("new", 10*time.Second, up)}, 0)
		})
		b.run(40 * time.Second)
		if diff := cmp.Diff([]time.Duration{5 * time.Second, 15 * time.Second, 25 * time.Second, 35 * time.Second}, b.starts("kept")); diff != "" {
			t.Errorf("the kept probe (-want +got):\n%s", diff)
		}
		if got := b.starts("new"); len(got) != 3 || got[0] != 12*time.Second {
			t.Errorf("the new probe ran at %v; want 12s, 22s, 32s", got)
		}
		if got := b.starts("gone"); slices.Max(got) > 12*time.Second || !gone.retired.Load() {
			t.Errorf("the removed probe ran at %v, retired %v", got, gone.retired.Load())
		}
	})
}

// BenchmarkSchedule is the cost of one run of a probe that answers at once, of 5,000 in the schedule.
func BenchmarkSchedule(b *testing.B) {
	s := newBench().schedule
	done := make(chan struct{}, 1)
	s.deliver = func(measured) { done <- struct{}{} }
	var jobs []*job
	for i := range 5000 {
		jobs = append(jobs, testJob(fmt.Sprint("p", i), 10*time.Second, up))
	}
	var now atomic.Int64
	s.clock = newClockOn(time.Now, func() time.Duration { return time.Duration(now.Load()) })
	s.lag.clock = s.clock
	s.replace(jobs, 0)
	now.Store(int64(time.Microsecond) - int64(2*time.Millisecond))
	b.ReportAllocs()
	for b.Loop() {
		now.Add(int64(2 * time.Millisecond)) // the next probe falls due
		s.startDue()
		<-done
	}
}
