package store

import (
	"context"
	"database/sql"
	"errors"
)

// SaveVantage keeps what an agent knows of its own vantage: the state of its detectors (nil leaves the stored one), and baselines and seeds as a Commit
// has them. Whoever leads may be another; it need not survive a power failure.
func (s *Store) SaveVantage(ctx context.Context, state []byte, baselines map[string][]byte, seeds map[string]int) error {
	return s.write(ctx, relaxed, "save what a vantage knows", func(tx *sql.Tx) error {
		at := s.now()
		if err := saveBaselines(ctx, tx, Commit{At: at, Baselines: baselines, Seeds: seeds}); err != nil {
			return err
		}
		if state == nil {
			return nil
		}
		_, err := run(ctx, tx, `INSERT INTO vantage_state (id, at, state) VALUES (1, ?, ?)
			ON CONFLICT (id) DO UPDATE SET at = excluded.at, state = excluded.state`, nanos(at), state)
		return err
	})
}

// VantageState returns what SaveVantage kept last, and the baselines, which a Commit keeps, too. A place that has none begins with the
// baselines of the first of its vantage.
func (s *Store) VantageState(ctx context.Context) (state []byte, baselines map[string][]byte, err error) {
	err = s.view(ctx, "read what a vantage knows", func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT state FROM vantage_state WHERE id = 1").Scan(&state)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		baselines, err = readBaselines(ctx, tx)
		return err
	})
	return state, baselines, err
}
