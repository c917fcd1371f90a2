//go:build linux

package servers

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// What Registry wants of whoever pushes or pulls.
const (
	RegistryUser   = "release"
	RegistrySecret = "registry-s3cret"
)

// Registry is a running container registry (CNCF Distribution), which is empty at first.
type Registry struct {
	*Process
	Address string // 127.0.0.1:port, without TLS
}

// StartRegistry starts one.
func StartRegistry(t testing.TB) *Registry {
	t.Helper()
	binary := program(t, "docker-registry", "docker-registry")
	dir, port := t.TempDir(), FreePort(t)
	hash, err := bcrypt.GenerateFromPassword([]byte(RegistrySecret), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users, config := filepath.Join(dir, "htpasswd"), filepath.Join(dir, "config.yml")
	writeFile(t, users, fmt.Appendf(nil, "%s:%s\n", RegistryUser, hash))
	writeFile(t, config, fmt.Appendf(nil, "version: 0.1\nlog: { level: warn }\nstorage: { filesystem: { rootdirectory: %q } }\nhttp: { addr: %q }\nauth: { htpasswd: { realm: release, path: %q } }\n",
		filepath.Join(dir, "data"), address(port), users))
	r := &Registry{Address: address(port)}
	r.Process = startProcess(t, "docker-registry", func() *exec.Cmd { return exec.Command(binary, "serve", config) }, port)
	return r
}

// LogOn writes what `docker login` leaves below a home directory.
func (r *Registry) LogOn(home string) {
	r.t.Helper()
	dir := filepath.Join(home, ".docker")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	request := http.Request{Header: http.Header{}}
	request.SetBasicAuth(RegistryUser, RegistrySecret)
	writeFile(r.t, filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, r.Address, request.Header.Get("Authorization")[len("Basic "):]))
}
