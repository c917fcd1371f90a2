// Package sla is the contract's clock: the Supported Time Period, commencement, reaction time, holds and downtime.
//
// It is pure: no clock of its own and no I/O. Every function is deterministic and safe for concurrent use, and every instant
// that it returns is in UTC.
package sla
