package tds

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// FuzzAnswer states that no answer to a log-in or a query makes the parser fall, or reads more than is allowed.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{4, 1, 0, 21, 0, 0, 1, 0, 0xfd, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, false)
	f.Add([]byte{4, 0, 0, 11, 0, 0, 1, 0, 0xaa, 3, 0, 4, 1, 0, 11, 0, 0, 1, 0, 1, 2, 3}, false)
	f.Add([]byte{4, 1, 0, 35, 0, 0, 1, 0, 0xe3, 11, 0, 20, 7, 0, 0, 0x2a, 0x2b, 1, 0, 'x', 0, 0, 0xfd, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, data []byte, rows bool) {
		c := &Conn{stream: reader{Reader: bytes.NewReader(data)}}
		a := c.answer(maxLoginAnswer)
		var err error
		for err == nil && !a.done && (!rows || !a.columns) {
			err = a.next()
		}
		if err == nil && a.columns {
			err = a.tail()
		}
		if len(a.errors) > maxErrors {
			t.Errorf("%d errors are kept", len(a.errors))
		}
		if errors.Is(err, io.EOF) {
			t.Error("the end of a message is told as the end of the connection")
		}
	})
}

type reader struct {
	net.Conn
	io.Reader
}

func (r reader) Read(p []byte) (int, error) { return r.Reader.Read(p) }
