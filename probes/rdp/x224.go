package rdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Sizes of what travels in this stage ([MS-RDPBCGR] 2.2.1.1, 2.2.1.2; TPKT is RFC 1006 section 6, X.224 ITU-T X.224 13.3, 13.4).
const (
	tpktHeader = 4
	x224Fixed  = 7 // length indicator, code, DST-REF, SRC-REF, class
	negLength  = 8 // RDP_NEG_REQ, RDP_NEG_RSP, RDP_NEG_FAILURE

	// maxConfirm is the longest packet that is read: the header, and what an X.224 length indicator (at most 254) can count.
	maxConfirm = tpktHeader + 1 + 254
)

// Codes of X.224 TPDUs and types of negotiation structures.
const (
	tpktVersion = 3

	x224ConnectionRequest = 0xE0
	x224ConnectionConfirm = 0xD0
	x224DisconnectRequest = 0x80

	negRequest  = 1
	negResponse = 2
	negFailure  = 3
)

// Confirm is a server's X.224 Connection Confirm.
type Confirm struct {
	// Negotiated is false when the confirm holds no negotiation structure: an old server, with Standard RDP Security only.
	Negotiated bool
	Selected   Protocol // exactly one protocol; ProtocolRDP when not Negotiated
	Flags      Flags
}

// connectionRequest returns the X.224 Connection Request that offers the protocols in requested.
func connectionRequest(requested Protocol) []byte {
	const length = tpktHeader + x224Fixed + negLength
	packet := []byte{
		tpktVersion, 0, 0, length,
		length - tpktHeader - 1, x224ConnectionRequest, 0, 0, 0, 0, 0,
		negRequest, 0, negLength, 0,
	}
	return binary.LittleEndian.AppendUint32(packet, uint32(requested))
}

// readPacket reads one TPKT packet, by its length, and returns what follows the header. A packet that is not TPKT, or longer
// than maxConfirm, is a *ProtocolError.
func readPacket(r io.Reader) ([]byte, error) {
	var header [tpktHeader]byte
	if n, err := io.ReadFull(r, header[:]); err != nil {
		return nil, cutShort(err, n > 0)
	}
	if header[0] != tpktVersion {
		return nil, violation("answers %q, which is not rdp (no tpkt header)", header[:])
	}
	length := int(binary.BigEndian.Uint16(header[2:]))
	if length < tpktHeader+x224Fixed || length > maxConfirm {
		return nil, violation("tpkt length %d is not between %d and %d", length, tpktHeader+x224Fixed, maxConfirm)
	}
	body := make([]byte, length-tpktHeader)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, cutShort(err, true)
	}
	return body, nil
}

// cutShort makes the end of the stream after a packet has begun an io.ErrUnexpectedEOF, wherever in the packet it came.
func cutShort(err error, begun bool) error {
	if begun && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseConfirm reads the X.224 TPDU of an answer to a request for the protocols in requested. The error is a
// *NegotiationError when the server refuses, else a *ProtocolError.
func parseConfirm(body []byte, requested Protocol) (Confirm, error) {
	if len(body) < x224Fixed {
		return Confirm{}, violation("x.224 answer of %d bytes is too short", len(body))
	}
	switch code := body[1] & 0xF0; code {
	case x224ConnectionConfirm:
	case x224DisconnectRequest:
		return Confirm{}, violation("server answers with an x.224 disconnect request, reason %d", body[6])
	default:
		return Confirm{}, violation("x.224 code 0x%02x is not a connection confirm", body[1])
	}
	end := 1 + int(body[0]) // the length indicator does not count itself
	if end < x224Fixed || end > len(body) {
		return Confirm{}, violation("x.224 length indicator %d does not fit a packet of %d bytes", body[0], len(body))
	}
	if end == x224Fixed {
		return Confirm{Selected: ProtocolRDP}, nil
	}
	return parseNegotiation(body[x224Fixed:end], requested)
}

// parseNegotiation reads the RDP_NEG_RSP or RDP_NEG_FAILURE at the end of a confirm.
func parseNegotiation(b []byte, requested Protocol) (Confirm, error) {
	if len(b) < negLength {
		return Confirm{}, violation("negotiation structure of %d bytes is too short", len(b))
	}
	if length := binary.LittleEndian.Uint16(b[2:]); length != negLength {
		return Confirm{}, violation("negotiation structure says that it has %d bytes, not %d", length, negLength)
	}
	value := binary.LittleEndian.Uint32(b[4:])
	switch b[0] {
	case negFailure:
		return Confirm{}, &NegotiationError{Code: FailureCode(value)}
	case negResponse:
	default:
		return Confirm{}, violation("negotiation structure has the unknown type %d", b[0])
	}
	selected := Protocol(value)
	if selected&(selected-1) != 0 || selected&^requested != 0 {
		return Confirm{}, violation("server selects %s of the offered %s", selected, requested)
	}
	return Confirm{Negotiated: true, Selected: selected, Flags: Flags(b[1])}, nil
}

func violation(format string, args ...any) error {
	return &ProtocolError{Stage: StageX224, Violation: fmt.Sprintf(format, args...)}
}
