package servers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports are taken from below the range from which Linux takes those of outgoing connections (32768 to 60999), so that no
// connection takes one between the moment it is found free and the moment its server listens.
const firstPort, lastPort = 20000, 32000

// FreePort returns a TCP port of 127.0.0.1 on which nothing listens now.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // which port is no secret
		listener, err := net.Listen("tcp", address(port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port found on 127.0.0.1")
	return 0
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
