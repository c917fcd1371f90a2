//go:build servers && linux

package store

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// agentProcess is oneOfSeveral, as the test sees it.
type agentProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	steps chan int // that were acknowledged
}

func startAgent(t *testing.T, url string) *agentProcess {
	t.Helper()
	p := &agentProcess{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0]), steps: make(chan int, 1_000_000)}
	p.cmd.Env = append(os.Environ(), victimPath+"="+url)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.steps)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				p.steps <- n
			}
		}
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	return p
}

// leads waits until the agent has stored so many steps, and returns after what time it stored the first.
func (p *agentProcess) leads(steps int) (first time.Duration) {
	p.t.Helper()
	began, limit := time.Now(), time.After(30*time.Second)
	for n := range steps {
		select {
		case _, open := <-p.steps:
			if !open {
				p.t.Fatal("the agent has ended")
			}
		case <-limit:
			p.t.Fatalf("no step within 30 s, after %d", n)
		}
		if n == 0 {
			first = time.Since(began)
		}
	}
	return first
}

// quiet forgets what the agent has said, and fails when it says more.
func (p *agentProcess) quiet(during time.Duration) {
	p.t.Helper()
	for end := time.After(during); ; {
		select {
		case n := <-p.steps:
			p.t.Errorf("it stored step %d while another leads", n)
		case <-end:
			return
		}
	}
}

func (p *agentProcess) drain() {
	for len(p.steps) > 0 {
		<-p.steps
	}
}

func (p *agentProcess) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// TestPostgresSeveral has agents in processes of their own frozen, killed, stopped, and their server killed: the lead passes on in time, and
// every step is stored once.
func TestPostgresSeveral(t *testing.T) {
	server := servers.StartPostgres(t)
	url := aTenant(server.Database(t, "firstcall"))
	first := startAgent(t, url+"&vantage=weu")
	first.leads(5)
	second := startAgent(t, url+"&vantage=dk")
	first.leads(20)
	for range 2 {
		first.signal(syscall.SIGSTOP) // at any instant
		first.drain()
		if took := second.leads(1); took > 11*time.Second {
			t.Errorf("a leader that was frozen is followed after %s", took)
		} else {
			t.Logf("a leader that was frozen is followed after %s", took.Round(time.Millisecond))
		}
		first.drain() // what it had said before it was frozen
		first.signal(syscall.SIGCONT)
		first.quiet(2 * time.Second)
		first, second = second, first
	}

	first.drain()
	first.leads(3)
	server.Crash()
	server.Start()
	first.drain()
	first.leads(3) // the lead survives

	first.signal(syscall.SIGKILL)
	took := second.leads(1)
	t.Logf("a leader that was killed is followed after %s", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("a leader that was killed is followed after %s", took)
	}
	third := startAgent(t, url+"&vantage=weu")
	second.leads(50)
	second.signal(syscall.SIGTERM)
	second.drain()
	took = third.leads(1)
	t.Logf("a leader that stopped is followed after %s", took.Round(time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("a leader that stopped is followed after %s", took)
	}
	last := 0
	third.signal(syscall.SIGTERM)
	for n := range third.steps {
		last = n
	}
	s := openURL(t, url)
	all, err := s.CountIncidents(t.Context(), IncidentFilter{})
	if err != nil || all < last {
		t.Errorf("%d steps are stored, %d were acknowledged (%v)", all, last, err)
	}
	stored(t, s, all)
	t.Logf("%d steps", all)
}
