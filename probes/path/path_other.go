//go:build !linux

package path

import (
	"fmt"
	"net/netip"
	"runtime"
)

// newSender says that this system hands the routers' answers to nobody without privileges.
func newSender(netip.Addr, uint16) (sender, error) {
	return nil, fmt.Errorf("walking a path is %w here: %s does not show routers' answers to a process without privileges; use a system tool", errNotPermitted, runtime.GOOS)
}
