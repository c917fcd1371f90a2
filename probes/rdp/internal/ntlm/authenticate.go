package ntlm

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // [MS-NLMP] has no other
	"crypto/rc4" //nolint:gosec // [MS-NLMP] has no other
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/md4" //nolint:staticcheck // [MS-NLMP] has no other
)

// Hash is the NT hash of a password: whoever has it can log on as the account does. It prints as a mask.
type Hash [16]byte

// NewHash returns the NT hash of a password ([MS-NLMP] 3.3.1, NTOWFv1).
func NewHash(password string) (h Hash) {
	text := Encode(password)
	sum := md4.New()
	_, _ = sum.Write(text)
	sum.Sum(h[:0])
	clear(text)
	return h
}

// String returns a mask.
func (Hash) String() string { return "<secret>" }

// Format prints a mask whatever the verb.
func (h Hash) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, h.String()) }

// Account is who logs on.
type Account struct {
	User   string
	Domain string // "": the server's own accounts, or the domain that a user@domain names
	Hash   Hash
}

// Key returns the key of the account's responses ([MS-NLMP] 3.3.2, NTOWFv2).
func (a Account) Key() []byte {
	return mac(a.Hash[:], Encode(strings.ToUpper(a.User)+a.Domain))
}

// Options are what else goes into a response.
type Options struct {
	ChannelBinding []byte // MD5 of the channel's gss_channel_bindings_struct; nil: none
	Target         string // service principal name; "": none
	Now            time.Time
	Random         io.Reader
}

// Authenticate returns the AUTHENTICATE_MESSAGE that answers the challenge for the account, and the session that both sides
// then have ([MS-NLMP] 3.1.5.1.2, 3.3.2). negotiate is the NEGOTIATE_MESSAGE that was sent.
func (c *Challenge) Authenticate(a Account, negotiate []byte, o Options) ([]byte, *Session, error) {
	if err := c.Usable(); err != nil {
		return nil, nil, err
	}
	var random [24]byte // the client's challenge, and the exported session key
	defer clear(random[:])
	if _, err := io.ReadFull(o.Random, random[:]); err != nil {
		return nil, nil, err
	}
	nonce, exported := random[:8], random[8:]
	info, stamp, told := c.answerInfo(o)
	key := a.Key()
	defer clear(key)
	response, base := Response(key, c.Nonce, nonce, stamp, info)
	defer clear(base)
	old := make([]byte, 24) // an LMv2 response is not sent to a server that tells its time
	if !told {
		copy(old, mac(key, c.Nonce[:], nonce))
		copy(old[16:], nonce)
	}
	var wrapped []byte
	if c.Flags&KeyExchange != 0 {
		wrapped = make([]byte, 16)
		stream(base).XORKeyStream(wrapped, exported)
	} else {
		copy(exported, base)
	}
	message := build(c.Flags&offered|TargetInfo|VersionPresent, [6][]byte{old, response, Encode(a.Domain), Encode(a.User), nil, wrapped})
	if told {
		copy(message[authenticateMIC:], mac(exported, negotiate, c.raw, message))
	}
	return message, NewSession(exported, c.Flags&KeyExchange != 0, true), nil
}

// answerInfo returns the target information that goes back to the server, the time that goes with it, and whether that is the
// server's. A server that tells its time also checks a MIC ([MS-NLMP] 3.1.5.1.2).
func (c *Challenge) answerInfo(o Options) (info []byte, stamp uint64, told bool) {
	var pairs []AVPair
	flags := uint32(0)
	stamp = Filetime(o.Now)
	for _, p := range c.Info {
		switch p.ID {
		case AVFlags:
			if len(p.Value) == 4 {
				flags = binary.LittleEndian.Uint32(p.Value)
			}
			continue
		case AVTargetName, AVChannelBindings:
			continue
		case AVTimestamp:
			if len(p.Value) == 8 {
				stamp, told = binary.LittleEndian.Uint64(p.Value), true
			}
		default:
		}
		pairs = append(pairs, p)
	}
	if told {
		flags |= avMIC
	}
	if flags != 0 {
		pairs = append(pairs, AVPair{AVFlags, binary.LittleEndian.AppendUint32(nil, flags)})
	}
	if o.ChannelBinding != nil {
		pairs = append(pairs, AVPair{AVChannelBindings, o.ChannelBinding})
	}
	if o.Target != "" {
		pairs = append(pairs, AVPair{AVTargetName, Encode(o.Target)})
	}
	return AppendAVPairs(nil, pairs...), stamp, told
}

// Response returns the NTLMv2 response to a server's challenge and the session base key ([MS-NLMP] 3.3.2). key is the
// account's (Account.Key).
func Response(key []byte, server [8]byte, client []byte, stamp uint64, info []byte) (response, base []byte) {
	temp := make([]byte, 28, 28+len(info)+4)
	temp[0], temp[1] = 1, 1 // versions
	binary.LittleEndian.PutUint64(temp[8:], stamp)
	copy(temp[16:], client)
	temp = append(append(temp, info...), 0, 0, 0, 0)
	proof := mac(key, server[:], temp)
	return append(proof[:16:16], temp...), mac(key, proof)
}

// build writes an AUTHENTICATE_MESSAGE ([MS-NLMP] 2.2.1.3) with a MIC of zeros and the parts that its fields name, in the
// order of the fields.
func build(flags Flags, parts [6][]byte) []byte {
	b := make([]byte, authenticateFixed)
	copy(b, signature)
	binary.LittleEndian.PutUint32(b[8:], typeAuthenticate)
	for i, part := range parts {
		at := 12 + 8*i
		binary.LittleEndian.PutUint16(b[at:], uint16(len(part)))
		binary.LittleEndian.PutUint16(b[at+2:], uint16(len(part)))
		binary.LittleEndian.PutUint32(b[at+4:], uint32(len(b)))
		b = append(b, part...)
	}
	binary.LittleEndian.PutUint32(b[60:], uint32(flags))
	copy(b[64:], version[:])
	return b
}

// mac returns the HMAC-MD5 of the pieces.
func mac(key []byte, pieces ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range pieces {
		h.Write(p)
	}
	return h.Sum(nil)
}

// stream returns the RC4 stream of a key of 16 bytes.
func stream(key []byte) *rc4.Cipher {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic("ntlm: " + err.Error()) // only the length can be wrong, and FIPS 140-only mode, which callers ask for before
	}
	return c
}
