package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
)

// saveBaselines inserts or replaces the baselines of a commit, and notes its seeds.
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
	for _, probe := range slices.Sorted(maps.Keys(c.Seeds)) {
		if _, err := run(ctx, tx, `INSERT INTO seeds (probe, at, points) VALUES (?, ?, ?)
			ON CONFLICT (probe) DO UPDATE SET at = excluded.at, points = excluded.points`, probe, nanos(c.At), c.Seeds[probe]); err != nil {
			return err
		}
	}
	return nil
}

// Seeds returns how many points of elsewhere every probe's baseline was taught, by probe; those that were not are not in it.
func (s *Store) Seeds(ctx context.Context) (map[string]int, error) {
	all := map[string]int{}
	err := s.view(ctx, "read seeds", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT probe, points FROM seeds")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var probe string
			var points int
			if err := rows.Scan(&probe, &points); err != nil {
				return err
			}
			all[probe] = points
		}
		return rows.Err()
	})
	return all, err
}

// Baselines returns what was committed last of every probe, by its name; empty when there is none.
func (s *Store) Baselines(ctx context.Context) (all map[string][]byte, err error) {
	err = s.view(ctx, "read baselines", func(tx *sql.Tx) error {
		all, err = readBaselines(ctx, tx)
		return err
	})
	return all, err
}

func readBaselines(ctx context.Context, tx *sql.Tx) (map[string][]byte, error) {
	all := map[string][]byte{}
	rows, err := tx.QueryContext(ctx, "SELECT probe, body FROM baselines")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var probe string
		var body []byte
		if err := rows.Scan(&probe, &body); err != nil {
			return nil, err
		}
		all[probe] = body
	}
	return all, rows.Err()
}

// forgetBaselines removes the baselines of probes that are forgotten and did not learn since the cutoff.
func forgetBaselines(tx *sql.Tx, cutoff int64) error {
	if _, err := tx.Exec("DELETE FROM baselines WHERE at < ? AND probe NOT IN (SELECT name FROM probes)", cutoff); err != nil {
		return err
	}
	_, err := tx.Exec("DELETE FROM seeds WHERE probe NOT IN (SELECT probe FROM baselines)")
	return err
}
