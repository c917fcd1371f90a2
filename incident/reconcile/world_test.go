package reconcile

import (
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
)

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
	default:
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
		Store: w.store, Desks: []Desk{{Name: "soc", Desk: w.soc}},
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
		mu.Lock()
		mu.Unlock() //nolint:staticcheck // what the test has read so far happens before what is written from here on
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

func (w *world) theCaseIn(s Store, id string) incident.Case {
	cases, err := s.Cases(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return caseAt(cases, "soc")
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
