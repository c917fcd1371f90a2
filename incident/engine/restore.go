package engine

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/policy"
)

// offLong is how long the engine may have been off before what was not confirmed is dropped. The agent saves its state more often.
const offLong = time.Minute

// offBriefly is for how long the engine may have been off without that others may have seen the end of what it knows: no longer than a
// new configuration takes.
const offBriefly = 2 * time.Second

// forgetBegun is how long the start of a peer's blindness is remembered.
const forgetBegun = 24 * time.Hour

// New returns an Engine that goes on from state, which may be nil. open holds the incidents that the store has as open: where
// state is lost or older they are taken from there, so that every opened case is resolved in the end. The Step holds what
// follows from a configuration that no longer has what the state speaks of.
func New(s Setup, saved []byte, open []incident.Incident, now time.Time) (*Engine, Step, error) {
	if s.Zone == nil {
		s.Zone = time.UTC
	}
	e := &Engine{set: s, probes: map[string]*probe{}, byName: map[string]*component{}, holders: map[holding]*live{}, rejudged: map[string]bool{}, leads: true}
	if len(saved) > 0 {
		data, latencies := takeLatencies(saved)
		if err := e.s.read(data); err != nil {
			return nil, Step{}, err
		}
		for id, latency := range latencies {
			if d, ok := e.s.Detectors[id]; ok {
				d.Latency = latency
				e.s.Detectors[id] = d
			}
		}
	}
	e.s.Version = stateVersion
	if e.s.Components == nil {
		e.s.Components = map[string]*memory{}
	}
	if e.s.Seen == nil {
		e.s.Seen = map[string]time.Time{}
	}
	if e.s.Begun == nil {
		e.s.Begun = map[string]time.Time{}
	}
	if s.Follows {
		e.leads, e.s.Open = false, nil
	} else {
		e.takeUp(open)
	}
	e.build()
	e.rejudge()
	e.s.Detectors, e.set.Baselines = nil, nil // the detectors have them
	off := now.Sub(e.s.Now)
	if off < 0 {
		e.rewind(now.UTC())
	}
	e.begin(now)
	e.began = e.now
	switch {
	case e.now.Sub(e.s.Now) > offLong:
		e.forget()
	case off < 0 || off > offBriefly: // where the clock was set back nobody knows for how long
		e.reconfirm()
	}
	e.hearPeers(s.Votes)
	e.set.Votes = nil
	e.dropUnconfigured()
	e.evaluate()
	e.rejudged = nil // what is left of them is measured
	return e, e.finish(), nil
}

// read takes a saved state.
func (s *state) read(data []byte) error {
	if err := json.Unmarshal(data, s); err != nil {
		return fmt.Errorf("the engine's saved state cannot be read: %w", err)
	}
	if s.Version > stateVersion {
		return fmt.Errorf("the engine's saved state is of version %d, this firstcall knows %d: run the newer one", s.Version, stateVersion)
	}
	for _, l := range s.Open {
		if l == nil {
			return errors.New("the engine's saved state has an open incident that is none")
		}
	}
	return nil
}

// takeUp adds the open incidents that the saved state does not know.
func (e *Engine) takeUp(open []incident.Incident) {
	open = slices.SortedFunc(slices.Values(open), func(a, b incident.Incident) int {
		return cmp.Or(a.Opened.Compare(b.Opened), strings.Compare(a.ID, b.ID))
	})
	for _, i := range open {
		if slices.ContainsFunc(e.s.Open, func(l *live) bool { return l.ID == i.ID }) {
			continue
		}
		if i.Class == incident.Agent && i.Root == peerRoot(e.set.Vantage) { // as another agent saw this one
			i.Root, i.Components = sightRoot, []string{sightRoot}
		}
		e.s.Open = append(e.s.Open, &live{Incident: i, Active: slices.Clone(i.Components), Stateless: true})
	}
	for _, l := range e.s.Open {
		e.hold(l)
		e.watched = e.watched || l.Class == incident.Agent && strings.HasPrefix(l.Root, sightRoot+"/")
	}
}

// build lays out components and probes, parents first, and gives every detector its saved state.
func (e *Engine) build() {
	for i, pc := range e.set.Solution.Components {
		if e.s.Components[pc.Name] == nil {
			e.s.Components[pc.Name] = &memory{}
		}
		c := &component{Component: pc, order: i, memory: e.s.Components[pc.Name]}
		for n, inst := range pc.Instances {
			var list []*probe
			for _, pp := range inst.Probes {
				p := e.addProbe(pp, c, n)
				list = append(list, p)
				if p.deciding {
					c.deciding = append(c.deciding, p)
				}
			}
			c.instances = append(c.instances, list)
		}
		e.byName[c.Name] = c
	}
	for _, id := range e.set.Solution.Witnesses {
		e.addProbe(policy.Probe{ID: id}, nil, 0)
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
		c.at = len(e.components)
		e.components = append(e.components, c)
	}
	for _, pc := range e.set.Solution.Components {
		place(pc.Name)
	}
}

func (e *Engine) addProbe(pp policy.Probe, c *component, instance int) *probe {
	id := pp.ID
	p := &probe{id: id, kind: pp.Kind, deciding: pp.Deciding, account: pp.Account, judgeAs: pp.JudgeAs, component: c, instance: instance}
	p.detector = detect.New(detect.Setup{
		Probe: id, Settings: e.set.Detection, Limits: e.set.Limits[id], Numbers: e.set.Thresholds[id], State: e.s.Detectors[id], Baseline: e.set.Baselines[id],
		Calendar: detect.Calendar{Zone: e.set.Zone, Holiday: e.set.Holiday}, Unlearnt: c == nil || e.set.Untimed[id],
		Functional: p.functional,
	})
	if f := p.detector.Finding(incident.Regression); f != nil {
		p.fast = f.Quiet
	}
	p.lastGood = p.detector.State().LastGood
	e.probes[id] = p
	return p
}

// rewind makes the saved state fit a clock that was set back to now since: nothing lies in the future.
func (e *Engine) rewind(now time.Time) {
	for _, p := range e.probes {
		p.detector.Rewind(now)
		p.lastGood = p.detector.State().LastGood
	}
	future := func(t time.Time) bool { return t.After(now) }
	for _, m := range e.s.Components {
		m.rewind(now)
	}
	maps.DeleteFunc(e.s.Begun, func(_ string, t time.Time) bool { return future(t) })
	for id, since := range e.s.Seen {
		if future(since) {
			e.s.Seen[id] = now // as Rewind did
		}
	}
	if future(e.s.Sight) {
		e.s.Sight = time.Time{}
	}
	if future(e.s.BlindSince) {
		e.s.BlindSince = now
	}
	e.s.Now = now
}

// rewind makes what is remembered of a component fit a clock that shows now.
func (m *memory) rewind(now time.Time) {
	future := func(t time.Time) bool { return t.After(now) }
	for _, all := range []*[]time.Time{&m.Short, &m.Slow, &m.AloneShort, &m.AloneSlow} {
		*all = slices.DeleteFunc(*all, future)
	}
	for _, s := range m.Standing {
		if future(s.Alone) {
			s.Alone = now
		}
	}
}

// dropUnconfigured closes open incidents of which no component is configured any more, and one of blindness that the saved state
// knows nothing of.
func (e *Engine) dropUnconfigured() {
	gone := func(name string) bool { return e.byName[name] == nil }
	for _, l := range slices.Clone(e.s.Open) {
		switch {
		case l.Class == incident.Account: // see dropAccounts
		case l.Class != incident.Agent:
			l.Active = slices.DeleteFunc(l.Active, gone)
			if !slices.ContainsFunc(l.Components, func(name string) bool { return !gone(name) }) {
				e.closeIncident(l, incident.Removed, e.now, "no component of this incident is configured any more")
			}
		case l.Root == sightRoot && !e.blind():
			e.closeIncident(l, incident.Recovered, e.now, "the agent began anew and sees")
		}
	}
	e.dropAccounts()
	maps.DeleteFunc(e.s.Components, func(name string, _ *memory) bool { return gone(name) })
	maps.DeleteFunc(e.s.Seen, func(id string, _ time.Time) bool { return e.probes[id] == nil })
	maps.DeleteFunc(e.s.Begun, func(key string, begun time.Time) bool {
		class, root, _ := strings.Cut(key, "/")
		if class == string(incident.Account) {
			return e.probes[root] == nil
		}
		return root != incident.Solution && root != sightRoot && gone(root) && (!strings.HasPrefix(root, sightRoot+"/") || e.now.Sub(begun) > forgetBegun)
	})
}
