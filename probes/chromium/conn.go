package chromium

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	// maxMessage bounds a message that is kept, in bytes: a picture fits, and a page that prints 100 MB to its console does not.
	maxMessage = 2 << 20
	// maxEvent bounds an event that is looked at, in bytes.
	maxEvent = 256 << 10
	// writeWithin is how long the browser may take to read a command.
	writeWithin = 5 * time.Second
)

var (
	// ErrGone says that the browser's process has ended.
	ErrGone    = errors.New("chromium ended")
	errTooLong = errors.New("chromium's answer is too long")
)

// ProtocolError is a command that the browser refused.
type ProtocolError struct {
	Method  string
	Code    int
	Message string // the browser's own words, neither escaped nor bounded
}

// Error returns the command and the browser's words.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("chromium refuses %s: %s", e.Method, e.Message)
}

// handler takes the events of a session, one at a time, on the goroutine that reads: it must not wait for anything.
type handler func(session, method string, params json.RawMessage)

// conn is a connection over the pipes of --remote-debugging-pipe: JSON messages, each ended by a zero byte. Everything read is
// bounded: what is too long is passed over. It is safe for concurrent use.
type conn struct {
	writing sync.Mutex
	w       io.WriteCloser

	mu       sync.Mutex
	last     int64
	calls    map[int64]chan message
	sessions map[string]handler

	gone chan struct{} // closed when nothing is read any more
}

type message struct {
	ID      int64           `json:"id"`
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	err error
}

// newConn reads r on a goroutine of its own, which ends with r.
func newConn(r io.ReadCloser, w io.WriteCloser) *conn {
	c := &conn{w: w, calls: map[int64]chan message{}, sessions: map[string]handler{}, gone: make(chan struct{})}
	go func() {
		defer close(c.gone)
		defer func() { _ = r.Close() }()
		c.read(bufio.NewReaderSize(r, 32<<10))
	}()
	return c
}

func (c *conn) read(in *bufio.Reader) {
	var buffer []byte
	for {
		text, whole, err := readMessage(in, buffer[:0])
		if err != nil {
			return
		}
		c.take(text, whole)
		if buffer = text; cap(buffer) > maxEvent {
			buffer = nil
		}
	}
}

// readMessage appends the next message to buffer; whole is false when it was too long and only its beginning is there.
func readMessage(in *bufio.Reader, buffer []byte) (text []byte, whole bool, err error) {
	whole = true
	for {
		piece, err := in.ReadSlice(0)
		if whole = whole && len(buffer)+len(piece) <= maxMessage; whole {
			buffer = append(buffer, piece...)
		}
		switch {
		case err == nil && whole:
			return buffer[:len(buffer)-1], true, nil
		case err == nil:
			return buffer, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}

// take passes a message on. Of one that is too long only the command that it answers is looked for.
func (c *conn) take(text []byte, whole bool) {
	var m message
	switch {
	case !whole:
		m.ID, m.err = idOf(text), errTooLong
	case len(text) > maxEvent && idOf(text) == 0:
		return
	case json.Unmarshal(text, &m) != nil:
		return
	}
	c.mu.Lock()
	call, handle := c.calls[m.ID], c.sessions[m.Session]
	if m.ID != 0 {
		delete(c.calls, m.ID)
	}
	c.mu.Unlock()
	switch {
	case m.ID != 0 && call != nil:
		call <- m // it has room for one
	case m.Method != "" && handle != nil:
		handle(m.Session, m.Method, m.Params)
	}
}

// idOf returns the number of the command that a message answers, which the browser writes first; 0 when it is an event.
func idOf(text []byte) int64 {
	const head = `{"id":`
	if len(text) < len(head) || string(text[:len(head)]) != head {
		return 0
	}
	end := len(head)
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	id, _ := strconv.ParseInt(string(text[len(head):end]), 10, 64)
	return id
}

// call sends a command and waits for its answer, which is decoded into result unless that is nil. It returns ctx.Err, ErrGone
// or a *ProtocolError.
func (c *conn) call(ctx context.Context, session, method string, params, result any) error {
	return c.callUntil(ctx, nil, session, method, params, result)
}

// callUntil is call, but returns ErrCrashed once crash is closed: what is asked of a crashed page is never answered.
func (c *conn) callUntil(ctx context.Context, crash <-chan struct{}, session, method string, params, result any) error {
	answer := make(chan message, 1)
	id, err := c.send(session, method, params, answer)
	if err != nil {
		return err
	}
	select {
	case m := <-answer:
		return m.decode(method, result)
	case <-ctx.Done():
		c.forget(id)
		return ctx.Err()
	case <-crash:
		c.forget(id)
		return ErrCrashed
	case <-c.gone:
		select {
		case m := <-answer:
			return m.decode(method, result)
		default:
			c.forget(id)
			return ErrGone
		}
	}
}

func (m message) decode(method string, result any) error {
	switch {
	case m.err != nil:
		return m.err
	case m.Error != nil:
		return &ProtocolError{Method: method, Code: m.Error.Code, Message: m.Error.Message}
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(m.Result, result); err != nil {
		return fmt.Errorf("chromium's answer to %s is not understood: %w", method, err)
	}
	return nil
}

// post sends a command whose answer nobody waits for. It may be called by a handler.
func (c *conn) post(session, method string, params any) { _, _ = c.send(session, method, params, nil) }

func (c *conn) send(session, method string, params any, answer chan message) (int64, error) {
	c.mu.Lock()
	c.last++
	id := c.last
	if answer != nil {
		c.calls[id] = answer
	}
	c.mu.Unlock()
	text, err := json.Marshal(struct {
		ID      int64  `json:"id"`
		Session string `json:"sessionId,omitempty"`
		Method  string `json:"method"`
		Params  any    `json:"params,omitempty"`
	}{id, session, method, params})
	if err == nil {
		err = c.write(append(text, 0))
	}
	if err != nil {
		c.forget(id)
		return 0, err
	}
	return id, nil
}

func (c *conn) forget(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, id)
}

func (c *conn) write(text []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if f, ok := c.w.(*os.File); ok {
		_ = f.SetWriteDeadline(time.Now().Add(writeWithin)) // fails where pipes know no deadline
	}
	if _, err := c.w.Write(text); err != nil {
		return ErrGone
	}
	return nil
}

// listen gives the events of a session to handle, until it is given nil.
func (c *conn) listen(session string, handle handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if handle == nil {
		delete(c.sessions, session)
		return
	}
	c.sessions[session] = handle
}

// close ends the connection; the browser ends when it sees that.
func (c *conn) close() { _ = c.w.Close() }
