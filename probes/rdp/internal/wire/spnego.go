package wire

import (
	"bytes"
	"errors"
	"fmt"
)

// NegState is what an acceptor says of a negotiation (RFC 4178 4.2.2).
type NegState int

// The states. NoState is the absence of one.
const (
	NoState          NegState = -1
	AcceptCompleted  NegState = 0
	AcceptIncomplete NegState = 1
	Reject           NegState = 2
	RequestMIC       NegState = 3
)

// Object identifiers, encoded: SPNEGO (RFC 4178 3) and NTLM ([MS-SPNG] 1.9).
var (
	oidSPNEGO = []byte{tagOID, 6, 0x2B, 6, 1, 5, 5, 2}
	oidNTLM   = []byte{tagOID, 10, 0x2B, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10}
)

// NegResp is a NegTokenResp (RFC 4178 4.2.2).
type NegResp struct {
	State NegState
	NTLM  bool // supportedMech is NTLM
	Other bool // supportedMech is another
	Token []byte
	MIC   []byte // mechListMIC
}

// MechList returns the encoding of the list of mechanisms that NegInit offers, which mechListMIC signs.
func MechList() []byte { return tlv(tagSequence, oidNTLM) }

// NegInit returns the first token: a NegTokenInit that offers NTLM alone, with its first message.
func NegInit(token []byte) []byte {
	init := tlv(tagSequence, tlv(tagContext, MechList()), tlv(tagContext|2, tlv(tagOctets, token)))
	return tlv(tagApplication, oidSPNEGO, tlv(tagContext, init))
}

// ParseNegInit returns the first message in what NegInit makes; the error is a *FormatError.
func ParseNegInit(b []byte) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, &FormatError{fmt.Errorf("negTokenInit %w", err)} }
	body, err := only(b, tagApplication)
	if err != nil {
		return fail(err)
	}
	if !bytes.HasPrefix(body, oidSPNEGO) {
		return fail(errors.New("is not spnego"))
	}
	if body, err = only(body[len(oidSPNEGO):], tagContext); err != nil {
		return fail(err)
	}
	if body, err = only(body, tagSequence); err != nil {
		return fail(err)
	}
	for len(body) > 0 {
		var tag byte
		var value []byte
		if tag, value, body, err = next(body); err != nil {
			return fail(err)
		}
		if tag == tagContext|2 {
			token, err := only(value, tagOctets)
			if err != nil {
				return fail(err)
			}
			return token, nil
		}
	}
	return fail(errors.New("has no mechToken"))
}

// Marshal returns the encoding of a NegTokenResp.
func (r NegResp) Marshal() []byte {
	var parts [][]byte
	if r.State != NoState {
		parts = append(parts, tlv(tagContext, tlv(tagEnumerated, []byte{byte(r.State)})))
	}
	if r.NTLM {
		parts = append(parts, tlv(tagContext|1, oidNTLM))
	}
	if r.Token != nil {
		parts = append(parts, tlv(tagContext|2, tlv(tagOctets, r.Token)))
	}
	if r.MIC != nil {
		parts = append(parts, tlv(tagContext|3, tlv(tagOctets, r.MIC)))
	}
	return tlv(tagContext|1, tlv(tagSequence, parts...))
}

// ParseNegResp reads a NegTokenResp; what it returns are parts of b. The error is a *FormatError.
func ParseNegResp(b []byte) (NegResp, error) {
	r, err := parseNegResp(b)
	if err != nil {
		return NegResp{}, &FormatError{fmt.Errorf("negTokenResp %w", err)}
	}
	return r, nil
}

func parseNegResp(b []byte) (NegResp, error) {
	r := NegResp{State: NoState}
	body, err := only(b, tagContext|1)
	if err != nil {
		return r, err
	}
	if body, err = only(body, tagSequence); err != nil {
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
		if n <= last || n > 3 {
			return r, fmt.Errorf("has tag 0x%02x out of place", tag)
		}
		last = n
		if err := r.part(n, value); err != nil {
			return r, fmt.Errorf("part %d: %w", n, err)
		}
	}
	return r, nil
}

func (r *NegResp) part(n int, value []byte) (err error) {
	switch n {
	case 0:
		state, err := only(value, tagEnumerated)
		if err != nil {
			return err
		}
		if len(state) != 1 || state[0] > byte(RequestMIC) {
			return errors.New("state is not known")
		}
		r.State = NegState(state[0])
	case 1:
		if _, err := only(value, tagOID); err != nil {
			return err
		}
		r.NTLM = bytes.Equal(value, oidNTLM)
		r.Other = !r.NTLM
	case 2:
		r.Token, err = only(value, tagOctets)
	case 3:
		r.MIC, err = only(value, tagOctets)
	}
	return err
}
