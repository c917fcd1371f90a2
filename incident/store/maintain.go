package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"os"
	"slices"
	"time"
)

const (
	stepBlocks    = 200 // blocks that one step of retention deals with
	stepIncidents = 50
	// probeGrace is how much longer than its roll-ups a probe's name is kept, since when it was last seen is noted by the day.
	probeGrace = 48 * time.Hour
	mostGone   = 100 // agents that have gone whose results are kept until they are past their time
)

// Maintain applies retention; it works in small steps so that other writes go on, and returns when nothing is left to do.
// Incidents that are open, or have a case that is not settled or a notice that is due, are kept however old they are; of the others
// the oldest lose the files of their evidence while these take more room than they may. ctx ends it between two steps. An agent that does not lead
// tidies its own results; the leader does all the rest, also for agents that have gone.
func (s *Store) Maintain(ctx context.Context, now time.Time) error {
	raw, old := now.Add(-s.options.RawFor).UnixNano(), now.Add(-s.options.RollupsFor).UnixNano()
	if err := s.write(ctx, relaxed, "fold results", s.fold, func() { s.logged = 0 }); err != nil {
		return err
	}
	if err := s.inSteps(ctx, relaxed, results(raw, old)...); err != nil {
		return err
	}
	if err := s.forgetProbes(ctx, min(raw, old)-int64(probeGrace)); err != nil {
		return err
	}
	if s.pg != nil {
		s.measure(ctx)
	}
	err := s.inSteps(
		ctx, led,
		func(tx *sql.Tx) (bool, error) { return expireIncidents(tx, old) },
		func(tx *sql.Tx) (bool, error) { return expireDeskCases(tx, old) },
		func(tx *sql.Tx) (bool, error) { return expireOrders(tx, old) },
		func(tx *sql.Tx) (bool, error) { return expireHandovers(tx, old) },
		func(tx *sql.Tx) (bool, error) { return expireFiles(tx, s.options.FileBytes) },
	)
	if err == nil && s.pg != nil {
		err = s.tidyGone(ctx, raw, old)
	}
	if errors.Is(err, ErrNotLeading) {
		return nil
	}
	return err
}

// retention is a step of it, which reports whether it is to be called again.
type retention = func(*sql.Tx) (more bool, err error)

// results returns the steps for what is kept of results, with the cutoffs of raw ones and of roll-ups.
func results(raw, old int64) []retention {
	return []retention{
		func(tx *sql.Tx) (bool, error) { return expireBlocks(tx, raw) },
		func(tx *sql.Tx) (bool, error) { return expireRollups(tx, hour(old)) },
	}
}

// inSteps calls each step, in transactions of their own, until there is nothing more.
func (s *Store) inSteps(ctx context.Context, p promise, steps ...retention) error {
	for _, step := range steps {
		for more := true; more; {
			if err := s.write(ctx, p, "apply retention", func(tx *sql.Tx) (err error) {
				more, err = step(tx)
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// expireBlocks removes the raw results that started before the cutoff.
func expireBlocks(tx *sql.Tx, cutoff int64) (more bool, err error) {
	blocks, err := someBlocks(tx, "WHERE first < ? AND probe IN (SELECT id FROM probes) ORDER BY first LIMIT ?", cutoff, stepBlocks)
	if err != nil {
		return false, err
	}
	for _, b := range blocks {
		if err := b.shorten(tx, func(_ int, start int64) bool { return start >= cutoff }); err != nil {
			return false, err
		}
	}
	return len(blocks) == stepBlocks, nil
}

// trim removes the oldest raw results when there are more of them, or they take more room, than the options allow.
func (s *Store) trim(ctx context.Context, tx *sql.Tx) error {
	for {
		var results, bytes int64
		if err := tx.QueryRowContext(ctx, "SELECT results, bytes FROM result_totals WHERE id = 1").Scan(&results, &bytes); err != nil {
			return err
		}
		if results <= s.options.RawRows && bytes <= s.options.RawBytes {
			return nil
		}
		blocks, err := someBlocks(tx, "WHERE probe IN (SELECT id FROM probes) ORDER BY id LIMIT ?", stepBlocks)
		if err != nil || len(blocks) == 0 {
			return err
		}
		for _, b := range blocks {
			if results <= s.options.RawRows && bytes <= s.options.RawBytes {
				break
			}
			drop := b.results
			if bytes <= s.options.RawBytes {
				drop = int(min(int64(drop), results-s.options.RawRows))
			}
			if err := b.shorten(tx, func(i int, _ int64) bool { return i >= drop }); err != nil {
				return err
			}
			results -= int64(drop)
			bytes -= int64(len(b.body)) // or some less: the totals say
		}
	}
}

// storedBlock is a row of result_blocks.
type storedBlock struct {
	id, probe int64
	results   int
	body      []byte
}

func someBlocks(tx *sql.Tx, where string, args ...any) ([]storedBlock, error) {
	rows, err := tx.Query("SELECT id, probe, results, body FROM result_blocks "+where, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []storedBlock
	for rows.Next() {
		var b storedBlock
		if err := rows.Scan(&b.id, &b.probe, &b.results, &b.body); err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, rows.Err()
}

// shorten leaves only the results that keep wants, by their place in the block and their start; a block without any goes.
func (b storedBlock) shorten(tx *sql.Tx, keep func(i int, start int64) bool) error {
	var left block
	for i, r := 0, newReader(b.body); r.more(); i++ {
		_, start, payload := r.record(false)
		if r.err == nil && keep(i, start) {
			left.add(start, payload)
		}
	}
	var err error
	if left.results == 0 {
		_, err = tx.Exec("DELETE FROM result_blocks WHERE id = ?", b.id)
	} else {
		_, err = tx.Exec("UPDATE result_blocks SET first = ?, last = ?, results = ?, body = ? WHERE id = ?", left.first, left.last, left.results, left.body, b.id)
	}
	return errors.Join(err, total(context.Background(), tx, left.results-b.results, len(left.body)-len(b.body)))
}

// expireRollups removes one hour that is older than the cutoff.
func expireRollups(tx *sql.Tx, cutoff int64) (more bool, err error) {
	return removed(tx, `DELETE FROM rollups WHERE hour = (SELECT min(hour) FROM rollups WHERE probe IN (SELECT id FROM probes)) AND hour < ?
		AND probe IN (SELECT id FROM probes)`, cutoff)
}

// removed runs a statement that removes rows and reports whether there were any.
func removed(tx *sql.Tx, query string, args ...any) (bool, error) {
	result, err := tx.Exec(query, args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// expireIncidents removes some incidents that were closed before the cutoff, and nothing is left to do for, with all that
// belongs to them.
func expireIncidents(tx *sql.Tx, cutoff int64) (more bool, err error) {
	rows, err := tx.Query(`SELECT id FROM incidents WHERE closed <> 0 AND closed < ?
		AND id NOT IN (SELECT incident FROM cases WHERE settled = 0) AND id NOT IN (SELECT incident FROM notices WHERE state = '')
		ORDER BY closed LIMIT ?`, cutoff, stepIncidents)
	if err != nil {
		return false, err
	}
	defer func() { _ = rows.Close() }()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return false, err
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return false, err
	}
	for _, id := range ids {
		// The incident first: a trigger guards the timeline of one that is there.
		for _, query := range []string{
			"DELETE FROM incidents WHERE id = ?", "DELETE FROM events WHERE incident = ?",
			"DELETE FROM cases WHERE incident = ?", "DELETE FROM notices WHERE incident = ?",
			"DELETE FROM evidence WHERE incident = ?", "DELETE FROM evidence_files WHERE incident = ?",
		} {
			if _, err := tx.Exec(query, id); err != nil {
				return false, err
			}
		}
	}
	return len(ids) == stepIncidents, nil
}

// expireDeskCases removes some cases of the built-in desk that are over and did not change since the cutoff. Their numbers are not
// given again.
func expireDeskCases(tx *sql.Tx, cutoff int64) (more bool, err error) {
	return removed(tx, `DELETE FROM desk_cases WHERE number IN
		(SELECT number FROM desk_cases WHERE changed < ? AND state IN ('resolved', 'withdrawn') ORDER BY changed LIMIT ?)`, cutoff, stepIncidents)
}

// forgetProbes removes the names of probes that have no results and no roll-ups any more, and their baselines.
func (s *Store) forgetProbes(ctx context.Context, cutoff int64) error {
	var gone []string
	return s.write(ctx, relaxed, "forget probes", func(tx *sql.Tx) error {
		if err := s.fold(tx); err != nil {
			return err
		}
		rows, err := tx.Query("DELETE FROM probes WHERE seen < ? RETURNING name", cutoff)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			gone = append(gone, name)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		return forgetBaselines(tx, cutoff)
	}, func() {
		s.logged = 0
		for _, name := range gone {
			delete(s.probes, name)
		}
	})
}

// tidyGone applies retention to what agents that have gone left behind, and forgets those of whom nothing is left, and the longest gone
// beyond so many.
func (s *Store) tidyGone(ctx context.Context, raw, old int64) error {
	all, err := s.Voters(ctx)
	if err != nil {
		return err
	}
	gone := slices.DeleteFunc(all, func(v Voter) bool { return v.Alive })
	slices.SortStableFunc(gone, func(a, b Voter) int { return b.Since.Compare(a.Since) })
	for n, v := range gone {
		raw, old := raw, old
		if n >= mostGone {
			raw, old = math.MaxInt64, math.MaxInt64
		}
		as := func(step retention) retention {
			return func(tx *sql.Tx) (bool, error) {
				if _, err := tx.Exec("SELECT set_config('app.voter', ?, true)", v.Name); err != nil {
					return false, err
				}
				return step(tx)
			}
		}
		steps := append([]retention{func(tx *sql.Tx) (bool, error) { return false, s.fold(tx) }}, results(raw, old)...)
		steps = append(steps, func(tx *sql.Tx) (bool, error) { return false, forgetVoter(tx, v.Name, min(raw, old)) })
		for i, step := range steps {
			steps[i] = as(step)
		}
		if err := s.inSteps(ctx, led, steps...); err != nil {
			return err
		}
	}
	return nil
}

// forgetVoter removes the probes of an agent that has gone that were not seen since the cutoff, their baselines, and the agent, when it had no others,
// unless another agent has its place by now. app.voter is set to it.
func forgetVoter(tx *sql.Tx, name string, cutoff int64) error {
	if cutoff != math.MaxInt64 {
		cutoff -= int64(probeGrace)
	}
	if _, err := tx.Exec("DELETE FROM probes WHERE seen < ?", cutoff); err != nil {
		return err
	}
	if err := forgetBaselines(tx, cutoff); err != nil {
		return err
	}
	forgotten, err := removed(tx, `DELETE FROM voters WHERE name = ? AND beat < clock_timestamp() - interval '15 seconds'
		AND since < clock_timestamp() - interval '1 day' AND NOT EXISTS (SELECT 1 FROM probes) AND NOT EXISTS (SELECT 1 FROM baselines)`, name)
	if err != nil || !forgotten {
		return err
	}
	for _, table := range []string{"writes", "votes", "vantage_state", "seeds", "result_totals", "result_log"} {
		if _, err := tx.Exec("DELETE FROM "+table+" WHERE voter = ?", name); err != nil {
			return err
		}
	}
	return nil
}

// Size returns the bytes that the store takes on the disk; 0 in memory. In PostgreSQL it is what all tenants' tables took when this
// one's retention was applied last.
func (s *Store) Size() (bytes int64) {
	if s.pg != nil {
		return s.pg.size.Load()
	}
	if s.path == "" {
		return 0
	}
	for _, name := range []string{s.path, s.path + "-wal"} {
		if info, err := os.Stat(name); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}
