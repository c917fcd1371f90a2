package engine

import (
	"slices"
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
	Vantages   []VantageView       `json:"vantages,omitempty"` // this one first, then its peers by name; nil: there is none but this one
	Incidents  []incident.Incident `json:"incidents"`          // open ones, most urgent first
}

// VantageView is one vantage.
type VantageView struct {
	Name       string    `json:"name"`
	Self       bool      `json:"self,omitempty"`
	Gone       bool      `json:"gone,omitempty"` // it lives no more, or its engine stands still: its last word keeps open what is open for a while
	Blind      bool      `json:"blind,omitempty"`
	BlindSince time.Time `json:"blind_since,omitzero"`
	At         time.Time `json:"at,omitzero"` // of what it said last
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
	Maintenance string         `json:"maintenance,omitempty"` // the window's name, or what was ordered, while it is open
	Maintained  time.Time      `json:"maintenance_until,omitzero"`
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
	Judged   incident.Judgement `json:"judged,omitzero"`    // whose matter it is that the newest run failed
	Account  *AccountView       `json:"account,omitempty"`  // nil: it uses no account of its own
	Baseline *BaselineView      `json:"baseline,omitempty"` // nil: nothing is learnt about the probe

	Vantages map[string]probes.Outcome `json:"vantages,omitempty"` // what each vantage that counts believes, this one included; nil: there is none but this one
}

// AccountView is whether a probe's own account works, as far as is known.
type AccountView struct {
	Off   bool      `json:"off"`            // it is refused
	Since time.Time `json:"since,omitzero"` // of that
	Why   string    `json:"why,omitempty"`
}

// BaselineView is what a probe's baseline knows.
type BaselineView struct {
	Days     int           `json:"days"`               // whole days learnt
	Of       int           `json:"of"`                 // with which it is whole
	Expected time.Duration `json:"expected,omitempty"` // latency that is normal now; 0: not known yet
	Limit    time.Duration `json:"limit,omitempty"`    // that a lasting latency must pass to be slow; 0: not known yet
}

// Step is what follows from one input: rows to make durable, and probes to run again soon.
type Step struct {
	At        time.Time
	Incidents []incident.Incident // new or changed, whole
	Events    []incident.Event
	Rechecks  []Recheck
	Accepted  []Accepted // for the log
	Wake      time.Time  // when Tick should be called at the latest; zero: the next second will do
}

// Accepted says that a probe's latency, which was a speed problem, is taken as normal from now on.
type Accepted struct{ Probe, Text string }

// Changed reports whether the step holds anything that must be made durable.
func (s Step) Changed() bool { return len(s.Incidents) > 0 || len(s.Events) > 0 }

// Recheck asks for quick re-probes, spread evenly over Within, the first of them after Within/Count.
type Recheck struct {
	Probe  string
	Count  int
	Within time.Duration // zero: at once
}

// View returns what the engine believes now.
func (e *Engine) View(now time.Time) View {
	e.begin(now)
	v := View{At: e.now, Tenant: e.set.Solution.Tenant, Blind: e.blind(), BlindSince: e.s.BlindSince}
	ordered := slices.SortedFunc(slices.Values(e.components), func(a, b *component) int { return a.order - b.order })
	for _, c := range ordered {
		v.Components = append(v.Components, e.viewComponent(c))
	}
	for _, id := range e.set.Solution.Witnesses {
		v.Witnesses = append(v.Witnesses, e.viewProbe(e.probes[id]))
	}
	for _, l := range e.s.Open {
		v.Incidents = append(v.Incidents, l.Incident)
	}
	slices.SortStableFunc(v.Incidents, func(a, b incident.Incident) int {
		switch {
		case a.Priority.Above(b.Priority):
			return -1
		case b.Priority.Above(a.Priority):
			return 1
		}
		return a.Started.Compare(b.Started)
	})
	v.Vantages = e.viewVantages()
	v.Outcome = worst(v.Components, func(c ComponentView) probes.Outcome { return c.Outcome })
	if !e.anySees() {
		v.Outcome = probes.Unknown
	}
	return v
}

// viewVantages returns the vantages, this one first; nil: it has no peers.
func (e *Engine) viewVantages() []VantageView {
	if len(e.peers) == 0 {
		return nil
	}
	all := []VantageView{{Name: e.set.Vantage, Self: true, Blind: e.blind(), BlindSince: e.s.BlindSince, At: e.now}}
	for _, p := range e.peers {
		all = append(all, VantageView{Name: p.vote.Vantage, Gone: !p.gone.IsZero(), Blind: p.vote.Blind, BlindSince: p.vote.BlindSince, At: p.vote.At})
	}
	return all
}

// outcomeOf returns how an instance stands by what all vantages that count say: down by a quorum, degraded where fewer say so.
func (e *Engine) outcomeOf(c *component, n int) probes.Outcome {
	deciding := decidingOf(c.instances[n])
	t, _, _ := count(deciding, false, incident.Outage, func(v *voice) *incident.Finding { return v.finding(incident.Outage) })
	t.denied = nil
	s := c.memory.Standing[downOf(c, n)]
	switch says, all, _ := t.voices(false); {
	case len(t.says) > 0 && (says >= e.set.Quorum.Of(all) || s != nil && s.Lasted):
		return probes.Down
	case len(t.says) > 0:
		return probes.Degraded
	}
	var all []probes.Outcome
	for _, p := range deciding {
		for i := range p.voices {
			if v := &p.voices[i]; !v.held {
				all = append(all, v.believes())
			}
		}
	}
	if !slices.Contains(all, probes.Unknown) || !slices.ContainsFunc(all, func(o probes.Outcome) bool { return o != probes.Unknown }) {
		return worst(all, func(o probes.Outcome) probes.Outcome { return o })
	}
	return worst(slices.DeleteFunc(all, func(o probes.Outcome) bool { return o == probes.Unknown }), func(o probes.Outcome) probes.Outcome { return o })
}

// believes returns what a vantage believes of the probe's target.
func (v *voice) believes() probes.Outcome {
	switch {
	case v.finding(incident.Outage) != nil:
		return probes.Down
	case len(v.Findings) > 0:
		return probes.Degraded
	case v.Outcome == probes.Down:
		return probes.Up // not confirmed
	}
	return min(v.Outcome, probes.Up)
}

// explainElsewhere takes over what the gravest finding of a peer says where this vantage has none.
func (v *ComponentView) explainElsewhere(p *probe) {
	if !v.Since.IsZero() {
		return
	}
	for i := range p.voices {
		o := &p.voices[i]
		if len(o.Findings) == 0 || o.held {
			continue
		}
		v.Since, v.Reason, v.Detail = o.Findings[0].Since, o.Findings[0].Reason, o.vantage+": "+o.Findings[0].Explanation
		return
	}
}

func (e *Engine) viewComponent(c *component) ComponentView {
	v := ComponentView{Name: c.Name, Essential: c.Essential, DependsOn: c.DependsOn}
	v.Maintenance, v.Maintained = e.window(c.Name)
	down := 0
	for i, list := range c.instances {
		iv := InstanceView{Name: c.Component.Instances[i].Name}
		var deciding []ProbeView
		for _, p := range list {
			pv := e.viewProbe(p)
			iv.Probes = append(iv.Probes, pv)
			if p.deciding {
				deciding = append(deciding, pv)
				v.explain(pv)
			}
		}
		iv.Outcome = worst(deciding, func(p ProbeView) probes.Outcome { return p.Outcome })
		if len(e.peers) > 0 {
			iv.Outcome = e.outcomeOf(c, i)
		}
		if iv.Outcome == probes.Down {
			down++
		}
		v.Instances = append(v.Instances, iv)
	}
	if len(e.peers) > 0 {
		for _, p := range c.deciding {
			v.explainElsewhere(p)
		}
	}
	v.Outcome = worst(v.Instances, func(i InstanceView) probes.Outcome { return i.Outcome })
	if v.Outcome == probes.Down && down < len(v.Instances) {
		v.Outcome = probes.Degraded // the function is still served
	}
	return v
}

// explain takes over what the gravest finding of a deciding probe says.
func (v *ComponentView) explain(p ProbeView) {
	if len(p.Findings) == 0 {
		return
	}
	f := p.Findings[0]
	if v.Since.IsZero() || f.Since.Before(v.Since) {
		v.Since, v.Reason, v.Detail = f.Since, f.Reason, f.Explanation
	}
}

func (e *Engine) viewProbe(p *probe) ProbeView {
	v := ProbeView{ID: p.id, Deciding: p.deciding, Suspect: p.detector.Suspect(), LastGood: p.lastGood, Findings: p.detector.Findings()}
	if p.last != nil {
		last := *p.last
		v.Last, v.Judged = &last, p.judged(last.Outcome, last.Reason)
	}
	if p.component != nil && len(e.peers) > 0 {
		p.voices = e.voices(p)
		v.Vantages = make(map[string]probes.Outcome, len(p.voices))
		for i := range p.voices {
			if o := &p.voices[i]; !o.held {
				v.Vantages[o.vantage] = o.believes()
			}
		}
	}
	if p.account {
		v.Account = &AccountView{}
		if l := e.member(incident.Account, p.id); l != nil {
			v.Account.Off, v.Account.Since, v.Account.Why = true, l.Started, l.Detail[0]
		}
	}
	if p.component != nil {
		v.Baseline = &BaselineView{}
		v.Baseline.Days, v.Baseline.Of = p.detector.Learning()
		v.Baseline.Expected, v.Baseline.Limit = p.detector.Normal()
	}
	switch {
	case p.component != nil && e.blind(), p.last == nil && len(v.Findings) == 0:
		v.Outcome = probes.Unknown
	case p.detector.Outage() != nil:
		v.Outcome = probes.Down
	case p.component == nil:
		v.Outcome = p.last.Outcome // a witness is not judged, it is only asked
	case p.last != nil && p.last.Outcome == probes.Unknown:
		v.Outcome = probes.Unknown
	case len(v.Findings) > 0:
		v.Outcome = probes.Degraded
	case p.last.Outcome == probes.Down && p.lastGood.IsZero():
		v.Outcome = probes.Unknown // not confirmed, but never good either
	default:
		v.Outcome = probes.Up
	}
	return v
}

// worst returns the gravest outcome: down, degraded, unknown, up. Without any it is Unknown.
func worst[T any](all []T, outcome func(T) probes.Outcome) probes.Outcome {
	rank := [...]int{probes.Up: 1, probes.Unknown: 2, probes.Degraded: 3, probes.Down: 4}
	best := 0
	result := probes.Unknown
	for _, one := range all {
		if o := outcome(one); rank[o] > best {
			best, result = rank[o], o
		}
	}
	return result
}
