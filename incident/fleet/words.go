package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// mostLines bounds the members that a parent case lists.
const mostLines = 60

// Title says what it is: "virtual-desktop inaccessible at 31 tenants in region westeurope".
func (i Incident) Title() string {
	verb := map[incident.Class]string{
		incident.Availability: "inaccessible", incident.Performance: "slow", incident.Capacity: "near a limit", incident.Agent: "silent or blind",
	}[i.Scope.Class]
	return fmt.Sprintf("%s %s at %d tenants%s%s", i.Scope.what(), cmp.Or(verb, string(i.Scope.Class)), i.Within(), i.Scope.where(), i.others(" and %d others"))
}

// others counts the members that do not lie in the scope; it is empty where all do.
func (i Incident) others(format string) string {
	if n := len(i.Members) - i.Within(); n > 0 {
		return fmt.Sprintf(format, n)
	}
	return ""
}

func (s Scope) what() string {
	switch {
	case len(s.Components) == 0:
		return "components"
	case slices.Equal(s.Components, []string{incident.Solution}):
		return "entire solution"
	}
	return strings.Join(s.Components, ", ")
}

func (s Scope) where() string {
	if s.Label == "" {
		return ""
	}
	return " in " + strings.ReplaceAll(s.Label, "_", " ") + " " + strings.Join(s.Values, ", ")
}

// Sentence says what a person should know first, with times in the zone, and the day where it is not today: "31 tenants lost
// virtual-desktop in region westeurope at 10:42 CET: one cause". Where not all fail any more it says how many do.
func (i Incident) Sentence(zone *time.Location, now time.Time) string {
	began, others := since(i.Started.In(zone), now), i.others(", and %d others,")
	if i.Scope.Class == incident.Agent {
		if i.Failing() == len(i.Members) {
			return fmt.Sprintf("Nobody watches %d tenants%s%s since %s, their agents are silent or blind: one cause", i.Within(), i.Scope.where(), others, began)
		}
		return fmt.Sprintf("%d agents%s%s fell silent or blind at %s, %s: one cause", i.Within(), i.Scope.where(), others, began, i.still("is", "are"))
	}
	verb := map[incident.Class]string{incident.Availability: "lost", incident.Performance: "became slow with", incident.Capacity: "came near a limit of"}[i.Scope.Class]
	still := ""
	if i.Failing() < len(i.Members) {
		still = ", " + i.still("fails", "fail")
	}
	return fmt.Sprintf("%d tenants %s %s%s%s at %s%s: one cause", i.Within(), cmp.Or(verb, "had trouble with"), i.Scope.what(), i.Scope.where(), others, began, still)
}

// still says how many members fail, where not all do.
func (i Incident) still(one, many string) string {
	switch n := i.Failing(); n {
	case 0:
		return "all recovered"
	case 1:
		return "1 still " + one
	default:
		return fmt.Sprintf("%d still %s", n, many)
	}
}

// since is an instant in its zone, with the day where that is not now's.
func since(t, now time.Time) string {
	if y, d := now.In(t.Location()).Year(), now.In(t.Location()).YearDay(); t.Year() != y || t.YearDay() != d {
		return t.Format("15:04 MST on Mon 2 Jan")
	}
	return t.Format("15:04 MST")
}

// Why says in numbers that can be checked why it is taken for one cause.
func (i Incident) Why(r Rules) string {
	r = r.withDefaults()
	return fmt.Sprintf("%d of %d tenants%s%s, %d of them within %.0f min of each other when it was found; by chance that is expected %s",
		i.Within(), i.Of, i.Scope.where(), i.others(" and %d others"), i.First, r.Window.Minutes(), often(i.Odds))
}

// often says how often something is expected that comes so many times a year.
func often(perYear float64) string {
	years := 1 / max(perYear, 1e-9)
	switch {
	case years > 1000:
		return "less than once in 1,000 years"
	case years < 2:
		return fmt.Sprintf("%.1f times a year", perYear)
	}
	return fmt.Sprintf("once in %.0f years", years)
}

// Reasons returns the reasons of the members with how many have each, the most frequent first: "timeout at 29, dns at 2".
func (i Incident) Reasons() string {
	counts := map[string]int{}
	for _, m := range i.Members {
		counts[cmp.Or(m.Reason, "unknown")]++
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b)) })
	for n, name := range names {
		names[n] = fmt.Sprintf("%s at %d", name, counts[name])
	}
	return strings.Join(names, ", ")
}

// Parent returns the incident whose case is the parent of the members' cases, of the pseudo-tenant of that id. cases are the numbers of
// the members' cases by incident; due says when somebody must react to a priority.
func (i Incident) Parent(tenant string, r Rules, cases map[string]string, now time.Time) incident.Incident {
	p := incident.Incident{
		ID: i.Key, Tenant: tenant, Class: i.Scope.Class, Root: i.Scope.Root(), Components: slices.Clone(i.Scope.Components), Priority: i.Priority(), Highest: i.Priority(),
		Title: i.Title(), Widest: i.Title(), Why: i.Why(r), Started: i.Started, Opened: i.Found, Updated: now, Ended: i.Ended, Closed: i.Closed,
	}
	if len(p.Components) == 0 {
		p.Components = []string{p.Root}
	}
	if !p.Class.OpensCase() { // a fleet of agents that fell silent is infrastructure, and somebody must look
		p.Class = incident.Availability
	}
	if p.Priority == incident.NoPriority {
		p.Priority, p.Highest = incident.P2, incident.P2
	}
	reason, _, _ := strings.Cut(i.Reasons(), " ")
	p.Reason = reason
	p.Detail = append(p.Detail, fmt.Sprintf("%d of %d tenants fail now; reasons: %s", i.Failing(), len(i.Members), i.Reasons()))
	for n, m := range i.Members {
		if n == mostLines {
			p.Detail = append(p.Detail, fmt.Sprintf("and %d more tenants", len(i.Members)-n))
			break
		}
		p.Detail = append(p.Detail, m.line(cases))
	}
	if !i.Open() {
		p.Resolution = incident.Recovered
	}
	return p
}

// line is a member in the parent case.
func (m Member) line(cases map[string]string) string {
	number := "no case yet"
	for _, id := range m.Incidents {
		if cases[id] != "" {
			number = "case " + cases[id]
		}
	}
	state := "since " + m.Started.UTC().Format("15:04:05 UTC")
	if !m.Ended.IsZero() {
		state += ", over since " + m.Ended.UTC().Format("15:04:05 UTC")
	}
	return fmt.Sprintf("%s: %s, %s, %s, %s", m.Tenant, m.Priority, cmp.Or(m.Reason, "unknown"), number, state)
}

// Steps returns what happened to a fleet incident from was to is, for its timeline; was is the zero value of one that is new.
func Steps(was, is Incident, r Rules, now time.Time) []incident.Event {
	step := func(kind incident.EventKind, format string, args ...any) incident.Event {
		return incident.Event{Incident: is.Key, At: now, Kind: kind, Actor: incident.ActorAgent, Text: fmt.Sprintf(format, args...), Priority: is.Priority()}
	}
	if was.Key == "" {
		return []incident.Event{step(incident.EventOpened, "%s: %s", is.Title(), is.Why(r))}
	}
	var all []incident.Event
	var joined, again, left []string
	for _, m := range is.Members {
		before := was.member(m.Tenant)
		switch {
		case before == nil:
			joined = append(joined, m.Tenant)
		case before.Ended.IsZero() && !m.Ended.IsZero():
			left = append(left, m.Tenant)
		case !before.Ended.IsZero() && m.Ended.IsZero():
			again = append(again, m.Tenant)
		}
	}
	if is.Priority().Above(was.Priority()) {
		all = append(all, step(incident.EventRaised, "from %s to %s: that is the highest of its tenants", was.Priority(), is.Priority()))
	}
	if is.Title() != was.Title() && len(joined) == 0 {
		all = append(all, step(incident.EventJoined, "it is wider than it seemed: %s", is.Title()))
	}
	if len(joined) > 0 {
		all = append(all, step(incident.EventJoined, "%d more, %d in all: %s", len(joined), len(is.Members), some(joined)))
	}
	if len(again) > 0 {
		all = append(all, step(incident.EventJoined, "%d fail again: %s", len(again), some(again)))
	}
	if len(left) > 0 {
		all = append(all, step(incident.EventLeft, "%d recovered, %d still fail: %s", len(left), is.Failing(), some(left)))
	}
	if was.Open() && !is.Open() {
		all = append(all, step(incident.EventResolved, "all %d tenants recovered, the last at %s", len(is.Members), is.Ended.UTC().Format("15:04:05 UTC")))
	}
	return all
}

// some lists a few names.
func some(names []string) string {
	const most = 12
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
