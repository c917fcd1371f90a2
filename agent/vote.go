package agent

import (
	"context"
	"errors"
	"log/slog"

	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// vote says what this vantage believes, and hears the peers.
func (m *member) vote(ctx context.Context) {
	shared := m.a.store.shared.Load()
	if shared == nil {
		m.reach(ctx)
		return
	}
	vote, err := m.a.judge.vote()
	m.tell(slog.LevelError, "this vantage cannot say what it believes; the others judge without it", err)
	sent := m.now()
	m.mu.Lock()
	m.s.pass(sent)
	wants := m.s.wants(sent)
	m.mu.Unlock()
	b := store.Beat{Vote: vote, Wants: wants, Now: m.a.clock.Now()}
	ctx, cancel := context.WithTimeout(ctx, voteTimeout)
	defer cancel()
	r, err := shared.Beat(ctx, b)
	if err != nil {
		m.missed(ctx, err)
		return
	}
	m.mu.Lock()
	now := m.now()
	m.s.heard(sent, now, r)
	m.round = r
	was := m.failing
	m.failing = ""
	with := m.s.company()
	if m.s.role == leader {
		m.a.prolong(m.s.until.mono - now.mono)
	}
	m.mu.Unlock()
	m.refuge.keepClock(m.shifts.of("", r.Offset, b.Now))
	m.refuge.keepCompany(with)
	if r.Leader != r.Self {
		m.refuge.another()
	}
	if was != "" {
		m.log.Info("the database answers again")
	}
	if before := m.a.set.Load().setup.Vantage; r.Self != before { // another took its place while it was silent
		err := m.a.rebase(r.Self, nil)
		m.tell(slog.LevelError, "this agent cannot vote under its new name yet", err)
		if err == nil {
			m.log.Warn("this agent has another name among the vantages", "name", r.Self, "before", before)
		}
	}
	m.hear(r)
}

// without notes that the shared store does not answer at the start. It is told once: that nothing can be written, and that the store is tried
// in vain again, follows from it.
func (m *member) without(err error) {
	m.mu.Lock()
	m.failing = err.Error()
	grace := m.s.grace
	m.mu.Unlock()
	if grace == 0 {
		m.log.Error("the database does not answer: this agent starts without it and probes; no case is opened meanwhile, since store.alone_after is 0s", "err", err)
		return
	}
	m.log.Error("the database does not answer: this agent starts without it, probes, and judges alone if that lasts", "after", grace, "err", err)
}

// missed notes that the shared store did not answer.
func (m *member) missed(ctx context.Context, err error) {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return // the agent stops
	}
	m.mu.Lock()
	m.s.missed(m.now())
	was := m.failing
	m.failing = err.Error()
	count, wait := m.s.failed, m.s.wait()
	grace := m.s.grace
	m.mu.Unlock()
	switch {
	case was != "" && count > 1:
	case grace == 0:
		m.log.Warn("the database does not answer: this agent goes on probing; no case is opened meanwhile, since store.alone_after is 0s", "err", err)
	default:
		m.log.Warn("the database does not answer: this agent goes on probing, and judges alone if that lasts", "after", wait, "err", err)
	}
}

// hear lets the engine hear the votes of the peers, on its own clock. While it still judges alone it hears none: it opened what they believed before the
// database was away, and act ends that.
func (m *member) hear(r store.Round) {
	if m.a.store.own.Load() != nil {
		return
	}
	var votes []engine.Vote
	for _, p := range r.Peers {
		if len(p.Vote) == 0 {
			continue
		}
		v, err := engine.DecodeVote(p.Vote)
		m.tell(slog.LevelWarn, "what a vantage believes cannot be read: is it of another version?", err, "vantage", p.Voter)
		if err != nil {
			continue
		}
		v.Vantage = p.Voter
		votes = append(votes, v.Moved(m.shifts.of(p.Voter, p.Offset-r.Offset, v.At)))
	}
	m.a.judge.hear(votes)
}

// reach tries to open the shared store, which did not answer when the agent started.
func (m *member) reach(ctx context.Context) {
	select {
	case o := <-m.opened:
		m.tried = m.a.clock.mono()
		if o.err == nil {
			if o.err = m.attach(ctx, o); o.err == nil {
				return
			}
			o.err = errors.Join(o.err, o.store.Close())
		}
		m.missed(ctx, o.err)
		return
	default:
	}
	m.mu.Lock()
	m.s.missed(m.now())
	m.mu.Unlock()
	if m.tried < 0 || m.a.clock.mono()-m.tried >= tryEvery {
		m.obtain(ctx, nil)
	}
}

// obtain opens the shared store, unless it is open, and reads what this vantage has learnt: beside the beats, since it may take long.
func (m *member) obtain(ctx context.Context, s *store.Store) {
	m.tried = 1<<63 - 1 // one at a time
	go func() {
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		o := opening{store: s}
		if s == nil {
			o.store, o.err = m.a.openShared(ctx)
		}
		if o.err == nil {
			if _, o.baselines, o.err = o.store.VantageState(ctx); o.err != nil {
				o.err = errors.Join(o.err, o.store.Close())
			}
		}
		m.opened <- o
	}()
}

// attach takes the shared store, which answers for the first time, into use; after an error nothing has changed. It takes less than what counts as
// a time in which the agent did not get to run.
func (m *member) attach(ctx context.Context, o opening) error {
	ctx, cancel := context.WithTimeout(ctx, enterFor)
	defer cancel()
	sent, r, err := m.greet(ctx, o.store)
	if err != nil {
		return err
	}
	if err := m.a.rebase(r.Self, o.baselines); err != nil {
		return err
	}
	m.a.store.shared.Store(o.store)
	if m.a.store.own.Load() == nil { // otherwise the end of the time alone does it, which keeps what is not durable yet
		m.a.judge.relocate(place{state: o.store, results: o.store})
	}
	m.greeted(sent, r)
	if err := m.a.orders.load(ctx); err != nil {
		m.log.Warn("what people ordered cannot be read yet; it is tried again", "err", err)
	}
	return nil
}

// meet greets at the start.
func (m *member) meet(ctx context.Context, s *store.Store) error {
	sent, r, err := m.greet(ctx, s)
	switch {
	case err == nil:
		m.greeted(sent, r)
	case unusable(err):
		m.forgo(ctx, err)
		return nil
	}
	return err
}

// forgo goes on with the start without the shared store, which is away again: it is taken into use when it answers, as one that did not answer at all.
func (m *member) forgo(ctx context.Context, err error) {
	m.without(err)
	m.mu.Lock()
	m.s.lost(m.now())
	m.round = store.Round{}
	m.mu.Unlock()
	m.obtain(ctx, m.a.store.shared.Swap(nil))
}

// greet learns under which name the agent votes, and who leads.
func (m *member) greet(ctx context.Context, s *store.Store) (sent instant, r store.Round, err error) {
	sent = m.now()
	m.mu.Lock()
	wants := m.s.wants(sent)
	m.mu.Unlock()
	b := store.Beat{Now: m.a.clock.Now(), Wants: wants}
	if r, err = s.Beat(ctx, b); err == nil {
		m.refuge.keepClock(m.shifts.of("", r.Offset, b.Now))
	}
	return sent, r, err
}

// greeted goes by what greet learnt.
func (m *member) greeted(sent instant, r store.Round) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.heard(sent, m.now(), r)
	m.round = r
}
