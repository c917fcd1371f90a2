//go:build linux

package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Terminal is a real terminal emulator (tmux) of a fixed size in which one command runs.
type Terminal struct {
	t      testing.TB
	binary string
	socket string
	status string // file that gets the command's exit code: tmux itself may miss a child's end
}

// StartTerminal runs a command in a new terminal of so many columns and rows, with the variables added to the test's own.
func StartTerminal(t testing.TB, width, height int, env []string, command ...string) *Terminal {
	t.Helper()
	dir, err := os.MkdirTemp("", "tmux") //nolint:usetesting // t.TempDir may be longer than the 107 bytes of a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &Terminal{t: t, binary: program(t, "tmux", "tmux"), socket: filepath.Join(dir, "tmux"), status: filepath.Join(dir, "status")}
	args := []string{"-u", "-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height)}
	for _, v := range env {
		args = append(args, "-e", v)
	}
	args = append(args, "--", "sh", "-c", `trap : INT; "$@"; echo $? >"$0.new"; mv "$0.new" "$0"`, m.status)
	args = append(args, command...)
	m.tmux(append(args, ";", "set-option", "-g", "remain-on-exit", "on", ";", "set-option", "-g", "status", "off")...)
	t.Cleanup(func() { _ = exec.Command(m.binary, "-S", m.socket, "kill-server").Run() })
	return m
}

func (m *Terminal) tmux(args ...string) string {
	m.t.Helper()
	out, err := exec.Command(m.binary, append([]string{"-S", m.socket}, args...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// Screen returns what stands on the terminal, without spaces at the ends of its rows.
func (m *Terminal) Screen() string {
	m.t.Helper()
	return m.tmux("capture-pane", "-p")
}

// Coloured returns what stands on the terminal with the sequences of its colours.
func (m *Terminal) Coloured() string {
	m.t.Helper()
	return m.tmux("capture-pane", "-p", "-e")
}

// Press presses keys: characters, or names such as Enter, Down, C-c.
func (m *Terminal) Press(keys ...string) {
	m.t.Helper()
	m.tmux(append([]string{"send-keys"}, keys...)...)
}

// Resize gives the terminal another size.
func (m *Terminal) Resize(width, height int) {
	m.t.Helper()
	m.tmux("resize-window", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height))
}

// Until waits for a screen that holds the text, and returns it.
func (m *Terminal) Until(text string) string {
	m.t.Helper()
	var screen string
	if err := until(2*time.Minute, func() (bool, error) { screen = m.Screen(); return strings.Contains(screen, text), nil }); err != nil {
		m.t.Fatalf("%q does not come to stand on the terminal: %v\n%s", text, err, screen)
	}
	return screen
}

// Ended waits for the command's end, and returns its exit code.
func (m *Terminal) Ended() string {
	m.t.Helper()
	var code []byte
	if err := until(2*time.Minute, func() (bool, error) { code, _ = os.ReadFile(m.status); return len(code) > 0, nil }); err != nil {
		m.t.Fatalf("the command does not end: %v\n%s", err, m.Screen())
	}
	return strings.TrimSpace(string(code))
}
