//go:build linux

package servers

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ShadowOptions describe a FreeRDP shadow server. The zero value enforces Network Level Authentication for the user probe
// with the password Right-Pass1, and makes its own certificate.
type ShadowOptions struct {
	Port     int    // 0: a free one
	Security string // nla, tls or rdp; "": nla
	User     string // compared with regard to case here, unlike on Windows; "": probe
	Password string // "": Right-Pass1
	Domain   string // "": any
	Cert     *Cert  // nil: the server's own
}

// Shadow is a running FreeRDP shadow server, the one server on Debian that checks credentials on the wire.
type Shadow struct {
	Rdp
	User, Password, Domain string
}

// StartShadow starts freerdp-shadow-cli on a virtual screen of its own.
func StartShadow(t testing.TB, o ShadowOptions) *Shadow {
	t.Helper()
	binary := program(t, "freerdp-shadow-cli", "freerdp2-shadow-x11")
	if o.Port == 0 {
		o.Port = FreePort(t)
	}
	if o.Security == "" {
		o.Security = "nla"
	}
	if o.User == "" {
		o.User = "probe"
	}
	if o.Password == "" {
		o.Password = "Right-Pass1"
	}
	home := t.TempDir()
	config := filepath.Join(home, ".config")
	keys := filepath.Join(config, "freerdp", "shadow")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	if o.Cert != nil {
		copyFile(t, o.Cert.CertFile, filepath.Join(keys, "shadow.crt"))
		copyFile(t, o.Cert.KeyFile, filepath.Join(keys, "shadow.key"))
	}
	sam := filepath.Join(home, "sam")
	writeFile(t, sam, samEntry(t, o))
	display := startXvfb(t)
	p := startProcess(t, "freerdp-shadow-cli", func() *exec.Cmd {
		cmd := exec.Command(binary, "/port:"+strconv.Itoa(o.Port), "/bind-address:127.0.0.1", "/sec:"+o.Security, "/sam-file:"+sam, "+auth")
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+config, "DISPLAY="+display)
		return cmd
	}, o.Port)
	return &Shadow{
		Rdp:  Rdp{Process: p, Port: o.Port, Address: address(o.Port), Cert: o.Cert},
		User: o.User, Password: o.Password, Domain: o.Domain,
	}
}

// samEntry returns the line of the account (user:domain:LM:NT:::); one without a domain matches any.
func samEntry(t testing.TB, o ShadowOptions) []byte {
	t.Helper()
	args := []string{"-u", o.User, "-p", o.Password, "-f", "sam"}
	if o.Domain != "" {
		args = append(args, "-d", o.Domain)
	}
	line, err := exec.Command(program(t, "winpr-hash", "winpr-utils"), args...).Output()
	if err != nil {
		t.Fatalf("winpr-hash: %v", err)
	}
	return line
}

// startXvfb starts a virtual screen on a display that it picks, and returns the display's name. The colour depth is 24: the
// shadow server refuses 16. Without -noreset the screen would be away for a moment after each stop of the shadow server.
func startXvfb(t testing.TB) string {
	t.Helper()
	binary := program(t, "Xvfb", "xvfb")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	startProcess(t, "Xvfb", func() *exec.Cmd {
		cmd := exec.Command(binary, "-displayfd", "3", "-screen", "0", "320x240x24", "-nolisten", "tcp", "-noreset")
		cmd.ExtraFiles = []*os.File{write}
		return cmd
	})
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	if err := read.SetReadDeadline(time.Now().Add(readyWithin)); err != nil {
		t.Fatal(err)
	}
	number, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb does not name its display: %v", err)
	}
	return ":" + strings.TrimSpace(number)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, to, content)
}
