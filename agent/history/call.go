package history

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/firstcall-agent/firstcall/config/secret"
)

const (
	maxAnswer = 32 << 20          // bytes; 10,000 points are 300 KB
	callFor   = 3 * time.Minute   // one request with its repetitions; Prometheus itself gives up a query after two
	answerFor = 130 * time.Second // one request
)

// caller makes the requests of one reading.
type caller struct {
	p      Prometheus
	base   *url.URL
	client *retryablehttp.Client
}

func newCaller(p Prometheus) (*caller, error) {
	base, err := url.Parse(p.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("%s is not the address of a Prometheus: want http://host:9090 or the like", p)
	}
	roots, err := authorities(p.CAFile)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10, IdleConnTimeout: time.Minute,
	}
	client := &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: t, Timeout: answerFor,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax: 3, RetryWaitMin: 200 * time.Millisecond, RetryWaitMax: 2 * time.Second,
		CheckRetry: worthRepeating, Backoff: retryablehttp.DefaultBackoff, ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	base.Path = strings.TrimRight(base.Path, "/") + "/api/v1/query_range"
	return &caller{p: p, base: base, client: client}, nil
}

func (c *caller) close() { c.client.HTTPClient.CloseIdleConnections() }

// authorities reads a PEM file; nil, the system's, when there is none.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate: want PEM, beginning with -----BEGIN CERTIFICATE-----", file)
	}
	return pool, nil
}

// worthRepeating decides whether a request is made again: a busy server's is, one that is wrong is not.
func worthRepeating(ctx context.Context, response *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
		late, isNet := errors.AsType[net.Error](err)
		return !untrusted && (!isNet || !late.Timeout()), nil
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, nil
	}
	return false, nil
}

// get makes one request, again where the server is busy.
func (c *caller) get(ctx context.Context, query url.Values) (matrix, error) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	address := *c.base
	address.RawQuery = query.Encode()
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return matrix{}, fmt.Errorf("prometheus at %s cannot be called: check its address", c.p)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "firstcall")
	switch {
	case !c.p.Bearer.IsZero():
		request.Header.Set("Authorization", "Bearer "+c.p.Bearer.Reveal())
	case c.p.User != "":
		request.SetBasicAuth(c.p.User, c.p.Pass.Reveal())
	}
	response, err := c.client.Do(request)
	if err != nil {
		return matrix{}, c.unreached(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		return matrix{}, fmt.Errorf("the answer of prometheus at %s is longer than 32 MiB: narrow the query, or make the step longer", c.p)
	}
	if err != nil {
		return matrix{}, fmt.Errorf("the answer of prometheus at %s broke off: %w", c.p, secret.RedactError(err))
	}
	var m matrix
	known := json.Unmarshal(body, &m) == nil && m.Status != ""
	switch {
	case response.StatusCode != http.StatusOK || m.Status == "error":
		return matrix{}, c.refused(response.StatusCode, m, known, body)
	case !known:
		return matrix{}, fmt.Errorf("%s does not answer as Prometheus does: is it the address before /api/v1?", c.p)
	case m.Data.ResultType != "matrix":
		return matrix{}, fmt.Errorf("%s answers with a %q instead of a matrix: is it a Prometheus?", c.p, secret.Plain(m.Data.ResultType, 40))
	}
	return m, nil
}

// refused says what to do about an answer that is none.
func (c *caller) refused(status int, m matrix, known bool, body []byte) error {
	said := secret.Plain(m.Error, 300)
	if !known || said == "" {
		said = secret.Plain(string(body), 120)
	}
	said = secret.Hide(said, []secret.Value{c.p.Bearer, c.p.Pass})
	hint := "its log may say why"
	switch {
	case status == http.StatusBadRequest:
		hint = "mend the query"
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		hint = "give it a bearer token, or a user and a password"
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		hint = "check its address: it is what comes before /api/v1"
	case status == http.StatusUnprocessableEntity:
		hint = "the query cannot be carried out: narrow it"
	case status == http.StatusServiceUnavailable:
		hint = "it is busy or gave the query up: make the step longer, or ask for less time"
	case status >= 300 && status < 400:
		hint = "it redirects, which is not followed: give the final address"
	}
	return fmt.Errorf("prometheus at %s answers %d %s (%s): %s", c.p, status, http.StatusText(status), said, hint)
}

// unreached says what to do where no answer came.
func (c *caller) unreached(ctx context.Context, err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // the address is named already, redacted
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	late, isNet := errors.AsType[net.Error](err)
	hint := "check its address, and that this host may reach it"
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("prometheus at %s was not waited for: %w", c.p, context.Cause(ctx))
	case untrusted:
		hint = "name the PEM file of the authority that signed its certificate"
	case isNet && late.Timeout():
		hint = "it did not answer in time: make the step longer, or ask for less time"
	}
	return fmt.Errorf("prometheus at %s gave no answer (%w): %s", c.p, err, hint)
}
