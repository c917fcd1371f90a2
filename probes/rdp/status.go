package rdp

import "fmt"

// Status is the NTSTATUS or HRESULT in a server's answer ([MS-CSSP] 2.2.1 errorCode, [MS-ERREF] 2.1 and 2.3).
type Status uint32

// The statuses that have a name here.
const (
	StatusNoSuchUser           Status = 0xC0000064
	StatusWrongPassword        Status = 0xC000006A
	StatusLogonFailure         Status = 0xC000006D
	StatusAccountRestriction   Status = 0xC000006E
	StatusInvalidLogonHours    Status = 0xC000006F
	StatusInvalidWorkstation   Status = 0xC0000070
	StatusPasswordExpired      Status = 0xC0000071
	StatusAccountDisabled      Status = 0xC0000072
	StatusAccountExpired       Status = 0xC0000193
	StatusLogonTypeNotGranted  Status = 0xC000015B
	StatusPasswordMustChange   Status = 0xC0000224
	StatusAccountLockedOut     Status = 0xC0000234
	StatusNoSuchDomain         Status = 0xC00000DF
	StatusAuthFirewallFailed   Status = 0xC0000413
	StatusNTLMBlocked          Status = 0xC0000418
	StatusNoLogonServers       Status = 0xC000005E
	StatusNetlogonNotStarted   Status = 0xC0000192
	StatusDCNotFound           Status = 0xC0000233
	StatusNoTrustSAMAccount    Status = 0xC000018B
	StatusTrustedDomainFailure Status = 0xC000018C
	StatusTrustFailure         Status = 0xC000018D
	StatusTimeDifferenceAtDC   Status = 0xC0000133

	SecLogonDenied         Status = 0x8009030C
	SecNoAuthority         Status = 0x80090311
	SecInternalError       Status = 0x80090304
	SecTimeSkew            Status = 0x80090324
	SecUnsupportedFunction Status = 0x80090302
	SecPackageNotFound     Status = 0x80090305
	SecNoCredentials       Status = 0x8009030E
	SecInvalidToken        Status = 0x80090308
	SecMessageAltered      Status = 0x8009030F
)

var statusNames = map[Status]string{
	StatusNoSuchUser: "STATUS_NO_SUCH_USER", StatusWrongPassword: "STATUS_WRONG_PASSWORD", StatusLogonFailure: "STATUS_LOGON_FAILURE",
	StatusAccountRestriction: "STATUS_ACCOUNT_RESTRICTION", StatusInvalidLogonHours: "STATUS_INVALID_LOGON_HOURS",
	StatusInvalidWorkstation: "STATUS_INVALID_WORKSTATION", StatusPasswordExpired: "STATUS_PASSWORD_EXPIRED",
	StatusAccountDisabled: "STATUS_ACCOUNT_DISABLED", StatusAccountExpired: "STATUS_ACCOUNT_EXPIRED",
	StatusLogonTypeNotGranted: "STATUS_LOGON_TYPE_NOT_GRANTED", StatusPasswordMustChange: "STATUS_PASSWORD_MUST_CHANGE",
	StatusAccountLockedOut: "STATUS_ACCOUNT_LOCKED_OUT", StatusNoSuchDomain: "STATUS_NO_SUCH_DOMAIN",
	StatusAuthFirewallFailed: "STATUS_AUTHENTICATION_FIREWALL_FAILED", StatusNTLMBlocked: "STATUS_NTLM_BLOCKED",
	StatusNoLogonServers: "STATUS_NO_LOGON_SERVERS", StatusNetlogonNotStarted: "STATUS_NETLOGON_NOT_STARTED",
	StatusDCNotFound: "STATUS_DOMAIN_CONTROLLER_NOT_FOUND", StatusNoTrustSAMAccount: "STATUS_NO_TRUST_SAM_ACCOUNT",
	StatusTrustedDomainFailure: "STATUS_TRUSTED_DOMAIN_FAILURE", StatusTrustFailure: "STATUS_TRUSTED_RELATIONSHIP_FAILURE",
	StatusTimeDifferenceAtDC: "STATUS_TIME_DIFFERENCE_AT_DC",
	SecLogonDenied:           "SEC_E_LOGON_DENIED", SecNoAuthority: "SEC_E_NO_AUTHENTICATING_AUTHORITY", SecInternalError: "SEC_E_INTERNAL_ERROR",
	SecTimeSkew: "SEC_E_TIME_SKEW", SecUnsupportedFunction: "SEC_E_UNSUPPORTED_FUNCTION", SecPackageNotFound: "SEC_E_SECPKG_NOT_FOUND",
	SecNoCredentials: "SEC_E_NO_CREDENTIALS", SecInvalidToken: "SEC_E_INVALID_TOKEN", SecMessageAltered: "SEC_E_MESSAGE_ALTERED",
}

// String returns the name with the number, or the number alone.
func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return fmt.Sprintf("%s 0x%08x", name, uint32(s))
	}
	return fmt.Sprintf("status 0x%08x", uint32(s))
}
