package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// What is told of failures that last.
const (
	notHanded = "what this agent did alone could not be handed over; it is tried again"
	setAside  = "an incident that an agent judged alone cannot be taken over; it is tried again"
)

// errand is what waits for a write to the shared store, which ends no sooner than it is known whether it is stored, however long that takes:
// it has a goroutine of its own, so that the beats go on, and the agent judges alone if the store is away again.
type errand struct {
	done      chan struct{}
	err       error // once done is closed
	incidents int   // that are handed over
	stale     bool  // the agent judged alone again since it began: it has more to hand over
}

// over reports whether it ended; nil: there was none.
func (e *errand) over() bool {
	if e == nil {
		return true
	}
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// begin does what may wait; the beats look when it ended.
func (m *member) begin(do func() error) *errand {
	e := &errand{done: make(chan struct{})}
	m.errands.Go(func() {
		e.err = do()
		close(e.done)
		m.rouse()
	})
	return e
}

// handBack puts what was done alone before the leader: it begins that, or sees how it ended.
func (m *member) handBack(ctx context.Context) {
	h, err := m.handing, error(nil)
	if !h.over() {
		return
	}
	m.handing = nil
	switch {
	case h != nil && !h.stale:
		if err = h.err; err == nil {
			err = m.handedBack(ctx, h)
		}
	case m.lone().gone(): // otherwise what comes of a call of its reconciler belongs to what is handed over
		m.handing, err = m.handOver(ctx)
	}
	if err != nil {
		m.tell(slog.LevelError, notHanded, err)
	}
}

// lone returns the reconciler of the last time alone, ended; nil: there was none.
func (m *member) lone() *desking {
	if d := m.a.desks.Load(); d != nil && d.store == reconcile.Store(m.refuge.own) {
		d.cancel()
		m.desks = d // a reload may have put it in the place of another, after that was ended
	}
	return m.desks
}

// handOver begins to write what was done alone to the shared store. Neither does the agent judge alone meanwhile, nor does anything else change
// that; where it does after all, the errand is stale.
func (m *member) handOver(ctx context.Context) (*errand, error) {
	local, cancel := context.WithTimeout(ctx, tendTimeout)
	defer cancel()
	list, err := m.refuge.handed(local)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Offset = m.refuge.clock()
	}
	shared, self := m.a.store.shared.Load(), m.self()
	e := m.begin(func() error {
		ctx, cancel := context.WithTimeout(ctx, tendTimeout)
		defer cancel()
		for part := range slices.Chunk(list, mostHanded) {
			if err := shared.Handover(ctx, self, part); err != nil {
				return err
			}
		}
		return nil
	})
	e.incidents = len(list)
	return e, nil
}

// handedBack forgets what is in the shared store.
func (m *member) handedBack(ctx context.Context, h *errand) error {
	ctx, cancel := context.WithTimeout(ctx, tendTimeout)
	defer cancel()
	if err := m.refuge.clear(ctx); err != nil {
		return err
	}
	m.desks = nil
	m.mu.Lock()
	m.s.handed()
	m.mu.Unlock()
	m.tell(slog.LevelError, notHanded, nil)
	m.log.Info("what this agent did alone is handed over to whoever leads", "incidents", h.incidents)
	return nil
}

var errTaking = errors.New("what another agent did alone is being written to the database, which has not said yet that it is stored")

// takeFirst takes what others did alone before this agent judges. What takes too long is left to tend: meanwhile nobody judges.
func (m *member) takeFirst(ctx context.Context, shared *store.Store) error {
	m.taking = m.begin(func() error {
		within, cancel := context.WithTimeout(ctx, takeFor)
		defer cancel()
		err := m.takeHandovers(within, shared, false)
		if err == nil || within.Err() == nil || errors.Is(err, store.ErrNotLeading) {
			return err
		}
		m.log.Warn("what others did alone is taken over while this agent judges already", "err", err)
		return nil
	})
	select {
	case <-m.taking.done:
		return m.taking.err
	case <-ctx.Done():
		return errTaking
	}
}

// takeHandovers takes what others did alone; judged says that this agent's engine judges already. One that cannot be taken is set aside: the
// others are taken, and it is tried again the next time.
func (m *member) takeHandovers(ctx context.Context, shared *store.Store, judged bool) error {
	waiting, err := shared.Handovers(ctx)
	if err != nil {
		return err
	}
	if len(waiting) == 0 {
		m.tell(slog.LevelError, setAside, nil)
		return nil
	}
	var open []incident.Incident
	var aside error
	read := time.Duration(-1)
	for _, h := range inOrder(waiting) {
		if now := m.a.clock.mono(); read < 0 || now-read > openFor {
			if open, err = shared.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents}); err != nil {
				return err
			}
			read = now
		}
		t, err := m.weigh(ctx, shared, h, open, judged)
		if err == nil {
			err = shared.Take(ctx, h, t)
		}
		switch {
		case errors.Is(err, incident.ErrNotFound):
		case err != nil && (ctx.Err() != nil || unusable(err) || errors.Is(err, store.ErrNotLeading) || errors.Is(err, store.ErrDoubt) || errors.Is(err, store.ErrClosed)):
			return err
		case err != nil:
			aside = fmt.Errorf("incident %q of %s: %w", h.Incident.ID, h.Voter, err)
		default:
			open = with(open, t.Incidents)
			m.log.Info("an incident that an agent judged alone is taken over", "vantage", h.Voter, "incident", h.Incident.ID, "title", h.Incident.Title, "open", h.Incident.Open())
		}
	}
	m.tell(slog.LevelError, setAside, aside)
	if !judged {
		return nil
	}
	open, err = shared.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents})
	if err == nil {
		err = m.a.judge.takeUp(open)
	}
	m.a.kick()
	return err
}

// with returns the open incidents, newest first, after some were stored.
func with(open, stored []incident.Incident) []incident.Incident {
	for _, i := range stored {
		open = slices.DeleteFunc(open, func(o incident.Incident) bool { return o.ID == i.ID })
		if i.Open() {
			open = append(open, i)
		}
	}
	slices.SortStableFunc(open, func(a, b incident.Incident) int { return cmp.Or(b.Opened.Compare(a.Opened), cmp.Compare(b.ID, a.ID)) })
	return open
}

// weigh decides what becomes of a handover, by the shared store's open incidents.
func (m *member) weigh(ctx context.Context, shared *store.Store, h store.Handover, open []incident.Incident, judged bool) (store.Taken, error) {
	if h.Fault != nil {
		return store.Taken{}, h.Fault
	}
	with := func(i incident.Incident) (present, error) {
		cases, err := shared.Cases(ctx, i.ID)
		return present{i, cases}, err
	}
	var same *present
	row, err := shared.Incident(ctx, h.Incident.ID)
	switch {
	case err == nil:
		p, err := with(row)
		if err != nil {
			return store.Taken{}, err
		}
		same = &p
	case !errors.Is(err, incident.ErrNotFound):
		return store.Taken{}, err
	}
	rows, ahead := slices.Clone(open), h.Offset-m.refuge.clock()
	if !h.Incident.Open() {
		recent, err := shared.Incidents(ctx, store.IncidentFilter{Closed: true, Class: h.Incident.Class, From: h.Incident.Opened.Add(ahead - recently)})
		if err != nil {
			return store.Taken{}, err
		}
		rows = append(rows, recent...)
	}
	var others []present
	for _, i := range rows {
		if !sameFault(i, h.Incident) || i.Resolution == incident.Absorbed {
			continue
		}
		p, err := with(i)
		if err != nil {
			return store.Taken{}, err
		}
		others = append(others, p)
	}
	return taken(h.Handed, same, others, judged, ahead, m.a.clock.Now()), nil
}
