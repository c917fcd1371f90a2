package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

func (r *Report) mailSection(w *words) section {
	s := section{ID: "status", Title: w.say("Status messages")}
	if len(r.Mails) == 0 {
		s.Text = []string{w.say("None was due.")}
		return s
	}
	t := table{Left: 1, Head: []string{
		w.say("Channel"), w.say("Due"), w.say("On time"), w.say("Late"), w.say("Missing"), w.say("Longest delay"), w.say("First messages"), w.say("Closing messages"), w.say("of these not sent"),
	}}
	for _, m := range r.Mails {
		name := m.Channel
		if name == CaseNotes {
			name = w.say("notes in the case")
		}
		t.Rows = append(t.Rows, []string{
			name, w.count(m.Due), w.count(m.OnTime), w.count(m.Late), w.count(m.Missing), w.span(m.Latest), w.count(m.First), w.count(m.Closing), w.count(m.Unsent),
		})
	}
	s.Tables = []table{t}
	return s
}

func (r *Report) alarmSection(w *words) section {
	s := section{ID: "alarms", Title: w.say("False alarms")}
	a := r.Alarms
	t := table{Left: 1, Tail: 1, Head: []string{w.say("Incidents opened in the period"), w.say("Number"), w.say("Cases")}}
	row := func(text string, ids []string) {
		var numbers []string
		for _, id := range ids {
			at := slices.IndexFunc(r.Incidents, func(i Incident) bool { return i.ID == id })
			if at >= 0 && r.Incidents[at].Number != "" {
				numbers = append(numbers, r.Incidents[at].Number)
			}
		}
		t.Rows = append(t.Rows, []string{text, w.count(len(ids)), orDash(strings.Join(numbers, ", "))})
	}
	t.Rows = append(t.Rows, []string{w.say("All"), w.count(a.Opened), w.say("%d with a case", a.Cases)})
	row(w.say("False alarm: a person said so in the case"), a.False)
	row(w.say("Momentary: over by itself"), a.Momentary)
	row(w.say("Accepted: the latency was taken as normal"), a.Accepted)
	row(w.say("Priority lowered while it lasted"), a.Lowered)
	row(w.say("Absorbed by a wider incident"), a.Absorbed)
	s.Tables = []table{t}
	return s
}

func (r *Report) latencySection(w *words) section {
	s := section{ID: "latency", Title: w.say("Latency"), Break: true}
	t := table{Left: 1, Tail: 1, Head: []string{
		w.say("Probe"), w.say("Runs"), w.say("Median"), "95 %", "99 %", w.say("Mean"), w.say("Shortest"), w.say("Longest"), w.say("Source"),
	}}
	for _, l := range r.Latency {
		if l.Runs == 0 {
			continue
		}
		t.Rows = append(t.Rows, []string{
			l.Probe, fmt.Sprint(l.Runs), w.latencyOr(l.P50), w.latencyOr(l.P95), w.latencyOr(l.P99), w.latency(l.Mean), w.latency(l.Least), w.latency(l.Most), w.source(l),
		})
	}
	if len(t.Rows) == 0 {
		s.Text, s.Break = []string{w.say("No run was answered.")}, false
		return s
	}
	s.Tables = []table{t}
	s.Plots = r.pictures(w)
	if drawn := len(s.Plots); drawn < r.drawable() {
		s.Text = append(s.Text, w.say("Of %d probes, the %d that were slowest are drawn.", r.drawable(), drawn))
	}
	return s
}

// source says what percentiles rest on.
func (w *words) source(l Latency) string {
	var text string
	switch l.Source {
	case FromRuns:
		text = w.say("single runs: exact")
	case FromHours:
		text = w.say("hourly histograms: within 3.2 %")
	default:
		text = w.say("single runs and hourly histograms: within 3.2 %")
	}
	if l.P50 == nil {
		text = w.say("no distribution is known")
	}
	if l.Missing > 0 {
		text += "; " + w.say("%d of %d hours are missing", l.Missing, l.Hours)
	}
	return text
}

func (r *Report) coverageSection(w *words) section {
	c := r.Coverage
	s := section{ID: "coverage", Title: w.say("What the agent measured")}
	s.Text = []string{w.say("The agent measured %s of the period: %s. It did not run for %s, and ran but could tell nothing for %s.",
		w.percent(c.Share), w.span(c.Measured), w.span(c.Stopped), w.span(c.Blind))}
	if len(c.Gaps) > 0 {
		t := table{Caption: w.say("Gaps"), Left: 3, Head: []string{w.say("From"), w.say("To"), w.say("Kind"), w.say("Length")}}
		if c.GapCount > len(c.Gaps) {
			t.Caption = w.say("Gaps: the %d longest of %d", len(c.Gaps), c.GapCount)
		}
		for _, g := range c.Gaps {
			kind := w.say("the agent did not run")
			if g.Kind == GapBlind {
				kind = w.say("blind or late")
			}
			t.Rows = append(t.Rows, []string{w.short(g.From), w.short(g.To), kind, w.span(Seconds(g.Len()))})
		}
		s.Tables = append(s.Tables, t)
	}
	if len(c.Troubles) > 0 {
		t := table{Caption: w.say("The agent's own incidents"), Left: 3, Head: []string{w.say("From"), w.say("To"), w.say("What")}}
		for _, x := range c.Troubles {
			t.Rows = append(t.Rows, []string{w.short(x.Started), w.short(x.Ended), w.title(x.Title)})
		}
		s.Tables = append(s.Tables, t)
	}
	t := table{Caption: w.say("Runs by probe"), Left: 1, Head: []string{
		w.say("Probe"), w.say("Measured"), w.say("Runs"), w.say("Scheduled"), w.say("Told nothing"), w.say("Agent late"), w.say("Hours by roll-up"),
	}}
	for _, p := range c.Probes {
		t.Rows = append(t.Rows, []string{p.Probe, w.percent(p.Share), fmt.Sprint(p.Runs), fmt.Sprint(p.Expected), fmt.Sprint(p.Unknown), fmt.Sprint(p.Lagging), w.count(p.ByHour)})
	}
	if len(t.Rows) > 0 {
		s.Tables = append(s.Tables, t)
	}
	return s
}

func (r *Report) methodSection(w *words) section {
	m := r.Method
	hold := w.say("A hold ends when the case leaves it.")
	if m.HoldEnds != "status" {
		hold = w.say("A hold ends at the customer's answer, or when the case leaves it, whichever is first.")
	}
	windows := w.say("none")
	if len(m.Windows) > 0 {
		windows = strings.Join(m.Windows, ", ")
	}
	var limits, status []string
	for p := incident.P1; p <= incident.P4; p++ {
		limits = append(limits, fmt.Sprintf("%s %s", w.priority(p), w.span(m.Reaction[strings.ToLower(p.String())])))
	}
	for _, p := range m.StatusFor {
		status = append(status, w.priority(p))
	}
	list := []string{
		w.say("A component is down while every instance of it is: from the start of the first failing run of the instance that failed last to the start of the first good run. Only outages that the agent confirmed count."),
		w.say("Availability is 1 − downtime ÷ judged time. Judged time is the period less maintenance windows and less what was not measured."),
		w.say("Gross downtime is all of it. Net downtime leaves out the time in which the incident's case was on hold for the customer or its partner, which the contract deducts.") + " " + hold,
		w.say("Maintenance windows are those configured when the report was made: %s. Neither downtime in them counts nor the time itself.", windows),
		w.say("A time in which no deciding probe of a component told anything is neither up nor down: it is left out of the judged time. An outage that was open before such a time and after it goes on through it. At least: the gross availability if all of that time had been downtime."),
		w.say("Reaction runs from the commencement of break/fix, in supported time (%s), to the first acknowledgement of a case of the incident. Limits: %s. An incident counts in the period in which it was opened, at the highest priority that it had.", strings.Join(m.Supported, ", "), strings.Join(limits, ", ")),
		w.say("A status message is due every %s from the customer's first message, or from commencement where that is later, while the incident is open at priority %s. It is on time up to %s after that. It counts in the period in which it was due.", w.span(m.StatusEvery), strings.Join(status, ", "), w.span(m.Grace)),
		w.say("A false alarm is an incident of which a person wrote “false alarm” in a note or the resolution of its case. Momentary is an outage that was over by itself within %s. What else is counted beside them is for both sides to judge.", w.span(m.Momentary)),
		w.say("Latency is the time of the whole run, of runs that were answered and during which the agent was not late. A percentile is the run of that rank where every single run is kept, and otherwise the middle of its bucket in hourly histograms, at most 3.2 % off."),
		w.say("A run speaks until the next one is due, and a tenth of that longer. A component is measured while one of its deciding probes speaks, at the pace of the most frequent of them; the agent, while any of its frequent probes does. Where single runs are no longer kept, this is known by the hour, and what is missing is taken at its end."),
		w.say("Percentages are cut off after three decimals, never rounded up: only what is complete is 100 %. Durations from a minute on are rounded to the second."),
	}
	for _, o := range m.Ordered {
		what := strings.Join(o.Components, ", ")
		if what == "" {
			what = w.say("all components")
		}
		list = append(list, w.say("Maintenance that %s ordered from %s to %s (%s; %s) counts like a window, but shortens no outage that had begun before it.", o.Actor, w.at(o.From), w.at(o.To), what, o.Reason))
	}
	if len(m.Estimated) > 0 {
		list = append(list, w.say("An earlier version of the agent did not note when each component was down. The whole length of these incidents counts for each of their components: %s.", strings.Join(m.Estimated, ", ")))
	}
	return section{ID: "method", Title: w.say("Method"), List: list, Break: true}
}

func (r *Report) traceSection(w *words) section {
	s := section{ID: "trace", Title: w.say("Where the figures come from")}
	if len(r.Incidents) == 0 {
		s.Text = []string{w.say("There was no incident.")}
		return s
	}
	s.Text = []string{w.say("Every incident with its identity, the downtime that it adds to its components in the period, its holds, and the numbers of its events in the agent's timeline.")}
	t := table{Left: 5, Head: []string{w.say("Incident"), w.say("Case"), w.say("Downtime"), w.say("Holds"), w.say("Events")}}
	for _, i := range r.Incidents {
		var down, holds, events []string
		for _, d := range i.Downtime {
			var times []string
			for _, x := range d.Spans {
				times = append(times, w.short(x.From)+" – "+w.short(x.To))
			}
			down = append(down, w.say("%s: gross %s, net %s (%s)", d.Component, w.span(d.Gross), w.span(d.Net), strings.Join(times, "; ")))
		}
		for _, h := range i.Holds {
			end := w.say("still on hold")
			if !h.To.IsZero() {
				end = w.short(h.To)
			}
			holds = append(holds, w.short(h.From)+" – "+end)
		}
		for _, kind := range slices.Sorted(maps.Keys(i.Seqs)) {
			events = append(events, fmt.Sprintf("%s %s", kind, strings.Trim(strings.ReplaceAll(fmt.Sprint(i.Seqs[kind]), " ", ", "), "[]")))
		}
		t.Rows = append(t.Rows, []string{i.ID, orDash(i.Number), orDash(strings.Join(down, "; ")), orDash(strings.Join(holds, "; ")), strings.Join(events, "; ")})
	}
	s.Tables = []table{t}
	return s
}

// mostPictures bounds the plots of a report.
const mostPictures = 20

// drawable returns how many probes have something to draw.
func (r *Report) drawable() int {
	n := 0
	for _, l := range r.Latency {
		if l.P50 != nil {
			n++
		}
	}
	return n
}

// longest returns the slowest time of a latency that is drawn.
func longest(l Latency) time.Duration {
	if l.P95 == nil {
		return -1
	}
	return time.Duration(*l.P95)
}
