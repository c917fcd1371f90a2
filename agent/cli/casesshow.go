package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
)

// printStory writes all that is known of a case: what it is about, its clock, its holds, what is still to be delivered, and its
// timeline.
func printStory(w io.Writer, k incident.Case, s web.Story) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	showCase(tw, k, s)
	showClock(tw, s)
	for _, h := range k.Holds {
		row(tw, "hold", holdText(h))
	}
	showEnd(tw, s)
	for _, d := range s.Deliveries {
		row(tw, "to be delivered", deliveryText(d))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w)
	if s.Earlier > 0 {
		_, _ = fmt.Fprintf(w, "%d earlier steps are left out\n", s.Earlier)
	}
	for _, e := range s.Timeline {
		text := e.Text
		if e.Kind == incident.EventEvidence {
			text, _, _ = strings.Cut(text, "\n") // the whole stands below
		}
		row(tw, clockTime(e.At), string(e.Kind), e.Actor, text)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	showEvidence(w, s)
	return nil
}

// showEvidence writes what was gathered when the incident opened, and where its files are.
func showEvidence(w io.Writer, s web.Story) {
	if s.Evidence == nil {
		return
	}
	_, _ = fmt.Fprintf(w, "\nevidence, gathered %s:\n\n", clockTime(s.Evidence.At))
	for line := range strings.Lines(s.Evidence.Text) {
		_, _ = fmt.Fprintln(w, printable(strings.TrimRight(line, "\n")))
	}
	for n, f := range s.Evidence.Files {
		if n == 0 {
			_, _ = fmt.Fprintln(w)
		}
		_, _ = fmt.Fprintf(w, "GET /api/v1/incidents/%s/evidence/%s\n", s.Incident.ID, f.Name)
	}
}

func showCase(w io.Writer, k incident.Case, s web.Story) {
	i := s.Incident
	row(w, "case", orDash(k.Number)+" at "+k.Desk)
	if k.URL != "" {
		row(w, "link", k.URL)
	}
	for _, e := range k.Earlier {
		row(w, "follows", fmt.Sprintf("%s, resolved %s by %s %s", e.Number, clockTime(e.Resolved), e.ResolvedBy, e.URL))
	}
	for _, o := range s.Cases {
		if o.Desk != k.Desk {
			row(w, "beside", fmt.Sprintf("%s at %s, %s", orDash(o.Number), o.Desk, stateWord(o)))
		}
	}
	row(w, "title", fmt.Sprintf("%s %s: %s", i.Priority, i.Tenant, i.Title))
	row(w, "why", i.Why)
	if judged := i.Judged.String(); judged != "" {
		row(w, "whose matter", judged)
	}
	row(w, "state", stateWord(k))
	row(w, "since", clockTime(i.Started))
	if k.AcknowledgedBy != "" {
		row(w, "acknowledged", clockTime(k.Acknowledged)+" by "+k.AcknowledgedBy)
	}
}

func showClock(w io.Writer, s web.Story) {
	c := s.Clock
	row(w, "commencement", clockTime(s.Incident.Commencement))
	row(w, "reaction due", clockTime(s.Incident.ReactionDue))
	if text := web.Reaction(c, !s.Incident.Open(), s.At); text != "" {
		row(w, "reaction", fmt.Sprintf("%s, %.0f %% of the reaction time", text, c.Used*100))
	}
	switch {
	case !s.Incident.Open() || c.Due.IsZero():
	case c.Held:
		row(w, "work", "on hold: the case waits for the customer")
	case c.Working:
		row(w, "work", "owed now")
	default:
		row(w, "work", "not owed now: outside supported time")
	}
}

func showEnd(w io.Writer, s web.Story) {
	i := s.Incident
	if !s.Clock.Rectified.IsZero() {
		row(w, "temporarily rectified", clockTime(s.Clock.Rectified))
	}
	if !i.Open() {
		switch {
		case i.AcceptedBy != "":
			row(w, "taken as normal", clockTime(i.Ended)+", accepted by "+i.AcceptedBy)
		case i.Resolution == incident.Accepted:
			row(w, "taken as normal", clockTime(i.Ended)+", since it has lasted")
		case i.Resolution == incident.Rejudged:
			row(w, "judged anew", clockTime(i.Ended)+", by the configuration")
		default:
			row(w, "rectified", clockTime(i.Ended)+", "+string(i.Resolution))
		}
	}
	row(w, "downtime", fmt.Sprintf("%s, net of holds %s", s.Downtime.Gross.Round(time.Second), s.Downtime.Net.Round(time.Second)))
	for _, d := range i.Detail {
		row(w, "measured", d)
	}
}

// holdText says when a hold began and ended, what ended it, and why it was.
func holdText(h incident.Hold) string {
	text := clockTime(h.From) + " to "
	if h.To.IsZero() {
		text = "since " + clockTime(h.From)
	} else {
		text += clockTime(h.To)
	}
	if !h.Answered.IsZero() {
		text += ", answered " + clockTime(h.Answered)
	}
	if !h.Left.IsZero() && !h.Left.Equal(h.To) {
		text += ", left " + clockTime(h.Left)
	}
	return fmt.Sprintf("%s: %s (%s)", text, h.Reason, h.Actor)
}

// deliveryText says what is to be delivered, to whom, for how long it has not been, and why.
func deliveryText(d web.Delivery) string {
	to := "at " + d.Desk
	if d.Notifier != "" {
		to = "by " + d.Notifier
	}
	text := fmt.Sprintf("%s %s %s", d.What(), to, d.How())
	if d.Attempts > 0 && !d.GivenUp {
		text += fmt.Sprintf(", attempt %d", d.Attempts+1)
		if !d.NextTry.IsZero() {
			text += " at " + clockTime(d.NextTry)
		}
	}
	if why := d.Why(); why != "" {
		text += ": " + why
	}
	return text
}
