package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/firstcall-agent/firstcall/incident"
)

const allCases = 1000 // that Cases returns of all incidents

// SaveCase inserts or replaces the case of (Incident, Desk) and appends events, durable, in one transaction.
func (s *Store) SaveCase(ctx context.Context, c incident.Case, events ...incident.Event) error {
	return s.write(ctx, decided, "save a case", func(tx *sql.Tx) error {
		if err := saveCase(ctx, tx, c); err != nil {
			return err
		}
		return appendEvents(ctx, tx, events)
	})
}

func saveCase(ctx context.Context, tx *sql.Tx, c incident.Case) error {
	if c.Incident == "" || c.Desk == "" {
		return errors.New("a case has no incident or no desk")
	}
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = run(ctx, tx, `INSERT INTO cases (incident, desk, number, state, settled, body) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (incident, desk) DO UPDATE SET number = excluded.number, state = excluded.state, settled = excluded.settled, body = excluded.body`,
		c.Incident, c.Desk, c.Number, string(c.State), flag(c.Settled), string(body))
	return err
}

// Cases returns the cases of one incident in the order in which they were first saved, or of all when id is "" (newest 1,000
// first).
func (s *Store) Cases(ctx context.Context, id string) (all []incident.Case, err error) {
	query, args := "SELECT body FROM cases WHERE incident = ? ORDER BY seq", []any{id}
	if id == "" {
		query, args = "SELECT body FROM cases ORDER BY seq DESC LIMIT ?", []any{allCases}
	}
	err = s.view(ctx, "read cases", func(tx *sql.Tx) error {
		all, err = bodies[incident.Case](ctx, tx, query, args...)
		return err
	})
	return all, err
}

// CaseByNumber returns the case with that number at whatever desk, the newest where several desks gave it; the error wraps
// incident.ErrNotFound.
func (s *Store) CaseByNumber(ctx context.Context, number string) (incident.Case, error) {
	return one[incident.Case](ctx, s, fmt.Sprintf("case %q", number), "SELECT body FROM cases WHERE number = ? AND number <> '' ORDER BY seq DESC LIMIT 1", number)
}

// AddNotices stores notices that are not there yet, by ID, durable; those that are there stay as they are.
func (s *Store) AddNotices(ctx context.Context, n ...incident.Notice) error {
	if len(n) == 0 {
		return nil
	}
	return s.write(ctx, decided, "add notices", func(tx *sql.Tx) error {
		for _, notice := range n {
			if err := saveNotice(ctx, tx, notice, "ON CONFLICT (id) DO NOTHING"); err != nil {
				return err
			}
		}
		return nil
	})
}

// SaveNotice replaces the notice and appends events, durable, in one transaction.
func (s *Store) SaveNotice(ctx context.Context, n incident.Notice, events ...incident.Event) error {
	return s.write(ctx, decided, "save a notice", func(tx *sql.Tx) error {
		if err := saveNotice(ctx, tx, n, `ON CONFLICT (id) DO UPDATE SET
			incident = excluded.incident, due = excluded.due, state = excluded.state, body = excluded.body`); err != nil {
			return err
		}
		return appendEvents(ctx, tx, events)
	})
}

func saveNotice(ctx context.Context, tx *sql.Tx, n incident.Notice, onConflict string) error {
	if n.ID == "" || n.Incident == "" {
		return errors.New("a notice has no id or no incident")
	}
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	_, err = run(ctx, tx, "INSERT INTO notices (id, incident, due, state, body) VALUES (?, ?, ?, ?, ?) "+onConflict,
		n.ID, n.Incident, nanos(n.Due), string(n.State), string(body))
	return err
}

// Notices returns the notices of one incident, or every notice that is due when id is "", by Due.
func (s *Store) Notices(ctx context.Context, id string) (all []incident.Notice, err error) {
	query, args := "SELECT body FROM notices WHERE incident = ? ORDER BY due, id", []any{id}
	if id == "" {
		query, args = "SELECT body FROM notices WHERE state = '' ORDER BY due, id", nil
	}
	err = s.view(ctx, "read notices", func(tx *sql.Tx) error {
		all, err = bodies[incident.Notice](ctx, tx, query, args...)
		return err
	})
	return all, err
}
