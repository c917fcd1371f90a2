package webtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// Change changes the fake's fields while it is used.
func (f *Fake) Change(change func()) {
	f.state.Lock()
	defer f.state.Unlock()
	change()
}

func (f *Fake) reading() (done func()) {
	f.state.RLock()
	return f.state.RUnlock
}

func (f *Fake) cases() []incident.Case {
	defer f.reading()()
	return slices.Clone(f.Desk)
}

// work does to a case what an operator asked for.
func (f *Fake) work(number string, action desk.Action, actor, reason string) {
	for n := range f.Desk {
		c := &f.Desk[n]
		if c.Number != number {
			continue
		}
		kind := incident.EventNote
		switch action {
		case desk.Acknowledge:
			c.State, c.Acknowledged, c.AcknowledgedBy, kind = incident.CaseAcknowledged, f.Now, actor, incident.EventAcknowledged
		case desk.Hold:
			c.State, c.Holds, kind = incident.CaseHeld, append(slices.Clone(c.Holds), incident.Hold{From: f.Now, Reason: reason, Actor: actor}), incident.EventHeld
		case desk.Resume:
			c.State, c.Holds, kind = incident.CaseAcknowledged, slices.Clone(c.Holds), incident.EventResumed
			for h := range c.Holds {
				if c.Holds[h].To.IsZero() {
					c.Holds[h].To = f.Now
				}
			}
		case desk.Resolve:
			c.State, c.Resolved, c.ResolvedBy, kind = incident.CaseResolved, f.Now, actor, incident.EventCaseResolved
		default:
		}
		f.Events[c.Incident] = append(slices.Clone(f.Events[c.Incident]), incident.Event{
			Seq: int64(1000 + len(f.Events[c.Incident])), Incident: c.Incident, At: f.Now, Kind: kind, Actor: actor, Text: reason,
		})
	}
}

// Order implements web.Agent.
func (f *Fake) Order(_ context.Context, o incident.Order) (incident.Order, error) {
	defer f.state.Unlock()
	f.state.Lock()
	if f.ActErr != nil {
		return o, f.ActErr
	}
	if o.Incident != "" {
		at := slices.IndexFunc(f.Seen.Incidents, func(i incident.Incident) bool { return i.ID == o.Incident })
		if at < 0 {
			return o, fmt.Errorf("incident %q: no open one: %w", o.Incident, incident.ErrNotFound)
		}
		o.Priority = f.Seen.Incidents[at].Priority
	}
	o.ID = int64(len(f.Ordered) + 1)
	f.Ordered = append([]incident.Order{o}, f.Ordered...)
	f.maintain()
	return o, nil
}

// maintain lets the view say what is in maintenance.
func (f *Fake) maintain() {
	f.Seen.Components = slices.Clone(f.Seen.Components)
	for n := range f.Seen.Components {
		c := &f.Seen.Components[n]
		c.Maintenance, c.Maintained = "", time.Time{}
		for _, o := range f.Ordered {
			if o.Kind == incident.OrderMaintenance && o.Active(f.Now) && o.Covers(c.Name) {
				c.Maintenance, c.Maintained = o.Reason, o.End()
			}
		}
	}
}

// EndOrder implements web.Agent.
func (f *Fake) EndOrder(_ context.Context, kind incident.OrderKind, id int64, actor, _ string) (incident.Order, error) {
	defer f.state.Unlock()
	f.state.Lock()
	at := slices.IndexFunc(f.Ordered, func(o incident.Order) bool { return o.ID == id && o.Kind == kind })
	if at < 0 {
		return incident.Order{}, fmt.Errorf("%s %d: %w", kind, id, incident.ErrNotFound)
	}
	f.Ordered = slices.Clone(f.Ordered)
	f.Ordered[at].Ended, f.Ordered[at].EndedBy = f.Now, actor
	f.maintain()
	return f.Ordered[at], nil
}

// Orders implements web.Agent.
func (f *Fake) Orders() []incident.Order {
	defer f.reading()()
	return slices.Clone(f.Ordered)
}

// Maintenance implements web.Agent.
func (f *Fake) Maintenance(from, to time.Time) []policy.Span {
	defer f.reading()()
	all := slices.Clone(f.Windows)
	for _, o := range f.Ordered {
		if o.Kind == incident.OrderMaintenance {
			all = append(all, policy.Span{Name: o.Reason, From: o.From, To: o.End(), Components: o.Components})
		}
	}
	return slices.DeleteFunc(all, func(s policy.Span) bool { return !s.From.Before(to) || !s.To.After(from) })
}

// CountIncidents implements web.Reader.
func (f *Fake) CountIncidents(_ context.Context, q store.IncidentFilter) (n int, err error) {
	defer f.reading()()
	for _, i := range f.Told {
		if f.selected(q, i) {
			n++
		}
	}
	return n, f.StoreErr
}

// Rollups implements web.Reader.
func (f *Fake) Rollups(_ context.Context, probe string, from, to time.Time) ([]store.Rollup, error) {
	defer f.reading()()
	var all []store.Rollup
	for _, h := range f.Hours[probe] {
		if !h.Hour.Before(from) && h.Hour.Before(to) {
			all = append(all, h)
		}
	}
	return all, f.StoreErr
}

// selected reports whether a filter selects an incident.
func (f *Fake) selected(q store.IncidentFilter, i incident.Incident) bool {
	switch {
	case q.Open && !i.Open(), q.Closed && i.Open(), q.Unsettled && !f.unsettled(i),
		q.Component != "" && !slices.Contains(i.Components, q.Component),
		!q.Before.IsZero() && !i.Opened.Before(q.Before), !q.From.IsZero() && i.Opened.Before(q.From),
		q.Highest != incident.NoPriority && i.Highest != q.Highest, q.Class != "" && i.Class != q.Class, q.Resolution != "" && i.Resolution != q.Resolution:
		return false
	}
	if q.Text == "" {
		return true
	}
	words := []string{i.ID, i.Title, i.Widest, i.Reason, strings.Join(i.Components, " ")}
	for _, c := range f.Desk {
		if c.Incident == i.ID {
			words = append(words, c.Number)
		}
	}
	return strings.Contains(strings.ToLower(strings.Join(words, "\n")), strings.ToLower(q.Text))
}
