package incident

import (
	"slices"
	"time"
)

// OrderKind tells apart what a person may order for a time.
type OrderKind string

// The kinds of order.
const (
	OrderMaintenance OrderKind = "maintenance" // no case is opened for what is covered; measuring goes on
	OrderSilence     OrderKind = "silence"     // people are not told; incidents and cases go on
)

// Order is what a person ordered for a time. It is durable before it is followed, and neither kind ever suppresses a close. The zero
// value is in force at no instant.
type Order struct {
	ID         int64     `json:"id"` // set by the store, rising
	Kind       OrderKind `json:"kind"`
	Components []string  `json:"components,omitempty"` // empty: all, or what Incident says
	Incident   string    `json:"incident,omitempty"`   // of a silence: only that incident
	Priority   Priority  `json:"priority,omitempty"`   // of a silence of one incident: its priority then; people are told when it rises above
	Customer   bool      `json:"customer,omitempty"`   // of a silence: the customer's mails are held back too
	From       time.Time `json:"from"`
	Until      time.Time `json:"until"` // when it ends by itself
	Actor      string    `json:"actor"`
	Reason     string    `json:"reason"`
	Ended      time.Time `json:"ended,omitzero"` // by a person, before Until
	EndedBy    string    `json:"ended_by,omitempty"`
}

// End returns when the order ends or ended.
func (o Order) End() time.Time {
	if !o.Ended.IsZero() && o.Ended.Before(o.Until) {
		return o.Ended
	}
	return o.Until
}

// Active reports whether the order is in force at that instant.
func (o Order) Active(at time.Time) bool { return !at.Before(o.From) && at.Before(o.End()) }

// Covers reports whether the order is about that component.
func (o Order) Covers(component string) bool {
	return o.Incident == "" && (len(o.Components) == 0 || slices.Contains(o.Components, component))
}

// Concerns reports whether the order is about that incident: of components, when it is about every one of the incident's, so that
// silence about one never hides another.
func (o Order) Concerns(i Incident) bool {
	if o.Incident != "" {
		return o.Incident == i.ID && !i.Priority.Above(o.Priority)
	}
	return !slices.ContainsFunc(i.Components, func(c string) bool { return !o.Covers(c) }) && (len(i.Components) > 0 || len(o.Components) == 0)
}

// Silenced returns the order by which nobody is told of the incident at that instant; of the customer only one that says so.
func Silenced(orders []Order, i Incident, customer bool, at time.Time) (Order, bool) {
	for _, o := range orders {
		if o.Kind == OrderSilence && o.Active(at) && o.Concerns(i) && (o.Customer || !customer) {
			return o, true
		}
	}
	return Order{}, false
}
