package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// Probe makes one request, follows its redirects and judges the last answer.
func (p *HTTP) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	if p.here == nil {
		return rec.Finish(Unknown, Internal, "the http probe was not validated")
	}
	rec.Mask(p.masked...)
	ctx = rec.traced(ctx)
	step := hop{url: p.target, method: p.Method, body: p.Body.Reveal(), trusted: true}
	for {
		response, err := p.roundTrip(ctx, step)
		if err != nil {
			return p.fail(ctx, rec, err)
		}
		if response.TLS != nil {
			rec.Certificate(response.TLS.PeerCertificates[0])
		}
		next, err := p.follow(step, response)
		if err != nil || next == nil {
			result := p.judge(ctx, rec, step, response, err)
			_ = response.Body.Close()
			return result
		}
		_ = response.Body.Close()
		step = *next
	}
}

// traced returns a context whose HTTP requests, made through dialForRun, leave their phases in r.
func (r *Recorder) traced(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(runContext{ctx, r}, &httptrace.ClientTrace{
		TLSHandshakeStart:    func() { r.Begin(PhaseTLS) },
		GotConn:              func(info httptrace.GotConnInfo) { r.connected(info.Conn) },
		GotFirstResponseByte: func() { r.Begin(PhaseTransfer) },
	})
}

// hop is one request of a run.
type hop struct {
	url     *url.URL
	method  string
	body    string
	header  http.Header // in place of the configured headers
	trusted bool        // the configured host, which gets the configured headers
	count   int         // redirects so far
	jar     http.CookieJar
}

func (p *HTTP) roundTrip(ctx context.Context, step hop) (*http.Response, error) {
	request := (&http.Request{
		Method: step.method, URL: step.url, Host: step.url.Host, Header: p.header, Close: true,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	transport := p.here
	if !step.trusted {
		request.Header, transport = p.foreign, p.elsewhere
	} else {
		if p.User != "" && p.refused.Load() {
			request.Header = p.anonymous
		}
		if host := p.header["Host"]; host != nil {
			request.Host = host[0]
		}
	}
	if step.header != nil {
		request.Header = step.header
	}
	if step.body != "" {
		request.ContentLength = int64(len(step.body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(step.body)), nil }
		request.Body, _ = request.GetBody()
	}
	if step.jar != nil {
		request.Header = request.Header.Clone()
		for _, cookie := range step.jar.Cookies(step.url) {
			request.AddCookie(cookie)
		}
	}
	return transport.RoundTrip(request)
}

// redirectError is a redirect that is not followed.
type redirectError string

func (e redirectError) Error() string { return string(e) }

// follow returns the next request when response is a redirect to follow, nil when it is the answer to judge, and an error when
// it is a redirect that must not be followed. Methods change as RFC 9110 section 15.4 says.
func (p *HTTP) follow(step hop, response *http.Response) (*hop, error) {
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	location := response.Header.Get("Location")
	if location == "" || p.Redirects == 0 || slices.Contains(p.Expect.Status, response.StatusCode) {
		return nil, nil
	}
	to, err := step.url.Parse(location)
	switch {
	case err != nil:
		return nil, redirectError("redirects to what is not an address")
	case to.Scheme != "http" && to.Scheme != "https", to.Hostname() == "":
		return nil, redirectError(fmt.Sprintf("redirects to a %q address, which is not followed", to.Scheme))
	case step.url.Scheme == "https" && to.Scheme == "http" && !p.AllowDowngrade:
		return nil, redirectError("redirects from https to http, which is not followed (allow_downgrade)")
	case step.count >= p.Redirects:
		return nil, redirectError(fmt.Sprintf("redirects more than %d times, at last to %s", p.Redirects, secret.RedactURL(to.String())))
	}
	to.User, to.Fragment, to.RawFragment = nil, "", ""
	next := &hop{url: to, method: step.method, body: step.body, trusted: p.trusts(to), count: step.count + 1, jar: step.jar}
	keeps := response.StatusCode == http.StatusTemporaryRedirect || response.StatusCode == http.StatusPermanentRedirect
	if !keeps && step.method != http.MethodGet && step.method != http.MethodHead {
		next.method, next.body = http.MethodGet, ""
	}
	if next.body != "" && !next.trusted {
		return nil, redirectError("asks to send the request's body to another host, " + to.Host + ", which is not done")
	}
	if cookies := response.Cookies(); len(cookies) > 0 {
		if next.jar == nil {
			next.jar, _ = cookiejar.New(nil) // it never fails
		}
		next.jar.SetCookies(step.url, cookies)
	}
	return next, nil
}

// trusts reports whether to is the configured host, on its port or on the https port that an http one redirects to, and not
// less protected than it.
func (p *HTTP) trusts(to *url.URL) bool {
	if !strings.EqualFold(to.Hostname(), p.target.Hostname()) {
		return false
	}
	if to.Scheme == p.target.Scheme {
		return portOf(to) == portOf(p.target)
	}
	return to.Scheme == "https" && portOf(to) == "443" && portOf(p.target) == "80"
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// fail judges a run without an answer.
func (p *HTTP) fail(ctx context.Context, rec *Recorder, err error) Result {
	if refused, ok := errors.AsType[proxyError](err); ok {
		return refused.finish(rec)
	}
	if !p.Proxy.IsZero() && rec.reaching() {
		err = localError{fmt.Errorf("the proxy cannot be reached: %w", err)}
	}
	switch text := err.Error(); { // where the transport has words only for a peer that acts before it is asked
	case ctx.Err() != nil:
	case strings.Contains(text, "server closed idle connection"):
		err = io.EOF
	case strings.Contains(text, "readLoopPeekFailLocked: %!w(<nil>)"):
		return rec.Finish(Down, Protocol, "the peer sends before it is asked, which http servers do not")
	}
	return rec.Fail(ctx, err, Protocol)
}

// proxyError is a proxy's refusal to connect to the target.
type proxyError struct{ status int }

func (e proxyError) Error() string {
	return "the proxy answers " + strconv.Itoa(e.status) + " to CONNECT"
}

// finish tells a proxy that cannot reach the target from one that does not serve this agent.
func (e proxyError) finish(rec *Recorder) Result {
	if e.status >= 500 {
		return rec.Finish(Down, Unreachable, "%s: it cannot reach the target", e)
	}
	return rec.Finish(Unknown, Local, "%s: check the proxy's credentials and rules", e)
}

func proxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return proxyError{response.StatusCode}
}

// runContext carries the recorder of a run to the transport's dialer.
type runContext struct {
	context.Context
	rec *Recorder
}

type recorderKey struct{}

// Value returns the recorder for its key.
func (c runContext) Value(key any) any {
	if key == (recorderKey{}) {
		return c.rec
	}
	return c.Context.Value(key)
}

func dialForRun(ctx context.Context, network, address string) (net.Conn, error) {
	return ctx.Value(recorderKey{}).(*Recorder).Dial(ctx, network, address)
}

// connected notes where the connection leads and begins to wait for the answer.
func (r *Recorder) connected(conn net.Conn) {
	r.Begin(PhaseFirstByte)
	r.Fact("address", conn.RemoteAddr().String())
}

// buffers holds what bodies are read into; one is kept only while it is small.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

const keptBuffer = 128 << 10

// readBody reads at most limit bytes of body, and reports whether there was more.
func readBody(body io.Reader, buffer []byte, limit int) (read []byte, more bool, err error) {
	for {
		if len(buffer) == cap(buffer) {
			buffer = slices.Grow(buffer, min(len(buffer), limit+1-len(buffer)))
		}
		n, err := body.Read(buffer[len(buffer):min(cap(buffer), limit+1)])
		buffer = buffer[:len(buffer)+n]
		switch {
		case len(buffer) > limit:
			return buffer[:limit], true, nil
		case err == io.EOF:
			return buffer, false, nil
		case err != nil:
			return buffer, false, err
		}
	}
}
