package cli

import (
	"bytes"
	"cmp"
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

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/config/secret"
)

const (
	defaultURL    = "http://127.0.0.1:9797"
	clientTimeout = 30 * time.Second // for one call
	answerLimit   = 16 << 20         // bytes that are read of one answer
	tokenLimit    = 64 << 10         // bytes that are read of a token file, as of any secret file
)

// client speaks with a running agent. Every flag has a variable of the environment beside it. They are looked up when a call is
// made, not as defaults of the flags: help prints defaults, and an address may hold a password.
type client struct {
	url, tokenFile, caFile string

	flag string       // that the address was given by; "": --url or FIRSTCALL_URL
	runs string       // the command that answers there; "": firstcall run
	kept *http.Client // makes every call; nil: each has its own connection
}

func (c *client) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&c.url, "url", "", "`ADDRESS` of the running agent; else FIRSTCALL_URL, else "+defaultURL)
	cmd.PersistentFlags().StringVar(&c.tokenFile, "token-file", "", "`FILE` with the agent's web.token, where it has one; else FIRSTCALL_TOKEN_FILE")
	cmd.PersistentFlags().StringVar(&c.caFile, "ca-file", "", "PEM `FILE` with the authorities to trust, instead of the system's; else FIRSTCALL_CA_FILE")
}

// address returns where the agent is.
func (c *client) address() (*url.URL, error) {
	raw := cmp.Or(c.url, os.Getenv("FIRSTCALL_URL"), defaultURL)
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usage(cmp.Or(c.flag, "--url")+": %s is not the address of an agent: it begins with http:// or https://, as %s does", secret.RedactURL(raw), defaultURL)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func (c *client) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, into)
}

// do makes one call. Answers other than 2xx become an error made of what the agent said.
func (c *client) do(ctx context.Context, method, path string, body, into any) error {
	base, err := c.address()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	req, err := c.request(ctx, base, method, path, body)
	if err != nil {
		return err
	}
	h, err := c.http()
	if err != nil {
		return err
	}
	if h != c.kept {
		defer h.CloseIdleConnections()
	}
	resp, err := h.Do(req)
	if err != nil {
		return explain(base, err, cmp.Or(c.flag, "--url or FIRSTCALL_URL"), cmp.Or(c.runs, "firstcall run"))
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("the agent at %s broke off its answer; try again, or see its log: %w", shown(base), secret.RedactError(err))
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refused(base, resp, data)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s does not answer as a firstcall agent does: is something else listening there?", shown(base))
	}
	return nil
}

func (c *client) request(ctx context.Context, base *url.URL, method, path string, body any) (*http.Request, error) {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, base.String()+path, payload)
	if err != nil {
		return nil, secret.RedactError(err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, c.authorize(req, base)
}

// authorize adds the token; where the address carries a user and a password, those have the Authorization header.
func (c *client) authorize(req *http.Request, base *url.URL) error {
	name := cmp.Or(c.tokenFile, os.Getenv("FIRSTCALL_TOKEN_FILE"))
	if name == "" {
		return nil
	}
	token, err := readBounded(name, tokenLimit)
	if err != nil {
		return usage("--token-file: %w: name the file that holds the agent's web.token", err)
	}
	text := strings.TrimSpace(string(token))
	if text == "" {
		return usage("--token-file: %s is empty: it must hold the text of the agent's web.token", name)
	}
	if base.User != nil {
		req.Header.Set(web.TokenHeader, text)
	} else {
		req.Header.Set("Authorization", "Bearer "+text)
	}
	return nil
}

// http returns the client that makes the call.
func (c *client) http() (*http.Client, error) {
	if c.kept != nil {
		return c.kept, nil
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	if name := cmp.Or(c.caFile, os.Getenv("FIRSTCALL_CA_FILE")); name != "" {
		pem, err := readBounded(name, 1<<20)
		if err != nil {
			return nil, usage("--ca-file: %w: name the PEM file of the authority that signed the agent's certificate", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, usage("--ca-file: %s holds no certificate: want PEM, beginning with -----BEGIN CERTIFICATE-----", name)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: t}, nil
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, limit))
}

// shown returns an address fit to print.
func shown(u *url.URL) string { return secret.RedactURL(u.String()) }

// explain says what to do where no answer came.
func explain(base *url.URL, err error, flag, runs string) error {
	var dial *net.OpError
	var record tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	switch at := shown(base); {
	case errors.As(err, &authority):
		return fmt.Errorf("the certificate of %s is signed by an authority that is not known here: name its PEM file with --ca-file", at)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("the agent at %s does not speak TLS: write http:// instead of https://", at)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the agent at %s did not answer in time: its log may say why", at)
	case errors.As(err, &dial) && dial.Op == "dial" && !errors.Is(err, context.Canceled):
		return fmt.Errorf("no agent answers at %s: start one with '%s', or name another with %s (%w)", at, runs, flag, dial.Err)
	default:
		return fmt.Errorf("the agent at %s did not answer; check the address (--url) and its log: %w", at, secret.RedactError(err))
	}
}

// errAbsent is wrapped by the error of a call for what the agent does not have.
var errAbsent = errors.New("not found")

// absentError is errAbsent with what the agent said.
type absentError struct{ message, hint string }

func (e *absentError) Error() string        { return e.message + ": " + errAbsent.Error() }
func (e *absentError) Is(target error) bool { return target == errAbsent }

// refused turns an answer that is not 2xx into an error.
func refused(base *url.URL, resp *http.Response, data []byte) error {
	var answer struct{ Error, Hint string }
	known := json.Unmarshal(data, &answer) == nil && answer.Error != ""
	at := shown(base)
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized && known:
		return fmt.Errorf("the agent at %s wants its token, and it is missing or wrong: name the file that holds web.token with --token-file or FIRSTCALL_TOKEN_FILE", at)
	case status == http.StatusUnauthorized:
		return fmt.Errorf("the agent at %s wants a user and a password (web.config_file): give them in the address, FIRSTCALL_URL=%s://USER:PASSWORD@%s", at, base.Scheme, base.Host)
	case status == http.StatusBadRequest && base.Scheme == "http" && bytes.Contains(data, []byte("HTTPS server")):
		return fmt.Errorf("the agent at %s speaks TLS: write https:// instead of http://", at)
	case !known:
		return fmt.Errorf("%s answered %d %s: is a firstcall agent listening there?", at, status, http.StatusText(status))
	case status == http.StatusNotFound:
		return &absentError{printable(answer.Error), answer.Hint}
	case answer.Hint != "":
		return fmt.Errorf("%s; %s", printable(answer.Error), printable(answer.Hint))
	}
	return errors.New(printable(answer.Error))
}
