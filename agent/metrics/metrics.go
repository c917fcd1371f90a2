// Package metrics counts what the agent does, for Prometheus. It observes: nothing waits for it.
//
// What changes with every result is kept per probe in a Series, small enough for thousands of probes; what the agent knows
// anyway is read when Prometheus asks, through a Snapshot. The names and labels are a promise: docs/metrics.md
// lists them, made from this package by go generate.
package metrics

//go:generate go test -run TestEveryMetricIsDocumented -update .

import (
	"iter"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/probes"
)

// Snapshot is what the agent knows of itself at one instant.
type Snapshot struct {
	Tenant, Vantage string
	AlertOnly       bool
	Incidents       []incident.Incident // open ones
	Blind           bool
	Lagging         bool
	Lag             time.Duration // how late the agent was, at the worst, in the last minute
	StoreSteps      int           // steps of the judgement that wait for the store
	StoreResults    int           // results that wait for the store
	StoreFailing    bool
	CasePending     int
	OldestPending   time.Duration
	Cases           reconcile.Status // what desks and notifiers have not heard, and how the reaction clocks run
	Stuck           int              // runs that did not return after their deadline
	Ready           bool             // whether every probe with an interval of at most five minutes ran once since the start
	Beats           bool             // whether a heartbeat is configured
	BeatFails       bool             // whether the newest one was held back or not answered
	Heartbeat       time.Time        // last one that was answered
	Digest          string           // of the configuration in force
	ReloadOK        bool             // whether the newest configuration is in force
	Loaded          time.Time        // when the configuration in force was loaded
	Components      []engine.ComponentView
	Kind            func(probe string) string // of a configured probe
	Baselines       iter.Seq[Baseline]
	Accounts        map[string]bool // by the probe that uses one of its own: whether it is refused

	Role       string    // leader, follower or alone
	Vantages   int       // agents of the tenant that live, this one included
	Epoch      int64     // of the lead; 0: the store is this agent's own
	AloneSince time.Time // zero: it does not judge alone
}

// Baseline is what is known of a probe's own latency.
type Baseline struct {
	Probe           string
	Days            int           // whole days learnt
	Expected, Limit time.Duration // what is normal now, and what a lasting latency must pass to be slow; 0: not known
}

// Metrics is the agent's own registry. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	snapshot func() Snapshot
	series   atomic.Pointer[[]*Series]

	missed        *prometheus.CounterVec
	created       time.Time
	delay         guarded
	cases         *prometheus.CounterVec
	notices       *prometheus.CounterVec
	storeErrors   prometheus.Counter
	droppedResult prometheus.Counter
}

// MissReason says why a run of a probe was left out.
type MissReason string

// The reasons.
const (
	MissLate    MissReason = "late"    // the agent was too late for it
	MissRunning MissReason = "running" // the run before has not ended
	MissStuck   MissReason = "stuck"   // a run did not return after its deadline
	MissLimit   MissReason = "limit"   // as many runs as the process has descriptors for were under way
)

// New returns a registry with everything in it. created is when counting began; snapshot is called at every scrape and must be
// quick.
func New(version string, created time.Time, snapshot func() Snapshot) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		snapshot: snapshot,
		created:  created,
		missed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "firstcall_probe_missed_total",
			Help: "Runs of probes that were left out because the agent was late, the run before had not ended, a run was stuck, or too many runs were under way.",
		}, []string{"reason"}),
		cases: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "firstcall_cases_total",
			Help: "Calls to service desks, by desk, action and result (ok, failed, or unknown: it may have happened).",
		}, []string{"desk", "action", "result"}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "firstcall_notices_total",
			Help: "Attempts to send notices, by notifier and result (ok, failed, or unknown: it may have been sent).",
		}, []string{"notifier", "result"}),
		storeErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "firstcall_store_errors_total",
			Help: "Writes to the store that failed; they are repeated.",
		}),
		droppedResult: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "firstcall_results_dropped_total",
			Help: "Raw results, already judged, that were dropped unwritten because the store failed for long.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "firstcall_build_info",
		Help:        "Which version of the agent this is; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	for _, reason := range []MissReason{MissLate, MissRunning, MissStuck, MissLimit} {
		m.missed.WithLabelValues(string(reason))
	}
	m.registry.MustRegister(m.missed, m.cases, m.notices, m.storeErrors, m.droppedResult, build, collector{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gatherer returns the registry, for the page that Prometheus scrapes.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// SetSeries replaces the probes that are shown. The slice must not be changed afterwards.
func (m *Metrics) SetSeries(series []*Series) { m.series.Store(&series) }

// Missed counts runs that were left out.
func (m *Metrics) Missed(reason MissReason, n int) {
	m.missed.WithLabelValues(string(reason)).Add(float64(n))
}

// Delayed counts how much later than due a run began.
func (m *Metrics) Delayed(d time.Duration) { m.delay.observe(d) }

// Case counts a call to a desk.
func (m *Metrics) Case(desk, action, result string) {
	m.cases.WithLabelValues(desk, action, result).Inc()
}

// Notice counts an attempt to send a notice.
func (m *Metrics) Notice(notifier, result string) { m.notices.WithLabelValues(notifier, result).Inc() }

// StoreError counts a failed write to the store.
func (m *Metrics) StoreError() { m.storeErrors.Inc() }

// Dropped counts raw results that will never be in the store.
func (m *Metrics) Dropped(n int) { m.droppedResult.Add(float64(n)) }

// collector shows the series and the snapshot.
type collector struct{ m *Metrics }

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descDelay = prometheus.NewDesc("firstcall_schedule_delay_seconds", "How much later than due runs of probes began. A native histogram.", nil, nil)

	descAgent        = gauge("firstcall_agent_info", "Whom the agent watches, from where, and whether it may open cases (mode full) or not (alert-only); always 1.", "tenant", "vantage", "mode")
	descOpen         = gauge("firstcall_incident_open", "Open incidents by component at the root, class and priority (- for what opens no case).", "component", "class", "priority")
	descBlind        = gauge("firstcall_blind", "1 while the agent's own network is broken and it says nothing about the customer.")
	descLagging      = gauge("firstcall_lagging", "1 while the agent itself is late and its results are not used.")
	descLag          = gauge("firstcall_lag_seconds", "How late the agent was, at the worst, within the last minute.")
	descStorePending = gauge("firstcall_store_pending", "Steps of the judgement and results that wait for the store.", "what")
	descStoreFailing = gauge("firstcall_store_failing", "1 while state cannot be written.")
	descCasePending  = gauge("firstcall_case_pending", "Incidents whose case is not yet as it should be.")
	descCaseOldest   = gauge("firstcall_case_oldest_pending_seconds", "For how long the oldest of the incidents whose case is not yet as it should be has waited.")
	descCaseAge      = gauge("firstcall_case_pending_seconds", "For how long the oldest thing that a desk has not heard yet has waited, by the priority of the incident; 0 while it knows all.", "desk", "priority")
	descCaseFailures = gauge("firstcall_case_failures", "Attempts that failed in a row, of the case at a desk that failed most often; 0 while none fails.", "desk")
	descNoticeAge    = gauge("firstcall_notice_pending_seconds", "For how long the oldest notice that a notifier has not delivered yet has waited, quiet hours left out; 0 while all are.", "notifier")
	descMargin       = gauge("firstcall_case_reaction_margin_seconds", "Reaction time that is left, in supported time, to the open incident that is due first, by priority; negative: nobody took it in time. Absent while every incident of that priority is taken.", "priority")
	descUntaken      = gauge("firstcall_case_untaken", "Open incidents with a case to which nobody has reacted yet, by priority; absent of an agent without desks.", "priority")
	descReady        = gauge("firstcall_ready", "1 once every probe with an interval of at most five minutes ran since the start.")
	descBeatFails    = gauge("firstcall_heartbeat_failing", "1 while the newest heartbeat was held back or the outside watchdog did not answer it; absent when none is configured.")
	descState        = gauge("firstcall_component_state", "How a component fares, the greater the worse: 0 up, 1 not up inside a maintenance window, 2 unknown, 3 degraded, 4 down.", "component")
	descProbe        = gauge("firstcall_probe_info", "Which component a probe is of, and of what kind it is; always 1. Witnesses are of none and not shown.", "probe", "component", "kind")
	descStuck        = gauge("firstcall_probe_runs_stuck", "Runs of probes that did not return after their deadline.")
	descHeartbeat    = gauge("firstcall_last_heartbeat_timestamp_seconds", "When the outside watchdog last answered a heartbeat, in Unix seconds; absent before the first.")
	descReloadOK     = gauge("firstcall_config_last_reload_successful", "1 when the newest configuration is in force, 0 when it was refused and the old one goes on.")
	descReloadTime   = gauge("firstcall_config_last_reload_success_timestamp_seconds", "When the configuration in force was loaded, in Unix seconds.")
	descLearnt       = gauge("firstcall_probe_baseline_seconds", "How long it has been learnt what is normal for a probe, in whole days; with 14 of them (1209600 s) it is whole.", "probe")
	descExpected     = gauge("firstcall_probe_expected_seconds", "Latency that is normal for a probe now; absent while it is not known.", "probe")
	descSlow         = gauge("firstcall_probe_slow_limit_seconds", "Latency that a probe must pass lastingly to be slow; absent while it is not known.", "probe")
	descAccountOff   = gauge("firstcall_account_off", "1 while the account or identity that a probe uses is refused, 0 while it is not known to be; absent of a probe without one.", "probe")
	descLeader       = gauge("firstcall_leader", "1 while this agent judges for all agents of the tenant and tells desks and people; always 1 where its store is its own.")
	descRole         = gauge("firstcall_role", "1 for the role that the agent has among those of the tenant: leader, follower, or alone while the database is away; 0 for the others.", "role")
	descVantages     = gauge("firstcall_vantages", "Agents of the tenant that this one hears of, itself included.")
	descEpoch        = gauge("firstcall_lease_epoch", "Number of the lead, which rises each time that another agent takes it; absent where the store is the agent's own.")
	descAlone        = gauge("firstcall_alone_since_timestamp_seconds", "Since when the agent judges alone, in Unix seconds; absent while it does not.")
	descConfig       = gauge("firstcall_config_info", "Which configuration is in force, by the first 12 digits of its SHA-256; always 1.", "digest")
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descRuns, descDurations, descSuccess, descDuration, descExpiry, descNumber, descDelay, descAgent, descOpen, descBlind, descLagging, descLag, descStorePending,
		descStoreFailing, descCasePending, descCaseOldest, descCaseAge, descCaseFailures, descNoticeAge, descMargin, descStuck, descHeartbeat, descReloadOK, descReloadTime, descConfig,
		descLearnt, descExpected, descSlow, descAccountOff, descUntaken, descReady, descBeatFails, descState, descProbe,
		descLeader, descRole, descVantages, descEpoch, descAlone,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	if series := c.m.series.Load(); series != nil {
		for _, s := range *series {
			s.collect(ch)
		}
	}
	ch <- c.m.delay.metric(descDelay, c.m.created)
	c.collectAgent(ch, c.m.snapshot())
}

func (c collector) collectAgent(ch chan<- prometheus.Metric, s Snapshot) {
	put := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	mode := "full"
	if s.AlertOnly {
		mode = "alert-only"
	}
	put(descAgent, 1, s.Tenant, s.Vantage, mode)
	type key struct{ component, class, priority string }
	open := map[key]int{}
	for _, i := range s.Incidents {
		open[key{i.Root, string(i.Class), i.Priority.String()}]++
	}
	for k, n := range open {
		put(descOpen, float64(n), k.component, k.class, k.priority)
	}
	put(descBlind, truth(s.Blind))
	put(descLagging, truth(s.Lagging))
	put(descLag, s.Lag.Seconds())
	put(descStorePending, float64(s.StoreSteps), "steps")
	put(descStorePending, float64(s.StoreResults), "results")
	put(descStoreFailing, truth(s.StoreFailing))
	put(descCasePending, float64(s.CasePending))
	put(descCaseOldest, s.OldestPending.Seconds())
	collectCases(put, s.Cases)
	put(descStuck, float64(s.Stuck))
	if !s.Heartbeat.IsZero() {
		put(descHeartbeat, seconds(s.Heartbeat))
	}
	put(descReady, truth(s.Ready))
	if s.Beats {
		put(descBeatFails, truth(s.BeatFails))
	}
	put(descLeader, truth(s.Role == "leader"))
	for _, role := range []string{"leader", "follower", "alone"} {
		put(descRole, truth(s.Role == role), role)
	}
	put(descVantages, float64(s.Vantages))
	if s.Epoch > 0 {
		put(descEpoch, float64(s.Epoch))
	}
	if !s.AloneSince.IsZero() {
		put(descAlone, seconds(s.AloneSince))
	}
	put(descReloadOK, truth(s.ReloadOK))
	put(descReloadTime, seconds(s.Loaded))
	put(descConfig, 1, s.Digest[:min(12, len(s.Digest))])
	for probe, off := range s.Accounts {
		put(descAccountOff, truth(off), probe)
	}
	collectComponents(put, s)
	if s.Baselines == nil {
		return
	}
	for b := range s.Baselines {
		put(descLearnt, float64(b.Days)*24*3600, b.Probe)
		if b.Expected > 0 {
			put(descExpected, b.Expected.Seconds(), b.Probe)
		}
		if b.Limit > 0 {
			put(descSlow, b.Limit.Seconds(), b.Probe)
		}
	}
}

func collectCases(put func(d *prometheus.Desc, v float64, labels ...string), s reconcile.Status) {
	for desk, b := range s.Desks {
		for p := incident.P1; p <= incident.P4; p++ {
			put(descCaseAge, b.Waits[p].Seconds(), desk, p.String())
		}
		put(descCaseFailures, float64(b.Failures), desk)
	}
	for notifier, b := range s.Notifiers {
		put(descNoticeAge, b.Oldest.Seconds(), notifier)
	}
	for p := incident.P1; p <= incident.P4 && len(s.Desks) > 0; p++ {
		put(descUntaken, float64(s.Untaken[p]), p.String())
	}
	for priority, margin := range s.Reaction {
		put(descMargin, margin.Seconds(), priority.String())
	}
}

func collectComponents(put func(d *prometheus.Desc, v float64, labels ...string), s Snapshot) {
	for _, c := range s.Components {
		put(descState, badness(c), c.Name)
		for _, i := range c.Instances {
			for _, p := range i.Probes {
				if kind := s.Kind(p.ID); kind != "" { // or a reload has just taken it away
					put(descProbe, 1, p.ID, c.Name, kind)
				}
			}
		}
	}
}

// badness orders how a component fares, as the page does.
func badness(c engine.ComponentView) float64 {
	switch {
	case c.Outcome == probes.Up:
		return 0
	case c.Maintenance != "":
		return 1
	case c.Outcome == probes.Degraded:
		return 3
	case c.Outcome == probes.Down:
		return 4
	}
	return 2
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
