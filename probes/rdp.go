package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/probes/rdp"
)

// Words of the rdp kind's depth and certificate.
const (
	depthTCP  = "tcp"
	depthX224 = "x224"
	depthTLS  = "tls"

	certificateCheck  = "check"
	certificateIgnore = "ignore"
	certificateVerify = "verify"
)

const rdpPort = "3389"

// RDP climbs the first stages of a Remote Desktop log-on (see package rdp): name, connection, X.224 negotiation, TLS. No
// account is named, so nothing is logged on and no account can be locked.
type RDP struct {
	Address string `yaml:"address" required:"true" doc:"Host, or host:port; port 3389 unless given."`
	// no enum tag: the words of later versions get a hint of their own from Validate
	Depth         string        `yaml:"depth" default:"tls" doc:"Last stage that is climbed: tcp connects, x224 also wants an answer to the negotiation, tls also a TLS handshake."`
	ServerName    string        `yaml:"server_name" doc:"Name that is asked for in TLS and, with certificate: verify, that the certificate must be for; the host of address unless given."`
	Certificate   string        `yaml:"certificate" default:"check" enum:"check,ignore,verify" doc:"What the certificate must be: check wants one that is not expired, verify also a trusted chain and the name, ignore only reports. Remote Desktop servers sign their own certificate by default, so check does not mind an unknown signer."`
	CAFile        string        `yaml:"ca_file" doc:"PEM file with the authorities that certificate: verify trusts instead of the system's; read when the configuration is loaded."`
	ExpiresWithin time.Duration `yaml:"expires_within" doc:"Less time left on the certificate than this is a passed threshold (priority 4), as with limits: { certificate_days: 21 }; off unless given, since a self-signed one is renewed by its server."`

	target, name string // what Validate made of Address and ServerName
	roots        *x509.CertPool
}

func init() {
	Register(Kind{
		Name:    "rdp",
		Doc:     "Climbs the first stages of a Remote Desktop log-on: TCP, X.224 negotiation, TLS and certificate. A listener that accepts and stays silent is down.",
		New:     func() Probe { return new(RDP) },
		Phases:  []string{PhaseDNS, PhaseConnect, PhaseX224, PhaseTLS},
		Numbers: []NumberKind{certificateDays},
	})
}

// Validate checks the address and the words, reads ca_file, and prepares the target.
func (p *RDP) Validate() field.Errors {
	var faults field.Errors
	p.target = withPort(p.Address, rdpPort)
	checkAddress(&faults, "address", p.target)
	switch p.Depth {
	case "", depthTCP, depthX224, depthTLS:
	case "challenge", "logon":
		faults.AddHint("depth", "tls is the deepest: challenge and logon are not in this version", "%s is not supported", p.Depth)
	default:
		faults.AddHint("depth", "tcp, x224 or tls", "is no depth")
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
	if p.ExpiresWithin < 0 {
		faults.Add("expires_within", "is negative")
	}
	if p.CAFile != "" && p.Certificate != certificateVerify {
		faults.AddHint("ca_file", "use certificate: verify", "has no effect without certificate: verify")
	}
	p.roots = loadPool(&faults, "ca_file", p.CAFile)
	if p.name = p.ServerName; p.name == "" {
		p.name, _, _ = net.SplitHostPort(p.target)
	}
	return faults
}

// OwnLimit returns what expires_within sets.
func (p *RDP) OwnLimit(number string) (float64, string) {
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
	if p.target == "" {
		return rec.Finish(Unknown, Internal, "the rdp probe was not validated")
	}
	raw, err := rec.Dial(ctx, "tcp", p.target)
	if err != nil {
		return rec.Fail(ctx, err, Protocol)
	}
	conn := rdp.NewConn(raw)
	defer func() { _ = conn.Close() }()
	rec.Fact("address", raw.RemoteAddr().String())
	if p.Depth == depthTCP {
		return rec.Up()
	}
	return p.negotiate(ctx, rec, conn)
}

// negotiate is the x224 stage and what follows it.
func (p *RDP) negotiate(ctx context.Context, rec *Recorder, conn *rdp.Conn) Result {
	rec.Begin(PhaseX224)
	confirm, err := conn.Negotiate(ctx, rdp.ProtocolSSL|rdp.ProtocolHybrid)
	rec.End()
	if refusal, ok := errors.AsType[*rdp.NegotiationError](err); ok {
		rec.Fact("negotiation", refusal.Code.String())
		if refusal.Code == rdp.SSLNotAllowed {
			return p.withoutTLS(rec)
		}
		return rec.Finish(Down, Protocol, "%s: %s", refusal.Error(), adviceOn(refusal.Code))
	}
	if violation, ok := errors.AsType[*rdp.ProtocolError](err); ok {
		return rec.Finish(Down, Protocol, "%s", violation.Error())
	}
	if err != nil {
		return failStage(ctx, rec, err, Protocol, "listener accepts connections but does not answer the rdp negotiation (hung)")
	}
	rec.Fact("security", confirm.Selected.String())
	if confirm.Negotiated {
		rec.Fact("flags", confirm.Flags.String())
	}
	switch {
	case confirm.Selected == rdp.ProtocolRDP:
		return p.withoutTLS(rec)
	case p.Depth == depthX224:
		return rec.Up()
	}
	return p.secure(ctx, rec, conn)
}

// failStage ends the run because of err; hung is what silence in this stage means.
func failStage(ctx context.Context, rec *Recorder, err error, fallback Reason, hung string) Result {
	if outcome, reason, _ := Classify(ctx, rec.Phase(), err, fallback); outcome == Down && reason == Timeout {
		return rec.Finish(Down, Timeout, "%s", hung)
	}
	return rec.Fail(ctx, err, fallback)
}

// withoutTLS judges a server that is set to Standard RDP Security: users log on, so it is up; only where the configuration
// demands a verified certificate is something missing.
func (p *RDP) withoutTLS(rec *Recorder) Result {
	rec.Fact("security", rdp.ProtocolRDP.String()+", no tls")
	if p.Depth != depthX224 && p.Certificate == certificateVerify {
		return rec.Finish(Down, TLS, "server offers standard rdp security only: without tls there is no certificate to verify")
	}
	return rec.Up()
}

// adviceOn says what a person may do about a refusal.
func adviceOn(code rdp.FailureCode) string {
	if code == rdp.SSLCertNotOnServer {
		return "the server has no usable certificate for tls, so nobody can log on; renew its remote desktop certificate"
	}
	if code == rdp.SSLWithUserAuthRequired {
		return "the server wants a client certificate"
	}
	return "tls and nla were offered; check the server's security layer"
}

// secure is the tls stage.
func (p *RDP) secure(ctx context.Context, rec *Recorder, conn *rdp.Conn) Result {
	rec.Begin(PhaseTLS)
	state, err := conn.StartTLS(ctx, p.name)
	rec.End()
	if unparsed, ok := errors.AsType[*rdp.CertificateError](err); ok {
		return p.unparsed(rec, unparsed)
	}
	if err != nil {
		return failStage(ctx, rec, err, TLS, "server answers the rdp negotiation but does not finish the tls handshake (hung)")
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
func (p *RDP) unparsed(rec *Recorder, err *rdp.CertificateError) Result {
	if p.Certificate == certificateVerify {
		return rec.Finish(Down, BadCertificate, "%s", err.Error())
	}
	rec.Fact("certificate", err.Error())
	return rec.Up()
}

// judge applies the certificate policy.
func (p *RDP) judge(rec *Recorder, state tls.ConnectionState, now time.Time) Result {
	leaf := state.PeerCertificates[0]
	chains, fault := p.verify(state, now)
	rec.Fact("chain", chainFact(leaf, fault))
	state.VerifiedChains = chains
	rec.expiry(state, now)
	switch {
	case p.Certificate == certificateIgnore:
		return rec.Up()
	case now.After(leaf.NotAfter):
		return rec.Finish(Down, BadCertificate, "%s", expiredDetail(leaf, now))
	case p.Certificate == certificateVerify && fault != nil:
		return rec.Finish(Down, BadCertificate, "%s", faultText(fault))
	}
	return rec.Up()
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
