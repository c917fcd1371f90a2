// Package wire reads and writes the ASN.1 structures of CredSSP ([MS-CSSP] 2.2.1) and SPNEGO (RFC 4178). It writes DER and
// reads BER with definite lengths, since not every server writes the shortest. Errors hold numbers only, no bytes of the peer.
package wire

import (
	"errors"
	"fmt"
)

// Tags of the structures.
const (
	tagInteger     = 0x02
	tagOctets      = 0x04
	tagOID         = 0x06
	tagEnumerated  = 0x0A
	tagSequence    = 0x30
	tagApplication = 0x60
	tagContext     = 0xA0 // [0], constructed
)

var errShort = errors.New("ends within a value")

// tlv returns the encoding of a value made of the pieces.
func tlv(tag byte, pieces ...[]byte) []byte {
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	b := make([]byte, 0, n+5)
	b = append(b, tag)
	switch {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	case n < 0x10000:
		b = append(b, 0x82, byte(n>>8), byte(n))
	default:
		b = append(b, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	for _, p := range pieces {
		b = append(b, p...)
	}
	return b
}

// next returns the first value of b with its tag, and what follows it.
func next(b []byte) (tag byte, value, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, nil, errShort
	}
	header, length, err := head(b)
	if err != nil {
		return 0, nil, nil, err
	}
	if length > len(b)-header {
		return 0, nil, nil, errShort
	}
	end := header + length
	return b[0], b[header:end:end], b[end:], nil
}

// head returns the size of the header at the beginning of b and the length that it tells. Lengths of more than three bytes are
// refused: nothing here is as long.
func head(b []byte) (header, length int, err error) {
	if len(b) < 2 {
		return 0, 0, errShort
	}
	n := int(b[1])
	if n < 0x80 {
		return 2, n, nil
	}
	n &= 0x7F
	if n == 0 || n > 3 {
		return 0, 0, fmt.Errorf("length of %d bytes", n)
	}
	if len(b) < 2+n {
		return 0, 0, errShort
	}
	for _, c := range b[2 : 2+n] {
		length = length<<8 | int(c)
	}
	return 2 + n, length, nil
}

// expect returns the value of b, which must have the tag, and what follows it.
func expect(b []byte, tag byte) (value, rest []byte, err error) {
	got, value, rest, err := next(b)
	if err != nil {
		return nil, nil, err
	}
	if got != tag {
		return nil, nil, fmt.Errorf("has tag 0x%02x where 0x%02x is due", got, tag)
	}
	return value, rest, nil
}

// only is expect for a value that nothing may follow.
func only(b []byte, tag byte) ([]byte, error) {
	value, rest, err := expect(b, tag)
	if err == nil && len(rest) > 0 {
		return nil, fmt.Errorf("has %d bytes too many", len(rest))
	}
	return value, err
}

// integer reads a two's complement of 1 to 8 bytes.
func integer(value []byte) (int64, error) {
	if len(value) == 0 || len(value) > 8 {
		return 0, fmt.Errorf("integer of %d bytes", len(value))
	}
	n := int64(int8(value[0]))
	for _, c := range value[1:] {
		n = n<<8 | int64(c)
	}
	return n, nil
}

// encodeInteger writes the shortest two's complement.
func encodeInteger(n int64) []byte {
	size := 1
	for m := n; m > 127 || m < -128; m >>= 8 {
		size++
	}
	b := make([]byte, size)
	for i := size - 1; i >= 0; i-- {
		b[i] = byte(n)
		n >>= 8
	}
	return b
}
