package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

const allOrders = 1000 // that Orders returns; those that end last, so that none in force is missing

// AddOrder stores what a person ordered and appends events, durable, in one transaction. It returns the order with its ID.
func (s *Store) AddOrder(ctx context.Context, o incident.Order, events ...incident.Event) (incident.Order, error) {
	stored := o
	err := s.write(ctx, decided, "store an order", func(tx *sql.Tx) error {
		if o.Kind == "" || o.From.IsZero() || !o.Until.After(o.From) {
			return errors.New("an order has no kind or no time")
		}
		row := tx.QueryRowContext(context.WithoutCancel(ctx), "INSERT INTO orders (ends, body) VALUES (?, '{}') RETURNING id", nanos(o.End()))
		if err := row.Scan(&stored.ID); err != nil {
			return err
		}
		if err := saveOrder(ctx, tx, stored); err != nil {
			return err
		}
		return appendEvents(ctx, tx, events)
	})
	if err != nil {
		return o, err
	}
	return stored, nil
}

// SaveOrder replaces an order that is there, by its ID, and appends events, durable, in one transaction; the error wraps
// incident.ErrNotFound.
func (s *Store) SaveOrder(ctx context.Context, o incident.Order, events ...incident.Event) error {
	return s.write(ctx, decided, "change an order", func(tx *sql.Tx) error {
		if err := saveOrder(ctx, tx, o); err != nil {
			return err
		}
		return appendEvents(ctx, tx, events)
	})
}

func saveOrder(ctx context.Context, tx *sql.Tx, o incident.Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	result, err := run(ctx, tx, "UPDATE orders SET ends = ?, body = ? WHERE id = ?", nanos(o.End()), string(body), o.ID)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("order %d: %w", o.ID, incident.ErrNotFound))
	}
	return nil
}

// Orders returns what was ordered and had not ended at since, newest first: at most 1,000, those that end last.
func (s *Store) Orders(ctx context.Context, since time.Time) (all []incident.Order, err error) {
	err = s.view(ctx, "read orders", func(tx *sql.Tx) error {
		all, err = bodies[incident.Order](ctx, tx, "SELECT body FROM (SELECT id, body FROM orders WHERE ends > ? ORDER BY ends DESC LIMIT ?) AS latest ORDER BY id DESC", nanos(since), allOrders)
		return err
	})
	return all, err
}

// expireOrders removes those that ended before the cutoff.
func expireOrders(tx *sql.Tx, cutoff int64) (more bool, err error) {
	return removed(tx, "DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE ends < ? LIMIT ?)", cutoff, stepIncidents)
}
