package agent

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// books are the stores of an agent: the one that it shares with others, and while that does not answer and the agent judges alone,
// its own. What reads, and what writes on behalf of whoever judges, uses the one in force. It is safe for concurrent use.
type books struct {
	shared atomic.Pointer[store.Store] // nil: it has not answered yet
	own    atomic.Pointer[store.Store] // nil: the shared one is in force
	spool  atomic.Pointer[store.Store] // results of the time alone; nil: there are none
}

var errNoStore = fmt.Errorf("store: the database %w, and has not since this agent started", store.ErrAway)

// inForce returns the store in force.
func (b *books) inForce() (*store.Store, error) {
	if s := b.own.Load(); s != nil {
		return s, nil
	}
	return b.common()
}

// common returns the shared store.
func (b *books) common() (*store.Store, error) {
	if s := b.shared.Load(); s != nil {
		return s, nil
	}
	return nil, errNoStore
}

// results returns the store with the results of now.
func (b *books) results() (*store.Store, error) {
	if s := b.spool.Load(); s != nil && b.own.Load() != nil {
		return s, nil
	}
	return b.common()
}

// size returns how much room the shared store takes.
func (b *books) size() int64 {
	if s := b.shared.Load(); s != nil {
		return s.Size()
	}
	return 0
}

func from[T any](s *store.Store, err error, read func(*store.Store) (T, error)) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return read(s)
}

func (b *books) Incidents(ctx context.Context, f store.IncidentFilter) ([]incident.Incident, error) {
	s, err := b.inForce()
	return from(s, err, func(s *store.Store) ([]incident.Incident, error) { return s.Incidents(ctx, f) })
}

func (b *books) CountIncidents(ctx context.Context, f store.IncidentFilter) (int, error) {
	s, err := b.inForce()
	return from(s, err, func(s *store.Store) (int, error) { return s.CountIncidents(ctx, f) })
}

func (b *books) Incident(ctx context.Context, id string) (incident.Incident, error) {
	s, err := b.inForce()
	return from(s, err, func(s *store.Store) (incident.Incident, error) { return s.Incident(ctx, id) })
}

func (b *books) Timeline(ctx context.Context, id string, after int64) ([]incident.Event, error) {
	s, err := b.inForce()
	return from(s, err, func(s *store.Store) ([]incident.Event, error) { return s.Timeline(ctx, id, after) })
}

func (b *books) Cases(ctx context.Context, id string) ([]incident.Case, error) {
	s, err := b.inForce()
	return from(s, err, func(s *store.Store) ([]incident.Case, error) { return s.Cases(ctx, id) })
}

func (b *books) CaseByNumber(ctx context.Context, number string) (incident.Case, error) {
	s, err := b.inForce()
	return from(s, err, func(s *store.Store) (incident.Case, error) { return s.CaseByNumber(ctx, number) })
}

func (b *books) Notices(ctx context.Context, id string) ([]incident.Notice, error) {
	s, err := b.inForce()
	return from(s, err, func(s *store.Store) ([]incident.Notice, error) { return s.Notices(ctx, id) })
}

func (b *books) Evidence(ctx context.Context, id string) (incident.Evidence, error) {
	s, err := b.inForce()
	return from(s, err, func(s *store.Store) (incident.Evidence, error) { return s.Evidence(ctx, id) })
}

func (b *books) EvidenceFile(ctx context.Context, id, name string) (incident.EvidenceFile, error) {
	s, err := b.inForce()
	return from(s, err, func(s *store.Store) (incident.EvidenceFile, error) { return s.EvidenceFile(ctx, id, name) })
}

func (b *books) SaveEvidence(ctx context.Context, e incident.Evidence, events ...incident.Event) (bool, error) {
	s, err := b.inForce()
	return from(s, err, func(s *store.Store) (bool, error) { return s.SaveEvidence(ctx, e, events...) })
}

func (b *books) Results(ctx context.Context, probe string, start, end time.Time, limit int) ([]probes.Result, error) {
	s, err := b.results()
	return from(s, err, func(s *store.Store) ([]probes.Result, error) { return s.Results(ctx, probe, start, end, limit) })
}

func (b *books) Rollups(ctx context.Context, probe string, start, end time.Time) ([]store.Rollup, error) {
	s, err := b.results()
	return from(s, err, func(s *store.Store) ([]store.Rollup, error) { return s.Rollups(ctx, probe, start, end) })
}

// What people order and the cases of the built-in desk are in the shared store alone: nobody else would know of them.

func (b *books) Orders(ctx context.Context, since time.Time) ([]incident.Order, error) {
	s, err := b.common()
	return from(s, err, func(s *store.Store) ([]incident.Order, error) { return s.Orders(ctx, since) })
}

func (b *books) AddOrder(ctx context.Context, o incident.Order, events ...incident.Event) (incident.Order, error) {
	s, err := b.common()
	return from(s, err, func(s *store.Store) (incident.Order, error) { return s.AddOrder(ctx, o, events...) })
}

func (b *books) SaveOrder(ctx context.Context, o incident.Order, events ...incident.Event) error {
	s, err := b.common()
	if err != nil {
		return err
	}
	return s.SaveOrder(ctx, o, events...)
}

func (b *books) CreateDeskCase(ctx context.Context, c incident.StoredCase) (incident.StoredCase, error) {
	s, err := b.common()
	return from(s, err, func(s *store.Store) (incident.StoredCase, error) { return s.CreateDeskCase(ctx, c) })
}

func (b *books) DeskCaseByKey(ctx context.Context, key string) (incident.StoredCase, error) {
	s, err := b.common()
	return from(s, err, func(s *store.Store) (incident.StoredCase, error) { return s.DeskCaseByKey(ctx, key) })
}

func (b *books) DeskCaseByNumber(ctx context.Context, number string) (incident.StoredCase, error) {
	s, err := b.common()
	return from(s, err, func(s *store.Store) (incident.StoredCase, error) { return s.DeskCaseByNumber(ctx, number) })
}

func (b *books) UpdateDeskCase(ctx context.Context, number string, change func(*incident.StoredCase) error) error {
	s, err := b.common()
	if err != nil {
		return err
	}
	return s.UpdateDeskCase(ctx, number, change)
}

// hurry ends waits for the shared store.
func (b *books) hurry() {
	if s := b.shared.Load(); s != nil {
		s.Hurry()
	}
}

// away is a place of the writer where nothing can be written.
type away struct{}

func (away) Commit(context.Context, store.Commit) error { return errNoStore }
func (away) SaveVantage(context.Context, []byte, map[string][]byte, map[string]int) error {
	return errNoStore
}
func (away) AppendResults(context.Context, []probes.Result) error { return errNoStore }
