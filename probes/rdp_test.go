//go:build servers && linux

package probes_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

func TestRDPOnHealthyServersIsUpAndSaysWhatItSaw(t *testing.T) {
	ecdsa := servers.SelfSigned(t, servers.CertOptions{ECDSA: true})
	for name, c := range map[string]struct {
		address func() string
		facts   []string
		phases  string
	}{
		"xrdp, tls": {
			func() string { return servers.StartXrdp(t, servers.XrdpOptions{}).Address },
			[]string{"security=tls", "flags=extended-client-data", "tls_version=TLS 1.3", "chain=self-signed", "days_left=0"},
			"connect x224 tls",
		},
		"xrdp, ecdsa": {
			func() string { return servers.StartXrdp(t, servers.XrdpOptions{Cert: ecdsa}).Address },
			[]string{"security=tls", "chain=self-signed"},
			"connect x224 tls",
		},
		"xrdp, negotiate": {
			func() string { return servers.StartXrdp(t, servers.XrdpOptions{Layer: "negotiate"}).Address },
			[]string{"security=tls"},
			"connect x224 tls",
		},
		"xrdp, standard rdp security": {
			func() string { return servers.StartXrdp(t, servers.XrdpOptions{Layer: "rdp"}).Address },
			[]string{"security=standard rdp security, no tls"},
			"connect x224",
		},
		"freerdp, nla": {
			func() string { return servers.StartShadow(t, servers.ShadowOptions{}).Address },
			[]string{"security=nla, credssp 6", "tls_version=TLS 1.3"},
			"connect x224 tls ntlm",
		},
		"freerdp, tls, ecdsa": {
			func() string {
				return servers.StartShadow(t, servers.ShadowOptions{Security: "tls", Cert: ecdsa}).Address
			},
			[]string{"security=tls"},
			"connect x224 tls",
		},
		"freerdp, standard rdp security": {
			func() string { return servers.StartShadow(t, servers.ShadowOptions{Security: "rdp"}).Address },
			[]string{"security=standard rdp security, no tls"},
			"connect x224",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := runRDP(t, probes.RDP{Address: c.address()}, rdpPatience)
			wantRDP(t, r, probes.Up, probes.None, "", c.facts...)
			if got := phaseNames(r); got != c.phases {
				t.Errorf("phases %q, want %q", got, c.phases)
			}
			if withTLS := strings.Contains(c.phases, "tls"); withTLS != (r.Certificate != nil) {
				t.Errorf("certificate %+v", r.Certificate)
			}
		})
	}
}

func TestRDPReportsTheCertificateThatTheServerShows(t *testing.T) {
	s := servers.StartXrdp(t, servers.XrdpOptions{})
	r := runRDP(t, probes.RDP{Address: s.Address}, rdpPatience)
	if c := r.Certificate; c == nil || !c.SelfSigned || c.Subject != "CN=localhost" || !c.NotAfter.Equal(s.Cert.Leaf.NotAfter) || len(c.Fingerprint) != 64 {
		t.Errorf("got %+v", c)
	}
}

func TestRDPStopsAtItsDepth(t *testing.T) {
	s := servers.StartXrdp(t, servers.XrdpOptions{})
	for depth, phases := range map[string]string{"tcp": "connect", "x224": "connect x224", "tls": "connect x224 tls"} {
		r := runRDP(t, probes.RDP{Address: s.Address, Depth: depth}, rdpPatience)
		wantRDP(t, r, probes.Up, probes.None, "")
		if got := phaseNames(r); got != phases {
			t.Errorf("depth %s: phases %q, want %q", depth, got, phases)
		}
	}
}

func TestRDPContract(t *testing.T) {
	probe := func(t *testing.T, address string) probes.Probe { return valid(t, &probes.RDP{Address: address}) }
	secured := func(cert tls.Certificate) probetest.Target {
		return func(t *testing.T) probes.Probe {
			return probe(t, probetest.Listen(t, func(conn net.Conn) {
				_, _ = io.ReadFull(conn, make([]byte, 19))
				_, _ = io.WriteString(conn, confirmTLS)
				_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
				_, _ = io.Copy(io.Discard, conn)
			}))
		}
	}
	named := func(n int) tls.Certificate {
		o := servers.CertOptions{ECDSA: true, CommonName: "\x1b]0;\n" + strings.Repeat("x", 4000)}
		for i := range n {
			o.Hosts = append(o.Hosts, fmt.Sprintf("host-%d.a-rather-long-name.example", i))
		}
		return servers.SelfSigned(t, o).TLS
	}
	probetest.Run(t, probetest.Case{
		Kind: "rdp",
		Good: func(t *testing.T) probes.Probe {
			return probe(t, servers.StartXrdp(t, servers.XrdpOptions{}).Address)
		},
		Silent: func(t *testing.T) probes.Probe { return probe(t, probetest.Listen(t, probetest.Silence)) },
		Scenarios: append(probetest.Peers(probe),
			probetest.Scenario{Name: "hostile names", Target: secured(named(1)), Outcome: probes.Up},
			probetest.Scenario{Name: "huge certificate", Target: secured(named(4000)), Outcome: probes.Up},
			probetest.Scenario{Name: "certificate too huge for tls", Target: secured(named(8000)), Outcome: probes.Down, Reasons: []probes.Reason{probes.TLS}},
			probetest.Scenario{Name: "garbage in place of tls", Outcome: probes.Down, Reasons: []probes.Reason{probes.TLS}, Target: func(t *testing.T) probes.Probe {
				return probe(t, probetest.Listen(t, func(conn net.Conn) {
					_, _ = io.WriteString(conn, confirmTLS)
					probetest.Garbage(-1)(conn)
				}))
			}},
			probetest.Scenario{Name: "slow loris in tls", Timeout: 700 * time.Millisecond, Outcome: probes.Down, Reasons: []probes.Reason{probes.Timeout}, Target: func(t *testing.T) probes.Probe {
				return probe(t, probetest.Listen(t, func(conn net.Conn) {
					_, _ = io.WriteString(conn, confirmTLS)
					probetest.Drip("\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")(conn)
				}))
			}},
		),
	})
}

const rdpHung = "listener accepts connections but does not answer the rdp negotiation (hung)"

func TestRDPFrozenListenerIsDownThoughItAcceptsAndUpAgainWhenThawed(t *testing.T) {
	for name, start := range map[string]func() (*servers.Process, string){
		"xrdp": func() (*servers.Process, string) {
			s := servers.StartXrdp(t, servers.XrdpOptions{})
			return s.Process, s.Address
		},
		"freerdp": func() (*servers.Process, string) {
			s := servers.StartShadow(t, servers.ShadowOptions{})
			return s.Process, s.Address
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, address := start()
			server.Freeze()
			r := runRDP(t, probes.RDP{Address: address}, rdpSilence)
			wantRDP(t, r, probes.Down, probes.Timeout, rdpHung)
			if d, ok := r.Phase(probes.PhaseX224); !ok || d < rdpSilence/2 {
				t.Errorf("phases %v, want the time in x224", r.Phases)
			}
			wantRDP(t, runRDP(t, probes.RDP{Address: address, Depth: "tcp"}, rdpPatience), probes.Up, probes.None, "")
			server.Thaw()
			wantRDP(t, runRDP(t, probes.RDP{Address: address}, rdpPatience), probes.Up, probes.None, "")
			server.Stop()
			wantRDP(t, runRDP(t, probes.RDP{Address: address}, rdpPatience), probes.Down, probes.Refused, "refuses the connection")
		})
	}
}

func TestRDPServerThatStopsInMidAnswerIsDownWithTheStageItStuckIn(t *testing.T) {
	relay := servers.StartRelay(t, servers.StartShadow(t, servers.ShadowOptions{}).Address, 0)
	for _, c := range []struct {
		limit  int64
		detail string
		phase  string
	}{
		{0, rdpHung, probes.PhaseX224},
		{5, rdpHung, probes.PhaseX224},
		{19, "does not finish the tls handshake (hung)", probes.PhaseTLS},
		{300, "does not finish the tls handshake (hung)", probes.PhaseTLS},
	} {
		relay.SetLimit(c.limit)
		r := runRDP(t, probes.RDP{Address: relay.Address}, 2*time.Second)
		wantRDP(t, r, probes.Down, probes.Timeout, c.detail)
		if last := r.Phases[len(r.Phases)-1].Name; last != c.phase {
			t.Errorf("limit %d: stuck in %s, want %s", c.limit, last, c.phase)
		}
	}
	relay.SetLimit(servers.Unlimited)
	wantRDP(t, runRDP(t, probes.RDP{Address: relay.Address}, rdpPatience), probes.Up, probes.None, "")
}

func TestRDPServerWithoutCertificateRefusesTheNegotiation(t *testing.T) {
	s := servers.StartXrdp(t, servers.XrdpOptions{NoCert: true})
	r := runRDP(t, probes.RDP{Address: s.Address}, rdpPatience)
	wantRDP(t, r, probes.Down, probes.Protocol, "SSL_CERT_NOT_ON_SERVER", "negotiation=SSL_CERT_NOT_ON_SERVER")
}

func TestRDPCertificatePolicies(t *testing.T) {
	now := time.Now()
	ca := servers.SelfSigned(t, servers.CertOptions{CommonName: "Own CA", CA: true, ECDSA: true})
	shown := map[string]string{}
	for name, o := range map[string]servers.CertOptions{
		"good":     {},
		"expired":  {NotBefore: now.Add(-90 * 24 * time.Hour), NotAfter: now.Add(-49 * time.Hour)},
		"future":   {NotBefore: now.Add(time.Hour), NotAfter: now.Add(48 * time.Hour)},
		"ca":       {Issuer: ca},
		"ca other": {Issuer: ca, Hosts: []string{"other.example"}},
		"rdp only": {Issuer: ca, RemoteDesktop: true},
		"negative": {NegativeSerial: true},
	} {
		shown[name] = servers.StartXrdp(t, servers.XrdpOptions{Cert: servers.SelfSigned(t, o)}).Address
	}
	for _, c := range []struct {
		cert    string
		probe   probes.RDP
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
		fact    string
	}{
		{"expired", probes.RDP{}, probes.Down, probes.BadCertificate, "certificate expired 2 days ago", "security=tls"},
		{"expired", probes.RDP{Certificate: "ignore"}, probes.Up, probes.None, "", "chain=certificate expired 2 days ago"},
		{"expired", probes.RDP{Certificate: "verify"}, probes.Down, probes.BadCertificate, "certificate expired 2 days ago", ""},
		{"future", probes.RDP{}, probes.Up, probes.None, "", "chain=is not valid before"},
		{"future", probes.RDP{Certificate: "verify"}, probes.Down, probes.BadCertificate, "is not valid before", ""},
		{"good", probes.RDP{Certificate: "verify"}, probes.Down, probes.BadCertificate, "authority that is not trusted", ""},
		{"good", probes.RDP{ExpiresWithin: 48 * time.Hour}, probes.Up, probes.None, "", "days_left=0"},
		{"ca", probes.RDP{}, probes.Up, probes.None, "", "chain=signed by an authority that is not trusted"},
		{"ca", probes.RDP{Certificate: "verify", CAFile: ca.CertFile}, probes.Up, probes.None, "", "chain=trusted"},
		{"ca", probes.RDP{Certificate: "verify", CAFile: ca.CertFile, ServerName: "localhost"}, probes.Up, probes.None, "", "chain=trusted"},
		{"ca other", probes.RDP{Certificate: "verify", CAFile: ca.CertFile}, probes.Down, probes.BadCertificate, "certificate is for other.example, not for 127.0.0.1", ""},
		{"ca other", probes.RDP{Certificate: "verify", CAFile: ca.CertFile, ServerName: "other.example"}, probes.Up, probes.None, "", ""},
		{"rdp only", probes.RDP{Certificate: "verify", CAFile: ca.CertFile}, probes.Up, probes.None, "", "chain=trusted"},
		{"negative", probes.RDP{}, probes.Up, probes.None, "", "certificate=negative serial number"},
		{"negative", probes.RDP{Certificate: "verify"}, probes.Down, probes.BadCertificate, "negative serial number", ""},
	} {
		t.Run(c.cert+" "+c.probe.Certificate+" "+c.probe.ServerName, func(t *testing.T) {
			c.probe.Address = shown[c.cert]
			wantRDP(t, runRDP(t, c.probe, rdpPatience), c.outcome, c.reason, c.detail, c.fact)
		})
	}
}

func TestRDPVerifyWantsTLS(t *testing.T) {
	s := servers.StartXrdp(t, servers.XrdpOptions{Layer: "rdp"})
	r := runRDP(t, probes.RDP{Address: s.Address, Certificate: "verify"}, rdpPatience)
	wantRDP(t, r, probes.Down, probes.TLS, "no certificate to verify")
}

func TestRDPOldTLSIsReportedAndNotDown(t *testing.T) {
	s := servers.StartXrdp(t, servers.XrdpOptions{Settings: map[string]string{
		"ssl_protocols": "TLSv1", "tls_ciphers": "ALL:@SECLEVEL=0",
	}})
	r := runRDP(t, probes.RDP{Address: s.Address}, rdpPatience)
	wantRDP(t, r, probes.Up, probes.None, "", "tls_version=TLS 1.0, tls version too old")
}

func TestRDPServerWithTheKeyExchangeOfOldWindowsIsUp(t *testing.T) {
	s := servers.StartXrdp(t, servers.XrdpOptions{Settings: map[string]string{
		"ssl_protocols": "TLSv1.2", "tls_ciphers": "AES128-SHA:@SECLEVEL=0", // RSA key exchange
	}})
	wantRDP(t, runRDP(t, probes.RDP{Address: s.Address}, rdpPatience), probes.Up, probes.None, "", "tls_version=TLS 1.2")
}

// A confirm that selects tls, as xrdp sends it, and a refusal with a code that no server on Debian sends.
const (
	confirmTLS    = "\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x01\x08\x00\x01\x00\x00\x00"
	refuseSSLOnly = "\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x03\x00\x08\x00\x02\x00\x00\x00"
	refuseOdd     = "\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x03\x00\x08\x00\x04\x00\x00\x00"
)

func TestRDPOnPeersThatAreNotAsTheyShouldBe(t *testing.T) {
	for name, c := range map[string]struct {
		answer  string
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		"standard security only": {refuseSSLOnly, probes.Up, probes.None, ""},
		"inconsistent flags":     {refuseOdd, probes.Down, probes.Protocol, "INCONSISTENT_FLAGS"},
		"ssh":                    {"SSH-2.0-OpenSSH_9.2\r\n", probes.Down, probes.Protocol, `answers "SSH-", which is not rdp`},
		"escape sequences":       {"\x1b[2J\x1b[H", probes.Down, probes.Protocol, `answers "\x1b[2J"`},
		"closes at once":         {"", probes.Down, probes.Reset, "closed the connection"},
		"closes in the answer":   {confirmTLS[:9], probes.Down, probes.Reset, "closed the connection"},
		"closes before tls":      {confirmTLS, probes.Down, probes.Reset, "closed the connection"},
		"no tls after all":       {confirmTLS + "HTTP/1.1 400 Bad Request\r\n\r\n", probes.Down, probes.TLS, "does not speak tls"},
	} {
		t.Run(name, func(t *testing.T) {
			address := probetest.Listen(t, func(conn net.Conn) {
				request := make([]byte, 19)
				_, _ = io.ReadFull(conn, request)
				_, _ = io.WriteString(conn, c.answer)
				if len(c.answer) >= len(confirmTLS) {
					_, _ = conn.Read(make([]byte, 4096)) // the hello, lest closing resets the connection
				}
			})
			wantRDP(t, runRDP(t, probes.RDP{Address: address}, rdpPatience), c.outcome, c.reason, c.detail)
		})
	}
}

func TestRDPTLSFailureOfTheServerIsNamed(t *testing.T) {
	cert := servers.SelfSigned(t, servers.CertOptions{})
	address := probetest.Listen(t, func(conn net.Conn) {
		_, _ = io.ReadFull(conn, make([]byte, 19))
		_, _ = io.WriteString(conn, confirmTLS)
		server := tls.Server(conn, &tls.Config{
			Certificates: []tls.Certificate{cert.TLS}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12,
		})
		_ = server.Handshake()
	})
	wantRDP(t, runRDP(t, probes.RDP{Address: address}, rdpPatience), probes.Down, probes.TLS, "tls handshake failed")
}

func TestRDPCancelledRunIsUnknown(t *testing.T) {
	silent := servers.StartSilent(t)
	p := probes.RDP{Address: silent.Address}
	if faults := p.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan probes.Result)
	go func() { result <- p.Probe(ctx) }()
	for silent.Accepted() == 0 {
		select {
		case r := <-result:
			t.Fatalf("ended by itself: %+v", r)
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	wantRDP(t, <-result, probes.Unknown, probes.Local, "cancelled")
}

func TestRDPPortIs3389UnlessGiven(t *testing.T) {
	r := runRDP(t, probes.RDP{Address: "127.33.89.1"}, rdpPatience) // an address of this host that nobody listens on
	wantRDP(t, r, probes.Down, probes.Refused, "127.33.89.1:3389 refuses the connection")
}
