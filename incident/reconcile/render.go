package reconcile

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"log/slog"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/probes"
)

//go:embed text
var files embed.FS

// The templates, parsed once. What they say stands in text/LANGUAGE/KIND.tmpl, how it is laid out in text/layout.*.tmpl.
var (
	texts = map[string]*template.Template{
		"en": template.Must(template.New("en").Funcs(words).ParseFS(files, "text/en/*.tmpl")),
		"da": template.Must(template.New("da").Funcs(words).ParseFS(files, "text/da/*.tmpl")),
	}
	plainLayout = template.Must(template.New("plain").Funcs(words).ParseFS(files, "text/layout.txt.tmpl"))
	htmlLayout  = htmltemplate.Must(htmltemplate.ParseFS(files, "text/layout.html.tmpl"))
)

// words are what the plain templates call.
var words = template.FuncMap{"item": item}

// longItem is the length, in bytes, from which an item of a list is laid out in several lines.
const longItem = 160

// item returns a line of a list in a plain text. The long sentence of what a detector measured is broken where its parts end, since
// nobody reads three hundred characters in a row, and not every ticket system wraps them.
func item(text string) string {
	if len(text) > longItem {
		text = strings.ReplaceAll(text, "; ", ";\n  ")
	}
	return "- " + text
}

// writer writes cases and messages. It is immutable.
type writer struct {
	tenant      Tenant
	centre      Centre
	statusEvery time.Duration
	statusFor   []incident.Priority
	url         string
	agent       string // version and vantage
	log         *slog.Logger
	own         *ownTexts // of the desk that it writes for; nil: the agent's own texts only
}

func newWriter(o Options) *writer {
	agent := "firstcall"
	if o.Version != "" {
		agent += " " + o.Version
	}
	if o.Vantage != "" {
		agent += " (" + o.Vantage + ")"
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &writer{tenant: o.Tenant, centre: o.Centre, statusEvery: o.StatusEvery, statusFor: o.StatusFor, url: o.ExternalURL, agent: agent, log: log}
}

// at returns the writer of the cases at one desk. What cannot be parsed, which the configuration rules out, is the agent's own text.
func (w *writer) at(d Desk) *writer {
	if d.Templates == (Templates{}) && len(d.Fields) == 0 {
		return w
	}
	own := *w
	own.log = w.log.With("desk", d.Name)
	var faults []TextFault
	own.own, faults = parseTexts(d.Templates, d.Fields)
	for _, f := range faults {
		own.log.Error("a template of a case cannot be used: the agent's own text stands in its place", "template", f.Part, "err", f.Message)
	}
	return &own
}

// story is what a message tells.
type story struct {
	notice   incident.Notice
	incident incident.Incident
	theCase  incident.Case // at the primary desk; zero while there is none
	reacted  time.Time     // when somebody first took it, at whatever desk; zero: nobody has
	into     string        // number of the case that goes on, where this one was absorbed
	view     engine.View
	now      time.Time
}

// page is what the templates of messages see: every text ready to be printed.
type page struct {
	Audience, Kind                                 string
	Tenant, Problem, Root, Priority, Level, Rule   string
	Class                                          string
	Reason, Why, Judged, Text                      string
	Number, CaseURL, PageURL, Into                 string
	Started, Commencement, ReactionDue, Due, Ended string
	Now, Acknowledged, AcknowledgedBy, HeldSince   string
	HoldReason, Gross, Net, Held, Lasted, Every    string
	Status                                         int
	AcceptedBy                                     string // who accepted the latency; "": it has lasted
	OpensCase, Open, Absorbed, Removed, Momentary  bool
	Accepted, Rejudged, StatusFollows              bool
	Centre                                         Centre
	Contact, Agent                                 string
	Detail, Measured                               []string
}

// letter is a message in its parts, before it is laid out.
type letter struct {
	Subject, Lead, Next, Footer   string
	Facts                         []fact
	MeasuredTitle, DetailTitle    string
	Measured, Detail              []string
	Accent, Language, Link, About string
}

type fact struct{ Name, Value string }

// language returns the language of an audience: engineers read English, like the cases.
func (w *writer) language(a audience) *language {
	if a == toOnCall || a == toCentre {
		return english
	}
	return languageOf(w.tenant.Language)
}

// message writes a notice.
func (w *writer) message(s story, to route) (notify.Message, error) {
	l := w.language(to.audience)
	m, err := w.letter(l, w.page(l, s, to.audience))
	if err != nil {
		return notify.Message{}, err
	}
	var plain, html bytes.Buffer
	if err := plainLayout.ExecuteTemplate(&plain, "layout.txt.tmpl", m); err != nil {
		return notify.Message{}, fmt.Errorf("write notice %s: %w", s.notice.ID, err)
	}
	if err := htmlLayout.ExecuteTemplate(&html, "layout.html.tmpl", m); err != nil {
		return notify.Message{}, fmt.Errorf("write notice %s: %w", s.notice.ID, err)
	}
	return notify.Message{
		ID: s.notice.ID, Thread: s.incident.ID, To: slices.Clone(to.to), Subject: m.Subject, Text: plain.String(), HTML: html.String(),
		Priority: s.incident.Priority, Kind: s.notice.Kind, Date: s.notice.Due,
	}, nil
}

// letter fills the templates of the page's kind.
func (w *writer) letter(l *language, p page) (letter, error) {
	set := texts[l.code()]
	var failed error
	part := func(name string) string {
		var b strings.Builder
		if err := set.ExecuteTemplate(&b, name, p); err != nil && failed == nil {
			failed = fmt.Errorf("write text %s/%s: %w", l.code(), name, err)
		}
		return strings.TrimSpace(b.String())
	}
	m := letter{
		Subject: part(p.Kind + ".subject"), Lead: part(p.Kind + ".lead"), Next: part(p.Kind + ".next"), Footer: part("footer"),
		Measured: p.Measured, Accent: accent(p), Language: l.code(), Link: p.PageURL, About: part("about"),
	}
	for line := range strings.Lines(part(p.Kind + ".facts")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " | ")
		if ok && value != "" {
			m.Facts = append(m.Facts, fact{name, value})
		}
	}
	if len(m.Measured) > 0 {
		m.MeasuredTitle = part("measured")
	}
	if p.Audience != string(toCustomer) && p.Open {
		m.Detail, m.DetailTitle = p.Detail, part("detail")
	}
	return m, failed
}

// accent is the colour of the bar beside the first paragraph; it is read on white and on black.
func accent(p page) string {
	switch {
	case !p.Open:
		return "#16a34a"
	case p.Priority == "P1" || p.Priority == "P2":
		return "#dc2626"
	}
	return "#d97706"
}

// page prepares what the templates see.
func (w *writer) page(l *language, s story, to audience) page {
	i, c := s.incident, s.theCase
	if s.notice.Kind == incident.NoticeResolved {
		i = i.AtWorst() // what is over is what it was at its worst, not what was left of it at the end
	}
	when := func(t time.Time) string { return l.date(t, w.tenant.Zone) }
	p := page{
		Audience: string(to), Kind: string(s.notice.Kind), Tenant: w.tenant.Name,
		Problem: tidy(l.problem(i.Title), maxText), Root: i.Root, Priority: i.Priority.String(), Level: l.levels[min(i.Priority, incident.P4)], Rule: l.rule(i),
		Reason: l.reasons[probes.Reason(i.Reason)], Class: string(i.Class), Why: tidy(i.Why, maxText), Judged: l.judged(i.Judged), Text: tidy(s.notice.Text, maxText),
		Number: c.Number, CaseURL: c.URL, Into: s.into,
		Started: when(i.Started), Commencement: when(i.Commencement), ReactionDue: when(i.ReactionDue), Due: when(s.notice.Due), Ended: when(i.Ended),
		Now: when(s.now), Acknowledged: when(c.Acknowledged), AcknowledgedBy: c.AcknowledgedBy,
		Lasted: l.span(s.now.Sub(i.Started)), Every: l.interval(w.statusEvery), Status: s.notice.Seq,
		OpensCase: i.Class.OpensCase(), Open: i.Open(), Absorbed: i.Resolution == incident.Absorbed, Removed: i.Resolution == incident.Removed,
		Momentary: i.Resolution == incident.Momentary, Rejudged: i.Resolution == incident.Rejudged, Accepted: i.Resolution == incident.Accepted, AcceptedBy: tidy(i.AcceptedBy, maxActor), Centre: w.centre, Contact: contact(w.tenant.Customer), Agent: w.agent,
		StatusFollows: slices.Contains(w.statusFor, i.Priority), Detail: tidied(i.Detail),
	}
	if w.url != "" {
		p.PageURL = strings.TrimSuffix(w.url, "/") + "/"
	}
	for _, h := range c.Holds {
		if h.To.IsZero() && i.Open() {
			p.HeldSince = when(h.From)
		}
		if h.From.Equal(s.notice.Due) {
			p.HoldReason = h.Reason
		}
	}
	if !i.Open() {
		gross, net := sla.Downtime(i.Started, i.Ended, c.Holds)
		p.Gross, p.Net = l.span(gross), l.span(net)
		if gross != net {
			p.Held = l.span(gross - net)
		}
	}
	if i.Class != incident.Agent && i.Class != incident.Account {
		p.Measured = w.measured(l, s.view)
	}
	return p
}

// measured says of every component what is measured now.
func (w *writer) measured(l *language, v engine.View) []string {
	switch {
	case v.Blind:
		return []string{l.blind}
	case v.At.IsZero() || len(v.Components) == 0:
		return []string{l.notYet}
	}
	var lines []string
	for _, c := range v.Components {
		line := c.Name + ": " + l.outcomes[c.Outcome]
		if c.Outcome == probes.Down || c.Outcome == probes.Degraded {
			if reason := l.reasons[c.Reason]; reason != "" {
				line += ", " + reason
			}
			if !c.Since.IsZero() {
				line += ", " + l.since + " " + c.Since.In(w.tenant.Zone).Format(l.clock)
			}
		}
		if n := len(c.Instances); n > 1 && c.Outcome != probes.Unknown {
			answering := 0
			for _, in := range c.Instances {
				if in.Outcome == probes.Up || in.Outcome == probes.Degraded {
					answering++
				}
			}
			line += " (" + fmt.Sprintf(l.instances, answering, n) + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// contact returns a person on one line.
func contact(c incident.Contact) string {
	var parts []string
	for _, part := range []string{c.Name, c.Phone, c.Email} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

func tidied(lines []string) []string {
	list := make([]string, len(lines))
	for n, line := range lines {
		list[n] = tidy(line, maxText)
	}
	return list
}
