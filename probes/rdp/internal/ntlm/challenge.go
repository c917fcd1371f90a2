package ntlm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf16"
)

// AVID names an attribute of a server's target information ([MS-NLMP] 2.2.2.1).
type AVID uint16

// The attributes.
const (
	AVEnd             AVID = 0
	AVNetBIOSComputer AVID = 1
	AVNetBIOSDomain   AVID = 2
	AVDNSComputer     AVID = 3
	AVDNSDomain       AVID = 4
	AVDNSTree         AVID = 5
	AVFlags           AVID = 6
	AVTimestamp       AVID = 7
	AVSingleHost      AVID = 8
	AVTargetName      AVID = 9
	AVChannelBindings AVID = 10
)

// avMIC is the bit of AVFlags that says that the message has a MIC.
const avMIC = 2

// AVPair is one attribute. Value is a part of the message that it came from.
type AVPair struct {
	ID    AVID
	Value []byte
}

// Challenge is a CHALLENGE_MESSAGE ([MS-NLMP] 2.2.1.2).
type Challenge struct {
	Flags  Flags
	Nonce  [8]byte // the server's challenge
	Target string
	Info   []AVPair // without its end
	// Major, Minor and Build are the server's operating system; all 0 when it does not say.
	Major, Minor uint8
	Build        uint16

	raw []byte
}

// Negotiate returns the NEGOTIATE_MESSAGE ([MS-NLMP] 2.2.1.1). It names nobody.
func Negotiate() []byte {
	b := make([]byte, negotiateLength)
	copy(b, signature)
	binary.LittleEndian.PutUint32(b[8:], typeNegotiate)
	binary.LittleEndian.PutUint32(b[12:], uint32(offered))
	copy(b[32:], version[:])
	return b
}

// ParseChallenge reads a CHALLENGE_MESSAGE. The message must not change afterwards.
func ParseChallenge(b []byte) (*Challenge, error) {
	if err := header(b, typeChallenge, challengeFixed); err != nil {
		return nil, err
	}
	c := &Challenge{Flags: Flags(binary.LittleEndian.Uint32(b[20:])), raw: b}
	copy(c.Nonce[:], b[24:32])
	target, err := Field(b, 12, maxNames)
	if err != nil {
		return nil, fmt.Errorf("target name: %w", err)
	}
	if c.Flags&Unicode != 0 {
		c.Target = Text(target)
	}
	if c.Flags&TargetInfo != 0 {
		info, err := Field(b, 40, maxTargetInfo)
		if err != nil {
			return nil, fmt.Errorf("target information: %w", err)
		}
		if c.Info, err = ParseAVPairs(info); err != nil {
			return nil, err
		}
	}
	if c.Flags&VersionPresent != 0 && len(b) >= challengeFixed+8 {
		c.Major, c.Minor, c.Build = b[48], b[49], binary.LittleEndian.Uint16(b[50:])
	}
	return c, nil
}

// header checks signature, type and length of a message.
func header(b []byte, kind uint32, least int) error {
	if len(b) < 12 || string(b[:8]) != signature {
		return errors.New("token is no ntlm message")
	}
	if got := binary.LittleEndian.Uint32(b[8:]); got != kind {
		return fmt.Errorf("ntlm message has type %d, not %d", got, kind)
	}
	if len(b) < least {
		return fmt.Errorf("ntlm message of %d bytes is too short", len(b))
	}
	return nil
}

// Field returns the part of message b that the length and offset at position at name.
func Field(b []byte, at, limit int) ([]byte, error) {
	length, offset := int(binary.LittleEndian.Uint16(b[at:])), uint64(binary.LittleEndian.Uint32(b[at+4:]))
	switch {
	case length == 0:
		return nil, nil
	case length > limit:
		return nil, fmt.Errorf("%d bytes are more than %d", length, limit)
	case offset > uint64(len(b)) || uint64(length) > uint64(len(b))-offset:
		return nil, fmt.Errorf("%d bytes at %d do not lie in a message of %d", length, offset, len(b))
	}
	return b[offset : int(offset)+length : int(offset)+length], nil
}

// ParseAVPairs reads a list of attributes up to its end, which must be there.
func ParseAVPairs(b []byte) ([]AVPair, error) {
	var pairs []AVPair
	for len(b) >= 4 {
		id, length := AVID(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
		if id == AVEnd {
			return pairs, nil
		}
		if length > len(b)-4 {
			return nil, fmt.Errorf("attribute %d of the target information has %d bytes, of which %d are there", id, length, len(b)-4)
		}
		pairs = append(pairs, AVPair{id, b[4 : 4+length : 4+length]})
		b = b[4+length:]
	}
	return nil, errors.New("target information has no end")
}

// AppendAVPairs writes attributes and the end of their list.
func AppendAVPairs(b []byte, pairs ...AVPair) []byte {
	for _, p := range pairs {
		b = binary.LittleEndian.AppendUint16(b, uint16(p.ID))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(p.Value)))
		b = append(b, p.Value...)
	}
	return append(b, 0, 0, 0, 0)
}

// Value returns the attribute of that name, and whether it is there.
func (c *Challenge) Value(id AVID) ([]byte, bool) {
	for _, p := range c.Info {
		if p.ID == id {
			return p.Value, true
		}
	}
	return nil, false
}

// Name returns the attribute of that name as text; "" when it is not there.
func (c *Challenge) Name(id AVID) string {
	value, _ := c.Value(id)
	return Text(value[:min(len(value), maxNames)])
}

// Time returns the server's clock, and whether it tells it.
func (c *Challenge) Time() (time.Time, bool) {
	value, ok := c.Value(AVTimestamp)
	if !ok || len(value) != 8 {
		return time.Time{}, false
	}
	return FromFiletime(binary.LittleEndian.Uint64(value)), true
}

// Usable returns why the server's flags do not allow a session of this package; nil when they do.
func (c *Challenge) Usable() error {
	if missing := needed &^ c.Flags; missing != 0 {
		return fmt.Errorf("server does not agree to ntlmv2 session security of 128 bits (flags 0x%08x lack 0x%x)", uint32(c.Flags), uint32(missing))
	}
	return nil
}

// epoch is 1970 in Windows' time, in seconds since 1601.
const epoch = 11644473600

// FromFiletime converts hundreds of nanoseconds since 1601 to a time in UTC.
func FromFiletime(t uint64) time.Time {
	return time.Unix(int64(t/1e7)-epoch, int64(t%1e7)*100).UTC()
}

// Filetime converts a time from 1601 on to hundreds of nanoseconds since 1601.
func Filetime(t time.Time) uint64 {
	return uint64(t.Unix()+epoch)*1e7 + uint64(t.Nanosecond()/100)
}

// Text decodes UTF-16 in little endian; an odd byte at the end is left out.
func Text(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// Encode encodes text as UTF-16 in little endian.
func Encode(text string) []byte {
	units := utf16.Encode([]rune(text))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
