package rdp

import (
	"errors"
	"fmt"
)

// Stage is a step of the ladder.
type Stage string

// The stages of this package.
const (
	StageX224  Stage = "x224"
	StageTLS   Stage = "tls"
	StageNTLM  Stage = "ntlm"
	StageLogon Stage = "logon"
	StageEntra Stage = "entra"
)

// Answers to Challenge and Logon that are neither a status nor a violation.
var (
	// ErrNoNTLM is a server that speaks SPNEGO and does not take NTLM.
	ErrNoNTLM = errors.New("server does not accept ntlm")
	// ErrNotProven is an answer that is not sealed with the account's key: the secret is wrong, or the server does not know it.
	ErrNotProven = errors.New("server's answer to the log-on is not made with the account's secret")
	// ErrBinding is a server that accepted the account and speaks of another TLS key than the one that it showed: somebody
	// stands between, or its CredSSP is broken.
	ErrBinding = errors.New("server accepts the account, but its proof is not about the certificate that was shown")
	// ErrFIPS is an agent that runs in FIPS 140-only mode: NTLM needs MD4, MD5 and RC4.
	ErrFIPS = errors.New("ntlm cannot be used in fips 140-only mode")
)

// StatusError is the error that a server tells in an answer.
type StatusError struct{ Status Status }

// Error names the status.
func (e *StatusError) Error() string { return "server answers " + e.Status.String() }

// StageError says in which stage a connection failed. It wraps what the network, crypto/tls or the context said; a
// NegotiationError, ProtocolError, CertificateError or StatusError is in it where that was the matter.
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
