package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
)

// TLSProbe makes a TLS handshake and checks the certificate: chain, name, time left.
type TLSProbe struct {
	Address       string        `yaml:"address" required:"true" doc:"Host and port, host:port."`
	ServerName    string        `yaml:"server_name" doc:"Name that is asked for and that the certificate must be for; the host of address unless given."`
	CAFile        string        `yaml:"ca_file" doc:"PEM file with the authorities that are trusted instead of the system's; read when the configuration is loaded."`
	ExpiresWithin time.Duration `yaml:"expires_within" default:"21d" doc:"Less time left than this is a passed threshold (priority 4), as with limits: { certificate_days: 21 }; 0 turns it off."`
	MinVersion    string        `yaml:"min_version" default:"1.2" enum:"1.0,1.1,1.2,1.3" doc:"Oldest TLS version that is accepted, in quotes."`

	config *tls.Config
}

func init() {
	Register(Kind{
		Name:    "tls",
		Doc:     "Makes a TLS handshake and checks the certificate's chain, name and time left.",
		New:     func() Probe { return new(TLSProbe) },
		Phases:  []string{PhaseDNS, PhaseConnect, PhaseTLS},
		Numbers: []NumberKind{certificateDays},
	})
}

// tlsVersions are the words of min_version.
var tlsVersions = map[string]uint16{"": tls.VersionTLS12, "1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// Validate checks the address, reads ca_file and prepares the handshake.
func (p *TLSProbe) Validate() field.Errors {
	var faults field.Errors
	checkAddress(&faults, "address", p.Address)
	if p.ExpiresWithin < 0 {
		faults.Add("expires_within", "is negative")
	}
	version, known := tlsVersions[p.MinVersion]
	if !known {
		faults.AddHint("min_version", "1.0, 1.1, 1.2 or 1.3", "is no TLS version")
	}
	name := p.ServerName
	if name == "" {
		name, _, _ = net.SplitHostPort(p.Address)
	}
	p.config = &tls.Config{ServerName: name, RootCAs: loadPool(&faults, "ca_file", p.CAFile), MinVersion: version}
	return faults
}

// loadPool reads the authorities in a PEM file; nil, the system's, when file is empty or faulty.
func loadPool(faults *field.Errors, path, file string) *x509.CertPool {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		faults.Add(path, "%s", clause(err))
		return nil
	}
	defer func() { _ = f.Close() }()
	pem, err := io.ReadAll(io.LimitReader(f, 4<<20))
	if err != nil {
		faults.Add(path, "%s", clause(err))
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		faults.AddHint(path, "it must hold a CERTIFICATE block", "%s holds no certificate in PEM form", file)
		return nil
	}
	return pool
}

// Probe makes one handshake. The certificate is noted whether it verifies or not.
func (p *TLSProbe) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	if p.config == nil {
		return rec.Finish(Unknown, Internal, "the tls probe was not validated")
	}
	conn, err := rec.Dial(ctx, "tcp", p.Address)
	if err != nil {
		return rec.Fail(ctx, err, TLS)
	}
	defer func() { _ = conn.Close() }()
	rec.Fact("address", conn.RemoteAddr().String())
	defer Bind(ctx, conn)()
	rec.Begin(PhaseTLS)
	secured := tls.Client(conn, p.config)
	if err := secured.Handshake(); err != nil {
		return rec.Fail(ctx, err, TLS)
	}
	rec.End()
	state := secured.ConnectionState()
	rec.Certificate(state.PeerCertificates[0])
	rec.Fact("tls_version", tls.VersionName(state.Version))
	rec.Fact("cipher_suite", tls.CipherSuiteName(state.CipherSuite))
	rec.expiry(state, time.Now())
	return rec.Up()
}

// OwnLimit returns what expires_within sets.
func (p *TLSProbe) OwnLimit(number string) (float64, string) {
	return expiresWithin(number, p.ExpiresWithin)
}

// expiresWithin is the key expires_within as the limit of a number.
func expiresWithin(number string, within time.Duration) (float64, string) {
	if number != CertificateDays {
		return 0, ""
	}
	return within.Hours() / 24, "expires_within"
}

// expiry notes the days left of the certificate in the chain that expires first. A server's chain ends with its
// shortest-lived certificate, which may be an authority's.
func (r *Recorder) expiry(state tls.ConnectionState, now time.Time) {
	first := earliest(state)
	if first == nil {
		return
	}
	left, of := first.NotAfter.Sub(now), ""
	if first.IsCA && first != state.PeerCertificates[0] {
		of = "the authority " + first.Subject.CommonName
	}
	r.Fact("days_left", strconv.Itoa(int(left/(24*time.Hour))))
	r.NumberOf(CertificateDays, left.Hours()/24, of)
}

// earliest returns the certificate that ends the best verified chain first, or the leaf when nothing was verified.
func earliest(state tls.ConnectionState) *x509.Certificate {
	var best *x509.Certificate
	for _, chain := range state.VerifiedChains {
		first := chain[0]
		for _, cert := range chain[1:] {
			if cert.NotAfter.Before(first.NotAfter) {
				first = cert
			}
		}
		if best == nil || first.NotAfter.After(best.NotAfter) {
			best = first
		}
	}
	if best == nil && len(state.PeerCertificates) > 0 {
		return state.PeerCertificates[0]
	}
	return best
}
