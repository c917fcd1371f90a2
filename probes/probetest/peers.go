package probetest

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// Listen serves TCP on loopback until t ends: handle has each connection for itself and need not close it; a blocked read or
// write of it ends when the test does. It returns the address.
func Listen(t testing.TB, handle func(conn net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		open = map[net.Conn]bool{}
		over bool
	)
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if over {
				_ = conn.Close()
			}
			open[conn] = true
			mu.Unlock()
			all.Go(func() {
				handle(conn)
				_ = conn.Close()
				mu.Lock()
				delete(open, conn)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		over = true
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return listener.Addr().String()
}

// Closed returns a loopback address on which nobody listens, nor can until the test ends: it is the near end of a
// connection, so that no other server of the tests is given its port.
func Closed(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

// Silence accepts, takes everything and never answers, like a wedged service.
func Silence(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// Hangup ends its side without a word.
func Hangup(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, conn) // closing with something unread would be a reset
}

// Abort resets the connection at once.
func Abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// Garbage returns a handler that sends n random bytes, always the same, and closes; without end when n is negative.
func Garbage(n int64) func(net.Conn) {
	return func(conn net.Conn) {
		noise := rand.NewChaCha8([32]byte{1})
		if n >= 0 {
			_, _ = io.CopyN(conn, noise, n)
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		piece := make([]byte, 16<<10)
		_, _ = noise.Read(piece)
		for {
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
	}
}

// Drip returns a handler that sends text and then x for ever, one byte every 100 ms.
func Drip(text string) func(net.Conn) {
	return func(conn net.Conn) {
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = io.Copy(io.Discard, conn)
		}()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			next := byte('x')
			if i < len(text) {
				next = text[i]
			}
			if _, err := conn.Write([]byte{next}); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-gone:
				return
			}
		}
	}
}

// Peers returns the hostile TCP servers that every kind over TCP must survive; probe returns a valid probe of an address that
// expects an answer.
func Peers(probe func(t *testing.T, address string) probes.Probe) []Scenario {
	on := func(handle func(net.Conn)) Target {
		return func(t *testing.T) probes.Probe { return probe(t, Listen(t, handle)) }
	}
	down := func(name string, target Target, timeout time.Duration, reasons ...probes.Reason) Scenario {
		return Scenario{Name: name, Target: target, Timeout: timeout, Outcome: probes.Down, Reasons: reasons}
	}
	wrong := []probes.Reason{probes.Protocol, probes.TLS, probes.Content}
	return []Scenario{
		down("refused", func(t *testing.T) probes.Probe { return probe(t, Closed(t)) }, 0, probes.Refused),
		down("silent", on(Silence), 300*time.Millisecond, probes.Timeout),
		down("closed at once", on(Hangup), 0, probes.Reset),
		down("reset at once", on(Abort), 0, probes.Reset),
		down("garbage", on(Garbage(64)), 700*time.Millisecond, append(wrong, probes.Timeout)...),
		down("garbage without end", on(Garbage(-1)), 0, wrong...),
		down("slow loris", on(Drip("")), 700*time.Millisecond, append(wrong, probes.Timeout)...),
	}
}
