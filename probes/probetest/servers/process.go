//go:build linux

package servers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// readyWithin is how long a server may take to listen on a loaded machine; stopWithin how long it may take to end.
const (
	readyWithin = 30 * time.Second
	stopWithin  = 5 * time.Second
	poll        = 5 * time.Millisecond
)

// Process is a server that runs as a process in a process group of its own. Its methods are safe for concurrent use; they
// fail the test when the process does not do as told.
type Process struct {
	t     testing.TB
	name  string
	build func() *exec.Cmd // a new command each time: an exec.Cmd is used once
	ports []int            // what it listens on when it is ready

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended and was waited for
	log  *Log
}

// startProcess starts what build returns and waits until it listens on all ports.
func startProcess(t testing.TB, name string, build func() *exec.Cmd, ports ...int) *Process {
	t.Helper()
	p := &Process{t: t, name: name, build: build, ports: ports, log: &Log{}}
	t.Cleanup(p.Stop)
	p.Start()
	return p
}

// Start starts the process, again after Stop or Kill, and returns when it listens. A running process is left as it is.
func (p *Process) Start() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return
	}
	cmd := p.build()
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second // a child that left the group may hold the output open
	started, done := make(chan error), make(chan struct{})
	go func() {
		// the kernel sends Pdeathsig when the starting thread ends, so that thread must live as long as the process
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(done)
		}
	}()
	if err := <-started; err != nil {
		p.t.Fatalf("cannot start %s: %v", p.name, err)
	}
	p.cmd, p.done = cmd, done
	if err := p.awaitPorts(); err != nil {
		p.end(syscall.SIGKILL)
		p.t.Fatalf("%s does not come up: %v\n%s", p.name, err, p.log.String())
	}
}

// Stop ends the process and its group in good order (SIGTERM), by force after a few seconds. It thaws a frozen one.
func (p *Process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(syscall.SIGTERM)
}

// Kill ends the process and its group with SIGKILL and returns when it is gone.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(syscall.SIGKILL)
}

// Freeze stops the process and its group from running (SIGSTOP): the kernel goes on accepting connections for it. It
// returns when the process has stopped.
func (p *Process) Freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	err := until(stopWithin, func() (bool, error) {
		state, err := procState(p.PID())
		return state == 'T', err
	})
	if err != nil {
		p.t.Fatalf("%s does not freeze: %v", p.name, err)
	}
}

// Thaw lets a frozen process go on (SIGCONT).
func (p *Process) Thaw() {
	p.t.Helper()
	p.signal(syscall.SIGCONT)
}

// PID returns the process id, which is also that of its group; 0 when it does not run.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return 0
	}
	return p.cmd.Process.Pid
}

// Log returns what the process has written to standard output and standard error, over all its starts.
func (p *Process) Log() string { return p.log.String() }

func (p *Process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *Process) signal(s syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		p.t.Fatalf("%s does not run: it cannot be sent %v", p.name, s)
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil {
		p.t.Fatalf("cannot send %v to %s: %v", s, p.name, err)
	}
}

// end sends s to the group, and SIGKILL to what is left of it.
func (p *Process) end(s syscall.Signal) {
	if p.cmd == nil {
		return
	}
	group := -p.cmd.Process.Pid
	if p.running() {
		_ = syscall.Kill(group, s)
		_ = syscall.Kill(group, syscall.SIGCONT)
		select {
		case <-p.done:
		case <-time.After(stopWithin):
		}
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // children that outlived it, too
	<-p.done
	p.cmd = nil
}

// awaitPorts returns when the process listens on every port, or an error when it ends before.
func (p *Process) awaitPorts() error {
	return until(readyWithin, func() (bool, error) {
		select {
		case <-p.done:
			return false, fmt.Errorf("it ended: %v", p.cmd.ProcessState)
		default:
		}
		for _, port := range p.ports {
			listening, err := listens(p.cmd.Process.Pid, port)
			if err != nil && !errors.Is(err, os.ErrNotExist) || !listening {
				return false, err
			}
		}
		return true, nil
	})
}

// listens reports whether something in the network namespace of process pid listens on the TCP port. It reads the kernel's
// table (proc(5), net/tcp: hexadecimal address:port, state 0A) instead of connecting, which a server would notice.
func listens(pid, port int) (bool, error) {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return false, err
	}
	want := fmt.Appendf(nil, ":%04X 00000000:0000 0A", port)
	return bytes.Contains(table, want), nil
}

// procState returns the state letter of a process (proc(5), stat), T for stopped.
func procState(pid int) (byte, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// the name before the state is in parentheses and may itself hold any character
	rest := stat[bytes.LastIndexByte(stat, ')')+1:]
	if len(rest) < 2 {
		return 0, fmt.Errorf("unexpected /proc/%d/stat: %q", pid, stat)
	}
	return rest[1], nil
}

// until polls condition until it is true, returns an error, or the time is over.
func until(limit time.Duration, condition func() (bool, error)) error {
	over := time.After(limit)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if ok, err := condition(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-over:
			return fmt.Errorf("not within %v", limit)
		}
	}
}

// program returns the path of a program, or fails the test and names the Debian package that brings it. The system
// directories count even where an ordinary user's PATH lacks them.
func program(t testing.TB, name, debianPackage string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: apt-get install -y --no-install-recommends %s", name, debianPackage)
	return ""
}

// Log gathers output that is written and read at the same time. Its zero value is empty.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds to it.
func (b *Log) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns all that was written.
func (b *Log) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
