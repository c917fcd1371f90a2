// Package report is the service-level report of a month: availability of each component, incidents with their reaction against
// the limit, status mails, latency, alarms, and how much of the time the agent itself measured.
//
// It is pure: no clock of its own and no I/O. Package gather reads what it computes from. docs/report.md defines every figure; the
// same input gives the same report, byte for byte.
package report
