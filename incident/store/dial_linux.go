package store

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// giveUpSilence has the kernel end a connection whose other side acknowledges nothing for silentFor: it would go on sending for a quarter of
// an hour, ever more seldom, so that it noticed late that the network is back. Where it cannot, the connection is made without.
func giveUpSilence(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silentFor.Milliseconds())) //nolint:gosec // a descriptor is an int
	})
}
