package probes

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/firstcall-agent/firstcall/probes/chromium"
)

// loopback dials what to makes of an address, and refuses to leave this machine.
func loopback(to func(address string) string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		target := to(address)
		host, _, err := net.SplitHostPort(target)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			return nil, fmt.Errorf("a test tried to leave this machine: to %s (%s)", address, target)
		}
		return dialForRun(ctx, network, target)
	}
}

// DialTo makes the probe's connections lead to loopback addresses; it is called after Validate.
func (p *AVD) DialTo(to func(address string) string) {
	for _, d := range p.asked {
		d.http.here.DialContext = loopback(to)
	}
}

// DialTo makes the probe's connections lead to loopback addresses; it is called after Validate.
func (p *AVDPool) DialTo(to func(address string) string) { p.azure.dial = loopback(to) }

// Fake replaces identity and network by the SDK's fakes; it is called after Validate.
func (p *AVDPool) Fake(credential azcore.TokenCredential, transport policy.Transporter) {
	p.azure.identity.build = func() (azcore.TokenCredential, error) { return credential, nil }
	p.azure.transport = transport
}

// OptionsOf returns the options of the browser that a probe shares.
func OptionsOf(p *Browser) chromium.Options {
	o, _ := p.options()
	return o
}

// ParseGateway finds the gateway in the text of an .rdp file.
var ParseGateway = parseGateway

// SetResolver makes the probe look controllers up with r.
func (p *RDP) SetResolver(r *net.Resolver) { p.resolver = r }

// Fake replaces the identity; it is called after Validate.
func (p *MSSQL) Fake(credential azcore.TokenCredential) {
	p.azure.identity.build = func() (azcore.TokenCredential, error) { return credential, nil }
}

// PauseFor sets how long a run waits before it asks a database again that resumes; it is called after Validate.
func (p *MSSQL) PauseFor(d time.Duration) { p.pause = d }

// Succeed notes that a log-in succeeded before.
func (p *MSSQL) Succeed() { p.succeed() }

// DialTo makes Entra be asked at a loopback address that shows a certificate of an authority.
func (t *AzureTokens) DialTo(address string, authorities *x509.CertPool) {
	t.access.dial = loopback(func(string) string { return address })
	t.access.tls.RootCAs = authorities
}

// Aged makes what is kept that much older.
func (t *AzureTokens) Aged(by time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.got, t.until = t.got.Add(-by), t.until.Add(-by)
}
