package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

const defaultLimit = 100 // of IncidentFilter

// Commit makes a step durable (synchronous) in one transaction.
func (s *Store) Commit(ctx context.Context, c Commit) error {
	return s.write(ctx, decided, "commit a step", func(tx *sql.Tx) error {
		for _, i := range c.Incidents {
			if err := saveIncident(ctx, tx, i); err != nil {
				return err
			}
		}
		if err := appendEvents(ctx, tx, c.Events); err != nil {
			return err
		}
		if err := saveBaselines(ctx, tx, c); err != nil {
			return err
		}
		return saveState(ctx, tx, c.At, c.State)
	})
}

// saveState replaces the engine's state; nil leaves it.
func saveState(ctx context.Context, tx *sql.Tx, at time.Time, state []byte) error {
	if state == nil {
		return nil
	}
	_, err := run(ctx, tx, `INSERT INTO engine_state (id, at, state) VALUES (1, ?, ?)
		ON CONFLICT (id) DO UPDATE SET at = excluded.at, state = excluded.state`, nanos(at), state)
	return err
}

// run executes a statement of a write, which its context no longer bounds: see Store.write.
func run(ctx context.Context, tx *sql.Tx, query string, args ...any) (sql.Result, error) {
	return tx.ExecContext(context.WithoutCancel(ctx), query, args...)
}

func saveIncident(ctx context.Context, tx *sql.Tx, i incident.Incident) error {
	if i.ID == "" {
		return errors.New("an incident has no id")
	}
	body, err := json.Marshal(i)
	if err != nil {
		return err
	}
	if _, err := run(ctx, tx, `INSERT INTO incidents (id, opened, closed, priority, body) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET opened = excluded.opened, closed = excluded.closed, priority = excluded.priority, body = excluded.body`,
		i.ID, nanos(i.Opened), nanos(i.Closed), int(i.Priority), string(body)); err != nil {
		return err
	}
	if _, err := run(ctx, tx, "DELETE FROM incident_components WHERE incident = ?", i.ID); err != nil {
		return err
	}
	for _, c := range i.Components {
		if _, err := run(ctx, tx, "INSERT INTO incident_components (component, incident) VALUES (?, ?) ON CONFLICT DO NOTHING", c, i.ID); err != nil {
			return err
		}
	}
	return nil
}

func appendEvents(ctx context.Context, tx *sql.Tx, events []incident.Event) error {
	for _, e := range events {
		if e.Incident == "" {
			return fmt.Errorf("an event of kind %q has no incident", e.Kind)
		}
		if _, err := run(ctx, tx, "INSERT INTO events (incident, at, kind, actor, text, priority) VALUES (?, ?, ?, ?, ?, ?)",
			e.Incident, nanos(e.At), string(e.Kind), e.Actor, e.Text, int(e.Priority)); err != nil {
			return err
		}
	}
	return nil
}

// EngineState returns the last committed state; nil when there is none.
func (s *Store) EngineState(ctx context.Context) (state []byte, err error) {
	err = s.view(ctx, "read the engine's state", func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT state FROM engine_state WHERE id = 1").Scan(&state)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return state, err
}

// where returns the filter's condition and its arguments.
func (f IncidentFilter) where() (string, []any) {
	conditions := []string{"1 = 1"}
	var args []any
	if f.Open {
		conditions = append(conditions, "closed = 0")
	}
	if f.Component != "" {
		conditions = append(conditions, "EXISTS (SELECT 1 FROM incident_components WHERE component = ? AND incident = incidents.id)")
		args = append(args, f.Component)
	}
	if f.Unsettled {
		conditions = append(conditions, `id IN (SELECT id FROM incidents WHERE closed = 0
			UNION SELECT incident FROM cases WHERE settled = 0 UNION SELECT incident FROM notices WHERE state = '')`)
	}
	if !f.Before.IsZero() {
		conditions = append(conditions, "opened < ?")
		args = append(args, nanos(f.Before))
	}
	if !f.From.IsZero() {
		conditions = append(conditions, "opened >= ?")
		args = append(args, nanos(f.From))
	}
	if f.Closed {
		conditions = append(conditions, "closed <> 0")
	}
	for _, field := range []struct{ name, value string }{
		{"highest", strings.ToLower(strings.Trim(f.Highest.String(), "-"))}, {"class", string(f.Class)}, {"resolution", string(f.Resolution)},
	} {
		if field.value != "" {
			conditions = append(conditions, field.name+" = ?")
			args = append(args, field.value)
		}
	}
	if f.Text != "" {
		// The letters between A and Z in either case, as SQLite's LIKE has it. In the body a text is as json.Marshal writes it.
		quoted, _ := json.Marshal(f.Text) // a string: it does not fail
		conditions = append(conditions, `(id LIKE ? ESCAPE '\' OR words LIKE ? ESCAPE '\'
			OR id IN (SELECT incident FROM cases WHERE number LIKE ? ESCAPE '\'))`)
		args = append(args, like(f.Text), like(string(quoted[1:len(quoted)-1])), like(f.Text))
	}
	return strings.Join(conditions, " AND "), args
}

// like is a pattern for a text that holds another.
func like(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

// CountIncidents returns how many incidents are selected, whatever the filter's Limit.
func (s *Store) CountIncidents(ctx context.Context, f IncidentFilter) (n int, err error) {
	where, args := f.where()
	err = s.view(ctx, "count incidents", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM incidents WHERE "+where, args...).Scan(&n)
	})
	return n, err
}

// Incidents returns the selected incidents, newest first.
func (s *Store) Incidents(ctx context.Context, f IncidentFilter) (all []incident.Incident, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	where, args := f.where()
	err = s.view(ctx, "read incidents", func(tx *sql.Tx) error {
		all, err = bodies[incident.Incident](ctx, tx, "SELECT body FROM incidents WHERE "+where+" ORDER BY opened DESC, id DESC LIMIT ?", append(args, limit)...)
		return err
	})
	return all, err
}

// Incident returns one incident; the error wraps incident.ErrNotFound.
func (s *Store) Incident(ctx context.Context, id string) (incident.Incident, error) {
	return one[incident.Incident](ctx, s, fmt.Sprintf("incident %q", id), "SELECT body FROM incidents WHERE id = ?", id)
}

// one returns the body that the query finds; the error wraps incident.ErrNotFound and names what was looked for.
func one[T any](ctx context.Context, s *Store, what, query string, args ...any) (found T, err error) {
	err = s.view(ctx, "read "+what, func(tx *sql.Tx) error {
		all, err := bodies[T](ctx, tx, query, args...)
		if err == nil && len(all) == 0 {
			err = incident.ErrNotFound
		}
		if err == nil {
			found = all[0]
		}
		return err
	})
	return found, err
}

// Timeline returns the events of one incident with Seq > after, oldest first.
func (s *Store) Timeline(ctx context.Context, id string, after int64) (all []incident.Event, err error) {
	err = s.view(ctx, "read a timeline", func(tx *sql.Tx) error {
		all, err = events(ctx, tx, "incident = ? AND seq > ?", id, after)
		return err
	})
	return all, err
}

// events returns those that a condition selects, oldest first.
func events(ctx context.Context, tx *sql.Tx, where string, args ...any) (all []incident.Event, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT seq, incident, at, kind, actor, text, priority FROM events WHERE "+where+" ORDER BY seq", args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var e incident.Event
		var at int64
		if err := rows.Scan(&e.Seq, &e.Incident, &at, &e.Kind, &e.Actor, &e.Text, &e.Priority); err != nil {
			return nil, err
		}
		e.At = instant(at)
		all = append(all, e)
	}
	return all, rows.Err()
}

// AppendEvents appends to the timeline, durable.
func (s *Store) AppendEvents(ctx context.Context, events ...incident.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.write(ctx, decided, "append to the timeline", func(tx *sql.Tx) error { return appendEvents(ctx, tx, events) })
}
