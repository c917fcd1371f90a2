package agent

import (
	"context"
	"errors"
	"slices"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// handBack puts what was done alone before the leader.
func (m *member) handBack(ctx context.Context) {
	if !m.a.desksGone() {
		return // a call of its reconciler has not ended: what comes of it belongs to what is handed over
	}
	shared := m.a.store.shared.Load()
	ctx, cancel := context.WithTimeout(ctx, tendTimeout)
	defer cancel()
	list, err := m.refuge.handed(ctx)
	for i := range list {
		list[i].Offset = m.refuge.clock()
	}
	for part := range slices.Chunk(list, mostHanded) {
		if err == nil {
			err = shared.Handover(ctx, m.self(), part)
		}
	}
	if err == nil {
		err = m.refuge.clear(ctx)
	}
	if err != nil {
		m.log.Error("what this agent did alone could not be handed over; it is tried again", "incidents", len(list), "err", err)
		return
	}
	m.mu.Lock()
	m.s.handed()
	m.mu.Unlock()
	m.log.Info("what this agent did alone is handed over to whoever leads", "incidents", len(list))
}

// takeHandovers takes what others did alone; judged says that this agent's engine judges already.
func (m *member) takeHandovers(ctx context.Context, shared *store.Store, judged bool) error {
	waiting, err := shared.Handovers(ctx)
	if err != nil || len(waiting) == 0 {
		return err
	}
	for _, h := range inOrder(waiting) {
		t, err := m.weigh(ctx, shared, h, judged)
		if err != nil {
			return err
		}
		err = shared.Take(ctx, h, t)
		if errors.Is(err, incident.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		m.log.Info("an incident that an agent judged alone is taken over", "vantage", h.Voter, "incident", h.Incident.ID, "title", h.Incident.Title, "open", h.Incident.Open())
	}
	if !judged {
		return nil
	}
	open, err := shared.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents})
	if err == nil {
		err = m.a.judge.takeUp(open)
	}
	m.a.kick()
	return err
}

// weigh decides what becomes of a handover.
func (m *member) weigh(ctx context.Context, shared *store.Store, h store.Handover, judged bool) (store.Taken, error) {
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
	rows, err := shared.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents})
	if err != nil {
		return store.Taken{}, err
	}
	ahead := h.Offset - m.refuge.clock()
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
