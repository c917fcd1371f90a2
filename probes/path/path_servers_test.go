//go:build servers

package path_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/path"
)

const inside = "FIRSTCALL_TEST_PATH"

// isolated runs the calling test again in a network namespace of its own and reports true there.
func isolated(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		run(t, "ip", "link", "set", "lo", "up")
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Run(); err != nil || !strings.Contains(output.String(), "--- PASS: "+t.Name()) {
		t.Errorf("in its namespace: %v\n%s", err, output.String())
	}
	return false
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if output, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, output)
	}
}

// host is a network namespace, kept by a process in it; 0 is the test's own.
type host int

func (h host) run(t *testing.T, name string, args ...string) {
	t.Helper()
	if h == 0 {
		run(t, name, args...)
		return
	}
	run(t, "nsenter", append([]string{"-t", fmt.Sprint(int(h)), "-n", name}, args...)...)
}

// filter makes the host drop or reject what the rule matches on its way.
func (h host) filter(t *testing.T, hook, rule string) {
	t.Helper()
	h.run(t, "nft", "add", "table", "inet", "f")
	h.run(t, "nft", "add", "chain", "inet", "f", hook, "{ type filter hook "+hook+" priority 0; }")
	h.run(t, "nft", append([]string{"add", "rule", "inet", "f", hook}, strings.Fields(rule)...)...)
}

// chain returns this host, two routers and a target, in a row: 10.0.1.1 - 10.0.1.2 10.0.2.1 - 10.0.2.2 10.0.3.1 - 10.0.3.2, and the
// same in fd00:1:: to fd00:3::.
func chain(t *testing.T) (first, second, target host) {
	t.Helper()
	hosts := []host{0}
	for range 3 {
		keeper := exec.Command("unshare", "--net", "sleep", "600")
		keeper.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := keeper.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = keeper.Process.Kill(); _ = keeper.Wait() })
		hosts = append(hosts, entered(t, keeper.Process.Pid))
	}
	for _, h := range hosts { // an address is used at once
		h.run(t, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
	}
	for i := 1; i < len(hosts); i++ {
		link(t, hosts[i-1], hosts[i], i)
	}
	for i, h := range hosts {
		forward := "1"
		h.run(t, "sh", "-c", "echo "+forward+" >/proc/sys/net/ipv4/ip_forward; echo "+forward+" >/proc/sys/net/ipv6/conf/all/forwarding; "+
			"echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit")
		if i < 3 {
			h.run(t, "ip", "route", "add", "default", "via", fmt.Sprintf("10.0.%d.2", i+1))
			h.run(t, "ip", "-6", "route", "add", "default", "via", fmt.Sprintf("fd00:%d::2", i+1))
		}
		if i > 1 {
			for net := 1; net < i; net++ {
				h.run(t, "ip", "route", "add", fmt.Sprintf("10.0.%d.0/24", net), "via", fmt.Sprintf("10.0.%d.1", i))
				h.run(t, "ip", "-6", "route", "add", fmt.Sprintf("fd00:%d::/64", net), "via", fmt.Sprintf("fd00:%d::1", i))
			}
		}
	}
	return hosts[1], hosts[2], hosts[3]
}

// entered waits until the process has a namespace of its own.
func entered(t *testing.T, pid int) host {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil && its != own {
			return host(pid)
		}
		if time.Now().After(end) {
			t.Fatalf("process %d got no namespace: %v", pid, err)
		}
		<-time.After(5 * time.Millisecond) // another process: no clock of ours to turn
	}
}

// link joins two hosts by the network of that number.
func link(t *testing.T, a, b host, number int) {
	t.Helper()
	left, right := fmt.Sprintf("r%d", number), fmt.Sprintf("l%d", number)
	a.run(t, "ip", "link", "add", left, "type", "veth", "peer", "name", right, "netns", fmt.Sprint(int(b)))
	for i, end := range []struct {
		host
		name string
	}{{a, left}, {b, right}} {
		end.run(t, "ip", "link", "set", "lo", "up")
		end.run(t, "ip", "addr", "add", fmt.Sprintf("10.0.%d.%d/24", number, i+1), "dev", end.name)
		end.run(t, "ip", "-6", "addr", "add", fmt.Sprintf("fd00:%d::%d/64", number, i+1), "dev", end.name, "nodad")
		end.run(t, "ip", "link", "set", end.name, "up")
	}
}

// listen makes the target accept connections at port 443.
func listen(t *testing.T, h host) {
	t.Helper()
	server := exec.Command("nsenter", "-t", fmt.Sprint(int(h)), "-n", os.Args[0], "-test.run=^TestListenHelper$")
	server.Env = append(os.Environ(), "FIRSTCALL_TEST_LISTEN=[::]:443")
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatalf("the listener did not begin: %v", err)
	}
}

// TestListenHelper is the listener's process.
func TestListenHelper(t *testing.T) {
	at := os.Getenv("FIRSTCALL_TEST_LISTEN")
	if at == "" {
		return
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}

func walk(t *testing.T, to string, port uint16) path.Walk {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	w := path.Find(ctx, netip.MustParseAddr(to), port)
	t.Log(strings.Join(w.Lines(), "\n"))
	return w
}

// want checks the addresses of the hops, "" for a silent one, and the end.
func want(t *testing.T, w path.Walk, end path.End, method path.Method, hops ...string) {
	t.Helper()
	var got []string
	for i, h := range w.Hops {
		text := ""
		if h.Addr.IsValid() {
			text = h.Addr.String()
		}
		if h.TTL != i+1 || h.Addr.IsValid() == (h.RTT == 0) {
			t.Errorf("hop %d: %+v", i+1, h)
		}
		got = append(got, text)
	}
	if w.End != end || w.Method != method || strings.Join(got, " ") != strings.Join(hops, " ") {
		t.Errorf("%s by %s over %q, want %s by %s over %q", w.End, w.Method, got, end, method, hops)
	}
}

func TestWalk(t *testing.T) {
	if !isolated(t) {
		return
	}
	_, _, target := chain(t)
	listen(t, target)
	w := walk(t, "10.0.3.2", 443)
	want(t, w, path.Answers, path.TCP, "10.0.1.2", "10.0.2.2", "10.0.3.2")
	if w.Local.String() != "10.0.1.1" || w.Via != "r1" {
		t.Errorf("from %s by %s, want 10.0.1.1 by r1", w.Local, w.Via)
	}
	if s := w.Summary(); s != "10.0.3.2:443 answers at hop 3" {
		t.Error(s)
	}
	want(t, walk(t, "fd00:3::2", 443), path.Answers, path.TCP, "fd00:1::2", "fd00:2::2", "fd00:3::2")
	want(t, walk(t, "10.0.3.2", 444), path.Refuses, path.TCP, "10.0.1.2", "10.0.2.2", "10.0.3.2")
	want(t, walk(t, "127.0.0.1", 9), path.Refuses, path.TCP, "127.0.0.1")
	// Without a port: this host lets nobody send echo requests, and then everybody.
	want(t, walk(t, "10.0.3.2", 0), path.Answers, path.UDP, "10.0.1.2", "10.0.2.2", "10.0.3.2")
	want(t, walk(t, "fd00:3::2", 0), path.Answers, path.UDP, "fd00:1::2", "fd00:2::2", "fd00:3::2")
	run(t, "sh", "-c", "echo '0 0' >/proc/sys/net/ipv4/ping_group_range")
	want(t, walk(t, "10.0.3.2", 0), path.Answers, path.ICMP, "10.0.1.2", "10.0.2.2", "10.0.3.2")
	want(t, walk(t, "fd00:3::2", 0), path.Answers, path.ICMP, "fd00:1::2", "fd00:2::2", "fd00:3::2")
}

// A firewall that swallows the packets, a hop that never says anything, and one that forbids.
func TestWalkFiltered(t *testing.T) {
	if !isolated(t) {
		return
	}
	first, second, target := chain(t)
	first.filter(t, "output", "meta l4proto { icmp, ipv6-icmp } ct state != invalid drop")
	second.filter(t, "forward", "tcp dport 80 reject with icmpx admin-prohibited")
	target.filter(t, "input", "tcp dport 443 drop")
	want(t, walk(t, "10.0.3.2", 444), path.Refuses, path.TCP, "", "10.0.2.2", "10.0.3.2")
	w := walk(t, "10.0.3.2", 443)
	want(t, w, path.Silent, path.TCP, "", "10.0.2.2")
	if s := w.Summary(); !strings.Contains(s, "the last hop that answers is 2, 10.0.2.2, none of the ") {
		t.Error(s)
	}
	w = walk(t, "10.0.3.2", 80)
	want(t, w, path.Unreachable, path.TCP, "", "10.0.2.2", "10.0.2.2")
	if s := w.Summary(); s != "10.0.3.2:80 cannot be reached: 10.0.2.2 says: administratively prohibited" {
		t.Error(s)
	}
	w = walk(t, "10.0.3.9", 443) // nobody: the last router says so, after it has looked for the host
	want(t, w, path.Unreachable, path.TCP, "", "10.0.2.2", "10.0.2.2")
	if s := w.Summary(); !strings.HasSuffix(s, "10.0.2.2 says: host unreachable") {
		t.Error(s)
	}
}

// This host has no route, forbids, or the context ends.
func TestWalkLocal(t *testing.T) {
	if !isolated(t) {
		return
	}
	w := walk(t, "10.0.3.2", 443)
	want(t, w, path.Unreachable, path.TCP)
	if s := w.Summary(); s != "10.0.3.2:443 cannot be reached: this host says: network is unreachable" {
		t.Error(s)
	}
	_, _, target := chain(t)
	target.filter(t, "input", "tcp dport 443 drop")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w := path.Find(ctx, netip.MustParseAddr("10.0.3.2"), 443); w.End != path.Cut || !strings.Contains(w.Summary(), "cut short") {
		t.Errorf("%+v", w)
	}
	host(0).filter(t, "output", "tcp dport 443 reject with icmpx admin-prohibited")
	if w := walk(t, "10.0.3.2", 443); w.End != path.Unreachable && w.End != path.NotPermitted {
		t.Errorf("%+v", w)
	}
}
