package rdp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"
)

// Conn is a TCP connection to a Remote Desktop server that climbs the ladder. It is used by one goroutine at a time.
type Conn struct {
	raw     net.Conn
	tls     *tls.Conn
	confirm Confirm
	session *session // from Challenge on
	passed  Stage    // the last stage that succeeded; "" before any
}

// NewConn returns a Conn on the TCP connection raw, which it owns from now on.
func NewConn(raw net.Conn) *Conn { return &Conn{raw: raw} }

// Close closes the connection without a word to the server. It may be called at any stage, more than once.
func (c *Conn) Close() error { return c.raw.Close() }

// TLS returns the TLS connection once StartTLS has succeeded, nil before. It is closed by Close.
func (c *Conn) TLS() *tls.Conn {
	if c.passed == "" || c.passed == StageX224 {
		return nil
	}
	return c.tls
}

// Confirm returns what the server confirmed once Negotiate has succeeded.
func (c *Conn) Confirm() Confirm { return c.confirm }

// Negotiate offers the security protocols in offer and returns what the server selected. Errors are *StageError; one whose
// cause is *NegotiationError is an answer, not silence. It is called once, before anything else.
func (c *Conn) Negotiate(ctx context.Context, offer Protocol) (Confirm, error) {
	if c.passed != "" {
		return Confirm{}, &StageError{StageX224, errors.New("the connection is negotiated already")}
	}
	var body []byte
	err := c.during(ctx, func() error {
		if _, err := c.raw.Write(connectionRequest(offer)); err != nil {
			return err
		}
		var err error
		body, err = readPacket(c.raw)
		return err
	})
	if err == nil {
		c.confirm, err = parseConfirm(body, offer)
	}
	if err != nil {
		return Confirm{}, &StageError{StageX224, err}
	}
	c.passed = StageX224
	return c.confirm, nil
}

// StartTLS makes the TLS handshake, with serverName as the indicated name (none when it is an address or empty). It does not
// judge the certificate, since Remote Desktop servers make their own: the returned state holds what the server showed, and
// judging it is the caller's business. TLS 1.0 and cipher suites that are unsafe today are accepted, so that an old server
// is seen as old and not as gone.
//
// Errors are *StageError. It is called once, after a Negotiate that selected a protocol other than ProtocolRDP.
func (c *Conn) StartTLS(ctx context.Context, serverName string) (tls.ConnectionState, error) {
	if c.passed != StageX224 || c.confirm.Selected == ProtocolRDP {
		return tls.ConnectionState{}, &StageError{StageTLS, errors.New("tls was not negotiated on this connection")}
	}
	c.tls = tls.Client(c.raw, &tls.Config{
		ServerName:             serverName,
		InsecureSkipVerify:     true, //nolint:gosec // the caller judges the certificate: RDP servers sign their own
		MinVersion:             tls.VersionTLS10,
		CipherSuites:           everySuite(),
		SessionTicketsDisabled: true,
	})
	if err := c.during(ctx, func() error { return c.tls.HandshakeContext(ctx) }); err != nil {
		return tls.ConnectionState{}, &StageError{StageTLS, unparsable(err)}
	}
	c.passed = StageTLS
	return c.tls.ConnectionState(), nil
}

// everySuite lists all cipher suites of TLS 1.0 to 1.2 that crypto/tls knows, safe ones first: its default list lacks the RSA
// key exchange and 3DES, without which a Windows Server 2008 does not answer.
func everySuite() []uint16 {
	var ids []uint16
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, suite.ID)
	}
	return ids
}

// unparsable turns the error with which crypto/tls gives up on a certificate that crypto/x509 cannot parse into a
// *CertificateError. That error has no type of its own.
func unparsable(err error) error {
	const said = "tls: failed to parse certificate from server: "
	if _, problem, found := strings.Cut(err.Error(), said); found {
		return &CertificateError{Problem: problem}
	}
	return err
}

// during runs f, whose reads and writes end with the context: at its deadline, or as soon as it is cancelled. The error is
// then the context's, for the connection's own only says that some time passed.
func (c *Conn) during(ctx context.Context, f func() error) error {
	longAgo := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(longAgo) })
	defer stop()
	err := f()
	if err != nil && ctx.Err() != nil && !errors.Is(err, io.EOF) {
		return ctx.Err()
	}
	return err
}
