package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	maxLatch = 4 << 10 // bytes of a reason
	// maxLatches is how many a tenant keeps; the oldest go first.
	maxLatches = 10_000
)

// Latches is what the agents of a tenant share of accounts that were refused, in PostgreSQL; it implements probes.Latches. It has a
// connection of its own, and asks nobody's leave: every agent logs on, whoever leads. It is safe for concurrent use.
type Latches struct {
	pg *postgres
	db *sql.DB
}

// OpenLatches returns the latches of the tenant that the address of a PostgreSQL names, as Open takes it. It connects when it is asked,
// and again when a connection was lost. The tables are those that an agent's Open made.
func OpenLatches(rawURL, vantage string) (*Latches, error) {
	p, err := parsePostgres(rawURL)
	if err != nil {
		return nil, err
	}
	if p.tenant == "" {
		return nil, fmt.Errorf("store: no tenant is given for %s: add ?tenant=ID to the address", p.name)
	}
	p.vantage = cmp.Or(vantage, p.vantage, hostVantage())
	l := &Latches{pg: p, db: p.open(true, p.setTenant, nil, map[string]string{"lock_timeout": "2s"})}
	l.db.SetMaxOpenConns(1)
	return l, nil
}

// Latched implements probes.Latches.
func (l *Latches) Latched(ctx context.Context, key string) (reason string, ok bool, err error) {
	err = l.again(ctx, func() error {
		err := l.db.QueryRowContext(ctx, "SELECT reason FROM latches WHERE key = ?", key).Scan(&reason)
		if ok = err == nil; errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return reason, ok, l.fault("read which accounts were refused", err)
}

// Latch implements probes.Latches. It may be repeated: what a lost answer leaves in doubt is told again.
func (l *Latches) Latch(ctx context.Context, key, reason string) error {
	err := l.again(ctx, func() error {
		if reason == "" {
			_, err := l.db.ExecContext(ctx, "DELETE FROM latches WHERE key = ?", key)
			return err
		}
		_, err := l.db.ExecContext(ctx, `WITH gone AS (DELETE FROM latches WHERE key IN (SELECT key FROM latches ORDER BY at DESC OFFSET ?))
			INSERT INTO latches (key, reason, vantage) VALUES (?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET reason = excluded.reason, vantage = excluded.vantage, at = excluded.at`,
			maxLatches, key, reason[:min(len(reason), maxLatch)], l.pg.vantage)
		return err
	})
	return l.fault("write which accounts were refused", err)
}

// again calls f, and once more on another connection where the one that it had was lost before.
func (l *Latches) again(ctx context.Context, f func() error) error {
	err := f()
	var connect *pgconn.ConnectError
	var said *pgconn.PgError
	lost := broken(err) || errors.As(err, &said) && strings.HasPrefix(said.Code, "57")
	if lost && !errors.As(err, &connect) && ctx.Err() == nil {
		return f()
	}
	return err
}

func (l *Latches) fault(what string, err error) error {
	if noTable(err) {
		return fmt.Errorf("store: cannot %s: %s has no table of them: start an agent of this version once (%w)", what, l.pg.name, plain{err})
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("store: cannot %s: %s %w in time (%w)", what, l.pg.name, ErrAway, plain{err})
	}
	return l.pg.fault(what, err)
}

// Close closes the connection; it may be called twice.
func (l *Latches) Close() error { return l.db.Close() }
