package store

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/store/internal/pgsql"
	"github.com/firstcall-agent/firstcall/probes"
)

// fault says what failed, in which database, and what to do. It keeps err for errors.Is and errors.As.
func (p *postgres) fault(what string, err error) error {
	if err == nil {
		return nil
	}
	for _, ours := range []error{ErrLocked, ErrNotLeading, errPlaceTaken, ErrDoubt, ErrClosed} {
		if errors.Is(err, ours) && strings.HasPrefix(err.Error(), "store: ") { // it says all
			return err
		}
		if errors.Is(err, ours) {
			return fmt.Errorf("store: cannot %s in %s: %w", what, p.name, err)
		}
	}
	var said *pgconn.PgError
	var connect *pgconn.ConnectError
	var token *probes.TokenError
	switch {
	case errors.As(err, &token):
		return p.noToken(what, token)
	case errors.Is(err, pgconn.ErrReadOnlyConnection):
		return p.readOnly(what, err)
	case errors.As(err, &said):
		return p.refused(what, said, err)
	case what == "open" && (errors.As(err, &connect) || pgconn.Timeout(err)):
		return fmt.Errorf("store: cannot open: %s %w: check store.url, that the server runs and that this host may reach it (%w)", p.name, ErrAway, plain{err})
	case errors.As(err, &connect), pgconn.Timeout(err), pgconn.SafeToRetry(err), broken(err):
		return fmt.Errorf("store: cannot %s: %s %w; nothing of it was stored, and the store goes on when it answers (%w)", what, p.name, ErrAway, plain{err})
	}
	return fmt.Errorf("store: %s: %w", what, err)
}

func (p *postgres) readOnly(what string, err error) error {
	return fmt.Errorf("store: cannot %s: %s %w: name the primary, or all servers (postgres://USER@HOST1,HOST2/DATABASE); nothing of it was stored (%w)", what, p.name, ErrStandby, plain{err})
}

// refused says what the server's refusal means; SQLSTATE codes are those of PostgreSQL's appendix A.
func (p *postgres) refused(what string, said *pgconn.PgError, err error) error {
	err = plain{err}
	switch {
	case said.Code == "25006":
		return p.readOnly(what, err)
	case said.Code == "53100":
		return fmt.Errorf("store: %w: cannot %s: make room on the disk of %s; nothing of it was stored, and the store goes on when there is space (%w)", ErrDiskFull, what, p.name, err)
	case pgsql.RefusedLogon(said) && p.tokens != nil:
		return p.notMapped(what, err)
	case pgsql.RefusedLogon(said):
		return fmt.Errorf("store: cannot %s: %s does not let us in: check role, password (store.password_file) and pg_hba.conf (%w)", what, p.name, err)
	case said.Code == "3D000":
		return fmt.Errorf("store: cannot %s: %s is not there: create the database (CREATE DATABASE), or correct store.url (%w)", what, p.name, err)
	case said.Code == "42501":
		return fmt.Errorf("store: cannot %s: the role of %s may not: grant it the schema and its tables, see docs/operations.md (%w)", what, p.name, err)
	case said.Code == "42P07", said.Code == "42723":
		return fmt.Errorf("store: cannot %s: the schema of %s has tables of something else: give firstcall a database or a schema (search_path) of its own (%w)", what, p.name, err)
	case said.Code == "XX001", said.Code == "XX002":
		return fmt.Errorf("store: cannot %s from %s: %w: restore a backup of the database (%w)", what, p.name, ErrDamaged, err)
	case said.Code == "55P03", said.Code == "40P01":
		return fmt.Errorf("store: cannot %s: %s is %w: end the transaction that holds its tables; nothing of it was stored (%w)", what, p.name, ErrLocked, err)
	case strings.HasPrefix(said.Code, "57"), strings.HasPrefix(said.Code, "08"), said.Code == "53300", said.Code == "25P03":
		return fmt.Errorf("store: cannot %s: %s %w; nothing of it was stored, and the store goes on when it answers (%w)", what, p.name, ErrAway, err)
	}
	return fmt.Errorf("store: cannot %s: %s: %w", what, p.name, err)
}

// broken reports whether a connection ended under way.
func broken(err error) bool {
	var network net.Error
	return errors.Is(err, errUndone) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}

// plain is an error whose text is on one line and bounded: a server, or what answers in its place, chose it. Of attempts that failed alike,
// with TLS and without, one is told.
type plain struct{ error }

// Error implements error.
func (p plain) Error() string {
	var lines []string
	for line := range strings.Lines(p.error.Error()) {
		if line = strings.TrimSpace(line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return secret.Plain(strings.Join(lines, "\n"), 500)
}

// Unwrap returns the error as it was.
func (p plain) Unwrap() error { return p.error }
