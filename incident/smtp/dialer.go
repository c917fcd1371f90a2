package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// Bounds on a session with a mail server.
const (
	maxReplies = 1 << 20 // bytes that a server may say
	farewell   = time.Second
)

var errTooMuch = errors.New("the server said more than a mail server has to say")

// boundedDialer makes the one connection of a session and ends it: when ctx does, when the server has said too much, and with
// close, which the mail library itself forgets after a failed greeting.
type boundedDialer struct {
	ctx      context.Context //nolint:containedctx // lives as long as one session
	tls      *tls.Config
	implicit bool // TLS from the start

	conn *boundedConn
	stop func() bool
}

// dial connects; it is called once.
func (d *boundedDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	plain, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.conn = &boundedConn{Conn: plain, left: maxReplies}
	d.stop = context.AfterFunc(d.ctx, func() { _ = plain.Close() })
	if !d.implicit {
		return d.conn, nil
	}
	secure := tls.Client(d.conn, d.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secure, nil
}

func (d *boundedDialer) connected() bool { return d.conn != nil }

// hurry leaves the session no more than farewell to end.
func (d *boundedDialer) hurry() error {
	return d.conn.SetDeadline(time.Now().Add(farewell))
}

func (d *boundedDialer) close() {
	if d.conn != nil {
		d.stop()
		_ = d.conn.Close()
	}
}

// boundedConn reads at most left bytes. A session reads from one goroutine at a time.
type boundedConn struct {
	net.Conn

	left int
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errTooMuch
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
