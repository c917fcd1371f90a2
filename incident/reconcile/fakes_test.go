package reconcile

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// death kills a process after its k-th step: nothing that it does later has any effect.
type death struct {
	mu    sync.Mutex
	after int // 0: never
	steps int
	dead  bool
	kill  context.CancelFunc
}

var errDead = errors.New("the process is dead")

// step runs one step that has an effect, unless the process is dead, and kills it behind the last one.
func (d *death) step(do func()) error {
	if d == nil {
		do()
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	do()
	d.steps++
	if d.steps == d.after {
		d.dead = true
		d.kill()
		return errDead
	}
	return nil
}

// memory is a store in memory. What it returns shares nothing with it.
type memory struct {
	mu        sync.Mutex
	seq       int64
	incidents []incident.Incident
	events    []incident.Event
	cases     []incident.Case
	notices   []incident.Notice
	evidence  []incident.Evidence
	down      error
}

func copied[T any](v T) T {
	switch v := any(&v).(type) {
	case *incident.Incident:
		v.Components, v.Detail = slices.Clone(v.Components), slices.Clone(v.Detail)
	case *incident.Case:
		v.Holds, v.Attached = slices.Clone(v.Holds), slices.Clone(v.Attached)
	}
	return v
}

func (m *memory) read(do func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return m.down
	}
	do()
	return nil
}

func (m *memory) Incidents(_ context.Context, f store.IncidentFilter) (list []incident.Incident, err error) {
	return list, m.read(func() {
		for _, i := range slices.Backward(m.incidents) {
			if (!f.Unsettled || m.unsettled(i)) && len(list) < cmp.Or(f.Limit, 100) {
				list = append(list, copied(i))
			}
		}
	})
}

func (m *memory) unsettled(i incident.Incident) bool {
	return i.Open() ||
		slices.ContainsFunc(m.cases, func(c incident.Case) bool { return c.Incident == i.ID && !c.Settled }) ||
		slices.ContainsFunc(m.notices, func(n incident.Notice) bool { return n.Incident == i.ID && n.State == incident.NoticeDue })
}

func (m *memory) Incident(_ context.Context, id string) (found incident.Incident, err error) {
	err = incident.ErrNotFound
	if down := m.read(func() {
		for _, i := range m.incidents {
			if i.ID == id {
				found, err = copied(i), nil
			}
		}
	}); down != nil {
		return found, down
	}
	return found, err
}

func (m *memory) Timeline(_ context.Context, id string, after int64) (list []incident.Event, err error) {
	return list, m.read(func() {
		for _, e := range m.events {
			if e.Incident == id && e.Seq > after {
				list = append(list, copied(e))
			}
		}
	})
}

func (m *memory) append(events []incident.Event) {
	for _, e := range events {
		m.seq++
		e.Seq = m.seq
		m.events = append(m.events, copied(e))
	}
}

func (m *memory) Cases(_ context.Context, id string) (list []incident.Case, err error) {
	return list, m.read(func() {
		for _, c := range m.cases {
			if id == "" || c.Incident == id {
				list = append(list, copied(c))
			}
		}
	})
}

func (m *memory) SaveCase(_ context.Context, c incident.Case, events ...incident.Event) error {
	return m.read(func() {
		m.append(events)
		m.cases = slices.DeleteFunc(m.cases, func(o incident.Case) bool { return o.Incident == c.Incident && o.Desk == c.Desk })
		m.cases = append(m.cases, copied(c))
	})
}

func (m *memory) Notices(_ context.Context, id string) (list []incident.Notice, err error) {
	return list, m.read(func() {
		for _, n := range m.notices {
			if n.Incident == id || id == "" && n.State == incident.NoticeDue {
				list = append(list, copied(n))
			}
		}
		slices.SortStableFunc(list, func(a, b incident.Notice) int { return a.Due.Compare(b.Due) })
	})
}

func (m *memory) AddNotices(_ context.Context, add ...incident.Notice) error {
	return m.read(func() {
		for _, n := range add {
			if !slices.ContainsFunc(m.notices, func(o incident.Notice) bool { return o.ID == n.ID }) {
				m.notices = append(m.notices, copied(n))
			}
		}
	})
}

func (m *memory) SaveNotice(_ context.Context, n incident.Notice, events ...incident.Event) error {
	return m.read(func() {
		m.append(events)
		m.notices = slices.DeleteFunc(m.notices, func(o incident.Notice) bool { return o.ID == n.ID })
		m.notices = append(m.notices, copied(n))
	})
}

func (m *memory) Evidence(_ context.Context, id string) (found incident.Evidence, err error) {
	err = incident.ErrNotFound
	if down := m.read(func() {
		for _, e := range m.evidence {
			if e.Incident == id {
				found, err = e, nil
			}
		}
	}); down != nil {
		return found, down
	}
	return found, err
}

func (m *memory) EvidenceFile(ctx context.Context, id, name string) (incident.EvidenceFile, error) {
	e, err := m.Evidence(ctx, id)
	for _, f := range e.Files {
		if f.Name == name {
			return f, err
		}
	}
	return incident.EvidenceFile{}, cmp.Or(err, incident.ErrNotFound)
}

// mortal is a store of which the process may die behind each write.
type mortal struct {
	*memory
	life *death
}

func (s mortal) write(do func() error) error {
	var err error
	if dead := s.life.step(func() { err = do() }); dead != nil {
		return dead
	}
	return err
}

func (s mortal) SaveCase(ctx context.Context, c incident.Case, events ...incident.Event) error {
	return s.write(func() error { return s.memory.SaveCase(ctx, c, events...) })
}

func (s mortal) AddNotices(ctx context.Context, n ...incident.Notice) error {
	return s.write(func() error { return s.memory.AddNotices(ctx, n...) })
}

func (s mortal) SaveNotice(ctx context.Context, n incident.Notice, events ...incident.Event) error {
	return s.write(func() error { return s.memory.SaveNotice(ctx, n, events...) })
}
