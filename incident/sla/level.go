package sla

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Level is the service level that the customer opted for. The zero value supports 24x7 and asks for a reaction at once.
type Level struct {
	Supported Calendar
	Reaction  [5]time.Duration // by priority; index 0 unused
}

// Commencement returns the instant at which break/fix begins for a case that exists since opened: the first supported instant
// at or after it (contract: "the date and time for the commencement of Break/Fix Assistance"). It is zero for a zero opened.
func (l Level) Commencement(opened time.Time) time.Time {
	if opened.IsZero() {
		return time.Time{}
	}
	return l.Supported.Next(opened)
}

// ReactionDue returns the instant by which the SOC must have reacted to a case of that priority that commenced then; the
// reaction time runs in supported time only. It is zero for NoPriority, which opens no case, and for a zero commenced.
func (l Level) ReactionDue(p incident.Priority, commenced time.Time) time.Time {
	if p == incident.NoPriority || int(p) >= len(l.Reaction) || commenced.IsZero() {
		return time.Time{}
	}
	return l.Supported.Add(commenced, l.Reaction[p])
}

// Downtime returns the time from started to ended, and the same less the union of the holds in it (contract: "this time will
// be deducted from the calculation of downtime"). A hold without an end runs to ended; overlapping holds count once. Both are
// 0 when ended is not after started.
func Downtime(started, ended time.Time, holds []incident.Hold) (gross, net time.Duration) {
	if !ended.After(started) {
		return 0, 0
	}
	gross = ended.Sub(started)
	return gross, gross - HeldBetween(started, ended, holds)
}

// HeldBetween returns how much of from..to at least one hold covers. A hold without an end runs to to; a hold that ends before
// it begins counts as nothing.
func HeldBetween(from, to time.Time, holds []incident.Hold) time.Duration {
	sorted := slices.SortedFunc(slices.Values(holds), func(a, b incident.Hold) int { return a.From.Compare(b.From) })
	var held time.Duration
	covered := from // everything before it is counted already, or out of range
	for _, h := range sorted {
		start, end := h.From, h.To
		if end.IsZero() || end.After(to) {
			end = to
		}
		if start.Before(covered) {
			start = covered
		}
		if end.After(start) {
			held += end.Sub(start)
			covered = end
		}
	}
	return held
}
