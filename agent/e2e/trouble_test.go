//go:build servers && linux

package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to lock the store from outside

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

const watched = tenant + quick + `
components:
  - { name: web-client, probes: [{ kind: http, url: %q }] }
  - { name: backend, probes: [{ kind: http, url: %q }] }
`

// TestDiskFull fills the disk under the store: the agent says so, goes on measuring, and opens the case when there is room again.
func TestDiskFull(t *testing.T) {
	web, other := servers.StartNginx(t, servers.NginxOptions{}), servers.StartNginx(t, servers.NginxOptions{})
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatalf("a small disk cannot be mounted (it needs root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	p := run(t, fmt.Sprintf(watched, web.URL(), other.URL())+fmt.Sprintf("store: { url: %q }\n", "sqlite:"+filepath.Join(disk, "firstcall.db")))
	p.eventually(10*time.Second, "ready", func() bool { return p.status().Health.Ready })
	ballast := filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 4096); err == nil; {
		_, err = f.Write(chunk)
	}
	_ = f.Close()
	p.eventually(40*time.Second, "the page says that the disk is full", func() bool {
		return strings.Contains(strings.ToLower(p.status().Health.StoreError), "full")
	})
	web.Kill()
	p.eventually(20*time.Second, "the outage is seen", func() bool { return len(p.status().Incidents) == 1 })
	if n := len(p.cases()); n != 0 {
		t.Errorf("%d cases although nothing can be made durable", n)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	p.eventually(20*time.Second, "a case once there is room", func() bool { return len(p.liveCases()) == 1 && p.status().Health.StoreError == "" })
	web.Start()
	p.eventually(20*time.Second, "resolved", func() bool { return len(p.liveCases()) == 0 })
	p.stop()
}

// TestStoreLocked states that a second agent on one store is refused by name, and that another program's lock delays but loses
// nothing.
func TestStoreLocked(t *testing.T) {
	web, other := servers.StartNginx(t, servers.NginxOptions{}), servers.StartNginx(t, servers.NginxOptions{})
	p := run(t, fmt.Sprintf(watched, web.URL(), other.URL()))
	p.eventually(10*time.Second, "ready", func() bool { return p.status().Health.Ready })
	second := exec.Command(binary, "run", "--config.file", p.file, "--web.listen-address", "127.0.0.1:0")
	out, err := second.CombinedOutput()
	if err == nil || second.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), fmt.Sprint(p.cmd.Process.Pid)) {
		t.Errorf("a second agent must be refused and told who holds the store (pid %d): %v: %s", p.cmd.Process.Pid, err, out)
	}
	db, err := sql.Open("sqlite", filepath.Join(p.dir, "firstcall.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(context.Background(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	web.Kill()
	p.eventually(20*time.Second, "the outage is seen, the lock is told", func() bool {
		s := p.status()
		return len(s.Incidents) == 1 && s.Health.StoreError != ""
	})
	if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	p.eventually(20*time.Second, "a case once the lock is gone", func() bool { return len(p.liveCases()) == 1 })
	web.Start()
	p.eventually(20*time.Second, "resolved", func() bool { return len(p.liveCases()) == 0 })
	p.stop()
}

// TestReload states that a bad configuration leaves the old one running in full and is told in log, metric and page, and that a
// good one is taken up, by SIGHUP, by a POST and by a change of the content.
func TestReload(t *testing.T) {
	web, other := servers.StartNginx(t, servers.NginxOptions{}), servers.StartNginx(t, servers.NginxOptions{})
	good := fmt.Sprintf(watched, web.URL(), other.URL())
	p := run(t, good)
	p.eventually(10*time.Second, "ready", func() bool { return p.status().Health.Ready })

	p.configure(strings.Replace(good, "interval: 1s", "intervall: 1s", 1))
	resp, err := http.Post(p.url+"/-/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		t.Error("a bad configuration must be refused")
	}
	page, err := p.get("/")
	if err != nil {
		t.Fatal(err)
	}
	if p.metric("firstcall_config_last_reload_successful") != "0" || !strings.Contains(p.status().Health.ConfigError, "intervall") ||
		!strings.Contains(string(page), "intervall") || !strings.Contains(p.log.String(), "intervall") {
		t.Errorf("the refusal must stand in metric, health, page and log: %+v\n%s", p.status().Health, p.log.String())
	}
	web.Kill()
	p.eventually(20*time.Second, "the old configuration goes on: a case", func() bool { return len(p.liveCases()) == 1 })
	web.Start()
	p.eventually(20*time.Second, "and its end", func() bool { return len(p.liveCases()) == 0 })

	for i, reload := range []func(){
		func() { _ = p.cmd.Process.Signal(syscall.SIGHUP) },
		func() {
			if resp, err := http.Post(p.url+"/-/reload", "", nil); err == nil {
				_ = resp.Body.Close()
			}
		},
		func() {}, // a change of the content is enough
	} {
		name := fmt.Sprintf("added%d", i)
		p.configure(good + fmt.Sprintf("  - { name: %s, probes: [{ kind: http, url: %q }] }\n", name, other.URL()))
		reload()
		p.eventually(30*time.Second, "the new component "+name, func() bool {
			data, err := p.get("/api/v1/components")
			return err == nil && strings.Contains(string(data), `"`+name+`"`)
		})
	}
	if p.metric("firstcall_config_last_reload_successful") != "1" {
		t.Error("the metric must say that the newest reload was good")
	}
	p.stop()
}

// TestConfigMapSwap swaps the configuration as Kubernetes does: a symbolic link to a new directory.
func TestConfigMapSwap(t *testing.T) {
	web, other := servers.StartNginx(t, servers.NginxOptions{}), servers.StartNginx(t, servers.NginxOptions{})
	good := fmt.Sprintf(watched, web.URL(), other.URL())
	p := prepare(t, good)
	data, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	mount := filepath.Join(p.dir, "etc")
	version := func(n int, text string) {
		t.Helper()
		dir := filepath.Join(mount, fmt.Sprintf("..v%d", n))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "firstcall.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(mount, "..data_tmp")
		if err := os.Symlink(filepath.Base(dir), link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(mount, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	text := string(data) + fmt.Sprintf("store: { url: %q }\n", "sqlite:"+filepath.Join(p.dir, "firstcall.db"))
	version(1, text)
	p.file = filepath.Join(mount, "firstcall.yaml")
	if err := os.Symlink(filepath.Join("..data", "firstcall.yaml"), p.file); err != nil {
		t.Fatal(err)
	}
	p.start()
	version(2, strings.Replace(text, "name: backend", "name: back-end", 1))
	p.eventually(40*time.Second, "the swapped configuration", func() bool {
		data, err := p.get("/api/v1/components")
		return err == nil && strings.Contains(string(data), `"back-end"`)
	})
	p.stop()
}
