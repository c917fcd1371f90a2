package servers

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports are taken from below the range from which Linux takes those of outgoing connections (32768 to 60999), so that no
// connection takes one between the moment it is found free and the moment its server listens.
const firstPort, lastPort = 20000, 32000

// FreePort returns a port of 127.0.0.1 on which nothing listens now, of TCP or of UDP. Until t ends no other call returns it,
// of this process or of another: packages are tested side by side.
func FreePort(t testing.TB) int {
	t.Helper()
	return freePort(t, 0)
}

// freePort returns a port of which all ports at the distances are free, as FreePort has it.
func freePort(t testing.TB, distances ...int) int {
	t.Helper()
next:
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // which port is no secret
		var held []io.Closer
		for _, d := range distances {
			mine, err := reserve(port + d)
			if err != nil {
				for _, h := range held {
					_ = h.Close()
				}
				continue next
			}
			held = append(held, mine)
		}
		t.Cleanup(func() {
			for _, h := range held {
				_ = h.Close()
			}
		})
		return port
	}
	t.Fatal("no free port found on 127.0.0.1")
	return 0
}

// reserve makes a port the caller's own until what it returns is closed, or returns an error where it is somebody else's. The
// reservation is a socket in Linux' abstract namespace (unix(7)), which goes with its process whatever becomes of that.
func reserve(port int) (io.Closer, error) {
	mine, err := net.Listen("unix", fmt.Sprintf("@firstcall-test-port-%d", port))
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", address(port))
	if err == nil {
		defer func() { _ = tcp.Close() }()
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", address(port)); err == nil {
			return mine, udp.Close()
		}
	}
	_ = mine.Close()
	return nil, err
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
