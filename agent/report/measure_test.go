package report_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/report"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// TestHoursByRollUp states what is known of hours of which single results are gone, in whole or in part.
func TestHoursByRollUp(t *testing.T) {
	from, to := oct(6, 10, 0), oct(6, 14, 0)
	hour := func(probe string, n int, up, unknown, lagging int64) store.Rollup {
		h := store.Rollup{Probe: probe, Hour: from.Add(time.Duration(n) * time.Hour), Counts: [4]int64{unknown, up}, Lagging: lagging}
		for range up {
			h.Sum += time.Second
			h.Latency.Add(time.Second)
		}
		h.Min, h.Max = time.Second, time.Second
		return h
	}
	in := report.Input{
		Tenant: "acme", Zone: time.UTC, From: from, To: to, Made: to, Components: []report.InputComponent{{Name: "a"}, {Name: "b"}},
		Probes: []report.Probe{
			{ID: "a/tcp", Component: "a", Deciding: true, Interval: time.Minute},
			{ID: "a/tls", Component: "a", Deciding: true, Interval: 6 * time.Hour},
			{ID: "b/tls", Component: "b", Deciding: true, Interval: 2 * time.Hour},
		},
	}
	in.Measured = report.NewMeasured(in.Probes, from, to, time.UTC)
	// 10:00 is whole. At 11:00, 29 runs saw, 3 did not and 2 came late: 30 min were measured and 35 min ran, one run forgiven. At 12:00 there
	// is nothing. At 13:00 there were 60 runs; of them the last 10 single results are left: the hour goes by its roll-up.
	for _, h := range []store.Rollup{hour("a/tcp", 0, 60, 0, 0), hour("a/tcp", 1, 29, 3, 2), hour("a/tcp", 3, 60, 0, 0), hour("a/tls", 2, 1, 0, 0), hour("b/tls", 0, 1, 0, 0)} {
		in.Measured.AddHour(h)
	}
	for n := 50; n < 60; n++ {
		in.Measured.Add(probes.Result{Probe: "a/tcp", Start: oct(6, 13, n), Outcome: probes.Up, Duration: time.Second})
	}
	in.Measured.AddHour(hour("gone", 0, 60, 0, 0))
	in.Measured.Add(probes.Result{Probe: "gone", Start: from})
	r := report.Compute(in)
	c := r.Coverage
	if diff := cmp.Diff([]report.Gap{
		{Span: report.Span{From: oct(6, 11, 30), To: oct(6, 11, 35)}, Kind: report.GapBlind},
		{Span: report.Span{From: oct(6, 11, 35), To: oct(6, 12, 0)}, Kind: report.GapStopped},
		// The run of a/tls within 12:00 speaks for a/tcp's pace only: a minute and a tenth.
		{Span: report.Span{From: oct(6, 12, 0).Add(66 * time.Second), To: oct(6, 13, 0)}, Kind: report.GapStopped},
	}, c.Gaps); diff != "" {
		t.Errorf("gaps (-want +got)\n%s", diff)
	}
	// b/tls ran once at some time from 10:00 on and speaks for 2 h 12 min.
	if a, b := r.Parts[0].Unmeasured, r.Parts[1].Unmeasured; a != seconds(30*time.Minute+58*time.Minute+54*time.Second) || b != seconds(4*time.Hour-132*time.Minute) {
		t.Errorf("not measured: a %s, b %s", time.Duration(a), time.Duration(b))
	}
	p := c.Probes[0]
	if p.Runs != 154 || p.Unknown != 3 || p.Lagging != 2 || p.Expected != 240 || p.ByHour != 3 {
		t.Errorf("runs of a/tcp: %+v", p)
	}
	if l := r.Latency[0]; l.Runs != 149 || l.Source != report.FromHours || *l.P50 != seconds(time.Second) || l.Error != store.HistogramError {
		t.Errorf("latency of a/tcp: %+v", l)
	}
}
