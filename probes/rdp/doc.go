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
//	ntlm   CredSSP with an NTLM NEGOTIATE -> CHALLENGE          the authentication service answers; no account is named
//	       ([MS-CSSP] 3.1.5, [MS-NLMP] 2.2.1.1, 2.2.1.2)
//	logon  AUTHENTICATE with pubKeyAuth -> the server's         the account is accepted, and nobody stands between
//	       pubKeyAuth ([MS-NLMP] 3.3.2, [MS-CSSP] 3.1.5)
//	entra  after RDSAAD or RDSTLS was selected, what the server the part of the server answers that such a log-on needs
//	       says first ([MS-RDPBCGR] 2.2.17, 2.2.18)
//
// The ladder ends there: the credentials themselves (TSCredentials) are never sent, so no session is opened.
//
// A frozen server still passes tcp, since the kernel completes connections by itself: only x224 tells it from a good one.
//
// A Conn climbs the stages in order: NewConn around the TCP connection, Negotiate, StartTLS, and then, as Negotiate selected,
// Challenge and Logon (ProtocolHybrid, ProtocolHybridEx) or Greeting (ProtocolRDSAAD, ProtocolRDSTLS).
//
// Package rdptest is a server for tests. Accounts hold the NT hash of a password only, and nothing here prints it.
//
// Every read is bounded, by length and by the context's deadline; nothing that the server says is trusted.
package rdp
