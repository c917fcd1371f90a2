package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/firstcall-agent/firstcall/probes/probetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"firstcall": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs what people type. Beside testscript's own commands there are:
//
//	target NAME            a web server; its address is $NAME
//	break NAME, mend NAME  its answer becomes 503, and 200 again
//	record FILE            writes some 5 ms every 5 minutes of the last twenty days as CSV
//	scene NAME             a made-up agent in that state (see webtest.Scenes); FIRSTCALL_URL becomes its address
//	certificate            cert.pem and key.pem for 127.0.0.1
//	agent [FLAG...]        'firstcall run' on firstcall.yaml; FIRSTCALL_URL becomes its address, its log is agent.log
//	stops SIGNAL... CODE   the agent, sent the signals, ends with that exit code
//	exits CODE COMMAND...  the command ends with that exit code
//	until TEXT COMMAND...  the command is run until its output matches the regular expression
//	receiver FILE LAG [deaf] a webhook receiver, one that takes no update where it is deaf; FILE is a configuration with desks for it
//	month FILE             writes a store with a day of October 2024 and an incident in it
//	hostport NAME URL      NAME becomes the host and port of the address
//	trace FILE             writes two days of a series as CSV: an outage, a slow hour, bursts
var update = flag.Bool("update", false, "write what the commands print into the scripts")

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		UpdateScripts: *update,
		Dir:           "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("SUDO_USER", "ada")
			e.Setenv("GORACE", noSleep)
			e.Values[theFixture{}] = &fixture{targets: map[string]*target{}}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"record": writeRecord, "scene": startScene, "target": startTarget, "break": breaking(true), "mend": breaking(false), "certificate": makeCertificate,
			"agent": startAgent, "stops": stopAgent, "exits": exits, "until": until, "trace": writeTrace, "month": writeMonth, "receiver": startReceiver,
			"hostport": hostPort,
		},
	})
}

// patience is how long a script waits for what must come.
const patience = 30 * time.Second

// noSleep keeps a program under the race detector from sleeping for a second whenever it ends well.
const noSleep = "atexit_sleep_ms=0"

type theFixture struct{}

// fixture is what one script runs beside its commands.
type fixture struct {
	targets map[string]*target
	agent   *exec.Cmd
	ended   chan error
}

func fixtureOf(ts *testscript.TestScript) *fixture { return ts.Value(theFixture{}).(*fixture) }

// target is a web server that a script breaks.
type target struct{ broken atomic.Bool }

func (s *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.broken.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/401":
		w.WriteHeader(http.StatusUnauthorized)
	}
	_, _ = fmt.Fprint(w, "welcome")
}

func startTarget(ts *testscript.TestScript, _ bool, args []string) {
	s := &target{}
	srv := httptest.NewServer(s)
	ts.Defer(srv.Close)
	fixtureOf(ts).targets[args[0]] = s
	ts.Setenv(args[0], srv.URL)
}

// breaking breaks or mends the target named $1.
func breaking(broken bool) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		fixtureOf(ts).targets[args[0]].broken.Store(broken)
	}
}

func hostPort(ts *testscript.TestScript, _ bool, args []string) {
	_, address, ok := strings.Cut(args[1], "://")
	if !ok {
		ts.Fatalf("%s is no address", args[1])
	}
	ts.Setenv(args[0], address)
}

func makeCertificate(ts *testscript.TestScript, _ bool, _ []string) {
	certificate, key, err := selfSigned()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("cert.pem"), certificate, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("key.pem"), key, 0o600))
}

func startAgent(ts *testscript.TestScript, _ bool, args []string) {
	f := fixtureOf(ts)
	binary, err := exec.LookPath("firstcall")
	ts.Check(err)
	log, err := os.Create(ts.MkAbs("agent.log"))
	ts.Check(err)
	ts.Defer(func() { _ = log.Close() })
	f.agent = exec.Command(binary, append([]string{"run", "--web.listen-address", "127.0.0.1:0"}, args...)...)
	f.agent.Dir = ts.MkAbs(".")
	for _, name := range []string{"WEB", "BACKEND", "GORACE"} {
		f.agent.Env = append(f.agent.Env, name+"="+ts.Getenv(name))
	}
	f.agent.Stdout, f.agent.Stderr = log, log
	ts.Check(f.agent.Start())
	f.ended = make(chan error, 1)
	var waiting sync.WaitGroup
	waiting.Go(func() { f.ended <- f.agent.Wait() })
	ts.Defer(func() {
		_ = f.agent.Process.Kill()
		waiting.Wait()
	})
	address := regexp.MustCompile(`the status page is up"[, ]"?url"?[=:]"?(http\S+?)/["\s]`)
	if !probetest.Eventually(patience, func() bool {
		if found := address.FindStringSubmatch(ts.ReadFile("agent.log")); found != nil {
			ts.Setenv("FIRSTCALL_URL", found[1])
			return true
		}
		return false
	}) {
		ts.Fatalf("the agent does not come up:\n%s", ts.ReadFile("agent.log"))
	}
}

func stopAgent(ts *testscript.TestScript, _ bool, args []string) {
	f := fixtureOf(ts)
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt}
	for _, name := range args[:len(args)-1] {
		ts.Check(f.agent.Process.Signal(signals[name]))
		if !probetest.Eventually(patience, func() bool { return strings.Contains(ts.ReadFile("agent.log"), "the agent stops") }) {
			ts.Fatalf("the agent does not hear the signal %s:\n%s", name, ts.ReadFile("agent.log"))
		}
	}
	select {
	case err := <-f.ended:
		checkCode(ts, args[len(args)-1], err)
	case <-time.After(patience):
		ts.Fatalf("the agent does not end:\n%s", ts.ReadFile("agent.log"))
	}
}

// checkCode wants the exit code, or "killed" by a signal, of a command that ended with err.
func checkCode(ts *testscript.TestScript, want string, err error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	got := "0"
	if exit != nil {
		got = strconv.Itoa(exit.ExitCode())
		if !exit.Exited() {
			got = "killed"
		}
	}
	if got != want {
		ts.Fatalf("exit code %s, want %s", got, want)
	}
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	checkCode(ts, args[0], ts.Exec(args[1], args[2:]...))
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	var out string
	if !probetest.Eventually(patience, func() bool {
		_ = ts.Exec(args[1], args[2:]...)
		out = ts.ReadFile("stdout") + ts.ReadFile("stderr")
		return want.MatchString(out) != neg
	}) {
		ts.Fatalf("%s does not come to print %q:\n%s", strings.Join(args[1:], " "), args[0], out)
	}
}

// selfSigned makes a certificate for 127.0.0.1, in PEM.
func selfSigned() (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: plain}), nil
}
