// Package incident holds the domain's words as types: priorities, findings, incidents, cases, notices and the timeline.
//
// An Incident belongs to the engine (what is measured and what should be true), a Case to the reconciler (what the service
// desk says), a Notice to the reconciler too (what a person was told, and the proof). Nobody writes another's rows.
package incident

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// Priority is the contract's: 1 Critical, 2 Urgent, 3 Moderate, 4 Low. The zero value, NoPriority, is for what is not the
// SOC's (functional failures, the agent's own trouble) and opens no case.
type Priority uint8

// The priorities.
const (
	NoPriority Priority = iota
	P1
	P2
	P3
	P4
)

// String returns "P1" to "P4", or "-".
func (p Priority) String() string {
	if p == NoPriority || p > P4 {
		return "-"
	}
	return fmt.Sprintf("P%d", uint8(p))
}

// Name returns the contract's word: Critical, Urgent, Moderate, Low; "" for NoPriority.
func (p Priority) Name() string {
	if p > P4 {
		return ""
	}
	return [...]string{"", "Critical", "Urgent", "Moderate", "Low"}[p]
}

// Above reports whether p is more urgent than q.
func (p Priority) Above(q Priority) bool { return p != NoPriority && (q == NoPriority || p < q) }

// MarshalText returns "p1" to "p4", or "".
func (p Priority) MarshalText() ([]byte, error) {
	if p == NoPriority {
		return nil, nil
	}
	return []byte(strings.ToLower(p.String())), nil
}

// UnmarshalText reads "p1" to "p4" in either case, or "" for NoPriority.
func (p *Priority) UnmarshalText(text []byte) error {
	switch s := strings.ToLower(string(text)); s {
	case "":
		*p = NoPriority
	case "p1", "p2", "p3", "p4":
		*p = Priority(s[1] - '0')
	default:
		return fmt.Errorf("no priority %q: want p1, p2, p3 or p4", text)
	}
	return nil
}

// FindingKind is what a detector may assert.
type FindingKind string

// The kinds of finding.
const (
	Outage           FindingKind = "outage"     // the probe's target does not answer as it should
	Regression       FindingKind = "regression" // it answers, but slowly
	Threshold        FindingKind = "threshold"  // a resource passed its limit
	Functional       FindingKind = "functional" // the application says that the request is wrong: never the SOC's
	MomentaryOutages FindingKind = "momentary"  // single runs fail again and again, and the next ones are answered
)

// Finding is an assertion of a detector about one probe, from Since on; Ended is zero while it lasts.
type Finding struct {
	Probe       string        `json:"probe"`
	Kind        FindingKind   `json:"kind"`
	Reason      probes.Reason `json:"reason"`
	Since       time.Time     `json:"since"` // start of the first result that shows it
	At          time.Time     `json:"at"`    // end of the result that confirmed it
	Ended       time.Time     `json:"ended,omitzero"`
	Explanation string        `json:"explanation"` // in numbers that a person can check

	// Of a regression only.
	Again    time.Time `json:"again,omitzero"`     // start of its newest active stretch; Since where there is but one
	Slow     time.Time `json:"slow,omitzero"`      // start of the newest run that showed it
	Quiet    time.Time `json:"quiet,omitzero"`     // it is fast again since then, but held, since short ones come again; zero: it is slow
	Accepted bool      `json:"accepted,omitempty"` // it ended because its level has lasted so long that it is now taken as normal
	Latency  *Latency  `json:"latency,omitempty"`  // nil: an absolute limit is passed
}

// Latency is what a latency regression against the probe's own baseline rests on.
type Latency struct {
	Phase    string        `json:"phase"`    // the one that is judged: total, or rtt of icmp
	Test     string        `json:"test"`     // which window passed its limit: in-a-row, short, mid, long or creep
	Runs     int           `json:"runs"`     // in the short window
	Span     time.Duration `json:"span"`     // from the first to the last of them
	Median   time.Duration `json:"median"`   // of the short window
	Expected time.Duration `json:"expected"` // what is normal now
	Hour     string        `json:"hour"`     // of the week, in the tenant's zone: "Tue 14 h"
	Days     int           `json:"days"`     // days like this one that Expected rests on; 0: still learning
	Ratio    float64       `json:"ratio"`    // Median to Expected
	Limit    float64       `json:"limit"`    // ratio that the test's window had to pass
	LimitBy  string        `json:"limit_by"` // what set it: floor, noise, history, cap, learning or usual
	Over     int           `json:"over"`     // runs of the newest Of that stand above the limit
	Of       int           `json:"of"`       // runs in the middle window
	Stretch  int           `json:"stretch"`  // how often it was slow, counting from 1, since the finding began
	Where    []PhaseChange `json:"where"`    // phases that take longer than is normal, the largest increase first
	Onset    time.Time     `json:"onset"`    // dated back to where the level changed
	Learnt   int           `json:"learnt"`   // whole days in the baseline
}

// PhaseChange is how much longer a phase takes than is normal.
type PhaseChange struct {
	Phase    string        `json:"phase"`
	Median   time.Duration `json:"median"`
	Expected time.Duration `json:"expected"`
}

// Class tells apart the problems of one component that are different incidents.
type Class string

// The classes.
const (
	Availability Class = "availability" // outages, lost redundancy, momentary outages: P1 to P3
	Performance  Class = "performance"  // latency regressions: P2, P3
	Capacity     Class = "capacity"     // thresholds: P4
	Function     Class = "functional"   // for the functional contact; no case
	Account      Class = "account"      // a probe's own account is refused: for its owners, the functional contact and on-call; no case
	Agent        Class = "agent"        // the agent's own trouble (blind, lagging, broken store): for on-call; no case
)

// OpensCase reports whether incidents of the class are brought to a service desk.
func (c Class) OpensCase() bool { return c == Availability || c == Performance || c == Capacity }

// Resolution says how an incident ended. The zero value is "still open".
type Resolution string

// The resolutions.
const (
	Recovered Resolution = "recovered" // measured good again
	Momentary Resolution = "momentary" // recovered by itself within the policy's momentary time
	Absorbed  Resolution = "absorbed"  // explained by a wider incident, named in AbsorbedBy
	Removed   Resolution = "removed"   // its component is no longer configured
	Rejudged  Resolution = "rejudged"  // the configuration now judges what was measured otherwise: see Judgement
	Accepted  Resolution = "accepted"  // a latency that lasted for a day, or that an operator accepted, is taken as normal
)

// Incident is one root cause, from the first failing result to recovery. It is written by the engine only.
type Incident struct {
	ID         string    `json:"id"` // deterministic; also the case key: see Key
	Tenant     string    `json:"tenant"`
	Class      Class     `json:"class"`
	Root       string    `json:"root"`            // the component at the root, or Solution for the entire customer solution; of Account the probe's id
	Components []string  `json:"components"`      // all that it explains or explained, root first
	Priority   Priority  `json:"priority"`        // now
	Highest    Priority  `json:"highest"`         // ever
	Reason     string    `json:"reason"`          // of the root's first finding
	Judged     Judgement `json:"judged,omitzero"` // whose matter that is, and why
	Title      string    `json:"title"`           // "web-client is inaccessible", without priority and tenant
	Widest     string    `json:"widest"`          // Title when the priority was Highest first
	Why        string    `json:"why"`             // why this priority, by the contract, in numbers
	Detail     []string  `json:"detail"`          // what is measured, a line a finding

	Started      time.Time  `json:"started"`               // start of the first failing result
	Opened       time.Time  `json:"opened"`                // when it was confirmed and decided
	Commencement time.Time  `json:"commencement,omitzero"` // first supported instant at or after Opened; zero where the class opens no case
	ReactionDue  time.Time  `json:"reaction_due,omitzero"` // zero where the class opens no case
	Updated      time.Time  `json:"updated"`
	Ended        time.Time  `json:"ended,omitzero"`  // start of the first good result: the fault was rectified
	Closed       time.Time  `json:"closed,omitzero"` // when that was confirmed and decided
	Resolution   Resolution `json:"resolution,omitempty"`
	AbsorbedBy   string     `json:"absorbed_by,omitempty"`
	AcceptedBy   string     `json:"accepted_by,omitempty"` // the operator who accepted the latency; of Accepted "": it lasted

	// When its components were inaccessible: every instance of them down. In the order in which they became so; nil in a row of an
	// earlier version, which did not note it.
	Outages []ComponentOutage `json:"outages,omitzero"`
}

// ComponentOutage is a time in which every instance of a component was down. Of one component no two overlap.
type ComponentOutage struct {
	Component string    `json:"component"`
	From      time.Time `json:"from"`        // start of the first failing result of the instance that failed last
	To        time.Time `json:"to,omitzero"` // start of the first good result; zero while it lasts
}

// Solution is the Root of an incident that takes in the entire customer solution.
const Solution = "solution"

// AtWorst returns the incident as it stood when its priority was highest: for what is told of it when it is over.
func (i Incident) AtWorst() Incident {
	i.Priority = i.Highest
	if i.Widest != "" {
		i.Title = i.Widest
	}
	return i
}

// Open reports whether the incident is not closed yet.
func (i Incident) Open() bool { return i.Closed.IsZero() }

// MaxKey is the length that every known ticket system accepts as a key (TOPdesk's externalNumber is the shortest).
const MaxKey = 60

// Key returns the deterministic identity of an incident, which is also its case key at every desk: ASCII, never empty, at
// most MaxKey bytes, the same for the same tenant, class, root and start.
func Key(tenant string, class Class, root string, started time.Time) string {
	stamp := started.UTC().Format("20060102T150405.000Z")
	key := fmt.Sprintf("fc-%s-%s-%s", tenant, root, stamp)
	if class != Availability {
		key = fmt.Sprintf("fc-%s-%s-%s-%s", tenant, root, class, stamp)
	}
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		}
		return '-'
	}, key)
	if plain == key && len(plain) <= MaxKey {
		return plain
	}
	sum := sha256.Sum256([]byte(key))
	tail := "-" + hex.EncodeToString(sum[:6]) + "-" + stamp
	if room := MaxKey - len(tail); len(plain) > room {
		plain = plain[:room]
	}
	return plain + tail
}

// EventKind names a step in an incident's timeline.
type EventKind string

// The steps.
const (
	EventOpened       EventKind = "opened"
	EventRaised       EventKind = "raised"      // priority up, with the reason
	EventLowered      EventKind = "lowered"     // priority down, with the reason
	EventJoined       EventKind = "joined"      // a component that this incident explains
	EventLeft         EventKind = "left"        // a component that answers again while others do not
	EventAbsorbed     EventKind = "absorbed"    // into a wider incident, or a narrower one into this
	EventMeasured     EventKind = "measured"    // what is measured now, for the record
	EventResolved     EventKind = "resolved"    // by measurement
	EventCaseOpened   EventKind = "case-opened" // read back from the desk, with its number
	EventCaseUpdated  EventKind = "case-updated"
	EventCaseResolved EventKind = "case-resolved" // read back
	EventCaseFailed   EventKind = "case-failed"   // a desk refused or did not answer; first time and each change of the error
	EventAcknowledged EventKind = "acknowledged"
	EventHeld         EventKind = "held"
	EventResumed      EventKind = "resumed"
	EventRectified    EventKind = "rectified" // temporarily
	EventMoved        EventKind = "moved"     // another case goes on with it
	EventReaction     EventKind = "reaction"  // a share of the reaction time has passed and nobody took the case
	EventEvidence     EventKind = "evidence"  // what was gathered when it opened; its first line says the essence
	EventNote         EventKind = "note"
	EventNoticeSent   EventKind = "notice-sent" // with the proof
	EventNoticeFailed EventKind = "notice-failed"
	EventSilenced     EventKind = "silenced"    // by a person: people are not told for a time
	EventUnsilenced   EventKind = "unsilenced"  // by a person, before the time was over
	EventMaintenance  EventKind = "maintenance" // a person said that work is done on it, or that it is over
)

// Event is one step of an incident's append-only timeline: when, who, what, why.
type Event struct {
	Seq      int64     `json:"seq"` // set by the store, rising over the whole store
	Incident string    `json:"incident"`
	At       time.Time `json:"at"`
	Kind     EventKind `json:"kind"`
	Actor    string    `json:"actor"`              // "firstcall", a desk's name, or a person's
	Text     string    `json:"text"`               // one sentence with its numbers
	Priority Priority  `json:"priority,omitempty"` // after the step, where it has one
}

// ActorAgent is the Actor of what the agent itself decided.
const ActorAgent = "firstcall"
