package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
)

const noRole = "this agent cannot take its role; it is tried again"

// act takes the role that the agent has now, and does what is to be done in it.
func (m *member) act(ctx context.Context) {
	m.mu.Lock()
	m.s.pass(m.now())
	role, term, epoch, answers := m.s.role, m.s.term, m.s.epoch, m.s.failed == 0
	owes, ending := m.s.owes && !m.s.ending, m.s.ending
	m.mu.Unlock()
	if term == m.entered && role != follower && m.a.desksEnded() { // its time was over for a moment
		m.entered = -1
	}
	if term != m.entered {
		m.leave()
		if ending && role != follower {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, enterFor)
		defer cancel()
		var err error
		switch role {
		case leader:
			err = m.lead(ctx, term, epoch)
		case alone:
			err = m.alone(ctx, term)
		default:
			m.followed()
		}
		if role == leader {
			m.mu.Lock()
			m.s.led(m.now(), err == nil)
			m.mu.Unlock()
		}
		if err != nil {
			if ctx.Err() == nil || !errors.Is(ctx.Err(), context.Canceled) {
				m.tell(slog.LevelError, noRole, fmt.Errorf("as %s: %w", role, err))
			}
			return
		}
		m.entered, m.last = term, role
		m.tell(slog.LevelError, noRole, nil)
	}
	if role != alone && owes && answers {
		m.handBack(ctx)
	}
}

// leave ends the role that the agent had: whatever it was about to tell a desk or a person is told by whoever judges next.
func (m *member) leave() {
	m.a.endDesks()
	m.lone() // what it says last belongs to what is handed over, also when this agent leads
	at := place{state: away{}, results: away{}}
	if s := m.a.store.shared.Load(); s != nil {
		at = place{state: s, results: s}
	}
	own := m.a.store.own.Load()
	f, err := m.a.judge.cede(at)
	if err == nil && own != nil { // what it judged alone is handed over to the last step
		ctx, cancel := context.WithTimeout(context.Background(), voteTimeout)
		defer cancel()
		err = own.Commit(ctx, f.Commit)
	}
	if err != nil && own != nil {
		m.log.Warn("the last steps of the time alone could not be kept", "err", err)
	}
	m.a.store.own.Store(nil)
}

// lead begins to judge for all.
func (m *member) lead(ctx context.Context, term int, epoch int64) error {
	shared := m.a.store.shared.Load()
	if !m.taking.over() { // of a lead of before, in which it must not go on
		return errTaking
	}
	if err := shared.Lead(ctx, epoch); err != nil {
		return err
	}
	if err := m.takeFirst(ctx, shared); err != nil {
		return err
	}
	state, err := shared.EngineState(ctx)
	if err != nil {
		return err
	}
	open, err := shared.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents})
	if err != nil {
		return err
	}
	if err := m.a.orders.load(ctx); err != nil {
		return err
	}
	if err := m.a.judge.lead(place{state: shared, results: shared, judges: true, several: true}, state, open); err != nil {
		return err
	}
	m.a.judge.maintain(m.a.orders.spans)
	m.a.startDesks(m.a.set.Load(), shared, func() error { return m.may(term) }, max(m.left(), time.Nanosecond))
	m.log.Info("this agent leads: it judges by what all vantages see, and tells desks and people", "epoch", epoch, "open_incidents", len(open))
	return nil
}

// alone begins to judge by itself.
func (m *member) alone(ctx context.Context, term int) error {
	if m.handing != nil {
		m.handing.stale = true
	}
	if err := m.refuge.adopt(ctx); err != nil {
		return err
	}
	own := m.refuge.own
	spool, err := m.spool(ctx)
	if err != nil {
		return err
	}
	state, err := own.EngineState(ctx)
	if err != nil {
		return err
	}
	open, err := own.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents})
	if err != nil {
		return err
	}
	m.a.judge.hear(nil)
	if err := m.a.judge.lead(place{state: own, results: spool, judges: true}, state, open); err != nil {
		return err
	}
	m.a.store.own.Store(own)
	m.a.startDesks(m.a.set.Load(), own, func() error { return m.may(term) }, 0)
	m.log.Error("the database is away: this agent judges alone and tells desks and people by itself, until the database is back", "kept_in", m.refuge.where(), "open_incidents", len(open))
	return nil
}

// spool returns the store of results of the time alone.
func (m *member) spool(ctx context.Context) (*store.Store, error) {
	m.spools.Lock() // so that none is opened whose file is being removed
	defer m.spools.Unlock()
	if spool := m.a.store.spool.Load(); spool != nil {
		return spool, nil
	}
	spool, err := m.refuge.spool(ctx)
	if err == nil {
		m.a.store.spool.Store(spool)
	}
	return spool, err
}

// left returns how long the lead is sure from now.
func (m *member) left() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.until.mono - m.now().mono
}

var errRole = errors.New("another agent leads, or may lead")

// may says why the reconciler of a term may tell nobody anything now.
func (m *member) may(term int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.s.term != term || m.s.role == leader && !m.s.sure(m.now()) {
		return errRole
	}
	if m.s.role == leader {
		return m.a.store.shared.Load().Leading()
	}
	return nil
}

// followed says that the agent follows.
func (m *member) followed() {
	if m.entered < 0 {
		return
	}
	switch m.last {
	case leader:
		m.log.Warn("this agent leads no more: it probes and votes, and whoever leads judges and tells desks and people")
	case alone:
		m.log.Info("this agent judges alone no more: it hands over what it did")
	default:
	}
}

// lost is called when the store refused a write since another agent leads.
func (m *member) lost() {
	m.mu.Lock()
	m.s.lost(m.now())
	m.mu.Unlock()
	m.rouse()
}

// createFor is how long an agent needs from its first look at an incident until a desk has answered.
const createFor = 20 * time.Second

// follow sets how much later each agent judges alone than the one before it: when it searches a desk, that shows what the one before
// opened.
func (m *member) follow(s *set) {
	var lag time.Duration
	for _, d := range s.desks {
		lag = max(lag, d.Desk.Capabilities().Lag)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.stagger = lag + createFor
}
