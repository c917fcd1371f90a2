package notifytest

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// Behaviour is what a hostile server does with a connection, until it returns; then the connection is closed.
type Behaviour func(conn net.Conn)

// Hostile is a server that fails. Against an endless one a notifier must give up by itself, long before its context ends.
type Hostile struct {
	Serve   Behaviour
	Endless bool
}

// general are the servers that every notifier must outlive, whatever protocol it speaks.
func general() map[string]Hostile {
	endless := func(first, then string) Hostile {
		return Hostile{Endless: true, Serve: func(c net.Conn) { _, _ = c.Write([]byte(first)); Forever(c, then) }}
	}
	return map[string]Hostile{
		"says nothing":         {Serve: Silent},
		"hangs up":             {Serve: func(net.Conn) {}},
		"says garbage":         {Serve: func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0x00, 0xff, '\r', '\n', 0x80}, 100)); Silent(c) }},
		"says an endless line": endless("", "2"),
		"never stops greeting": endless("220-a\r\n", "220-welcome\r\n"),
		"never ends a header":  endless("HTTP/1.1 200 OK\r\n", "X-A: b\r\n"),
		"never ends a body":    endless("HTTP/1.1 500 No\r\n\r\n", "a"),
	}
}

// Silent reads and says nothing until the other side hangs up.
func Silent(conn net.Conn) {
	buffer := make([]byte, 4096)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
}

// Forever repeats text until the other side hangs up.
func Forever(conn net.Conn, text string) {
	chunk := bytes.Repeat([]byte(text), 1+(1<<15)/len(text))
	for {
		if _, err := conn.Write(chunk); err != nil {
			return
		}
	}
}

// server serves a behaviour and counts.
type server struct {
	address  string
	listener net.Listener
	open     sync.WaitGroup

	mu          sync.Mutex
	conns       []net.Conn
	connections int
	written     int64
	over        bool
}

func start(t *testing.T, b Behaviour) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{listener: listener, address: listener.Addr().String()}
	s.open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.open.Go(func() {
				defer func() { _ = conn.Close() }()
				if s.keep(conn) {
					b(counted{conn, s})
				}
			})
		}
	})
	t.Cleanup(func() { s.end() })
	return s
}

// keep notes a connection; it returns false when the server has ended.
func (s *server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections++
	s.conns = append(s.conns, conn)
	return !s.over
}

// end closes everything and returns what was counted.
func (s *server) end() (connections int, written int64) {
	_ = s.listener.Close()
	s.mu.Lock()
	s.over = true
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.open.Wait()
	return s.connections, s.written
}

// counted counts what was written.
type counted struct {
	net.Conn
	server *server
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.written += int64(n)
	return n, err
}

// closedPort returns an address of loopback on which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
