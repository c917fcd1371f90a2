package engine

import (
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// View is what the engine believes at one instant, for people to see. It shares nothing with the engine.
type View struct {
	At         time.Time           `json:"at"`
	Tenant     string              `json:"tenant"`
	Outcome    probes.Outcome      `json:"outcome"` // worst of the components; Unknown while blind
	Blind      bool                `json:"blind"`
	BlindSince time.Time           `json:"blind_since,omitzero"`
	Components []ComponentView     `json:"components"`
	Witnesses  []ProbeView         `json:"witnesses,omitempty"`
	Incidents  []incident.Incident `json:"incidents"` // open ones, most urgent first
}

// ComponentView is one component.
type ComponentView struct {
	Name        string         `json:"name"`
	Outcome     probes.Outcome `json:"outcome"`
	Reason      probes.Reason  `json:"reason,omitempty"`
	Since       time.Time      `json:"since,omitzero"` // of a problem
	Detail      string         `json:"detail,omitempty"`
	Essential   bool           `json:"essential"`
	DependsOn   []string       `json:"depends_on,omitempty"`
	Maintenance string         `json:"maintenance,omitempty"` // the window's name, while one is open
	Instances   []InstanceView `json:"instances"`
}

// InstanceView is one instance.
type InstanceView struct {
	Name    string         `json:"name"`
	Outcome probes.Outcome `json:"outcome"`
	Probes  []ProbeView    `json:"probes"`
}

// ProbeView is one probe.
type ProbeView struct {
	ID       string             `json:"id"`
	Deciding bool               `json:"deciding"`
	Outcome  probes.Outcome     `json:"outcome"`
	Suspect  bool               `json:"suspect,omitempty"` // failed, not yet confirmed
	Last     *probes.Result     `json:"last,omitempty"`
	LastGood time.Time          `json:"last_good,omitzero"`
	Findings []incident.Finding `json:"findings,omitempty"`
}

// Step is what follows from one input: rows to make durable, and probes to run again soon.
type Step struct {
	At        time.Time
	Incidents []incident.Incident // new or changed, whole
	Events    []incident.Event
	Rechecks  []Recheck
	Wake      time.Time // when Tick should be called at the latest; zero: the next second will do
}

// Changed reports whether the step holds anything that must be made durable.
func (s Step) Changed() bool { return len(s.Incidents) > 0 || len(s.Events) > 0 }

// Recheck asks for quick re-probes, spread evenly over Within, the first of them after Within/Count.
type Recheck struct {
	Probe  string
	Count  int
	Within time.Duration // zero: at once
}
