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
	Solution   policy.Solution
	Readings   policy.Readings
	Windows    []policy.Window
	Spans      []policy.Span // maintenance that people ordered for once; Maintain replaces them
	Level      sla.Level
	Detection  detect.Settings
	Limits     map[string][]detect.Limit     // by probe id
	Thresholds map[string][]detect.Threshold // by probe id
	Zone       *time.Location                // of maintenance windows and of the hours of baselines; nil: UTC
	Holiday    func(time.Time) bool          // whether a local day is one of rest although no weekend; nil: none is
	Baselines  map[string][]byte             // as saved, by probe id
	Untimed    map[string]bool               // by probe id: how long a run takes says nothing of the target, and is never slow
	Vantage    string                        // name of the place that this engine's results come from, unlike that of every peer
	Quorum     Quorum
	Follows    bool   // the engine begins as one that follows, see Engine.Follow
	Votes      []Vote // of the peers, as Hear takes them: a reload must not judge without them
}

// Engine judges one solution. It is not safe for concurrent use.
type Engine struct {
	set        Setup
	now        time.Time // of the newest input; never goes back
	probes     map[string]*probe
	conditions []condition  // of the newest evaluation, reused
	components []*component // parents before their children
	byName     map[string]*component
	holders    map[holding]*live
	s          state
	step       *stepBuilder
	dark       time.Time // since when no witness answers
	lastSweep  time.Time
	lastLook   time.Time       // newest request to the witnesses
	blob       []byte          // room for encoding
	rejudged   map[string]bool // open incidents whose findings New dropped, by id
	leads      bool            // it judges incidents
	peers      []*peer         // other vantages, by name, those whose last word still holds included
	blindWhy   string          // while it is blind: why
	watched    bool            // there is an open incident of a peer's blindness
	began      time.Time       // when the engine began, or began to lead
}

// holding is what at most one open incident speaks of.
type holding struct {
	class     incident.Class
	component string
}

// probe is a deciding, evidence or witness probe.
type probe struct {
	id        string
	kind      string
	deciding  bool
	account   bool                              // it uses one of its own
	judgeAs   map[probes.Reason]incident.Matter // see policy.Probe
	component *component                        // nil for a witness
	instance  int
	detector  *detect.Detector
	last      *probes.Result
	lastGood  time.Time
	ended     time.Time // first good result after its newest outage
	asked     time.Time // when the engine last wanted it looked at, see look
	fast      time.Time // when its newest slow stretch ended
	accepted  accepted  // why a speed problem of it ended although it is as slow as before

	// The newest result that says anything, since the engine began or the agent slept or was blind: Unknown while there is none.
	fresh   probes.Outcome
	freshAt time.Time     // its start
	took    time.Duration // and how long it took
	again   int           // so many more failing runs are wanted before one says anything: its outage is of before
	anew    time.Time     // when that was decided last; zero: it was not since the engine began
	refused string        // why its own account is refused, as far as its newest run says
	voices  []voice       // what every vantage believes, of the newest evaluation; of no use unless Engine.several
}

type component struct {
	policy.Component
	order     int // of the configuration
	at        int // in Engine.components, and in the conditions of an evaluation
	memory    *memory
	parents   []*component
	instances [][]*probe
	deciding  []*probe
	judged    []judgedInstance // by instance, of the newest evaluation; of no use unless Engine.several
}

// state is what survives a restart. All of it is committed together with the incidents that follow from it.
type state struct {
	Version    int                     `json:"version"`
	Detectors  map[string]detect.State `json:"detectors,omitempty"`
	Components map[string]*memory      `json:"components,omitempty"`
	Open       []*live                 `json:"open,omitempty"`
	Seen       map[string]time.Time    `json:"seen,omitempty"`       // by probe: Since of the outage that rests on proven sight
	Sight      time.Time               `json:"sight,omitzero"`       // start of the newest run that proves that the agent sees
	Begun      map[string]time.Time    `json:"begun,omitempty"`      // start of the newest incident, by class and root
	BlindSince time.Time               `json:"blind_since,omitzero"` // zero: not blind
	Now        time.Time               `json:"now,omitzero"`
	Vantage    string                  `json:"vantage,omitempty"` // whose blindness is that of sightRoot; "": there was never a peer
}

// stateVersion changes when a state of before can no longer be read.
const stateVersion = 1

// memory is what the engine remembers of a component beyond its detectors.
type memory struct {
	DownSince time.Time   `json:"down_since,omitzero"` // of the outage or lost redundancy that lasts
	Short     []time.Time `json:"short,omitempty"`     // ends of momentary outages, oldest first
	Flaps     bool        `json:"flaps,omitempty"`     // they are a problem until there is none left in the window
	SlowSince time.Time   `json:"slow_since,omitzero"`
	Slow      []time.Time `json:"slow,omitempty"` // ends of speed problems, oldest first

	// Where there are several vantages, or were.
	Standing   map[string]*standing `json:"standing,omitempty"`    // by what is judged
	AloneSince time.Time            `json:"alone_since,omitzero"`  // of the outage that lasts and that no quorum sees
	AloneShort []time.Time          `json:"alone_short,omitempty"` // ends of momentary outages that no quorum saw, oldest first
	AloneFlaps bool                 `json:"alone_flaps,omitempty"` // Flaps, but no quorum sees it
	AloneSlow  []time.Time          `json:"alone_slow,omitempty"`  // ends of speed problems that no quorum saw, oldest first
	AloneFrom  []string             `json:"alone_from,omitempty"`  // who saw the newest of those
	FullSlow   bool                 `json:"full_slow,omitempty"`   // a quorum saw the speed problem that lasts
}

// live is an open incident and the components whose problem it now is.
type live struct {
	incident.Incident
	Active    []string  `json:"active"`
	Quiet     bool      `json:"quiet,omitempty"`     // nothing fails now: it ends when it has been quiet for a whole window
	Falling   time.Time `json:"falling,omitzero"`    // since when a lower priority would do
	Rectified time.Time `json:"rectified,omitzero"`  // start of the first good result after the newest problem
	Stateless bool      `json:"stateless,omitempty"` // taken from the store: what led to it is not known
}

// Observe takes the next result. Results of one probe come in the order in which they ended.
func (e *Engine) Observe(r probes.Result) Step {
	e.begin(r.End())
	p := e.probes[r.Probe]
	if p == nil {
		return e.finish() // of a configuration that is no longer in force
	}
	r = p.counted(r)
	first := p.deciding && isLocal(&r) && !isLocal(p.last)
	p.last = &r
	if first {
		e.sweep(p) // does it fail alone?
	}
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
	e.judgeAccount(p, &r)
	wasSuspect := p.detector.Suspect()
	again := p.hear(&r)
	v := p.detector.Observe(r)
	if again = max(again, v.Recheck); again > 0 {
		e.step.recheck(p.id, again, e.set.Detection.RecheckWithin)
	}
	p.follow(&v)
	e.noteAccepted(p, v, accepted{because: "the latency of " + p.id + " has lasted for a day and is taken as normal from now on"})
	confirmed := slices.ContainsFunc(v.Started, func(f incident.Finding) bool { return f.Kind == incident.Outage })
	if p.deciding && !wasSuspect && (p.detector.Suspect() || confirmed) {
		e.lookAround(p)
	}
	if v.Changed() || e.sustained(p) {
		e.evaluate() // what else a decision waits for, the next tick finds
	}
	return e.finish()
}

// sustained reports whether a probe has been slow for long enough, and no incident says so yet.
func (e *Engine) sustained(p *probe) bool {
	f := p.detector.Finding(incident.Regression)
	return f != nil && p.deciding && f.Quiet.IsZero() && f.Slow.Sub(f.Again) >= e.set.Readings.Sustained && !e.was(incident.P2, p.component.Name)
}

// Tick lets time pass where no result comes: windows end, regressions become sustained, held decisions fall due.
func (e *Engine) Tick(now time.Time) Step {
	e.begin(now)
	e.agePeers()
	if e.checkSight() {
		e.lookForSight()
		e.evaluate() // peers may see
		return e.finish()
	}
	e.evaluate()
	if e.unproven() {
		e.askWitnesses()
	}
	e.lookAgain()
	return e.finish()
}

// unproven reports whether an outage is confirmed that does not rest on proven sight.
func (e *Engine) unproven() bool {
	return slices.ContainsFunc(e.components, func(c *component) bool {
		return slices.ContainsFunc(c.deciding, func(p *probe) bool { f := p.detector.Outage(); return f != nil && !e.proven(f) })
	})
}

// Forget tells the engine that the agent slept or that its clock jumped, by gap: what is not confirmed is dropped, what is stays, and
// nothing has lasted longer for it.
func (e *Engine) Forget(now time.Time, _ string, gap time.Duration) Step {
	e.begin(now)
	e.forget()
	e.resumeCouncil(gap)
	e.evaluate()
	return e.finish()
}

// Maintain replaces the maintenance that people ordered for once: what it no longer covers is judged at once, dated from its real
// start.
func (e *Engine) Maintain(now time.Time, spans []policy.Span) Step {
	e.begin(now)
	e.set.Spans = spans
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
	e.s.Detectors = nil
	if err != nil {
		return nil, fmt.Errorf("the engine's state cannot be encoded: %w", err)
	}
	return e.appendLatencies(data), nil
}

// begin starts a step at now, or at the newest instant seen where now lies before it.
func (e *Engine) begin(now time.Time) {
	if now.After(e.now) {
		e.now = now.UTC()
	}
	e.step = &stepBuilder{Step: Step{At: e.now}}
}

func (e *Engine) finish() Step { return e.step.Step }
