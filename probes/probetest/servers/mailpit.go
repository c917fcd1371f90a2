//go:build linux

package servers

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// MailpitOptions describe a mail sink. The zero value takes plain SMTP without authentication.
type MailpitOptions struct {
	STARTTLS bool  // require STARTTLS, and authentication with User and Password
	Cert     *Cert // for STARTTLS; nil: a self-signed one
	NetNS    *NetNS
}

// Mailpit is a running mail sink. Mails outlive Stop, Kill and Start.
type Mailpit struct {
	*Process
	MailClient
	SMTP           string // 127.0.0.1:port
	User, Password string // "" without STARTTLS
	Cert           *Cert  // nil without STARTTLS
}

// StartMailpit starts mailpit: the one on PATH, else one that is built once per version into the user's cache directory.
func StartMailpit(t testing.TB, o MailpitOptions) *Mailpit {
	t.Helper()
	binary, err := exec.LookPath("mailpit")
	if err != nil {
		binary = Tool(t, "tools", "github.com/axllent/mailpit")
	}
	dir := t.TempDir()
	smtp, api := FreePort(t), FreePort(t)
	m := &Mailpit{SMTP: address(smtp), MailClient: MailClient{API: "http://" + address(api) + "/api/v1", t: t, http: o.NetNS.Client()}}
	args := []string{
		"--disable-version-check", "--smtp-disable-rdns", "--enable-chaos", "--database", filepath.Join(dir, "mail.db"),
		"--smtp", m.SMTP, "--listen", address(api),
	}
	if o.STARTTLS {
		if o.Cert == nil {
			o.Cert = SelfSigned(t, CertOptions{})
		}
		m.Cert, m.User, m.Password = o.Cert, "agent", "s3cret-word"
		accounts := filepath.Join(dir, "accounts")
		writeFile(t, accounts, []byte(m.User+":"+m.Password+"\n"))
		args = append(args, "--smtp-auth-file", accounts, "--smtp-require-starttls",
			"--smtp-tls-cert", o.Cert.CertFile, "--smtp-tls-key", o.Cert.KeyFile)
	}
	m.Process = startProcess(t, "mailpit", func() *exec.Cmd { return o.NetNS.command(binary, args...) }, smtp, api)
	return m
}
