// Package engine folds findings into incidents by the contract's policy and clock. Its output, the Step, is the desired state:
// which incidents are open, at which priority, and why. Everything that acts on it comes after the store.
//
// The engine is level-triggered and deterministic: after every change it derives what should be open from what is measured and
// compares that with what is open. The same results give the same incidents; time comes in with them. Nothing that suppresses
// (maintenance, dependency, blindness) ever suppresses a close.
package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/probes"
)

// Setup is the configuration of an Engine.
type Setup struct {
	Solution  policy.Solution
	Readings  policy.Readings
	Windows   []policy.Window
	Level     sla.Level
	Detection detect.Settings
	Limits    map[string][]detect.Limit // by probe id
	Zone      *time.Location            // of maintenance windows; nil: UTC
}

// Engine judges one solution. It is not safe for concurrent use.
type Engine struct {
	set        Setup
	now        time.Time // of the newest input; never goes back
	probes     map[string]*probe
	conditions []condition  // of the newest evaluation, reused
	components []*component // parents before their children
	byName     map[string]*component
	s          state
	step       *stepBuilder
	lastSweep  time.Time
	lastLook   time.Time // newest request to the witnesses while blind
	pending    bool      // something is confirmed that no incident speaks of yet
}

// probe is a deciding, evidence or witness probe.
type probe struct {
	id        string
	deciding  bool
	component *component // nil for a witness
	instance  int
	detector  *detect.Detector
	last      *probes.Result
	lastGood  time.Time
	ended     time.Time // first good result after its newest outage
}

type component struct {
	policy.Component
	order     int // of the configuration
	parents   []*component
	instances [][]*probe
	deciding  []*probe
}

// state is what survives a restart. All of it is committed together with the incidents that follow from it.
type state struct {
	Version    int                     `json:"version"`
	Detectors  map[string]detect.State `json:"detectors,omitempty"`
	Components map[string]*memory      `json:"components,omitempty"`
	Open       []*live                 `json:"open,omitempty"`
	Seen       map[string]time.Time    `json:"seen,omitempty"`       // by probe: Since of the outage that rests on proven sight
	Sight      time.Time               `json:"sight,omitzero"`       // start of the newest run that proves that the agent sees
	Dark       time.Time               `json:"dark,omitzero"`        // since when no witness answers
	BlindSince time.Time               `json:"blind_since,omitzero"` // zero: not blind
	Now        time.Time               `json:"now,omitzero"`
}

// stateVersion changes when a state of before can no longer be read.
const stateVersion = 1

// memory is what the engine remembers of a component beyond its detectors.
type memory struct {
	DownSince time.Time   `json:"down_since,omitzero"` // of the outage or lost redundancy that lasts
	Short     []time.Time `json:"short,omitempty"`     // ends of momentary outages, oldest first
	SlowSince time.Time   `json:"slow_since,omitzero"`
	Slow      []time.Time `json:"slow,omitempty"` // ends of speed problems, oldest first
}

// live is an open incident and the components whose problem it now is.
type live struct {
	incident.Incident
	Active    []string  `json:"active"`
	Quiet     bool      `json:"quiet,omitempty"`    // nothing fails now: it ends when it has been quiet for a whole window
	Rectified time.Time `json:"rectified,omitzero"` // start of the first good result after the newest problem
}

// New returns an Engine that goes on from state, which may be nil. open holds the incidents that the store has as open: where
// state is lost or older they are taken from there, so that every opened case is resolved in the end. The Step holds what
// follows from a configuration that no longer has what the state speaks of.
func New(s Setup, saved []byte, open []incident.Incident, now time.Time) (*Engine, Step, error) {
	if s.Zone == nil {
		s.Zone = time.UTC
	}
	e := &Engine{set: s, probes: map[string]*probe{}, byName: map[string]*component{}}
	if len(saved) > 0 {
		if err := json.Unmarshal(saved, &e.s); err != nil {
			return nil, Step{}, fmt.Errorf("the engine's saved state cannot be read: %w", err)
		}
		if e.s.Version > stateVersion {
			return nil, Step{}, fmt.Errorf("the engine's saved state is of version %d, this firstcall knows %d: run the newer one", e.s.Version, stateVersion)
		}
	}
	e.s.Version = stateVersion
	if e.s.Components == nil {
		e.s.Components = map[string]*memory{}
	}
	if e.s.Seen == nil {
		e.s.Seen = map[string]time.Time{}
	}
	for _, i := range open {
		if !slices.ContainsFunc(e.s.Open, func(l *live) bool { return l.ID == i.ID }) {
			e.s.Open = append(e.s.Open, &live{Incident: i, Active: slices.Clone(i.Components)})
		}
	}
	e.build()
	e.now = e.s.Now
	e.begin(now)
	e.dropUnconfigured()
	e.evaluate()
	return e, e.finish(), nil
}

// build lays out components and probes, parents first, and gives every detector its saved state.
func (e *Engine) build() {
	for i, pc := range e.set.Solution.Components {
		c := &component{Component: pc, order: i}
		for n, inst := range pc.Instances {
			var list []*probe
			for _, pp := range inst.Probes {
				p := e.addProbe(pp.ID, c, n)
				p.deciding = pp.Deciding
				list = append(list, p)
				if p.deciding {
					c.deciding = append(c.deciding, p)
				}
			}
			c.instances = append(c.instances, list)
		}
		e.byName[c.Name] = c
		if e.s.Components[c.Name] == nil {
			e.s.Components[c.Name] = &memory{}
		}
	}
	for _, id := range e.set.Solution.Witnesses {
		e.addProbe(id, nil, 0)
	}
	placed := map[string]bool{}
	var place func(name string)
	place = func(name string) {
		c := e.byName[name]
		if c == nil || placed[name] {
			return
		}
		placed[name] = true
		for _, parent := range c.DependsOn {
			place(parent)
			if p := e.byName[parent]; p != nil {
				c.parents = append(c.parents, p)
			}
		}
		e.components = append(e.components, c)
	}
	for _, pc := range e.set.Solution.Components {
		place(pc.Name)
	}
}

func (e *Engine) addProbe(id string, c *component, instance int) *probe {
	p := &probe{id: id, component: c, instance: instance}
	p.detector = detect.New(id, e.set.Detection, e.set.Limits[id], e.s.Detectors[id])
	p.lastGood = p.detector.State().LastGood
	e.probes[id] = p
	return p
}

// Observe takes the next result. Results of one probe come in the order in which they ended.
func (e *Engine) Observe(r probes.Result) Step {
	e.begin(r.End())
	p := e.probes[r.Probe]
	if p == nil {
		return e.finish() // of a configuration that is no longer in force
	}
	p.last = &r
	good := answers(&r)
	if good {
		p.lastGood = r.End()
		if r.Start.After(e.s.Sight) {
			e.s.Sight = r.Start
		}
	}
	if e.judgeSight(p, good) {
		e.evaluate()
		return e.finish()
	}
	if e.blind() {
		return e.finish()
	}
	wasSuspect := p.detector.Suspect()
	v := p.detector.Observe(r)
	if v.Recheck > 0 {
		e.step.recheck(p.id, v.Recheck, e.set.Detection.RecheckWithin)
	}
	for _, f := range v.Ended {
		if f.Kind == incident.Outage {
			p.ended = f.Ended
			delete(e.s.Seen, p.id)
		}
	}
	nowSuspect := p.detector.Suspect()
	confirmed := slices.ContainsFunc(v.Started, func(f incident.Finding) bool { return f.Kind == incident.Outage })
	if p.deciding && !wasSuspect && (nowSuspect || confirmed) {
		e.lookAround(p)
	}
	if v.Changed() || wasSuspect != nowSuspect || e.pending {
		e.evaluate()
	}
	return e.finish()
}

// Tick lets time pass where no result comes: windows end, regressions become sustained, held decisions fall due.
func (e *Engine) Tick(now time.Time) Step {
	e.begin(now)
	e.checkSight()
	if e.blind() && e.now.Sub(e.lastLook) >= blindLook {
		e.lastLook = e.now
		for _, id := range e.set.Solution.Witnesses {
			e.step.recheck(id, 1, 0)
		}
	}
	e.evaluate()
	return e.finish()
}

// Forget tells the engine that the agent slept or that its clock jumped: what is not confirmed is dropped, what is stays.
func (e *Engine) Forget(now time.Time, _ string) Step {
	e.begin(now)
	for _, p := range e.probes {
		p.detector.Forget()
	}
	e.evaluate()
	return e.finish()
}

// State returns all that the engine remembers, to be committed with the Step that it follows from.
func (e *Engine) State() ([]byte, error) {
	e.s.Detectors = make(map[string]detect.State, len(e.probes))
	for id, p := range e.probes {
		e.s.Detectors[id] = p.detector.State()
	}
	e.s.Now = e.now
	data, err := json.Marshal(e.s)
	if err != nil {
		return nil, fmt.Errorf("the engine's state cannot be encoded: %w", err)
	}
	return data, nil
}

// begin starts a step at now, or at the newest instant seen where now lies before it.
func (e *Engine) begin(now time.Time) {
	if now.After(e.now) {
		e.now = now.UTC()
	}
	e.step = &stepBuilder{Step: Step{At: e.now}}
}

func (e *Engine) finish() Step { return e.step.Step }

// dropUnconfigured closes open incidents of which no component is configured any more.
func (e *Engine) dropUnconfigured() {
	for _, l := range slices.Clone(e.s.Open) {
		l.Active = slices.DeleteFunc(l.Active, func(name string) bool { return e.byName[name] == nil })
		if l.Class == incident.Agent || slices.ContainsFunc(l.Components, func(name string) bool { return e.byName[name] != nil }) {
			continue
		}
		e.closeIncident(l, incident.Removed, e.now, "no component of this incident is configured any more")
	}
	for name := range e.s.Components {
		if e.byName[name] == nil {
			delete(e.s.Components, name)
		}
	}
}
