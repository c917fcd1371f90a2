package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// resignWithin bounds what Close waits for to give up lead and place: a server that is away forgets them by itself.
const resignWithin = 2 * time.Second

// place is one that this agent has, or had: under its name its results are kept. It is immutable.
type place struct {
	name  string
	token string // drawn when it was taken
	epoch int64  // counts the agents that had it
}

// lead is one that this agent has, or had. It is immutable.
type lead struct {
	epoch int64
	asked time.Time // the moment before the beat that got or renewed it was sent, with its monotonic clock
}

// said is what was stored last of a vote or a status, so that it is not sent again. The semaphore of beats guards it.
type said struct {
	session int64 // of the beats: what was committed without waiting may be lost with another server
	place   *place
	body    []byte
}

// news returns what is to be sent: nil where the server has it.
func (d said) news(session int64, pl *place, body []byte) []byte {
	if d.session == session && d.place == pl && d.body != nil && bytes.Equal(d.body, body) {
		return nil
	}
	return body
}

// readOwn is the statement that shows a transaction what is kept under this agent's place.
func (p *postgres) readOwn() string {
	name := ""
	if pl := p.place.Load(); pl != nil {
		name = pl.name
	}
	return "SET LOCAL app.voter = " + quoted(name)
}

// readOther is the same for a store that is open for reading: of the voter that its address names, or of the one that led last.
func (p *postgres) readOther() string {
	if p.vantage != "" {
		return "SET LOCAL app.voter = " + quoted(p.vantage)
	}
	return "SELECT set_config('app.voter', coalesce((SELECT voter FROM leases), ''), true)"
}

// quoted is a text as SQL has it; standard_conforming_strings is on.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// checkVoter says which voters there are where one is asked for that there is not.
func (s *Store) checkVoter(ctx context.Context, name string) error {
	all, err := s.Voters(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, v := range all {
		if v.Name == name {
			return nil
		}
		names = append(names, v.Name)
	}
	return fmt.Errorf("store: tenant %s in %s has no vantage %q: those are %s", s.pg.tenant, s.pg.name, name, cmp.Or(strings.Join(names, ", "), "none"))
}

// beginBeats begins the session of the beats: it says that the agent lives that has the place.
func (s *Store) beginBeats(ctx context.Context, c *pgconn.PgConn) error {
	p := s.pg
	if err := p.named(ctx, c, p.session+" beats"); err != nil {
		return err
	}
	if pl := p.place.Load(); pl != nil {
		const lock = "SELECT pg_try_advisory_lock(place_key(name)) FROM voters WHERE name = $1 AND token = $2"
		deadline := time.Now().Add(time.Second)
		for { // until the session before has ended
			locked, err := value(ctx, c, lock, pl.name, pl.token)
			if err != nil {
				return err
			}
			if locked != "f" || time.Now().After(deadline) {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	p.beats.Add(1)
	return nil
}

// begun waits for the beat under way; the function that it returns lets the next one begin.
func (p *postgres) begun(ctx context.Context) (end func(), err error) {
	select {
	case p.beating <- struct{}{}:
		return func() { <-p.beating }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// takePlace takes a place in the stead of one that another agent has now; nil: the first.
func (s *Store) takePlace(ctx context.Context, lost *place) error {
	end, err := s.pg.begun(ctx)
	if err != nil {
		return err
	}
	defer end()
	return s.takePlaceNow(ctx, lost)
}

// takePlaceNow is takePlace for who lets no beat begin.
func (s *Store) takePlaceNow(ctx context.Context, lost *place) error {
	p := s.pg
	if p.place.Load() != lost {
		return nil // it has another already
	}
	holder := s.options.Holder
	if holder == "" {
		host, _ := os.Hostname() // only said for people
		holder = fmt.Sprintf("process %d on %s", os.Getpid(), host)
	}
	pl := &place{token: rand.Text()}
	err := p.beater.QueryRowContext(ctx, "SELECT place, place_epoch FROM take_place(?, ?, ?, ?)", s.options.Vantage, pl.token, holder, p.session).Scan(&pl.name, &pl.epoch)
	if err != nil {
		return err
	}
	p.lead.Store(nil)
	p.entered.Store(nil)
	p.place.Store(pl)
	return nil
}

func (s *Store) beatPostgres(ctx context.Context, b Beat) (Round, error) {
	end, err := s.pg.begun(ctx)
	if err != nil {
		return Round{}, fmt.Errorf("store: cannot beat: %w", err)
	}
	defer end()
	for range 3 {
		pl := s.pg.place.Load()
		if pl == nil {
			return Round{}, fmt.Errorf("store: cannot beat: %w", ErrClosed)
		}
		r, there, err := s.tryBeat(ctx, pl, b)
		if err != nil || there {
			return r, s.fault("beat", err)
		}
		if err := s.takePlaceNow(ctx, pl); err != nil {
			return Round{}, s.fault("beat", err)
		}
	}
	return Round{}, s.fault("beat", errPlaceTaken)
}

// tryBeat beats once, and returns whether the place is this agent's.
func (s *Store) tryBeat(ctx context.Context, pl *place, b Beat) (r Round, there bool, err error) {
	p := s.pg
	session := p.beats.Load()
	clock := sql.NullTime{Time: b.Now, Valid: !b.Now.IsZero()}
	if !b.Wants {
		p.lead.Store(nil) // before anybody else can have it
	}
	asked := time.Now()
	rows, err := p.beater.QueryContext(ctx, "SELECT voter, leads, age, off, vote, epoch FROM beat(?, ?, ?, ?, ?)",
		pl.name, pl.token, b.Wants, clock, p.told.news(session, pl, b.Vote))
	if err != nil {
		return r, false, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v Peer
		var age, off int64
		if err := rows.Scan(&v.Voter, &v.Leading, &age, &off, &v.Vote, &r.Epoch); err != nil {
			return r, false, err
		}
		v.Age, v.Offset = time.Duration(age)*time.Microsecond, time.Duration(off)*time.Microsecond
		if v.Leading {
			r.Leader = v.Voter
		}
		if v.Voter != pl.name {
			r.Peers = append(r.Peers, v)
			continue
		}
		there = true
		r.Self, r.Leading, r.Offset = v.Voter, v.Leading, v.Offset
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || !there {
		return Round{}, false, err
	}
	if now := p.beats.Load(); now == session { // otherwise it was sent over a session that began meanwhile, and is sent again
		if b.Vote != nil {
			p.told = said{now, pl, bytes.Clone(b.Vote)}
		}
	}
	if !r.Leading {
		p.lead.Store(nil)
		return r, true, nil
	}
	p.lead.Store(&lead{epoch: r.Epoch, asked: asked})
	r.Lease = leaseSure
	return r, true, nil
}

func (s *Store) resignPostgres(ctx context.Context) error {
	p := s.pg
	pl := p.place.Load()
	if pl == nil {
		return fmt.Errorf("store: cannot resign: %w", ErrClosed)
	}
	p.lead.Store(nil)
	p.entered.Store(nil)
	bounded, cancel := context.WithTimeout(ctx, resignWithin)
	defer cancel()
	released := s.release(bounded, "UPDATE leases SET until = '-infinity' WHERE token = ?", pl.token)
	if errors.Is(released, ErrAway) { // it notices by itself that this agent has gone
		p.place.Store(nil)
		return nil
	}
	folded := s.write(ctx, relaxed, "fold results", s.fold, func() { s.logged = 0 })
	end, err := p.begun(bounded)
	if err != nil {
		return errors.Join(released, folded, s.fault("resign", err))
	}
	defer end()
	pl = p.place.Load() // it may have changed with that write
	p.place.Store(nil)
	last, cancelLast := context.WithTimeout(ctx, resignWithin)
	defer cancelLast()
	err = s.release(last, "UPDATE voters SET beat = '-infinity', session = '' WHERE name = ? AND token = ?", pl.name, pl.token)
	if err == nil {
		err = s.release(last, "SELECT pg_advisory_unlock_all()")
	}
	if errors.Is(err, ErrAway) {
		err = nil
	}
	return errors.Join(released, folded, err)
}

// release gives something up; a server that does not answer in time is away.
func (s *Store) release(ctx context.Context, statement string, args ...any) error {
	_, err := s.pg.beater.ExecContext(ctx, statement, args...)
	err = s.fault("resign", err)
	if errors.Is(err, ErrStandby) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w (%w)", ErrAway, err)
	}
	return err
}
