//go:build servers

package chromium

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const agentEnv = "FIRSTCALL_TEST_AGENT"

// TestMain can be an agent that opens a page and then waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv(agentEnv) == "" {
		code := m.Run()
		Close()
		os.Exit(code)
	}
	pool := For(Options{Path: os.Getenv(agentEnv)})
	if _, err := pool.Open(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("open", pool.current.dir.path, pool.current.cmd.Process.Pid)
	select {}
}

func debian(t *testing.T) Options {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: apt-get install -y --no-install-recommends chromium")
	}
	return Options{Path: path}
}

// shortTemp gives the test a directory for temporary files of its own, with a short name: Chromium makes a socket below it.
func shortTemp(t *testing.T) {
	t.Helper()
	Close()
	dir, err := os.MkdirTemp("", "fc") //nolint:usetesting // the name of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
}

func open(t *testing.T, p *Pool) *Page {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	page, err := p.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// using returns the processes that have a directory in their command line.
func using(dir string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if line, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline"); err == nil && bytes.Contains(line, []byte(dir)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// await asks until done says yes, for two minutes at most.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		if done() {
			return
		}
		<-tick.C
	}
	t.Fatalf("%s: not within two minutes", what)
}

// TestCloseLeavesNothing states that no process, no zombie and no directory is left of a browser that is closed.
func TestCloseLeavesNothing(t *testing.T) {
	shortTemp(t)
	pool := For(debian(t))
	page := open(t, pool)
	dir, group := page.p.dir.path, page.p.cmd.Process.Pid
	if len(using(dir)) == 0 {
		t.Fatal("no process has the directory: this test sees nothing")
	}
	if memory(group) < 10<<20 {
		t.Errorf("the browser takes %d bytes", memory(group))
	}
	page.Close()
	Close()
	if left := using(dir); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
	if err := syscall.Kill(-group, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process group is left: %v", err)
	}
}

// TestAgentKilled states that a browser dies with its agent, however that ends, and that the next agent clears up after it.
func TestAgentKilled(t *testing.T) {
	shortTemp(t)
	agent := exec.CommandContext(t.Context(), os.Args[0])
	agent.Env = append(os.Environ(), agentEnv+"="+debian(t).Path)
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	fields := strings.Fields(line)
	if len(fields) != 3 {
		t.Fatalf("the agent says %q", line)
	}
	removeStale(os.TempDir())
	if _, err := os.Stat(fields[1]); err != nil {
		t.Fatalf("the directory of an agent that lives is cleared away: %v", err)
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait()
	group, _ := strconv.Atoi(fields[2])
	await(t, "the browser ends", func() bool {
		return len(using(fields[1])) == 0 && errors.Is(syscall.Kill(-group, 0), syscall.ESRCH)
	})
	removeStale(os.TempDir())
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), profilePattern)); len(left) > 0 {
		t.Errorf("directories are left: %v", left)
	}
}

// TestCrash states that the crash of a page is told, and that the next page has a new browser.
func TestCrash(t *testing.T) {
	pool := For(debian(t))
	page := open(t, pool)
	before := page.p
	if err := page.Navigate(t.Context(), "chrome://crash"); err == nil {
		t.Error("the navigation ends well")
	}
	await(t, "the crash is told", func() bool { return errors.Is(page.Err(), ErrCrashed) })
	if err := page.Eval(t.Context(), "function() { return 1 }", nil); !errors.Is(err, ErrCrashed) {
		t.Errorf("a question to a crashed page ends in %v", err)
	}
	page.Close()
	<-before.ended
	next := open(t, pool)
	defer next.Close()
	if err := next.Navigate(t.Context(), "about:blank"); err != nil || next.p == before {
		t.Errorf("the next page: %v, same browser: %v", err, next.p == before)
	}
}

// TestShared states that pages share a browser, see nothing of each other, and that a worn one ends with its last page.
func TestShared(t *testing.T) {
	pool := For(debian(t))
	one, two := open(t, pool), open(t, pool)
	if one.p != two.p || one.context == two.context {
		t.Error("two pages have two browsers, or one context")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pool.Open(ctx); !errors.Is(err, ErrBusy) {
		t.Errorf("a third page: %v", err)
	}
	pool.mu.Lock()
	old := pool.current
	old.worn = true
	pool.mu.Unlock()
	one.Close()
	three := open(t, pool)
	if three.p == old.process {
		t.Error("a worn browser gets another page")
	}
	two.Close()
	<-old.ended
	three.Close()
}

func TestFind(t *testing.T) {
	if _, err := Find("no-such-program"); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("a program that is not there: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(""); !errors.Is(err, ErrMissing) {
		t.Errorf("nothing on PATH: %v", err)
	}
}

// TestStartFails states that a browser that does not start says why, and leaves nothing.
func TestStartFails(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for name, c := range map[string]struct{ script, want string }{
		"sandbox": {"#!/bin/sh\necho 'No usable sandbox!' >&2\nexit 1\n", "set sandbox: off"},
		"other":   {"#!/bin/sh\necho 'libnss3.so: cannot open' >&2\nexit 127\n", "libnss3.so: cannot open"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(c.script), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := For(Options{Path: path}).Open(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), profilePattern)); len(left) > 0 {
		t.Errorf("directories are left: %v", left)
	}
}
