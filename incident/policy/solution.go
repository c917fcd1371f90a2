// Package policy is the contract's priority table, its readings, the dependencies between components and the maintenance
// windows: pure functions of what is measured. It has no clock and does no I/O.
package policy

import (
	"time"

	"github.com/robfig/cron/v3"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// Solution is everything the tenant bought, as far as judging needs it.
type Solution struct {
	Tenant     string
	Components []Component
	Witnesses  []string // ids of the witness probes; empty: blindness is not judged by witnesses
}

// Component is a server application or functionality of the contract.
type Component struct {
	Name      string
	Essential bool     // its loss counts towards "the entire customer solution"
	DependsOn []string // names of other components; no cycles
	Instances []Instance
}

// Redundant reports whether the component has two or more instances.
func (c Component) Redundant() bool { return len(c.Instances) > 1 }

// Instance is one server of a component.
type Instance struct {
	Name   string // the component's name when it has only one
	Probes []Probe
}

// Probe names a probe of an instance, its role and how its failures are judged.
type Probe struct {
	ID       string                            // unique in the configuration: component/name or component/instance/name
	Kind     string                            // of probe
	Deciding bool                              // its outage is the instance's; otherwise it is evidence
	JudgeAs  map[probes.Reason]incident.Matter // what the configuration judges otherwise than the table; see JudgeFailure
	Account  bool                              // it uses an account or an identity of its own
}

// Readings are our interpretations where the contract's text is silent; each is a default that the configuration may change.
type Readings struct {
	Momentary       time.Duration     `yaml:"momentary" default:"5m" doc:"An outage that recovers by itself within this time is closed as momentary."`
	MomentaryCount  int               `yaml:"momentary_count" default:"3" doc:"So many momentary outages within momentary_window are one priority 3 case, kept until a whole window is quiet."`
	MomentaryWindow time.Duration     `yaml:"momentary_window" default:"1h" doc:"Window for momentary_count."`
	Sustained       time.Duration     `yaml:"sustained" default:"15m" doc:"A speed problem that has lasted this long is sustained: priority 2."`
	PeriodicCount   int               `yaml:"periodic_count" default:"3" doc:"So many shorter speed problems within periodic_window are one periodic problem: priority 3, kept until a whole window is quiet."`
	PeriodicWindow  time.Duration     `yaml:"periodic_window" default:"6h" doc:"Window for periodic_count."`
	RedundancyLost  incident.Priority `yaml:"redundancy_lost" default:"p3" enum:"p1,p2,p3,p4" doc:"Priority when some, but not all, instances of a redundant component are down."`
	Settle          time.Duration     `yaml:"settle" default:"6s" doc:"How long a confirmed outage waits for other probes that just failed too, so that one case is opened instead of several."`
}

// Window is a recurring maintenance window. It suppresses the opening of incidents, never a close, and measuring goes on.
type Window struct {
	Name       string
	Schedule   cron.Schedule // in the tenant's zone
	Duration   time.Duration
	Components []string // empty: all
}
