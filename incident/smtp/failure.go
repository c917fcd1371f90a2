package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"slices"
	"strings"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// Error is why a mail is not known to be with the server. Its text is bounded, on one line and free of secrets, and names neither
// desk nor notifier.
type Error struct {
	text      string
	permanent bool
	uncertain bool
	is        []error // what errors.Is finds
}

// Error returns the text.
func (e *Error) Error() string { return e.text }

// Unwrap returns what the error is as well, such as context.Canceled.
func (e *Error) Unwrap() []error { return e.is }

// Permanent reports whether the same mail cannot be sent until somebody changes something: an address or a credential that is
// refused, a certificate that is not trusted. Every other error may pass by itself.
func (e *Error) Permanent() bool { return e.permanent }

// Uncertain reports whether the server may have the mail: it was sent to its end, and the answer is missing. After every other
// error nothing was sent.
func (e *Error) Uncertain() bool { return e.uncertain }

// maxError bounds the text of an error, maxExcerpt a foreign text in it.
const (
	maxError   = 600
	maxExcerpt = 200
)

// fail returns an error that is each of the given ones.
func (c *Client) fail(permanent bool, is []error, format string, args ...any) *Error {
	is = slices.DeleteFunc(is, func(err error) bool { return err == nil })
	return &Error{text: secret.Plain(secret.Hide(fmt.Sprintf(format, args...), c.secrets()), maxError), permanent: permanent, is: is}
}

// secrets returns what must not stand in an error: a server may repeat what it was told, also as AUTH PLAIN (RFC 4616).
func (c *Client) secrets() []secret.Value {
	if c.password.IsZero() {
		return nil
	}
	return []secret.Value{secret.New("\x00" + c.user + "\x00" + c.password.Reveal()), c.password}
}

// answered is the error for a step that the server refused, or did not answer.
func (c *Client) answered(ctx context.Context, what, hint string, err error) *Error {
	if late := overdue(ctx, err); late != nil {
		return c.fail(false, []error{late}, "%s did not take %s in time: %v: check the server", c.to, what, late)
	}
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		if !final(reply) {
			hint = "it may pass by itself, and is tried again"
		}
		return c.fail(final(reply), nil, "%s refused %s: %s: %s", c.to, what, said(reply), hint)
	}
	return c.fail(false, []error{err}, "%s did not take %s: %v: check the network and the server", c.to, what, err)
}

// unconfirmed is the error for a mail that was sent to its end. Unless the server refused it, it may have it (RFC 5321, 4.2.5).
func (c *Client) unconfirmed(ctx context.Context, err error) *Error {
	failed := c.answered(ctx, "the mail", "see the server's log", err)
	reply, ok := errors.AsType[*textproto.Error](err)
	failed.uncertain = !ok || reply.Code < 400 || reply.Code > 599
	return failed
}

// unconnected is the error for a session that did not come about.
func (c *Client) unconnected(ctx context.Context, dialer *boundedDialer, err error) *Error {
	var reply *textproto.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case overdue(ctx, err) != nil:
		return c.fail(false, []error{overdue(ctx, err)}, "%s did not answer in time: %v: check smtp, the server and the network", c.to, overdue(ctx, err))
	case errors.As(err, &certificate):
		return c.fail(true, nil, "the certificate of %s is not trusted: %v: trust its authority with ca_file, or renew it", c.to, certificate)
	case errors.As(err, &reply) && strings.Contains(err.Error(), "SMTP AUTH failed"):
		// RFC 4954: 535 refuses the credential, 534 the mechanism, 454 is temporary
		if final(reply) {
			c.mu.Lock()
			c.refused = c.now()
			c.mu.Unlock()
		}
		return c.fail(final(reply), nil, "%s refused the log-on of %s: %s: check user and password", c.to, c.user, said(reply))
	case errors.As(err, &reply):
		return c.fail(final(reply), nil, "%s refused the session: %s: see the server's log", c.to, said(reply))
	case dialer.connected() && (strings.Contains(err.Error(), "STARTTLS mode") || strings.Contains(err.Error(), "AUTH")):
		return c.fail(true, nil, "%s cannot be used: %v: check starttls, user and the server's settings", c.to, err)
	}
	return c.fail(false, nil, "%s cannot be reached: %v: check smtp and the network", c.to, err)
}

// final reports whether the server refuses for good (RFC 5321, 4.2.1).
func final(reply *textproto.Error) bool { return reply.Code >= 500 && reply.Code < 600 }

// overdue returns why the session's time is up, or nil. The connection's own deadline may pass an instant before the context's.
func overdue(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// said returns a server's refusal as it was said.
func said(err error) string {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return secret.Plain(fmt.Sprintf("%d %s", reply.Code, reply.Msg), maxExcerpt)
	}
	return secret.Plain(err.Error(), maxExcerpt)
}
