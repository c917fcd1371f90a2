package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// leaseFor is how long a lead lasts by the database's clock, and leaseSure how long its holder counts on it by its own, from
	// the moment before it asked: less, for what a server that crashed forgot of its last half second, and for clocks that drift.
	leaseFor, leaseSure = 6 * time.Second, 5 * time.Second
	// aliveFor is how long after its last beat an agent counts as alive.
	aliveFor = 15 * time.Second
	// alone is the lease of a store that has one agent only.
	alone = time.Hour

	maxVote    = 64 << 10 // bytes of Beat.Vote
	maxVantage = 100      // bytes of a vantage's name
)

// Beat is what an agent says of itself, every second or two.
type Beat struct {
	Vote  []byte    // what it believes, for the leader; opaque to the store, at most 64 KiB; nil keeps what is stored
	Wants bool      // it asks for the lead, or keeps it; without it a lead that it has ends
	Now   time.Time // its own clock, by which peers see how far it is off; it decides nothing
}

// Round is what an agent hears in return.
type Round struct {
	Self    string        // the voter that it is: its vantage, or "vantage#2" and so on
	Leading bool          // it has the lead
	Epoch   int64         // of the lead, whoever has it: it rises each time that another agent takes it
	Leader  string        // the voter that has the lead; "": nobody
	Lease   time.Duration // how long the lead is sure, from the moment before Beat was called; 0 without it
	Offset  time.Duration // the database's clock minus Beat.Now, and what half a round trip takes; 0 where that was not given
	Peers   []Peer        // the others that live, by name
}

// Peer is another agent of the tenant whose last beat is younger than 15 s.
type Peer struct {
	Voter   string
	Leading bool
	Age     time.Duration // of its last beat, by the database's clock
	Offset  time.Duration // the database's clock minus its own, at that beat
	Vote    []byte        // nil: it gave none
}

// Voter is an agent that there is or was.
type Voter struct {
	Name    string // under which its results are kept
	Vantage string
	Holder  string    // host and process, for people
	Since   time.Time // when that process took the place
	Beat    time.Time // its last; zero: it stopped in good order
	Age     time.Duration
	Alive   bool // its last beat is younger than 15 s
	Leading bool
}

// Beat says that this agent lives, tells what it believes and hears what the others do, and asks for the lead where it wants it: one
// transaction, by the database's clock alone. It does not wait for writes under way. With SQLite the one agent leads at once.
//
// A lead whose Epoch is new is not acted upon before Lead said so. An error says nothing about the lead, which Leading knows.
func (s *Store) Beat(ctx context.Context, b Beat) (Round, error) {
	switch {
	case s.writer == nil:
		return Round{}, fmt.Errorf("store: cannot beat: %w", ErrReadOnly)
	case len(b.Vote) > maxVote:
		return Round{}, fmt.Errorf("store: cannot beat: a vote of %d bytes is too large: at most %d", len(b.Vote), maxVote)
	}
	if s.pg != nil {
		return s.beatPostgres(ctx, b)
	}
	self := cmp.Or(s.options.Vantage, hostVantage())
	return Round{Self: self, Leading: true, Epoch: 1, Leader: self, Lease: alone}, nil
}

// Lead says that what this agent decides from now on follows from what is stored under that epoch of its lead, which Beat told. Until
// then every write that only the leader may make fails with ErrNotLeading: so that what was decided in an earlier lead, before an agent
// was frozen, say, cannot be stored in a later one, not even in one of the same epoch. Such a write that is under way is waited for, until ctx ends,
// which is an error; one that waits is refused. Open did it for a lead that it took. Call it before the state is read.
func (s *Store) Lead(ctx context.Context, epoch int64) error {
	if s.pg == nil {
		return nil
	}
	select {
	case s.pg.deciding <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("store: cannot lead yet: what was decided before is still being written: %w", context.Cause(ctx))
	}
	defer func() { <-s.pg.deciding }()
	s.pg.entered.Store(&term{epoch})
	return nil
}

// decidesIn returns what Lead began last; nil: nothing.
func (s *Store) decidesIn() *term {
	if s.pg == nil {
		return nil
	}
	return s.pg.entered.Load()
}

// Leading returns nil while this agent's lead is sure, by the monotonic clock, whatever the database says; otherwise ErrNotLeading,
// wrapped. It asks nobody and never blocks. With SQLite the one agent always leads.
func (s *Store) Leading() error {
	if s.pg == nil {
		return nil
	}
	switch l, in := s.pg.lead.Load(), s.pg.entered.Load(); {
	case l == nil:
		return fmt.Errorf("store: %w: another one does, or nobody yet", ErrNotLeading)
	case time.Since(l.asked) >= leaseSure:
		return fmt.Errorf("store: %w: its lead was sure until %s after it was last renewed, %s ago", ErrNotLeading, leaseSure, time.Since(l.asked).Round(time.Millisecond))
	case in == nil || l.epoch != in.epoch:
		return fmt.Errorf("store: %w: it has the lead again, and has not read yet what the one before it stored", ErrNotLeading)
	}
	return nil
}

// Resign gives up the lead and then, when what is pending is written, the place, so that another agent takes them at once: the last call
// before Close. Later beats and writes fail with ErrClosed. With SQLite it only writes what is pending.
func (s *Store) Resign(ctx context.Context) error {
	if s.pg != nil {
		return s.resignPostgres(ctx)
	}
	return s.write(ctx, relaxed, "fold results", s.fold, func() { s.logged = 0 })
}

// Voters returns every agent that there is or was, by name; with SQLite, and before the first, none.
func (s *Store) Voters(ctx context.Context) (all []Voter, err error) {
	if s.pg == nil {
		return nil, nil
	}
	err = s.view(ctx, "read the agents", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT v.name, v.vantage, v.holder, v.since, nullif(v.beat, '-infinity'),
				(1000000 * extract(epoch FROM clock_timestamp() - nullif(v.beat, '-infinity')))::bigint, coalesce(l.until > clock_timestamp(), false)
			FROM voters v LEFT JOIN leases l ON l.token = v.token ORDER BY v.name`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var v Voter
			var beat sql.NullTime
			var age sql.NullInt64
			if err := rows.Scan(&v.Name, &v.Vantage, &v.Holder, &v.Since, &beat, &age, &v.Leading); err != nil {
				return err
			}
			v.Beat, v.Age = beat.Time, time.Duration(age.Int64)*time.Microsecond
			v.Alive = beat.Valid && v.Age < aliveFor
			all = append(all, v)
		}
		return rows.Err()
	})
	return all, err
}

// hostVantage is the vantage of an agent that was given none.
func hostVantage() string {
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if r == '#' || r < ' ' {
			return '-'
		}
		return r
	}, strings.ToValidUTF8(host, "-"))
	return cmp.Or(host[:min(len(host), maxVantage)], "agent")
}

// checkVantage refuses a name that could be taken for another place's.
func checkVantage(name string) error {
	if len(name) > maxVantage || strings.ContainsFunc(name, func(r rune) bool { return r == '#' || r < ' ' }) || !utf8.ValidString(name) {
		return fmt.Errorf("store: the vantage %q cannot be a name: at most %d bytes, without # and control characters", name, maxVantage)
	}
	return nil
}
