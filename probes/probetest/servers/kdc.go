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

// KDCOptions describe an MIT KDC. The zero value serves the realm FIRSTCALL.TEST.
type KDCOptions struct {
	Port  int    // 0: a free one
	Realm string // "": FIRSTCALL.TEST
	// Commands are further ones of kadmin.local, such as `addprinc -pw "Right-Pass1" -allow_tix locked`.
	Commands []string
}

// KDC is a running Key Distribution Center, which stands in for a domain controller. It has the principal probe with the
// password Right-Pass1 and demands pre-authentication.
type KDC struct {
	*Process
	Port             int
	Address          string // 127.0.0.1:port
	Realm            string
	User, Password   string
	dir              string
	kadmin, kdb5Util string
}

// StartKDC makes a realm and starts krb5kdc for it.
func StartKDC(t testing.TB, o KDCOptions) *KDC {
	t.Helper()
	binary := program(t, "krb5kdc", "krb5-kdc")
	if o.Port == 0 {
		o.Port = FreePort(t)
	}
	if o.Realm == "" {
		o.Realm = "FIRSTCALL.TEST"
	}
	k := &KDC{
		Port: o.Port, Address: address(o.Port), Realm: o.Realm, User: "probe", Password: "Right-Pass1", dir: t.TempDir(),
		kadmin: program(t, "kadmin.local", "krb5-admin-server"), kdb5Util: program(t, "kdb5_util", "krb5-kdc"),
	}
	k.configure(t)
	k.run(t, k.kdb5Util, "create", "-s", "-r", k.Realm, "-P", "master")
	k.Admin(t, fmt.Sprintf("addprinc -pw %s %s", k.Password, k.User))
	for _, command := range o.Commands {
		k.Admin(t, command)
	}
	k.Process = startProcess(t, "krb5kdc", func() *exec.Cmd {
		cmd := exec.Command(binary, "-n", "-r", k.Realm, "-P", filepath.Join(k.dir, "pid"))
		cmd.Env = k.env()
		return cmd
	}, o.Port)
	return k
}

// configure writes the two configuration files.
func (k *KDC) configure(t testing.TB) {
	t.Helper()
	writeFile(t, filepath.Join(k.dir, "krb5.conf"), fmt.Appendf(nil, `[libdefaults]
 default_realm = %[1]s
 dns_lookup_kdc = false
 dns_lookup_realm = false
 rdns = false
 allow_rc4 = true
[realms]
 %[1]s = {
  kdc = %[2]s
 }
`, k.Realm, k.Address))
	writeFile(t, filepath.Join(k.dir, "kdc.conf"), fmt.Appendf(nil, `[kdcdefaults]
 kdc_listen = %[2]s
 kdc_tcp_listen = %[2]s
[realms]
 %[1]s = {
  database_name = %[3]s/principal
  key_stash_file = %[3]s/stash
  acl_file = %[3]s/acl
  default_principal_flags = +preauth
  supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal aes256-cts-hmac-sha384-192:normal aes128-cts-hmac-sha256-128:normal arcfour-hmac:normal
 }
[logging]
 kdc = FILE:%[3]s/kdc.log
`, k.Realm, k.Address, k.dir))
}

func (k *KDC) env() []string {
	return append(os.Environ(), "KRB5_CONFIG="+filepath.Join(k.dir, "krb5.conf"), "KRB5_KDC_PROFILE="+filepath.Join(k.dir, "kdc.conf"))
}

func (k *KDC) run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = k.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// Admin runs a command of kadmin.local on the realm's database; it takes effect at once.
func (k *KDC) Admin(t testing.TB, command string) {
	t.Helper()
	k.run(t, k.kadmin, "-r", k.Realm, "-q", command)
}

// Requests returns what the KDC has logged of requests.
func (k *KDC) Requests(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, "kdc.log"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}
