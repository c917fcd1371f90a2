// Package sla is the contract's clock: the Supported Time Period, commencement, reaction time, holds and downtime. It is pure:
// no clock of its own and no I/O.
package sla

import (
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Calendar says which time is supported. The zero value is 24x7.
type Calendar struct{ todo struct{} }

// Next returns the first supported instant at or after t.
func (c Calendar) Next(t time.Time) time.Time { return t }

// Add returns the instant at which d of supported time has passed since t.
func (c Calendar) Add(t time.Time, d time.Duration) time.Time { return t.Add(d) }

// Level is the service level that the customer opted for.
type Level struct {
	Supported Calendar
	Reaction  [5]time.Duration // by priority; index 0 unused
}

// Commencement returns the instant at which break/fix begins for a case that exists since opened.
func (l Level) Commencement(opened time.Time) time.Time { return l.Supported.Next(opened) }

// ReactionDue returns the instant by which the SOC must have reacted to a case of that priority that commenced then.
func (l Level) ReactionDue(p incident.Priority, commenced time.Time) time.Time {
	return l.Supported.Add(commenced, l.Reaction[p])
}

// Downtime returns the time from started to ended, and the same less the union of the holds. A hold without an end runs to ended.
func Downtime(started, ended time.Time, holds []incident.Hold) (gross, net time.Duration) {
	return ended.Sub(started), ended.Sub(started)
}
