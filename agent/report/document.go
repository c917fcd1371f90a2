package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/agent/plot"
)

// document is a report in words: what HTML and Markdown have in common.
type document struct {
	Lang        string
	Title       string
	Name        string
	Lines       []string // below the title
	SoFar       string   // "" of a time that is over
	Figures     []figure
	Sections    []section
	Sign        []signature
	Words       signWords
	Foot        string
	Fingerprint string
}

// figure is one of the few that are seen first.
type figure struct{ Label, Value, Note string }

// section is a part with a heading.
type section struct {
	ID, Title string
	Text      []string
	Strips    []strip
	Key       []cell // what the cells of the strips mean
	Tables    []table
	Plots     []picture
	List      []string
	Break     bool // begins a page in print
}

type table struct {
	Caption string
	Head    []string
	Left    int // so many columns hold words, and then the others figures,
	Tail    int // but for so many at the end
	Rows    [][]string
}

// strip is the days of a component.
type strip struct {
	Name  string
	Cells []cell
}

// cell is a day: its class, a sign that tells it apart without colour, and what it says.
type cell struct{ Class, Sign, Text string }

type picture struct {
	Caption string
	chart   plot.Chart
}

type signature struct{ Role, Name string }

type signWords struct{ Heading, Text, Name, Date, Signature string }

// document puts the report into words.
func (r *Report) document(w *words) *document {
	period := w.month(r.From)
	if !wholeMonth(r.From, r.To, r.zone) {
		period = w.say("%s to %s", w.at(r.From), w.at(r.To))
	}
	d := &document{
		Lang: w.code, Title: w.say("Service-level report: %s", period), Name: r.Name, Fingerprint: r.Fingerprint,
		Lines: []string{
			w.say("From %s to %s: %s. Times are in %s.", w.at(r.From), w.at(r.Until), hours(w, r.Period), r.TimeZone),
			w.say("Made %s by firstcall %s.", w.at(r.Made), r.Agent),
		},
		Sign:  []signature{{w.say("For the customer"), r.Name}, {w.say("For the Operations Centre"), r.Method.Centre}},
		Words: signWords{w.say("Signatures"), w.say("Both sides agree to the figures of this report."), w.say("Name"), w.say("Place and date"), w.say("Signature")},
	}
	if r.SoFar {
		d.SoFar = w.say("So far: the period is not over, and its figures will change.")
	}
	d.Foot = w.say("Fingerprint of the figures: %s. The same figures have the same fingerprint, whoever makes the report again.", r.Fingerprint)
	d.Figures = r.figures(w)
	d.Sections = []section{r.availabilitySection(w), r.incidentSection(w), r.mailSection(w), r.alarmSection(w), r.latencySection(w), r.coverageSection(w), r.methodSection(w), r.traceSection(w)}
	return d
}

// hours writes a long time in hours, which shows the months with a clock change.
func hours(w *words, s Seconds) string {
	h := time.Duration(s)
	if h%time.Hour == 0 {
		return fmt.Sprintf("%d %s", h/time.Hour, w.say("h"))
	}
	return w.span(s)
}

func (r *Report) figures(w *words) []figure {
	all := []figure{}
	worst := -1
	for i, c := range r.Parts {
		if c.NetShare.Known() && (worst < 0 || c.NetShare.Ratio() < r.Parts[worst].NetShare.Ratio()) {
			worst = i
		}
	}
	lowest := figure{w.say("Lowest availability"), "–", w.say("nothing was judged")}
	if worst >= 0 {
		c := r.Parts[worst]
		lowest.Value, lowest.Note = w.percent(c.NetShare), w.say("%s, net of holds", c.Name)
	}
	all = append(all, lowest)
	met, judged := 0, 0
	for _, x := range r.Reactions {
		met, judged = met+x.Met, judged+x.Met+x.Missed
	}
	due, sent := 0, 0
	for _, m := range r.Mails {
		due, sent = due+m.Due, sent+m.OnTime
	}
	of := func(n, all int) string {
		if all == 0 {
			return "–"
		}
		return w.say("%d of %d", n, all)
	}
	return append(all,
		figure{w.say("Reaction in time"), of(met, judged), w.say("incidents to which a reaction was due")},
		figure{w.say("Status on time"), of(sent, due), w.say("status messages that were due")},
		figure{w.say("Measured"), w.percent(r.Coverage.Share), w.say("of the period")})
}

func (r *Report) availabilitySection(w *words) section {
	s := section{ID: "availability", Title: w.say("Availability")}
	if len(r.Parts) == 0 {
		s.Text = []string{w.say("No component is configured.")}
		return s
	}
	t := table{Left: 1, Head: []string{
		w.say("Component"), w.say("Net"), w.say("Gross"), w.say("At least"), w.say("Downtime, gross"), w.say("of it on hold"), w.say("Downtime, net"),
		w.say("Outages"), w.say("Maintenance"), w.say("Not measured"),
	}}
	var limited table
	for _, c := range r.Parts {
		t.Rows = append(t.Rows, []string{
			c.Name, w.percent(c.NetShare), w.percent(c.GrossShare), w.percent(c.AtLeast), w.span(c.Gross), w.span(c.Held), w.span(c.Net),
			w.count(c.Outages), w.span(c.Maintenance), w.span(c.Unmeasured),
		})
		if h := c.Supported; h != nil {
			limited.Rows = append(limited.Rows, []string{c.Name, w.percent(h.NetShare), w.percent(h.GrossShare), w.span(h.Gross), w.span(h.Net), w.span(h.Judged)})
		}
		s.Strips = append(s.Strips, strip{c.Name, dayCells(w, c)})
	}
	s.Tables = append(s.Tables, t)
	if len(limited.Rows) > 0 {
		limited.Caption, limited.Left = w.say("In the Supported Time Period (%s)", strings.Join(r.Method.Supported, ", ")), 1
		limited.Head = []string{w.say("Component"), w.say("Net"), w.say("Gross"), w.say("Downtime, gross"), w.say("Downtime, net"), w.say("Judged time")}
		s.Tables = append(s.Tables, limited)
	}
	s.Key = []cell{
		{"up", "", w.say("no downtime")},
		{"some", "╱", w.say("down for less than an hour")},
		{"down", "✕", w.say("down for longer")},
		{"none", "?", w.say("not measured for more than an hour")},
	}
	return s
}

// dayCells returns a component's days.
func dayCells(w *words, c Component) []cell {
	var all []cell
	for _, d := range c.Days {
		k := cell{"up", "", w.say("no downtime")}
		switch {
		case d.Gross >= Seconds(time.Hour):
			k = cell{"down", "✕", w.say("down for %s", w.span(d.Gross))}
		case d.Gross > 0:
			k = cell{"some", "╱", w.say("down for %s", w.span(d.Gross))}
		case d.Unmeasured > Seconds(time.Hour):
			k = cell{"none", "?", w.say("not measured for %s", w.span(d.Unmeasured))}
		}
		k.Text = d.Date + ": " + k.Text
		all = append(all, k)
	}
	return all
}

func (r *Report) incidentSection(w *words) section {
	s := section{ID: "incidents", Title: w.say("Incidents")}
	if len(r.Incidents) == 0 {
		s.Text = append(s.Text, w.say("There was none."))
	} else {
		t := table{Left: 5, Head: []string{
			w.say("Opened"), w.say("Case"), w.say("Priority"), w.say("What"), w.say("Reaction"), w.say("Margin"), w.say("Lasted, gross"), w.say("net"),
		}}
		for _, i := range r.Incidents {
			t.Rows = append(t.Rows, []string{
				w.short(i.Opened) + r.before(w, i), orDash(i.Number), w.priority(i.Priority), r.what(w, i), w.reaction(i), w.margin(i), w.span(i.Gross), w.span(i.Net),
			})
		}
		s.Tables = append(s.Tables, t)
	}
	t := table{Caption: w.say("Reaction by priority, of incidents opened in the period"), Left: 1, Head: []string{
		w.say("Priority"), w.say("Limit"), w.say("Incidents"), w.say("Met"), w.say("Missed"), w.say("Over before due"), w.say("Not due yet"), w.say("Least margin"),
	}}
	for _, x := range r.Reactions {
		least := "–"
		if x.Least != nil {
			least = w.signed(*x.Least)
		}
		t.Rows = append(t.Rows, []string{
			w.priority(x.Priority), w.span(x.Limit), w.count(x.Incidents), w.count(x.Met), w.count(x.Missed), w.count(x.Over), w.count(x.Pending), least,
		})
	}
	s.Tables = append(s.Tables, t)
	if n := len(r.Functional); n > 0 {
		s.Text = append(s.Text, w.say("Functional incidents, which are not the Operations Centre's and in none of the figures: %d.", n))
	}
	return s
}

func (r *Report) before(w *words, i Incident) string {
	if i.Before {
		return " " + w.say("(before the period)")
	}
	return ""
}

// what says what an incident was about and how it ended.
func (r *Report) what(w *words, i Incident) string {
	text := w.title(i.Title)
	switch {
	case i.Resolution == "":
		return text + "; " + w.say("still open")
	case i.AbsorbedBy != "":
		return text + "; " + w.say("absorbed by a wider incident")
	}
	return text + "; " + w.say(string(i.Resolution))
}

func (w *words) reaction(i Incident) string {
	switch i.Reaction {
	case ReactionMet, ReactionMissed:
		verdict := w.say("met")
		if i.Reaction == ReactionMissed {
			verdict = w.say("missed")
		}
		if i.Reacted.IsZero() {
			return w.say("%s: due %s, nobody reacted", verdict, w.short(i.Due))
		}
		return w.say("%s: due %s, acknowledged %s by %s", verdict, w.short(i.Due), w.short(i.Reacted), orDash(i.ReactedBy))
	case ReactionPending:
		return w.say("due %s", w.short(i.Due))
	}
	return w.say("over before it was due, %s", w.short(i.Due))
}

func (w *words) margin(i Incident) string {
	if i.Reaction == ReactionOver || i.Reaction == ReactionPending {
		return "–"
	}
	return w.signed(i.Margin)
}

// signed writes a margin with its sign.
func (w *words) signed(s Seconds) string {
	if s > 0 {
		return "+" + w.span(s)
	}
	return w.span(s)
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}
