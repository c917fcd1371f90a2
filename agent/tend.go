package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// tend does, beside the beat, what may take its time: it keeps a snapshot of the shared store, takes what others hand over, reads what
// people ordered, and brings back the results of a time alone. What this agent itself decides is in the snapshot at once: it must not judge alone by a
// state in which a case that it has resolved is open.
func (m *member) tend(ctx context.Context) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	defer m.pours.Wait()
	orders, loose, stale := m.a.clock.mono(), false, false
	for {
		var decided <-chan struct{}
		if shared := m.a.store.shared.Load(); shared != nil {
			decided = shared.Decided()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-decided:
			stale = true
		}
		m.mu.Lock()
		role, answers := m.s.role, m.s.failed == 0
		m.mu.Unlock()
		shared := m.a.store.shared.Load()
		if shared == nil || role == alone || !answers && !stale { // it answered when something was decided, whatever became of a beat
			loose = false
			continue
		}
		began := m.a.clock.mono()
		err := m.look(ctx, shared, &loose)
		stale = stale && err != nil
		if err == nil && role == leader && m.a.judge.leads() { // before, lead takes them
			err = m.takeHandovers(ctx, shared, true)
		}
		if now := m.a.clock.mono(); err == nil && role == follower && now-orders >= ordersEvery {
			orders = now
			err = m.a.orders.load(ctx)
			m.a.judge.maintain(m.a.orders.spans)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrNotLeading) {
			m.log.Debug("the shared store could not be looked at", "err", err)
		}
		m.pourBeside(ctx, shared)
		select { // where much is decided it looks half the time
		case <-ctx.Done():
		case <-time.After(min(m.a.clock.mono()-began, restMost)):
		}
	}
}

// look reads what the leader committed last, and who is there.
func (m *member) look(ctx context.Context, shared *store.Store, loose *bool) error {
	ctx, cancel := context.WithTimeout(ctx, tendTimeout)
	defer cancel()
	ever, idle := m.a.writer.idle()
	snap, err := shared.Snapshot(ctx)
	if err != nil {
		return err
	}
	m.refuge.keep(snap)
	var open []incident.Incident
	for _, i := range snap.Incidents {
		if i.Open() {
			open = append(open, i)
		}
	}
	voters, err := shared.Voters(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.open = open
	m.known = vantages(voters, m.round)
	m.mu.Unlock()
	if later, still := m.a.writer.idle(); !idle || !still || later != ever || !m.a.judge.leads() {
		*loose = false
		return nil
	}
	// Every step is durable, so that the engine knows every open incident; but for one that a write of an earlier term stored late.
	known := m.a.judge.fresh().Incidents
	unknown := slices.ContainsFunc(open, func(i incident.Incident) bool {
		return !slices.ContainsFunc(known, func(o incident.Incident) bool { return o.ID == i.ID })
	})
	if later, _ := m.a.writer.idle(); unknown && *loose && later == ever {
		m.log.Warn("an open incident that this leader did not know is taken up")
		return m.a.judge.takeUp(open)
	}
	*loose = unknown
	return nil
}

// pourBeside brings the results of a time alone to the shared store, beside everything else: it may take minutes, or until the store is back.
func (m *member) pourBeside(ctx context.Context, shared *store.Store) {
	if m.a.store.spool.Load() == nil || !m.pouring.CompareAndSwap(false, true) {
		return
	}
	m.pours.Go(func() {
		defer m.pouring.Store(false)
		m.pour(ctx, shared)
	})
}

func (m *member) pour(ctx context.Context, shared *store.Store) {
	spool := m.a.store.spool.Load()
	if spool == nil {
		return
	}
	n, err := m.refuge.pour(ctx, spool, shared, func() bool { return !m.away() })
	switch {
	case errors.Is(err, errBrokenOff), err != nil && ctx.Err() != nil:
		return
	case err != nil:
		m.log.Warn("results of the time alone are not in the database yet; it is tried again", "results", n, "err", err)
		return
	}
	m.spools.Lock()
	defer m.spools.Unlock()
	if m.away() {
		return
	}
	m.a.store.spool.Store(nil)
	if err := m.refuge.dropSpool(spool); err != nil {
		m.log.Warn("the file of results of the time alone could not be removed", "err", err)
	}
	m.log.Info("results of the time alone are in the database", "results", n)
}

// vantages says the same in the page's words.
func vantages(voters []store.Voter, r store.Round) []web.Vantage {
	var list []web.Vantage
	for _, v := range voters {
		list = append(list, web.Vantage{Name: v.Name, Holder: v.Holder, Self: v.Name == r.Self, Alive: v.Alive, Leads: v.Leading, Beat: v.Beat})
	}
	return list
}
