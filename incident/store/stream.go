package store

import (
	"cmp"
	"container/heap"
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// EachResult calls fn with every raw result of the named probes (none: of every probe) with from <= Start < to, in the order in
// which they ended. A zero to is no bound. An error of fn ends it and is returned as it is. All of it is read from one state of
// the store, a block at a time: it takes some megabytes, however many results there are. What is damaged is left out.
func (s *Store) EachResult(ctx context.Context, names []string, from, to time.Time, fn func(probes.Result) error) error {
	st := &stream{from: bound(from, math.MinInt64), to: bound(to, math.MaxInt64), names: map[int64]string{}, fn: fn}
	err := s.view(ctx, "read results", func(tx *sql.Tx) error {
		if err := st.findProbes(ctx, tx, names); err != nil {
			return err
		}
		if err := st.findBlocks(ctx, tx); err != nil {
			return err
		}
		if err := st.readLog(ctx, tx); err != nil {
			return err
		}
		return st.run(ctx, tx)
	})
	if st.failed != nil {
		return st.failed
	}
	return err
}

// stream merges blocks by the end of their results. A result ends no sooner than it starts: while every block that begins by
// then is taken in, the earliest end that waits is the next.
type stream struct {
	from, to int64
	names    map[int64]string // of the probes that are asked for
	blocks   []streamed       // that are not taken in yet, in the order of their first start
	waiting  records
	taken    int // records ever, for a stable order
	fn       func(probes.Result) error
	failed   error // of fn
}

// streamed is a block that waits, or a row of the log, whose records are read already.
type streamed struct {
	id, probe, first int64
	logged           []record
}

// record is a result that is not decoded.
type record struct {
	end, start, probe int64
	order             int
	payload           []byte
}

// records is a heap by end.
type records []record

func (r records) Len() int           { return len(r) }
func (r records) Less(i, j int) bool { return compareRecords(r[i], r[j]) < 0 }
func (r records) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }

// Push adds a record, for package heap.
func (r *records) Push(x any) { *r = append(*r, x.(record)) }

// Pop removes the last record, for package heap.
func (r *records) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	(*r)[last] = record{}
	*r = (*r)[:last]
	return x
}

func compareRecords(a, b record) int {
	return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.start, b.start), cmp.Compare(a.probe, b.probe), cmp.Compare(a.order, b.order))
}

func (s *stream) findProbes(ctx context.Context, tx *sql.Tx, names []string) error {
	rows, err := tx.QueryContext(ctx, "SELECT id, name FROM probes")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		if len(names) == 0 || slices.Contains(names, name) {
			s.names[id] = name
		}
	}
	return rows.Err()
}

// findBlocks lists the blocks, without what they hold.
func (s *stream) findBlocks(ctx context.Context, tx *sql.Tx) error {
	if len(s.names) == 0 {
		return nil
	}
	args := []any{s.from, s.to}
	for id := range s.names {
		args = append(args, id)
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(s.names)), ",")
	rows, err := tx.QueryContext(ctx, "SELECT id, probe, first FROM result_blocks WHERE last >= ? AND first < ? AND probe IN ("+marks+")", args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var b streamed
		if err := rows.Scan(&b.id, &b.probe, &b.first); err != nil {
			return err
		}
		s.blocks = append(s.blocks, b)
	}
	return rows.Err()
}

// readLog reads what is not folded yet: at most so many results that it is folded soon.
func (s *stream) readLog(ctx context.Context, tx *sql.Tx) error {
	err := eachBody(ctx, tx, func(_ int64, body []byte) error {
		list := s.records(slices.Clone(body), 0)
		if len(list) > 0 {
			first := slices.MinFunc(list, func(a, b record) int { return cmp.Compare(a.start, b.start) }).start
			s.blocks = append(s.blocks, streamed{first: first, logged: list})
		}
		return nil
	}, "SELECT id, body FROM result_log ORDER BY id")
	slices.SortStableFunc(s.blocks, func(a, b streamed) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.id, b.id)) })
	return err
}

// records returns what is asked for of a body; probe is 0 for the log, whose records say it themselves. They share its memory.
func (s *stream) records(body []byte, probe int64) []record {
	var list []record
	for r := newReader(body); r.more(); {
		of, start, payload := r.record(probe == 0)
		if probe != 0 {
			of = probe
		}
		_, _, took, err := summary(payload)
		if r.err != nil || err != nil {
			break
		}
		if _, wanted := s.names[of]; wanted && start >= s.from && start < s.to {
			end := start + min(max(0, int64(took)), math.MaxInt64-1-max(0, start))
			list = append(list, record{end: end, start: start, probe: of, order: s.taken, payload: payload})
			s.taken++
		}
	}
	return list
}

func (s *stream) run(ctx context.Context, tx *sql.Tx) error {
	if len(s.blocks) == 0 {
		return nil
	}
	body, err := tx.PrepareContext(ctx, "SELECT body FROM result_blocks WHERE id = ?")
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	for len(s.blocks) > 0 {
		b := s.blocks[0]
		s.blocks[0] = streamed{}
		s.blocks = s.blocks[1:]
		if err := s.emit(b.first); err != nil {
			return err
		}
		list := b.logged
		if list == nil {
			var data []byte
			if err := body.QueryRowContext(ctx, b.id).Scan(&data); err != nil {
				return err
			}
			list = s.records(data, b.probe)
		}
		for _, r := range list {
			heap.Push(&s.waiting, r)
		}
	}
	return s.emit(math.MaxInt64)
}

// emit passes on what ended before an instant.
func (s *stream) emit(before int64) error {
	for len(s.waiting) > 0 && s.waiting[0].end < before {
		r := heap.Pop(&s.waiting).(record)
		result, err := decode(s.names[r.probe], r.start, r.payload)
		if err != nil {
			continue // damaged
		}
		if s.failed = s.fn(result); s.failed != nil {
			return s.failed
		}
	}
	return nil
}
