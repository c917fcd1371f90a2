package servers

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Relay forwards connections to a target, after a delay if one is set, and counts what the target sends: after a limit it forwards
// no more of it and leaves the connection open, as a server does that stops in mid-answer.
type Relay struct {
	Address string

	target   string
	listener net.Listener
	open     sync.WaitGroup

	mu        sync.Mutex
	limit     int64
	delay     time.Duration
	forwarded int64
	conns     map[net.Conn]struct{} // nil once closed
}

// Unlimited makes a relay forward everything.
const Unlimited int64 = -1

// StartRelay starts a relay on 127.0.0.1 to target (host:port) that forwards the first limit bytes of the target in each
// connection; Unlimited forwards all.
func StartRelay(t testing.TB, target string, limit int64) *Relay {
	t.Helper()
	r := &Relay{target: target, limit: limit, listener: listen(t), conns: map[net.Conn]struct{}{}}
	r.Address = r.listener.Addr().String()
	r.open.Go(r.serve)
	t.Cleanup(r.close)
	return r
}

// SetLimit sets the limit of connections made from now on.
func (r *Relay) SetLimit(limit int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = limit
}

// Forwarded returns how many bytes of the target were forwarded in the connection that was the last to forward any.
func (r *Relay) Forwarded() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forwarded
}

// counter counts what is written to a connection.
type counter struct {
	io.Writer
	relay *Relay
	n     int64
}

// Write writes, and notes how much was written to this connection so far.
func (c *counter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n += int64(n)
	c.relay.mu.Lock()
	defer c.relay.mu.Unlock()
	c.relay.forwarded = c.n
	return n, err
}

// SetDelay sets how long connections made from now on wait before they reach the target.
func (r *Relay) SetDelay(delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = delay
}

func (r *Relay) serve() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		if !r.keep(client) {
			return
		}
		r.open.Go(func() { r.forward(client) })
	}
}

// forward copies both ways until one side ends; a connection that has reached the limit ends when the client does.
func (r *Relay) forward(client net.Conn) {
	defer r.drop(client)
	r.mu.Lock()
	delay := r.delay
	r.mu.Unlock()
	if delay > 0 {
		<-time.After(delay)
	}
	server, err := net.Dial("tcp", r.target)
	if err != nil || !r.keep(server) {
		return
	}
	defer r.drop(server)
	r.mu.Lock()
	limit := r.limit
	r.mu.Unlock()
	r.open.Go(func() {
		to := &counter{Writer: client, relay: r}
		if limit >= 0 {
			if n, _ := io.CopyN(to, server, limit); n == limit {
				_, _ = io.Copy(io.Discard, server) // the server must not notice
				return
			}
		} else {
			_, _ = io.Copy(to, server)
		}
		_ = client.Close()
	})
	_, _ = io.Copy(server, client)
}

// keep notes a connection for close; it closes it and returns false when the relay is closed already.
func (r *Relay) keep(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		_ = conn.Close()
		return false
	}
	r.conns[conn] = struct{}{}
	return true
}

func (r *Relay) drop(conn net.Conn) {
	_ = conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

func (r *Relay) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	for conn := range r.conns {
		_ = conn.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.open.Wait()
}

// Silent is a listener that accepts connections and never says a word.
type Silent struct {
	Address string

	mu       sync.Mutex
	accepted int
}

// StartSilent starts a silent listener on 127.0.0.1.
func StartSilent(t testing.TB) *Silent {
	t.Helper()
	listener := listen(t)
	s := &Silent{Address: listener.Addr().String()}
	var open sync.WaitGroup
	open.Go(func() {
		var conns []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
			s.mu.Lock()
			s.accepted++
			s.mu.Unlock()
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
	})
	return s
}

// Accepted returns how many connections were accepted.
func (s *Silent) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
