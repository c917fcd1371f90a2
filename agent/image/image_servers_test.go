//go:build servers && linux

package image

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

const (
	name    = "localhost/firstcall:test"
	version = "v1.2.3"
	all     = "localhost/firstcall:1.2.3" // as .ci/publish calls it
	// limit is what the image may weigh, compressed; base is what the real base image has and the stand-in for it may not.
	limit, base = 20_000_000, 2_000_000
	healthy     = 30 * time.Second
)

// restricted is how the manual says to run the image. The network is the container's own: it has loopback only.
var restricted = []string{"--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"}

// TestImage builds the image twice and runs it: a build takes a minute where nothing is compiled yet, so there is one test.
func TestImage(t *testing.T) {
	t.Parallel()
	c := servers.NewContainers(t)
	bases := c.Bases()
	one, two := checkout(t), checkout(t)
	later := time.Now().Add(-1000 * time.Hour)
	for _, f := range []string{"main.go", "go.mod", "agent"} { // another checkout's files are of another time
		if err := os.Chtimes(filepath.Join(two, f), later, later); err != nil {
			t.Fatal(err)
		}
	}
	own := "linux/" + runtime.GOARCH
	first := build(t, bases, one, "022", name, own)

	root := mount(t, c, name)
	t.Run("the list of parts belongs to the binary", func(t *testing.T) { partsOf(t, filepath.Join(one, "dist"), root) })
	t.Run("nothing in it but the binary and its directory", func(t *testing.T) { content(t, root) })
	t.Run("what it says of itself", func(t *testing.T) { labels(t, c) })
	t.Run("without a configuration it says what to do", func(t *testing.T) {
		out, code := c.Podman(slices.Concat([]string{"run", "--rm"}, restricted, []string{name})...)
		if code != 2 || !strings.Contains(out, "there is no configuration file /etc/firstcall/firstcall.yaml") || !strings.Contains(out, "mount its directory") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		if out, code = c.Podman(slices.Concat([]string{"run", "--rm"}, restricted, []string{name, "--help"})...); code != 0 || !strings.Contains(out, "Usage:") {
			t.Errorf("--help: exit code %d\n%s", code, out)
		}
	})
	etc := t.TempDir()
	write(t, etc, "firstcall.yaml", `tenant: { id: acme, name: Acme }
store: { url: "sqlite:/var/lib/firstcall/firstcall.db" }
components:
  - { name: backend, probes: [{ kind: icmp, host: 127.0.0.1 }] }
`)
	etcMount := []string{"--volume", etc + ":/etc/firstcall:ro"}
	for _, icmp := range []struct {
		name, sysctl, want string
		code               int
	}{
		{"icmp is answered without a right", "0 2147483647", "FIRSTCALL OK - backend/icmp", 0},
		{"icmp without the setting says what to set", "1 0", `--sysctl net.ipv4.ping_group_range="0 2147483647"`, 3},
	} {
		t.Run(icmp.name, func(t *testing.T) {
			out, code := c.Podman(slices.Concat([]string{"run", "--rm", "--sysctl", "net.ipv4.ping_group_range=" + icmp.sysctl}, restricted, etcMount,
				[]string{name, "probe", "icmp", "--config.file", "/etc/firstcall/firstcall.yaml"})...)
			if code != icmp.code || !strings.Contains(out, icmp.want) {
				t.Errorf("exit code %d, want %d and %q\n%s", code, icmp.code, icmp.want, out)
			}
		})
	}
	t.Run("it runs, is healthy, ends in good order and begins again", func(t *testing.T) {
		run := slices.Concat([]string{"run", "--detach", "--name", "firstcall", "--sysctl", "net.ipv4.ping_group_range=0 2147483647", "--volume", "state:/var/lib/firstcall"},
			restricted, etcMount, []string{name})
		for range 2 {
			if out, code := c.Podman(run...); code != 0 {
				t.Fatalf("exit code %d\n%s", code, out)
			}
			var out string
			for begin, code := time.Now(), 1; code != 0; {
				// What HEALTHCHECK runs, where the format has it.
				if out, code = c.Podman("exec", "firstcall", "/usr/bin/firstcall", "health"); code != 0 && time.Since(begin) > healthy {
					logs, _ := c.Podman("logs", "firstcall")
					t.Fatalf("is not healthy: %s\n%s", out, logs)
				}
			}
			if out, code := c.Podman("stop", "--time", "30", "firstcall"); code != 0 {
				t.Errorf("stop: exit code %d\n%s", code, out)
			}
			if code, _ := c.Podman("inspect", "--format", "{{.State.ExitCode}}", "firstcall"); code != "0" {
				logs, _ := c.Podman("logs", "firstcall")
				t.Errorf("it ended with %s\n%s", code, logs)
			}
			if out, code := c.Podman("rm", "firstcall"); code != 0 {
				t.Errorf("rm: exit code %d\n%s", code, out)
			}
		}
	})

	// A list of that name is there from an attempt before.
	c.Buildah("manifest", "create", all)
	c.Buildah("manifest", "add", all, "localhost/static:test")
	second := publish(t, bases, two)
	t.Run("the same source has the same digest", func(t *testing.T) {
		if first[own].digest == "" || first[own].digest != second[own].digest {
			t.Errorf("%s is %s, and from another directory %s", own, first[own].digest, second[own].digest)
		}
		if second["linux/amd64"].digest == second["linux/arm64"].digest {
			t.Error("both architectures have the same image")
		}
	})
	t.Run("it is small", func(t *testing.T) {
		for platform, i := range second {
			t.Logf("%s: %d bytes compressed, without what the real base has more", platform, i.size)
			if i.size > limit-base {
				t.Errorf("%s: %d bytes compressed, want at most %d", platform, i.size, limit-base)
			}
		}
	})
	t.Run("one name for each architecture", func(t *testing.T) {
		var list struct {
			Manifests []struct {
				Platform struct{ OS, Architecture string }
			}
		}
		decode(t, c.Buildah("manifest", "inspect", all), &list)
		var got []string
		for _, m := range list.Manifests {
			got = append(got, m.Platform.OS+"/"+m.Platform.Architecture)
		}
		if slices.Sort(got); !slices.Equal(got, []string{"linux/amd64", "linux/arm64"}) {
			t.Errorf("the manifest list has %v", got)
		}
		for platform, machine := range map[string]elf.Machine{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64} {
			root := mount(t, c, second[platform].id)
			f, err := elf.Open(filepath.Join(root, "usr/bin/firstcall"))
			if err != nil {
				t.Fatal(err)
			}
			if f.Machine != machine {
				t.Errorf("%s has a binary for %s", platform, f.Machine)
			}
			_ = f.Close()
		}
	})
}

// checkout copies the source as it lies here, with changes that are not committed.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", `git ls-files -z --cached --others --exclude-standard | tar --create --null --ignore-failed-read --files-from - | tar --extract --touch --directory "$0"`, dir)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("copy the source: %v\n%s", err, out)
	}
	return dir
}

type built struct {
	id, digest string
	size       int
}

var line = regexp.MustCompile(`(?m)^\S+ (linux/\w+): (sha256:[0-9a-f]{64}), (\d+) bytes compressed, image ([0-9a-f]{64})$`)

// build runs what `make image` runs and returns what was built, by platform.
func build(t *testing.T, env []string, dir, umask, name string, platforms ...string) map[string]built {
	t.Helper()
	begin := time.Now()
	images := builtBy(t, script(t, env, dir, umask, append([]string{".ci/image", name}, platforms...)...), platforms...)
	t.Logf("%v in %s", platforms, time.Since(begin).Round(time.Second))
	return images
}

// script runs one of .ci in a checkout and returns what it printed.
func script(t *testing.T, env []string, dir, umask string, command ...string) string {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `umask "$0"; exec "$@"`, umask}, command...)...)
	cmd.Dir = dir
	cmd.Env = append(slices.Clip(env), "VERSION="+version, "SOURCE_DATE_EPOCH=1700000000")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// builtBy reads what .ci/image printed.
func builtBy(t *testing.T, out string, platforms ...string) map[string]built {
	t.Helper()
	images := map[string]built{}
	for _, m := range line.FindAllStringSubmatch(out, -1) {
		size, err := strconv.Atoi(m[3])
		if err != nil {
			t.Fatal(err)
		}
		images[m[1]] = built{digest: m[2], size: size, id: m[4]}
	}
	if got := slices.Sorted(maps.Keys(images)); !slices.Equal(got, platforms) {
		t.Fatalf("built %v, want %v\n%s", got, platforms, out)
	}
	return images
}

// mount returns the root directory of an image.
func mount(t *testing.T, c *servers.Containers, image string) string {
	t.Helper()
	id := c.Buildah("from", "--pull-never", "--quiet", image)
	t.Cleanup(func() { c.Buildah("rm", id) })
	return c.Buildah("mount", id)
}

// partsOf holds the CycloneDX file to the binary in the image, and to go.mod.
func partsOf(t *testing.T, dist, root string) {
	raw, err := os.ReadFile(filepath.Join(dist, "firstcall-linux-"+runtime.GOARCH+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat string
		Metadata  struct {
			Component  struct{ Version string }
			Properties []struct{ Name, Value string }
		}
		Components []struct{ Name, Version string }
	}
	decode(t, string(raw), &bom)
	binary, err := os.ReadFile(filepath.Join(root, "usr/bin/firstcall"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(binary)
	var hash string
	for _, p := range bom.Metadata.Properties {
		if p.Name == "cdx:gomod:binary:hash:SHA-256" {
			hash = p.Value
		}
	}
	if hash != hex.EncodeToString(sum[:]) {
		t.Errorf("it is of a binary %s, the image's is %x", hash, sum)
	}
	if bom.BOMFormat != "CycloneDX" || bom.Metadata.Component.Version != version {
		t.Errorf("format %q, version %q", bom.BOMFormat, bom.Metadata.Component.Version)
	}
	parts := map[string]string{}
	for _, p := range bom.Components {
		parts[p.Name] = p.Version
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "../..").Output()
	if err != nil {
		t.Fatal(err)
	}
	for module := range strings.Lines(string(out)) {
		if path, version, found := strings.Cut(strings.TrimSpace(module), " "); found && parts[path] != version {
			t.Errorf("%s is %q there, and compiled from %s", path, parts[path], version)
		}
	}
	if parts["std"] == "" {
		t.Error("Go's own library is not in it")
	}
}

// content holds the image to its files: none that the base does not have but the binary, without file capabilities, and the directory of the state.
func content(t *testing.T, root string) {
	var got []string
	if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			got = append(got, strings.TrimPrefix(path, root))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"/etc/passwd", "/etc/ssl/certs/ca-certificates.crt", "/usr/bin/firstcall"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	binary, state := filepath.Join(root, "usr/bin/firstcall"), filepath.Join(root, "var/lib/firstcall")
	if n, err := syscall.Getxattr(binary, "security.capability", make([]byte, 64)); err == nil || n > 0 {
		t.Error("the binary has file capabilities: it would not start where all are dropped")
	}
	for path, want := range map[string]struct {
		mode fs.FileMode
		uid  uint32
	}{binary: {0o755, 0}, state: {0o755 | fs.ModeDir, 65532}} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t); info.Mode() != want.mode || owner.Uid != want.uid || owner.Gid != want.uid {
			t.Errorf("%s is %s of %d:%d, want %s of %d", path, info.Mode(), owner.Uid, owner.Gid, want.mode, want.uid)
		}
		if got := info.ModTime().Unix(); got != 1700000000 {
			t.Errorf("%s is of %d, not of SOURCE_DATE_EPOCH", path, got)
		}
	}
}

// labels holds the image to what registries and runtimes read of it.
func labels(t *testing.T, c *servers.Containers) {
	out, code := c.Podman("image", "inspect", name)
	var images []struct {
		User    string
		Created time.Time
		Labels  map[string]string
		Config  struct {
			StopSignal   string
			Entrypoint   []string
			Cmd          []string
			Volumes      map[string]any
			ExposedPorts map[string]any
		}
	}
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	decode(t, out, &images)
	i := images[0]
	for _, l := range []string{"title", "description", "url", "source", "documentation", "licenses"} {
		if i.Labels["org.opencontainers.image."+l] == "" {
			t.Errorf("no label %s", l)
		}
	}
	if i.User != "65532:65532" || i.Created.Unix() != 1700000000 || i.Labels["org.opencontainers.image.version"] != version || i.Config.StopSignal != "SIGTERM" ||
		!slices.Equal(i.Config.Entrypoint, []string{"/usr/bin/firstcall"}) ||
		i.Config.Volumes["/var/lib/firstcall"] == nil || i.Config.ExposedPorts["9797/tcp"] == nil {
		t.Errorf("the image says of itself:\n%s", out)
	}
	if out, code := c.Podman(slices.Concat([]string{"run", "--rm"}, restricted, []string{name, "version"})...); code != 0 || !strings.HasPrefix(out, "firstcall "+version+" ") {
		t.Errorf("version: exit code %d\n%s", code, out)
	}
}

func decode(t *testing.T, raw string, into any) {
	t.Helper()
	if err := json.NewDecoder(bytes.NewReader([]byte(raw))).Decode(into); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
}

// write makes a file that the image's user can read, whatever the umask.
func write(t *testing.T, dir, file, content string) {
	t.Helper()
	path := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	for p := filepath.Dir(path); strings.HasPrefix(p, dir); p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
