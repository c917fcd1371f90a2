package rdp

import (
	"fmt"
	"strings"
)

// Protocol is a security protocol, or a set of them in a request ([MS-RDPBCGR] 2.2.1.1.1, requestedProtocols). The zero value
// is Standard RDP Security, which is always on offer.
type Protocol uint32

// The security protocols.
const (
	ProtocolRDP      Protocol = 0x00 // Standard RDP Security: no TLS
	ProtocolSSL      Protocol = 0x01 // TLS
	ProtocolHybrid   Protocol = 0x02 // TLS, then CredSSP (Network Level Authentication)
	ProtocolRDSTLS   Protocol = 0x04 // TLS, then RDSTLS
	ProtocolHybridEx Protocol = 0x08 // ProtocolHybrid, then the Early User Authorization Result
	ProtocolRDSAAD   Protocol = 0x10 // TLS, then Entra authentication
)

var protocolNames = []struct {
	bit  Protocol
	name string
}{
	{ProtocolSSL, "tls"},
	{ProtocolHybrid, "nla"},
	{ProtocolRDSTLS, "rdstls"},
	{ProtocolHybridEx, "nla-ex"},
	{ProtocolRDSAAD, "entra"},
}

// String returns the names of the protocols in p, joined by "+"; "standard rdp security" for none.
func (p Protocol) String() string {
	if p == ProtocolRDP {
		return "standard rdp security"
	}
	var names []string
	for _, n := range protocolNames {
		if p&n.bit != 0 {
			names, p = append(names, n.name), p&^n.bit
		}
	}
	if p != 0 {
		names = append(names, fmt.Sprintf("0x%x", uint32(p)))
	}
	return strings.Join(names, "+")
}

// Flags are what a server supports besides ([MS-RDPBCGR] 2.2.1.2.1, flags).
type Flags uint8

// The flags.
const (
	FlagExtendedClientData Flags = 0x01
	FlagGraphicsPipeline   Flags = 0x02
	FlagRestrictedAdmin    Flags = 0x08
	FlagRedirectedAuth     Flags = 0x10
)

var flagNames = []struct {
	bit  Flags
	name string
}{
	{FlagExtendedClientData, "extended-client-data"},
	{FlagGraphicsPipeline, "graphics-pipeline"},
	{FlagRestrictedAdmin, "restricted-admin"},
	{FlagRedirectedAuth, "redirected-authentication"},
}

// String returns the names of the flags in f, joined by "+"; "none" for none.
func (f Flags) String() string {
	if f == 0 {
		return "none"
	}
	var names []string
	for _, n := range flagNames {
		if f&n.bit != 0 {
			names, f = append(names, n.name), f&^n.bit
		}
	}
	if f != 0 {
		names = append(names, fmt.Sprintf("0x%x", uint8(f)))
	}
	return strings.Join(names, "+")
}

// FailureCode is why a server refused to negotiate ([MS-RDPBCGR] 2.2.1.2.2, failureCode).
type FailureCode uint32

// The failure codes.
const (
	SSLRequired             FailureCode = 1 // TLS is required; also when only CredSSP was offered and the server has only TLS
	SSLNotAllowed           FailureCode = 2 // the server is set to Standard RDP Security only
	SSLCertNotOnServer      FailureCode = 3 // the server has no certificate to use for TLS
	InconsistentFlags       FailureCode = 4
	HybridRequired          FailureCode = 5 // Network Level Authentication is enforced
	SSLWithUserAuthRequired FailureCode = 6 // a client certificate is wanted
)

var failureNames = map[FailureCode]string{
	SSLRequired:             "SSL_REQUIRED_BY_SERVER",
	SSLNotAllowed:           "SSL_NOT_ALLOWED_BY_SERVER",
	SSLCertNotOnServer:      "SSL_CERT_NOT_ON_SERVER",
	InconsistentFlags:       "INCONSISTENT_FLAGS",
	HybridRequired:          "HYBRID_REQUIRED_BY_SERVER",
	SSLWithUserAuthRequired: "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER",
}

// String returns the code's name in the specification, or its number.
func (c FailureCode) String() string {
	if name, ok := failureNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code 0x%x", uint32(c))
}
