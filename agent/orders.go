package agent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
)

const (
	// ordersBack is how long an order that is over is still shown.
	ordersBack = 30 * 24 * time.Hour
	// maxOrders bounds those in force at once.
	maxOrders = 200
)

// orders holds what people ordered for a time: maintenance now, and silence. An order is durable before it is followed. It is safe
// for concurrent use.
type orders struct {
	clock *clock
	store *books

	changing sync.Mutex // one change at a time
	mu       sync.Mutex
	all      []incident.Order // newest first
}

// load reads what is in force, and what was lately.
func (o *orders) load(ctx context.Context) error {
	all, err := o.store.Orders(ctx, o.clock.Now().Add(-ordersBack))
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = all
	return nil
}

// recall goes by what was in force when the store last answered: oldest first.
func (o *orders) recall(all []incident.Order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = slices.Clone(all)
	slices.Reverse(o.all)
}

// list returns them, newest first, less those that were over for long.
func (o *orders) list() []incident.Order {
	old := o.clock.Now().Add(-ordersBack)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = slices.DeleteFunc(o.all, func(k incident.Order) bool { return k.End().Before(old) })
	return slices.Clone(o.all)
}

// spans returns the maintenance that is in force or comes.
func (o *orders) spans() []policy.Span {
	now := o.clock.Now()
	var spans []policy.Span
	for _, k := range o.list() {
		if k.Kind == incident.OrderMaintenance && k.End().After(now) {
			spans = append(spans, policy.Span{Name: k.Reason, From: k.From, To: k.End(), Components: k.Components})
		}
	}
	return spans
}

// silenced returns the order by which nobody is told of an incident at that instant.
func (o *orders) silenced(i incident.Incident, customer bool, at time.Time) (incident.Order, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return incident.Silenced(o.all, i, customer, at)
}

// add makes an order durable and follows it.
func (o *orders) add(ctx context.Context, k incident.Order, open []incident.Incident) (incident.Order, error) {
	o.changing.Lock()
	defer o.changing.Unlock()
	now := o.clock.Now()
	inForce := 0
	for _, other := range o.list() {
		if other.Active(now) {
			inForce++
		}
	}
	if inForce >= maxOrders {
		return k, fmt.Errorf("%d orders are in force, which is the most: end some", inForce)
	}
	k.Until, k.From = now.Add(k.Until.Sub(k.From)), now
	kind, text := incident.EventSilenced, fmt.Sprintf("people are not told until %s: %s", k.Until.UTC().Format(untilLayout), k.Reason)
	if k.Kind == incident.OrderMaintenance {
		kind, text = incident.EventMaintenance, fmt.Sprintf("maintenance until %s: %s", k.Until.UTC().Format(untilLayout), k.Reason)
	}
	stored, err := o.store.AddOrder(ctx, k, eventsOf(k, open, kind, k.Actor, text, now)...)
	if err != nil {
		return k, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = slices.Insert(o.all, 0, stored)
	return stored, nil
}

const untilLayout = "2006-01-02 15:04 UTC"

// end ends an order before its time; the error wraps incident.ErrNotFound where none of that kind and id is known.
func (o *orders) end(ctx context.Context, kind incident.OrderKind, id int64, actor, reason string, open []incident.Incident) (incident.Order, error) {
	o.changing.Lock()
	defer o.changing.Unlock()
	all, now := o.list(), o.clock.Now()
	at := slices.IndexFunc(all, func(k incident.Order) bool { return k.ID == id && k.Kind == kind })
	if at < 0 {
		return incident.Order{}, fmt.Errorf("%s %d: %w", kind, id, incident.ErrNotFound)
	}
	k := all[at]
	if !k.Active(now) {
		return k, fmt.Errorf("%s %d ended %s already", kind, id, k.End().UTC().Format(untilLayout))
	}
	step, text := incident.EventUnsilenced, "people are told again"
	if kind == incident.OrderMaintenance {
		step, text = incident.EventMaintenance, "maintenance is over"
	}
	if reason != "" {
		text += ": " + reason
	}
	events := eventsOf(k, open, step, actor, text, now)
	k.Ended, k.EndedBy = now, actor
	if err := o.store.SaveOrder(ctx, k, events...); err != nil {
		return k, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if at = slices.IndexFunc(o.all, func(other incident.Order) bool { return other.ID == id }); at >= 0 {
		o.all[at] = k
	}
	return k, nil
}

// eventsOf returns the step for the timeline of every open incident that the order is about.
func eventsOf(k incident.Order, open []incident.Incident, kind incident.EventKind, actor, text string, now time.Time) []incident.Event {
	var events []incident.Event
	for _, i := range open {
		if k.Concerns(i) || k.Incident == i.ID {
			events = append(events, incident.Event{Incident: i.ID, At: now, Kind: kind, Actor: actor, Text: text, Priority: i.Priority})
		}
	}
	return events
}

// Order makes durable, and follows, what a person ordered: k's time from From to Until, counted from now. A silence of an incident
// holds at the priority that the incident has now.
func (a *Agent) Order(ctx context.Context, k incident.Order) (incident.Order, error) {
	if err := a.refused(); err != nil {
		return k, err
	}
	open := a.judge.fresh().Incidents
	if k.Incident != "" {
		at := slices.IndexFunc(open, func(i incident.Incident) bool { return i.ID == k.Incident })
		if at < 0 {
			return k, fmt.Errorf("incident %q: no open one: %w", k.Incident, incident.ErrNotFound)
		}
		k.Priority = open[at].Priority
	}
	stored, err := a.orders.add(ctx, k, open)
	if err == nil {
		a.follow(stored, "a person ordered "+string(stored.Kind))
	}
	return stored, err
}

// refused says why a person's order is not for this agent, or nil.
func (a *Agent) refused() error {
	if a.member == nil {
		return nil
	}
	return a.member.refused()
}

// EndOrder ends maintenance or silence before its time.
func (a *Agent) EndOrder(ctx context.Context, kind incident.OrderKind, id int64, actor, reason string) (incident.Order, error) {
	if err := a.refused(); err != nil {
		return incident.Order{}, err
	}
	k, err := a.orders.end(ctx, kind, id, actor, reason, a.judge.fresh().Incidents)
	if err == nil {
		a.follow(k, string(kind)+" was ended")
	}
	return k, err
}

// follow lets judgement and reconciler look again.
func (a *Agent) follow(k incident.Order, what string) {
	a.log.Info("an order of a person is followed", "what", what, "id", k.ID, "components", k.Components, "incident", k.Incident, "until", k.End(), "actor", cmp.Or(k.EndedBy, k.Actor))
	if k.Kind == incident.OrderMaintenance {
		a.judge.maintain(a.orders.spans)
	}
	a.kick()
}

// Orders returns what people ordered, newest first, in force or over for less than 30 days.
func (a *Agent) Orders() []incident.Order { return a.orders.list() }
