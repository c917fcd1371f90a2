// Package store keeps what must survive the process: incidents and their timeline, cases, notices, the engine's state,
// results and their roll-ups. The built-in store is SQLite (WAL, one writer, no cgo); many tenants share a PostgreSQL.
// Statements are written for SQLite; the driver in internal/pgsql says them to PostgreSQL, whose row-level security adds the tenant.
//
// Rows of incidents, cases and notices are folds of the append-only timeline and of what was read back; each is written by
// one owner (see package incident). A write that must be durable before anything leaves the process is durable when its
// method returns nil; when it returns an error, nothing of it is stored. The context of a write bounds the wait for its turn:
// once begun, a write is finished or undone, so that its outcome is never in doubt. A PostgreSQL that goes away in mid-commit is
// waited for until it says which; only Hurry ends that wait, with ErrDoubt.
package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Store is an open store. It is safe for concurrent use; writes are made one at a time.
type Store struct {
	path    string    // of the file; "" in memory
	pg      *postgres // nil: SQLite
	options Options
	lock    *fileLock
	reader  *sql.DB
	writer  *sql.DB       // one connection; nil when the store is open for reading only
	decided chan struct{} // see Decided
	gate    chan struct{} // holds one token, which the write under way takes; it guards what follows

	normal bool             // the writer's connection does not wait for the disk
	probes map[string]int64 // ids by name
	logged int64            // results that are in the log and not folded yet
}

// Options tune a store. The zero value has the defaults.
type Options struct {
	RawFor     time.Duration // how long raw results are kept; 0: 35 days
	RawRows    int64         // how many raw results are kept; 0: 2,000,000
	RawBytes   int64         // how much room raw results may take; 0: 1 GiB
	RollupsFor time.Duration // how long roll-ups, and incidents that are over with all that belongs to them, are kept; 0: 400 days
	FileBytes  int64         // how much room the files of evidence may take; 0: 1 GiB

	Vantage string // the place that the agent probes from; "": what the address says, or the host's name
	Holder  string // who has the place, for people; "": host and process

	busy time.Duration // how long another program's lock is waited for; 0: 4 s
}

func (o Options) withDefaults() Options {
	if o.RawFor <= 0 {
		o.RawFor = 35 * 24 * time.Hour
	}
	if o.RawRows <= 0 {
		o.RawRows = 2_000_000
	}
	if o.RawBytes <= 0 {
		o.RawBytes = 1 << 30
	}
	if o.RollupsFor <= 0 {
		o.RollupsFor = 400 * 24 * time.Hour
	}
	if o.FileBytes <= 0 {
		o.FileBytes = 1 << 30
	}
	if o.busy <= 0 {
		o.busy = 4 * time.Second
	}
	return o
}

// Commit is one step of the engine: everything in it becomes durable together, or not at all.
type Commit struct {
	At        time.Time
	Incidents []incident.Incident // new or changed, whole; inserted or replaced by ID
	Events    []incident.Event    // appended; Seq is set by the store
	State     []byte              // the engine's state; nil leaves the stored one
	Baselines map[string][]byte   // what is normal, by probe; inserted or replaced by probe
	Seeds     map[string]int      // how many points of elsewhere a probe's baseline was taught, by probe
}

// Rollup is an hour of one probe.
type Rollup struct {
	Probe   string
	Hour    time.Time // UTC, start of the hour
	Counts  [4]int64  // by outcome, of results that are not lagging
	Lagging int64
	// of the total duration of results that are up or degraded and not lagging
	Sum, Min, Max time.Duration
	// Of the same results; it counts fewer of them in hours that an earlier firstcall wrote, in whole or in part.
	Latency Histogram
}

// IncidentFilter selects incidents. The zero value selects all.
type IncidentFilter struct {
	Open      bool      // only those not closed
	Component string    // only those that name it
	Unsettled bool      // open, or closed with a case that is not settled or a notice that is due: the reconciler's work
	Before    time.Time // only those opened before; zero: no bound
	From      time.Time // only those opened at or after; zero: no bound

	Highest    incident.Priority   // only those whose highest priority it was; NoPriority: any
	Class      incident.Class      // only of that class; "": any
	Resolution incident.Resolution // only those that ended so; "": any
	Closed     bool                // only those that are closed
	Text       string              // only those with it in ID, Title, Reason, a component or a case number, in either case; "": any

	Limit int // 0: 100; newest first
}

// Hurry ends the wait for a PostgreSQL that went away in mid-commit, now and later: the write fails with ErrDoubt, and so does every
// later one. Writes under way have two more seconds, all together, and each later one half a second. It is for a process that is about to end, whose next life reads what is stored.
func (s *Store) Hurry() {
	if s.pg != nil {
		s.pg.hurried.Do(func() {
			s.pg.until = time.Now().Add(hurryWithin)
			close(s.pg.hurry)
		})
	}
}

// Close writes what is pending, resigns, and closes the store. Writes under way are waited for; later calls fail. Closing twice is no
// error.
func (s *Store) Close() error {
	s.Hurry()
	var errs []error
	if s.writer != nil {
		switch err := s.Resign(context.Background()); {
		case s.pg == nil && errors.Is(err, ErrClosed):
			return nil
		case !errors.Is(err, ErrClosed):
			errs = append(errs, err)
		}
		if _, open := <-s.gate; !open {
			return nil
		}
		close(s.gate)
		if s.writer != s.reader {
			errs = append(errs, s.writer.Close())
		}
	}
	// The last connection that is closed moves the write-ahead log into the file.
	errs = append(errs, s.reader.Close())
	if s.pg != nil && s.pg.beater != nil {
		errs = append(errs, s.pg.beater.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	return errors.Join(errs...)
}
