package tds

import (
	"crypto/tls"
	"io"
	"net"
)

// Conn is one connection to a server. Its stages come in order: Prelogin, StartTLS, Login, Query; with TDS 8.0, StartStrict
// takes the place of StartTLS and comes first. It is for one goroutine.
type Conn struct {
	raw      net.Conn
	stream   net.Conn // raw, or TLS over it
	strict   bool
	prelogin Prelogin
}

// NewConn returns a connection over raw, which the caller closes.
func NewConn(raw net.Conn) *Conn { return &Conn{raw: raw, stream: raw} }

// maxHandshake bounds the packets of a TLS handshake inside TDS.
const maxHandshake = 1 << 20

// StartTLS makes the handshake inside TDS packets; afterwards TLS is below TDS ([MS-TDS] 2.2.6.5 and 3.2.5.2).
func (c *Conn) StartTLS(config *tls.Config) (tls.ConnectionState, error) {
	config = config.Clone()
	config.DynamicRecordSizingDisabled = true // SQL Server wants a packet in one record
	inside := &wrapped{Conn: c.raw, framed: true}
	client := tls.Client(inside, config)
	if err := client.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	if err := inside.flush(); err != nil { // the client's last word of TLS 1.3
		return tls.ConnectionState{}, err
	}
	inside.framed = false
	c.stream = client
	return client.ConnectionState(), nil
}

// StrictProtocol is the name of TDS 8.0 in ALPN.
const StrictProtocol = "tds/8.0"

// StartStrict makes the handshake before anything else, as TDS 8.0 does.
func (c *Conn) StartStrict(config *tls.Config) (tls.ConnectionState, error) {
	config = config.Clone()
	config.DynamicRecordSizingDisabled = true
	config.NextProtos = []string{StrictProtocol}
	client := tls.Client(c.raw, config)
	if err := client.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	c.stream, c.strict = client, true
	return client.ConnectionState(), nil
}

// wrapped is the connection below TLS: while framed, what is written goes out as pre-login packets before the next read, and
// what is read comes out of packets.
type wrapped struct {
	net.Conn
	framed bool
	out    []byte
	in     *message
	taken  int // by messages before in
}

func (w *wrapped) Write(data []byte) (int, error) {
	if !w.framed {
		return w.Conn.Write(data)
	}
	w.out = append(w.out, data...)
	return len(data), nil
}

func (w *wrapped) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	err := writeMessage(w.Conn, packetPrelogin, w.out)
	w.out = nil
	return err
}

func (w *wrapped) Read(into []byte) (int, error) {
	if w.framed {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	for {
		if w.in != nil {
			n, err := w.in.Read(into)
			if n > 0 || err != io.EOF { //nolint:errorlint // message returns it bare
				return n, err
			}
			w.taken += w.in.taken
			w.in = nil
		}
		if !w.framed {
			return w.Conn.Read(into)
		}
		w.in = newMessage(w.Conn, maxHandshake-w.taken, packetPrelogin, packetReply)
	}
}
