package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// Delivery is something that a desk or a person has not heard yet, and for how long.
type Delivery struct {
	incident.Delivery
	Age   time.Duration `json:"age"`             // since Since
	Quiet bool          `json:"quiet,omitempty"` // a notice that waits for its notifier's quiet hours to end
}

// How says how the delivery fares: "fails for 4 min", "waits for 3 s", "given up after 3 attempts".
func (d Delivery) How() string {
	switch {
	case d.GivenUp:
		return fmt.Sprintf("given up after %s", plural(d.Attempts, "attempt", "attempts"))
	case d.Attempts > 0:
		return "fails for " + span(d.Age)
	case d.Quiet:
		return "waits for quiet hours to end"
	}
	return "waits for " + span(d.Age)
}

// What says what is to be delivered: "update", "status 2".
func (d Delivery) What() string {
	if d.Action == string(incident.NoticeStatus) {
		return fmt.Sprintf("%s %d", d.Action, d.Seq)
	}
	return d.Action
}

// Why is the last error without the name that stands beside it.
func (d Delivery) Why() string {
	why := d.Error
	for _, prefix := range []string{fmt.Sprintf("desk %q: ", d.Desk), "desk " + d.Desk + ": ", fmt.Sprintf("notifier %q: ", d.Notifier), "notifier " + d.Notifier + ": "} {
		why = strings.TrimPrefix(why, prefix)
	}
	return why
}

// Case is a case with what it is about, where it stands against its service level, and what is still to be delivered.
type Case struct {
	incident.Case
	Title      string            `json:"title"`             // of its incident
	Asked      incident.Priority `json:"incident_priority"` // of its incident now
	Closed     time.Time         `json:"closed,omitzero"`   // when its incident was over
	Clock      sla.Clock         `json:"clock"`             // whoever reacted first at any desk has reacted
	Deliveries []Delivery        `json:"deliveries"`        // to its desk, and notices of its incident
}

// Cases is the answer of /api/v1/cases.
type Cases struct {
	At    time.Time `json:"at"`    // of the clocks and ages
	Cases []Case    `json:"cases"` // newest first; one that does not exist yet has no number
}

func (s *site) apiCases(r *http.Request) (any, error) {
	q := query{values: r.URL.Query()}
	live, limit := q.flag("open"), q.limit()
	if q.fault != nil {
		return nil, q.fault
	}
	all, err := s.Store.Cases(r.Context(), "")
	if err != nil {
		return nil, err
	}
	shown := slices.Clone(all)
	if live {
		shown = slices.DeleteFunc(shown, func(c incident.Case) bool {
			over := c.State == incident.CaseResolved || c.State == incident.CaseWithdrawn
			return c.Settled || over && c.Failures == 0
		})
	}
	answer := Cases{At: s.Now(), Cases: []Case{}}
	answer.Cases, err = s.about(r.Context(), all, shown[:min(limit, len(shown))], answer.At)
	return answer, err
}

// about puts beside the shown cases what is known of their incidents.
func (s *site) about(ctx context.Context, all, shown []incident.Case, now time.Time) ([]Case, error) {
	incidents := map[string]incident.Incident{}
	recent, err := s.Store.Incidents(ctx, store.IncidentFilter{Limit: maxLimit})
	if err != nil {
		return nil, err
	}
	for _, i := range recent {
		incidents[i.ID] = i
	}
	due, err := s.Store.Notices(ctx, "")
	if err != nil {
		return nil, err
	}
	notices, desks := map[string][]incident.Notice{}, map[string][]incident.Case{}
	for _, n := range due {
		notices[n.Incident] = append(notices[n.Incident], n)
	}
	for _, c := range all {
		desks[c.Incident] = append(desks[c.Incident], c)
	}
	rows := make([]Case, 0, len(shown))
	for _, c := range shown {
		i, ok := incidents[c.Incident]
		if !ok {
			if i, err = s.Store.Incident(ctx, c.Incident); err != nil && !errors.Is(err, incident.ErrNotFound) {
				return nil, err
			}
		}
		told := notices[c.Incident]
		if i.ID != "" && i.Open() { // what was given up too
			if told, err = s.Store.Notices(ctx, c.Incident); err != nil {
				return nil, err
			}
		}
		rows = append(rows, Case{
			Case: c, Title: cmp.Or(i.Title, c.Incident), Asked: i.Priority, Closed: i.Closed,
			Clock: s.clockOf(i, desks[c.Incident], now), Deliveries: s.deliveries(i, []incident.Case{c}, told, now),
		})
	}
	return rows, nil
}

// CaseStory is the answer of /api/v1/cases/{number}.
type CaseStory struct {
	At         time.Time         `json:"at"` // of the clock and the ages
	Case       incident.Case     `json:"case"`
	Incident   incident.Incident `json:"incident"`
	Clock      sla.Clock         `json:"clock"`
	Deliveries []Delivery        `json:"deliveries"`
}

func (s *site) apiCase(r *http.Request) (any, error) {
	ctx, number := r.Context(), r.PathValue("number")
	c, err := s.byNumber(ctx, number)
	if err != nil {
		return nil, missing(err, "case", bounded(number, 60))
	}
	st, err := s.story(ctx, c.Incident)
	if err != nil {
		return nil, err
	}
	answer := CaseStory{At: st.At, Case: c, Incident: st.Incident, Clock: st.Clock, Deliveries: []Delivery{}}
	for _, d := range st.Deliveries {
		if d.Desk == "" || d.Desk == c.Desk {
			answer.Deliveries = append(answer.Deliveries, d)
		}
	}
	return answer, nil
}

// byNumber returns the case with that number, or the one that followed it.
func (s *site) byNumber(ctx context.Context, number string) (incident.Case, error) {
	c, err := s.Store.CaseByNumber(ctx, number)
	if number == "" || !errors.Is(err, incident.ErrNotFound) {
		return c, err
	}
	all, failed := s.Store.Cases(ctx, "")
	if failed != nil {
		return c, failed
	}
	for _, c := range all {
		if slices.ContainsFunc(c.Earlier, func(e incident.EarlierCase) bool { return e.Number == number }) {
			return c, nil
		}
	}
	return c, err
}

// clockOf returns where an incident stands against its service level, by its cases at every desk: the first reaction at any of them is
// the reaction, and a hold at any of them is one.
func (s *site) clockOf(i incident.Incident, cases []incident.Case, now time.Time) sla.Clock {
	var whole incident.Case
	first := func(a, b time.Time) time.Time {
		if a.IsZero() || !b.IsZero() && b.Before(a) {
			return b
		}
		return a
	}
	for _, c := range cases {
		whole.Acknowledged, whole.Rectified = first(whole.Acknowledged, c.Acknowledged), first(whole.Rectified, c.Rectified)
		whole.Holds = append(whole.Holds, c.Holds...)
	}
	slices.SortStableFunc(whole.Holds, func(a, b incident.Hold) int { // what lasts comes last
		if a.To.IsZero() != b.To.IsZero() {
			if a.To.IsZero() {
				return 1
			}
			return -1
		}
		return a.From.Compare(b.From)
	})
	return s.Level.Clock(i, whole, now)
}

// deliveries returns what is still to be delivered of an incident.
func (s *site) deliveries(i incident.Incident, cases []incident.Case, notices []incident.Notice, now time.Time) []Delivery {
	all := []Delivery{}
	for _, d := range incident.Deliveries(i, cases, notices, now) {
		quiet := d.Notifier != "" && d.Attempts == 0 && s.Silent != nil && s.Silent(d.Notifier, i.Priority, now)
		all = append(all, Delivery{Delivery: d, Age: max(0, now.Sub(d.Since)), Quiet: quiet})
	}
	return all
}

// Reaction says how a case stands against its reaction time at that instant: "due in 12 min", "LATE by 5 min", "taken after 3 min", "nobody
// took it" when its incident is over; "" where no reaction time runs.
func Reaction(k sla.Clock, closed bool, at time.Time) string {
	switch {
	case k.Due.IsZero():
		return ""
	case !k.Reacted.IsZero() && k.Margin < 0:
		return "taken " + span(-k.Margin) + " LATE"
	case !k.Reacted.IsZero():
		return "taken after " + span(k.Reacted.Sub(k.Commencement))
	case closed:
		return "nobody took it"
	case k.Margin < 0:
		return "LATE by " + span(-k.Margin)
	}
	return "due in " + span(k.Due.Sub(at))
}

// Span writes a duration to at most two units, rounded down.
func Span(d time.Duration) string { return span(d) }
