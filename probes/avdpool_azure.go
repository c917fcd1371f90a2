package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	avd "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/desktopvirtualization/armdesktopvirtualization/v2"
	"golang.org/x/net/http/httpproxy"
)

// azureClouds are the words of the key cloud.
var azureClouds = map[string]cloud.Configuration{
	"": cloud.AzurePublic, "public": cloud.AzurePublic, "us-gov": cloud.AzureGovernment, "china": cloud.AzureChina,
}

// Bounds on what one run takes from Azure.
const (
	maxAnswer = 2 << 20 // bytes of one answer, decompressed: a page of some hundred session hosts has half of it
	maxPages  = 40
	maxHosts  = 5000
	maxPause  = 10 * time.Minute // of throttling, whatever Retry-After says
)

// azureAccess is one identity's way to Azure Resource Manager. It is made once for a probe and is safe for concurrent use; each
// run has connections of its own.
type azureAccess struct {
	identity  *keptCredential
	host      string // of Azure Resource Manager: the only one that sees a token; "" when only Entra is asked
	proxy     func(*url.URL) (*url.URL, error)
	tls       *tls.Config
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	transport policy.Transporter // replaces the network; nil but in tests

	pools *avd.HostPoolsClient
	hosts *avd.SessionHostsClient
	plans *avd.ScalingPlansClient
	plain *arm.Client

	mu    sync.Mutex
	until time.Time // of throttling
	looks evidence  // the newest, see look
}

// newAzureAccess connects nowhere.
func newAzureAccess(in cloud.Configuration, subscription string, build credentialBuilder, proxy func(*url.URL) (*url.URL, error), roots *x509.CertPool) (*azureAccess, error) {
	endpoint, err := url.Parse(in.Services[cloud.ResourceManager].Endpoint)
	if err != nil {
		return nil, err
	}
	a := newTokenAccess(in, in.Services[cloud.ResourceManager].Audience+"/.default", build, proxy, roots)
	a.host = endpoint.Host
	options := &arm.ClientOptions{ClientOptions: azureOptions(in, a), DisableRPRegistration: true}
	if a.pools, err = avd.NewHostPoolsClient(subscription, a.identity, options); err != nil {
		return nil, err
	}
	if a.hosts, err = avd.NewSessionHostsClient(subscription, a.identity, options); err != nil {
		return nil, err
	}
	if a.plans, err = avd.NewScalingPlansClient(subscription, a.identity, options); err != nil {
		return nil, err
	}
	a.plain, err = arm.NewClient("firstcall", "v1.0.0", a.identity, options)
	return a, err
}

// newTokenAccess is a way to Entra alone, for tokens of one scope. It connects nowhere.
func newTokenAccess(in cloud.Configuration, scope string, build credentialBuilder, proxy func(*url.URL) (*url.URL, error), roots *x509.CertPool) *azureAccess {
	a := &azureAccess{proxy: proxy, dial: dialForRun, tls: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	a.identity = newKeptCredential(scope, func() (azcore.TokenCredential, error) { return build(azureOptions(in, a)) })
	return a
}

// azureOptions are the settings of every pipeline: one try, since a detector repeats; no telemetry.
func azureOptions(in cloud.Configuration, transport policy.Transporter) azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud: in, Transport: transport,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
}

// azureProxy returns the proxy for an address: the given one, or the environment's. Endpoints of a managed identity, which are
// plain HTTP on this machine or its link, are never asked through one.
func azureProxy(given *url.URL) func(*url.URL) (*url.URL, error) {
	choose := httpproxy.FromEnvironment().ProxyFunc()
	return func(to *url.URL) (*url.URL, error) {
		switch {
		case to.Scheme == "http":
			return nil, nil
		case given != nil:
			return given, nil
		}
		return choose(to)
	}
}

// azureRun is what one run of a probe has of its own.
type azureRun struct {
	access    *azureAccess
	rec       *Recorder
	transport *http.Transport
	reads     int       // requests to Azure Resource Manager
	now       time.Time // by Azure's clock, as the newest answer said; zero before
	received  time.Time // when it said so
	requestID string    // of the newest answer, for Microsoft's support
}

type azureRunKey struct{}

// begin sets up connections for one run; they live until end.
func (a *azureAccess) begin(rec *Recorder) *azureRun {
	proxy := func(r *http.Request) (*url.URL, error) { return a.proxy(r.URL) }
	return &azureRun{access: a, rec: rec, transport: &http.Transport{
		Proxy: proxy, DialContext: a.dial, TLSClientConfig: a.tls, // HTTP/1.1: the requests come one after the other
		MaxIdleConnsPerHost: 1, MaxResponseHeaderBytes: maxHeaderBytes, OnProxyConnectResponse: proxyAnswer,
	}}
}

func (r *azureRun) end() { r.transport.CloseIdleConnections() }

// context makes requests find the run.
func (r *azureRun) context(ctx context.Context) context.Context {
	return context.WithValue(r.rec.traced(ctx), azureRunKey{}, r)
}

// clock returns the time by Azure's clock, so that a wrong clock here makes no heartbeat old.
func (r *azureRun) clock() time.Time {
	if r.now.IsZero() {
		return time.Now()
	}
	return r.now.Add(time.Since(r.received))
}

// Do sends one request of a run. Redirects are answers, and a token goes to Azure Resource Manager only: not to where a list's
// next page is said to be.
func (a *azureAccess) Do(request *http.Request) (*http.Response, error) {
	if a.transport != nil {
		return a.transport.Do(request)
	}
	run, ok := request.Context().Value(azureRunKey{}).(*azureRun)
	if !ok {
		return nil, errors.New("a request to azure outside a run")
	}
	toARM := a.host != "" && strings.EqualFold(request.URL.Host, a.host)
	switch {
	case request.Header.Get("Authorization") != "" && !toARM:
		return nil, strayError{Printable(request.URL.Host, 80)}
	case request.URL.Scheme == "http" && !ownMachine(request.URL.Hostname()):
		return nil, strayError{Printable(request.URL.Host, 80) + " without tls"}
	}
	response, err := run.transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if toARM {
		run.answered(response)
	}
	response.Body = &boundedBody{body: response.Body, left: maxAnswer, done: run.rec.End}
	return response, nil
}

func (r *azureRun) answered(response *http.Response) {
	r.reads++
	if now, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		r.now, r.received = now, time.Now()
	}
	r.requestID = response.Header.Get("X-Ms-Correlation-Request-Id")
	if r.requestID == "" {
		r.requestID = response.Header.Get("X-Ms-Request-Id")
	}
}

// strayError is a request that would carry a secret where it does not belong.
type strayError struct{ host string }

func (e strayError) Error() string {
	return "azure refers to " + e.host + ", which gets no token of the probe"
}

// ownMachine reports whether host is an address of this machine or its link, where managed identities are served.
func ownMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast())
}

// boundedBody ends with an error after left bytes.
type boundedBody struct {
	body io.ReadCloser
	left int64
	done func()
}

type tooLongError struct{}

func (tooLongError) Error() string {
	return fmt.Sprintf("the answer is longer than %d KiB", maxAnswer>>10)
}

func (b *boundedBody) Read(into []byte) (int, error) {
	if b.left <= 0 {
		return 0, tooLongError{}
	}
	n, err := b.body.Read(into[:min(int64(len(into)), b.left)])
	b.left -= int64(n)
	return n, err
}

func (b *boundedBody) Close() error {
	b.done()
	return b.body.Close()
}

// pause notes that Azure asks not to be asked for a time; asking earlier would make it longer.
func (a *azureAccess) pause(wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until = time.Now().Add(min(max(wait, 0), maxPause))
}

// paused returns how long Azure must not be asked yet.
func (a *azureAccess) paused() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Until(a.until)
}
