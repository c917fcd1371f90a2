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

// Busybox returns the path of a static busybox.
func Busybox(t testing.TB) string {
	t.Helper()
	return program(t, "busybox", "busybox-static")
}
