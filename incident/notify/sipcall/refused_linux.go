package sipcall

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// hearRefusals lets a socket that is not connected hear that nobody listens at the other side (ip(7), IP_RECVERR).
func hearRefusals(network, _ string, raw syscall.RawConn) error {
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if network == "udp6" {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), level, option, 1) })
}
