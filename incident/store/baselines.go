package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
)

// saveBaselines inserts or replaces what a commit has of them.
func saveBaselines(ctx context.Context, tx *sql.Tx, c Commit) error {
	for _, probe := range slices.Sorted(maps.Keys(c.Baselines)) {
		if probe == "" {
			return errors.New("a baseline has no probe")
		}
		body := c.Baselines[probe]
		if body == nil {
			body = []byte{}
		}
		if _, err := run(ctx, tx, `INSERT INTO baselines (probe, at, body) VALUES (?, ?, ?)
			ON CONFLICT (probe) DO UPDATE SET at = excluded.at, body = excluded.body`, probe, nanos(c.At), body); err != nil {
			return err
		}
	}
	return nil
}

// Baselines returns what was committed last of every probe, by its name; empty when there is none.
func (s *Store) Baselines(ctx context.Context) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := s.view(ctx, "read baselines", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT probe, body FROM baselines")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var probe string
			var body []byte
			if err := rows.Scan(&probe, &body); err != nil {
				return err
			}
			all[probe] = body
		}
		return rows.Err()
	})
	return all, err
}

// forgetBaselines removes those of probes that are forgotten and did not learn since the cutoff.
func forgetBaselines(tx *sql.Tx, cutoff int64) error {
	_, err := tx.Exec("DELETE FROM baselines WHERE at < ? AND probe NOT IN (SELECT name FROM probes)", cutoff)
	return err
}
