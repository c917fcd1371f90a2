package watch

import (
	"fmt"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

// detailRows are all rows about what the cursor stands on.
func (m *screen) detailRows() []string {
	for _, i := range m.items() {
		switch {
		case i.key != m.chosen:
		case i.incident != nil:
			return m.incidentDetails(*i.incident)
		case i.instance != nil:
			return m.componentDetails(i.component, []engine.InstanceView{*i.instance})
		default:
			return m.componentDetails(i.component, i.component.Instances)
		}
	}
	return nil
}

// sheet collects rows of details.
type sheet struct {
	m    *screen
	rows []string
}

// add adds a name and what is to be said of it, over as many rows as that needs; nothing where it is empty.
func (s *sheet) add(name, text string) {
	const indent = 13
	if text == "" {
		return
	}
	for n, row := range wrap(text, s.m.width-indent-1) {
		if n > 0 {
			name = ""
		}
		s.rows = append(s.rows, " "+s.m.look.write(dim, s.m.look.fit(name, indent-1))+row)
	}
}

func (m *screen) componentDetails(c *engine.ComponentView, list []engine.InstanceView) []string {
	s := sheet{m: m, rows: []string{m.rule(clean(c.Name))}}
	s.add("state", m.look.marks[c.Outcome]+" "+state(*c))
	if !c.Since.IsZero() {
		s.add("since", fmt.Sprintf("%s (%s)", c.Since.In(m.zone()).Format("2006-01-02 15:04:05"), span(m.scene.At.Sub(c.Since))))
	}
	s.add("why", explain(*c))
	s.add("maintenance", c.Maintenance)
	s.add("depends on", strings.Join(c.DependsOn, ", "))
	for _, i := range list {
		for n := range i.Probes {
			m.probeDetails(&s, &i.Probes[n])
		}
	}
	return s.rows
}

func (m *screen) probeDetails(s *sheet, p *engine.ProbeView) {
	s.rows = append(s.rows, m.rule(m.look.marks[p.Outcome]+" "+clean(p.ID)))
	state := word(p.Outcome)
	if p.Suspect {
		state += ", suspect: it failed just now and is probed again"
	}
	if !p.Deciding {
		state += " (evidence: it explains, and decides nothing)"
	}
	s.add("state", state)
	if line := m.scene.Lines[p.ID]; len(line) > 0 {
		s.rows = append(s.rows, " "+m.look.write(dim, m.look.fit("latency", 12))+m.look.line(line, normal(p), min(points, m.width-15)))
	}
	if r := p.Last; r != nil {
		last := fmt.Sprintf("%s, took %s", r.Start.In(m.zone()).Format("15:04:05"), millis(r.Duration))
		if r.Reason != probes.None {
			last += ", " + string(r.Reason)
		}
		s.add("last run", last)
		s.add("", r.Detail)
		s.add("phases", phases(r.Phases))
		if c := r.Certificate; c != nil && !c.NotAfter.IsZero() {
			s.add("certificate", fmt.Sprintf("valid for %s", span(c.NotAfter.Sub(m.scene.At))))
		}
	}
	if b := p.Baseline; b != nil && b.Expected > 0 {
		s.add("normal", fmt.Sprintf("%s, slow above %s (learnt %d of %d days)", millis(b.Expected), millis(b.Limit), b.Days, b.Of))
	}
	for _, f := range p.Findings {
		s.add(string(f.Kind), fmt.Sprintf("since %s: %s", f.Since.In(m.zone()).Format("15:04:05"), f.Explanation))
	}
	if k, ok := m.scene.Kinds[p.ID]; ok {
		every := "by its schedule"
		if k.Interval > 0 {
			every = "every " + k.Interval.String()
		}
		s.add("measured", every+" by "+k.Kind)
	}
}

func phases(list []probes.Phase) string {
	var parts []string
	for _, p := range list {
		parts = append(parts, p.Name+" "+millis(p.Duration))
	}
	return strings.Join(parts, ", ")
}

func (m *screen) incidentDetails(i incident.Incident) []string {
	s := sheet{m: m, rows: []string{m.rule(rank(i) + " " + clean(i.Title))}}
	at := func(t time.Time) string { return t.In(m.zone()).Format("2006-01-02 15:04:05") }
	s.add("since", fmt.Sprintf("%s (%s)", at(i.Started), span(m.scene.At.Sub(i.Started))))
	if i.Priority != incident.NoPriority {
		s.add("priority", fmt.Sprintf("%s %s", i.Priority, i.Priority.Name()))
	}
	s.add("why", i.Why)
	if !i.ReactionDue.IsZero() {
		s.add("reaction by", at(i.ReactionDue))
	}
	s.add("components", strings.Join(i.Components, ", "))
	for _, line := range i.Detail {
		s.add("measured", line)
	}
	story := m.scene.Stories[i.ID]
	for _, c := range story.Cases {
		text := c.Desk + ": " + c.Number + " " + string(c.State)
		if c.AcknowledgedBy != "" {
			text += ", taken by " + c.AcknowledgedBy
		}
		if c.LastError != "" {
			text += ", " + c.LastError
		}
		s.add("case", text)
		s.add("", c.URL)
	}
	if len(story.Timeline) > 0 {
		s.rows = append(s.rows, m.rule("timeline"))
	}
	for _, e := range story.Timeline {
		first, _, _ := strings.Cut(e.Text, "\n") // what was gathered is told in full on the page
		s.add(e.At.In(m.zone()).Format("15:04:05"), first)
	}
	return s.rows
}
