// Package tds is the client's side of the Tabular Data Stream protocol of SQL Server and Azure SQL ([MS-TDS]), as far as a
// probe needs it: pre-login, TLS inside TDS or before it (TDS 8.0), log-in with a password or an access token, and one batch of
// which only the number of rows is read.
//
// It knows the protocol and has no opinion: what an answer means for a target is the caller's business. Every read is bounded,
// no length that a server claims is allocated before its bytes are there, and there are no goroutines. Time is the
// connection's: the caller ends reads and writes with deadlines.
package tds

import "fmt"

// ProtocolError is an answer that the specification does not allow. Violation is a printable clause.
type ProtocolError struct{ Violation string }

// Error returns the clause.
func (e *ProtocolError) Error() string { return e.Violation }

func violation(format string, args ...any) error {
	return &ProtocolError{fmt.Sprintf(format, args...)}
}

// TooLongError is an answer that exceeds what is read of one.
type TooLongError struct{ Limit int }

// Error names the limit.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("the answer is longer than %d KiB", e.Limit>>10)
}
