//go:build servers && linux

package store

import (
	"bytes"
	"net"
	"sync"
	"testing"

	"github.com/firstcall-agent/firstcall/probes/probetest"
)

// cutter is a way to a server that can be cut when a COMMIT comes by.
type cutter struct {
	address string
	refused chan struct{} // a token for a connection that was refused, where there is room

	mu      sync.Mutex
	armed   bool
	forward bool
	refuse  int
}

func startCutter(t *testing.T, target string) *cutter {
	t.Helper()
	c := &cutter{refused: make(chan struct{}, 1)}
	c.address = probetest.Listen(t, func(client net.Conn) {
		if c.refuses() {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		gone := make(chan struct{}) // closed when the server's side is no longer passed on
		go down(server, client, gone)
		c.up(client, server, gone)
	})
	return c
}

// cut ends the next connection that sends a COMMIT, which reaches the server or not, and refuses so many connections after it.
func (c *cutter) cut(forward bool, refuse int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.forward, c.refuse = true, forward, refuse
}

func (c *cutter) refuses() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed || c.refuse == 0 {
		return false
	}
	c.refuse--
	select {
	case c.refused <- struct{}{}:
	default:
	}
	return true
}

// triggered reports whether this is the moment, and whether what was sent goes on.
func (c *cutter) triggered(sent []byte) (now, forward bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || !bytes.Contains(sent, []byte("COMMIT")) {
		return false, true
	}
	c.armed = false
	return true, c.forward
}

func (c *cutter) up(client, server net.Conn, gone chan struct{}) {
	defer func() { _ = server.Close() }()
	defer func() { _ = client.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		now, forward := c.triggered(buffer[:n])
		if now {
			_ = client.Close() // before the answer can come
		}
		if forward {
			_, _ = server.Write(buffer[:n])
		}
		if now {
			if forward {
				<-gone // the server has answered
			}
			return
		}
		if err != nil {
			return
		}
	}
}

func down(server, client net.Conn, gone chan struct{}) {
	defer close(gone)
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}
