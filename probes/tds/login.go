package tds

import (
	"encoding/binary"
	"errors"
	"unicode/utf16"
)

// Login is who logs in where.
type Login struct {
	Server   string // name that the client means; after a redirect that of the routed server, as the redirect has it
	Database string // "" is the account's default
	App      string // shown in sys.dm_exec_sessions
	User     string
	Password string
	Token    string // access token of Entra; then User and Password are not sent
}

// Session is what a server says when it accepts a log-in.
type Session struct {
	Program  string // "Microsoft SQL Server"
	Version  Version
	Database string
	Route    *Route // the log-in must be repeated there; then the rest may be empty
}

// Route is a redirect (routing in ENVCHANGE, [MS-TDS] 2.2.7.9).
type Route struct {
	Server string // may be host\instance
	Port   uint16
}

// ErrNoFedAuth is a server that does not take access tokens.
var ErrNoFedAuth = errors.New("the server takes no access tokens of entra")

// ErrNotEncrypted is a connection without TLS over which nothing is logged in.
var ErrNotEncrypted = errors.New("the connection is not encrypted")

// maxField is the most characters of a field of LOGIN7 ([MS-TDS] 2.2.6.4).
const maxField = 128

const (
	versionTDS74 = 0x74000004
	versionTDS80 = 0x08000000

	login7Length     = 94
	flagUseDB        = 0x20 // a database that cannot be opened is an error
	flagFatalDB      = 0x40 // and ends the log-in
	flagSetLang      = 0x80
	flagODBC         = 0x02
	flagExtension    = 0x10
	featureFedAuth   = 0x02
	featureEnd       = 0xff
	librarySecurity  = 0x01 // the token comes with the log-in
	maxToken         = 48 << 10
	clientVersion    = 0x01000000
	clientProcess    = 0
	interfaceLibrary = "firstcall"
)

// Login sends the account, in TLS only, and reads whether it is accepted. Refusals are ServerErrors.
func (c *Conn) Login(l Login) (Session, error) {
	request, err := c.login7(l)
	if err != nil {
		return Session{}, err
	}
	if err := writeMessage(c.stream, packetLogin, request); err != nil {
		return Session{}, err
	}
	answer := c.answer(maxLoginAnswer)
	for !answer.done {
		if err := answer.next(); err != nil {
			return Session{}, err
		}
	}
	switch {
	case len(answer.errors) > 0:
		return Session{}, answer.errors
	case answer.session.Route == nil && !answer.accepted:
		return Session{}, violation("the answer to the log-in neither accepts nor refuses it")
	}
	return answer.session, nil
}

// login7 is the message of [MS-TDS] 2.2.6.4.
func (c *Conn) login7(l Login) ([]byte, error) {
	if c.stream == c.raw {
		return nil, ErrNotEncrypted
	}
	version := uint32(versionTDS74)
	if c.strict {
		version = versionTDS80
	}
	var extension []byte
	if l.Token != "" {
		if !c.prelogin.FedAuth {
			return nil, ErrNoFedAuth
		}
		l.User, l.Password = "", ""
		extension = fedAuth(l.Token, c.prelogin.FedAuthEcho)
	}
	m := make([]byte, login7Length)
	le := binary.LittleEndian
	le.PutUint32(m[4:], version)
	le.PutUint32(m[8:], packetLength)
	le.PutUint32(m[12:], clientVersion)
	le.PutUint32(m[16:], clientProcess)
	m[24], m[25] = flagUseDB|flagFatalDB|flagSetLang, flagODBC
	for _, f := range []struct {
		at     int
		text   string
		hidden bool
	}{
		{36, l.App, false}, // the client's host name: the agent's own name is nobody's business
		{40, l.User, false},
		{44, l.Password, true},
		{48, l.App, false},
		{52, l.Server, false},
		{60, interfaceLibrary, false},
		{64, "", false},
		{68, l.Database, false},
		{78, "", false}, // SSPI
		{82, "", false}, // file of a database
		{86, "", false}, // new password
	} {
		text := encode(f.text)
		if len(text) > 2*maxField {
			return nil, errors.New("a field of the log-in is longer than 128 characters")
		}
		if f.hidden {
			conceal(text)
		}
		le.PutUint16(m[f.at:], uint16(len(m)))
		le.PutUint16(m[f.at+2:], uint16(len(text)/2))
		m = append(m, text...)
	}
	if extension != nil {
		if len(extension) > maxToken {
			return nil, errors.New("the access token is too long for a log-in")
		}
		m[27] |= flagExtension
		le.PutUint16(m[56:], uint16(len(m)))
		le.PutUint16(m[58:], 4)
		m = le.AppendUint32(m, uint32(len(m)+4))
		m = append(m, extension...)
	}
	le.PutUint32(m, uint32(len(m)))
	return m, nil
}

// fedAuth is the feature that carries a token ([MS-TDS] 2.2.6.4, FEDAUTH).
func fedAuth(token string, echo bool) []byte {
	options := byte(librarySecurity << 1)
	if echo {
		options |= 1
	}
	text := encode(token)
	m := binary.LittleEndian.AppendUint32([]byte{featureFedAuth}, uint32(1+4+len(text)))
	m = append(m, options)
	m = binary.LittleEndian.AppendUint32(m, uint32(len(text)))
	return append(append(m, text...), featureEnd)
}

// encode returns text in UTF-16, little endian.
func encode(text string) []byte {
	var m []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		m = binary.LittleEndian.AppendUint16(m, unit)
	}
	return m
}

// decode reads UTF-16, little endian; an odd last byte is left out.
func decode(data []byte) string {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(data[2*i:])
	}
	return string(utf16.Decode(units))
}

// conceal is what the specification does to a password: TLS is what protects it.
func conceal(text []byte) {
	for i, b := range text {
		text[i] = (b<<4 | b>>4) ^ 0xa5
	}
}
