//go:build servers && linux

package servers

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// get returns status and body, or the error of the connection.
func get(t *testing.T, client *http.Client, url string) (int, string, error) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

var plain = (*NetNS)(nil).Client

// group returns the ids of the processes of a process group that are not zombies.
func group(t *testing.T, pgid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var members []int
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
		if fields[2] == strconv.Itoa(pgid) && fields[0] != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			members = append(members, pid)
		}
	}
	return members
}

// orphanEnv makes this test binary start servers, print their ids and end without any clean-up.
const orphanEnv = "FIRSTCALL_TEST_ORPHANS"

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		t := &testing.T{}
		fmt.Println(startProcess(t, "sleep", func() *exec.Cmd { return exec.Command("sleep", "600") }).PID())
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func TestServersDieWithATestBinaryThatEndsWithoutCleanup(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), orphanEnv+"=1")
	out, err := cmd.Output()
	if exit := (&exec.ExitError{}); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	if err := until(stopWithin, func() (bool, error) { return len(group(t, pid)) == 0, nil }); err != nil {
		t.Errorf("process %d lives on: %v", pid, err)
	}
}

// wantGone fails unless nothing of the group runs and nobody listens on the port.
func wantGone(t *testing.T, pid int, addresses ...string) {
	t.Helper()
	if left := group(t, pid); len(left) > 0 {
		t.Errorf("processes %v of group %d are left behind", left, pid)
	}
	for _, a := range addresses {
		if conn, err := net.DialTimeout("tcp", a, time.Second); err == nil {
			_ = conn.Close()
			t.Errorf("somebody still listens on %s", a)
		} else if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want connection refused", a, err)
		}
	}
}

func TestEveryServerStartsStopsAndStartsAgainAndLeavesNothingBehind(t *testing.T) {
	starts := map[string]func(t *testing.T) (*Process, string){
		"nginx": func(t *testing.T) (*Process, string) {
			n := StartNginx(t, NginxOptions{})
			return n.Process, address(n.HTTP[0])
		},
		"xrdp": func(t *testing.T) (*Process, string) { s := StartXrdp(t, XrdpOptions{}); return s.Process, s.Address },
		"weston": func(t *testing.T) (*Process, string) {
			s := StartWeston(t, WestonOptions{})
			return s.Process, s.Address
		},
		"shadow": func(t *testing.T) (*Process, string) {
			s := StartShadow(t, ShadowOptions{})
			return s.Process, s.Address
		},
		"prometheus": func(t *testing.T) (*Process, string) {
			p := StartPrometheus(t, PrometheusOptions{})
			return p.Process, strings.TrimPrefix(p.URL, "http://")
		},
		"mailpit": func(t *testing.T) (*Process, string) {
			m := StartMailpit(t, MailpitOptions{})
			return m.Process, m.SMTP
		},
		"mailpit, auth": func(t *testing.T) (*Process, string) {
			m := StartMailpit(t, MailpitOptions{STARTTLS: true})
			return m.Process, m.SMTP
		},
	}
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			var first, second int
			var at string
			t.Run("while", func(t *testing.T) { // its cleanup stops the server
				var p *Process
				p, at = start(t)
				first = p.PID()
				p.Stop()
				wantGone(t, first, at)
				p.Start()
				p.Kill()
				wantGone(t, first, at)
				p.Start()
				second = p.PID()
				conn, err := net.Dial("tcp", at)
				if err != nil {
					t.Fatalf("does not accept after Start: %v\n%s", err, p.Log())
				}
				_ = conn.Close()
				p.Freeze()
			})
			if !t.Failed() {
				wantGone(t, second, at)
			}
		})
	}
}

func TestNginxServesItsLocationsOnEveryPortAndOthersAfterRestart(t *testing.T) {
	ports := []int{FreePort(t), FreePort(t), FreePort(t)}
	n := StartNginx(t, NginxOptions{HTTP: ports[:2], HTTPS: ports[2:], Locations: `location / { return 200 "Perfion\n"; }`})
	roots := x509.NewCertPool()
	roots.AddCert(n.Cert.Leaf)
	secure := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	for _, url := range []string{"http://" + address(ports[0]), "http://" + address(ports[1]), "https://" + address(ports[2])} {
		if status, body, err := get(t, secure, url); status != 200 || body != "Perfion\n" || err != nil {
			t.Errorf("%s: %d %q %v, want 200 Perfion", url, status, body, err)
		}
	}
	n.Restart(t, `location / { return 503; }`)
	if status, _, err := get(t, secure, n.URL()); status != 503 || err != nil {
		t.Errorf("after Restart: %d %v, want 503", status, err)
	}
}

func TestFrozenServerAcceptsButDoesNotAnswerUntilThawed(t *testing.T) {
	n := StartNginx(t, NginxOptions{})
	n.Freeze()
	client := plain()
	client.Timeout = 300 * time.Millisecond
	if _, _, err := get(t, client, n.URL()); !os.IsTimeout(err) {
		t.Errorf("frozen: %v, want a timeout", err)
	}
	n.Thaw()
	if status, _, err := get(t, plain(), n.URL()); status != 200 || err != nil {
		t.Errorf("thawed: %d %v, want 200", status, err)
	}
}

func TestRelayForwardsOnlyTheFirstBytesOfTheServer(t *testing.T) {
	n := StartNginx(t, NginxOptions{})
	relay := StartRelay(t, address(n.HTTP[0]), Unlimited)
	if status, _, err := get(t, plain(), "http://"+relay.Address); status != 200 || err != nil {
		t.Fatalf("unlimited: %d %v, want 200", status, err)
	}
	for _, limit := range []int64{0, 5} {
		relay.SetLimit(limit)
		conn, err := net.Dial("tcp", relay.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if string(got) != "HTTP/1.1 200 OK"[:limit] || !os.IsTimeout(err) {
			t.Errorf("limit %d: %q %v, want that many bytes and then silence", limit, got, err)
		}
		if n := relay.Forwarded(); limit > 0 && n != limit {
			t.Errorf("forwarded %d bytes, want %d", n, limit)
		}
	}
}

func TestSilentListenerAcceptsAndSaysNothing(t *testing.T) {
	s := StartSilent(t)
	conn, err := net.Dial("tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !os.IsTimeout(err) {
		t.Errorf("read %d bytes, %v; want silence", n, err)
	}
	if s.Accepted() != 1 {
		t.Errorf("accepted %d connections, want 1", s.Accepted())
	}
}

func TestCertificatesAreAsAsked(t *testing.T) {
	ca := SelfSigned(t, CertOptions{CommonName: "Test CA", CA: true, ECDSA: true, NotBefore: time.Now().Add(-100 * time.Hour)})
	end := time.Now().Add(-48 * time.Hour).UTC().Truncate(time.Second)
	leaf := SelfSigned(t, CertOptions{Issuer: ca, Hosts: []string{"a.example", "127.0.0.9"}, NotBefore: end.Add(-time.Hour), NotAfter: end})
	if !leaf.Leaf.NotAfter.Equal(end) {
		t.Errorf("not after %v, want %v", leaf.Leaf.NotAfter, end)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	for _, host := range []string{"a.example", "127.0.0.9"} {
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: end.Add(-time.Minute)}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := tls.LoadX509KeyPair(leaf.CertFile, leaf.KeyFile); err != nil {
		t.Errorf("the files do not fit: %v", err)
	}
	negative := SelfSigned(t, CertOptions{NegativeSerial: true, ECDSA: true})
	if _, err := x509.ParseCertificate(negative.DER); err == nil || !strings.Contains(err.Error(), "negative serial") {
		t.Errorf("parsing gives %v, want negative serial number", err)
	}
}

func TestNetworkNamespaceIsCutAndRestored(t *testing.T) {
	ns := StartNetNS(t)
	n := StartNginx(t, NginxOptions{HTTP: []int{FreePort(t), FreePort(t)}, NetNS: ns})
	near, far := "http://"+address(n.HTTP[0]), "http://"+address(n.HTTP[1])
	client := ns.Client()
	client.Timeout = 500 * time.Millisecond
	want := func(when, url string, good bool, cause func(error) bool) {
		t.Helper()
		status, _, err := get(t, client, url)
		if good && (err != nil || status != 200) || !good && !cause(err) {
			t.Errorf("%s: %s: %d %v", when, url, status, err)
		}
	}
	unreachable := func(err error) bool { return errors.Is(err, syscall.ENETUNREACH) }
	want("at first", near, true, nil)
	if _, _, err := get(t, plain(), near); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("from outside: %v, want connection refused", err)
	}
	ns.Cut()
	want("cut", near, false, unreachable)
	ns.Restore()
	want("restored", near, true, nil)
	ns.Cut(n.HTTP[1])
	want("one port cut", far, false, unreachable)
	want("one port cut", near, true, nil)
	ns.Restore()
	ns.Drop(n.HTTP[1])
	want("one port dropped", far, false, os.IsTimeout)
	want("one port dropped", near, true, nil)
	ns.Restore()
	ns.Drop()
	want("all dropped", near, false, os.IsTimeout)
	ns.Restore()
	want("restored", far, true, nil)
}
