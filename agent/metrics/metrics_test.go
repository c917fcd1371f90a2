package metrics

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/probes"
)

var update = flag.Bool("update", false, "write the golden files")

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// filled returns metrics in which every name has a value.
func filled() *Metrics {
	m := New("1.2.3", start, func() Snapshot {
		return Snapshot{
			Tenant: "acme", Vantage: "here", Blind: true, Lagging: true, Lag: time.Second, StoreSteps: 2, StoreResults: 3,
			CasePending: 1, OldestPending: 2 * time.Second, Heartbeat: start, Digest: "0123456789abcdef", ReloadOK: true, Loaded: start,
			Cases: reconcile.Status{
				Desks: map[string]reconcile.Backlog{
					"soc": {Pending: 2, Oldest: 90 * time.Second, Failures: 7, Waits: [5]time.Duration{incident.P2: 90 * time.Second, incident.P4: time.Second}}, "mailbox": {},
				},
				Notifiers: map[string]reconcile.Backlog{"mail": {Pending: 1, Oldest: time.Minute, Failures: 3}, "chat": {}},
				Reaction:  map[incident.Priority]time.Duration{incident.P1: -5 * time.Minute, incident.P3: time.Hour},
				Untaken:   map[incident.Priority]int{incident.P1: 2, incident.P3: 1},
			},
			Role: "alone", Vantages: 3, Epoch: 17, AloneSince: start,
			Ready: true, Beats: true, BeatFails: true,
			Components: []engine.ComponentView{
				{Name: "web-client", Outcome: probes.Up, Maintenance: "patches", Instances: []engine.InstanceView{{Probes: []engine.ProbeView{{ID: "web/http"}, {ID: "web/gone"}}}}},
				{Name: "backend", Outcome: probes.Down},
				{Name: "files", Outcome: probes.Degraded},
				{Name: "mail", Outcome: probes.Down, Maintenance: "patches"},
				{Name: "print"},
			},
			Kind:      func(probe string) string { return map[string]string{"web/http": "http"}[probe] },
			Baselines: slices.Values([]Baseline{{Probe: "web/http", Days: 14, Expected: 118 * time.Millisecond, Limit: 143 * time.Millisecond}, {Probe: "web/tls"}}),
			Accounts:  map[string]bool{"desktop/rdp": true, "pool/avd-pool": false},
			Incidents: []incident.Incident{
				{Root: "backend", Class: incident.Availability, Priority: incident.P2},
				{Root: "backend", Class: incident.Availability, Priority: incident.P2},
				{Root: "web-client", Class: incident.Function},
			},
		}
	})
	s := NewSeries("web/http", "http", start)
	s.ObserveResult(&probes.Result{
		Outcome: probes.Up, Duration: 20 * time.Millisecond, Phases: []probes.Phase{{Name: probes.PhaseDNS, Duration: time.Millisecond}},
		Certificate: &probes.Certificate{NotAfter: start.AddDate(0, 1, 0)}, Numbers: []probes.Number{{Name: probes.CertificateDays, Value: 31}},
	})
	m.SetSeries([]*Series{s})
	m.Missed(MissLate, 1)
	m.Delayed(time.Millisecond)
	m.Case("soc", "open", "ok")
	m.Case("soc", "open", "unknown")
	m.Notice("mail", "ok")
	m.StoreError()
	m.Dropped(7)
	return m
}

// gathered has the metrics of an agent and of a fleet.
func gathered() prometheus.Gatherer {
	c := NewFleet("1.2.3", func() FleetSnapshot {
		return FleetSnapshot{Tenants: map[string]int{"p1": 1, "well": 2}, Incidents: 1, Members: 3, Silent: 1, Read: start, Took: time.Second, Failing: true, Unkept: true}
	})
	return prometheus.Gatherers{filled().Gatherer(), prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		all, err := c.Gather()
		return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return foreign(f.GetName()) }), err
	})}
}

// TestEveryMetricIsDocumented states that docs/metrics.md has every metric with its labels, and no other.
func TestEveryMetricIsDocumented(t *testing.T) {
	families, err := gathered().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, f := range families {
		if foreign(f.GetName()) {
			continue
		}
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels["`"+l.GetName()+"`"] = true
			}
		}
		names := strings.Join(slices.Sorted(maps.Keys(labels)), ", ")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), names, f.GetHelp())
	}
	const page, begin, end = "../../docs/metrics.md", "<!-- table, made by go generate -->\n", "<!-- end of table -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has lost the marks around its table", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table, b.String()); diff != "" {
		t.Errorf("the metrics changed; dashboards and alert rules depend on them (-want +got, rewrite with make generate):\n%s", diff)
	}
}

// foreign reports whether a metric is client_golang's own.
func foreign(name string) bool {
	return strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_")
}

func TestPromlintIsClean(t *testing.T) {
	problems, err := testutil.GatherAndLint(gathered())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestSeriesShowsWhatItObserved(t *testing.T) {
	m := New("dev", start, func() Snapshot { return Snapshot{} })
	s := NewSeries("web/http", "http", start)
	m.SetSeries([]*Series{s})
	observe := func(o probes.Outcome, reason probes.Reason, lagging bool) {
		s.ObserveResult(&probes.Result{Outcome: o, Reason: reason, Duration: 2 * time.Second, Lagging: lagging})
	}
	for range 3 {
		observe(probes.Up, probes.None, false)
	}
	observe(probes.Up, probes.None, true)
	observe(probes.Down, probes.Timeout, false)
	observe(probes.Down, "a reason of its own", false)

	const want = `
# HELP firstcall_probe_runs_total Runs of a probe, scheduled ones and quick re-probes, by outcome and reason.
# TYPE firstcall_probe_runs_total counter
firstcall_probe_runs_total{kind="http",outcome="down",probe="web/http",reason="internal"} 1
firstcall_probe_runs_total{kind="http",outcome="down",probe="web/http",reason="timeout"} 1
firstcall_probe_runs_total{kind="http",outcome="up",probe="web/http",reason=""} 4
# HELP firstcall_probe_duration_seconds How long a probe's answered runs (up or degraded, the agent not lagging) took, by phase; total is the whole run. A native histogram.
# TYPE firstcall_probe_duration_seconds histogram
firstcall_probe_duration_seconds_bucket{phase="total",probe="web/http",le="+Inf"} 3
firstcall_probe_duration_seconds_sum{phase="total",probe="web/http"} 6
firstcall_probe_duration_seconds_count{phase="total",probe="web/http"} 3
# HELP probe_success Whether the target answered at the newest run; absent while the agent cannot tell.
# TYPE probe_success gauge
probe_success{probe="web/http"} 0
`
	names := []string{"firstcall_probe_runs_total", "firstcall_probe_duration_seconds", "probe_success"}
	if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}

	s.ObserveResult(&probes.Result{Outcome: probes.Up, Numbers: []probes.Number{{Name: "sessions", Value: 92.5}}})
	s.ObserveResult(&probes.Result{Outcome: probes.Up, Numbers: []probes.Number{{Name: "sessions", Value: 1}}, Lagging: true})
	const sessions = `
# HELP firstcall_probe_number What the newest run measured of a resource, in the unit of the reference page: days left of a certificate and others; absent while it measured none.
# TYPE firstcall_probe_number gauge
firstcall_probe_number{name="sessions",probe="web/http"} 92.5
`
	if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(sessions), "firstcall_probe_number"); err != nil {
		t.Error(err)
	}
	observe(probes.Unknown, probes.Local, false)
	if n, err := testutil.GatherAndCount(m.Gatherer(), "firstcall_probe_number"); err != nil || n != 0 {
		t.Errorf("%d numbers (%v) after a result that has none", n, err)
	}
	if n, err := testutil.GatherAndCount(m.Gatherer(), "probe_success"); err != nil || n != 0 {
		t.Errorf("probe_success has %d series (%v) after a result that cannot tell; want none", n, err)
	}
}

// TestWhatIsNotKnownIsAbsent states that a probe that learns shows its days, and no latency before one is known.
func TestWhatIsNotKnownIsAbsent(t *testing.T) {
	const want = `
# HELP firstcall_probe_baseline_seconds How long it has been learnt what is normal for a probe, in whole days; with 14 of them (1209600 s) it is whole.
# TYPE firstcall_probe_baseline_seconds gauge
firstcall_probe_baseline_seconds{probe="web/http"} 1.2096e+06
firstcall_probe_baseline_seconds{probe="web/tls"} 0
# HELP firstcall_probe_expected_seconds Latency that is normal for a probe now; absent while it is not known.
# TYPE firstcall_probe_expected_seconds gauge
firstcall_probe_expected_seconds{probe="web/http"} 0.118
# HELP firstcall_probe_slow_limit_seconds Latency that a probe must pass lastingly to be slow; absent while it is not known.
# TYPE firstcall_probe_slow_limit_seconds gauge
firstcall_probe_slow_limit_seconds{probe="web/http"} 0.143
`
	names := []string{"firstcall_probe_baseline_seconds", "firstcall_probe_expected_seconds", "firstcall_probe_slow_limit_seconds"}
	if err := testutil.GatherAndCompare(filled().Gatherer(), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

// TestWhatIsNotDelivered states how long each desk and notifier has not heard something, and how much of the reaction time is left.
func TestWhatIsNotDelivered(t *testing.T) {
	const want = `
# HELP firstcall_case_failures Attempts that failed in a row, of the case at a desk that failed most often; 0 while none fails.
# TYPE firstcall_case_failures gauge
firstcall_case_failures{desk="mailbox"} 0
firstcall_case_failures{desk="soc"} 7
# HELP firstcall_case_pending_seconds For how long the oldest thing that a desk has not heard yet has waited, by the priority of the incident; 0 while it knows all.
# TYPE firstcall_case_pending_seconds gauge
firstcall_case_pending_seconds{desk="mailbox",priority="P1"} 0
firstcall_case_pending_seconds{desk="mailbox",priority="P2"} 0
firstcall_case_pending_seconds{desk="mailbox",priority="P3"} 0
firstcall_case_pending_seconds{desk="mailbox",priority="P4"} 0
firstcall_case_pending_seconds{desk="soc",priority="P1"} 0
firstcall_case_pending_seconds{desk="soc",priority="P2"} 90
firstcall_case_pending_seconds{desk="soc",priority="P3"} 0
firstcall_case_pending_seconds{desk="soc",priority="P4"} 1
# HELP firstcall_case_reaction_margin_seconds Reaction time that is left, in supported time, to the open incident that is due first, by priority; negative: nobody took it in time. Absent while every incident of that priority is taken.
# TYPE firstcall_case_reaction_margin_seconds gauge
firstcall_case_reaction_margin_seconds{priority="P1"} -300
firstcall_case_reaction_margin_seconds{priority="P3"} 3600
# HELP firstcall_case_untaken Open incidents with a case to which nobody has reacted yet, by priority; absent of an agent without desks.
# TYPE firstcall_case_untaken gauge
firstcall_case_untaken{priority="P1"} 2
firstcall_case_untaken{priority="P2"} 0
firstcall_case_untaken{priority="P3"} 1
firstcall_case_untaken{priority="P4"} 0
# HELP firstcall_notice_pending_seconds For how long the oldest notice that a notifier has not delivered yet has waited, quiet hours left out; 0 while all are.
# TYPE firstcall_notice_pending_seconds gauge
firstcall_notice_pending_seconds{notifier="chat"} 0
firstcall_notice_pending_seconds{notifier="mail"} 60
`
	names := []string{"firstcall_case_failures", "firstcall_case_pending_seconds", "firstcall_case_reaction_margin_seconds", "firstcall_case_untaken", "firstcall_notice_pending_seconds"}
	if err := testutil.GatherAndCompare(filled().Gatherer(), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

// TestHowComponentsFare states that a greater state is a worse one, and that a maintenance window excuses what is not up.
func TestHowComponentsFare(t *testing.T) {
	const want = `
# HELP firstcall_component_state How a component fares, the greater the worse: 0 up, 1 not up inside a maintenance window, 2 unknown, 3 degraded, 4 down.
# TYPE firstcall_component_state gauge
firstcall_component_state{component="backend"} 4
firstcall_component_state{component="files"} 3
firstcall_component_state{component="mail"} 1
firstcall_component_state{component="print"} 2
firstcall_component_state{component="web-client"} 0
# HELP firstcall_probe_info Which component a probe is of, and of what kind it is; always 1. Witnesses are of none and not shown.
# TYPE firstcall_probe_info gauge
firstcall_probe_info{component="web-client",kind="http",probe="web/http"} 1
`
	if err := testutil.GatherAndCompare(filled().Gatherer(), strings.NewReader(want), "firstcall_component_state", "firstcall_probe_info"); err != nil {
		t.Error(err)
	}
}

// TestWhatIsNotConfiguredIsAbsent states that an agent without a heartbeat and without desks shows no series of theirs.
func TestWhatIsNotConfiguredIsAbsent(t *testing.T) {
	m := New("dev", start, func() Snapshot { return Snapshot{} })
	names := []string{"firstcall_heartbeat_failing", "firstcall_case_untaken", "firstcall_case_pending_seconds"}
	if n, err := testutil.GatherAndCount(m.Gatherer(), names...); err != nil || n != 0 {
		t.Errorf("%d series (%v); want none", n, err)
	}
}

// TestHistogramIsPrometheusOwn compares the compact histogram with client_golang's, bucket by bucket.
func TestHistogramIsPrometheusOwn(t *testing.T) {
	reference := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x", Help: "A reference.", NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: prometheus.NativeHistogramZeroThresholdZero})
	s := NewSeries("p", "k", start)
	for d := time.Duration(1); d < 2*time.Hour; d += d/3 + 1 {
		for range 1 + d%3 {
			reference.Observe(d.Seconds())
			s.ObserveResult(&probes.Result{Outcome: probes.Up, Duration: d})
		}
	}
	for _, d := range []time.Duration{0, time.Second, 2 * time.Second, 500 * time.Millisecond} { // zero and exact bounds
		reference.Observe(d.Seconds())
		s.ObserveResult(&probes.Result{Outcome: probes.Up, Duration: d})
	}
	ch := make(chan prometheus.Metric, 10)
	s.collect(ch)
	close(ch)
	var got, want dto.Metric
	for m := range ch {
		if m.Desc() == descDurations {
			if err := m.Write(&got); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := reference.Write(&want); err != nil {
		t.Fatal(err)
	}
	g, w := got.GetHistogram(), want.GetHistogram()
	if g.GetSchema() != w.GetSchema() || g.GetSampleCount() != w.GetSampleCount() || g.GetZeroCount() != w.GetZeroCount() {
		t.Errorf("schema, count, zero = %d, %d, %d; want %d, %d, %d", g.GetSchema(), g.GetSampleCount(), g.GetZeroCount(), w.GetSchema(), w.GetSampleCount(), w.GetZeroCount())
	}
	if diff := cmp.Diff(populations(w), populations(g)); diff != "" {
		t.Errorf("buckets (-client_golang +ours):\n%s", diff)
	}
}

// populations returns the non-empty buckets of a native histogram.
func populations(h *dto.Histogram) map[int32]int64 {
	m := map[int32]int64{}
	var index int32
	var count int64
	deltas := h.GetPositiveDelta()
	for _, span := range h.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			count += deltas[0]
			deltas = deltas[1:]
			if count != 0 {
				m[index] = count
			}
			index++
		}
	}
	return m
}

func TestHistogramIsBounded(t *testing.T) {
	var h histogram
	for d := time.Duration(1); d > 0 && d < 1<<62; d += d/50 + 1 {
		h.observe(d)
	}
	if len(h.buckets) > maxBuckets {
		t.Errorf("%d buckets; want at most %d", len(h.buckets), maxBuckets)
	}
	var total uint64
	for _, b := range h.buckets {
		total += uint64(b.count)
	}
	if total != h.count {
		t.Errorf("the buckets hold %d of %d observations", total, h.count)
	}
}

func TestObserveResultAllocatesNothing(t *testing.T) {
	s, r := NewSeries("web/http", "http", start), sample()
	s.ObserveResult(&r)
	if n := testing.AllocsPerRun(100, func() { s.ObserveResult(&r) }); n != 0 {
		t.Errorf("%v allocations a result; want none", n)
	}
}

func sample() probes.Result {
	r := probes.Result{Outcome: probes.Up, Duration: 21 * time.Millisecond, Certificate: &probes.Certificate{NotAfter: start}}
	r.Numbers = []probes.Number{{Name: probes.CertificateDays, Value: 3}}
	for i, name := range []string{probes.PhaseDNS, probes.PhaseConnect, probes.PhaseTLS, probes.PhaseFirstByte, probes.PhaseTransfer} {
		r.Phases = append(r.Phases, probes.Phase{Name: name, Duration: time.Duration(i+1) * time.Millisecond})
	}
	return r
}

func BenchmarkObserveResult(b *testing.B) {
	s, r := NewSeries("web/http", "http", start), sample()
	for i := range 40 { // the buckets of a live probe
		r.Duration = time.Duration(10+i) * time.Millisecond
		s.ObserveResult(&r)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.ObserveResult(&r)
	}
}

func BenchmarkGather5000(b *testing.B) {
	all, known := make([]*Series, 5000), make([]Baseline, 5000)
	m := New("dev", start, func() Snapshot { return Snapshot{Baselines: slices.Values(known)} })
	for i := range all {
		all[i] = NewSeries(fmt.Sprintf("component-%d/http", i), "http", start)
		known[i] = Baseline{Probe: fmt.Sprintf("component-%d/http", i), Days: 14, Expected: 20 * time.Millisecond, Limit: 25 * time.Millisecond}
		r := sample()
		for range 10 {
			all[i].ObserveResult(&r)
		}
	}
	m.SetSeries(all)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Gatherer().Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
