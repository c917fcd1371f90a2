package replay

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/firstcall-agent/firstcall/incident"
)

// WriteText writes a report for people: the cases, then what it all came to. Times are in the tenant's zone.
func WriteText(w io.Writer, r *Report, source string) error {
	p := &page{w: w, zone: r.Zone}
	p.head(r, source)
	cases, others := r.Cases()
	if len(cases) == 0 {
		p.line("no case would have been opened")
	}
	for _, i := range cases {
		p.line("")
		p.incident(i, r.End)
	}
	p.line("")
	p.summary(r, cases, others)
	p.notes(r)
	return p.err
}

// WriteComparison writes what two reports of one record, A and B, have in common and what they have not.
func WriteComparison(w io.Writer, a, b *Report, source string) error {
	p := &page{w: w, zone: a.Zone}
	p.head(a, source)
	p.line("A is %s, B is %s", named(a), named(b))
	p.line("")
	pairs := Compare(a, b)
	if len(pairs) == 0 {
		p.line("neither would have opened a case")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(pairs) > 0 {
		_, _ = fmt.Fprintln(table, "IN\tA OPENED\tA\tLASTED\tB OPENED\tB\tLASTED\tWHAT")
	}
	both, onlyA, onlyB := 0, 0, 0
	for _, pair := range pairs {
		in := "both"
		switch {
		case pair.B == nil:
			in = "A"
			onlyA++
		case pair.A == nil:
			in = "B"
			onlyB++
		default:
			both++
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", in, p.side(pair.A, a.End), p.side(pair.B, b.End), title(pair))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	p.line("")
	p.line("cases: %d in both, %d only in A, %d only in B", both, onlyA, onlyB)
	for _, one := range []struct {
		name string
		r    *Report
	}{{"A", a}, {"B", b}} {
		p.line("")
		p.line("%s: %s", one.name, named(one.r))
		cases, others := one.r.Cases()
		p.summary(one.r, cases, others)
	}
	p.notes(a)
	return p.err
}

// page writes lines and keeps the first error.
type page struct {
	w    io.Writer
	zone *time.Location
	err  error
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, plain(fmt.Sprintf(format, args...)))
	}
}

// plain returns text without what a terminal would act on: it comes from targets and files.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

func named(r *Report) string {
	if r.File == "" {
		return "the built-in defaults"
	}
	return r.File
}

func (p *page) clock(t time.Time) string { return t.In(p.zone).Format("Mon 2006-01-02 15:04:05 MST") }

func (p *page) head(r *Report, source string) {
	p.line("replayed %s results of %s by %s", count(r.Results), source, named(r))
	if r.Results > 0 {
		p.line("from %s to %s: %s", p.clock(r.Start), p.clock(r.End), span(r.End.Sub(r.Start)))
	}
}

// incident writes one case.
func (p *page) incident(i Incident, end time.Time) {
	state := "still open at the end"
	if !i.Closed.IsZero() {
		state = string(i.Resolution)
	}
	p.line("%s  %s  %s (%s, %s)", p.clock(i.Opened), i.Highest, i.AtWorst().Title, span(i.Lasted(end)), state)
	p.line("    why: %s", i.Why)
	p.line("    since %s, opened %s later", p.clock(i.Started), span(i.Opened.Sub(i.Started)))
	for n, line := range i.Measured {
		if n == 3 {
			p.line("    and %d more", len(i.Measured)-n)
			break
		}
		p.line("    measured: %s", line)
	}
	for n, e := range i.Events {
		if n == 12 {
			p.line("    and %d more steps", len(i.Events)-n)
			break
		}
		p.line("    %s  %s: %s", e.At.In(p.zone).Format("Mon 15:04:05"), e.Kind, e.Text)
	}
}

func (p *page) summary(r *Report, cases []Incident, others int) {
	counts := map[incident.Priority]int{}
	for _, i := range cases {
		counts[i.Highest]++
	}
	p.line("cases: %d (P1 %d, P2 %d, P3 %d, P4 %d), by their highest priority", len(cases), counts[incident.P1], counts[incident.P2], counts[incident.P3], counts[incident.P4])
	if others > 0 {
		p.line("incidents that open no case (functional, or the agent's own): %d", others)
	}
	for _, c := range r.Components {
		p.line("%s: degraded %s, down %s", c.Name, span(c.Degraded), span(c.Down))
	}
}

// notes says what the replay could not know.
func (p *page) notes(r *Report) {
	switch {
	case r.Rechecks > 0:
		p.line("note: the record has %s quick re-probes, which were judged as they were made; %s were asked for. Those that are missing cannot be replayed: the next recorded results confirm instead", count(r.Rechecks), count(r.Wanted))
	case r.Wanted > 0:
		p.line("note: %s quick re-probes that an agent would have made cannot be replayed: the next recorded results confirm instead, so that cases open and end later, and short outages may be missed", count(r.Wanted))
	}
	if len(r.Missing) > 0 {
		names, more := r.Missing, ""
		if len(names) > 5 {
			names, more = names[:5], fmt.Sprintf(" and %d more", len(r.Missing)-5)
		}
		p.line("note: the record has no results of %s%s: what rests on them is not judged", strings.Join(names, ", "), more)
	}
	if r.Foreign > 0 {
		p.line("note: %s results are of probes that are not configured; they are left out", count(r.Foreign))
	}
	if len(r.Gaps) > 0 {
		var sum, longest time.Duration
		for _, g := range r.Gaps {
			sum += g.To.Sub(g.From)
			longest = max(longest, g.To.Sub(g.From))
		}
		p.line("note: the record has %d gaps, %s in all, the longest %s: nothing is judged in them", len(r.Gaps), span(sum), span(longest))
	}
}

// side returns three cells on one case of a pair.
func (p *page) side(i *Incident, end time.Time) string {
	if i == nil {
		return "-\t-\t-"
	}
	return fmt.Sprintf("%s\t%s\t%s", i.Opened.In(p.zone).Format("2006-01-02 15:04:05"), i.Highest, span(i.Lasted(end)))
}

func title(pair Pair) string {
	if pair.A == nil {
		return plain(pair.B.AtWorst().Title)
	}
	return plain(pair.A.AtWorst().Title)
}

// span writes a duration as people read it.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d.Round(time.Hour) >= day:
		d = d.Round(time.Hour)
		text := fmt.Sprintf("%dd", d/day)
		if hours := d % day / time.Hour; hours > 0 {
			text += fmt.Sprintf("%dh", hours)
		}
		return text
	case d.Round(time.Minute) >= time.Hour:
		d = d.Round(time.Minute)
		text := fmt.Sprintf("%dh", d/time.Hour)
		if minutes := d % time.Hour / time.Minute; minutes > 0 {
			text += fmt.Sprintf("%dm", minutes)
		}
		return text
	case d.Round(time.Second) >= time.Minute:
		return strings.Replace(d.Round(time.Second).String(), "m0s", "m", 1)
	}
	return d.Round(time.Second).String()
}

// count writes a number with commas.
func count(n int) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
