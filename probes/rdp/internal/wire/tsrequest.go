package wire

import (
	"errors"
	"fmt"
	"io"
)

// MaxTSRequest bounds a TSRequest, in bytes.
const MaxTSRequest = 64 << 10

// TSRequest is the one message of CredSSP ([MS-CSSP] 2.2.1). Absent parts are nil, or 0.
type TSRequest struct {
	Version    int
	Token      []byte // the first of negoTokens
	AuthInfo   []byte
	PubKeyAuth []byte
	ErrorCode  uint32 // an NTSTATUS or HRESULT
	Nonce      []byte // clientNonce
}

// Marshal returns the encoding.
func (r TSRequest) Marshal() []byte {
	parts := [][]byte{tlv(tagContext, tlv(tagInteger, encodeInteger(int64(r.Version))))}
	optional := func(n byte, value []byte) {
		if value != nil {
			parts = append(parts, tlv(tagContext|n, value))
		}
	}
	octets := func(value []byte) []byte {
		if value == nil {
			return nil
		}
		return tlv(tagOctets, value)
	}
	if r.Token != nil {
		optional(1, tlv(tagSequence, tlv(tagSequence, tlv(tagContext, octets(r.Token)))))
	}
	optional(2, octets(r.AuthInfo))
	optional(3, octets(r.PubKeyAuth))
	if r.ErrorCode != 0 {
		optional(4, tlv(tagInteger, encodeInteger(int64(int32(r.ErrorCode)))))
	}
	optional(5, octets(r.Nonce))
	return tlv(tagSequence, parts...)
}

// ErrNotTSRequest is what is wrong with an answer that is not CredSSP at all.
var ErrNotTSRequest = errors.New("is no tsrequest")

// FormatError is a message that is not as it must be. Its text holds nothing of the peer's but numbers.
type FormatError struct{ Err error }

// Error returns what is wrong with the message.
func (e *FormatError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *FormatError) Unwrap() error { return e.Err }

// ReadTSRequest reads one, by its length. Errors are the reader's, io.EOF when nothing came, io.ErrUnexpectedEOF when a part
// did, or a *FormatError.
func ReadTSRequest(r io.Reader) (TSRequest, error) {
	b := make([]byte, 5, 512)
	if n, err := io.ReadFull(r, b[:2]); err != nil {
		return TSRequest{}, cut(err, n > 0)
	}
	if b[0] != tagSequence {
		return TSRequest{}, &FormatError{ErrNotTSRequest}
	}
	size := 2
	if b[1] >= 0x80 {
		size += int(b[1] & 0x7F)
	}
	if size > len(b) {
		return TSRequest{}, &FormatError{fmt.Errorf("tsrequest has a length of %d bytes", size-2)}
	}
	if _, err := io.ReadFull(r, b[2:size]); err != nil {
		return TSRequest{}, cut(err, true)
	}
	header, length, err := head(b[:size])
	if err != nil {
		return TSRequest{}, &FormatError{err}
	}
	if header+length > MaxTSRequest {
		return TSRequest{}, &FormatError{fmt.Errorf("tsrequest of %d bytes is longer than %d", header+length, MaxTSRequest)}
	}
	b = append(b[:header], make([]byte, length)...)
	if _, err := io.ReadFull(r, b[header:]); err != nil {
		return TSRequest{}, cut(err, true)
	}
	return ParseTSRequest(b)
}

func cut(err error, begun bool) error {
	if begun && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ParseTSRequest reads the encoding; what it returns are parts of b. The error is a *FormatError.
func ParseTSRequest(b []byte) (TSRequest, error) {
	r, err := parseTSRequest(b)
	if err != nil {
		return TSRequest{}, &FormatError{fmt.Errorf("tsrequest %w", err)}
	}
	return r, nil
}

func parseTSRequest(b []byte) (r TSRequest, err error) {
	body, err := only(b, tagSequence)
	if err != nil {
		return r, err
	}
	last := -1
	for len(body) > 0 {
		var tag byte
		var value []byte
		if tag, value, body, err = next(body); err != nil {
			return r, err
		}
		n := int(tag) - tagContext
		if n <= last || n > 5 {
			return r, fmt.Errorf("has tag 0x%02x out of place", tag)
		}
		if last < 0 && n != 0 {
			return r, errors.New("has no version")
		}
		last = n
		if err := r.part(n, value); err != nil {
			return r, fmt.Errorf("part %d: %w", n, err)
		}
	}
	if last < 0 {
		return r, errors.New("is empty")
	}
	return r, nil
}

// part reads one of the parts.
func (r *TSRequest) part(n int, value []byte) (err error) {
	switch n {
	case 0, 4:
		number, err := only(value, tagInteger)
		if err != nil {
			return err
		}
		i, err := integer(number)
		if err != nil {
			return err
		}
		if n == 4 {
			if i != int64(int32(i)) && i != int64(uint32(i)) {
				return errors.New("error code has more than 32 bits")
			}
			r.ErrorCode = uint32(i)
			return nil
		}
		if i < 1 || i > 1000 {
			return fmt.Errorf("version %d", i)
		}
		r.Version = int(i)
	case 1:
		r.Token, err = firstToken(value)
	case 2:
		r.AuthInfo, err = only(value, tagOctets)
	case 3:
		r.PubKeyAuth, err = only(value, tagOctets)
	case 5:
		r.Nonce, err = only(value, tagOctets)
	}
	return err
}

// firstToken reads negoTokens; tokens after the first are left out.
func firstToken(value []byte) ([]byte, error) {
	list, err := only(value, tagSequence)
	if err != nil {
		return nil, err
	}
	item, _, err := expect(list, tagSequence)
	if err != nil {
		return nil, err
	}
	token, _, err := expect(item, tagContext)
	if err != nil {
		return nil, err
	}
	return only(token, tagOctets)
}
