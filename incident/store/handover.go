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

const (
	maxHandovers = 1000    // that a voter may have
	maxHanded    = 8 << 20 // bytes of one, as JSON
	maxSnapshot  = 1000    // incidents
)

// Snapshot is all that an agent needs to go on alone: what the leader committed last. It can be written as JSON.
type Snapshot struct {
	At        time.Time           `json:"at"`    // of the state
	State     []byte              `json:"state"` // the engine's; nil: none
	Incidents []incident.Incident `json:"incidents"`
	Events    []incident.Event    `json:"events"` // of these incidents, by Seq
	Cases     []incident.Case     `json:"cases"`
	Notices   []incident.Notice   `json:"notices"`
	Orders    []incident.Order    `json:"orders"` // that are in force or to come
}

// Handed is what an agent did alone about one incident.
type Handed struct {
	Incident incident.Incident `json:"incident"`
	Events   []incident.Event  `json:"events"` // Seq is that of the store of its own
	Cases    []incident.Case   `json:"cases"`
	Notices  []incident.Notice `json:"notices"`
	Offset   time.Duration     `json:"offset,omitempty"` // to be added to what that agent dates, for the database's clock; 0: not known, or none
}

// version changes with what was done; it rises, unless a clock was set.
func (h Handed) version() int64 {
	newest := max(nanos(h.Incident.Updated), nanos(h.Incident.Closed), nanos(h.Incident.Opened))
	for _, e := range h.Events {
		newest = max(newest, nanos(e.At))
	}
	for _, c := range h.Cases {
		newest = max(newest, nanos(c.Attempted), nanos(c.Created), nanos(c.Resolved), nanos(c.Seen))
	}
	for _, n := range h.Notices {
		newest = max(newest, nanos(n.Sent))
	}
	return newest
}

// Handover is what waits for the leader.
type Handover struct {
	Voter   string // that was alone
	At      time.Time
	Version int64 // of what it did
	Handed
	Fault error // why what it did cannot be read: of it only the incident's ID is known; nil: it can
}

// Taken is what the leader makes of a handover. The zero value drops it.
type Taken struct {
	Incidents []incident.Incident // inserted or replaced by ID
	// appended under a new Seq. Those that are in the store already, the same word at the same time, are left out.
	Events []incident.Event
	// Inserted or replaced by incident and desk. Noted and Owed, where they are the Seq of one of Events, become its new one.
	Cases   []incident.Case
	Notices []incident.Notice // inserted by ID; those that are there are replaced while they are due
}

// Snapshot returns what the leader committed last: the engine's state, the incidents that are not settled (at most 1,000, newest first) with all that belongs to
// them, and the orders that had not ended at the time of the state. All of it is read from one state of the store.
func (s *Store) Snapshot(ctx context.Context) (n Snapshot, err error) {
	where, args := IncidentFilter{Unsettled: true}.where()
	chosen := "(SELECT id FROM incidents WHERE " + where + " ORDER BY opened DESC, id DESC LIMIT ?)"
	args = append(args, maxSnapshot)
	err = s.view(ctx, "read a snapshot", func(tx *sql.Tx) error {
		var at int64
		err := tx.QueryRowContext(ctx, "SELECT at, state FROM engine_state WHERE id = 1").Scan(&at, &n.State)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		n.At = instant(at)
		if n.Incidents, err = bodies[incident.Incident](ctx, tx, "SELECT body FROM incidents WHERE id IN "+chosen+" ORDER BY opened DESC, id DESC", args...); err != nil {
			return err
		}
		if n.Events, err = events(ctx, tx, "incident IN "+chosen, args...); err != nil {
			return err
		}
		if n.Cases, err = bodies[incident.Case](ctx, tx, "SELECT body FROM cases WHERE incident IN "+chosen+" ORDER BY seq", args...); err != nil {
			return err
		}
		if n.Notices, err = bodies[incident.Notice](ctx, tx, "SELECT body FROM notices WHERE incident IN "+chosen+" ORDER BY due, id", args...); err != nil {
			return err
		}
		n.Orders, err = bodies[incident.Order](ctx, tx, "SELECT body FROM (SELECT id, body FROM orders WHERE ends > ? ORDER BY ends DESC LIMIT ?) AS latest ORDER BY id", at, allOrders)
		return err
	})
	return n, err
}

// Adopt begins an empty SQLite store with a snapshot. Events and orders keep their Seq and ID, so that what names them goes on to mean them; new ones
// get higher ones. A store that is not empty is refused.
func (s *Store) Adopt(ctx context.Context, n Snapshot) error {
	if s.pg != nil {
		return errors.New("store: cannot adopt a snapshot: only a store of its own, an SQLite file, begins with one")
	}
	return s.write(ctx, decided, "adopt a snapshot", func(tx *sql.Tx) error {
		for _, table := range []string{"incidents", "events", "cases", "notices", "orders", "engine_state"} {
			if there, err := exists(ctx, tx, "SELECT 1 FROM "+table+" LIMIT 1"); err != nil || there {
				return errors.Join(err, errors.New("the store is not empty: begin with a new file"))
			}
		}
		for _, i := range n.Incidents {
			if err := saveIncident(ctx, tx, i); err != nil {
				return err
			}
		}
		for _, e := range n.Events {
			if _, err := run(ctx, tx, "INSERT INTO events (seq, incident, at, kind, actor, text, priority) VALUES (?, ?, ?, ?, ?, ?, ?)",
				e.Seq, e.Incident, nanos(e.At), string(e.Kind), e.Actor, e.Text, int(e.Priority)); err != nil {
				return err
			}
		}
		for _, c := range n.Cases {
			if err := saveCase(ctx, tx, c); err != nil {
				return err
			}
		}
		for _, notice := range n.Notices {
			if err := saveNotice(ctx, tx, notice, ""); err != nil {
				return err
			}
		}
		for _, o := range n.Orders {
			if _, err := run(ctx, tx, "INSERT INTO orders (id, ends, body) VALUES (?, ?, '{}')", o.ID, nanos(o.End())); err != nil {
				return err
			}
			if err := saveOrder(ctx, tx, o); err != nil {
				return err
			}
		}
		return saveState(ctx, tx, n.At, n.State)
	})
}

// Handover puts what an agent did alone before the leader, durable, whoever leads. It may be called again, with the same or with more: by
// voter and incident the last is kept, and what the leader took is not put before it again. A voter has at most 1,000, of at most
// 8 MiB each.
func (s *Store) Handover(ctx context.Context, voter string, list []Handed) error {
	return s.write(ctx, durable, "hand over", func(tx *sql.Tx) error {
		for _, h := range list {
			if voter == "" || h.Incident.ID == "" {
				return errors.New("a handover has no voter or no incident")
			}
			body, err := json.Marshal(h)
			if err != nil {
				return err
			}
			if len(body) > maxHanded {
				return fmt.Errorf("the handover of incident %q has %d bytes: at most %d", h.Incident.ID, len(body), maxHanded)
			}
			if _, err := run(ctx, tx, `INSERT INTO handovers (voter, incident, version, at, body) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (voter, incident) DO UPDATE SET version = excluded.version, at = excluded.at, body = excluded.body
				WHERE handovers.version <> excluded.version OR handovers.body IS NOT NULL`,
				voter, h.Incident.ID, h.version(), nanos(s.now()), body); err != nil {
				return err
			}
		}
		var waiting int
		err := tx.QueryRowContext(context.WithoutCancel(ctx), "SELECT count(*) FROM handovers WHERE voter = ? AND body IS NOT NULL", voter).Scan(&waiting)
		if err == nil && waiting > maxHandovers {
			err = fmt.Errorf("%d incidents of %s wait for the leader: at most %d", waiting, voter, maxHandovers)
		}
		return err
	})
}

// Handovers returns what waits to be taken, oldest first, at most 1,000.
func (s *Store) Handovers(ctx context.Context) (all []Handover, err error) {
	err = s.view(ctx, "read handovers", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT voter, incident, version, at, body FROM handovers WHERE body IS NOT NULL ORDER BY at, voter, incident LIMIT ?", maxHandovers)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var h Handover
			var at int64
			var id string
			var body []byte
			if err := rows.Scan(&h.Voter, &id, &h.Version, &at, &body); err != nil {
				return err
			}
			if err := json.Unmarshal(body, &h.Handed); err != nil {
				h.Handed, h.Fault = Handed{Incident: incident.Incident{ID: id}}, fmt.Errorf("what is handed over cannot be read: %w", err)
			}
			h.At = instant(at)
			all = append(all, h)
		}
		return rows.Err()
	})
	return all, err
}

// Take ends a handover and stores what the leader makes of it, in one transaction. One that was taken, or that its voter has changed since it was
// read, is incident.ErrNotFound, wrapped, and nothing is stored.
func (s *Store) Take(ctx context.Context, h Handover, t Taken) error {
	return s.write(ctx, decided, "take a handover", func(tx *sql.Tx) error {
		result, err := run(ctx, tx, "UPDATE handovers SET body = NULL, at = ? WHERE voter = ? AND incident = ? AND version = ? AND body IS NOT NULL",
			nanos(s.now()), h.Voter, h.Incident.ID, h.Version)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("handover of incident %q by %s: %w", h.Incident.ID, h.Voter, incident.ErrNotFound))
		}
		return t.store(ctx, tx)
	})
}

func (t Taken) store(ctx context.Context, tx *sql.Tx) error {
	for _, i := range t.Incidents {
		if err := saveIncident(ctx, tx, i); err != nil {
			return err
		}
	}
	seqs := map[int64]int64{} // those of before, and those now
	for _, e := range t.Events {
		seq, err := appendOnce(ctx, tx, e)
		if err != nil {
			return err
		}
		seqs[e.Seq] = seq
	}
	for _, c := range t.Cases {
		c.Noted = renumbered(seqs, c.Noted)
		if seq, found := seqs[c.Owed]; found && c.Owed != 0 {
			c.Owed = seq
		}
		if err := saveCase(ctx, tx, c); err != nil {
			return err
		}
	}
	for _, n := range t.Notices {
		if err := saveNotice(ctx, tx, n, `ON CONFLICT (id) DO UPDATE SET
			incident = excluded.incident, due = excluded.due, state = excluded.state, body = excluded.body WHERE notices.state = ''`); err != nil {
			return err
		}
	}
	return nil
}

// renumbered returns the new Seq of the last event up to one of before; that itself where none was renumbered.
func renumbered(seqs map[int64]int64, upTo int64) int64 {
	newest, is := int64(-1), upTo
	for before, now := range seqs {
		if before <= upTo && before > newest {
			newest, is = before, now
		}
	}
	return is
}

// appendOnce appends an event unless it is there, and returns its Seq.
func appendOnce(ctx context.Context, tx *sql.Tx, e incident.Event) (seq int64, err error) {
	ctx = context.WithoutCancel(ctx)
	err = tx.QueryRowContext(ctx, "SELECT seq FROM events WHERE incident = ? AND at = ? AND kind = ? AND actor = ? AND text = ? ORDER BY seq LIMIT 1",
		e.Incident, nanos(e.At), string(e.Kind), e.Actor, e.Text).Scan(&seq)
	if !errors.Is(err, sql.ErrNoRows) {
		return seq, err
	}
	if e.Incident == "" {
		return 0, fmt.Errorf("an event of kind %q has no incident", e.Kind)
	}
	err = tx.QueryRowContext(ctx, "INSERT INTO events (incident, at, kind, actor, text, priority) VALUES (?, ?, ?, ?, ?, ?) RETURNING seq",
		e.Incident, nanos(e.At), string(e.Kind), e.Actor, e.Text, int(e.Priority)).Scan(&seq)
	return seq, err
}

// expireHandovers forgets some that were taken before the cutoff.
func expireHandovers(tx *sql.Tx, cutoff int64) (more bool, err error) {
	return removed(tx, `DELETE FROM handovers WHERE (voter, incident) IN
		(SELECT voter, incident FROM handovers WHERE body IS NULL AND at < ? LIMIT ?)`, cutoff, stepIncidents)
}
