// Package ntlm is the client's side of NTLMv2 ([MS-NLMP]) with session security, as CredSSP needs it: the three messages,
// the response to a challenge, and sealing. NTLMv1, LAN Manager, and sessions with less than 128 bits are left out.
//
// What a message says is not trusted: every offset is checked, and errors hold numbers only. No error and no type of this
// package prints a hash or a key.
package ntlm

// Flags are what both sides agree on ([MS-NLMP] 2.2.2.5).
type Flags uint32

// The flags that this package sets or reads.
const (
	Unicode           Flags  = 0x00000001
	RequestTarget     Flags  = 0x00000004
	Sign              Flags  = 0x00000010
	Seal              Flags  = 0x00000020
	NTLM              Flags  = 0x00000200
	AlwaysSign        Flags  = 0x00008000
	ExtendedSecurity  Flags  = 0x00080000
	TargetInfo        Flags  = 0x00800000
	VersionPresent    Flags  = 0x02000000
	Bits128           Flags  = 0x20000000
	KeyExchange       Flags  = 0x40000000
	Bits56            Flags  = 0x80000000
	offered                  = Unicode | RequestTarget | Sign | Seal | NTLM | AlwaysSign | ExtendedSecurity | VersionPresent | Bits128 | KeyExchange | Bits56
	needed                   = Unicode | ExtendedSecurity | Bits128 | TargetInfo
	signature                = "NTLMSSP\x00"
	typeNegotiate     uint32 = 1
	typeChallenge     uint32 = 2
	typeAuthenticate  uint32 = 3
	negotiateLength          = 40
	challengeFixed           = 48
	authenticateFixed        = 88
	authenticateMIC          = 72 // where the MIC stands in an AUTHENTICATE_MESSAGE with a version
	maxTargetInfo            = 8 << 10
	maxNames                 = 512 // bytes of a name in a message
	ntlmRevision      byte   = 15
)

// version is what this client calls itself ([MS-NLMP] 2.2.2.10): Windows 10.0.19041, since servers look at the revision only.
var version = [8]byte{10, 0, 0x61, 0x4A, 0, 0, 0, ntlmRevision}
