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
	first int      // of those that leads waited for last
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
		case step, open := <-p.steps:
			if !open {
				p.t.Fatal("the agent has ended")
			}
			if n == 0 {
				p.first = step
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

// oneOf waits until one of two agents has stored a step, and returns that one.
func oneOf(t *testing.T, a, b *agentProcess) *agentProcess {
	t.Helper()
	select {
	case <-a.steps:
		return a
	case <-b.steps:
		return b
	case <-time.After(30 * time.Second):
		t.Fatal("no step of anyone within 30 s")
		return nil
	}
}

// quiet fails when the agent says that it stored a step that is none of those before another led: such a one it may have stored, and not yet said, when it
// was frozen.
func (p *agentProcess) quiet(during time.Duration, other *agentProcess) {
	p.t.Helper()
	for end := time.After(during); ; {
		select {
		case n := <-p.steps:
			if n >= other.first {
				p.t.Errorf("it stored step %d while another leads, since step %d", n, other.first)
			}
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
		first.quiet(2*time.Second, second)
		first, second = second, first
	}

	first.drain()
	first.leads(3)
	crashed := time.Now()
	server.Crash()
	server.Start()
	away := time.Since(crashed)
	first.drain()
	if goesOn := oneOf(t, first, second); goesOn == second && away < 4*time.Second { // of the lead's 6 s
		t.Errorf("the lead has passed on, and the server was away for %s", away)
	} else if goesOn == second {
		first, second = second, first
	}
	first.leads(3)

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
