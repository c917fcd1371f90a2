package tds

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Encryption is what a server says of TLS in its pre-login answer ([MS-TDS] 2.2.6.5).
type Encryption byte

// The words of the specification.
const (
	EncryptOff          Encryption = 0 // for the log-in only
	EncryptOn           Encryption = 1
	EncryptNotSupported Encryption = 2
	EncryptRequired     Encryption = 3
	encryptStrict       Encryption = 4 // what a client says whose TLS is there already
)

// String returns the specification's word in lower case.
func (e Encryption) String() string {
	switch e {
	case EncryptOff:
		return "off"
	case EncryptOn:
		return "on"
	case EncryptNotSupported:
		return "not supported"
	case EncryptRequired:
		return "required"
	case encryptStrict:
		return "strict"
	}
	return fmt.Sprintf("0x%02x", byte(e))
}

// Version is that of the server's engine, or of the gateway before it.
type Version struct {
	Major, Minor byte
	Build        uint16
}

// String returns the version as people write it, 16.0.1000.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Build) }

// Prelogin is a server's answer to the pre-login message. The zero value is an answer without options.
type Prelogin struct {
	Version    Version
	Encryption Encryption // EncryptOff when the answer does not say
	Encrypts   bool       // it does say
	// FedAuth is set when the server takes access tokens, FedAuthEcho when a client must say that it read so.
	FedAuth, FedAuthEcho bool
}

// Options of the pre-login message ([MS-TDS] 2.2.6.5).
const (
	optionVersion    = 0x00
	optionEncryption = 0x01
	optionInstance   = 0x02
	optionThread     = 0x03
	optionMARS       = 0x04
	optionFedAuth    = 0x06
	optionEnd        = 0xff
)

// maxPrelogin bounds the answer: that of a server has some 40 bytes.
const maxPrelogin = 4 << 10

// preloginRequest returns the options that are sent.
func preloginRequest(encryption Encryption, fedAuth bool) []byte {
	type option struct {
		token byte
		data  []byte
	}
	options := []option{
		{optionVersion, []byte{8, 0, 1, 0x55, 0, 0}}, // of the client; servers only log it
		{optionEncryption, []byte{byte(encryption)}},
		{optionInstance, []byte{0}},
		{optionThread, make([]byte, 4)},
		{optionMARS, []byte{0}},
	}
	if fedAuth {
		options = append(options, option{optionFedAuth, []byte{1}})
	}
	var head, data []byte
	offset := 5*len(options) + 1
	for _, o := range options {
		head = append(head, o.token)
		head = binary.BigEndian.AppendUint16(head, uint16(offset+len(data)))
		head = binary.BigEndian.AppendUint16(head, uint16(len(o.data)))
		data = append(data, o.data...)
	}
	return append(append(head, optionEnd), data...)
}

// ParsePrelogin reads the options of a server's answer, without its packet header. Options that are not known are passed over.
func ParsePrelogin(answer []byte) (Prelogin, error) {
	var p Prelogin
	for at := 0; ; at += 5 {
		if at >= len(answer) {
			return Prelogin{}, violation("the pre-login answer has no end of its options")
		}
		token := answer[at]
		if token == optionEnd {
			return p, nil
		}
		if at+5 > len(answer) {
			return Prelogin{}, violation("the pre-login answer ends within an option")
		}
		offset, length := int(binary.BigEndian.Uint16(answer[at+1:])), int(binary.BigEndian.Uint16(answer[at+3:]))
		if offset+length > len(answer) {
			return Prelogin{}, violation("option 0x%02x of the pre-login answer is outside of it", token)
		}
		if err := p.take(token, answer[offset:offset+length]); err != nil {
			return Prelogin{}, err
		}
	}
}

func (p *Prelogin) take(token byte, data []byte) error {
	want := map[byte]int{optionVersion: 6, optionEncryption: 1, optionFedAuth: 1}[token]
	if want == 0 {
		return nil
	}
	if len(data) != want {
		return violation("option 0x%02x of the pre-login answer has %d bytes, not %d", token, len(data), want)
	}
	switch token {
	case optionVersion:
		p.Version = Version{data[0], data[1], binary.BigEndian.Uint16(data[2:])}
	case optionEncryption:
		p.Encryption, p.Encrypts = Encryption(data[0]), true
	case optionFedAuth:
		p.FedAuth, p.FedAuthEcho = true, data[0] != 0
	}
	return nil
}

// Prelogin exchanges the first message. With fedAuth the server is also asked whether it takes access tokens.
func (c *Conn) Prelogin(fedAuth bool) (Prelogin, error) {
	encryption := EncryptOn
	if c.strict {
		encryption = encryptStrict
	}
	if err := writeMessage(c.stream, packetPrelogin, preloginRequest(encryption, fedAuth)); err != nil {
		return Prelogin{}, err
	}
	answer, err := io.ReadAll(newMessage(c.stream, maxPrelogin, packetReply))
	if err != nil {
		return Prelogin{}, err
	}
	p, err := ParsePrelogin(answer)
	if err == nil {
		c.prelogin = p
	}
	return p, err
}
