package desk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// Bounds on what a desk may answer.
const (
	maxAnswer  = 1 << 20 // bytes of a body
	maxHeaders = 1 << 16 // bytes of the headers
	maxExcerpt = 200     // bytes of a foreign text in an error
)

// link is how a desk behind HTTP is talked to: a write is sent exactly once, a read may be repeated until the deadline.
// Nothing is redirected, every answer is bounded, and no error holds a secret. It is safe for concurrent use.
type link struct {
	desk    string
	client  *http.Client
	timeout time.Duration
	headers map[string]secret.Value
	secrets []secret.Value // masked in errors

	// authorize adds what proves who asks, where that is not one fixed header; nil: nothing. Its error ends the call before
	// anything leaves.
	authorize func(ctx context.Context, request *http.Request) error
	// explain reads a refusal in the desk's own form: what to do about it, and what the error is as well; "" and nil: nothing more.
	explain func(status int, header http.Header, body []byte) (hint string, is error)
	// passing returns the secrets that come and go, such as tokens, to be masked as well; nil: there are none.
	passing func() []secret.Value
	// partial says that the desk answers a read with 206 where there is more of a list, and with 204 where there is none of it.
	partial bool
}

// reply is an answer with one of the statuses 200, 201, 202 and 204. Its body is bounded.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// newLink returns a link. caFile, when not empty, holds the only authorities that are trusted. Every secret that may stand in
// a request belongs to secrets or is a value of headers.
func newLink(env Env, timeout time.Duration, caFile string, headers map[string]secret.Value, secrets ...secret.Value) (*link, error) {
	l := &link{desk: env.Name, timeout: timeout, headers: headers, secrets: secrets}
	for _, v := range headers {
		l.secrets = append(l.secrets, v)
	}
	l.client = &http.Client{}
	if env.HTTP != nil {
		*l.client = *env.HTTP
	} else {
		roots, err := authorities(caFile)
		if err != nil {
			return nil, fmt.Errorf("desk %q: %w", env.Name, err)
		}
		// Cases are rare: a connection each leaves nothing behind, and an error before it stands is a request that never left.
		l.client.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxResponseHeaderBytes: maxHeaders,
		}
	}
	l.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return l, nil
}

// authorities reads a PEM file; nil, the system's, when there is none.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca_file cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// post sends body by POST exactly once, like write, and returns the answer's body, nil for 204.
func (l *link) post(ctx context.Context, address string, body []byte, header http.Header) ([]byte, error) {
	r, err := l.write(ctx, http.MethodPost, address, body, header)
	if err != nil || r.status == http.StatusNoContent {
		return nil, err
	}
	return r.body, nil
}

// write sends body exactly once. The error wraps ErrUnknownOutcome unless the request certainly changed nothing: it never
// left, or the desk refused it.
func (l *link) write(ctx context.Context, method, address string, body []byte, header http.Header) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	var left atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { left.Store(true) }})
	request, err := l.request(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	maps.Copy(request.Header, header)
	// Without GetBody net/http cannot send a request a second time; with it, an Idempotency-Key would make it do so.
	request.GetBody = nil
	response, err := l.client.Do(request)
	if err != nil {
		return reply{}, l.unreached(ctx, address, err, left.Load())
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := read(response)
	switch {
	case !accepted(response.StatusCode):
		return reply{}, l.refused(address, response, answer)
	case err != nil:
		return reply{}, l.failure([]error{ErrUnknownOutcome, ctx.Err()}, "%s: its answer broke off: %v", secret.RedactURL(address), err)
	}
	return reply{response.StatusCode, response.Header, answer}, nil
}

// get reads address like fetch and returns the answer's body.
func (l *link) get(ctx context.Context, address string) ([]byte, error) {
	r, err := l.fetch(ctx, address)
	return r.body, err
}

// fetch reads address, again after refused connections, 429 and 5xx, with growing pauses or those that the desk asks for,
// until the deadline. Only status 200 is an answer, and where l.partial says so 206 and 204, whose body is empty.
func (l *link) fetch(ctx context.Context, address string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	plain, err := l.request(ctx, http.MethodGet, address, nil)
	if err != nil {
		return reply{}, err
	}
	request, err := retryablehttp.FromRequest(plain)
	if err != nil {
		return reply{}, l.failure([]error{err}, "%s: the request cannot be built", secret.RedactURL(address))
	}
	client := retryablehttp.Client{
		HTTPClient: l.client, RetryMax: 4, RetryWaitMin: 200 * time.Millisecond, RetryWaitMax: 2 * time.Second,
		CheckRetry: worthRepeating, Backoff: retryablehttp.DefaultBackoff, ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	response, err := client.Do(request)
	if err != nil {
		return reply{}, l.unreached(ctx, address, err, false)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := read(response)
	switch {
	case !l.shows(response.StatusCode):
		return reply{}, l.refused(address, response, answer)
	case err != nil:
		return reply{}, l.failure([]error{ctx.Err()}, "%s: its answer broke off: %v", secret.RedactURL(address), err)
	}
	return reply{response.StatusCode, response.Header, answer}, nil
}

// shows reports whether the answer to a read with that status shows what was asked for.
func (l *link) shows(status int) bool {
	return status == http.StatusOK || l.partial && (status == http.StatusPartialContent || status == http.StatusNoContent)
}

// worthRepeating decides whether a read is tried again: not when the pause that it needs would outlast the deadline.
func worthRepeating(ctx context.Context, response *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
		return !untrusted, nil
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return false, nil
	}
	end, bounded := ctx.Deadline()
	pause := retryablehttp.DefaultBackoff(0, 0, 0, response)
	return bounded && time.Now().Add(pause).Before(end), nil
}

func (l *link) request(ctx context.Context, method, address string, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, l.failure(nil, "%s is no address that can be called: check the desk's url", secret.RedactURL(address))
	}
	request.Header.Set("User-Agent", userAgent())
	request.Header.Set("Accept", "application/json")
	for name, value := range l.headers {
		request.Header.Set(name, value.Reveal())
	}
	if l.authorize != nil {
		if err := l.authorize(ctx, request); err != nil {
			return nil, err
		}
	}
	return request, nil
}

// read returns the body, and an error when it breaks off or is longer than maxAnswer.
func read(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		return body[:maxAnswer], fmt.Errorf("it is longer than %d bytes", maxAnswer)
	}
	return body, err
}

func accepted(status int) bool {
	switch status {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return true
	}
	return false
}

// refused is the error for a status that is no answer.
func (l *link) refused(address string, response *http.Response, body []byte) error {
	is := []error{statusError(response.StatusCode)}
	body = []byte(l.hide(string(body)))
	hint := "see the desk's log for the reason"
	switch status := response.StatusCode; {
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError, status == http.StatusRequestTimeout, status == http.StatusConflict:
		is = append(is, ErrUnknownOutcome)
		if wait := response.Header.Get("Retry-After"); wait != "" {
			hint = "it asks to wait: " + secret.Plain(wait, 40)
		}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		hint = "check the credentials in the desk's configuration and their rights"
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusGone:
		hint = "check the desk's address"
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		hint = "it redirects, which is not followed: configure the final address"
	}
	if l.explain != nil {
		own, more := l.explain(response.StatusCode, response.Header, body)
		is, hint = append(is, more), cmp.Or(own, hint)
	}
	return l.failure(is, "%s answered %d (%s): %s", secret.RedactURL(address), response.StatusCode, secret.Plain(string(body), maxExcerpt), hint)
}

// statusError is what an error for a status that is no answer is as well: its number.
type statusError int

// Error returns "status 404".
func (s statusError) Error() string { return fmt.Sprintf("status %d", int(s)) }

// status returns the status with which a desk refused a request; 0 when err is no such error.
func status(err error) int {
	s, _ := errors.AsType[statusError](err)
	return int(s)
}

// unreached is the error for a request without an answer; left says whether it may have reached the desk.
func (l *link) unreached(ctx context.Context, address string, err error, left bool) error {
	is := []error{ctx.Err()}
	if left {
		is = append(is, ErrUnknownOutcome)
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // the address is named already, redacted
	}
	hint := "check the desk's address, and that this host may reach it"
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case untrusted:
		hint = "trust its authority with ca_file, or renew its certificate"
	case left:
		hint = "see the desk's log whether it took the request"
	}
	return l.failure(is, "%s gave no answer: %v: %s", secret.RedactURL(address), err, hint)
}

// failure is an error whose text is bounded and free of secrets, and which is each of the given ones (nil ones are left out).
func (l *link) failure(is []error, format string, args ...any) error {
	is = slices.DeleteFunc(is, func(err error) bool { return err == nil })
	return &failure{text: secret.Plain(l.hide(fmt.Sprintf(format, args...)), 4*maxExcerpt), is: is}
}

// hide masks every secret in text. It comes before a text is cut, or half a secret would stay.
func (l *link) hide(text string) string {
	secrets := l.secrets
	if l.passing != nil {
		secrets = append(slices.Clone(secrets), l.passing()...)
	}
	return secret.Hide(text, secrets)
}

// excerpt returns the beginning of an answer, fit for an error.
func (l *link) excerpt(answer []byte) string { return secret.Plain(l.hide(string(answer)), maxExcerpt) }

type failure struct {
	text string
	is   []error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() []error { return f.is }

// userAgent returns "firstcall/" and the version of the running binary.
func userAgent() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	return "firstcall/" + version
}
