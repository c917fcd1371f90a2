package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// FleetSnapshot is what a fleet's wall says at one instant.
type FleetSnapshot struct {
	Tenants   map[string]int // by state
	Incidents int            // fleet incidents that last
	Members   int            // tenants that fail in them
	Silent    int            // agents that are not heard
	Read      time.Time      // when the database was read last; zero: never
	Took      time.Duration  // to read and judge
	Failing   bool           // the newest reading failed
	Unkept    bool           // what the fleet decides cannot be kept
}

// NewFleet returns the metrics of a fleet, each read at a scrape.
func NewFleet(version string, snapshot func() FleetSnapshot) prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &fleetCollector{
		snapshot:  snapshot,
		version:   version,
		tenants:   prometheus.NewDesc("firstcall_fleet_tenants", "Tenants by state, of the fleet's process.", []string{"state"}, nil),
		incidents: prometheus.NewDesc("firstcall_fleet_incidents", "Fleet incidents that last: faults of several tenants with one cause.", nil, nil),
		members:   prometheus.NewDesc("firstcall_fleet_incident_tenants", "Tenants that fail in a fleet incident.", nil, nil),
		silent:    prometheus.NewDesc("firstcall_fleet_silent_agents", "Agents that are not heard, whatever the state of their tenants.", nil, nil),
		read:      prometheus.NewDesc("firstcall_fleet_last_read_timestamp_seconds", "When the database was read last.", nil, nil),
		took:      prometheus.NewDesc("firstcall_fleet_read_seconds", "How long the newest reading and judging took.", nil, nil),
		failing:   prometheus.NewDesc("firstcall_fleet_read_failing", "1 while the database cannot be read.", nil, nil),
		unkept:    prometheus.NewDesc("firstcall_fleet_state_failing", "1 while what the fleet decides cannot be kept in fleet.state_file, so that parent cases wait.", nil, nil),
		build:     prometheus.NewDesc("firstcall_fleet_build_info", "The fleet's version.", []string{"version"}, nil),
	})
	return registry
}

type fleetCollector struct {
	snapshot func() FleetSnapshot
	version  string

	tenants, incidents, members, silent, read, took, failing, unkept, build *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *fleetCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.tenants, c.incidents, c.members, c.silent, c.read, c.took, c.failing, c.unkept, c.build} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *fleetCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.snapshot()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for state, n := range s.Tenants {
		gauge(c.tenants, float64(n), state)
	}
	gauge(c.incidents, float64(s.Incidents))
	gauge(c.members, float64(s.Members))
	gauge(c.silent, float64(s.Silent))
	if !s.Read.IsZero() {
		gauge(c.read, float64(s.Read.UnixMilli())/1000)
	}
	gauge(c.took, s.Took.Seconds())
	for d, is := range map[*prometheus.Desc]bool{c.failing: s.Failing, c.unkept: s.Unkept} {
		value := 0.0
		if is {
			value = 1
		}
		gauge(d, value)
	}
	gauge(c.build, 1, c.version)
}
