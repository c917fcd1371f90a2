//go:build linux

package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// WestonOptions describe a Weston compositor with its RDP backend. The zero value shows a self-signed certificate.
type WestonOptions struct {
	Port int   // 0: a free one
	Cert *Cert // nil: a self-signed one
}

// StartWeston starts Weston's RDP backend: it speaks TLS or Standard RDP Security, without Network Level Authentication, and
// lets every user in.
func StartWeston(t testing.TB, o WestonOptions) *Rdp {
	t.Helper()
	binary := program(t, "weston", "weston")
	if o.Port == 0 {
		o.Port = FreePort(t)
	}
	if o.Cert == nil {
		o.Cert = SelfSigned(t, CertOptions{})
	}
	run := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, "weston", func() *exec.Cmd {
		cmd := exec.Command(binary, "--backend=rdp-backend.so", "--address=127.0.0.1", "--port="+strconv.Itoa(o.Port), "--no-config",
			"--rdp-tls-cert="+o.Cert.CertFile, "--rdp-tls-key="+o.Cert.KeyFile, "--width=320", "--height=240", "--idle-time=0", "--socket=wl-"+strconv.Itoa(o.Port))
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+run)
		return cmd
	}, o.Port)
	return &Rdp{Process: p, Port: o.Port, Address: address(o.Port), Cert: o.Cert}
}
