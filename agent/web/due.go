package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/sla"
)

// clockRow is where an incident stands against its service level, in words and as a bar.
type clockRow struct {
	Text  string // "due 10:57 (9 min left)"; "" where no reaction time runs
	Late  bool
	Bar   template.HTML
	Work  string // whether break/fix work is owed now; "" when it is over
	Since moment // when the reaction time began
}

func (s *site) clockRow(k sla.Clock, i incident.Incident, now time.Time) clockRow {
	if k.Due.IsZero() {
		return clockRow{}
	}
	row := clockRow{Late: k.Margin < 0, Bar: clockBar(k), Since: s.when(k.Commencement, now)}
	due := clock(k.Due, now, s.Zone)
	switch {
	case !k.Reacted.IsZero() && row.Late:
		row.Text = fmt.Sprintf("reaction missed by %s: due %s, taken %s", span(-k.Margin), due, clock(k.Reacted, now, s.Zone))
	case !k.Reacted.IsZero():
		row.Text = fmt.Sprintf("reaction met with %s to spare: taken %s, due %s", span(k.Margin), clock(k.Reacted, now, s.Zone), due)
	case !i.Open():
		row.Text = "nobody had taken it when it ended; reaction due " + due
	case row.Late:
		row.Text = fmt.Sprintf("reaction overdue by %s: due %s", span(-k.Margin), due)
	case k.Due.Sub(now)-k.Margin > time.Second:
		row.Text = fmt.Sprintf("reaction due %s (in %s, %s of it supported time)", due, span(k.Due.Sub(now)), span(k.Margin))
	default:
		row.Text = reaction(k.Due, now, s.Zone)
	}
	switch {
	case !i.Open():
	case k.Held:
		row.Work = "On hold: the case waits for the customer."
	case k.Working:
		row.Work = "Break/fix work is owed now."
	default:
		row.Work = "No break/fix work is owed now: outside supported time."
	}
	return row
}

// The bar of the reaction time, in units of its own view box. The frame is the reaction time; what is beyond it is too late.
const (
	clockWhole = 100
	clockMost  = 120
	clockTall  = 12
)

// clockBar draws how much of the reaction time has passed: plain while it runs, ended by a flag where somebody took the case, broken
// into teeth beyond the frame where it is too late. Everything in the markup is a number.
func clockBar(k sla.Clock) template.HTML {
	const top, low = 3, clockTall - 1
	used := max(0, min(k.Used*clockWhole, clockMost))
	var b strings.Builder
	class := "clock"
	if k.Margin < 0 {
		class = "clock late"
	}
	fmt.Fprintf(&b, `<svg class="%s" viewBox="0 0 %d %d" role="img" aria-label="%.0f %% of the reaction time had passed">`, class, clockMost+4, clockTall, k.Used*100)
	fmt.Fprintf(&b, `<rect class="used" x="0" y="%d" width="%.1f" height="%d"/>`, top, min(used, clockWhole), low-top)
	for x := float64(clockWhole) + 2; k.Margin < 0 && x < max(used, clockWhole+4); x += 6 {
		fmt.Fprintf(&b, `<path class="used" d="M%.1f %dl4 %dl-4 %dz"/>`, x, top, (low-top)/2, (low-top)/2)
	}
	fmt.Fprintf(&b, `<rect class="frame" x=".5" y="%d.5" width="%d" height="%d"/>`, top-1, clockWhole-1, low-top+1)
	if !k.Reacted.IsZero() {
		fmt.Fprintf(&b, `<path class="flag" d="M%.1f %dV0h5l-1.5 2 1.5 2h-4V%dz"/>`, used, low+1, low+1)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // made of numbers above
}

// dueRow is something that is still to be delivered.
type dueRow struct {
	What, To string
	How      string
	Tries    string // "" where it was not tried
	Why      string // the last error
	Bad      bool
	Since    moment
	Next     moment
}

func (s *site) dueRows(list []Delivery, now time.Time) []dueRow {
	var rows []dueRow
	for _, d := range list {
		row := dueRow{What: clean(d.What()), How: d.How(), Why: clean(d.Why()), Bad: d.Attempts > 0, Since: s.when(d.Since, now)}
		switch {
		case d.Notifier != "":
			row.To = "notice by " + clean(d.Notifier)
		case d.Number != "":
			row.To = "case " + bounded(clean(d.Number), 40) + " at " + clean(d.Desk)
		default:
			row.To = "case at " + clean(d.Desk)
		}
		if d.Attempts > 0 && !d.GivenUp {
			row.Tries = plural(d.Attempts, "attempt", "attempts")
		}
		if !d.NextTry.IsZero() {
			row.Next = s.when(d.NextTry, now)
		}
		rows = append(rows, row)
	}
	return rows
}
