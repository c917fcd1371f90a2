package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

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
	asked   []incident.Priority // by the calls of Open, doubles included
	mostly  int                 // most live cases of one key at any instant
	updates int
	strange int  // calls for a case under a key that is not its own
	coarse  bool // dates cases by the second, by identities that do not rise
	wrong   bool // a rule of the desk that keeps the priority at 4
	// a rule of the desk that keeps cases open
	stubborn bool
}

type fakeCase struct {
	desk.Case
	title, body, closing, winner string
	extra                        map[string]string
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
	default:
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
	c := &fakeCase{title: f.Title, body: f.Body, extra: f.Extra, Case: desk.Case{
		Ref: fmt.Sprint(n), Number: fmt.Sprintf("SOC-%d", n), Key: f.Key, State: incident.CaseNew, Priority: f.Priority, Created: time.Now(),
	}}
	if d.coarse {
		c.Ref, c.Created = fmt.Sprintf("%03d", 999-n), c.Created.Truncate(time.Second)
	}
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
	d.mu.Lock()
	d.asked = append(d.asked, f.Priority)
	d.mu.Unlock()
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

// under runs do on one case, which is asked for by the key that it was opened with.
func (d *fakeDesk) under(ctx context.Context, action, ref, key string, do func(*fakeCase)) error {
	var wrong error
	err := d.with(ctx, action, ref, func(c *fakeCase) {
		if c.Key != key {
			d.strange++
			wrong = fmt.Errorf("%s is no reference to the case %q", ref, key)
			return
		}
		do(c)
	})
	return cmp.Or(err, wrong)
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
	return d.under(ctx, "update", ref, f.Key, func(c *fakeCase) {
		d.updates++
		c.title = f.Title
		if !d.wrong {
			c.Priority = f.Priority
		}
		c.notes = append(c.notes, notes...)
	})
}

func (d *fakeDesk) Resolve(ctx context.Context, ref string, f desk.Fields, note string) error {
	return d.under(ctx, "resolve", ref, f.Key, func(c *fakeCase) {
		if c.State.Live() && !d.stubborn {
			c.State, c.closing = incident.CaseResolved, note
		}
	})
}

func (d *fakeDesk) Withdraw(ctx context.Context, ref, winner string) error {
	return d.with(ctx, "withdraw", ref, func(c *fakeCase) {
		if c.State.Live() { // an ended case is left as it is
			c.State, c.winner = incident.CaseWithdrawn, winner
		}
	})
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

// answer is what the customer writes into a case.
func (d *fakeDesk) answer(number, actor, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.cases {
		if c.Number == number {
			c.people = append(c.people, incident.Transition{At: time.Now(), Actor: actor, Text: text, Customer: true})
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
