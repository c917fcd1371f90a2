package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// target is a server that a test breaks.
type target struct {
	*httptest.Server
	broken atomic.Bool
}

func newTarget(t *testing.T) *target {
	s := &target{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s.broken.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "welcome")
	}))
	t.Cleanup(s.Close)
	return s
}

// site is a configuration on disk.
type site struct {
	dir, file string
	log       bytes.Buffer // of every agent; to be read when none runs
}

const siteConfig = `
tenant: { id: acme }
defaults: { interval: 500ms, timeout: 450ms }
detection: { rechecks: 2, recheck_within: 100ms, recover: 2 }
policy: { settle: 100ms }
store: { url: "sqlite:%s" }
web: { listen: "127.0.0.1:0" }
components:
  - name: backend
    probes: [{ kind: http, url: "%s" }]
  - name: web-client
    probes: [{ kind: http, url: "%s" }]
%s`

func newSite(t *testing.T, backend, client *target) *site {
	dir := t.TempDir()
	s := &site{dir: dir, file: filepath.Join(dir, "firstcall.yaml")}
	s.write(t, backend, client, "")
	return s
}

func (s *site) write(t *testing.T, backend, client *target, more string) {
	t.Helper()
	text := fmt.Sprintf(siteConfig, filepath.Join(s.dir, "firstcall.db"), backend.URL, client.URL, more)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs an agent on the site and returns it with the function that stops it.
func (s *site) start(t *testing.T, alertOnly bool) (a *Agent, stop func()) {
	t.Helper()
	c, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	a, err = New(ctx, Options{Config: c, ConfigFile: s.file, AlertOnly: alertOnly, Version: "test", Log: slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), &s.log), nil)), OnReady: func(url string) { ready <- url }})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-ready
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the agent did not stop cleanly: %v", err)
		}
	})
	t.Cleanup(stop)
	waitFor(t, "readiness", func() bool { return a.Health().Ready })
	return a, stop
}

// cases returns the cases of a running agent's store.
func cases(t *testing.T, a *Agent) []incident.Case {
	t.Helper()
	list, err := a.store.Cases(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestAnOutageBecomesOneCaseThatIsResolved(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	a, stop := s.start(t, false)

	for _, path := range []string{"", "-/healthy", "-/ready", "api/v1/status"} {
		if code, body := get(t, a.URL()+path); code != http.StatusOK {
			t.Errorf("/%s answers %d: %s", path, code, body)
		}
	}
	backend.broken.Store(true)
	waitFor(t, "case", func() bool {
		list := cases(t, a)
		return len(list) == 1 && list[0].State == incident.CaseNew && strings.HasPrefix(list[0].Number, "FC-")
	})
	c := cases(t, a)[0]
	if c.Priority != incident.P2 || !strings.Contains(c.Incident, "backend") {
		t.Errorf("case %+v; want one of priority 2 for backend", c)
	}
	_, page := get(t, a.URL()+"metrics")
	for _, want := range []string{
		`firstcall_incident_open{class="availability",component="backend",priority="P2"} 1`,
		`firstcall_cases_total{action="open",desk="builtin",result="ok"} 1`,
		`probe_success{probe="backend/http"} 0`,
		`probe_success{probe="web-client/http"} 1`,
		`firstcall_agent_info{mode="full",tenant="acme"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if err := a.Act(t.Context(), c.Number, desk.Acknowledge, "soc", ""); err != nil {
		t.Errorf("the case cannot be acknowledged: %v", err)
	}

	backend.broken.Store(false)
	waitFor(t, "resolved case", func() bool {
		list := cases(t, a)
		return len(list) == 1 && list[0].State == incident.CaseResolved
	})
	if n := len(a.Recent("backend/http")); n == 0 || a.Recent("nobody") != nil {
		t.Errorf("%d recent results of the probe", n)
	}
	if info, ok := a.Info("backend/http"); !ok || info.Kind != "http" || info.Interval != 500*time.Millisecond {
		t.Errorf("info %+v, %v", info, ok)
	}
	stop()
	for _, step := range []string{"opened", "case-opened", "resolved", "case-resolved"} {
		if n := strings.Count(s.log.String(), " step="+step+" incident="+c.Incident+" priority=P2 text="); n != 1 {
			t.Errorf("the log tells %d times of the step %s", n, step)
		}
	}
}

func TestARestartInMidIncidentKeepsTheCase(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	a, stop := s.start(t, false)
	backend.broken.Store(true)
	waitFor(t, "case", func() bool { list := cases(t, a); return len(list) == 1 && list[0].Number != "" })
	number := cases(t, a)[0].Number
	stop()

	a, stop = s.start(t, false)
	if open := a.View().Incidents; len(open) != 1 || open[0].Root != "backend" {
		t.Fatalf("after the restart %d incidents are open; want the one of before", len(open))
	}
	backend.broken.Store(false)
	waitFor(t, "resolved case", func() bool { return cases(t, a)[0].State == incident.CaseResolved })
	if list := cases(t, a); len(list) != 1 || list[0].Number != number {
		t.Errorf("cases after the restart: %+v; want %s alone", list, number)
	}
	stop()
}

func TestAlertOnlyOpensNoCase(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	a, stop := newSite(t, backend, client).start(t, true)
	if n := len(a.set.Load().desks); n != 0 {
		t.Fatalf("%d desks were built", n)
	}
	backend.broken.Store(true)
	waitFor(t, "incident", func() bool {
		list, err := a.store.Incidents(t.Context(), store.IncidentFilter{Open: true})
		return err == nil && len(list) == 1
	})
	if err := a.Act(t.Context(), "FC-2026-000001", desk.Acknowledge, "soc", ""); err == nil || !strings.Contains(err.Error(), "alert-only") {
		t.Errorf("an action in alert-only mode gives %v", err)
	}
	stop()
	if !a.Health().AlertOnly {
		t.Error("health does not say that the agent is in alert-only mode")
	}
}

func TestReloadSwapsAGoodConfigurationAndRefusesABadOne(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	a, stop := s.start(t, false)
	before := a.set.Load()

	refused := func(what, want string) {
		t.Helper()
		err := a.Reload(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: reload gives %v; want an error with %q", what, err, want)
		}
		if a.set.Load() != before {
			t.Fatalf("%s: the old configuration is not in force any more", what)
		}
		if h := a.Health(); !strings.Contains(h.ConfigError, want) {
			t.Errorf("%s: health says %q", what, h.ConfigError)
		}
		if _, page := get(t, a.URL()+"metrics"); !strings.Contains(page, "firstcall_config_last_reload_successful 0") {
			t.Errorf("%s: the metrics do not show it", what)
		}
		if n := len(a.Recent("backend/http")); n == 0 {
			t.Errorf("%s: probing ended", what)
		}
	}
	s.write(t, backend, client, "nonsense: true\n")
	refused("unknown key", "nonsense")
	good := s.file
	moved := &site{dir: t.TempDir(), file: good}
	moved.write(t, backend, client, "")
	refused("another store", "store.url changed")

	s.write(t, backend, client, "  - name: remote-desktop\n    probes: [{ kind: tcp, address: \""+strings.TrimPrefix(client.URL, "http://")+"\" }]\n")
	if err := a.Reload(t.Context()); err != nil {
		t.Fatalf("a good configuration is refused: %v", err)
	}
	after := a.set.Load()
	if after == before || len(after.jobs) != 3 || after.byID["backend/http"] != before.byID["backend/http"] {
		t.Errorf("after the reload there are %d jobs, the unchanged one kept: %v", len(after.jobs), after.byID["backend/http"] == before.byID["backend/http"])
	}
	waitFor(t, "result of the new probe", func() bool { return len(a.Recent("remote-desktop/tcp")) > 0 })
	if h := a.Health(); h.ConfigError != "" || h.ConfigDigest == before.config.Digest || !h.Ready {
		t.Errorf("health after a good reload: %+v", h)
	}
	if n := len(a.View().Components); n != 3 {
		t.Errorf("%d components are judged; want 3", n)
	}

	s.write(t, backend, client, "vantage: elsewhere\n")
	resp, err := http.Post(a.URL()+"-/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if c := a.set.Load().config; resp.StatusCode != http.StatusOK || c.Vantage != "elsewhere" {
		t.Errorf("POST /-/reload answers %d, vantage %q", resp.StatusCode, c.Vantage)
	}
	if _, ok := a.Info("remote-desktop/tcp"); ok || len(a.View().Components) != 2 {
		t.Error("a component that was removed is still there")
	}

	var all sync.WaitGroup
	var failed atomic.Int32
	for i := range 20 {
		all.Go(func() {
			if i%2 == 0 {
				_ = a.View()
				_ = a.Health()
			}
			if a.Reload(t.Context()) != nil {
				failed.Add(1)
			}
		})
	}
	all.Wait()
	if failed.Load() != 0 || len(a.set.Load().jobs) != 2 {
		t.Errorf("%d of 20 reloads at once failed", failed.Load())
	}
	stop()
	if err := a.Reload(t.Context()); err == nil {
		t.Error("an agent that stopped was reloaded")
	}
}

func TestAReloadInMidIncidentKeepsTheCaseAndItsNumber(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	a, stop := s.start(t, false)
	backend.broken.Store(true)
	waitFor(t, "case", func() bool { list := cases(t, a); return len(list) == 1 && list[0].Number != "" })
	for i := range 5 {
		s.write(t, backend, client, fmt.Sprintf("vantage: place-%d\n", i))
		if err := a.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	backend.broken.Store(false)
	waitFor(t, "resolved case", func() bool { return cases(t, a)[0].State == incident.CaseResolved })
	if n := len(cases(t, a)); n != 1 {
		t.Errorf("%d cases; want one", n)
	}
	stop()
}

func TestTheAddressIsOneThatThisMachineCanOpen(t *testing.T) {
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	tls := filepath.Join(s.dir, "web.yaml")
	for text, want := range map[string]bool{"basic_auth_users: {}\n": false, "tls_server_config: { cert_file: cert.pem, key_file: key.pem }\n": true} {
		if err := os.WriteFile(tls, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := webTLS(tls); got != want {
			t.Errorf("%q turns TLS on: %v", text, got)
		}
	}
	c, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Options{Config: c, ListenOverride: ":0"})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.URL(); !strings.HasPrefix(got, "http://localhost:") {
		t.Errorf("the page is at %s", got)
	}
	if err := a.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "without a configuration file") {
		t.Errorf("a reload without a file gives %v", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestStartFailsClearly(t *testing.T) {
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	c, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	taken := strings.TrimPrefix(backend.URL, "http://")
	if err := Run(t.Context(), Options{Config: c, ListenOverride: taken}); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("an address that is taken gives %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(300*time.Millisecond, func() { cancel(errors.New("enough")) })
	if err := Run(ctx, Options{Config: c}); err != nil {
		t.Errorf("after a failed start the agent does not run: %v", err)
	}
}

func TestHeartbeatIsHeldBackWhileTheAgentCannotDoItsWork(t *testing.T) {
	t.Parallel()
	url, beats, _ := watchdog(t)
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	s.write(t, backend, client, fmt.Sprintf("heartbeat: { url: %q, every: 1s }\n", url))
	a, stop := s.start(t, false)
	waitFor(t, "heartbeat", func() bool { return beats.Load() > 0 && !a.Health().Heartbeat.IsZero() })
	if why := a.silent(); why != "" {
		t.Errorf("heartbeats are held back: %s", why)
	}
	stop()
	a.lag.newest.Store(int64(-time.Hour))
	if s := a.fleetStatus(); s.Trouble != "" {
		t.Errorf("the fleet is told of trouble: %s", s.Trouble)
	}
	a.configError = "acme.yaml:9:7: unknown key\n    9 |   key: 1"
	if s := a.fleetStatus(); s.Trouble != "The newest configuration is not in force: acme.yaml:9:7: unknown key" {
		t.Errorf("while a configuration is refused the fleet is told %q", s.Trouble)
	}
	a.lag.note(a.clock.mono(), a.clock.mono(), "the machine slept")
	if s := a.fleetStatus(); !strings.Contains(s.Trouble, "late") || !strings.HasSuffix(s.Trouble, " (and 1 more)") {
		t.Errorf("while the agent is late, too, the fleet is told %q", s.Trouble)
	}
	a.lag.newest.Store(int64(-time.Hour))

	a.writer.trouble[incidents] = trouble{err: errors.New("disk full"), since: a.clock.mono() - 59*time.Second}
	if why := a.silent(); why != "" {
		t.Errorf("heartbeats are held back after 59 s without a store: %s", why)
	}
	a.writer.trouble[incidents].since -= 2 * time.Second
	if why := a.silent(); !strings.Contains(why, "store") {
		t.Errorf("after a minute without a store: %q", why)
	}
	a.writer.trouble[incidents] = trouble{}
	a.judge.view, a.judge.viewed = engine.View{Blind: true}, a.clock.mono()+time.Hour
	if why := a.silent(); !strings.Contains(why, "blind") {
		t.Errorf("while blind: %q", why)
	}
	a.judge.moved.Store(int64(a.clock.mono() - judgeStuck - 1))
	if why := a.silent(); !strings.Contains(why, "stands still") {
		t.Errorf("while the judge is stuck: %q", why)
	}
	a.judge.any.Store(false)
	if why := a.silent(); !strings.Contains(why, "nothing") {
		t.Errorf("before anything is measured: %q", why)
	}
}
