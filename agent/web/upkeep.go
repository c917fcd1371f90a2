package web

import (
	"net/http"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// choice is a length of time that a form offers.
type choice struct {
	Minutes int
	Text    string
}

var choices = []choice{
	{15, "15 minutes"}, {30, "30 minutes"}, {60, "1 hour"}, {120, "2 hours"}, {240, "4 hours"}, {480, "8 hours"}, {1440, "1 day"}, {10080, "7 days"},
}

// orderRow is an order of a person.
type orderRow struct {
	incident.Order
	Begun, End moment
	Active     bool
	Left       string
}

func (s *site) orderRow(o incident.Order, now time.Time) orderRow {
	row := orderRow{Order: o, Begun: s.when(o.From, now), End: s.when(o.End(), now), Active: o.Active(now)}
	row.Actor, row.Reason, row.EndedBy = clean(o.Actor), clean(o.Reason), clean(o.EndedBy)
	if row.Active {
		row.Left = span(o.End().Sub(now))
	}
	return row
}

type maintenancePage struct {
	page
	Choices     []choice
	Components  []string
	Maintenance []orderRow
	Silences    []orderRow
	Windows     []spanRow
}

func (s *site) maintenancePage(w http.ResponseWriter, r *http.Request) {
	now := s.Now()
	p := maintenancePage{page: s.page(r, "Maintenance and silence", levelWell), Choices: choices}
	for _, c := range s.Agent.View().Components {
		p.Components = append(p.Components, c.Name)
	}
	for _, o := range s.Agent.Orders() {
		row := s.orderRow(o, now)
		if o.Kind == incident.OrderSilence {
			p.Silences = append(p.Silences, row)
		} else {
			p.Maintenance = append(p.Maintenance, row)
		}
	}
	for _, m := range s.Agent.Maintenance(now, now.Add(windowsAhead)) {
		if m.To.After(now) && len(p.Windows) < maxWindows {
			p.Windows = append(p.Windows, s.spanRow(m, now))
		}
	}
	s.render(w, http.StatusOK, "maintenance", p)
}

// silence returns the order by which people are not told of an incident now; nil when there is none.
func (s *site) silence(i incident.Incident, now time.Time) *orderRow {
	o, ok := incident.Silenced(s.Agent.Orders(), i, false, now)
	if !ok {
		return nil
	}
	row := s.orderRow(o, now)
	return &row
}
