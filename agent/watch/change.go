package watch

import (
	"fmt"
	"strings"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

// changes says in one line each what is new in a scene; before is nil at the start, when all that is not well is new.
func changes(before, now *Scene) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, clean(fmt.Sprintf(format, args...))) }
	if before == nil {
		say("%s: %s", now.Tenant, now.Headline.Sentence)
		before = &Scene{}
	}
	switch {
	case now.Blind && !before.Blind:
		say("the agent is blind: nothing is said about the customer")
	case before.Blind && !now.Blind:
		say("the agent sees again")
	}
	was := map[string]engine.ComponentView{}
	for _, c := range before.Components {
		was[c.Name] = c
	}
	for _, c := range now.Components {
		if line := changed(was, c, now.Blind); line != "" {
			say("%s", line)
		}
	}
	return append(lines, incidentChanges(before, now)...)
}

// changed says what became of a component, or "".
func changed(was map[string]engine.ComponentView, c engine.ComponentView, blind bool) string {
	old, known := was[c.Name]
	switch {
	case c.Outcome == probes.Unknown && (blind || !known), known && old.Outcome == c.Outcome, !known && c.Outcome == probes.Up:
		return ""
	case c.Outcome == probes.Up && old.Outcome == probes.Unknown:
		return c.Name + " is up"
	case c.Outcome == probes.Up:
		return c.Name + " is up again"
	}
	line := c.Name + " is " + state(c)
	if why := explain(c); why != "" {
		line += ": " + why
	}
	if c.Maintenance != "" {
		line += " (maintenance: " + c.Maintenance + ")"
	}
	return line
}

// explain says why a component is not well.
func explain(c engine.ComponentView) string {
	if c.Detail != "" {
		return c.Detail
	}
	for _, i := range c.Instances {
		if why := explainInstance(i); why != "" {
			return why
		}
	}
	return ""
}

func explainInstance(i engine.InstanceView) string {
	for _, p := range i.Probes {
		if p.Outcome == probes.Up && !p.Suspect || !p.Deciding && i.Outcome == probes.Up {
			continue
		}
		if len(p.Findings) > 0 {
			return p.Findings[0].Explanation
		}
		if p.Last != nil && p.Last.Outcome != probes.Up {
			return p.Last.Detail
		}
	}
	return ""
}

func incidentChanges(before, now *Scene) []string {
	var lines []string
	open := map[string]incident.Incident{}
	for _, i := range before.Incidents {
		open[i.ID] = i
	}
	for _, i := range now.Incidents {
		old, known := open[i.ID]
		delete(open, i.ID)
		switch {
		case !known:
			lines = append(lines, rank(i)+" opened: "+i.Title)
		case i.Priority.Above(old.Priority):
			lines = append(lines, fmt.Sprintf("%s raised from %s: %s", rank(i), old.Priority, i.Title))
		case old.Priority.Above(i.Priority):
			lines = append(lines, fmt.Sprintf("%s lowered from %s: %s", rank(i), old.Priority, i.Title))
		}
		if line := caseLine(now, i.ID); line != "" && line != caseLine(before, i.ID) {
			lines = append(lines, line+" ("+i.Title+")")
		}
	}
	for _, i := range before.Incidents {
		if _, over := open[i.ID]; over {
			lines = append(lines, rank(i)+" over: "+i.Title)
		}
	}
	for n := range lines {
		lines[n] = clean(lines[n])
	}
	return lines
}

// rank is an incident's priority, or whose matter it is.
func rank(i incident.Incident) string {
	switch {
	case i.Priority != incident.NoPriority:
		return i.Priority.String()
	case i.Class == incident.Agent:
		return "agent"
	}
	return string(i.Class)
}

// caseLine says where an incident's case stands: "case SOC-4711 acknowledged by Jonas Holm"; "" where there is none.
func caseLine(s *Scene, id string) string {
	best := ""
	for _, c := range s.Stories[id].Cases {
		if c.Number == "" || c.State == incident.CaseWithdrawn {
			continue
		}
		line := "case " + c.Number + " " + strings.TrimSpace(string(c.State))
		if c.State == incident.CaseAcknowledged && c.AcknowledgedBy != "" {
			line += " by " + c.AcknowledgedBy
		}
		if best == "" || c.State == incident.CaseAcknowledged {
			best = line
		}
	}
	return best
}

// taken reports whether somebody works on the incident.
func taken(s *Scene, id string) bool {
	for _, c := range s.Stories[id].Cases {
		if !c.Acknowledged.IsZero() {
			return true
		}
	}
	return false
}

// word is an outcome for people.
func word(o probes.Outcome) string {
	if o == probes.Degraded {
		return "slow"
	}
	return o.String()
}

// state is a component's outcome for people.
func state(c engine.ComponentView) string {
	if c.Outcome == probes.Degraded && lame(c.Instances) {
		return "partly down"
	}
	return word(c.Outcome)
}

// alarms remembers what was told loudly. The zero value is ready.
type alarms struct{ told map[string]incident.Priority }

// ring returns the incidents that somebody must hear of now: of priority 1 or 2, not told at this priority before, and taken by
// nobody.
func (a *alarms) ring(s *Scene) []incident.Incident {
	var loud []incident.Incident
	told := map[string]incident.Priority{}
	for _, i := range s.Incidents {
		was := a.told[i.ID]
		if (i.Priority == incident.P1 || i.Priority == incident.P2) && i.Priority.Above(was) {
			if !taken(s, i.ID) {
				loud = append(loud, i)
			}
			was = i.Priority
		}
		if was != incident.NoPriority {
			told[i.ID] = was
		}
	}
	a.told = told
	return loud
}
