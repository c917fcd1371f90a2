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

const (
	allResults = 10_000 // that Results returns where its limit is not given
	// The log is folded when it has perFold results a probe on average, within these bounds: often enough that reading it
	// through stays cheap, seldom enough that few pages are written a result.
	perFold, fewestToFold, mostToFold = 20, 2_000, 50_000
	blockResults                      = 512 // most results of a block
)

// AppendResults adds raw results in one transaction that need not survive a power failure, and folds them, with those before
// them, into the roll-ups when enough have come together; Results and Rollups see them at once either way. Of results that are
// up, facts and certificate are not kept.
func (s *Store) AppendResults(ctx context.Context, results []probes.Result) error {
	if len(results) == 0 {
		return nil
	}
	added := map[string]int64{}
	logged := int64(0)
	return s.write(ctx, relaxed, "append results", func(tx *sql.Tx) error {
		body, err := s.encode(ctx, tx, results, added)
		if err != nil {
			return err
		}
		if _, err := run(ctx, tx, "INSERT INTO result_log (results, body) VALUES (?, ?)", len(results), body); err != nil {
			return err
		}
		logged = s.logged + int64(len(results))
		if logged < s.foldAt() {
			return nil
		}
		logged = 0
		return s.fold(tx)
	}, func() {
		s.logged = logged
		maps.Copy(s.probes, added)
	})
}

// foldAt returns how many results the log holds when it is folded: few against what is kept, so that what goes first is old.
func (s *Store) foldAt() int64 {
	const share, bytes = 40, 50 // of what is kept, and about as many a result
	return min(max(int64(perFold*len(s.probes)), fewestToFold), mostToFold, max(min(s.options.RawRows, s.options.RawBytes/bytes)/share, 1))
}

// encode returns the log's body of results; probes that are new get an id, noted in added.
func (s *Store) encode(ctx context.Context, tx *sql.Tx, results []probes.Result, added map[string]int64) (body []byte, err error) {
	base := results[0].Start.UnixNano()
	body = appendHead(make([]byte, 0, 48*len(results)), base)
	var payload []byte
	for _, r := range results {
		if err := storable(r); err != nil {
			return nil, err
		}
		id, known := s.probes[r.Probe]
		if !known {
			id, known = added[r.Probe]
		}
		if !known {
			row := tx.QueryRowContext(context.WithoutCancel(ctx), "INSERT INTO probes (name, seen) VALUES (?, ?) RETURNING id", r.Probe, r.Start.UnixNano())
			if err := row.Scan(&id); err != nil {
				return nil, err
			}
			added[r.Probe] = id
		}
		if payload, err = appendPayload(payload[:0], r); err != nil {
			return nil, err
		}
		body = appendRecord(body, base, id, r.Start.UnixNano(), payload)
	}
	return body, nil
}

// Results returns the raw results of one probe with from <= Start < to, oldest first, at most limit (the newest ones; 0:
// 10,000). A zero to is no bound.
func (s *Store) Results(ctx context.Context, probe string, from, to time.Time, limit int) (all []probes.Result, err error) {
	if limit <= 0 {
		limit = allResults
	}
	q := &query{name: probe, from: bound(from, math.MinInt64), to: bound(to, math.MaxInt64), limit: limit}
	err = s.view(ctx, "read results", func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT id FROM probes WHERE name = ?", probe).Scan(&q.probe)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := q.readLog(ctx, tx); err != nil {
			return err
		}
		return q.readBlocks(ctx, tx)
	})
	slices.Reverse(q.found)
	return q.found, err
}

// bound returns t as Unix nanoseconds, or otherwise where it is zero; what nanoseconds cannot say is as far as they can.
func bound(t time.Time, otherwise int64) int64 {
	switch {
	case t.IsZero():
		return otherwise
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// query collects the newest results of one probe.
type query struct {
	probe    int64
	name     string
	from, to int64
	limit    int
	found    []probes.Result // newest first once kept
}

// take adds the records of a body that are asked for; what is damaged it leaves out.
func (q *query) take(body []byte, inLog bool) {
	for r := newReader(body); r.more(); {
		probe, start, payload := r.record(inLog)
		if r.err != nil || inLog && probe != q.probe || start < q.from || start >= q.to {
			continue
		}
		if result, err := decode(q.name, start, payload); err == nil {
			q.found = append(q.found, result)
		}
	}
}

// keep drops all but the newest.
func (q *query) keep() {
	slices.SortStableFunc(q.found, func(a, b probes.Result) int { return cmp.Compare(b.Start.UnixNano(), a.Start.UnixNano()) })
	if len(q.found) > q.limit {
		q.found = slices.Delete(q.found, q.limit, len(q.found))
	}
}

func (q *query) readLog(ctx context.Context, tx *sql.Tx) error {
	take := func(_ int64, body []byte) error { q.take(body, true); return nil }
	err := eachBody(ctx, tx, take, "SELECT id, body FROM result_log ORDER BY id")
	q.keep()
	return err
}

func (q *query) readBlocks(ctx context.Context, tx *sql.Tx) error {
	enough := errors.New("enough")
	err := eachBody(ctx, tx, func(last int64, body []byte) error {
		if len(q.found) == q.limit && last < q.found[q.limit-1].Start.UnixNano() {
			return enough
		}
		q.take(body, false)
		q.keep()
		return nil
	}, "SELECT last, body FROM result_blocks WHERE probe = ? AND last >= ? AND first < ? ORDER BY last DESC, id DESC", q.probe, q.from, q.to)
	if errors.Is(err, enough) {
		return nil
	}
	return err
}

// eachBody calls f with every row of a query of a number and a body, which f may use until it returns.
func eachBody(ctx context.Context, tx *sql.Tx, f func(n int64, body []byte) error, query string, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var n int64
		var body sql.RawBytes
		if err := rows.Scan(&n, &body); err != nil {
			return err
		}
		if err := f(n, body); err != nil {
			return err
		}
	}
	return rows.Err()
}
