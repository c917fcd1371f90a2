package rdp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
)

// maxGreeting bounds what Greeting reads, in bytes.
const maxGreeting = 16 << 10

// rdstlsCapabilities is the RDSTLS Capabilities PDU ([MS-RDPBCGR] 2.2.17.1): version 1, type capabilities, data type
// capabilities; two bytes of supported versions follow.
var rdstlsCapabilities = []byte{1, 0, 1, 0, 1, 0}

// Greeting reads what a server says first, with ProtocolRDSAAD the nonce for an Entra log-on ([MS-RDPBCGR] 2.2.18.1) and with
// ProtocolRDSTLS its capabilities: without an account it proves that the part of the server answers that such a log-on
// needs. It is called once, after StartTLS, when one of the two was selected. Errors are *StageError.
func (c *Conn) Greeting(ctx context.Context) error {
	if c.passed != StageTLS || c.confirm.Selected&(ProtocolRDSAAD|ProtocolRDSTLS) == 0 {
		return &StageError{StageEntra, errors.New("neither entra authentication nor rdstls was negotiated on this connection")}
	}
	err := c.during(ctx, func() error {
		if c.confirm.Selected == ProtocolRDSTLS {
			return readCapabilities(c.tls)
		}
		return readNonce(c.tls)
	})
	if err != nil {
		return &StageError{StageEntra, err}
	}
	c.passed = StageEntra
	return nil
}

func readCapabilities(r io.Reader) error {
	var b [8]byte
	if n, err := io.ReadFull(r, b[:]); err != nil {
		return cutShort(err, n > 0)
	}
	if !bytes.Equal(b[:6], rdstlsCapabilities) || b[6]&1 == 0 {
		return violationIn(StageEntra, "answers %q, which are no rdstls capabilities of version 1", b[:])
	}
	return nil
}

func readNonce(r io.Reader) error {
	limited := &io.LimitedReader{R: r, N: maxGreeting}
	var greeting struct {
		Nonce string `json:"ts_nonce"`
	}
	err := json.NewDecoder(limited).Decode(&greeting)
	switch {
	case err == nil && greeting.Nonce != "":
		return nil
	case err == nil:
		return violationIn(StageEntra, "server's first message holds no ts_nonce")
	case limited.N <= 0:
		return violationIn(StageEntra, "server's first message is longer than %d bytes", maxGreeting)
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return violationIn(StageEntra, "server's first message is not json")
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return violationIn(StageEntra, "server's first message holds no ts_nonce")
	}
	return err
}
