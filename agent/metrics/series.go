package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firstcall-agent/firstcall/probes"
)

// maxPhases bounds the phases of one probe; no kind has more.
const maxPhases = 10

// Series is everything that is counted of one probe. It is safe for concurrent use.
type Series struct {
	id, kind string
	created  time.Time

	mu       sync.Mutex
	runs     []runs
	phases   []phase
	success  int8 // -1 not known, 0, 1
	duration time.Duration
	expiry   int64 // Unix seconds of the certificate's end; 0: none seen
	numbers  []number
}

type runs struct {
	outcome probes.Outcome
	reason  probes.Reason
	count   uint64
}

type phase struct {
	name string
	histogram
}

type number struct {
	name  string
	value float64
}

// NewSeries returns the empty series of a probe; created is when counting began.
func NewSeries(id, kind string, created time.Time) *Series {
	return &Series{id: id, kind: kind, created: created, success: -1}
}

// Is reports whether the series is of that probe and kind.
func (s *Series) Is(id, kind string) bool { return s.id == id && s.kind == kind }

// ObserveResult counts a result. Its durations enter the histograms only when the target answered (up or degraded) and the
// agent was not lagging: a latency is that of an answer.
func (s *Series) ObserveResult(r *probes.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countRun(r.Outcome, r.Reason)
	if r.Certificate != nil {
		s.expiry = r.Certificate.NotAfter.Unix()
	}
	if r.Lagging {
		return
	}
	s.duration = r.Duration
	s.numbers = s.numbers[:0] // what the newest run did not measure is not known
	for i := range r.Numbers[:min(len(r.Numbers), probes.MaxNumbers)] {
		s.numbers = append(s.numbers, number{r.Numbers[i].Name, r.Numbers[i].Value})
	}
	switch r.Outcome {
	case probes.Up, probes.Degraded:
		s.success = 1
	case probes.Down:
		s.success = 0
		return
	default:
		s.success = -1
		return
	}
	s.observePhase(probes.PhaseTotal, r.Duration)
	for i := range r.Phases {
		s.observePhase(r.Phases[i].Name, r.Phases[i].Duration)
	}
}

func (s *Series) countRun(outcome probes.Outcome, reason probes.Reason) {
	for i := range s.runs {
		if s.runs[i].outcome == outcome && s.runs[i].reason == reason {
			s.runs[i].count++
			return
		}
	}
	if reason != probes.None && !slices.Contains(probes.Reasons, reason) {
		s.countRun(outcome, probes.Internal) // the label's values are a closed set
		return
	}
	s.runs = append(s.runs, runs{outcome: outcome, reason: reason, count: 1})
}

func (s *Series) observePhase(name string, d time.Duration) {
	for i := range s.phases {
		if s.phases[i].name == name {
			s.phases[i].observe(d)
			return
		}
	}
	if len(s.phases) >= maxPhases {
		return
	}
	s.phases = append(s.phases, phase{name: name})
	s.phases[len(s.phases)-1].observe(d)
}

var (
	descRuns = prometheus.NewDesc("firstcall_probe_runs_total",
		"Runs of a probe, scheduled ones and quick re-probes, by outcome and reason.", []string{"probe", "kind", "outcome", "reason"}, nil)
	descDurations = prometheus.NewDesc("firstcall_probe_duration_seconds",
		"How long a probe's answered runs (up or degraded, the agent not lagging) took, by phase; total is the whole run. A native histogram.", []string{"probe", "phase"}, nil)
	descSuccess = prometheus.NewDesc("probe_success",
		"Whether the target answered at the newest run; absent while the agent cannot tell.", []string{"probe"}, nil)
	descDuration = prometheus.NewDesc("probe_duration_seconds",
		"How long the newest run took.", []string{"probe"}, nil)
	descExpiry = prometheus.NewDesc("probe_ssl_earliest_cert_expiry",
		"When the certificate that the target showed last expires, in Unix seconds.", []string{"probe"}, nil)
	descNumber = prometheus.NewDesc("firstcall_probe_number",
		"What the newest run measured of a resource, in the unit of the reference page: days left of a certificate and others; absent while it measured none.", []string{"probe", "name"}, nil)
)

// collect sends the series' metrics.
func (s *Series) collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		ch <- prometheus.MustNewConstMetric(descRuns, prometheus.CounterValue, float64(r.count), s.id, s.kind, r.outcome.String(), string(r.reason))
	}
	for i := range s.phases {
		p := &s.phases[i]
		ch <- p.metric(descDurations, s.created, s.id, p.name)
	}
	if len(s.runs) > 0 {
		ch <- prometheus.MustNewConstMetric(descDuration, prometheus.GaugeValue, s.duration.Seconds(), s.id)
	}
	if s.success >= 0 {
		ch <- prometheus.MustNewConstMetric(descSuccess, prometheus.GaugeValue, float64(s.success), s.id)
	}
	for _, n := range s.numbers {
		ch <- prometheus.MustNewConstMetric(descNumber, prometheus.GaugeValue, n.value, s.id, n.name)
	}
	if s.expiry != 0 {
		ch <- prometheus.MustNewConstMetric(descExpiry, prometheus.GaugeValue, float64(s.expiry), s.id)
	}
}
