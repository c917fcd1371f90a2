package ntlm

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // [MS-NLMP] has no other
	"crypto/rc4" //nolint:gosec // [MS-NLMP] has no other
	"encoding/binary"
	"errors"
	"slices"
)

// SignatureLength is the length of a signature, which stands before what it signs.
const SignatureLength = 16

// ErrSignature is a signature that is not made with the session's key. It says nothing more on purpose.
var ErrSignature = errors.New("ntlm: the signature is not of this session")

// Session seals and signs what both sides say after a log-on, with extended session security ([MS-NLMP] 3.4). It is used by
// one goroutine at a time.
type Session struct{ send, receive direction }

// direction is one way of a session.
type direction struct {
	signing, sealing [16]byte
	cipher           *rc4.Cipher
	sequence         uint32
	exchanged        bool // checksums are sealed too
}

// NewSession returns the session of an exported session key of 16 bytes, as the client or the server has it; exchanged is
// whether KeyExchange was agreed on.
func NewSession(exported []byte, exchanged, client bool) *Session {
	out := newDirection(exported, "client-to-server", exchanged)
	in := newDirection(exported, "server-to-client", exchanged)
	if client {
		return &Session{out, in}
	}
	return &Session{in, out}
}

// newDirection derives the keys of one way ([MS-NLMP] 3.4.5.2, 3.4.5.3).
func newDirection(exported []byte, way string, exchanged bool) direction {
	derive := func(use string) [16]byte {
		magic := "session key to " + way + " " + use + " key magic constant\x00"
		return md5.Sum(append(slices.Clip(exported), magic...))
	}
	d := direction{signing: derive("signing"), sealing: derive("sealing"), exchanged: exchanged}
	d.cipher = stream(d.sealing[:])
	return d
}

// Seal returns signature and ciphertext of a message.
func (s *Session) Seal(message []byte) []byte {
	b := make([]byte, SignatureLength+len(message))
	s.send.cipher.XORKeyStream(b[SignatureLength:], message)
	copy(b, s.send.sign(message))
	return b
}

// Open returns the message in what Seal of the other side made, or ErrSignature.
func (s *Session) Open(sealed []byte) ([]byte, error) {
	if len(sealed) < SignatureLength {
		return nil, ErrSignature
	}
	message := make([]byte, len(sealed)-SignatureLength)
	s.receive.cipher.XORKeyStream(message, sealed[SignatureLength:])
	if !hmac.Equal(s.receive.sign(message), sealed[:SignatureLength]) {
		clear(message)
		return nil, ErrSignature
	}
	return message, nil
}

// Sign returns the signature of a message that is sent in clear.
func (s *Session) Sign(message []byte) []byte { return s.send.sign(message) }

// Verify returns ErrSignature unless signature is the other side's of message.
func (s *Session) Verify(message, signature []byte) error {
	if !hmac.Equal(s.receive.sign(message), signature) {
		return ErrSignature
	}
	return nil
}

// Restart begins both streams anew and leaves the sequence numbers, as SPNEGO does after its mechListMIC ([MS-SPNG] 3.3.5.1).
func (s *Session) Restart() {
	s.send.cipher, s.receive.cipher = stream(s.send.sealing[:]), stream(s.receive.sealing[:])
}

// sign returns the next signature ([MS-NLMP] 3.4.4.2).
func (d *direction) sign(message []byte) []byte {
	var sequence [4]byte
	binary.LittleEndian.PutUint32(sequence[:], d.sequence)
	d.sequence++
	sum := mac(d.signing[:], sequence[:], message)[:8]
	if d.exchanged {
		d.cipher.XORKeyStream(sum, sum)
	}
	return append(append([]byte{1, 0, 0, 0}, sum...), sequence[:]...)
}
