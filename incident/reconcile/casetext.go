package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/probes"
)

// Bounds on a case's text: what a person reads, and what every known ticket system takes.
const (
	maxTitle    = 160
	maxBody     = 12_000
	maxStory    = 30 // events
	maxEvidence = 20 // lines
)

// stamp returns an instant as it stands in cases: to the second, in the tenant's zone and in UTC.
func (w *writer) stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	const layout = "2006-01-02 15:04:05 MST"
	local, utc := t.In(w.tenant.Zone).Format(layout), t.UTC().Format(layout)
	if local == utc {
		return utc
	}
	return local + " (" + utc + ")"
}

// fields returns what the case c, which may be the zero case, of an incident shall say at that priority.
func (w *writer) fields(i incident.Incident, c incident.Case, p incident.Priority, events []incident.Event, v engine.View) desk.Fields {
	t := w.bodyText(i, c, p, events, v)
	return desk.Fields{
		Key: t.Key, Title: tidy(w.say(partTitle, t), maxTitle), Body: cut(w.say(partBody, t)+"\n", maxBody), Priority: p,
		Customer: w.tenant.Customer, Incident: i, Published: t.Evidence, Follows: t.Follows, Extra: w.own.fields(t, w.log),
	}
}

func (w *writer) bodyText(i incident.Incident, c incident.Case, p incident.Priority, events []incident.Event, v engine.View) CaseText {
	t := w.caseText(i, c, v)
	t.Priority, t.Level = p.String(), english.levels[min(p, incident.P4)]
	t.Story = w.storyLines(events)
	return t
}

// closing returns the note that ends a case.
func (w *writer) closing(i incident.Incident, c incident.Case, into string, v engine.View) string {
	return cut(w.say(partClosing, w.closingText(i, c, into, v))+"\n", maxBody)
}

func (w *writer) closingText(i incident.Incident, c incident.Case, into string, v engine.View) CaseText {
	t := w.caseText(i.AtWorst(), c, v)
	t.Into = into
	gross, net := sla.Downtime(i.Started, i.Ended, c.Holds)
	t.Gross, t.Net = english.span(gross), english.span(net)
	if gross != net {
		t.Held = english.span(gross - net)
	}
	for _, h := range c.Holds {
		end := "the end"
		if !h.To.IsZero() {
			end = w.stamp(h.To)
		}
		t.HoldsOf = append(t.HoldsOf, fmt.Sprintf("%s to %s, by %s: %s", w.stamp(h.From), end, h.Actor, h.Reason))
	}
	return t
}

// note returns an event as a note in the case c of an incident.
func (w *writer) note(i incident.Incident, c incident.Case, e incident.Event, v engine.View) string {
	return cut(w.say(partNote, w.noteText(i, c, e, v)), maxBody)
}

func (w *writer) noteText(i incident.Incident, c incident.Case, e incident.Event, v engine.View) CaseText {
	t := w.caseText(i, c, v)
	t.At, t.Kind, t.Text = w.stamp(e.At), string(e.Kind), e.Text
	return t
}

// statusNote returns what is measured now, for the timeline. Where the desk mails the customer what is noted, it is in the
// customer's language.
func (w *writer) statusNote(i incident.Incident, k int, v engine.View, mailed bool) string {
	l := english
	if mailed {
		l = languageOf(w.tenant.Language)
	}
	return fmt.Sprintf("status %d: %s. %s", k, l.problem(i.Title), strings.Join(w.measured(l, v), "; "))
}

// reaction says that a share, in percent, of the reaction time has passed and nobody has taken the case.
func (w *writer) reaction(i incident.Incident, c incident.Case, share int, k sla.Clock) string {
	where := "no case could be opened yet"
	if exists(c) {
		where = fmt.Sprintf("nobody has taken case %s at %s", c.Number, c.Desk)
	}
	left := "the reaction is due " + w.stamp(i.ReactionDue)
	if k.Margin > 0 {
		left += ", in " + english.span(k.Margin)
	}
	if share >= 100 {
		left = "the reaction was due " + w.stamp(i.ReactionDue)
	}
	return fmt.Sprintf("%d %% of the reaction time has passed and %s: %s; call the %s, %s", share, where, left, w.centre.Name, w.centre.Phone)
}

// evidence returns in one line what shows that the incident lasts.
func (w *writer) evidence(i incident.Incident, v engine.View) string {
	if lines := evidenceLines(i, v); len(lines) > 0 {
		return strings.Join(lines, "; ")
	}
	return strings.Join(tidied(i.Detail), "; ")
}

func (w *writer) caseText(i incident.Incident, c incident.Case, v engine.View) CaseText {
	t := CaseText{
		Priority: i.Priority.String(), Level: english.levels[min(i.Priority, incident.P4)], Tenant: w.tenant.Name, Problem: tidy(i.Title, maxText), Why: tidy(i.Why, maxText),
		Started: w.stamp(i.Started), LastGood: w.stamp(lastGood(i, v)), Opened: w.stamp(i.Opened), Commencement: w.stamp(i.Commencement), React: w.stamp(i.ReactionDue),
		Ended: w.stamp(i.Ended), Closed: w.stamp(i.Closed), Reason: i.Reason, Judged: tidy(i.Judged.String(), maxText),
		Detail: tidied(i.Detail), Evidence: evidenceLines(i, v), Viewed: len(v.Components) > 0,
		Class: string(i.Class), Root: i.Root, TenantID: w.tenant.ID, Number: c.Number,
		Contact: contact(w.tenant.Customer), Key: cmp.Or(c.Key(), i.ID), Agent: w.agent, Centre: w.centre,
		Open: i.Open(), Absorbed: i.Resolution == incident.Absorbed, Removed: i.Resolution == incident.Removed, Momentary: i.Resolution == incident.Momentary,
		Rejudged: i.Resolution == incident.Rejudged, Accepted: i.Resolution == incident.Accepted, AcceptedBy: tidy(i.AcceptedBy, maxActor),
	}
	t.Times = Times{Started: i.Started.UTC(), Opened: i.Opened.UTC(), Commencement: i.Commencement.UTC(), React: i.ReactionDue.UTC(), Ended: i.Ended.UTC(), Closed: i.Closed.UTC()}
	if n := len(c.Earlier); n > 0 {
		t.Follows = c.Earlier[n-1].Number
	}
	if w.url != "" {
		t.PageURL = strings.TrimSuffix(w.url, "/") + "/"
	}
	for _, c := range v.Components {
		switch {
		case c.Outcome == probes.Up:
			t.Works = append(t.Works, c.Name)
		case !slices.Contains(i.Components, c.Name):
			t.Broken = append(t.Broken, c.Name+": "+english.outcomes[c.Outcome])
		}
	}
	return t
}

// storyLines returns the timeline, the newest steps where it is long.
func (w *writer) storyLines(events []incident.Event) []string {
	var lines []string
	for _, e := range events {
		switch e.Kind {
		case incident.EventNoticeSent, incident.EventNoticeFailed, incident.EventCaseFailed, incident.EventCaseOpened, incident.EventCaseUpdated:
			continue // the agent's own book-keeping
		case incident.EventEvidence:
			continue // it is an internal note of its own: the customer may read what stands here
		case incident.EventSilenced, incident.EventUnsilenced, incident.EventMaintenance:
			continue // a person's words to colleagues: they stand on the page and in the timeline
		default:
		}
		lines = append(lines, tidy(fmt.Sprintf("%s %s: %s", w.stamp(e.At), e.Kind, e.Text), 2*maxText))
	}
	if n := len(lines) - maxStory; n > 0 {
		lines = append([]string{fmt.Sprintf("(%d earlier steps left out)", n)}, lines[n:]...)
	}
	return lines
}

// failing returns the probes of the incident's components that are not up.
func failing(i incident.Incident, v engine.View) []engine.ProbeView {
	var list []engine.ProbeView
	for _, c := range v.Components {
		if !slices.Contains(i.Components, c.Name) {
			continue
		}
		for _, in := range c.Instances {
			for _, p := range in.Probes {
				if p.Outcome == probes.Down || p.Outcome == probes.Degraded {
					list = append(list, p)
				}
			}
		}
	}
	return list
}

// evidenceLines returns the newest result of every failing probe with its facts.
func evidenceLines(i incident.Incident, v engine.View) []string {
	var lines []string
	for _, p := range failing(i, v) {
		if p.Last == nil || len(lines) == maxEvidence {
			continue
		}
		var line strings.Builder
		fmt.Fprintf(&line, "%s: %s %s after %s", p.ID, p.Last.Outcome, p.Last.Reason, p.Last.Duration.Round(time.Millisecond))
		if p.Last.Detail != "" {
			line.WriteString(": " + p.Last.Detail)
		}
		for _, f := range p.Last.Facts {
			fmt.Fprintf(&line, "; %s=%s", f.Name, f.Value)
		}
		lines = append(lines, tidy(line.String(), 2*maxText))
	}
	return lines
}

// lastGood returns when a probe that fails now was last good; the newest where there are several.
func lastGood(i incident.Incident, v engine.View) time.Time {
	var last time.Time
	for _, p := range failing(i, v) {
		last = later(last, p.LastGood)
	}
	return last
}

// say fills the template of a part of a case, the operator's own where there is one. A failure of the agent's, which the tests
// rule out, leaves its text instead of no case. There is no space around what it returns.
func (w *writer) say(part string, t CaseText) string {
	if text, ok := w.own.fill(partKey{name: part}, t, w.log); ok {
		return text
	}
	var b strings.Builder
	if err := caseBase.ExecuteTemplate(&b, "case."+part, t); err != nil {
		return t.Problem + "\n" + t.Why + "\n" + err.Error()
	}
	return strings.TrimSpace(b.String())
}

// cut bounds a text of several lines at a line's end.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = strings.ToValidUTF8(text[:limit-len("...\n")], "")
	if n := strings.LastIndexByte(text, '\n'); n > limit/2 {
		text = text[:n+1]
	}
	return text + "...\n"
}
