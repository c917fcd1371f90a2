// Package evidence gathers what an engineer wants to know of an incident at the moment at which it opened: the way to what fails,
// what its names resolve to, when it was last good, and what else works. It is gathered once an incident, kept in the store, and
// told from there.
//
// It observes: it runs beside the judgement, asks for what is believed and waits for nobody. What is missing follows from the
// store, so that a package which a dying process did not finish is gathered again, and none is kept twice.
package evidence

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/path"
)

// Bounds on the work.
const (
	atOnce    = 2                // packages that are gathered at the same time
	longest   = 20 * time.Second // of one package
	lookEvery = 30 * time.Second // how often the store is looked at without a Kick
	attempts  = 3                // at an incident in one life of the agent, where its package could not be kept
	allOpen   = 10_000
)

// Store is what the gatherer needs of *store.Store.
type Store interface {
	Incidents(ctx context.Context, f store.IncidentFilter) ([]incident.Incident, error)
	Evidence(ctx context.Context, id string) (incident.Evidence, error)
	SaveEvidence(ctx context.Context, e incident.Evidence, events ...incident.Event) (kept bool, err error)
	Results(ctx context.Context, probe string, from, to time.Time, limit int) ([]probes.Result, error)
}

// Source is what is measured.
type Source interface {
	View() engine.View
	Aim(probe string) probes.Aim            // where the probe goes; the zero Aim: nowhere that is known
	Files(probe string) []probes.Attachment // of its newest failing result
	Lag() string                            // how late the agent itself was, in words
}

// Settings say what is gathered. They may change while the agent runs.
type Settings struct {
	Enabled     bool
	Path        bool           // walk to what fails
	Resolvers   []string       // host:port, asked beside the system's; none: the second of resolv.conf, where there is one
	Zone        *time.Location // in which times are told
	Vantage     string
	ExternalURL string // of the agent's page; "": not mentioned
}

// Options are everything that a Gatherer needs. Source, Store and Settings are required.
type Options struct {
	Source   Source
	Store    Store
	Settings func() Settings
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: nothing is logged
	Kept     func()           // called when a package is durable; nil: nobody listens

	// Walk finds a path; nil: path.Find.
	Walk func(ctx context.Context, target netip.Addr, port uint16) path.Walk
}

// Gatherer gathers. Its methods are safe for concurrent use.
type Gatherer struct {
	o    Options
	wake chan struct{}

	mu    sync.Mutex
	busy  map[string]bool // incidents whose package is being gathered
	done  map[string]bool // open incidents that have one
	tries map[string]int
}

// New returns a Gatherer; Run starts it.
func New(o Options) *Gatherer {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Kept == nil {
		o.Kept = func() {}
	}
	if o.Walk == nil {
		o.Walk = path.Find
	}
	return &Gatherer{o: o, wake: make(chan struct{}, 1), busy: map[string]bool{}, done: map[string]bool{}, tries: map[string]int{}}
}

// Kick says that something became durable. It is cheap and never blocks.
func (g *Gatherer) Kick() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// Run gathers until ctx ends; what is not finished by then is gathered by the next life.
func (g *Gatherer) Run(ctx context.Context) {
	jobs := crew{log: g.o.Log}
	defer jobs.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-g.wake:
		}
		for _, i := range g.missing(ctx) {
			jobs.Go(func() {
				g.one(ctx, i)
				g.Kick() // for the next
			})
		}
		timer.Reset(lookEvery)
	}
}

// missing returns the incidents whose packages shall be gathered now, the most urgent first, and marks them busy.
func (g *Gatherer) missing(ctx context.Context) []incident.Incident {
	if !g.o.Settings().Enabled {
		return nil
	}
	open, err := g.o.Store.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allOpen})
	if err != nil {
		return nil // the writer says what is wrong with the store
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(open)
	var start []incident.Incident
	for p := incident.P1; p <= incident.P4+1; p++ {
		for _, i := range open {
			if len(g.busy) >= atOnce {
				return start
			}
			own := i.Class == incident.Agent || i.Class == incident.Account // nothing of the customer's fails
			if rank(i) != p || own || g.busy[i.ID] || g.done[i.ID] || g.tries[i.ID] >= attempts {
				continue
			}
			switch _, err := g.o.Store.Evidence(ctx, i.ID); {
			case err == nil:
				g.done[i.ID] = true
			case errors.Is(err, incident.ErrNotFound):
				g.busy[i.ID] = true
				g.tries[i.ID]++
				start = append(start, i)
			}
		}
	}
	return start
}

// rank returns the incident's priority; what has none comes last.
func rank(i incident.Incident) incident.Priority {
	if i.Priority == incident.NoPriority {
		return incident.P4 + 1
	}
	return i.Priority
}

// forget drops what is remembered of incidents that are over.
func (g *Gatherer) forget(open []incident.Incident) {
	still := make(map[string]bool, len(open))
	for _, i := range open {
		still[i.ID] = true
	}
	for id := range g.done {
		if !still[id] {
			delete(g.done, id)
		}
	}
	for id := range g.tries {
		if !still[id] && !g.busy[id] {
			delete(g.tries, id)
		}
	}
}

// one gathers and keeps the package of an incident.
func (g *Gatherer) one(ctx context.Context, i incident.Incident) {
	kept := false
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.busy, i.ID)
		if kept {
			g.done[i.ID] = true
		}
	}()
	e := g.gather(ctx, i)
	if ctx.Err() != nil { // half of it: the next life does it whole
		return
	}
	event := incident.Event{Incident: i.ID, At: g.o.Now(), Kind: incident.EventEvidence, Actor: incident.ActorAgent, Text: cut(e.Text, maxNote), Priority: i.Priority}
	fresh, err := g.o.Store.SaveEvidence(ctx, e, event)
	if err != nil {
		g.o.Log.Warn("the evidence of an incident could not be kept", "incident", i.ID, "err", err)
		return
	}
	if kept = true; fresh {
		g.o.Log.Info("evidence is gathered", "incident", i.ID, "took", e.Took.Round(time.Millisecond), "files", len(e.Files))
		g.o.Kept()
	}
}
