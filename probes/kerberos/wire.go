package kerberos

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
)

// maxReply bounds an answer, in bytes. The largest tickets of Windows have 64 kB.
const maxReply = 128 << 10

// answer is what a KDC sent, and when.
type answer struct {
	bytes          []byte
	sent, received time.Time
}

// roundTrip sends a message over a connection of its own and returns the answer (RFC 4120 7.2.2). Nothing of it outlives ctx.
func (x *Exchange) roundTrip(ctx context.Context, message []byte) (answer, error) {
	dialer := net.Dialer{KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", x.KDC)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = conn.Close() }()
	x.Address = conn.RemoteAddr().String()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	a := answer{sent: x.now()}
	if _, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)); err == nil {
		a.bytes, err = readReply(conn)
	}
	a.received = x.now()
	if err != nil && ctx.Err() != nil && !errors.Is(err, io.EOF) {
		return answer{}, ctx.Err()
	}
	return a, err
}

// readReply reads a message behind its length in four bytes, of which the first bit is 0.
func readReply(from io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length == 0 || length > maxReply {
		return nil, &ProtocolError{"what answers is no kdc: the length of its answer is impossible"}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(from, body); err != nil {
		return nil, err
	}
	return body, nil
}

// safely runs f, in which gokrb5 works on what a KDC sent: a panic is an error.
func safely(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = &ProtocolError{"the kdc's answer cannot be decoded"}
		}
	}()
	return f()
}

// reply is a decoded answer: of the three one is set.
type reply struct {
	as     *messages.ASRep
	tgs    *messages.TGSRep
	denial *messages.KRBError
}

// parse decodes an answer by its application tag (RFC 4120 5.10): 11 AS-REP, 13 TGS-REP, 30 KRB-ERROR.
func parse(b []byte) (r reply, err error) {
	const application = 0x60 // class and constructed bits
	err = safely(func() error {
		switch b[0] {
		case application | 11:
			r.as = new(messages.ASRep)
			return r.as.Unmarshal(b)
		case application | 13:
			r.tgs = new(messages.TGSRep)
			return r.tgs.Unmarshal(b)
		case application | 30:
			r.denial = new(messages.KRBError)
			return r.denial.Unmarshal(b)
		}
		return &ProtocolError{"what answers is no kdc: its answer is no kerberos message"}
	})
	if err == nil {
		return r, nil
	}
	if violation, ok := errors.AsType[*ProtocolError](err); ok {
		return reply{}, violation
	}
	return reply{}, &ProtocolError{"the kdc's answer cannot be decoded"} // gokrb5's text may quote it
}
