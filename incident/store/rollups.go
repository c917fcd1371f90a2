package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// hourOf names a roll-up: whole hours since 1970, and the probe's id.
type hourOf struct{ hour, probe int64 }

// sums is what a roll-up holds.
type sums struct {
	counts  [4]int64
	lagging int64
	total   time.Duration
	// Of what total sums; zero where that is nothing.
	shortest, longest time.Duration
	histogram         Histogram
}

func (s *sums) timed() bool { return s.counts[probes.Up]+s.counts[probes.Degraded] > 0 }

func (s *sums) add(o probes.Outcome, lagging bool, d time.Duration) {
	if lagging {
		s.lagging++
		return
	}
	if o == probes.Up || o == probes.Degraded {
		if !s.timed() || d < s.shortest {
			s.shortest = d
		}
		if !s.timed() || d > s.longest {
			s.longest = d
		}
		s.total += d
		s.histogram.Add(d)
	}
	s.counts[o]++
}

// hour returns the whole hours since 1970 at a Unix time in nanoseconds.
func hour(nanos int64) int64 {
	h := nanos / int64(time.Hour)
	if nanos < 0 && nanos%int64(time.Hour) != 0 {
		h--
	}
	return h
}

// fold moves the log into blocks and roll-ups. What it cannot read of a log row that is damaged it leaves out.
func (s *Store) fold(tx *sql.Tx) error {
	f := folding{blocks: map[int64][]block{}, rollups: map[hourOf]*sums{}}
	ctx := context.Background()
	if err := eachBody(ctx, tx, f.take, "SELECT id, body FROM result_log ORDER BY id"); err != nil {
		return err
	}
	if len(f.blocks) == 0 {
		return nil
	}
	if err := f.saveBlocks(ctx, tx); err != nil {
		return err
	}
	if err := f.saveRollups(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM result_log"); err != nil {
		return err
	}
	return s.trim(ctx, tx)
}

// folding is a fold under way.
type folding struct {
	blocks  map[int64][]block // by probe
	rollups map[hourOf]*sums
}

// block is a row of result_blocks that is being filled.
type block struct {
	base, first, last int64
	results           int
	body              []byte
}

func (b *block) add(start int64, payload []byte) {
	if b.results == 0 {
		b.base, b.first, b.last = start, start, start
		b.body = appendHead(b.body, start)
	}
	b.first, b.last = min(b.first, start), max(b.last, start)
	b.results++
	b.body = appendRecord(b.body, b.base, 0, start, payload)
}

func (f *folding) take(_ int64, body []byte) error {
	for r := newReader(body); r.more(); {
		probe, start, payload := r.record(true)
		outcome, lagging, d, err := summary(payload)
		if r.err != nil || err != nil || probe == 0 {
			return nil // damaged
		}
		blocks := f.blocks[probe]
		if len(blocks) == 0 || blocks[len(blocks)-1].results == blockResults {
			blocks = append(blocks, block{})
			f.blocks[probe] = blocks
		}
		blocks[len(blocks)-1].add(start, payload)
		key := hourOf{hour(start), probe}
		if f.rollups[key] == nil {
			f.rollups[key] = &sums{}
		}
		f.rollups[key].add(outcome, lagging, d)
	}
	return nil
}

func (f *folding) saveBlocks(ctx context.Context, tx *sql.Tx) error {
	add, err := tx.PrepareContext(ctx, "INSERT INTO result_blocks (probe, first, last, results, body) VALUES (?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer func() { _ = add.Close() }()
	seen, err := tx.PrepareContext(ctx, "UPDATE probes SET seen = ?1 WHERE id = ?2 AND seen + ?3 < ?1")
	if err != nil {
		return err
	}
	defer func() { _ = seen.Close() }()
	results, size := 0, 0
	for _, probe := range slices.Sorted(maps.Keys(f.blocks)) {
		for _, b := range f.blocks[probe] {
			if _, err := add.ExecContext(ctx, probe, b.first, b.last, b.results, b.body); err != nil {
				return err
			}
			if _, err := seen.ExecContext(ctx, b.last, probe, int64(24*time.Hour)); err != nil {
				return err
			}
			results += b.results
			size += len(b.body)
		}
	}
	return total(ctx, tx, results, size)
}

// total adds to what all blocks hold.
func total(ctx context.Context, tx *sql.Tx, results, bytes int) error {
	_, err := tx.ExecContext(ctx, "UPDATE result_totals SET results = results + ?, bytes = bytes + ? WHERE id = 1", results, bytes)
	return err
}

func (f *folding) saveRollups(ctx context.Context, tx *sql.Tx) error {
	find, err := tx.PrepareContext(ctx, "SELECT histogram FROM rollups WHERE hour = ? AND probe = ?")
	if err != nil {
		return err
	}
	defer func() { _ = find.Close() }()
	add, err := tx.PrepareContext(ctx, `INSERT INTO rollups (hour, probe, unknown, up, degraded, down, lagging, total, shortest, longest, histogram)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (hour, probe) DO UPDATE SET
			unknown = rollups.unknown + excluded.unknown, up = rollups.up + excluded.up,
			degraded = rollups.degraded + excluded.degraded, down = rollups.down + excluded.down,
			lagging = rollups.lagging + excluded.lagging, total = rollups.total + excluded.total,
			shortest = CASE WHEN rollups.shortest < excluded.shortest OR excluded.shortest IS NULL THEN rollups.shortest ELSE excluded.shortest END,
			longest = CASE WHEN rollups.longest > excluded.longest OR excluded.longest IS NULL THEN rollups.longest ELSE excluded.longest END,
			histogram = excluded.histogram`)
	if err != nil {
		return err
	}
	defer func() { _ = add.Close() }()
	keys := slices.SortedFunc(maps.Keys(f.rollups), func(a, b hourOf) int {
		return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.probe, b.probe))
	})
	for _, k := range keys {
		r := f.rollups[k]
		shortest := sql.NullInt64{Int64: int64(r.shortest), Valid: r.timed()}
		longest := sql.NullInt64{Int64: int64(r.longest), Valid: r.timed()}
		var before []byte
		if err := find.QueryRowContext(ctx, k.hour, k.probe).Scan(&before); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		r.histogram.Merge(decodeHistogram(before))
		if _, err := add.ExecContext(ctx, k.hour, k.probe, r.counts[probes.Unknown], r.counts[probes.Up], r.counts[probes.Degraded],
			r.counts[probes.Down], r.lagging, int64(r.total), shortest, longest, r.histogram.encode()); err != nil {
			return err
		}
	}
	return nil
}

// Rollups returns the roll-ups of one probe with from <= Hour < to, oldest first. The current hour is included. A zero to is no
// bound.
func (s *Store) Rollups(ctx context.Context, probe string, from, to time.Time) ([]Rollup, error) {
	first, end := bound(from, math.MinInt64), bound(to, math.MaxInt64)
	hours := map[int64]*sums{}
	err := s.view(ctx, "read roll-ups", func(tx *sql.Tx) error {
		var id int64
		err := tx.QueryRowContext(ctx, "SELECT id FROM probes WHERE name = ?", probe).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := foldedHours(ctx, tx, id, hour(first), hour(end), hours); err != nil {
			return err
		}
		return loggedHours(ctx, tx, id, hours)
	})
	if err != nil {
		return nil, err
	}
	var all []Rollup
	for _, h := range slices.Sorted(maps.Keys(hours)) {
		if start := h * int64(time.Hour); start >= first && start < end {
			r := hours[h]
			all = append(all, Rollup{
				Probe: probe, Hour: time.Unix(0, start).UTC(), Counts: r.counts, Lagging: r.lagging, Sum: r.total, Min: r.shortest, Max: r.longest,
				Latency: r.histogram,
			})
		}
	}
	return all, nil
}

// foldedHours adds what is in the table.
func foldedHours(ctx context.Context, tx *sql.Tx, probe, first, last int64, hours map[int64]*sums) error {
	rows, err := tx.QueryContext(ctx, `SELECT hour, unknown, up, degraded, down, lagging, total, coalesce(shortest, 0), coalesce(longest, 0), histogram
		FROM rollups WHERE probe = ? AND hour >= ? AND hour <= ?`, probe, first, last)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var h int64
		r := &sums{}
		var histogram sql.RawBytes
		if err := rows.Scan(&h, &r.counts[probes.Unknown], &r.counts[probes.Up], &r.counts[probes.Degraded], &r.counts[probes.Down],
			&r.lagging, &r.total, &r.shortest, &r.longest, &histogram); err != nil {
			return err
		}
		r.histogram = decodeHistogram(histogram)
		hours[h] = r
	}
	return rows.Err()
}

// loggedHours adds what is not folded yet.
func loggedHours(ctx context.Context, tx *sql.Tx, id int64, hours map[int64]*sums) error {
	return eachBody(ctx, tx, func(_ int64, body []byte) error {
		for r := newReader(body); r.more(); {
			probe, start, payload := r.record(true)
			if r.err != nil || probe != id {
				continue
			}
			outcome, lagging, d, err := summary(payload)
			if err != nil {
				return nil // damaged: as fold does
			}
			if hours[hour(start)] == nil {
				hours[hour(start)] = &sums{}
			}
			hours[hour(start)].add(outcome, lagging, d)
		}
		return nil
	}, "SELECT id, body FROM result_log ORDER BY id")
}
