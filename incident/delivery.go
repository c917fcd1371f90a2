package incident

import (
	"cmp"
	"slices"
	"time"
)

// The actions of deliveries to desks. That of a notice is its kind.
const (
	DeliverCreate  = "create"  // the case does not exist yet
	DeliverUpdate  = "update"  // what is new is not in the case yet, or what people did there is not read
	DeliverReopen  = "reopen"  // people resolved it, and the fault lasts
	DeliverResolve = "resolve" // the incident is over, and the case is not
)

// Delivery is something that a desk or a person has not heard yet.
type Delivery struct {
	Incident string    `json:"incident"`
	Desk     string    `json:"desk,omitempty"`     // the desk's name; "" for a notice
	Notifier string    `json:"notifier,omitempty"` // the notifier's name; "" for a case
	Number   string    `json:"number,omitempty"`   // of the case; "" while it has none, and for a notice
	Action   string    `json:"action"`             // DeliverCreate and so on, or a NoticeKind
	Seq      int       `json:"seq,omitempty"`      // of a notice
	Since    time.Time `json:"since"`              // since when it should have been delivered
	Attempts int       `json:"attempts"`           // that failed in a row
	Error    string    `json:"last_error,omitempty"`
	NextTry  time.Time `json:"next_try,omitzero"`
	GivenUp  bool      `json:"given_up,omitempty"` // it is not tried again
}

// Deliveries returns what is still to be delivered of an incident at now, what has waited longest first: its cases that are not as they
// should be, notices that are due, and those that were given up.
func Deliveries(i Incident, cases []Case, notices []Notice, now time.Time) []Delivery {
	var all []Delivery
	for _, c := range cases {
		if d, ok := c.Delivery(i); ok {
			all = append(all, d)
		}
	}
	for _, n := range notices {
		if n.State == NoticeFailed || n.State == NoticeDue && !n.Due.After(now) {
			all = append(all, Delivery{
				Incident: i.ID, Notifier: n.Notifier, Action: string(n.Kind), Seq: n.Seq, Since: n.Due,
				Attempts: n.Failures, Error: n.LastError, NextTry: n.NextTry, GivenUp: n.State == NoticeFailed,
			})
		}
	}
	for k := range all {
		if all[k].GivenUp {
			all[k].NextTry = time.Time{}
		}
	}
	slices.SortStableFunc(all, func(a, b Delivery) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Desk, b.Desk)) })
	return all
}

// Delivery returns what the desk of the incident's case has not heard yet; false when it is as it should be, or nothing is left but to
// wait: for the time at which the case is resolved, or for people to resolve it.
func (c Case) Delivery(i Incident) (Delivery, bool) {
	d := Delivery{Incident: i.ID, Desk: c.Desk, Number: c.Number, Attempts: c.Failures, Error: c.LastError, NextTry: c.NextTry}
	over := c.State == CaseResolved || c.State == CaseWithdrawn
	switch {
	case c.Settled:
		return Delivery{}, false
	case c.State == CaseWanted:
		d.Action, d.Since = DeliverCreate, i.Opened
		if n := len(c.Earlier); n > 0 && c.Earlier[n-1].Resolved.After(d.Since) {
			d.Since = c.Earlier[n-1].Resolved
		}
		return d, true
	case !i.Open():
		d.Action, d.Since = DeliverResolve, i.Closed
		return d, c.Failures > 0 || !over && c.GoodNoted.IsZero()
	}
	d.Action, d.Since = DeliverUpdate, c.FailingSince
	if over {
		d.Action = DeliverReopen
	}
	if d.Since.IsZero() { // a row of an earlier version does not say
		d.Since = i.Updated
	}
	return d, c.Failures > 0
}
