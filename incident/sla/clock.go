package sla

import (
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// HoldRule says what ends a hold: the contract deducts time "put on hold, due to a lack of information or response from the
// Customer", and leaves open whether that lack ends with the answer or when somebody reads it.
type HoldRule string

// The rules. The zero value is EndsAtAnswer.
const (
	EndsAtAnswer HoldRule = "answer" // at the customer's answer, or when the case leaves its hold, whichever comes first
	EndsAtStatus HoldRule = "status" // when the case leaves its hold
)

// End returns when a hold ended that the case left then and during which the customer first answered then; zero times are for
// what has not happened. It is zero while the hold lasts.
func (r HoldRule) End(left, answered time.Time) time.Time {
	if r == EndsAtStatus || answered.IsZero() || !left.IsZero() && left.Before(answered) {
		return left
	}
	return answered
}

// Working reports whether break/fix work is owed at that instant to a case of that priority which commenced then. Priority 1 and
// 2 are worked on without a break once begun, "regardless of whether the operating time specified ... is exceeded", until the
// fault is rectified "or, as a minimum, until it has been temporarily rectified"; rectified is zero until then. All else is worked
// on in supported time.
func (l Level) Working(p incident.Priority, commenced, rectified, at time.Time) bool {
	if p == incident.NoPriority || commenced.IsZero() || at.Before(commenced) {
		return false
	}
	if (p == incident.P1 || p == incident.P2) && (rectified.IsZero() || at.Before(rectified)) {
		return true
	}
	return l.Supported.Contains(at)
}

// Clock is where a case stands against its service level at an instant.
type Clock struct {
	Commencement time.Time     `json:"commencement,omitzero"`
	Due          time.Time     `json:"due,omitzero"`     // by when the SOC must have reacted
	Reacted      time.Time     `json:"reacted,omitzero"` // when it did
	Margin       time.Duration `json:"margin"`           // supported time from the reaction, or from now, to Due; negative: that much too late, in plain time
	Used         float64       `json:"used"`             // share of the reaction time that had passed by then; over 1: too late
	Working      bool          `json:"working"`          // break/fix work is owed now
	Held         bool          `json:"held"`             // the case waits for the customer now
	Gross        time.Duration `json:"gross"`            // downtime so far
	Net          time.Duration `json:"net"`              // the same less what was on hold
	Rectified    time.Time     `json:"rectified,omitzero"`
}

// Clock returns where the incident and its case stand at now. A zero case is one that does not exist yet: the reaction time runs all
// the same. The zero Clock is returned for an incident that opens no case.
func (l Level) Clock(i incident.Incident, c incident.Case, now time.Time) Clock {
	if !i.Class.OpensCase() {
		return Clock{}
	}
	end := i.Ended
	if i.Open() {
		end = now
	}
	k := Clock{Commencement: i.Commencement, Due: i.ReactionDue, Reacted: c.Acknowledged, Rectified: c.Rectified}
	k.Working = i.Open() && l.Working(i.Priority, i.Commencement, c.Rectified, now)
	k.Gross, k.Net = Downtime(i.Started, end, c.Holds)
	if n := len(c.Holds); n > 0 && i.Open() {
		k.Held = c.Holds[n-1].To.IsZero()
	}
	at := now
	switch {
	case !k.Reacted.IsZero():
		at = k.Reacted
	case !i.Open():
		at = i.Closed // nobody reacted while it lasted
	}
	k.Margin, k.Used = l.margin(i, at)
	return k
}

// margin returns how much of the reaction time is left at that instant, and the share that has passed.
func (l Level) margin(i incident.Incident, at time.Time) (left time.Duration, used float64) {
	if i.ReactionDue.IsZero() {
		return 0, 0
	}
	if at.After(i.ReactionDue) {
		left = -at.Sub(i.ReactionDue)
	} else {
		left = l.Supported.Between(at, i.ReactionDue)
	}
	p := i.Highest
	if p == incident.NoPriority {
		p = i.Priority
	}
	whole := time.Duration(0)
	if int(p) < len(l.Reaction) {
		whole = l.Reaction[p]
	}
	switch {
	case whole > 0:
		used = max(0, 1-float64(left)/float64(whole))
	case left < 0 || at.Equal(i.ReactionDue):
		used = 1
	}
	return left, used
}

// Passed returns the highest of the shares, in percent, of the reaction time that have passed without a reaction; 0 when none has,
// when somebody reacted, or when the incident is over. Each share is a warning to the on-call engineer.
func (l Level) Passed(i incident.Incident, c incident.Case, shares []int, now time.Time) int {
	if !i.Class.OpensCase() || !i.Open() || !c.Acknowledged.IsZero() || i.ReactionDue.IsZero() {
		return 0
	}
	_, used := l.margin(i, now)
	highest := 0
	for _, s := range shares {
		if used*100 >= float64(s)-1e-9 {
			highest = max(highest, s)
		}
	}
	return highest
}
