package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// Bounds on what one call of the API returns.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxTimeline  = 1000
)

// Status is the answer of /api/v1/status.
type Status struct {
	Headline  Headline            `json:"headline"`
	Tenant    string              `json:"tenant"`
	TimeZone  string              `json:"time_zone"` // the tenant's, in which the headline's times stand
	At        time.Time           `json:"at"`        // of the view
	Outcome   probes.Outcome      `json:"outcome"`
	Blind     bool                `json:"blind"`
	Incidents []incident.Incident `json:"incidents"` // open ones, most urgent first
	Health    Health              `json:"health"`
	Version   string              `json:"version"`
}

func (s *site) apiStatus(r *http.Request) (any, error) {
	n := s.look(r.Context(), 1)
	return Status{
		Headline: n.headline(), Tenant: n.view.Tenant, TimeZone: s.Zone.String(), At: n.view.At, Outcome: n.view.Outcome, Blind: n.view.Blind,
		Incidents: list(n.open), Health: n.health, Version: s.Version,
	}, nil
}

// Components is the answer of /api/v1/components.
type Components struct {
	At         time.Time              `json:"at"`
	Components []engine.ComponentView `json:"components"`
	Witnesses  []engine.ProbeView     `json:"witnesses"`
	Probes     []ProbeInfo            `json:"probes"` // what the configuration says of each
}

func (s *site) apiComponents(*http.Request) (any, error) {
	v := s.Agent.View()
	answer := Components{At: v.At, Components: list(v.Components), Witnesses: list(v.Witnesses), Probes: []ProbeInfo{}}
	for p := range probesOf(v) {
		if info, ok := s.Agent.Info(p.ID); ok {
			answer.Probes = append(answer.Probes, info)
		}
	}
	return answer, nil
}

// Results is the answer of /api/v1/results.
type Results struct {
	Results []probes.Result `json:"results"` // oldest first
}

func (s *site) apiResults(r *http.Request) (any, error) {
	q := query{values: r.URL.Query()}
	probe, now := q.text("probe"), s.Now()
	from, to := q.time("from", now.Add(-24*time.Hour)), q.time("to", now)
	limit := q.limit()
	if probe == "" {
		q.fail("probe", "is missing", "GET /api/v1/components lists the probes' ids")
	}
	if to.Before(from) {
		q.fail("to", "lies before from", "")
	}
	if q.fault != nil {
		return nil, q.fault
	}
	results, err := s.Store.Results(r.Context(), probe, from, to, limit)
	return Results{list(results)}, err
}

// Incidents is the answer of /api/v1/incidents.
type Incidents struct {
	Incidents []incident.Incident `json:"incidents"`        // newest first
	Before    *time.Time          `json:"before,omitempty"` // where older ones follow: the next call's before
}

func (s *site) apiIncidents(r *http.Request) (any, error) {
	q := query{values: r.URL.Query()}
	f := q.incidents(s.Zone)
	f.Limit = q.limit()
	if q.fault != nil {
		return nil, q.fault
	}
	incidents, before, err := s.history(r.Context(), f)
	return Incidents{list(incidents), before}, err
}

// history returns one page of incidents, and the before of the next page when there is one.
func (s *site) history(ctx context.Context, f store.IncidentFilter) ([]incident.Incident, *time.Time, error) {
	limit := f.Limit
	f.Limit++
	found, err := s.Store.Incidents(ctx, f)
	if err != nil || len(found) <= limit {
		return found, nil, err
	}
	next := found[limit-1].Opened
	if found[limit].Opened.Equal(next) && found[0].Opened.After(next) {
		// Two opened at one instant stand on both sides of the cut: shown twice is better than never.
		next = next.Add(time.Millisecond)
	}
	return found[:limit], &next, nil
}

// Story is the answer of /api/v1/incidents/{id}: all that is known of one incident.
type Story struct {
	At         time.Time         `json:"at"` // of the clock and the ages
	Incident   incident.Incident `json:"incident"`
	Timeline   []incident.Event  `json:"timeline"`          // oldest first, the newest 1,000
	Earlier    int               `json:"earlier,omitempty"` // events before those
	Cases      []incident.Case   `json:"cases"`
	Notices    []incident.Notice `json:"notices"`
	Downtime   Downtime          `json:"downtime"`
	Clock      sla.Clock         `json:"clock"`
	Deliveries []Delivery        `json:"deliveries"` // what has waited longest first

	Evidence *incident.Evidence `json:"evidence,omitempty"` // gathered when it opened; nil: none was
}

// Downtime is how long the fault has lasted, by the contract.
type Downtime struct {
	Until time.Time     `json:"until"` // the end of the fault, or now
	Gross time.Duration `json:"gross"`
	Net   time.Duration `json:"net"` // less the holds
}

func (s *site) apiIncident(r *http.Request) (any, error) {
	return s.story(r.Context(), r.PathValue("id"))
}

func (s *site) story(ctx context.Context, id string) (Story, error) {
	i, err := s.Store.Incident(ctx, id)
	if err != nil {
		return Story{}, missing(err, "incident", bounded(id, incident.MaxKey))
	}
	st := Story{Incident: i}
	if st.Timeline, err = s.Store.Timeline(ctx, id, 0); err != nil {
		return Story{}, err
	}
	if over := len(st.Timeline) - maxTimeline; over > 0 {
		st.Timeline, st.Earlier = st.Timeline[over:], over
	}
	if st.Cases, err = s.Store.Cases(ctx, id); err != nil {
		return Story{}, err
	}
	if st.Notices, err = s.Store.Notices(ctx, id); err != nil {
		return Story{}, err
	}
	if st.Evidence, err = s.evidence(ctx, id); err != nil {
		return Story{}, err
	}
	st.Timeline, st.Cases, st.Notices = list(st.Timeline), list(st.Cases), list(st.Notices)
	st.At = s.Now()
	st.Downtime, st.Clock = downtime(i, st.Cases, st.At), s.clockOf(i, st.Cases, st.At)
	st.Deliveries = s.deliveries(i, st.Cases, st.Notices, st.At)
	return st, nil
}

// downtime takes the holds of every desk's case together.
func downtime(i incident.Incident, cases []incident.Case, now time.Time) Downtime {
	until := i.Ended
	if until.IsZero() {
		until = now
	}
	var holds []incident.Hold
	for _, c := range cases {
		holds = append(holds, c.Holds...)
	}
	gross, net := sla.Downtime(i.Started, until, holds)
	return Downtime{Until: until, Gross: gross, Net: net}
}

// missing says plainly that something is not there; any other error comes back as it is.
func missing(err error, what, name string) error {
	if !errors.Is(err, incident.ErrNotFound) {
		return fmt.Errorf("%s %q: %w", what, name, err)
	}
	return &fault{Status: http.StatusNotFound, Message: fmt.Sprintf("there is no %s %q", what, name), Hint: fmt.Sprintf("GET /api/v1/%ss lists them", what)}
}

// list makes an absent list an empty one, so that a client always reads an array.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// query reads the parameters of an address and keeps the first fault.
type query struct {
	values url.Values
	fault  *fault
}

func (q *query) fail(name, what, hint string) {
	if q.fault == nil {
		q.fault = &fault{Status: http.StatusBadRequest, Message: name + " " + what, Hint: hint}
	}
}

func (q *query) text(name string) string {
	v := q.values.Get(name)
	if len(v) > 200 {
		q.fail(name, "is too long", "at most 200 bytes")
	}
	return v
}

func (q *query) time(name string, otherwise time.Time) time.Time {
	v := q.text(name)
	if v == "" {
		return otherwise
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		q.fail(name, "is not a time", "write it as 2026-11-23T10:42:00Z")
	}
	return t
}

func (q *query) flag(name string) bool {
	switch q.text(name) {
	case "", "0", "false":
		return false
	case "1", "true", "on":
		return true
	}
	q.fail(name, "is neither true nor false", "")
	return false
}

func (q *query) limit() int {
	v := q.text("limit")
	if v == "" {
		return defaultLimit
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxLimit {
		q.fail("limit", "is out of range", fmt.Sprintf("1 to %d", maxLimit))
	}
	return n
}
