package tds

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Types of packets ([MS-TDS] 2.2.3.1.1).
const (
	packetBatch    = 0x01
	packetReply    = 0x04
	packetLogin    = 0x10
	packetPrelogin = 0x12
)

const (
	headerLength = 8
	packetLength = 4096 // of what is sent; the size that every server takes before log-in
	endOfMessage = 0x01
)

// writeMessage sends data in packets of one type.
func writeMessage(to io.Writer, kind byte, data []byte) error {
	packet := make([]byte, 0, packetLength)
	for number := byte(1); ; number++ {
		n := min(len(data), packetLength-headerLength)
		status := byte(0)
		if n == len(data) {
			status = endOfMessage
		}
		packet = append(packet[:0], kind, status, 0, 0, 0, 0, number, 0)
		binary.BigEndian.PutUint16(packet[2:], uint16(headerLength+n))
		packet = append(packet, data[:n]...)
		if _, err := to.Write(packet); err != nil {
			return err
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

// errLost is a connection that ends within a message.
var errLost = fmt.Errorf("the connection ended within an answer: %w", io.ErrUnexpectedEOF)

// message reads the packets of one answer. Read returns io.EOF, bare, at the end of the message, and errLost when the connection
// ends before.
type message struct {
	from   io.Reader
	kinds  []byte // that are allowed
	limit  int    // of all bytes, headers too
	taken  int
	left   int // of the running packet
	last   bool
	header [headerLength]byte
}

func newMessage(from io.Reader, limit int, kinds ...byte) *message {
	return &message{from: from, kinds: kinds, limit: limit}
}

// Read reads on, across packets.
func (m *message) Read(into []byte) (int, error) {
	for m.left == 0 {
		if m.last {
			return 0, io.EOF
		}
		if err := m.next(); err != nil {
			return 0, err
		}
	}
	n, err := m.from.Read(into[:min(len(into), m.left)])
	m.left -= n
	return n, unexpected(err)
}

// next reads the header of a packet.
func (m *message) next() error {
	if _, err := io.ReadFull(m.from, m.header[:]); err != nil {
		return unexpected(err)
	}
	kind, length := m.header[0], int(binary.BigEndian.Uint16(m.header[2:]))
	allowed := false
	for _, k := range m.kinds {
		allowed = allowed || k == kind
	}
	switch {
	case !allowed:
		return violation("answers %q, which is not tds", m.header[:])
	case length < headerLength:
		return violation("answers with a packet of %d bytes, less than its header", length)
	}
	if m.taken += length; m.taken > m.limit {
		return &TooLongError{m.limit}
	}
	m.left, m.last = length-headerLength, m.header[1]&endOfMessage != 0
	return nil
}

// unexpected makes the end of a connection differ from that of a message.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errLost
	}
	return err
}
