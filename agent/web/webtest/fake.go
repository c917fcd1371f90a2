// Package webtest holds a made-up agent and store in named states, for the tests of package web and for looking at the pages:
//
//	go run ./agent/web/webtest/serve
package webtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// Fake is an agent and a store in one state. Its fields are set before it is used, or in Change; it is safe for
// concurrent use.
type Fake struct {
	Now       time.Time // the instant of the state
	Seen      engine.View
	State     web.Health
	Newest    map[string][]probes.Result // by probe
	Kinds     map[string]web.ProbeInfo   // by probe
	Told      []incident.Incident        // what the store knows
	Events    map[string][]incident.Event
	Desk      []incident.Case
	Messages  []incident.Notice
	Evidences []incident.Evidence // of which each file has its content
	StoreErr  error               // of every read
	ReloadErr error
	ActErr    error
	Ordered   []incident.Order // newest first
	Windows   []policy.Span    // configured
	Hours     map[string][]store.Rollup
	Past      map[string][]probes.Result // older than Newest, by probe

	state   sync.RWMutex // of what stands above
	mu      sync.Mutex
	acts    []Act
	changed []string
	accepts []Act
	reloads int
}

// Act is one operator's action that the fake was asked for; the Number is the probe's id where a latency was accepted.
type Act struct {
	Number, Actor, Reason string
	Action                desk.Action
}

var (
	_ web.Agent  = (*Fake)(nil)
	_ web.Reader = (*Fake)(nil)
)

// Evidence implements web.Reader.
func (f *Fake) Evidence(_ context.Context, id string) (incident.Evidence, error) {
	for _, e := range f.Evidences {
		if e.Incident == id {
			return e, f.StoreErr
		}
	}
	return incident.Evidence{}, cmp.Or(f.StoreErr, incident.ErrNotFound)
}

// EvidenceFile implements web.Reader.
func (f *Fake) EvidenceFile(ctx context.Context, id, name string) (incident.EvidenceFile, error) {
	e, err := f.Evidence(ctx, id)
	for _, file := range e.Files {
		if file.Name == name {
			return file, err
		}
	}
	return incident.EvidenceFile{}, cmp.Or(err, incident.ErrNotFound)
}

// View implements web.Agent.
func (f *Fake) View() engine.View { defer f.reading()(); return f.Seen }

// Health implements web.Agent.
func (f *Fake) Health() web.Health { defer f.reading()(); return f.State }

// Recent implements web.Agent.
func (f *Fake) Recent(probe string) []probes.Result {
	defer f.reading()()
	return f.Newest[probe][max(0, len(f.Newest[probe])-60):]
}

// Info implements web.Agent.
func (f *Fake) Info(probe string) (web.ProbeInfo, bool) { i, ok := f.Kinds[probe]; return i, ok }

// Reload implements web.Agent.
func (f *Fake) Reload(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reloads++
	return f.ReloadErr
}

// Act implements web.Agent.
func (f *Fake) Act(_ context.Context, number string, action desk.Action, actor, reason string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ActErr != nil {
		return f.ActErr
	}
	if !slices.ContainsFunc(f.cases(), func(c incident.Case) bool { return c.Number == number && c.Desk == "builtin" }) {
		return fmt.Errorf("desk %q: %w", "builtin", incident.ErrNotFound)
	}
	f.acts = append(f.acts, Act{number, actor, reason, action})
	f.Change(func() { f.work(number, action, actor, reason) })
	return nil
}

// Accept implements web.Agent: it takes what has a baseline and has run.
func (f *Fake) Accept(probe, actor, reason string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.Newest[probe]) == 0 {
		return false
	}
	f.accepts = append(f.accepts, Act{Number: probe, Actor: actor, Reason: reason})
	return true
}

// DeskChanged implements web.Agent.
func (f *Fake) DeskChanged(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = append(f.changed, name)
}

// Changed returns of which desks it was told that something changed, in order.
func (f *Fake) Changed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.changed)
}

// Accepts returns which latencies were accepted, in order.
func (f *Fake) Accepts() []Act {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.accepts)
}

// Acts returns what operators did, in order.
func (f *Fake) Acts() []Act {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.acts)
}

// Reloads returns how often the configuration was read again.
func (f *Fake) Reloads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reloads
}

// Incidents implements web.Reader.
func (f *Fake) Incidents(_ context.Context, q store.IncidentFilter) ([]incident.Incident, error) {
	defer f.reading()()
	all := slices.DeleteFunc(slices.Clone(f.Told), func(i incident.Incident) bool { return !f.selected(q, i) })
	slices.SortStableFunc(all, func(a, b incident.Incident) int { return b.Opened.Compare(a.Opened) })
	return all[:min(cmp.Or(q.Limit, 100), len(all))], f.StoreErr
}

func (f *Fake) unsettled(i incident.Incident) bool {
	return i.Open() || slices.ContainsFunc(f.Desk, func(c incident.Case) bool { return c.Incident == i.ID && !c.Settled }) ||
		slices.ContainsFunc(f.Messages, func(n incident.Notice) bool { return n.Incident == i.ID && n.State == incident.NoticeDue })
}

// Incident implements web.Reader.
func (f *Fake) Incident(_ context.Context, id string) (incident.Incident, error) {
	defer f.reading()()
	for _, i := range f.Told {
		if i.ID == id {
			return i, f.StoreErr
		}
	}
	return incident.Incident{}, cmp.Or(f.StoreErr, incident.ErrNotFound)
}

// Timeline implements web.Reader.
func (f *Fake) Timeline(_ context.Context, id string, after int64) ([]incident.Event, error) {
	defer f.reading()()
	var all []incident.Event
	for _, e := range f.Events[id] {
		if e.Seq > after {
			all = append(all, e)
		}
	}
	return all, f.StoreErr
}

// Cases implements web.Reader.
func (f *Fake) Cases(_ context.Context, id string) ([]incident.Case, error) {
	defer f.reading()()
	var all []incident.Case
	for _, c := range f.Desk {
		if id == "" || c.Incident == id {
			all = append(all, c)
		}
	}
	return all, f.StoreErr
}

// CaseByNumber implements web.Reader.
func (f *Fake) CaseByNumber(_ context.Context, number string) (incident.Case, error) {
	defer f.reading()()
	for _, c := range f.Desk {
		if c.Number == number {
			return c, f.StoreErr
		}
	}
	return incident.Case{}, cmp.Or(f.StoreErr, incident.ErrNotFound)
}

// Notices implements web.Reader.
func (f *Fake) Notices(_ context.Context, id string) ([]incident.Notice, error) {
	defer f.reading()()
	var all []incident.Notice
	for _, n := range f.Messages {
		if n.Incident == id || id == "" && n.State == incident.NoticeDue {
			all = append(all, n)
		}
	}
	return all, f.StoreErr
}

// Results implements web.Reader.
func (f *Fake) Results(_ context.Context, probe string, from, to time.Time, limit int) ([]probes.Result, error) {
	defer f.reading()()
	var all []probes.Result
	for _, r := range slices.Concat(f.Past[probe], f.Newest[probe]) {
		if !r.Start.Before(from) && r.Start.Before(to) {
			all = append(all, r)
		}
	}
	return all[max(0, len(all)-limit):], f.StoreErr
}
