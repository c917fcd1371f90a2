// Package tdstest is a server of package tds' protocol for tests: it makes every answer that a test needs, right and wrong, at
// every stage. It stores nothing and understands no SQL.
package tdstest

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"unicode/utf16"
)

// Stage is where a server stands with a client.
type Stage int

// The stages, in order of TDS 7.4; with TDS 8.0, TLS comes first.
const (
	Never Stage = iota
	Prelogin
	TLS
	Login
	Query
)

// Request is the log-in that a client sent.
type Request struct {
	Version                                          uint32
	Host, User, Password, App, Server, Database, Lib string
	Token                                            string
	Echo                                             bool
}

// Server is one behaviour. Its fields are not changed while it serves.
type Server struct {
	TLS        *tls.Config
	Strict     bool   // TDS 8.0
	Encryption byte   // of the pre-login answer; 0 is sent as on
	Prelogin   []byte // in place of the whole answer, without its header
	FedAuth    bool   // take access tokens, and want the echo
	Hang       Stage  // from there on everything is taken and nothing is answered
	Hangup     Stage  // the connection ends there, without an answer

	Login func(Request) []byte    // tokens; nil accepts everybody
	Query func(sql string) []byte // tokens; nil returns one row
	Raw   func(stage Stage, conn io.Writer)
}

// Serve serves one connection.
func (s *Server) Serve(conn net.Conn) {
	stream := conn
	if s.Strict {
		if s.stop(TLS, conn) {
			return
		}
		config := s.TLS.Clone()
		config.NextProtos = []string{"tds/8.0"}
		secured := tls.Server(conn, config)
		if secured.Handshake() != nil {
			return
		}
		stream = secured
	}
	asked, err := ReadMessage(stream)
	if err != nil || s.stop(Prelogin, conn) || s.raw(Prelogin, stream) {
		return
	}
	WriteMessage(stream, 4, s.prelogin(bytes.IndexByte(options(asked), 6) >= 0))
	if !s.Strict && s.Encryption != 2 {
		if s.stop(TLS, conn) || s.raw(TLS, stream) {
			return
		}
		if stream = s.secure(conn); stream == nil {
			return
		}
	}
	asked, err = ReadMessage(stream)
	if err != nil || s.stop(Login, conn) || s.raw(Login, stream) {
		return
	}
	tokens := Accept()
	if s.Login != nil {
		tokens = s.Login(ParseLogin(asked))
	}
	WriteMessage(stream, 4, tokens)
	for {
		asked, err = ReadMessage(stream)
		if err != nil || s.stop(Query, conn) || s.raw(Query, stream) {
			return
		}
		tokens = OneRow()
		switch {
		case len(asked) == 0: // an attention: who has all that it wants leaves the rest
			tokens = Done(0x20, 0)
		case s.Query != nil && len(asked) > 22:
			tokens = s.Query(decode(asked[22:]))
		}
		WriteMessage(stream, 4, tokens)
	}
}

// stop hangs or hangs up.
func (s *Server) stop(at Stage, conn net.Conn) bool {
	switch at {
	case s.Hang:
		_, _ = io.Copy(io.Discard, conn)
	case s.Hangup:
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, conn)
	default:
		return false
	}
	return true
}

func (s *Server) raw(at Stage, stream io.Writer) bool {
	if s.Raw == nil {
		return false
	}
	seen := &counter{to: stream}
	s.Raw(at, seen)
	return seen.wrote
}

type counter struct {
	to    io.Writer
	wrote bool
}

func (c *counter) Write(p []byte) (int, error) {
	c.wrote = true
	return c.to.Write(p)
}

func options(prelogin []byte) (tokens []byte) {
	for at := 0; at < len(prelogin) && prelogin[at] != 0xff; at += 5 {
		tokens = append(tokens, prelogin[at])
	}
	return tokens
}

// prelogin is the answer of SQL Server 2022.
func (s *Server) prelogin(asked bool) []byte {
	if s.Prelogin != nil {
		return s.Prelogin
	}
	encryption := s.Encryption
	if encryption == 0 {
		encryption = 1
	}
	fields := []byte{0, 0, 16, 0, 6, 1, 0, 22, 0, 1, 0xff}
	if asked && s.FedAuth {
		fields = []byte{0, 0, 16, 0, 6, 1, 0, 22, 0, 1, 6, 0, 23, 0, 1, 0xff}
	} else {
		fields = append(fields, 0, 0, 0, 0, 0)
	}
	return append(fields, 16, 0, 0x03, 0xe8, 0, 0, encryption, 1)
}

// secure makes TLS inside TDS.
func (s *Server) secure(conn net.Conn) net.Conn {
	config := s.TLS.Clone()
	config.MaxVersion = tls.VersionTLS12 // TLS 1.3 goes with TDS 8.0
	inside := &handshake{Conn: conn, framed: true}
	secured := tls.Server(inside, config)
	if secured.Handshake() != nil {
		return nil
	}
	inside.flush()
	inside.framed = false
	return secured
}

type handshake struct {
	net.Conn
	framed  bool
	in, out bytes.Buffer
}

func (h *handshake) flush() {
	if h.out.Len() > 0 {
		WriteMessage(h.Conn, 0x12, h.out.Bytes())
		h.out.Reset()
	}
}

func (h *handshake) Write(p []byte) (int, error) {
	if h.framed {
		return h.out.Write(p)
	}
	return h.Conn.Write(p)
}

func (h *handshake) Read(p []byte) (int, error) {
	if h.in.Len() > 0 {
		return h.in.Read(p)
	}
	if !h.framed {
		return h.Conn.Read(p)
	}
	h.flush()
	data, err := ReadMessage(h.Conn)
	if err != nil {
		return 0, err
	}
	h.in.Write(data)
	return h.in.Read(p)
}

// ReadMessage reads the packets of one message and returns its data, at most 1 MiB.
func ReadMessage(from io.Reader) ([]byte, error) {
	var data []byte
	for len(data) < 1<<20 {
		var header [8]byte
		if _, err := io.ReadFull(from, header[:]); err != nil {
			return nil, err
		}
		length := int(binary.BigEndian.Uint16(header[2:]))
		if length < 8 {
			return nil, errors.New("a packet without a header")
		}
		piece := make([]byte, length-8)
		if _, err := io.ReadFull(from, piece); err != nil {
			return nil, err
		}
		data = append(data, piece...)
		if header[1]&1 != 0 {
			return data, nil
		}
	}
	return nil, errors.New("a message of more than 1 MiB")
}

// WriteMessage sends data in packets of a type; what goes wrong shows at the next read.
func WriteMessage(to io.Writer, kind byte, data []byte) {
	for {
		n := min(len(data), 4088)
		status := byte(0)
		if n == len(data) {
			status = 1
		}
		packet := []byte{kind, status, byte((n + 8) >> 8), byte(n + 8), 0, 0, 1, 0}
		if _, err := to.Write(append(packet, data[:n]...)); err != nil || status == 1 {
			return
		}
		data = data[n:]
	}
}

// ParseLogin reads a LOGIN7 message.
func ParseLogin(m []byte) Request {
	if len(m) < 94 {
		return Request{}
	}
	field := func(at int) []byte {
		from, length := int(binary.LittleEndian.Uint16(m[at:])), 2*int(binary.LittleEndian.Uint16(m[at+2:]))
		if from+length > len(m) {
			return nil
		}
		return bytes.Clone(m[from : from+length])
	}
	r := Request{
		Version: binary.LittleEndian.Uint32(m[4:]),
		Host:    decode(field(36)), User: decode(field(40)), App: decode(field(48)), Server: decode(field(52)), Lib: decode(field(60)), Database: decode(field(68)),
	}
	password := field(44)
	for i, b := range password {
		b ^= 0xa5
		password[i] = b<<4 | b>>4
	}
	r.Password = decode(password)
	if m[27]&0x10 != 0 {
		at := binary.LittleEndian.Uint32(m[binary.LittleEndian.Uint16(m[56:]):])
		for feature := m[at:]; len(feature) > 5 && feature[0] != 0xff; {
			length := binary.LittleEndian.Uint32(feature[1:])
			if feature[0] == 2 {
				r.Echo = feature[5]&1 != 0
				r.Token = decode(feature[10 : 10+binary.LittleEndian.Uint32(feature[6:])])
			}
			feature = feature[5+length:]
		}
	}
	return r
}

func decode(data []byte) string {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(data[2*i:])
	}
	return string(utf16.Decode(units))
}
