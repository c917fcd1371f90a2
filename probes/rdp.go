package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes/rdp"
)

// Words of the rdp kind's depth, certificate and entra.
const (
	depthTCP       = "tcp"
	depthX224      = "x224"
	depthTLS       = "tls"
	depthChallenge = "challenge"
	depthLogon     = "logon"

	certificateCheck  = "check"
	certificateIgnore = "ignore"
	certificateVerify = "verify"

	entraAuto    = "auto"
	entraRequire = "require"
	entraOff     = "off"
)

const rdpPort = "3389"

// ClockSkew is the name of the seconds by which a host's clock and the agent's differ.
const ClockSkew = "clock_skew_seconds"

// RDP climbs the ladder of a Remote Desktop log-on (see package rdp): name, connection, X.224 negotiation, TLS, NTLM challenge
// and, where an account is given for it, the log-on up to the server's proof. No session is opened at any depth.
type RDP struct {
	Address string `yaml:"address" doc:"Host, or host:port; port 3389 unless given. Only a probe of a gateway may do without."`
	// no enum tag: Validate says more than that a word is not allowed
	Depth         string        `yaml:"depth" default:"challenge" doc:"Last stage that is climbed: tcp connects, x224 also wants an answer to the negotiation, tls also a TLS handshake, challenge also an answer of the authentication service, which needs no account, logon also that it accepts an account. No session is opened."`
	Host          string        `yaml:"host" doc:"Name, NetBIOS or DNS, that the host must say it has; any unless given. Another host behind the address is down, content."`
	Domain        string        `yaml:"domain" doc:"Domain, NetBIOS or DNS name, that the host must be a member of, and that user is of unless it names another; any unless given. A host that fell out of it is down, content."`
	User          string        `yaml:"user" doc:"With depth: logon or kerberos, who logs on: name, DOMAIN\\name, name@domain, or .\\name for an account of the host's own. Use an account of its own, with no rights."`
	Password      secret.Value  `yaml:"password" doc:"Its password. It is never sent, and after one refusal the account is not tried again until the secret changes or an operator resets it."`
	NTHash        secret.Value  `yaml:"nt_hash" doc:"The NT hash of the password, 32 hexadecimal digits, in place of password."`
	SPNEGO        bool          `yaml:"spnego" doc:"Wrap the authentication in SPNEGO, as Windows' own client does; only for servers that take nothing else."`
	MaxClockSkew  time.Duration `yaml:"max_clock_skew" default:"4m" doc:"Clocks of host and agent that differ by more are a passed threshold (priority 4), as with limits: { clock_skew_seconds: 240 }; Kerberos fails at 5 minutes. 0 turns it off."`
	Kerberos      RDPKerberos   `yaml:"kerberos" doc:"Asks the domain's KDC for the account's ticket and for one of the host's service, after the challenge and before depth: logon; off unless realm is set."`
	Entra         string        `yaml:"entra" default:"auto" enum:"auto,require,off" doc:"Whether a second connection asks for Entra authentication, which needs no account either: auto does where the first negotiation is refused, require always does and is down without."`
	Gateway       string        `yaml:"gateway" doc:"Address of a Remote Desktop Gateway, https://host, that must ask for authentication (401) before anything else is tried."`
	ServerName    string        `yaml:"server_name" doc:"Name that is asked for in TLS and, with certificate: verify, that the certificate must be for; the host of address unless given."`
	Certificate   string        `yaml:"certificate" default:"check" enum:"check,ignore,verify" doc:"What the certificate must be: check wants one that is not expired, verify also a trusted chain and the name, ignore only reports. Remote Desktop servers sign their own certificate by default, so check does not mind an unknown signer. A gateway's is always verified."`
	CAFile        string        `yaml:"ca_file" doc:"PEM file with the authorities that certificate: verify and the gateway's certificate trust instead of the system's; read when the configuration is loaded."`
	ExpiresWithin time.Duration `yaml:"expires_within" doc:"Less time left on the certificate than this is a passed threshold (priority 4), as with limits: { certificate_days: 21 }; off unless given, since a self-signed one is renewed by its server."`

	target, name string // what Validate made of Address and ServerName
	gateway      *url.URL
	roots        *x509.CertPool
	account      rdp.Account   // of depth logon and of kerberos
	kdcs         []string      // with their ports; none: DNS knows
	service      string        // the service principal
	resolver     *net.Resolver // for tests; nil: kdcResolver
	latch        Latch         // nil: the process'
	key          string        // of the account's guard
}

func init() {
	Register(Kind{
		Name:   "rdp",
		Doc:    "Climbs the ladder of a Remote Desktop log-on: TCP, X.224 negotiation, TLS and certificate, NTLM challenge, and with an account the log-on itself, without a session. A listener that accepts and stays silent is down.",
		New:    func() Probe { return new(RDP) },
		Phases: []string{PhaseGateway, PhaseDNS, PhaseConnect, PhaseX224, PhaseTLS, PhaseNTLM, PhaseEntra, PhaseKerberos, PhaseLogon},
		Numbers: []NumberKind{certificateDays, {
			Name: ClockSkew, Doc: "Seconds by which the clocks of the host and of the agent differ, in either direction.", Unit: "s",
		}},
	})
}

// Validate checks the address and the words, reads ca_file, and prepares target and account.
func (p *RDP) Validate() field.Errors {
	var faults field.Errors
	p.target = withPort(p.Address, rdpPort)
	switch {
	case p.Address != "":
		checkAddress(&faults, "address", p.target)
	case p.Gateway == "":
		faults.AddHint("address", "write host, or host:port", "is required")
	case p.Depth == depthLogon:
		faults.Add("address", "is required for depth: logon")
	}
	p.checkWords(&faults)
	p.checkGateway(&faults)
	p.checkKerberos(&faults)
	p.checkAccount(&faults)
	if p.ExpiresWithin < 0 {
		faults.Add("expires_within", "is negative")
	}
	if p.MaxClockSkew < 0 {
		faults.Add("max_clock_skew", "is negative")
	}
	if p.CAFile != "" && p.Certificate != certificateVerify && p.Gateway == "" {
		faults.AddHint("ca_file", "use certificate: verify", "has no effect without certificate: verify")
	}
	p.roots = loadPool(&faults, "ca_file", p.CAFile)
	if p.name = p.ServerName; p.name == "" {
		p.name, _, _ = net.SplitHostPort(p.target)
	}
	return faults
}

// checkWords checks the keys that take one of a few words, and those that depend on them.
func (p *RDP) checkWords(faults *field.Errors) {
	switch p.Depth {
	case "", depthTCP, depthX224, depthTLS, depthChallenge, depthLogon:
	default:
		faults.AddHint("depth", "tcp, x224, tls, challenge or logon", "is no depth")
	}
	if !p.asks() {
		for _, key := range []struct{ name, value string }{{"host", p.Host}, {"domain", p.Domain}} {
			if key.value != "" {
				faults.AddHint(key.name, "use depth: challenge", "has no effect at this depth")
			}
		}
		if p.SPNEGO {
			faults.AddHint("spnego", "use depth: challenge", "has no effect at this depth")
		}
	}
	if len(p.Domain) > maxUser {
		faults.Add("domain", "is too long")
	}
	switch p.Certificate {
	case "", certificateCheck, certificateVerify:
	case certificateIgnore:
		if p.ExpiresWithin != 0 {
			faults.AddHint("expires_within", "use certificate: check", "has no effect with certificate: ignore")
		}
	default:
		faults.AddHint("certificate", "check, ignore or verify", "is no certificate policy")
	}
	switch p.Entra {
	case "", entraAuto, entraOff:
	case entraRequire:
		if p.Depth == depthTCP || p.Address == "" {
			faults.AddHint("entra", "use depth: challenge", "has no effect here")
		}
	default:
		faults.AddHint("entra", "auto, require or off", "is none of them")
	}
}

// asks reports whether the depth goes as far as the challenge.
func (p *RDP) asks() bool {
	return p.Depth == "" || p.Depth == depthChallenge || p.Depth == depthLogon
}

// OwnLimit returns what expires_within and max_clock_skew set.
func (p *RDP) OwnLimit(number string) (float64, string) {
	if number == ClockSkew {
		return p.MaxClockSkew.Seconds(), "max_clock_skew"
	}
	return expiresWithin(number, p.ExpiresWithin)
}

// withPort returns address with the port where it has none: a name, an IPv4 address, or an IPv6 address in brackets or not.
func withPort(address, port string) string {
	if address == "" {
		return ""
	}
	if ip := net.ParseIP(address); ip != nil {
		return net.JoinHostPort(address, port)
	}
	var fault *net.AddrError
	if _, _, err := net.SplitHostPort(address); errors.As(err, &fault) && fault.Err == "missing port in address" {
		return address + ":" + port
	}
	return address
}

// Probe climbs once.
func (p *RDP) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	if p.target == "" && p.gateway == nil {
		return rec.Finish(Unknown, Internal, "the rdp probe was not validated")
	}
	rec.Mask(p.masked()...)
	if p.gateway != nil {
		if r, ended := p.askGateway(ctx, rec); ended {
			return r
		}
	}
	if p.target == "" {
		return rec.Up()
	}
	raw, err := rec.Dial(ctx, "tcp", p.target)
	if err != nil {
		return rec.Fail(ctx, err, Protocol)
	}
	conn := rdp.NewConn(raw)
	defer func() { _ = conn.Close() }()
	rec.Fact("address", raw.RemoteAddr().String())
	if p.Depth == depthTCP {
		return p.named(ctx, rec, conn)
	}
	if r, ended := p.negotiate(ctx, rec, conn); ended {
		return r
	}
	if p.Entra == entraRequire {
		if r, ended := p.askEntra(ctx, rec); ended {
			return r
		}
	}
	return p.named(ctx, rec, conn)
}

// named are the stages that name an account, each where it is asked for.
func (p *RDP) named(ctx context.Context, rec *Recorder, conn *rdp.Conn) Result {
	if p.Kerberos.Realm != "" {
		if r, ended := p.tickets(ctx, rec, conn); ended {
			return r
		}
	}
	if p.Depth == depthLogon && conn.Ready() {
		return p.logon(ctx, rec, conn)
	}
	return rec.Up()
}

// negotiate is the x224 stage and what follows it, up to the challenge. Like all stages it returns whether the run has ended,
// and its result then; that it has not means that nothing is wrong so far.
func (p *RDP) negotiate(ctx context.Context, rec *Recorder, conn *rdp.Conn) (Result, bool) {
	rec.Begin(PhaseX224)
	confirm, err := conn.Negotiate(ctx, rdp.ProtocolSSL|rdp.ProtocolHybrid)
	rec.End()
	if refusal, ok := errors.AsType[*rdp.NegotiationError](err); ok {
		return p.declined(ctx, rec, refusal)
	}
	if violation, ok := errors.AsType[*rdp.ProtocolError](err); ok {
		return rec.Finish(Down, Protocol, "%s", violation.Error()), true
	}
	if err != nil {
		return failStage(ctx, rec, err, Protocol, "listener accepts connections but does not answer the rdp negotiation (hung)"), true
	}
	rec.Fact("security", confirm.Selected.String())
	if confirm.Negotiated {
		rec.Fact("flags", confirm.Flags.String())
	}
	switch {
	case confirm.Selected == rdp.ProtocolRDP:
		return p.withoutTLS(rec)
	case p.Depth == depthX224:
		return Result{}, false
	}
	if r, ended := p.secure(ctx, rec, conn); ended || conn.TLS() == nil || !p.asks() {
		return r, ended
	}
	if confirm.Selected == rdp.ProtocolSSL {
		rec.Fact("ladder", "ends at tls: the server does not offer network level authentication (nla)")
		return Result{}, false
	}
	return p.challenge(ctx, rec, conn)
}

// failStage ends the run because of err; hung is what silence in this stage means.
func failStage(ctx context.Context, rec *Recorder, err error, fallback Reason, hung string) Result {
	if outcome, reason, _ := Classify(ctx, rec.Phase(), err, fallback); outcome == Down && reason == Timeout {
		return rec.Finish(Down, Timeout, "%s", hung)
	}
	return rec.Fail(ctx, err, fallback)
}

// declined judges a refusal of the negotiation. Where Entra authentication is all that a host takes, it refuses what is offered
// here first.
func (p *RDP) declined(ctx context.Context, rec *Recorder, refusal *rdp.NegotiationError) (Result, bool) {
	rec.Fact("negotiation", refusal.Code.String())
	switch refusal.Code {
	case rdp.SSLNotAllowed:
		return p.withoutTLS(rec)
	case rdp.SSLRequired, rdp.InconsistentFlags, rdp.HybridRequired:
		if p.Entra == "" || p.Entra == entraAuto {
			if err := p.entra(ctx, rec); err == nil {
				rec.Fact("ladder", "ends at the negotiation of tls and nla: the server offers entra authentication only")
				return rec.Up(), true
			}
		}
	default:
	}
	return rec.Finish(Down, Protocol, "%s: %s", refusal.Error(), adviceOn(refusal.Code)), true
}

// withoutTLS judges a server that is set to Standard RDP Security: users log on, so it is up; only where the configuration
// demands a verified certificate is something missing.
func (p *RDP) withoutTLS(rec *Recorder) (Result, bool) {
	rec.Fact("security", rdp.ProtocolRDP.String()+", no tls")
	if p.Depth != depthX224 && p.Certificate == certificateVerify {
		return rec.Finish(Down, TLS, "server offers standard rdp security only: without tls there is no certificate to verify"), true
	}
	if p.asks() {
		rec.Fact("ladder", "ends at the negotiation: the server offers neither tls nor network level authentication (nla)")
	}
	return Result{}, false
}

// advice is what a person may do about a refusal; all of them came though both TLS and NLA were offered.
var advice = map[rdp.FailureCode]string{
	rdp.SSLRequired:             "it insists on tls, which was offered; check its security layer",
	rdp.SSLCertNotOnServer:      "the server has no usable certificate for tls, so nobody can log on; renew its remote desktop certificate",
	rdp.InconsistentFlags:       "it finds the flags of the request contradictory; check its security layer, and what stands between that may change the request, such as a gateway or balancer",
	rdp.HybridRequired:          "it insists on nla, which was offered; check its security layer, and whether it wants entra authentication or restricted admin mode",
	rdp.SSLWithUserAuthRequired: "the server wants a client certificate, which users without a smart card do not have",
}

func adviceOn(code rdp.FailureCode) string {
	if text, ok := advice[code]; ok {
		return text
	}
	return "tls and nla were offered; check the server's security layer"
}

// secure is the tls stage.
func (p *RDP) secure(ctx context.Context, rec *Recorder, conn *rdp.Conn) (Result, bool) {
	rec.Begin(PhaseTLS)
	state, err := conn.StartTLS(ctx, p.name)
	rec.End()
	if unparsed, ok := errors.AsType[*rdp.CertificateError](err); ok {
		return p.unparsed(rec, unparsed)
	}
	if err != nil {
		return failStage(ctx, rec, err, TLS, "server answers the rdp negotiation but does not finish the tls handshake (hung)"), true
	}
	rec.Certificate(state.PeerCertificates[0])
	version := tls.VersionName(state.Version)
	if state.Version < tls.VersionTLS12 {
		version += ", tls version too old"
	}
	rec.Fact("tls_version", version)
	return p.judge(rec, state, time.Now())
}

// unparsed judges a certificate that the agent cannot read. Remote Desktop clients accept it, so it is an outage only where
// the configuration demands a verified one.
func (p *RDP) unparsed(rec *Recorder, err *rdp.CertificateError) (Result, bool) {
	if p.Certificate == certificateVerify {
		return rec.Finish(Down, BadCertificate, "%s", err.Error()), true
	}
	rec.Fact("certificate", err.Error())
	if p.asks() {
		rec.Fact("ladder", "ends at tls: this agent cannot read the certificate")
	}
	return Result{}, false
}

// judge applies the certificate policy.
func (p *RDP) judge(rec *Recorder, state tls.ConnectionState, now time.Time) (Result, bool) {
	leaf := state.PeerCertificates[0]
	chains, fault := p.verify(state, now)
	rec.Fact("chain", chainFact(leaf, fault))
	state.VerifiedChains = chains
	rec.expiry(state, now)
	switch {
	case p.Certificate == certificateIgnore:
	case now.After(leaf.NotAfter):
		return rec.Finish(Down, BadCertificate, "%s", expiredDetail(leaf, now)), true
	case p.Certificate == certificateVerify && fault != nil:
		return rec.Finish(Down, BadCertificate, "%s", faultText(fault)), true
	}
	return Result{}, false
}

// verify checks chain, name and validity. Any extended key usage will do: a Windows authority may issue these certificates
// for Remote Desktop Authentication (1.3.6.1.4.1.311.54.1.2) alone.
func (p *RDP) verify(state tls.ConnectionState, now time.Time) ([][]*x509.Certificate, error) {
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	return state.PeerCertificates[0].Verify(x509.VerifyOptions{
		DNSName: p.name, Roots: p.roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
}

// chainFact says in a few words what verification made of the certificate, whether the policy minds or not.
func chainFact(leaf *x509.Certificate, fault error) string {
	_, unknown := errors.AsType[x509.UnknownAuthorityError](fault)
	switch {
	case fault == nil:
		return "trusted"
	case unknown && string(leaf.RawSubject) == string(leaf.RawIssuer):
		return "self-signed"
	case unknown:
		return "signed by an authority that is not trusted"
	}
	return faultText(fault)
}

func faultText(err error) string {
	if detail := certificateFault(err); detail != "" {
		return detail
	}
	return "certificate is invalid: " + trimX509(err)
}
