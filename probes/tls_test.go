package probes_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

// listenTLS serves handshakes with config and says nothing more.
func listenTLS(t *testing.T, config *tls.Config) string {
	t.Helper()
	return probetest.Listen(t, func(conn net.Conn) {
		secured := tls.Server(conn, config)
		if secured.Handshake() == nil {
			_, _ = secured.Read(make([]byte, 1))
		}
	})
}

// trusting returns a probe that trusts ca.
func trusting(t *testing.T, ca authority, address string) probes.Probe {
	t.Helper()
	return valid(t, &probes.TLSProbe{Address: address, CAFile: ca.File, ExpiresWithin: 21 * 24 * time.Hour, MinVersion: "1.2"})
}

// shows is a server with a certificate of ca, edited.
func shows(ca authority, edit func(*x509.Certificate)) probetest.Target {
	return func(t *testing.T) probes.Probe {
		return trusting(t, ca, listenTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, edit)}}))
	}
}

// bad is a certificate that must be refused, and noted.
func bad(name, detail string, target probetest.Target) probetest.Scenario {
	s := down(name, detail, target, probes.BadCertificate)
	s.Verify = func(t *testing.T, r probes.Result) {
		wantDetail(detail)(t, r)
		if r.Certificate == nil {
			t.Error("the bad certificate is not noted")
		}
	}
	return s
}

func TestTLSContract(t *testing.T) {
	ca := newAuthority(t, days(900))
	probe := func(t *testing.T, address string) probes.Probe { return trusting(t, ca, address) }
	probetest.Run(t, probetest.Case{
		Kind:      "tls",
		Good:      shows(ca, nil),
		Silent:    func(t *testing.T) probes.Probe { return probe(t, probetest.Listen(t, probetest.Silence)) },
		Scenarios: slices.Concat(probetest.Peers(probe), badCertificates(ca), badHandshakes(ca)),
	})
}

func badCertificates(ca authority) []probetest.Scenario {
	return []probetest.Scenario{
		bad("expired", "certificate expired 3 days ago, on ", shows(ca, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = days(-90), days(-4) })),
		bad("not yet valid", "certificate is not valid before ", shows(ca, func(c *x509.Certificate) { c.NotBefore = days(2) })),
		bad("wrong name", "certificate is for a.example, b.example, not for 127.0.0.1", shows(ca, func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = []string{"a.example", "b.example"}, nil
		})),
		bad("no name", "certificate is for no name (subject CN=test server)", shows(ca, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil })),
		bad("untrusted", "is signed by an authority that is not trusted (CN=Test Root)", func(t *testing.T) probes.Probe {
			other := newAuthority(t, days(900))
			return trusting(t, ca, listenTLS(t, &tls.Config{Certificates: []tls.Certificate{other.issue(t, nil)}}))
		}),
		bad("not for servers", "certificate is invalid: ", shows(ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })),
		bad("hostile names", `\x1b]0\n`, shows(ca, func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: "\x1b]0\n" + strings.Repeat("x", 4000)}
			c.DNSNames, c.IPAddresses = nil, nil
		})),
		bad("huge certificate", "and 3997 more, not for 127.0.0.1", shows(ca, func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = nil, nil
			for i := range 4000 {
				c.DNSNames = append(c.DNSNames, fmt.Sprintf("host-%d.a-rather-long-name.example", i))
			}
		})),
		{Name: "certificate too huge for tls", Outcome: probes.Down, Reasons: []probes.Reason{probes.TLS}, Target: shows(ca, func(c *x509.Certificate) {
			for i := range 8000 {
				c.DNSNames = append(c.DNSNames, fmt.Sprintf("host-%d.a-rather-long-name.example", i))
			}
		})},
		{
			Name: "near expiry", Outcome: probes.Up, Reasons: []probes.Reason{probes.None}, // whether a limit is passed is the detector's business
			Target: shows(ca, func(c *x509.Certificate) { c.NotAfter = days(9) }), Verify: func(t *testing.T, r probes.Result) {
				wantFact("days_left", "9")(t, r)
				wantDaysLeft(t, r, 9, "")
			},
		},
	}
}

func badHandshakes(ca authority) []probetest.Scenario {
	return []probetest.Scenario{
		{
			Name: "old version", Outcome: probes.Down, Reasons: []probes.Reason{probes.TLS}, Verify: wantDetail("tls handshake failed: "),
			Target: func(t *testing.T) probes.Probe {
				return trusting(t, ca, listenTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}))
			},
		},
		{
			Name: "plain text", Outcome: probes.Down, Reasons: []probes.Reason{probes.TLS}, Verify: wantDetail("does not speak tls"),
			Target: func(t *testing.T) probes.Probe {
				return trusting(t, ca, probetest.Listen(t, func(conn net.Conn) {
					_, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
					probetest.Silence(conn)
				}))
			},
		},
	}
}

// An authority near its end is the chain's end, though the server's own certificate has years left.
func TestTLSAuthorityNearExpiry(t *testing.T) {
	ca := newAuthority(t, days(5))
	address := listenTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}})
	r := valid(t, &probes.TLSProbe{Address: address, CAFile: ca.File, ExpiresWithin: 21 * 24 * time.Hour}).Probe(t.Context())
	wantDaysLeft(t, r, 5, "the authority Test Root")
}

// wantDaysLeft wants the number of whole days, and what it is of.
func wantDaysLeft(t *testing.T, r probes.Result, days float64, of string) {
	t.Helper()
	if n, ok := r.Number(probes.CertificateDays); r.Outcome != probes.Up || !ok || math.Floor(n.Value) != days || n.Of != of {
		t.Errorf("result is %s (%s) with numbers %+v, want %v days of %q", r.Outcome, r.Detail, r.Numbers, days, of)
	}
}

// The key expires_within is the limit of certificate_days under another name.
func TestExpiresWithinIsALimit(t *testing.T) {
	const within = 36 * time.Hour
	for name, p := range map[string]probes.Probe{
		"tls": &probes.TLSProbe{ExpiresWithin: within}, "http": &probes.HTTP{ExpiresWithin: within}, "rdp": &probes.RDP{ExpiresWithin: within},
	} {
		kind, _ := probes.Lookup(name)
		own, ok := p.(probes.Limiter)
		if n, declared := kind.Number(probes.CertificateDays); !ok || !declared || !n.Low || !n.Countdown {
			t.Fatalf("%s: %v %+v", name, ok, n)
		}
		if limit, key := own.OwnLimit(probes.CertificateDays); limit != 1.5 || key != "expires_within" {
			t.Errorf("%s: %v by %q", name, limit, key)
		}
		if _, key := own.OwnLimit("sessions"); key != "" {
			t.Errorf("%s: sessions by %q", name, key)
		}
	}
}

func TestTLSServerName(t *testing.T) {
	ca := newAuthority(t, days(900))
	cert := ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"web.example"} })
	asked := make(chan string, 1)
	address := listenTLS(t, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked <- hello.ServerName
		return &cert, nil
	}})
	r := valid(t, &probes.TLSProbe{Address: address, CAFile: ca.File, ServerName: "web.example"}).Probe(t.Context())
	if name := <-asked; r.Outcome != probes.Up || name != "web.example" {
		t.Errorf("asked for %q, result is %s: %s", name, r.Outcome, r.Detail)
	}
	if r.Certificate == nil || r.Certificate.SelfSigned || r.Certificate.Issuer != "CN=Test Root" {
		t.Errorf("certificate is %+v", r.Certificate)
	}
}

func TestTLSFaults(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	faults := (&probes.TLSProbe{Address: "x", CAFile: empty, ExpiresWithin: -1, MinVersion: "1.4"}).Validate()
	if len(faults) != 4 {
		t.Errorf("faults are %v, want address, expires_within, min_version and ca_file", faults)
	}
	if faults := (&probes.TLSProbe{Address: "a:1", CAFile: "/nowhere/ca.pem"}).Validate(); len(faults) != 1 || faults[0].Path != "ca_file" {
		t.Errorf("faults are %v, want one of ca_file", faults)
	}
}
