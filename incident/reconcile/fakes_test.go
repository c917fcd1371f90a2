package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/notify"
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
	down      error
}

func copied[T any](v T) T {
	switch v := any(&v).(type) {
	case *incident.Incident:
		v.Components, v.Detail = slices.Clone(v.Components), slices.Clone(v.Detail)
	case *incident.Case:
		v.Holds = slices.Clone(v.Holds)
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

func (m *memory) AppendEvents(_ context.Context, events ...incident.Event) error {
	return m.read(func() { m.append(events) })
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

func (s mortal) AppendEvents(ctx context.Context, events ...incident.Event) error {
	return s.write(func() error { return s.memory.AppendEvents(ctx, events...) })
}

// fault is what befalls one call.
type fault int

const (
	fine   fault = iota
	refuse       // an error, and nothing happened
	lose         // it happened, but the answer is lost
	fail         // an unknown outcome, and nothing happened
	hang         // no answer until the caller gives up
)

var errRefused = errors.New("desk fake: refused, 422")

// fakeDesk is a ticket system with faults.
type fakeDesk struct {
	can    desk.Capabilities
	faults func(action string, n int) fault // n counts the calls of an action from 1

	mu      sync.Mutex
	counts  map[string]int
	cases   []*fakeCase
	opens   []time.Time
	mostly  int // most live cases of one key at any instant
	updates int
	wrong   bool // a rule of the desk that keeps the priority at 4
}

type fakeCase struct {
	desk.Case
	title, body, closing, winner string
	notes                        []desk.Note
	people                       []incident.Transition
}

// act counts a call and makes its fault happen around do.
func (d *fakeDesk) act(ctx context.Context, action string, do func() error) error {
	d.mu.Lock()
	if d.counts == nil {
		d.counts = map[string]int{}
	}
	d.counts[action]++
	f := fine
	if d.faults != nil {
		f = d.faults(action, d.counts[action])
	}
	if f == hang {
		d.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	defer d.mu.Unlock()
	switch f {
	case refuse:
		return errRefused
	case fail:
		return fmt.Errorf("desk fake: 503 after 1.%d s: %w", d.counts[action], desk.ErrUnknownOutcome)
	}
	err := do()
	if f == lose {
		return fmt.Errorf("desk fake: connection reset: %w", desk.ErrUnknownOutcome)
	}
	return err
}

func (d *fakeDesk) Capabilities() desk.Capabilities { return d.can }

func (d *fakeDesk) Find(ctx context.Context, key string) (list []desk.Case, err error) {
	err = d.act(ctx, "find", func() error {
		for _, c := range d.cases {
			if c.Key == key && c.State != incident.CaseWithdrawn && !time.Now().Before(c.Created.Add(d.can.Lag)) {
				list = append(list, c.Case)
			}
		}
		return nil
	})
	if err != nil {
		list = nil
	}
	return list, err
}

// create makes a case, as the agent or somebody else does. The caller holds mu.
func (d *fakeDesk) create(f desk.Fields) *fakeCase {
	n := len(d.cases) + 1
	c := &fakeCase{title: f.Title, body: f.Body, Case: desk.Case{
		Ref: fmt.Sprint(n), Number: fmt.Sprintf("SOC-%d", n), Key: f.Key, State: incident.CaseNew, Priority: f.Priority, Created: time.Now(),
	}}
	if d.wrong {
		c.Priority = incident.P4
	}
	d.cases = append(d.cases, c)
	d.opens = append(d.opens, time.Now())
	d.mostly = max(d.mostly, len(d.live(f.Key)))
	return c
}

func (d *fakeDesk) live(key string) (list []*fakeCase) {
	for _, c := range d.cases {
		if c.Key == key && c.State.Live() {
			list = append(list, c)
		}
	}
	return list
}

func (d *fakeDesk) Open(ctx context.Context, f desk.Fields) (got desk.Case, err error) {
	err = d.act(ctx, "open", func() error {
		if n := slices.IndexFunc(d.cases, func(c *fakeCase) bool { return c.Key == f.Key }); d.can.DedupeOnCreate && n >= 0 {
			got = d.cases[n].Case
			return nil
		}
		got = d.create(f).Case
		return nil
	})
	if err != nil {
		got = desk.Case{}
	}
	return got, err
}

// with runs do on one case.
func (d *fakeDesk) with(ctx context.Context, action, ref string, do func(*fakeCase)) error {
	return d.act(ctx, action, func() error {
		for _, c := range d.cases {
			if c.Ref == ref {
				do(c)
				return nil
			}
		}
		return fmt.Errorf("desk fake: case %s: %w", ref, incident.ErrNotFound)
	})
}

func (d *fakeDesk) Get(ctx context.Context, ref string) (got desk.Case, err error) {
	err = d.with(ctx, "get", ref, func(c *fakeCase) { got = c.Case })
	return got, err
}

func (d *fakeDesk) Update(ctx context.Context, ref string, f desk.Fields, notes []desk.Note) error {
	return d.with(ctx, "update", ref, func(c *fakeCase) {
		d.updates++
		c.title = f.Title
		if !d.wrong {
			c.Priority = f.Priority
		}
		c.notes = append(c.notes, notes...)
	})
}

func (d *fakeDesk) Resolve(ctx context.Context, ref string, _ desk.Fields, note string) error {
	return d.with(ctx, "resolve", ref, func(c *fakeCase) {
		if c.State.Live() {
			c.State, c.closing = incident.CaseResolved, note
		}
	})
}

func (d *fakeDesk) Withdraw(ctx context.Context, ref, winner string) error {
	return d.with(ctx, "withdraw", ref, func(c *fakeCase) { c.State, c.winner = incident.CaseWithdrawn, winner })
}

func (d *fakeDesk) Transitions(ctx context.Context, ref string, since time.Time) (list []incident.Transition, err error) {
	err = d.with(ctx, "transitions", ref, func(c *fakeCase) {
		for _, t := range c.people {
			if t.At.After(since) {
				list = append(list, t)
			}
		}
	})
	return list, err
}

// person does something to a case.
func (d *fakeDesk) person(number, actor string, to incident.CaseState, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.cases {
		if c.Number == number {
			c.people = append(c.people, incident.Transition{At: time.Now(), Actor: actor, To: to, Text: text})
			if to != "" {
				c.State = to
			}
		}
	}
}

// only returns the desk's one case.
func (d *fakeDesk) only(t *testing.T) *fakeCase {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.cases) != 1 {
		t.Fatalf("the desk has %d cases, want 1", len(d.cases))
	}
	return d.cases[0]
}

// mortalDesk is a desk whose caller may die behind each call that changes something.
type mortalDesk struct {
	*fakeDesk
	life *death
}

func (d mortalDesk) Open(ctx context.Context, f desk.Fields) (c desk.Case, err error) {
	if dead := d.life.step(func() { c, err = d.fakeDesk.Open(ctx, f) }); dead != nil {
		return desk.Case{}, dead
	}
	return c, err
}

func (d mortalDesk) Update(ctx context.Context, ref string, f desk.Fields, notes []desk.Note) (err error) {
	return cmp.Or(d.life.step(func() { err = d.fakeDesk.Update(ctx, ref, f, notes) }), err)
}

func (d mortalDesk) Resolve(ctx context.Context, ref string, f desk.Fields, note string) (err error) {
	return cmp.Or(d.life.step(func() { err = d.fakeDesk.Resolve(ctx, ref, f, note) }), err)
}

func (d mortalDesk) Withdraw(ctx context.Context, ref, winner string) (err error) {
	return cmp.Or(d.life.step(func() { err = d.fakeDesk.Withdraw(ctx, ref, winner) }), err)
}

// fakeNotifier keeps what it was given.
type fakeNotifier struct {
	faults func(n int) fault
	life   *death

	mu   sync.Mutex
	n    int
	sent []notify.Message
	at   []time.Time
}

func (f *fakeNotifier) Send(ctx context.Context, m notify.Message) (string, error) {
	f.mu.Lock()
	f.n++
	what := fine
	if f.faults != nil {
		what = f.faults(f.n)
	}
	f.mu.Unlock()
	switch what {
	case hang:
		<-ctx.Done()
		return "", ctx.Err()
	case refuse, fail:
		return "", fmt.Errorf("notifier fake: connection refused, port %d", 40000+f.n)
	}
	if err := f.life.step(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.sent, f.at = append(f.sent, m), append(f.at, time.Now())
	}); err != nil {
		return "", err
	}
	if what == lose {
		return "", errors.New("notifier fake: the answer is lost")
	}
	return fmt.Sprintf("250 queued as %d", f.n), nil
}

// kinds returns what was sent, in order, as "opened status-1 ...", each message once.
func (f *fakeNotifier) kinds() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	seen := map[string]bool{}
	for _, m := range f.sent {
		if seen[m.ID] {
			continue
		}
		seen[m.ID] = true
		kind := string(m.Kind)
		if m.Kind == incident.NoticeStatus {
			kind += m.ID[strings.LastIndexByte(m.ID, '.'):]
		}
		list = append(list, kind)
	}
	return strings.Join(list, " ")
}

// world is everything around a reconciler.
type world struct {
	t        *testing.T
	store    *memory
	soc      *fakeDesk
	customer *fakeNotifier
	oncall   *fakeNotifier
	o        Options
	life     *Reconciler
	stop     func()
}

var person = incident.Contact{Name: "ACME IT service desk", Email: "it@acme.example", Phone: "+45 00 00 00 00"}

// newWorld returns a world with one desk that can do everything and two notifiers.
func newWorld(t *testing.T) *world {
	w := &world{
		t: t, store: &memory{}, customer: &fakeNotifier{}, oncall: &fakeNotifier{},
		soc: &fakeDesk{can: desk.Capabilities{Find: true, ReadBack: true, Transitions: true}},
	}
	zone, err := time.LoadLocation("Europe/Copenhagen")
	if err != nil {
		t.Fatal(err)
	}
	w.o = Options{
		Store: w.store, Desks: []Desk{{"soc", w.soc}},
		Notifiers: []Notifier{
			{Name: "mail", Notifier: w.customer, To: []Recipient{{RoleCustomer, person}}},
			{Name: "chat", Notifier: w.oncall},
		},
		Tenant: Tenant{ID: "acme", Name: "ACME A/S", Zone: zone, Customer: person}, Centre: Centre{"Operations Centre", "+45 33 36 63 00"},
		StatusFor: []incident.Priority{incident.P1, incident.P2, incident.P3}, Version: "1.0.0", Vantage: "aks-westeurope",
		Jitter: func() float64 { return 0.5 },
	}
	return w
}

// run starts a life of the agent.
func (w *world) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	w.life = New(w.o)
	r := w.life
	go func() { defer close(done); r.Run(ctx) }()
	w.stop = func() { cancel(); <-done }
}

// wait lets time pass and everything settle at its end.
func (w *world) wait(d time.Duration) {
	for _, mu := range []*sync.Mutex{&w.store.mu, &w.soc.mu, &w.customer.mu, &w.oncall.mu} {
		mu.Lock() // what the test has read so far happens before what is written from here on
		mu.Unlock()
	}
	<-time.After(d) // the bubble's clock: no real time passes
	synctest.Wait()
}

// commit is a step of the engine.
func (w *world) commit(i incident.Incident, kind incident.EventKind, text string) {
	i.Updated = time.Now()
	w.store.mu.Lock()
	w.store.incidents = slices.DeleteFunc(w.store.incidents, func(o incident.Incident) bool { return o.ID == i.ID })
	w.store.incidents = append(w.store.incidents, copied(i))
	w.store.append([]incident.Event{{Incident: i.ID, At: time.Now(), Kind: kind, Actor: incident.ActorAgent, Text: text, Priority: i.Priority}})
	w.store.mu.Unlock()
	if w.life != nil {
		w.life.Kick()
	}
}

// outage opens an incident that began six seconds ago.
func (w *world) outage(root string, p incident.Priority) incident.Incident {
	now := time.Now().UTC()
	i := incident.Incident{
		ID: incident.Key("acme", incident.Availability, root, now.Add(-6*time.Second)), Tenant: "acme", Class: incident.Availability, Root: root, Components: []string{root},
		Priority: p, Highest: p, Reason: "timeout", Title: root + " is inaccessible", Why: "a non-redundant server application or functionality is inaccessible: " + root,
		Detail:  []string{root + "/http: outage since 10:15:00: no answer within 5 s, 4 of 4 runs"},
		Started: now.Add(-6 * time.Second), Opened: now, Commencement: now, ReactionDue: now.Add(time.Hour),
	}
	w.commit(i, incident.EventOpened, i.Title)
	return i
}

func (w *world) raise(i incident.Incident, p incident.Priority) incident.Incident {
	i.Priority, i.Highest = p, p
	w.commit(i, incident.EventRaised, "to "+p.String())
	return i
}

// recover closes an incident that has been good for two seconds.
func (w *world) recover(i incident.Incident) incident.Incident {
	i.Ended, i.Closed, i.Resolution = time.Now().Add(-2*time.Second), time.Now(), incident.Recovered
	w.commit(i, incident.EventResolved, "measured good again")
	return i
}

func (w *world) theCase(id, desk string) incident.Case {
	cases, err := w.store.Cases(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return caseAt(cases, desk)
}

// settled fails the test unless everything about the incident is done.
func (w *world) settled(id string) {
	w.t.Helper()
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, i := range w.store.incidents {
		if i.ID == id && w.store.unsettled(i) {
			w.t.Errorf("incident %s is not settled: cases %+v", id, w.store.cases)
		}
	}
	for _, n := range w.store.notices {
		if n.State == incident.NoticeSent && n.Proof == "" {
			w.t.Errorf("notice %s was sent without proof", n.ID)
		}
	}
}

// events returns the incident's timeline as kinds.
func (w *world) events(id string, only ...incident.EventKind) string {
	list, err := w.store.Timeline(context.Background(), id, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	var kinds []string
	for _, e := range list {
		if len(only) == 0 || slices.Contains(only, e.Kind) {
			kinds = append(kinds, string(e.Kind)+"("+e.Actor+")")
		}
	}
	return strings.Join(kinds, " ")
}
