package rdp

import "fmt"

// Stage is a step of the ladder.
type Stage string

// The stages of this package.
const (
	StageX224 Stage = "x224"
	StageTLS  Stage = "tls"
)

// StageError says in which stage a connection failed. It wraps what the network, crypto/tls or the context said; a
// NegotiationError, ProtocolError or CertificateError is in it where that was the matter.
type StageError struct {
	Stage Stage
	Err   error
}

// Error returns "rdp STAGE: ...".
func (e *StageError) Error() string { return fmt.Sprintf("rdp %s: %v", e.Stage, e.Err) }

// Unwrap returns Err.
func (e *StageError) Unwrap() error { return e.Err }

// NegotiationError is a server's refusal to negotiate: it speaks RDP, and its configuration does not fit the offer.
type NegotiationError struct{ Code FailureCode }

// Error names the code.
func (e *NegotiationError) Error() string {
	return fmt.Sprintf("server refuses the negotiation: %s", e.Code)
}

// ProtocolError is an answer that the specification does not allow. Violation is a clause in which every byte of the server
// is escaped.
type ProtocolError struct {
	Stage     Stage
	Violation string
}

// Error returns the violation.
func (e *ProtocolError) Error() string { return e.Violation }

// CertificateError is a server certificate that crypto/x509 cannot parse, such as one with a negative serial number, which
// RDP clients accept. The server answered the handshake; the handshake cannot be finished.
type CertificateError struct{ Problem string }

// Error names the problem.
func (e *CertificateError) Error() string { return "server certificate does not parse: " + e.Problem }
