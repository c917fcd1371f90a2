// Package store keeps what must survive the process: incidents and their timeline, cases, notices, the engine's state,
// results and their roll-ups. The built-in store is SQLite (WAL, one writer, no cgo).
//
// Rows of incidents, cases and notices are folds of the append-only timeline and of what was read back; each is written by
// one owner (see package incident). A write that must be durable before anything leaves the process is durable when its
// method returns.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// Store is an open store. It is safe for concurrent use; writes are made one at a time.
type Store struct{}

// Options tune a store. The zero value has the defaults.
type Options struct {
	RawFor     time.Duration // how long raw results are kept; 0: 48 h
	RawRows    int64         // how many raw results are kept; 0: 2,000,000
	RollupsFor time.Duration // how long roll-ups are kept; 0: 400 days
}

// Open opens, and creates or migrates, the store at url: "sqlite:PATH" (a file) or "sqlite::memory:".
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	return nil, errors.ErrUnsupported
}

// Close writes what is pending and closes the store.
func (s *Store) Close() error { return nil }

// Commit is one step of the engine: everything in it becomes durable together, or not at all.
type Commit struct {
	At        time.Time
	Incidents []incident.Incident // new or changed, whole; inserted or replaced by ID
	Events    []incident.Event    // appended; Seq is set by the store
	State     []byte              // the engine's state; nil leaves the stored one
}

// Commit makes a step durable (synchronous) in one transaction.
func (s *Store) Commit(ctx context.Context, c Commit) error { return errors.ErrUnsupported }

// EngineState returns the last committed state; nil when there is none.
func (s *Store) EngineState(ctx context.Context) ([]byte, error) { return nil, errors.ErrUnsupported }

// AppendResults adds raw results in one transaction that need not survive a power failure, and folds them into the roll-ups.
func (s *Store) AppendResults(ctx context.Context, results []probes.Result) error {
	return errors.ErrUnsupported
}

// Results returns the raw results of one probe with from <= Start < to, oldest first, at most limit (the newest ones).
func (s *Store) Results(ctx context.Context, probe string, from, to time.Time, limit int) ([]probes.Result, error) {
	return nil, errors.ErrUnsupported
}

// Rollup is an hour of one probe.
type Rollup struct {
	Probe   string
	Hour    time.Time // UTC, start of the hour
	Counts  [4]int64  // by outcome
	Lagging int64
	// of the total duration of results that are up or degraded and not lagging
	Sum, Min, Max time.Duration
}

// Rollups returns the roll-ups of one probe with from <= Hour < to, oldest first. The current hour is included.
func (s *Store) Rollups(ctx context.Context, probe string, from, to time.Time) ([]Rollup, error) {
	return nil, errors.ErrUnsupported
}

// IncidentFilter selects incidents. The zero value selects all.
type IncidentFilter struct {
	Open      bool      // only those not closed
	Component string    // only those that name it
	Unsettled bool      // open, or closed with a case that is not settled or a notice that is due: the reconciler's work
	Before    time.Time // only those opened before; zero: no bound
	Limit     int       // 0: 100; newest first
}

// Incidents returns the selected incidents, newest first.
func (s *Store) Incidents(ctx context.Context, f IncidentFilter) ([]incident.Incident, error) {
	return nil, errors.ErrUnsupported
}

// Incident returns one incident; the error wraps incident.ErrNotFound.
func (s *Store) Incident(ctx context.Context, id string) (incident.Incident, error) {
	return incident.Incident{}, errors.ErrUnsupported
}

// Timeline returns the events of one incident with Seq > after, oldest first.
func (s *Store) Timeline(ctx context.Context, id string, after int64) ([]incident.Event, error) {
	return nil, errors.ErrUnsupported
}

// AppendEvents appends to the timeline, durable.
func (s *Store) AppendEvents(ctx context.Context, events ...incident.Event) error {
	return errors.ErrUnsupported
}

// SaveCase inserts or replaces the case of (Incident, Desk) and appends events, durable, in one transaction.
func (s *Store) SaveCase(ctx context.Context, c incident.Case, events ...incident.Event) error {
	return errors.ErrUnsupported
}

// Cases returns the cases of one incident, or of all when id is "" (newest 1,000 first).
func (s *Store) Cases(ctx context.Context, id string) ([]incident.Case, error) {
	return nil, errors.ErrUnsupported
}

// CaseByNumber returns the case with that number at whatever desk; the error wraps incident.ErrNotFound.
func (s *Store) CaseByNumber(ctx context.Context, number string) (incident.Case, error) {
	return incident.Case{}, errors.ErrUnsupported
}

// AddNotices stores notices that are not there yet, by ID, durable; those that are there stay as they are.
func (s *Store) AddNotices(ctx context.Context, n ...incident.Notice) error {
	return errors.ErrUnsupported
}

// SaveNotice replaces the notice and appends events, durable, in one transaction.
func (s *Store) SaveNotice(ctx context.Context, n incident.Notice, events ...incident.Event) error {
	return errors.ErrUnsupported
}

// Notices returns the notices of one incident, or every notice that is due when id is "", by Due.
func (s *Store) Notices(ctx context.Context, id string) ([]incident.Notice, error) {
	return nil, errors.ErrUnsupported
}

// Maintain applies retention; it works in small steps so that other writes go on, and returns when nothing is left to do.
func (s *Store) Maintain(ctx context.Context, now time.Time) error { return errors.ErrUnsupported }

// CreateDeskCase implements desk.Storage.
func (s *Store) CreateDeskCase(ctx context.Context, c incident.StoredCase) (incident.StoredCase, error) {
	return c, errors.ErrUnsupported
}

// DeskCaseByKey implements desk.Storage.
func (s *Store) DeskCaseByKey(ctx context.Context, key string) (incident.StoredCase, error) {
	return incident.StoredCase{}, errors.ErrUnsupported
}

// DeskCaseByNumber implements desk.Storage.
func (s *Store) DeskCaseByNumber(ctx context.Context, number string) (incident.StoredCase, error) {
	return incident.StoredCase{}, errors.ErrUnsupported
}

// UpdateDeskCase implements desk.Storage.
func (s *Store) UpdateDeskCase(ctx context.Context, number string, change func(*incident.StoredCase) error) error {
	return errors.ErrUnsupported
}
