//go:build linux

package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// mailpitPackage is built with the tools' own module file, so that it is no dependency of the product.
const (
	mailpitPackage = "github.com/axllent/mailpit"
	toolsFile      = ".ci/tools.mod"
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
	binary := mailpitBinary(t)
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

// mailpitBinary returns the path of mailpit.
func mailpitBinary(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("mailpit"); err == nil {
		return path
	}
	root := moduleRoot(t)
	tools, err := os.ReadFile(filepath.Join(root, toolsFile))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(regexp.QuoteMeta(mailpitPackage) + ` (v[^\s]+)`).FindSubmatch(tools)
	if version == nil {
		t.Fatalf("%s does not say which version of %s to build", toolsFile, mailpitPackage)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "firstcall", "mailpit-"+string(version[1]))
	buildOnce(t, root, path)
	return path
}

// buildOnce builds mailpit at path unless it is there. Test binaries run side by side: the first one builds, under a file
// lock, and the others wait for it.
func buildOnce(t testing.TB, root, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return
	}
	t.Logf("building %s once; mailpit on PATH would spare it", path)
	build := exec.Command("go", "build", "-modfile="+toolsFile, "-o", path+".new", mailpitPackage)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build mailpit: %v\n%s", err, out)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// moduleRoot returns the directory of the product's go.mod, at or above the test's.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, toolsFile)); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatalf("no %s at or above the working directory", toolsFile)
		}
		dir = parent
	}
}
