//go:build servers && linux

package chaos

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// What an agent reaches through its own network namespace, by port there.
const (
	portStore = 5432 + iota
	portDesk
	portTarget
	portWitness
	portPage
)

// binary is the agent under test, built once, whose clock can be told to be wrong.
var binary string

func TestMain(m *testing.M) { servers.RunWithAgent(m, &binary, "-tags", "clockskew") }

// agent is one of a tenant's agents: a process in a network namespace of its own, from which everything else is reached over relays.
type agent struct {
	t    testing.TB
	name string
	dir  string
	ns   *servers.NetNS
	skew time.Duration
	cmd  *exec.Cmd // nil: it does not run
	gone chan struct{}
	cut  map[int]int // how many faults make packets to a port vanish

	asked  time.Time // when it was asked to stop; zero: it was not
	skewed func() time.Duration
	log    servers.Log

	mu      sync.Mutex
	slowest time.Duration // that a stop took
}

// newAgent prepares an agent; reach says where each port of its namespace leads.
func newAgent(t testing.TB, name, configuration string, skew time.Duration, reach map[int]string) *agent {
	t.Helper()
	a := &agent{t: t, name: name, dir: t.TempDir(), ns: servers.StartNetNS(t), skew: skew, cut: map[int]int{}}
	for port, target := range reach {
		relay(t, a.ns, port, target)
	}
	configuration = strings.ReplaceAll(configuration, "VANTAGE", name)
	if err := os.WriteFile(filepath.Join(a.dir, "firstcall.yaml"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.kill)
	return a
}

func (a *agent) start() {
	a.t.Helper()
	if a.cmd != nil && !a.asked.IsZero() {
		a.await()
	}
	if a.cmd != nil {
		return
	}
	if a.gone != nil && a.skewed != nil { // its clock may have been set meanwhile
		a.skew = a.skewed()
	}
	cmd := a.ns.Command(binary, "run", "--config.file", filepath.Join(a.dir, "firstcall.yaml"))
	cmd.Env = append(os.Environ(), "FIRSTCALL_CLOCK_SKEW="+a.skew.String(), "XDG_CACHE_HOME="+a.dir, "GOMAXPROCS=1")
	cmd.Stdout, cmd.Stderr = &a.log, &a.log
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.cmd, a.gone, a.asked = cmd, make(chan struct{}), time.Time{}
	go func(gone chan struct{}) {
		_ = cmd.Wait()
		close(gone)
	}(a.gone)
}

// ended reports whether the agent ended on its own.
func (a *agent) ended() bool {
	if a.cmd == nil {
		return false
	}
	select {
	case <-a.gone:
		return true
	default:
		return false
	}
}

func (a *agent) signal(s syscall.Signal) {
	if a.cmd != nil {
		_ = a.cmd.Process.Signal(s)
	}
}

// kill ends the agent without a warning.
func (a *agent) kill() {
	if a.cmd == nil {
		return
	}
	a.signal(syscall.SIGKILL)
	<-a.gone
	a.cmd, a.asked = nil, time.Time{}
}

// stopWithin bounds a clean stop, whatever is cut off: less than service managers wait.
const stopWithin = 25 * time.Second

// ask asks the agent to stop.
func (a *agent) ask() {
	if a.cmd == nil {
		return
	}
	a.signal(syscall.SIGCONT)
	a.signal(syscall.SIGTERM)
	asked := time.Now()
	a.asked = asked
	go func(gone chan struct{}) {
		<-gone
		a.mu.Lock()
		defer a.mu.Unlock()
		a.slowest = max(a.slowest, time.Since(asked))
	}(a.gone)
}

// await waits for the end of an agent that was asked to stop.
func (a *agent) await() {
	if a.cmd == nil {
		return
	}
	if a.ended() {
		a.cmd, a.asked = nil, time.Time{}
		return
	}
	select {
	case <-a.gone:
		a.cmd, a.asked = nil, time.Time{}
	case <-time.After(time.Until(a.asked.Add(stopWithin))):
		a.t.Errorf("%s did not stop within %s", a.name, stopWithin)
		a.kill()
	}
}

// drop makes what the agent sends to ports vanish, or not any more.
func (a *agent) drop(vanish bool, ports ...int) {
	for _, p := range ports {
		if vanish {
			a.cut[p]++
		} else {
			a.cut[p] = max(0, a.cut[p]-1)
		}
	}
	a.ns.Restore()
	var list []int
	for p, faults := range a.cut {
		if faults > 0 {
			list = append(list, p)
		}
	}
	if len(list) > 0 {
		slices.Sort(list)
		a.ns.Drop(list...)
	}
}

// relay forwards connections made in a namespace to a target outside it.
func relay(t testing.TB, ns *servers.NetNS, port int, target string) {
	t.Helper()
	listener, err := ns.Listen(fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			inner, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(inner, target)
		}
	}()
}

func forward(inner net.Conn, target string) {
	defer func() { _ = inner.Close() }()
	outer, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = outer.Close() }()
	go func() {
		_, _ = io.Copy(outer, inner)
		_ = outer.Close()
	}()
	_, _ = io.Copy(inner, outer)
}
