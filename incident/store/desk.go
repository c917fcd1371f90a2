package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/firstcall-agent/firstcall/incident"
)

// CreateDeskCase implements desk.Storage. The number counts the cases created in one year (UTC) from 1, without a gap, and is
// never given twice.
func (s *Store) CreateDeskCase(ctx context.Context, c incident.StoredCase) (incident.StoredCase, error) {
	stored := c
	err := s.write(ctx, decided, "create a case", func(tx *sql.Tx) error {
		if c.Key == "" || c.Created.IsZero() {
			return errors.New("a case has no key or no time of creation")
		}
		there, err := bodies[incident.StoredCase](context.WithoutCancel(ctx), tx, "SELECT body FROM desk_cases WHERE key = ?", c.Key)
		if err != nil {
			return err
		}
		if len(there) > 0 {
			stored = there[0]
			return nil
		}
		year := c.Created.UTC().Year()
		var last int64
		if err := tx.QueryRowContext(context.WithoutCancel(ctx), `INSERT INTO desk_numbers (year, last) VALUES (?, 1)
			ON CONFLICT (year) DO UPDATE SET last = desk_numbers.last + 1 RETURNING last`, year).Scan(&last); err != nil {
			return err
		}
		stored.Number = fmt.Sprintf("FC-%04d-%06d", year, last)
		body, err := json.Marshal(stored)
		if err != nil {
			return err
		}
		_, err = run(ctx, tx, "INSERT INTO desk_cases (number, key, state, changed, body) VALUES (?, ?, ?, ?, ?)",
			stored.Number, stored.Key, string(stored.State), changed(stored), string(body))
		return err
	})
	if err != nil {
		return c, err
	}
	return stored, nil
}

// changed returns when the case last changed, as far as its log says.
func changed(c incident.StoredCase) int64 {
	at := nanos(c.Created)
	for _, t := range c.Log {
		at = max(at, nanos(t.At))
	}
	return at
}

// DeskCaseByKey implements desk.Storage.
func (s *Store) DeskCaseByKey(ctx context.Context, key string) (incident.StoredCase, error) {
	return one[incident.StoredCase](ctx, s, fmt.Sprintf("case with key %q", key), "SELECT body FROM desk_cases WHERE key = ?", key)
}

// DeskCaseByNumber implements desk.Storage.
func (s *Store) DeskCaseByNumber(ctx context.Context, number string) (incident.StoredCase, error) {
	return one[incident.StoredCase](ctx, s, fmt.Sprintf("case %q", number), "SELECT body FROM desk_cases WHERE number = ?", number)
}

// UpdateDeskCase implements desk.Storage. change runs while the store's other writes wait: it must be quick and must not call
// the store. Number and Key stay as they are, whatever it does to them.
func (s *Store) UpdateDeskCase(ctx context.Context, number string, change func(*incident.StoredCase) error) error {
	var refused error
	err := s.write(ctx, decided, "change a case", func(tx *sql.Tx) error {
		found, err := bodies[incident.StoredCase](context.WithoutCancel(ctx), tx, "SELECT body FROM desk_cases WHERE number = ?", number)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("case %q: %w", number, incident.ErrNotFound)
		}
		c := found[0]
		if refused = change(&c); refused != nil {
			return refused
		}
		c.Number, c.Key = found[0].Number, found[0].Key
		body, err := json.Marshal(c)
		if err != nil {
			return err
		}
		_, err = run(ctx, tx, "UPDATE desk_cases SET state = ?, changed = ?, body = ? WHERE number = ?", string(c.State), changed(c), string(body), number)
		return err
	})
	if refused != nil {
		return refused
	}
	return err
}
