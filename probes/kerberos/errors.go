package kerberos

import (
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
)

var (
	// ErrNotProven is a reply that is not made with the account's key, or with the session's: the secret is wrong, where the KDC
	// gave it without pre-authentication, or the KDC is none of the account's realm.
	ErrNotProven = errors.New("the kdc's reply is not made with the account's secret")
	// ErrNoTimestamp is a KDC that takes no encrypted timestamp from the account, with any of the encryption types that its secret
	// allows.
	ErrNoTimestamp = errors.New("the kdc takes no password from this account in a way that is known here")
	// ErrFIPS is an agent that runs in FIPS 140-only mode: the encryption types of Kerberos need SHA-1, MD4 or RC4.
	ErrFIPS = errors.New("kerberos cannot be used in fips 140-only mode")
)

// Code is the error-code of a KRB-ERROR (RFC 4120 7.5.9).
type Code int32

// The codes that have a name here, which is that of RFC 4120 7.5.9 without its prefix.
const (
	ClientExpired       = Code(errorcode.KDC_ERR_NAME_EXP)
	ServiceExpired      = Code(errorcode.KDC_ERR_SERVICE_EXP)
	ClientUnknown       = Code(errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN)
	ServiceUnknown      = Code(errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN)
	NotUnique           = Code(errorcode.KDC_ERR_PRINCIPAL_NOT_UNIQUE)
	NullKey             = Code(errorcode.KDC_ERR_NULL_KEY)
	Policy              = Code(errorcode.KDC_ERR_POLICY)
	EtypeUnsupported    = Code(errorcode.KDC_ERR_ETYPE_NOSUPP)
	PADataUnsupported   = Code(errorcode.KDC_ERR_PADATA_TYPE_NOSUPP)
	ClientRevoked       = Code(errorcode.KDC_ERR_CLIENT_REVOKED)
	ServiceRevoked      = Code(errorcode.KDC_ERR_SERVICE_REVOKED)
	TGTRevoked          = Code(errorcode.KDC_ERR_TGT_REVOKED)
	ClientNotYet        = Code(errorcode.KDC_ERR_CLIENT_NOTYET)
	ServiceNotYet       = Code(errorcode.KDC_ERR_SERVICE_NOTYET)
	KeyExpired          = Code(errorcode.KDC_ERR_KEY_EXPIRED)
	PreauthFailed       = Code(errorcode.KDC_ERR_PREAUTH_FAILED)
	PreauthRequired     = Code(errorcode.KDC_ERR_PREAUTH_REQUIRED)
	MustUseUser2User    = Code(errorcode.KDC_ERR_MUST_USE_USER2USER)
	ServiceUnavailable  = Code(errorcode.KDC_ERR_SVC_UNAVAILABLE)
	BadIntegrity        = Code(errorcode.KRB_AP_ERR_BAD_INTEGRITY)
	TicketNotYetValid   = Code(errorcode.KRB_AP_ERR_TKT_NYV)
	Skew                = Code(errorcode.KRB_AP_ERR_SKEW)
	Generic             = Code(errorcode.KRB_ERR_GENERIC)
	WrongRealm          = Code(errorcode.KDC_ERR_WRONG_REALM)
	ClientNotTrusted    = Code(errorcode.KDC_ERROR_CLIENT_NOT_TRUSTED)
	PreauthMoreRequired = Code(91) // KDC_ERR_MORE_PREAUTH_DATA_REQUIRED, RFC 6113 5.2
)

var codeNames = map[Code]string{
	ClientExpired: "KDC_ERR_NAME_EXP", ServiceExpired: "KDC_ERR_SERVICE_EXP", ClientUnknown: "KDC_ERR_C_PRINCIPAL_UNKNOWN",
	ServiceUnknown: "KDC_ERR_S_PRINCIPAL_UNKNOWN", NotUnique: "KDC_ERR_PRINCIPAL_NOT_UNIQUE", NullKey: "KDC_ERR_NULL_KEY",
	Policy: "KDC_ERR_POLICY", EtypeUnsupported: "KDC_ERR_ETYPE_NOSUPP", PADataUnsupported: "KDC_ERR_PADATA_TYPE_NOSUPP",
	ClientRevoked: "KDC_ERR_CLIENT_REVOKED", ServiceRevoked: "KDC_ERR_SERVICE_REVOKED", TGTRevoked: "KDC_ERR_TGT_REVOKED",
	ClientNotYet: "KDC_ERR_CLIENT_NOTYET", ServiceNotYet: "KDC_ERR_SERVICE_NOTYET", KeyExpired: "KDC_ERR_KEY_EXPIRED",
	PreauthFailed: "KDC_ERR_PREAUTH_FAILED", PreauthRequired: "KDC_ERR_PREAUTH_REQUIRED", MustUseUser2User: "KDC_ERR_MUST_USE_USER2USER",
	ServiceUnavailable: "KDC_ERR_SVC_UNAVAILABLE", BadIntegrity: "KRB_AP_ERR_BAD_INTEGRITY", TicketNotYetValid: "KRB_AP_ERR_TKT_NYV",
	Skew: "KRB_AP_ERR_SKEW", Generic: "KRB_ERR_GENERIC", WrongRealm: "KDC_ERR_WRONG_REALM", ClientNotTrusted: "KDC_ERR_CLIENT_NOT_TRUSTED",
	PreauthMoreRequired: "KDC_ERR_MORE_PREAUTH_DATA_REQUIRED",
}

// String returns the code's name, or its number.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("error %d", int32(c))
}

// Error is a KRB-ERROR: a KDC that answers, and says no.
type Error struct {
	Code   Code
	Status uint32 // the NTSTATUS that Windows adds ([MS-KILE] 2.2.2), 0 when there is none
	Realm  string // with WrongRealm, the realm that the KDC says knows the account; not escaped
}

// Error names the code.
func (e *Error) Error() string { return "the kdc answers " + e.Code.String() }

// ProtocolError is an answer that the specification does not allow, or that asks for too much. Violation is a clause that holds
// nothing of the KDC's.
type ProtocolError struct{ Violation string }

// Error returns the violation.
func (e *ProtocolError) Error() string { return e.Violation }

// KDCError says at which KDC an Exchange failed. It wraps what the network or the context said, or one of this package's errors.
type KDCError struct {
	KDC string // as it was given
	Err error
}

// Error returns "kdc ADDRESS: ...".
func (e *KDCError) Error() string { return "kdc " + e.KDC + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *KDCError) Unwrap() error { return e.Err }
