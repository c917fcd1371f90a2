package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// The values of the filter "state", in the order of the page: every resolution, and these two.
const (
	stateOpen   = "open"
	stateClosed = "closed"
)

var (
	states = []string{
		stateOpen, stateClosed, string(incident.Recovered), string(incident.Momentary), string(incident.Absorbed), string(incident.Removed), string(incident.Rejudged),
		string(incident.Accepted),
	}
	classes = []string{
		string(incident.Availability), string(incident.Performance), string(incident.Capacity), string(incident.Function), string(incident.Account), string(incident.Agent),
	}
	priorities = []string{"p1", "p2", "p3", "p4"}
)

// filterNames are the parameters that select incidents, in the order of the page.
var filterNames = []string{"q", "component", "priority", "class", "state", "from", "to", "open"}

// incidents reads the filter of incidents, but for its limit.
func (q *query) incidents(zone *time.Location) store.IncidentFilter {
	f := store.IncidentFilter{Open: q.flag("open"), Component: q.text("component"), Text: strings.TrimSpace(q.text("q")), Before: q.time("before", time.Time{})}
	if p := q.oneOf("priority", priorities); p != "" {
		_ = f.Highest.UnmarshalText([]byte(p)) // it is one of them
	}
	f.Class = incident.Class(q.oneOf("class", classes))
	switch state := q.oneOf("state", states); state {
	case "":
	case stateOpen:
		f.Open = true
	case stateClosed:
		f.Closed = true
	default:
		f.Resolution = incident.Resolution(state)
	}
	f.From = q.day("from", zone, 0)
	if to := q.day("to", zone, 1); !to.IsZero() && (f.Before.IsZero() || to.Before(f.Before)) {
		f.Before = to
	}
	return f
}

func (q *query) oneOf(name string, values []string) string {
	v := q.text(name)
	if v != "" && !slices.Contains(values, v) {
		q.fail(name, "is not known", "it is one of "+strings.Join(values, ", "))
		return ""
	}
	return v
}

// day reads a day of the zone as its beginning, or that of the day so many later; or an instant as it is. The zero time: not given.
func (q *query) day(name string, zone *time.Location, later int) time.Time {
	v := q.text(name)
	if v == "" {
		return time.Time{}
	}
	if day, err := time.ParseInLocation(time.DateOnly, v, zone); err == nil {
		return day.AddDate(0, 0, later)
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		q.fail(name, "is no day", "write it as 2026-11-23, or as 2026-11-23T10:42:00Z")
	}
	return t
}

type historyPage struct {
	page
	Filter                                  map[string]string // as given, by parameter
	Filtered                                bool
	Components, Priorities, States, Classes []string
	Total                                   int
	Rows                                    []historyRow
	Older                                   string // address of the next page; "" when there is none
	Newest                                  string // address of the newest page, with the same filter
	Paged                                   bool   // not the newest page
}

type historyRow struct {
	incident.Incident
	Since  moment
	For    string
	Cases  []caseRow
	Lasts  bool
	Ending string
}

func (s *site) historyPage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	q := query{values: r.URL.Query()}
	f := q.incidents(s.Zone)
	f.Limit = historySize
	if q.fault != nil {
		s.refuse(w, r, q.fault)
		return
	}
	p := s.historyForm(r, q)
	err := s.fillHistory(ctx, &p, f)
	if err != nil {
		s.refuse(w, r, asFault(err))
		return
	}
	s.render(w, http.StatusOK, "incidents", p)
}

// historyForm is the page without its incidents.
func (s *site) historyForm(r *http.Request, q query) historyPage {
	p := historyPage{page: s.page(r, "Incidents", levelWell), Filter: map[string]string{}, Priorities: priorities, States: states, Classes: classes}
	p.Paged = q.values.Get("before") != ""
	for _, name := range filterNames {
		p.Filter[name] = q.values.Get(name)
		p.Filtered = p.Filtered || p.Filter[name] != ""
	}
	if p.Filter["state"] == "" && q.flag("open") {
		p.Filter["state"] = stateOpen // an older address of the page
	}
	for _, c := range s.Agent.View().Components {
		p.Components = append(p.Components, c.Name)
	}
	slices.Sort(p.Components)
	if name := p.Filter["component"]; name != "" && !slices.Contains(p.Components, name) {
		p.Components = append(p.Components, name)
	}
	p.Newest = p.address(nil)
	return p
}

// address returns that of the page with the same filter, from before an instant on.
func (p *historyPage) address(before *time.Time) string {
	values := url.Values{}
	for _, name := range filterNames {
		if v := p.Filter[name]; v != "" && name != "open" {
			values.Set(name, v)
		}
	}
	if before != nil {
		values.Set("before", before.UTC().Format(time.RFC3339Nano))
	}
	if len(values) == 0 {
		return "incidents"
	}
	return "incidents?" + values.Encode()
}

func (s *site) fillHistory(ctx context.Context, p *historyPage, f store.IncidentFilter) error {
	found, next, err := s.history(ctx, f)
	if err != nil {
		return err
	}
	if p.Rows, err = s.historyRows(ctx, found); err != nil {
		return err
	}
	if next != nil {
		p.Older = p.address(next)
	}
	if p.Paged { // the whole, whatever page is shown
		q := query{values: url.Values{}}
		for name, v := range p.Filter {
			q.values.Set(name, v)
		}
		f = q.incidents(s.Zone)
	}
	p.Total, err = s.Store.CountIncidents(ctx, f)
	return err
}

func (s *site) historyRows(ctx context.Context, found []incident.Incident) ([]historyRow, error) {
	now := s.Now()
	var rows []historyRow
	for _, i := range found {
		if !i.Open() {
			i = i.AtWorst()
		}
		row := historyRow{Incident: i, Since: s.when(i.Started, now), Lasts: i.Open(), Ending: string(i.Resolution)}
		cases, err := s.Store.Cases(ctx, i.ID)
		if err != nil {
			return nil, err
		}
		for _, c := range cases {
			if c.Number != "" {
				row.Cases = append(row.Cases, s.caseRow(c, i, now))
			}
		}
		row.For = exact(downtime(i, nil, now).Gross)
		rows = append(rows, row)
	}
	return rows, nil
}
