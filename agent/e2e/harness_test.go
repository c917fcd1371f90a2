//go:build servers && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// binary is the agent under test, built once.
var binary string

func TestMain(m *testing.M) { servers.RunWithAgent(m, &binary) }

// process is an agent that runs.
type process struct {
	t      testing.TB
	dir    string // of its configuration and its store
	file   string
	url    string
	cmd    *exec.Cmd
	ns     *servers.NetNS
	client *http.Client
	log    servers.Log
}

// prepare writes the configuration of an agent; it is not started yet. A web section is added.
func prepare(t testing.TB, configuration string) *process {
	t.Helper()
	dir := t.TempDir()
	port := servers.FreePort(t)
	p := &process{
		t: t, dir: dir, file: filepath.Join(dir, "firstcall.yaml"),
		url: fmt.Sprintf("http://127.0.0.1:%d", port), client: &http.Client{Timeout: 20 * time.Second},
	}
	p.configure(configuration)
	return p
}

func (p *process) configure(configuration string) {
	p.t.Helper()
	text := configuration + "\nweb: { listen: \"" + strings.TrimPrefix(p.url, "http://") + "\" }\n"
	if err := os.WriteFile(p.file+".new", []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(p.file+".new", p.file); err != nil {
		p.t.Fatal(err)
	}
}

// run starts an agent and returns when its page answers.
func run(t testing.TB, configuration string) *process {
	t.Helper()
	p := prepare(t, configuration)
	p.start()
	return p
}

func (p *process) start(args ...string) {
	p.t.Helper()
	args = append([]string{"run", "--config.file", p.file}, args...)
	if p.ns != nil {
		p.cmd = p.ns.Command(binary, args...)
		p.client = p.ns.Client()
	} else {
		p.cmd = exec.Command(binary, args...)
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd := p.cmd
	p.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p.eventually(20*time.Second, "the page answers", func() bool {
		_, err := p.get("/-/healthy")
		return err == nil
	})
}

// kill ends the agent without a warning.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// stop asks the agent to end and wants it to do so in good order.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("the agent did not end well: %v\n%s", err, p.log.String())
	}
}

func (p *process) get(path string) ([]byte, error) {
	resp, err := p.client.Get(p.url + path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %d: %s", path, resp.StatusCode, data)
	}
	return data, err
}

// read asks the agent's API.
func (p *process) read(path string, into any) {
	p.t.Helper()
	data, err := p.get(path)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.log.String())
	}
}

func (p *process) status() web.Status {
	p.t.Helper()
	var s web.Status
	p.read("/api/v1/status", &s)
	return s
}

// incidents returns every incident, oldest first.
func (p *process) incidents() []incident.Incident {
	p.t.Helper()
	var answer web.Incidents
	p.read("/api/v1/incidents?limit=1000", &answer)
	slices.Reverse(answer.Incidents)
	return answer.Incidents
}

// open returns the open incidents of the SOC's classes.
func (p *process) open() []incident.Incident {
	p.t.Helper()
	return slices.DeleteFunc(p.incidents(), func(i incident.Incident) bool { return !i.Open() || !i.Class.OpensCase() })
}

func (p *process) cases() []incident.Case {
	p.t.Helper()
	var answer web.Cases
	p.read("/api/v1/cases?limit=1000", &answer)
	var all []incident.Case
	for _, c := range answer.Cases {
		all = append(all, c.Case)
	}
	return all
}

// firstCase waits for a live case; it may be called beside the test's own goroutine.
func (p *process) firstCase(within time.Duration) (c incident.Case, ok bool) {
	ok = probetest.Eventually(within, func() bool {
		var answer web.Cases
		data, err := p.get("/api/v1/cases?open=true")
		if err != nil || json.Unmarshal(data, &answer) != nil || len(answer.Cases) == 0 {
			return false
		}
		c = answer.Cases[0].Case
		return c.State.Live()
	})
	return c, ok
}

// liveCases returns the cases that exist and are not over.
func (p *process) liveCases() []incident.Case {
	p.t.Helper()
	return slices.DeleteFunc(p.cases(), func(c incident.Case) bool { return !c.State.Live() })
}

func (p *process) story(id string) web.Story {
	p.t.Helper()
	var s web.Story
	p.read("/api/v1/incidents/"+url.PathEscape(id), &s)
	return s
}

func (p *process) metric(name string) string {
	p.t.Helper()
	data, err := p.get("/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// eventually waits for a condition.
func (p *process) eventually(within time.Duration, what string, holds func() bool) {
	p.t.Helper()
	if !probetest.Eventually(within, holds) {
		p.t.Fatalf("not within %s: %s\n%s", within, what, p.log.String())
	}
}

// pause lets time pass in which something must not happen, or in which a fault must last.
func pause(d time.Duration) { <-time.After(d) }
