package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// exists reports whether the case is known to be at its desk.
func exists(c incident.Case) bool { return c.Number != "" && c.State != incident.CaseWanted }

// lead returns the case that people go by: that of the primary desk, or that of a fallback while the primary has none. It is the
// primary's zero case, or row, while there is none at all.
func (set planning) lead(cases []incident.Case) incident.Case {
	first := caseAt(cases, set.primary)
	if set.primary == "" || exists(first) {
		return first
	}
	for _, name := range set.fallbacks {
		if c := caseAt(cases, name); exists(c) && c.State != incident.CaseWithdrawn {
			return c
		}
	}
	return first
}

// reacted returns the lead case with the first reaction at any desk: whoever took the case at the fallback has taken it.
func (set planning) reacted(cases []incident.Case) incident.Case {
	lead := set.lead(cases)
	for _, c := range cases {
		if !c.Acknowledged.IsZero() && (lead.Acknowledged.IsZero() || c.Acknowledged.Before(lead.Acknowledged)) {
			lead.Acknowledged, lead.AcknowledgedBy = c.Acknowledged, c.AcknowledgedBy
		}
	}
	return lead
}

// away reports whether the primary desk has been unreachable for so long that a fallback is used: it has no case yet, or it has one
// and has not heard that the priority rose.
func away(i incident.Incident, primary incident.Case, after time.Duration, now time.Time) bool {
	if !exists(primary) {
		return !now.Before(i.Opened.Add(after))
	}
	return unheard(i, primary) && !now.Before(primary.FailingSince.Add(after))
}

// unheard reports whether the desk fails and knows the case at a lower priority than it has.
func unheard(i incident.Incident, c incident.Case) bool {
	return c.Failures > 0 && c.Priority != incident.NoPriority && i.Priority.Above(c.Priority)
}

// isBack reports whether this is the case of a fallback, and the primary desk has one that says the same: this one is of no more
// use.
func (j *job) isBack() bool {
	if j.Rules.FallbackAfter <= 0 || over(j.c.State) {
		return false
	}
	primary := caseAt(j.cases, j.r.set.primary)
	return exists(primary) && !unheard(j.i, primary)
}

// elsewhere reports whether a case that does not exist yet is of no use since another desk has one: the primary's, where this is a
// fallback; a fallback's, where the incident is over already.
func (j *job) elsewhere() bool {
	if j.Rules.FallbackAfter > 0 {
		return j.isBack()
	}
	return !j.i.Open() && slices.ContainsFunc(j.cases, func(c incident.Case) bool {
		return slices.Contains(j.r.set.fallbacks, c.Desk) && !c.Attempted.IsZero() && c.State != incident.CaseWithdrawn
	})
}

// wantedAgain reports whether the fallback's case, which was handed over before, is wanted a second time.
func (l *deskLoop) wantedAgain(c incident.Case, i incident.Incident, cases []incident.Case, now time.Time) bool {
	after := l.Rules.FallbackAfter
	return after > 0 && c.Settled && i.Open() && c.Round < maxRounds && away(i, caseAt(cases, l.r.set.primary), after, now)
}

// handOver ends the case of a fallback: the primary desk's goes on.
func (j *job) handOver(ctx context.Context) error {
	primary := caseAt(j.cases, j.r.set.primary)
	if err := j.call(ctx, "withdraw", func(ctx context.Context) error {
		return j.Desk.Desk.Withdraw(ctx, j.c.Ref, primary.Number)
	}); err != nil {
		return err
	}
	j.c.State, j.c.Settled = incident.CaseWithdrawn, true
	j.c.Resolved, j.c.ResolvedBy = j.r.o.Now(), incident.ActorAgent
	j.forgive()
	text := fmt.Sprintf("case %s at %s goes on as case %s at %s, which answers again", j.c.Number, j.Name, primary.Number, primary.Desk)
	e := j.event(incident.EventMoved, text)
	e.Actor = incident.ActorAgent
	return j.save(ctx, e)
}
