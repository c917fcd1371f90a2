//go:build linux

package servers

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rtPackages bring Request Tracker; the second brings a mail program that asks nothing.
const rtPackages = "request-tracker5 rt5-standalone rt5-db-sqlite rt5-clients dbconfig-no-thanks msmtp-mta"

// rtServer is where Debian puts the server, which is on no PATH.
const rtServer = "/usr/share/request-tracker5/libexec/rt-server"

// rtGuarded starts a server whose workers would outlive it: when standard input ends, with the test binary, the group does too.
const rtGuarded = `exec 3<&0; (read -r _ <&3; kill -KILL 0) & exec 3<&-; exec "$0" "$@" </dev/null`

//go:embed testdata/rt/seed.pl
var rtSeed string

//go:embed testdata/rt/RT_SiteConfig.pm
var rtConfig string

// RTOptions describe a Request Tracker. The zero value is the one that tests share (see Sharing); its mails go nowhere.
type RTOptions struct {
	SMTP string // host:port that takes its mails; "": a port on which nothing listens
}

// RT is a running Request Tracker 5 with queue SOC, the custom fields of a desk of kind rt (the values of FC-Key must be unique),
// and two accounts: fc-agent with the rights that such a desk needs, soc-op for an operator.
type RT struct {
	RTClient
	URL                       string // http://127.0.0.1:port
	AgentToken, OperatorToken string
	Dir                       string // its data

	process *Process
}

// rtShared is the running one of the zero options, guarded by sharing.
var rtShared *RT

// StartRT starts a Request Tracker, or returns the one that tests share. The initialised database is kept in the user's cache
// directory, so that only the first start on a machine takes long.
func StartRT(t testing.TB, o RTOptions) *RT {
	t.Helper()
	if o != (RTOptions{}) {
		r := startRT(t, o, t.TempDir())
		t.Cleanup(r.process.Stop)
		return r.of(t)
	}
	sharing.Lock()
	defer sharing.Unlock()
	if rtShared != nil {
		return rtShared.of(t)
	}
	if !sharing.on {
		r := startRT(t, o, t.TempDir())
		t.Cleanup(r.process.Stop)
		return r.of(t)
	}
	dir, err := os.MkdirTemp("", "firstcall-rt-") //nolint:usetesting // it outlives the test that comes first
	if err != nil {
		t.Fatal(err)
	}
	sharing.end = append(sharing.end, func() { _ = os.RemoveAll(dir) })
	r := startRT(t, o, dir)
	sharing.end = append([]func(){func() { r.process.Stop(); rtShared = nil }}, sharing.end...)
	rtShared = r
	return r.of(t)
}

// of returns r for another test.
func (r *RT) of(t testing.TB) *RT {
	mine := *r
	mine.RTClient = RTClient{t: t, url: r.URL, token: r.OperatorToken}
	return &mine
}

// Log returns what the server has written to its log.
func (r *RT) Log() string { return r.process.Log() }

// Stop ends the server and its workers. A shared one cannot be stopped.
func (r *RT) Stop() {
	r.t.Helper()
	sharing.Lock()
	alone := rtShared == nil || rtShared.process != r.process
	sharing.Unlock()
	if !alone {
		r.t.Fatal("other tests need this Request Tracker: start one with options")
	}
	r.process.Stop()
}

func startRT(t testing.TB, o RTOptions, dir string) *RT {
	t.Helper()
	for _, name := range []string{rtServer, "rt-setup-database-5", "rt-mailgate-5", "msmtp", "perl"} {
		program(t, name, rtPackages)
	}
	port := FreePort(t)
	configureRT(t, dir, port, o.SMTP)
	template := rtTemplate(t)
	for _, name := range []string{"rt5.sqlite", "agent", "operator"} {
		content, err := os.ReadFile(filepath.Join(template, name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), content)
	}
	r := &RT{URL: "http://" + address(port), Dir: dir}
	for file, into := range map[string]*string{"agent": &r.AgentToken, "operator": &r.OperatorToken} {
		token, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		*into = strings.TrimSpace(string(token))
	}
	r.process = &Process{t: t, name: "Request Tracker", ports: []int{port}, log: &Log{}, build: func() *exec.Cmd {
		cmd := rtCommand(context.Background(), dir, "sh", "-c", rtGuarded, rtServer,
			"--server", "Starlet", "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--max-workers", "3", "--max-reqs-per-child", "100000") // a new one compiles for seconds
		if _, err := cmd.StdinPipe(); err != nil { // never written to: it closes when this process ends
			t.Fatal(err)
		}
		return cmd
	}}
	r.process.Start()
	if err := until(readyWithin, func() (bool, error) { return r.answers(), nil }); err != nil {
		log := r.process.Log()
		r.process.Stop()
		t.Fatalf("Request Tracker does not answer: %v\n%s", err, log)
	}
	return r
}

// answers reports whether the server serves its interface.
func (r *RT) answers() bool {
	request, err := http.NewRequest(http.MethodGet, r.URL+"/REST/2.0/rt", nil)
	if err != nil {
		return false
	}
	request.Header.Set("Authorization", "token "+r.AgentToken)
	response, err := rtHTTP.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// configureRT writes a configuration of its own into dir: nothing below /etc is read or changed.
func configureRT(t testing.TB, dir string, port int, smtp string) {
	t.Helper()
	for _, sub := range []string{"mason", "session", "empty.d"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if smtp == "" {
		smtp = "127.0.0.1:9" // discard, which no system runs any more
	}
	host, smtpPort, _ := strings.Cut(smtp, ":")
	fill := strings.NewReplacer("@PORT@", strconv.Itoa(port), "@DIR@", dir)
	writeFile(t, filepath.Join(dir, "RT_SiteConfig.pm"), []byte(fill.Replace(rtConfig)))
	mail := fmt.Sprintf("account default\nhost %s\nport %s\nfrom rt@soc.example\nauth off\ntls off\n", host, smtpPort)
	writeFile(t, filepath.Join(dir, "msmtprc"), []byte(mail))
}

// rtCommand returns a command that uses the configuration in dir.
func rtCommand(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "RT_SITE_CONFIG="+filepath.Join(dir, "RT_SiteConfig.pm"), "RT_SITE_CONFIG_DIR="+filepath.Join(dir, "empty.d"))
	return cmd
}

// rtTemplate returns the directory with the initialised database and its tokens. Test binaries run side by side: the first one
// makes it, under a file lock, and the others wait for it.
func rtTemplate(t testing.TB) string {
	t.Helper()
	version, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "request-tracker5").Output()
	if err != nil {
		t.Fatalf("cannot ask for the version of Request Tracker: %v: apt-get install -y --no-install-recommends %s", err, rtPackages)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(string(version) + rtSeed + rtConfig))
	path := filepath.Join(cache, "firstcall", "rt-"+hex.EncodeToString(sum[:8]))
	defer lockPath(t, path)()
	if _, err := os.Stat(path); err == nil {
		return path
	}
	t.Logf("initialising a Request Tracker once, kept in %s", path)
	dir := path + ".new" // of an attempt that broke off, perhaps
	_ = os.RemoveAll(dir)
	defer func() { _ = os.RemoveAll(dir) }()
	configureRT(t, dir, 1, "")
	seed := filepath.Join(dir, "seed.pl")
	writeFile(t, seed, []byte(rtSeed))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{program(t, "rt-setup-database-5", rtPackages), "--action", "init", "--skip-create"}, {"perl", seed, dir},
	} {
		if out, err := rtCommand(ctx, dir, args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("cannot initialise Request Tracker: %s: %v\n%s", args[0], err, out)
		}
	}
	if err := os.Rename(dir, path); err != nil {
		t.Fatal(err)
	}
	return path
}
