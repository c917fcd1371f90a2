package probes

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/firstcall-agent/firstcall/config/field"
)

// gatewayPath is where a Remote Desktop Gateway takes connections over HTTP ([MS-TSGU] 3.3.5.1).
const gatewayPath = "/remoteDesktopGateway/"

// checkGateway reads the key gateway.
func (p *RDP) checkGateway(faults *field.Errors) {
	p.gateway = nil
	if p.Gateway == "" {
		return
	}
	u, err := url.Parse(p.Gateway)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "":
		faults.AddHint("gateway", "write https://host", "is no address of a gateway")
	case u.User != nil:
		faults.Add("gateway", "must not hold credentials: none are needed")
	case u.RawQuery != "" || u.Fragment != "" || strings.TrimRight(u.Path, "/") != "" && !strings.EqualFold(strings.TrimRight(u.Path, "/"), strings.TrimRight(gatewayPath, "/")):
		faults.AddHint("gateway", "write https://host", "must not hold a path of its own")
	default:
		p.gateway = &url.URL{Scheme: "https", Host: u.Host, Path: gatewayPath}
	}
}

// askGateway asks a Remote Desktop Gateway for a connection without saying who asks ([MS-TSGU] 4.2.1): that it wants to know
// proves that its web server and its role answer.
func (p *RDP) askGateway(ctx context.Context, rec *Recorder) (Result, bool) {
	rec.Begin(PhaseGateway)
	response, err := p.gatewayAnswer(ctx)
	rec.End()
	if err != nil {
		outcome, reason, detail := Classify(ctx, PhaseGateway, err, Protocol)
		return rec.Finish(outcome, reason, "gateway: %s", detail), true
	}
	_ = response.Body.Close()
	schemes := response.Header.Values("WWW-Authenticate")
	rec.Fact("gateway", fmt.Sprintf("%s, %s", statusText(response), offeredSchemes(schemes)))
	switch status := response.StatusCode; {
	case status == http.StatusUnauthorized && hasScheme(schemes, "Negotiate", "NTLM", "Basic", "SSPI_NTLM", "PAA", "Bearer"):
		return Result{}, false
	case status == http.StatusUnauthorized:
		return rec.Finish(Down, Protocol, "gateway: asks for authentication, but offers no scheme that remote desktop clients know"), true
	case status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusGone, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		return rec.Finish(Down, Status, "gateway: status %s, expected 401: a web server answers, but not the remote desktop gateway role", statusText(response)), true
	default:
		return rec.Finish(Down, Status, "gateway: status %s, expected 401", statusText(response)), true
	}
}

// gatewayAnswer makes the request over a connection of its own; its body is not read.
func (p *RDP) gatewayAnswer(ctx context.Context) (*http.Response, error) {
	dialer := &net.Dialer{KeepAlive: -1}
	transport := &http.Transport{
		DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeaderBytes,
		TLSClientConfig: &tls.Config{RootCAs: p.roots, MinVersion: tls.VersionTLS12},
	}
	defer transport.CloseIdleConnections()
	var id [16]byte
	_, _ = rand.Read(id[:])
	request := (&http.Request{
		Method: "RDG_OUT_DATA", URL: p.gateway, Host: p.gateway.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header: http.Header{
			"Accept": {"*/*"}, "Cache-Control": {"no-cache"}, "Pragma": {"no-cache"}, "User-Agent": {"MS-RDGateway/1.0"},
			"Rdg-Connection-Id": {fmt.Sprintf("{%X-%X-%X-%X-%X}", id[:4], id[4:6], id[6:8], id[8:10], id[10:])},
		},
	}).WithContext(ctx)
	return transport.RoundTrip(request)
}

// hasScheme reports whether one of the challenges is of one of the schemes.
func hasScheme(challenges []string, schemes ...string) bool {
	for _, c := range challenges {
		for one := range strings.SplitSeq(c, ",") {
			word, _, _ := strings.Cut(strings.TrimSpace(one), " ")
			if sameAny(word, schemes...) {
				return true
			}
		}
	}
	return false
}

// offeredSchemes lists what a server offers, without what follows a scheme's name.
func offeredSchemes(challenges []string) string {
	var names []string
	for _, c := range challenges[:min(len(challenges), 6)] {
		word, _, _ := strings.Cut(strings.TrimSpace(c), " ")
		names = append(names, Printable(word, 40))
	}
	if len(names) == 0 {
		return "no authentication offered"
	}
	return "offers " + strings.Join(names, ", ")
}
