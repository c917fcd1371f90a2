package web

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

// Level is how loud the page is.
type Level string

// The levels.
const (
	levelWell    Level = "well"    // every component answers
	levelNotice  Level = "notice"  // something to know: P3, P4, not the SOC's, not confirmed
	levelAlarm   Level = "alarm"   // P1, P2
	levelUnknown Level = "unknown" // nothing can be said: blind, learning, standing still
)

// Headline is the page's first sentence.
type Headline struct {
	Level    Level  `json:"level"`
	Short    string `json:"short"` // a few words, for a badge and the window's title
	Sentence string `json:"sentence"`
}

// headline says in one sentence how the tenant's solution fares, the worst first; that the agent itself knows nothing comes
// before all, since then nothing else on the page can be trusted.
func (g glance) headline() Headline {
	h := g.judge()
	if len(g.trouble()) == 0 || h.Level == levelUnknown || h.Level == levelAlarm {
		return h
	}
	if h.Level == levelWell {
		h.Level, h.Short = levelNotice, "agent needs attention"
	}
	h.Sentence += " The agent itself needs attention."
	return h
}

func (g glance) judge() Headline {
	switch {
	case !g.health.Alive:
		return Headline{levelUnknown, "standing still", "Standing still: the agent has not judged anything for 30 s; what stands below may be old."}
	case g.view.Blind:
		return Headline{levelUnknown, "blind", "Blind since " + clock(g.view.BlindSince, g.now, g.zone) +
			": the agent's own network; nothing is said about the customer." + g.before()}
	case len(g.open) > 0 && g.open[0].Priority != incident.NoPriority:
		return g.first(g.open[0])
	case len(g.view.Components) == 0:
		return Headline{levelUnknown, "nothing watched", "Nothing is watched: the configuration names no component."}
	case !g.health.Ready:
		return Headline{levelUnknown, "learning", "Learning: " + learning(g.view) + "."}
	}
	return g.calm()
}

// first is the sentence about the most urgent incident.
func (g glance) first(i incident.Incident) Headline {
	since := clock(i.Started, g.now, g.zone)
	h := Headline{Level: levelAlarm, Short: fmt.Sprintf("%s since %s", i.Priority, since)}
	if incident.P2.Above(i.Priority) {
		h.Level = levelNotice
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Priority %d since %s: %s. %s", i.Priority, since, title(i), g.caseClause(i))
	if mail := g.nextMail(i); mail != "" {
		b.WriteString(", " + mail)
	}
	b.WriteByte('.')
	if more := len(g.open) - 1; more > 0 {
		fmt.Fprintf(&b, " %s open.", plural(more, "more incident is", "more incidents are"))
	}
	h.Sentence = b.String()
	return h
}

// calm is the sentence when no incident of the SOC's is open.
func (g glance) calm() Headline {
	if len(g.open) > 0 {
		i := g.open[0]
		text := fmt.Sprintf("Since %s: %s. %s.", clock(i.Started, g.now, g.zone), title(i), g.caseClause(i))
		return Headline{levelNotice, string(i.Class), text}
	}
	var suspect, bad, unknown, window []string
	for _, c := range g.view.Components {
		name := clean(c.Name)
		switch {
		case c.Outcome == probes.Unknown:
			unknown = append(unknown, name)
		case c.Outcome != probes.Up && c.Maintenance != "":
			window = append(window, name)
		case c.Outcome != probes.Up:
			bad = append(bad, name+" is "+c.Outcome.String())
		case suspected(c):
			suspect = append(suspect, name)
		}
	}
	n := len(g.view.Components)
	switch {
	case len(bad) > 0:
		return Headline{levelNotice, "not well", "Not well: " + few(bad) + "; no incident is open."}
	case len(unknown) == n:
		return Headline{levelUnknown, "unknown", "Unknown: the agent cannot tell how any component fares."}
	case len(unknown) > 0:
		return Headline{levelUnknown, "partly unknown", "Partly unknown: the agent cannot tell how " + few(unknown) + " fares; the rest answers."}
	case len(suspect) > 0:
		return Headline{levelNotice, "suspect", "Suspect: " + few(suspect) + " failed just now and is being probed again; nothing is confirmed."}
	case len(window) > 0:
		return Headline{levelNotice, "maintenance", "In maintenance: " + few(window) + " does not answer as it should; no case is opened before the window ends."}
	}
	answers := " answer."
	if n == 1 {
		answers = " answers."
	}
	return Headline{levelWell, "all well", "All well: " + plural(n, "component", "components") + answers}
}

// before recalls the open incidents while the agent is blind.
func (g glance) before() string {
	for _, i := range g.open {
		if i.Class != incident.Agent {
			return fmt.Sprintf(" Open from before: %s, %s. %s.", i.Priority, title(i), g.caseClause(i))
		}
	}
	return ""
}

// caseClause says where the incident's case stands, without a full stop.
func (g glance) caseClause(i incident.Incident) string {
	switch {
	case i.Class == incident.Function:
		return "No case: it is the application's matter, not infrastructure"
	case i.Class == incident.Account:
		return "No case: the account's owner must mend it"
	case !i.Class.OpensCase():
		return "No case: it is the agent's own trouble"
	case g.alertOnly:
		return "No case: this agent only alerts"
	}
	t, known := g.tales[i.ID]
	if !known {
		return "Its case cannot be read: the store does not answer"
	}
	c, more := foremost(t.cases)
	if c.Number == "" {
		return g.pending(t.cases)
	}
	number := "Case " + bounded(clean(c.Number), 40)
	if more > 0 {
		number += fmt.Sprintf(" (and %d more)", more)
	}
	switch c.State {
	case incident.CaseHeld:
		return number + g.held(c)
	case incident.CaseAcknowledged:
		return fmt.Sprintf("%s, acknowledged after %s", number, span(c.Acknowledged.Sub(born(c, i))))
	case incident.CaseResolved:
		return number + ", resolved at the desk although it still fails"
	default:
	}
	return number + ", not acknowledged, " + reaction(i.ReactionDue, g.now, g.zone)
}

func (g glance) pending(cases []incident.Case) string {
	for _, c := range cases {
		if c.LastError == "" {
			continue
		}
		text := "No case yet: " + bounded(named(c.Desk, c.LastError), 160)
		if !c.NextTry.IsZero() {
			text += ", next try " + precise(c.NextTry, g.now, g.zone)
		}
		return text
	}
	return "Its case is being opened"
}

func (g glance) held(c incident.Case) string {
	for _, h := range c.Holds {
		if h.To.IsZero() {
			return fmt.Sprintf(", on hold since %s (%s)", clock(h.From, g.now, g.zone), bounded(clean(h.Reason), 120))
		}
	}
	return ", on hold"
}

func (g glance) nextMail(i incident.Incident) string {
	var due time.Time
	for _, n := range g.tales[i.ID].notices {
		if n.Kind == incident.NoticeStatus && n.State == incident.NoticeDue && (due.IsZero() || n.Due.Before(due)) {
			due = n.Due
		}
	}
	switch {
	case due.IsZero():
		return ""
	case due.Before(g.now.Add(-time.Minute)):
		return "status mail overdue since " + clock(due, g.now, g.zone)
	}
	return "next status mail " + clock(due, g.now, g.zone)
}

// foremost returns the case that people speak of, the one that somebody works on before one that nobody took, and how many
// more there are with a number.
func foremost(cases []incident.Case) (best incident.Case, more int) {
	rank := map[incident.CaseState]int{incident.CaseAcknowledged: 4, incident.CaseHeld: 3, incident.CaseNew: 2, incident.CaseResolved: 1}
	for _, c := range cases {
		if c.Number == "" || c.State == incident.CaseWithdrawn {
			continue
		}
		more++
		if best.Number == "" || rank[c.State] > rank[best.State] {
			best = c
		}
	}
	return best, max(0, more-1)
}

// born is when the case's reaction clock could start at the earliest; of one that follows another that was taken, with the incident.
func born(c incident.Case, i incident.Incident) time.Time {
	if c.Created.IsZero() || len(c.Earlier) > 0 {
		return i.Opened
	}
	return c.Created
}

// reaction says how much of the reaction time is left.
func reaction(due, now time.Time, zone *time.Location) string {
	switch {
	case due.IsZero():
		return "no reaction time runs"
	case due.Before(now):
		return fmt.Sprintf("reaction overdue by %s", span(now.Sub(due)))
	}
	return fmt.Sprintf("reaction due %s (%s left)", clock(due, now, zone), span(due.Sub(now)))
}

// learning says how many of the probes have run.
func learning(v engine.View) string {
	var all, ran int
	for p := range probesOf(v) {
		all++
		if p.Last != nil {
			ran++
		}
	}
	return fmt.Sprintf("%d of %s run once", ran, plural(all, "probe has", "probes have"))
}

// title is the incident's, as a part of a sentence.
func title(i incident.Incident) string { return strings.TrimRight(bounded(clean(i.Title), 160), ".") }

func suspected(c engine.ComponentView) bool {
	for _, i := range c.Instances {
		for _, p := range i.Probes {
			if p.Suspect {
				return true
			}
		}
	}
	return false
}

// trouble lists what is wrong with the agent itself.
func (g glance) trouble() []string {
	all := g.health.Trouble(g.now)
	if g.storeErr != nil {
		all = append(all, "State cannot be read: "+bounded(clean(g.storeErr.Error()), 600))
	}
	return all
}

// Trouble lists what is wrong with the agent, for people; what it believes of the tenant is not in it.
func (h Health) Trouble(now time.Time) []string {
	var all []string
	add := func(what, why string) {
		if why != "" {
			all = append(all, what+": "+bounded(clean(why), 600))
		}
	}
	if h.Lagging {
		add("The agent is late, so that its results are not used against anybody", cmp.Or(h.LagReason, "the reason is not known"))
	}
	first, _, _ := strings.Cut(h.ConfigError, "\n")
	add("The newest configuration is not in force", first)
	add("State cannot be written", h.StoreError)
	switch h.Role {
	case "alone":
		add("The database does not answer, and this agent judges alone", h.StoreAway)
	case "follower":
		add("The database does not answer", h.StoreAway)
	}
	for _, v := range h.Vantages {
		if v.silent(now) {
			add("A vantage is silent", v.Name)
		}
	}
	for _, name := range sortedKeys(h.DeskErrors) {
		add("A desk fails", named(name, h.DeskErrors[name]))
	}
	for _, name := range sortedKeys(h.NoticeErrors) {
		add("Notices fail", named(name, h.NoticeErrors[name]))
	}
	add("The heartbeat is not answered", h.HeartbeatError)
	return all
}

// silent reports whether somebody must look why it is not heard. One that nobody has run for a week is not missed any more.
func (v Vantage) silent(now time.Time) bool {
	return !v.Alive && !v.Beat.IsZero() && now.Sub(v.Beat) < 7*24*time.Hour
}
