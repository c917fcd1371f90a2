//go:build linux

package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// DBus is a running session bus that is nobody's desktop.
type DBus struct {
	*Process
	Address string // unix:path=...
}

// StartDBus starts dbus-daemon as a session bus of its own.
func StartDBus(t testing.TB) *DBus {
	t.Helper()
	binary := program(t, "dbus-daemon", "dbus-daemon")
	dir, err := os.MkdirTemp("", "bus") //nolint:usetesting // t.TempDir may be longer than the 107 bytes of a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "bus")
	b := &DBus{Address: "unix:path=" + path}
	config := filepath.Join(dir, "bus.conf")
	writeFile(t, config, []byte(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>`+b.Address+`</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
`))
	b.Process = startProcess(t, "dbus-daemon", func() *exec.Cmd {
		return exec.Command(binary, "--config-file="+config, "--nofork", "--nopidfile")
	})
	if err := until(readyWithin, func() (bool, error) { return listensAt(b.PID(), path) }); err != nil {
		t.Fatalf("dbus-daemon does not come up: %v\n%s", err, b.Log())
	}
	return b
}

// listensAt reports whether a Unix socket listens at the path, in the network namespace of process pid (proc(5), net/unix:
// flags 00010000).
func listensAt(pid int, path string) (bool, error) {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", pid))
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) == 8 && fields[7] == path && fields[3] == "00010000" {
			return true, nil
		}
	}
	return false, nil
}
