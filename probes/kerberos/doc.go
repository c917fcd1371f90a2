// Package kerberos asks a Key Distribution Center (KDC), such as a domain controller, for tickets, and reports what it said.
// It has no opinion: whether an answer is an outage is the caller's business.
//
//	step     what happens                                             a success proves
//	Open     TCP connection, AS-REQ without a secret -> how to        a KDC answers; its clock
//	         authenticate (RFC 4120 3.1.1, 5.2.7.5)
//	Logon    AS-REQ with an encrypted timestamp -> AS-REP             the account is accepted, and the KDC knows its key
//	         (RFC 4120 5.2.7.2, 3.1.5)
//	Service  TGS-REQ -> TGS-REP (RFC 4120 3.3)                        the service principal exists and has a key
//
// The tickets are never used and never shown: they are dropped with the Exchange.
//
// Messages are built and parsed by github.com/jcmturner/gokrb5/v8; its client is not used, since it takes no context. Each
// message has a connection of its own over TCP, as RFC 4120 7.2.2 has it, which ends with the context. Every answer is bounded,
// a panic while one is decoded is an error, and the work that a KDC may ask for to derive a key is bounded too.
package kerberos
