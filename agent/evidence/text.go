package evidence

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// Bounds on the text.
const (
	maxText    = 8_000 // bytes
	maxNote    = 3_800 // bytes of what the timeline and the case are told: a journal of ServiceNow takes 4,000 characters
	maxLine    = 600
	maxSummary = 500
	longPath   = 14 // lines of all paths, from which they come as a file
	mostOthers = 20 // components and witnesses that are named
)

// pathFile is the name of the file with the paths.
const pathFile = "path.txt"

// text writes the package: the essence in the first line, then a paragraph for each matter.
func (f findings) text(e incident.Evidence) string {
	var b strings.Builder
	b.WriteString(secret.Plain(f.summary(), maxSummary) + "\n")
	paragraph := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		b.WriteString("\n" + title + "\n")
		for _, line := range lines {
			b.WriteString(line + "\n")
		}
	}
	paragraph("Failing", f.failingLines())
	paragraph("Paths", f.pathLines())
	paragraph("Names", f.nameLines())
	paragraph("Other components", f.otherLines())
	paragraph("Witnesses", f.witnessLines())
	paragraph("The agent", f.agentLines())
	paragraph("Files", f.fileLines(e))
	return cut(strings.TrimSpace(b.String()), maxText)
}

// cut bounds a text of several lines at a line's end.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const rest = "\n... and more, with the incident on the agent's page"
	text = strings.ToValidUTF8(text[:most-len(rest)], "")
	if n := strings.LastIndexByte(text, '\n'); n > most/2 {
		text = text[:n]
	}
	return text + rest
}

// summary is the essence in one line.
func (f findings) summary() string {
	var parts []string
	for _, w := range f.walks {
		parts = append(parts, w.Summary())
	}
	for _, l := range f.lookups {
		parts = append(parts, l.summary())
	}
	works, all := 0, 0
	for _, c := range f.view.Components {
		if !slices.Contains(f.incident.Components, c.Name) {
			all++
			if c.Outcome == probes.Up {
				works++
			}
		}
	}
	if all > 0 {
		parts = append(parts, answering(works, all, "other component", "other components", " normally"))
	}
	if n := len(f.view.Witnesses); n > 0 {
		up := 0
		for _, w := range f.view.Witnesses {
			if w.Outcome == probes.Up {
				up++
			}
		}
		parts = append(parts, answering(up, n, "witness", "witnesses", ""))
	}
	if len(parts) == 0 {
		parts = append(parts, "the state at the time is below")
	}
	return strings.Join(parts, "; ")
}

// answering says how many of all answer.
func answering(n, all int, one, many, how string) string {
	switch {
	case all > 1:
		return fmt.Sprintf("%d of %d %s answer%s", n, all, many, how)
	case n == 1:
		return "the " + one + " answers" + how
	}
	return "the " + one + " does not answer" + how
}

// summary compares what the others say with what the system's resolver says.
func (l lookup) summary() string {
	first := l.answers[0]
	var know, differ, none []string
	for _, a := range l.answers[1:] {
		switch {
		case a.failed:
			none = append(none, a.resolver)
		case !first.failed && apart(a.text, first.text):
			differ = append(differ, a.resolver)
		default:
			know = append(know, a.resolver)
		}
	}
	var parts []string
	switch {
	case first.failed && len(know) > 0:
		parts = append(parts, l.name+" does not resolve here, but at "+strings.Join(know, ", "))
	case first.failed:
		return l.name + " does not resolve"
	case len(know) > 0:
		parts = append(parts, fmt.Sprintf("%d resolvers agree on %s", len(know)+1, l.name))
	default:
		parts = append(parts, l.name+" resolves")
	}
	if len(differ) > 0 {
		parts = append(parts, "to other addresses at "+strings.Join(differ, ", "))
	}
	if len(none) > 0 {
		parts = append(parts, "not at "+strings.Join(none, ", "))
	}
	return strings.Join(parts, ", ")
}

// apart reports whether two lists of addresses have none in common: a part of a longer list is usual, a list of others is not.
func apart(a, b string) bool {
	other := strings.Split(b, ", ")
	return !slices.ContainsFunc(strings.Split(a, ", "), func(address string) bool { return slices.Contains(other, address) })
}

func (f findings) failingLines() (lines []string) {
	for _, p := range f.failing {
		line := "- " + p.probe.ID
		if r := p.probe.Last; r != nil {
			line += fmt.Sprintf(" at %s: %s", f.clock(r.Start), result(*r))
		}
		lines = append(lines, secret.Plain(line, maxLine))
		switch {
		case p.good != nil:
			lines = append(lines, "  "+secret.Plain(fmt.Sprintf("last good at %s: %s", f.clock(p.good.Start), result(*p.good)), maxLine))
		case !p.probe.LastGood.IsZero():
			lines = append(lines, "  last good at "+f.clock(p.probe.LastGood))
		default:
			lines = append(lines, "  never good since the agent knows it")
		}
	}
	if f.more > 0 {
		lines = append(lines, fmt.Sprintf("- and %d more", f.more))
	}
	return lines
}

// result says what a run measured.
func result(r probes.Result) string {
	var b strings.Builder
	b.WriteString(r.Outcome.String())
	if r.Reason != probes.None {
		b.WriteString(", " + string(r.Reason))
	}
	b.WriteString(", after " + short(r.Duration))
	for n, p := range r.Phases {
		open := ", "
		if n == 0 {
			open = " ("
		}
		b.WriteString(open + p.Name + " " + short(p.Duration))
	}
	if len(r.Phases) > 0 {
		b.WriteString(")")
	}
	if r.Detail != "" {
		b.WriteString(": " + r.Detail)
	}
	for _, fact := range r.Facts {
		b.WriteString("; " + fact.Name + "=" + fact.Value)
	}
	return b.String()
}

// short returns a duration with three figures or so.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// pathLines returns the paths, or, where they are long, how far each goes.
func (f findings) pathLines() (lines []string) {
	long := f.pathFile() != nil
	for _, w := range f.walks {
		if long {
			lines = append(lines, "- "+secret.Plain(w.Summary(), maxLine))
			continue
		}
		for _, line := range w.Lines() {
			lines = append(lines, "  "+strings.TrimRight(line, " "))
		}
	}
	if long {
		lines = append(lines, "hop by hop in "+pathFile)
	}
	return lines
}

// pathFile returns the paths as a file, where they are long; nil otherwise.
func (f findings) pathFile() *incident.EvidenceFile {
	var lines []string
	for _, w := range f.walks {
		lines = append(lines, w.Lines()...)
		lines = append(lines, "")
	}
	if len(lines) <= longPath {
		return nil
	}
	text := []byte(strings.Join(lines, "\n"))
	return &incident.EvidenceFile{Name: pathFile, Type: "text/plain", Size: len(text), Content: text}
}

func (f findings) nameLines() (lines []string) {
	for _, l := range f.lookups {
		for _, a := range l.answers {
			lines = append(lines, secret.Plain(fmt.Sprintf("- %s at %s: %s (%s)", l.name, a.resolver, a.text, short(a.took)), maxLine))
		}
	}
	return lines
}

func (f findings) otherLines() (lines []string) {
	for _, c := range f.view.Components {
		if slices.Contains(f.incident.Components, c.Name) {
			continue
		}
		line := "- " + c.Name + ": " + c.Outcome.String()
		if c.Outcome != probes.Up && c.Reason != probes.None {
			line += ", " + string(c.Reason)
		}
		if c.Outcome != probes.Up && !c.Since.IsZero() {
			line += ", since " + f.clock(c.Since)
		}
		if c.Maintenance != "" {
			line += ", in the maintenance window " + c.Maintenance
		}
		lines = append(lines, secret.Plain(line, maxLine))
	}
	return some(lines)
}

func (f findings) witnessLines() (lines []string) {
	for _, w := range f.view.Witnesses {
		line := "- " + w.ID + ": " + w.Outcome.String()
		if r := w.Last; r != nil {
			line += " at " + f.clock(r.Start) + ", after " + short(r.Duration)
		}
		lines = append(lines, secret.Plain(line, maxLine))
	}
	return some(lines)
}

func some(lines []string) []string {
	if more := len(lines) - mostOthers; more > 0 {
		lines = append(lines[:mostOthers:mostOthers], fmt.Sprintf("- and %d more", more))
	}
	return lines
}

func (f findings) agentLines() []string {
	line := "- looked from " + f.settings.Vantage
	if f.settings.Vantage == "" {
		line = "- looked"
	}
	for _, w := range f.walks {
		if w.Local.IsValid() {
			line += ", address " + w.Local.String()
			if w.Via != "" {
				line += " on " + w.Via
			}
			break
		}
	}
	lines := []string{secret.Plain(fmt.Sprintf("%s, at %s, in %s", line, f.clock(f.began), short(f.took)), maxLine)}
	if f.lag != "" {
		lines = append(lines, secret.Plain("- "+f.lag, maxLine))
	}
	return lines
}

func (f findings) fileLines(e incident.Evidence) (lines []string) {
	for _, file := range e.Files {
		lines = append(lines, fmt.Sprintf("- %s (%s, %d bytes)", file.Name, secret.Plain(file.Type, 80), file.Size))
	}
	var left []string
	for _, name := range e.Left {
		left = append(left, "- "+name+" is left out: too many files, or too large")
	}
	lines = append(lines, some(left)...)
	if len(e.Files) > 0 && f.settings.ExternalURL != "" {
		lines = append(lines, "at "+strings.TrimSuffix(f.settings.ExternalURL, "/")+"/incidents/"+e.Incident)
	}
	return lines
}

// clock returns an instant in the tenant's zone, to the second.
func (f findings) clock(t time.Time) string {
	zone := f.settings.Zone
	if zone == nil {
		zone = time.UTC
	}
	return t.In(zone).Format("2006-01-02 15:04:05 MST")
}
