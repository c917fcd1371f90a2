package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// promise is what a write promises, and what it asks for.
type promise int

const (
	relaxed promise = 0      // in the operating system's hands: survives the process, perhaps not a power failure
	durable promise = 1 << 0 // on the disk when it returns: survives a power failure
	led     promise = 1 << 1 // made while this agent leads, or not at all
	decided         = durable | led
)

// write runs fn in a transaction of its own when its turn comes, and after, if given, once that is committed. ctx bounds the
// wait for the turn only.
func (s *Store) write(ctx context.Context, p promise, what string, fn func(*sql.Tx) error, after ...func()) error {
	if s.writer == nil {
		return fmt.Errorf("store: cannot %s: %w", what, ErrReadOnly)
	}
	in := s.decidesIn() // a write that waits is not stored in a later lead
	select {
	case _, open := <-s.gate:
		if !open {
			return fmt.Errorf("store: cannot %s: %w", what, ErrClosed)
		}
	case <-ctx.Done():
		return fmt.Errorf("store: cannot %s: other writes did not end in time: %w", what, context.Cause(ctx))
	}
	defer func() { s.gate <- struct{}{} }()
	if err := s.transact(context.WithoutCancel(ctx), p, in, fn); err != nil {
		return s.fault(what, err)
	}
	for _, f := range after {
		f()
	}
	if p&decided == decided {
		select {
		case s.decided <- struct{}{}:
		default:
		}
	}
	return nil
}

// Decided has a value when this store wrote a decision (all that Snapshot reads is) since the last value was received: a Snapshot that was read
// before may be out of date. What other programs write does not count. It is never closed; nil: the store is open for reading only.
func (s *Store) Decided() <-chan struct{} { return s.decided }

func (s *Store) transact(ctx context.Context, p promise, in *term, fn func(*sql.Tx) error) error {
	if s.pg != nil {
		return s.transactPostgres(ctx, p, in, fn)
	}
	if normal := p&durable == 0; normal != s.normal {
		level := "PRAGMA synchronous = FULL"
		if normal {
			level = "PRAGMA synchronous = NORMAL"
		}
		// Between transactions only: SQLite ignores it inside one.
		if _, err := s.writer.ExecContext(ctx, level); err != nil {
			return err
		}
		s.normal = normal
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after an error or a panic; after a commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// view runs fn on one consistent state of the store.
func (s *Store) view(ctx context.Context, what string, fn func(*sql.Tx) error) error {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.fault(what, err)
	}
	defer func() { _ = tx.Rollback() }()
	return s.fault(what, fn(tx))
}

// bodies returns what the query's one column, JSON, holds.
func bodies[T any](ctx context.Context, tx *sql.Tx, query string, args ...any) ([]T, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		var v T
		if err := json.Unmarshal(body, &v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// nanos returns t as it is stored: Unix nanoseconds, 0 for the zero time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// instant is the reverse of nanos; in UTC.
func instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// now is when something is stored: it dates rows for retention, and decides nothing else.
func (s *Store) now() time.Time { return time.Now() }
