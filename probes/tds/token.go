package tds

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ServerError is an error that a server tells ([MS-TDS] 2.2.7.10).
type ServerError struct {
	Number  int32
	State   byte
	Class   byte   // severity: up to 16 the client can mend it, from 17 on the server is short of something, from 20 on it ends the session
	Message string // as the server wrote it: not escaped, at most some hundred characters
}

// Error returns the number and the message.
func (e ServerError) Error() string {
	return fmt.Sprintf("error %d, state %d: %s", e.Number, e.State, e.Message)
}

// ServerErrors are the errors of one answer, the first first, at most maxErrors.
type ServerErrors []ServerError

// Error returns the first one's text.
func (e ServerErrors) Error() string { return e[0].Error() }

const (
	maxErrors      = 8
	maxMessage     = 400 // characters of a message that are kept
	maxLoginAnswer = 64 << 10
	maxRows        = 256 << 10
)

// Tokens of an answer ([MS-TDS] 2.2.7).
const (
	tokenReturnStatus = 0x79
	tokenColMetadata  = 0x81
	tokenError        = 0xaa
	tokenInfo         = 0xab
	tokenLoginAck     = 0xad
	tokenFeatureAck   = 0xae
	tokenEnvChange    = 0xe3
	tokenSessionState = 0xe4
	tokenFedAuthInfo  = 0xee
	tokenDone         = 0xfd
	tokenDoneProc     = 0xfe
	tokenDoneInProc   = 0xff

	doneMore  = 0x0001
	doneError = 0x0002
	doneCount = 0x0010
	doneLen   = 13

	envDatabase = 1
	envRouting  = 20
)

// answer reads the tokens of one message.
type answer struct {
	in       *bufio.Reader
	errors   ServerErrors
	session  Session
	accepted bool
	done     bool
	failed   bool   // by the newest DONE
	rows     uint64 // by the newest DONE that counts
	columns  bool   // what follows are columns and rows
}

func (c *Conn) answer(limit int) *answer {
	return &answer{in: bufio.NewReaderSize(newMessage(c.stream, limit, packetReply), 2<<10)}
}

// next reads one token.
func (a *answer) next() error {
	token, err := a.in.ReadByte()
	if err != nil {
		return within(err)
	}
	switch token {
	case tokenError, tokenInfo, tokenLoginAck, tokenEnvChange:
		body, err := a.body()
		if err != nil {
			return err
		}
		return a.take(token, body)
	case tokenDone, tokenDoneProc, tokenDoneInProc:
		var body [doneLen - 1]byte
		if _, err := io.ReadFull(a.in, body[:]); err != nil {
			return within(err)
		}
		a.finish(body[:])
		return nil
	case tokenReturnStatus:
		return a.skip(4)
	case tokenSessionState, tokenFedAuthInfo:
		var length [4]byte
		if _, err := io.ReadFull(a.in, length[:]); err != nil {
			return within(err)
		}
		return a.skip(int64(binary.LittleEndian.Uint32(length[:])))
	case tokenFeatureAck:
		return a.features()
	case tokenColMetadata:
		a.columns = true
		return nil
	}
	return violation("the answer has a token 0x%02x, which does not belong here", token)
}

// within makes the end of a message, met in a token, a violation.
func within(err error) error {
	if !errors.Is(err, errLost) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return violation("the answer ends too early")
	}
	return err
}

// body reads what comes with a length of two bytes.
func (a *answer) body() ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(a.in, length[:]); err != nil {
		return nil, within(err)
	}
	body := make([]byte, binary.LittleEndian.Uint16(length[:]))
	if _, err := io.ReadFull(a.in, body); err != nil {
		return nil, within(err)
	}
	return body, nil
}

func (a *answer) skip(length int64) error {
	_, err := io.CopyN(io.Discard, a.in, length)
	return within(err)
}

// features passes over what a server acknowledges.
func (a *answer) features() error {
	for {
		id, err := a.in.ReadByte()
		if err != nil {
			return within(err)
		}
		if id == featureEnd {
			return nil
		}
		var length [4]byte
		if _, err := io.ReadFull(a.in, length[:]); err != nil {
			return within(err)
		}
		if err := a.skip(int64(binary.LittleEndian.Uint32(length[:]))); err != nil {
			return err
		}
	}
}

func (a *answer) take(token byte, body []byte) error {
	r := fields{rest: body}
	switch token {
	case tokenError:
		e := ServerError{Number: int32(r.uint32()), State: r.byte(), Class: r.byte()}
		e.Message = r.text(int(r.uint16()))
		if r.short {
			return violation("an error in the answer ends too early")
		}
		if len(a.errors) < maxErrors {
			a.errors = append(a.errors, e)
		}
	case tokenLoginAck:
		r.bytes(5) // interface and version of TDS
		a.session.Program = r.text(int(r.byte()))
		version := r.bytes(4)
		if r.short {
			return violation("the acceptance of the log-in ends too early")
		}
		a.session.Version = Version{version[0], version[1], binary.BigEndian.Uint16(version[2:])}
		a.accepted = true
	case tokenEnvChange:
		return a.change(&r)
	}
	return nil
}

// change reads the changes of the environment that matter.
func (a *answer) change(r *fields) error {
	switch r.byte() {
	case envDatabase:
		a.session.Database = r.text(int(r.byte()))
	case envRouting:
		r.uint16() // length of what follows
		protocol, port := r.byte(), r.uint16()
		server := r.text(int(r.uint16()))
		if r.short || protocol != 0 || port == 0 || server == "" {
			return violation("the answer redirects to nowhere")
		}
		a.session.Route = &Route{server, port}
	}
	if r.short {
		return violation("a change of the environment ends too early")
	}
	return nil
}

func (a *answer) finish(body []byte) {
	status := binary.LittleEndian.Uint16(body)
	a.done = status&doneMore == 0
	a.failed = status&doneError != 0
	if status&doneCount != 0 {
		a.rows = binary.LittleEndian.Uint64(body[4:])
	}
}

// fields reads a token's body; once it is short, everything is empty.
type fields struct {
	rest  []byte
	short bool
}

func (f *fields) bytes(n int) []byte {
	if n > len(f.rest) {
		f.rest, f.short = nil, true
		return nil
	}
	got := f.rest[:n]
	f.rest = f.rest[n:]
	return got
}

func (f *fields) byte() byte {
	if b := f.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 {
	if b := f.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// text reads n UTF-16 units, of which at most maxMessage are kept.
func (f *fields) text(n int) string {
	b := f.bytes(2 * n)
	return decode(b[:min(len(b), 2*maxMessage)])
}
