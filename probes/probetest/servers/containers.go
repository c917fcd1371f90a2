//go:build linux

package servers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Containers are buildah and podman with a storage of their own, which is removed with the test. Containers run by runc. No
// registry is asked: an image exists when it was built here.
type Containers struct {
	t       testing.TB
	env     []string
	buildah string
	podman  string
}

// NewContainers makes an empty storage.
func NewContainers(t testing.TB) *Containers {
	t.Helper()
	dir, err := os.MkdirTemp("", "oci") //nolint:usetesting // t.TempDir may be longer than the 107 bytes of a socket's path
	if err != nil {
		t.Fatal(err)
	}
	runc := program(t, "runc", "runc")
	c := &Containers{t: t, buildah: program(t, "buildah", "buildah"), podman: program(t, "podman", "podman")}
	t.Cleanup(func() {
		c.Podman("rm", "--all", "--force", "--time", "0")
		c.Buildah("rm", "--all")
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	// A driver and limits that need no right which a container may lack: these tests may themselves run in one.
	for variable, content := range map[string]string{
		"CONTAINERS_STORAGE_CONF":    fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", filepath.Join(dir, "root"), filepath.Join(dir, "run")),
		"CONTAINERS_REGISTRIES_CONF": "",
		"CONTAINERS_CONF": "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n" +
			fmt.Sprintf("[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nruntime = %q\ntmp_dir = %q\n", runc, filepath.Join(dir, "libpod")),
	} {
		file := filepath.Join(dir, variable)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c.env = append(c.env, variable+"="+file)
	}
	c.env = append(c.env, "BUILDAH_ISOLATION=chroot", "TMPDIR="+dir)
	return c
}

// Env returns the variables that make other programs use this storage.
func (c *Containers) Env() []string { return append(os.Environ(), c.env...) }

// Buildah runs buildah and returns what it printed, trimmed; it fails the test when buildah fails.
func (c *Containers) Buildah(args ...string) string {
	c.t.Helper()
	out, code := c.run(c.buildah, args...)
	if code != 0 {
		c.t.Fatalf("buildah %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// Podman runs podman and returns what it and the container printed, trimmed, and the exit code.
func (c *Containers) Podman(args ...string) (string, int) {
	c.t.Helper()
	// Only fatal: without systemd podman complains that nobody will call the health check, at every start.
	return c.run(c.podman, append([]string{"--log-level", "fatal"}, args...)...)
}

func (c *Containers) run(name string, args ...string) (string, int) {
	c.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = c.Env()
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		c.t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
}

// Bases makes stand-ins for the images that the Dockerfile begins with, which no registry gives here: Go is this machine's, with its caches. It
// returns the variables that let .ci/image build on them, for linux/amd64 and linux/arm64.
func (c *Containers) Bases() []string {
	c.t.Helper()
	golang := c.t.TempDir()
	c.copy(Busybox(c.t), golang, "bin/busybox")
	c.write(golang, "tmp/.keep", "")
	c.write(golang, "Dockerfile", "FROM scratch\nCOPY bin /bin\nCOPY tmp /tmp\n"+`RUN ["/bin/busybox", "--install", "-s", "/bin"]`+
		"\nENV PATH=/usr/local/go/bin:/bin GOCACHE=/host/cache GOMODCACHE=/host/modules HOME=/tmp GOTOOLCHAIN=local\n")
	c.Buildah("bud", "--quiet", "--tag", "localhost/go:test", golang)

	static := c.t.TempDir()
	c.copy("/etc/ssl/certs/ca-certificates.crt", static, "etc/ssl/certs/ca-certificates.crt")
	c.write(static, "etc/passwd", "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")
	c.write(static, "Dockerfile", "FROM scratch\nCOPY etc /etc\nUSER 65532:65532\nWORKDIR /home/nonroot\n")
	c.Buildah("bud", "--quiet", "--platform", "linux/amd64,linux/arm64", "--manifest", "localhost/static:test", static)

	goEnv, code := c.run("go", "env", "GOROOT", "GOMODCACHE", "GOCACHE")
	dirs := strings.Split(goEnv, "\n")
	if code != 0 || len(dirs) != 3 {
		c.t.Fatalf("go env: exit code %d\n%s", code, goEnv)
	}
	return append(c.Env(), "GO_IMAGE=localhost/go:test", "BASE_IMAGE=localhost/static:test", "BUILDAH_FLAGS=--pull-never --network host -v "+
		dirs[0]+":/usr/local/go:ro -v "+dirs[1]+":/host/modules -v "+dirs[2]+":/host/cache")
}

// Pause builds localhost/pause:test, which does nothing: the image in which containerd keeps a pod.
func (c *Containers) Pause() {
	c.t.Helper()
	dir := c.t.TempDir()
	c.copy(Busybox(c.t), dir, "busybox")
	c.write(dir, "Dockerfile", "FROM scratch\nCOPY busybox /busybox\n"+`ENTRYPOINT ["/busybox", "sleep", "2147483647"]`+"\n")
	c.Buildah("bud", "--quiet", "--tag", "localhost/pause:test", dir)
}

func (c *Containers) copy(from, dir, file string) {
	c.t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(dir, file, string(content))
}

// write makes a file that every user can read and run, whatever the umask.
func (c *Containers) write(dir, file, content string) {
	c.t.Helper()
	path := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		c.t.Fatal(err)
	}
	for p := path; strings.HasPrefix(p, dir); p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Busybox returns the path of a static busybox.
func Busybox(t testing.TB) string {
	t.Helper()
	return program(t, "busybox", "busybox-static")
}
