//go:build servers

package servers

import (
	"net"
	"testing"
)

func TestAPortIsGivenOnce(t *testing.T) {
	taken := map[int]bool{}
	for port := firstPort; port < firstPort+4000; port++ { // a third of all, by UDP
		if socket, err := net.ListenPacket("udp", address(port)); err == nil {
			defer func() { _ = socket.Close() }()
			taken[port] = true
		}
	}
	var given int
	t.Run("while a test runs", func(t *testing.T) {
		for range 300 {
			given = freePort(t, 0, 2)
			for _, port := range []int{given, given + 2} {
				if taken[port] {
					t.Errorf("port %d is taken", port)
				}
				taken[port] = true
			}
		}
	})
	mine, err := reserve(given)
	if err != nil {
		t.Fatalf("port %d is not free after the test: %v", given, err)
	}
	_ = mine.Close()
}
