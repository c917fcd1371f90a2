// Package rdp speaks the first stages of the Remote Desktop Protocol, from the TCP connection on, and reports what the
// server said. It has no opinion: whether an answer is an outage is the caller's business.
//
// A log-on climbs a ladder. Each stage proves more than the one before and fails for reasons of its own:
//
//	stage  what happens                                         a success proves
//	tcp    the caller connects                                  the host is up and the port open; the kernel alone answers
//	x224   X.224 Connection Request with an RDP_NEG_REQ ->      a process of the server really answers, and with which
//	       Connection Confirm ([MS-RDPBCGR] 2.2.1.1, 2.2.1.2)   security protocols
//	tls    TLS handshake on the same connection                 certificate and key are usable
//	       ([MS-RDPBCGR] 5.4.5.1)
//
// A frozen server still passes tcp, since the kernel completes connections by itself: only x224 tells it from a good one.
//
// A Conn climbs the stages in order: NewConn around the TCP connection, Negotiate for x224, StartTLS for tls. After StartTLS
// the Conn's TLS method returns the connection on which the protocol that Negotiate selected goes on, for
// ProtocolHybrid that is CredSSP ([MS-CSSP] 3.1.5).
//
// Every read is bounded, by length and by the context's deadline; nothing that the server says is trusted.
package rdp
