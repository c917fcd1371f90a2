//go:build linux

package servers

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// xrdpINI is where Debian's package puts the configuration that a test server's is made of.
const xrdpINI = "/etc/xrdp/xrdp.ini"

// XrdpOptions describe an xrdp. The zero value speaks TLS with a self-signed certificate.
type XrdpOptions struct {
	Port   int    // 0: a free one
	Layer  string // tls, rdp or negotiate; "": tls
	Cert   *Cert  // nil: a self-signed one
	NoCert bool   // point to a certificate file that is not there: xrdp then refuses the negotiation
	// Settings are further keys of the [Globals] section, such as ssl_protocols.
	Settings map[string]string
	Env      []string
	NetNS    *NetNS // nil: the test's own
}

// Rdp is a running Remote Desktop server.
type Rdp struct {
	*Process
	Port    int
	Address string // 127.0.0.1:port
	Cert    *Cert  // what it shows; nil when it has none
}

// StartXrdp starts xrdp, without its session manager: enough for X.224, TLS and the drawn log-on window.
func StartXrdp(t testing.TB, o XrdpOptions) *Rdp {
	t.Helper()
	binary := program(t, "xrdp", "xrdp")
	dir := t.TempDir()
	if o.Port == 0 {
		o.Port = FreePort(t)
	}
	certFile, keyFile := filepath.Join(dir, "missing.pem"), filepath.Join(dir, "missing.key")
	if o.NoCert {
		o.Cert = nil
	} else {
		if o.Cert == nil {
			o.Cert = SelfSigned(t, CertOptions{})
		}
		certFile, keyFile = o.Cert.CertFile, o.Cert.KeyFile
	}
	if o.Layer == "" {
		o.Layer = "tls"
	}
	settings := map[string]string{
		"port": "tcp://" + address(o.Port), "security_layer": o.Layer, "certificate": certFile, "key_file": keyFile,
		"LogFile": filepath.Join(dir, "xrdp.log"), "EnableSyslog": "false",
	}
	maps.Copy(settings, o.Settings)
	ini := filepath.Join(dir, "xrdp.ini")
	writeFile(t, ini, []byte(patchINI(t, xrdpINI, settings)))
	p := startProcess(t, "xrdp", func() *exec.Cmd {
		cmd := o.NetNS.command(binary, "--nodaemon", "-c", ini)
		cmd.Env = append(os.Environ(), o.Env...)
		return cmd
	}, o.Port)
	return &Rdp{Process: p, Port: o.Port, Address: address(o.Port), Cert: o.Cert}
}

// patchINI returns the file with the value of each key in settings replaced where it first stands, also as "#key="; a key
// that is not there is fatal, for then the server would not be the one that the test wants.
func patchINI(t testing.TB, path string, settings map[string]string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(settings)
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		key, _, found := strings.Cut(strings.TrimPrefix(line, "#"), "=")
		if value, wanted := left[key]; found && wanted {
			lines[i] = key + "=" + value
			delete(left, key)
		}
	}
	if len(left) > 0 {
		t.Fatalf("%s has no %v", path, slices.Collect(maps.Keys(left)))
	}
	return strings.Join(lines, "\n")
}
