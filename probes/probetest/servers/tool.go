//go:build linux

package servers

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// Tool returns the path of a program that is pinned in .ci/NAME.mod, apart from the product's dependencies. It is built once per version into
// the user's cache directory. pkg is the import path of its main package.
func Tool(t testing.TB, name, pkg string) string {
	t.Helper()
	program := path.Base(pkg)
	root := moduleRoot(t)
	mod := filepath.Join(".ci", name+".mod")
	pinned, err := os.ReadFile(filepath.Join(root, mod))
	if err != nil {
		t.Fatal(err)
	}
	version := ""
	for of := pkg; version == "" && of != "."; of = path.Dir(of) {
		if m := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(of) + ` (v[^\s]+)`).FindSubmatch(pinned); m != nil {
			version = string(m[1])
		}
	}
	if version == "" {
		t.Fatalf("%s does not say which version of %s to build", mod, pkg)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	built := filepath.Join(cache, "firstcall", program+"-"+version)
	buildOnce(t, root, mod, pkg, built)
	return built
}

// buildOnce builds pkg at path unless it is there.
func buildOnce(t testing.TB, root, mod, pkg, path string) {
	t.Helper()
	defer lockPath(t, path)()
	if _, err := os.Stat(path); err == nil {
		return
	}
	t.Logf("building %s once", path)
	build := exec.Command("go", "build", "-modfile="+mod, "-o", path+".new", pkg)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", pkg, err, out)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// lockPath makes the directory of path and waits until no other test binary makes what belongs there: they run side by side. The caller calls
// done when it is there.
func lockPath(t testing.TB, path string) (done func()) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	done = func() { _ = lock.Close() }
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		done()
		t.Fatal(err)
	}
	return done
}

// moduleRoot returns the directory of the product's go.mod, at or above the test's.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, ".ci", "tools.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no .ci/tools.mod at or above the working directory")
		}
		dir = parent
	}
}
