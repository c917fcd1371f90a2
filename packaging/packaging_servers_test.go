//go:build servers && linux

package packaging

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// build makes the packages of .goreleaser.yaml for two versions of firstcall and returns them by version and format.
func build(t *testing.T, versions ...string) map[string]string {
	t.Helper()
	var release struct {
		NFPMs []map[string]any `yaml:"nfpms"`
	}
	text, err := os.ReadFile("../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// goreleaser fills these in; nfpm, which it calls, does not.
	text = bytes.ReplaceAll(text, []byte("{{ .CommitDate }}"), []byte("2026-01-02T03:04:05Z"))
	if err := yaml.Unmarshal(text, &release); err != nil || len(release.NFPMs) != 1 {
		t.Fatalf("%d packages in .goreleaser.yaml, %v", len(release.NFPMs), err)
	}
	run(t, "..", "make", "-s", "package-files")
	built := map[string]string{}
	for _, version := range versions {
		dir := t.TempDir()
		binary := filepath.Join(dir, "firstcall")
		run(t, "..", "go", "build", "-ldflags", "-s -w -X github.com/firstcall-agent/firstcall/agent/cli.Version=v"+version, "-o", binary, ".")
		p := release.NFPMs[0]
		for _, own := range []string{"package_name", "file_name_template", "formats", "bindir"} { // goreleaser's, not nfpm's
			delete(p, own)
		}
		p["name"], p["version"], p["arch"], p["platform"] = "firstcall", version, "amd64", "linux"
		contents := p["contents"].([]any)
		p["contents"] = append(slices.Clip(contents), map[string]any{"src": binary, "dst": "/usr/bin/firstcall", "file_info": map[string]any{"mode": 0o755}})
		file := filepath.Join(dir, "nfpm.yaml")
		text, err := yaml.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		p["contents"] = contents
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"deb", "rpm"} {
			built[version+format] = filepath.Join(dir, "firstcall."+format)
			run(t, "..", "go", "tool", "-modfile=.ci/release.mod", "nfpm", "package", "-f", file, "-p", format, "-t", built[version+format])
		}
	}
	return built
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...) //nolint:gosec // the arguments are the test's own
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// system is a copy of this machine's files that is written to without changing them; no service runs there.
type system struct{ dir string }

func newSystem(t *testing.T) system {
	t.Helper()
	for _, dir := range []string{t.TempDir(), "/dev/shm"} { // an overlay cannot lie on another one
		s := system{dir: dir}
		if dir == "/dev/shm" {
			var err error
			if s.dir, err = os.MkdirTemp(dir, "firstcall"); err != nil { //nolint:usetesting // t.TempDir is the other one
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
		}
		for _, name := range []string{"upper", "work", "root"} {
			if err := os.Mkdir(filepath.Join(s.dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.try("true"); err == nil {
			return s
		}
	}
	t.Fatal("no overlay can be mounted here: this needs root, and a directory for temporary files (TMPDIR) that is itself no overlay")
	return system{}
}

// try runs a script in the system, in a mount namespace that ends with it.
func (s system) try(script string) (string, error) {
	const enter = `mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root" &&
		mount -t proc proc "$0/root/proc" && mount -t tmpfs tmpfs "$0/root/tmp" && mount --bind /dev "$0/root/dev" && mount -t tmpfs tmpfs "$0/root/run" &&
		exec chroot "$0/root" sh -ec "$1"`
	cmd := exec.Command("unshare", "--mount", "sh", "-c", enter, s.dir, script) //nolint:gosec // the arguments are the test's own
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s system) run(t *testing.T, script string) string {
	t.Helper()
	out, err := s.try(script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// give puts a file into the system.
func (s system) give(t *testing.T, file, as string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "upper", as), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPackages(t *testing.T) {
	built := build(t, "1.0.0", "1.1.0")

	t.Run("deb", func(t *testing.T) {
		s := newSystem(t)
		s.give(t, built["1.0.0deb"], "one.deb")
		s.give(t, built["1.1.0deb"], "two.deb")
		is := func(what, script, want string) {
			t.Helper()
			if got := strings.TrimSpace(s.run(t, script)); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		gone := func(paths ...string) {
			t.Helper()
			for _, p := range paths {
				is(p, "[ -e "+p+" ] && echo there || echo gone", "gone")
			}
		}

		s.run(t, "dpkg -i /one.deb")
		is("the binary", "firstcall --version", "firstcall v1.0.0")
		is("the user", "getent passwd firstcall | cut -d: -f6,7", "/var/lib/firstcall:/usr/sbin/nologin")
		is("the rights of secrets", "stat -c '%a %U:%G' /etc/firstcall/secrets", "750 root:firstcall")
		is("sysctl", "grep -v '^#' /usr/lib/sysctl.d/60-firstcall.conf", "net.ipv4.ping_group_range = 0 2147483647")
		is("files", "cd /usr/share; ls doc/firstcall/copyright doc/firstcall/examples/acme.yaml man/man1/firstcall-cases-ack.1.gz "+
			"bash-completion/completions/firstcall zsh/vendor-completions/_firstcall >/dev/null; echo all", "all")
		is("units that systemd finds fault with", "cp /usr/lib/systemd/system/firstcall@.service /run/firstcall@acme.service; "+
			"systemd-analyze verify --man=no --recursive-errors=no /usr/lib/systemd/system/firstcall.service /run/firstcall@acme.service 2>&1", "")
		for _, unit := range []string{"firstcall.service", "firstcall@.service"} {
			// Ten is the worst. What is left is the network, which the agent is there for, and the clock that may be read.
			s.run(t, "systemd-analyze security --offline=true --no-pager --threshold=15 /usr/lib/systemd/system/"+unit)
		}

		s.run(t, `echo 'ARGS="--log.format json"' >/etc/default/firstcall; echo 'tenant: { id: acme }' >/etc/firstcall/firstcall.yaml
			install -d -o firstcall /var/lib/firstcall /var/lib/private/firstcall-acme; echo state >/var/lib/firstcall/firstcall.db; echo secret >/etc/firstcall/secrets/smtp`)
		s.run(t, "dpkg -i /two.deb </dev/null")
		is("the binary after the upgrade", "firstcall --version", "firstcall v1.1.0")
		is("the flags after the upgrade", "cat /etc/default/firstcall", `ARGS="--log.format json"`)
		is("the state after the upgrade", "cat /var/lib/firstcall/firstcall.db /etc/firstcall/secrets/smtp /etc/firstcall/firstcall.yaml", "state\nsecret\ntenant: { id: acme }")

		s.run(t, "dpkg --remove firstcall")
		gone("/usr/bin/firstcall", "/usr/lib/systemd/system/firstcall.service", "/usr/share/doc/firstcall")
		is("the state after the removal", "cat /var/lib/firstcall/firstcall.db /etc/firstcall/secrets/smtp /etc/default/firstcall", "state\nsecret\n"+`ARGS="--log.format json"`)
		s.run(t, "dpkg --purge firstcall")
		gone("/var/lib/firstcall", "/var/lib/private/firstcall-acme", "/etc/firstcall", "/etc/default/firstcall")
		is("the user after the purge", "getent passwd firstcall | cut -d: -f1", "firstcall")
		is("what dpkg knows", "dpkg -s firstcall 2>&1 | head -1 | cut -c1-40", "dpkg-query: package 'firstcall' is not i")
	})

	t.Run("rpm", func(t *testing.T) {
		file := built["1.0.0rpm"]
		for want, args := range map[string]string{
			"/usr/bin/firstcall\n":                         "-qlp",
			"/usr/lib/systemd/system/firstcall@.service\n": "-qlp",
			"/usr/share/man/man1/firstcall-run.1.gz\n":     "-qlp",
			"/usr/share/zsh/site-functions/_firstcall\n":   "-qlp",
			"/etc/default/firstcall\n":                     "-qcp",
			"systemd-sysusers firstcall.conf":              "-qp --scripts",
			"Version     : 1.0.0\n":                        "-qip",
			"License     : Apache-2.0\n":                   "-qip",
			"drwxr-x---":                                   "-qlvp",
		} {
			if got := run(t, ".", "rpm", append(strings.Fields(args), file)...); !strings.Contains(got, want) {
				t.Errorf("rpm %s has no %q:\n%s", args, want, got)
			}
		}
		if got := run(t, ".", "rpm", "-qlp", file); strings.Contains(got, "lintian") || strings.Contains(got, "vendor-completions") {
			t.Errorf("Debian's own files are in the rpm:\n%s", got)
		}
	})
}

// TestTemplateFollowsUnit keeps the two units alike: they differ in names, and in the user.
func TestTemplateFollowsUnit(t *testing.T) {
	read := func(name string) map[string]bool {
		text, err := os.ReadFile("systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		lines := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
				lines[line] = true
			}
		}
		return lines
	}
	unit, template := read("firstcall.service"), read("firstcall@.service")
	for line := range unit {
		key, _, _ := strings.Cut(line, "=")
		if !template[line] && !strings.Contains("Description ExecStart StateDirectory WorkingDirectory User Group", fmt.Sprint(key)) {
			t.Errorf("firstcall@.service has no %s", line)
		}
	}
	for line := range template {
		if !unit[line] && !strings.Contains(line, "%i") && line != "DynamicUser=yes" {
			t.Errorf("firstcall.service has no %s", line)
		}
	}
}
