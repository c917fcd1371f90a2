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

// NginxOptions describe an nginx. The zero value answers "ok" with 200 on every path of one HTTP port.
type NginxOptions struct {
	Locations string // location blocks of every server; "": location / { return 200 "ok\n"; }
	HTTP      []int  // ports; nil: one free port, unless there are HTTPS ports
	HTTPS     []int  // ports with TLS
	Cert      *Cert  // for HTTPS; nil: a self-signed one
	Server    string // further directives of every server block
	NetNS     *NetNS // nil: the test's own
}

// Nginx is a running nginx of one process. SetLocations and Start after Stop change what it answers on the same ports.
type Nginx struct {
	*Process
	Root  string // served by location blocks without a root of their own
	HTTP  []int
	HTTPS []int
	Cert  *Cert // nil without HTTPS

	options NginxOptions
	config  string
}

// StartNginx starts an nginx with a prefix directory of its own.
func StartNginx(t testing.TB, o NginxOptions) *Nginx {
	t.Helper()
	binary := program(t, "nginx", "nginx-light")
	dir := t.TempDir()
	if o.HTTP == nil && o.HTTPS == nil {
		o.HTTP = []int{FreePort(t)}
	}
	if len(o.HTTPS) > 0 && o.Cert == nil {
		o.Cert = SelfSigned(t, CertOptions{})
	}
	n := &Nginx{
		Root: filepath.Join(dir, "html"), HTTP: o.HTTP, HTTPS: o.HTTPS, Cert: o.Cert,
		options: o, config: filepath.Join(dir, "nginx.conf"),
	}
	for _, sub := range []string{"html", "logs", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	n.SetLocations(t, o.Locations)
	n.Process = startProcess(t, "nginx", func() *exec.Cmd {
		return o.NetNS.command(binary, "-p", dir, "-e", "logs/error.log", "-c", n.config)
	}, append(append([]int{}, o.HTTP...), o.HTTPS...)...)
	return n
}

// SetLocations writes new location blocks, which hold from the next Start on.
func (n *Nginx) SetLocations(t testing.TB, locations string) {
	t.Helper()
	if locations == "" {
		locations = `location / { return 200 "ok\n"; }`
	}
	var b strings.Builder
	// one process: it is the whole server, so that a signal to it is an outage without any delay
	b.WriteString("daemon off;\nmaster_process off;\npid logs/nginx.pid;\nerror_log logs/error.log;\n")
	b.WriteString("events { worker_connections 512; }\nhttp {\naccess_log logs/access.log;\ndefault_type text/html;\n")
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path tmp;\n", name)
	}
	for _, port := range n.HTTP {
		fmt.Fprintf(&b, "server {\nlisten %s;\nroot html;\n%s\n%s\n}\n", address(port), n.options.Server, locations)
	}
	for _, port := range n.HTTPS {
		fmt.Fprintf(&b, "server {\nlisten %s ssl;\nssl_certificate %s;\nssl_certificate_key %s;\nroot html;\n%s\n%s\n}\n",
			address(port), n.Cert.CertFile, n.Cert.KeyFile, n.options.Server, locations)
	}
	b.WriteString("}\n")
	writeFile(t, n.config, []byte(b.String()))
}

// Restart stops nginx and starts it with new location blocks on the same ports.
func (n *Nginx) Restart(t testing.TB, locations string) {
	t.Helper()
	n.Stop()
	n.SetLocations(t, locations)
	n.Start()
}

// URL returns http://127.0.0.1:port of the first HTTP port, or https:// of the first HTTPS port when there is no other.
func (n *Nginx) URL() string {
	if len(n.HTTP) > 0 {
		return "http://" + address(n.HTTP[0])
	}
	return "https://" + address(n.HTTPS[0])
}
