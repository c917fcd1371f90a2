//go:build linux

package servers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// NetNS is a network namespace of its own with a loopback interface and nothing else: processes and listeners in it see
// each other on 127.0.0.1 and nobody else, and its network can be cut. It needs root.
type NetNS struct {
	Name string

	t        testing.TB
	ip, nft  string // programs
	table    bool   // the nft table is there
	loopback bool   // lo is up and has its address
}

var namespaces atomic.Int64 // makes names unique within the process

// StartNetNS makes a network namespace that ends with the test.
func StartNetNS(t testing.TB) *NetNS {
	t.Helper()
	n := &NetNS{
		Name: fmt.Sprintf("firstcall-%d-%d", os.Getpid(), namespaces.Add(1)),
		t:    t, ip: program(t, "ip", "iproute2"), nft: program(t, "nft", "nftables"),
	}
	if os.Geteuid() != 0 {
		t.Fatal("a network namespace needs root: run this test as root")
	}
	n.run(n.ip, "netns", "add", n.Name)
	t.Cleanup(func() { n.run(n.ip, "netns", "delete", n.Name) })
	n.setLoopback(true)
	return n
}

// Command returns a command that runs in the namespace: the program replaces ip(8), so that the process started is its own.
func (n *NetNS) Command(name string, args ...string) *exec.Cmd { return n.command(name, args...) }

// command is Command; a nil namespace is the test's own.
func (n *NetNS) command(name string, args ...string) *exec.Cmd {
	if n == nil {
		return exec.Command(name, args...)
	}
	return exec.Command(n.ip, append([]string{"netns", "exec", n.Name, name}, args...)...)
}

// Cut takes the network away, so that connections fail at once with "network is unreachable": without ports all of them,
// since the only interface and its address are gone and with them every route; with ports those to the TCP ports only, by a
// message as from a router, and the others go on.
func (n *NetNS) Cut(ports ...int) {
	n.t.Helper()
	if len(ports) == 0 {
		n.setLoopback(false)
		return
	}
	n.rule(ports, "reject with icmpx type no-route")
}

// Drop makes packets to the TCP ports, or all when none are given, vanish without a word, as behind a pulled cable.
func (n *NetNS) Drop(ports ...int) {
	n.t.Helper()
	n.rule(ports, "drop")
}

// Restore undoes every Cut and Drop.
func (n *NetNS) Restore() {
	n.t.Helper()
	if n.table {
		n.run(n.ip, "netns", "exec", n.Name, n.nft, "delete", "table", "inet", "firstcall")
		n.table = false
	}
	n.setLoopback(true)
}

func (n *NetNS) rule(ports []int, verdict string) {
	n.t.Helper()
	match := ""
	if len(ports) > 0 {
		match = "tcp dport { " + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ports)), ", "), "[]") + " } "
	}
	// at output and not at input: a reject is then the answer to the caller's own system call
	cmd := n.command(n.nft, "-f", "-")
	cmd.Stdin = strings.NewReader("add table inet firstcall\n" +
		"add chain inet firstcall out { type filter hook output priority 0; }\n" +
		"add rule inet firstcall out " + match + verdict + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("nft in %s: %v\n%s", n.Name, err, out)
	}
	n.table = true
}

func (n *NetNS) setLoopback(up bool) {
	n.t.Helper()
	if n.loopback == up {
		return
	}
	if up {
		n.run(n.ip, "-n", n.Name, "link", "set", "lo", "up") // the kernel gives it 127.0.0.1/8
	} else {
		n.run(n.ip, "-n", n.Name, "link", "set", "lo", "down")
		n.run(n.ip, "-n", n.Name, "address", "flush", "dev", "lo") // else packets are routed to it and vanish
	}
	n.loopback = up
}

func (n *NetNS) run(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// Do runs f in the namespace: sockets that f's own goroutine makes belong to it for ever, also when they are used elsewhere.
func (n *NetNS) Do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// the thread ends with this goroutine, locked as it still is, and takes the foreign namespace with it
		runtime.LockOSThread()
		result <- func() error {
			file, err := os.Open("/run/netns/" + n.Name)
			if err != nil {
				return err
			}
			defer func() { _ = file.Close() }()
			if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("cannot enter network namespace %s: %w", n.Name, err)
			}
			return f()
		}()
	}()
	return <-result
}

// Listen listens in the namespace, or in the test's own when n is nil, on an address such as 127.0.0.1:0.
func (n *NetNS) Listen(address string) (listener net.Listener, err error) {
	if n == nil {
		return net.Listen("tcp", address)
	}
	err = n.Do(func() error {
		listener, err = net.Listen("tcp", address)
		return err
	})
	return listener, err
}

// Client returns an HTTP client whose connections are made in the namespace, to literal addresses only; in the test's own
// when n is nil. It keeps none open.
func (n *NetNS) Client() *http.Client {
	transport := &http.Transport{DisableKeepAlives: true}
	if n != nil {
		transport.DialContext = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			err = n.Do(func() error {
				conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
				return err
			})
			return conn, err
		}
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: transport}
}
