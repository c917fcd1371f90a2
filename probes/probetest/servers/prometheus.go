//go:build linux

package servers

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// PrometheusOptions describe a Prometheus. The zero value is an empty one.
type PrometheusOptions struct {
	OpenMetrics string // the past, in the text format of OpenMetrics with times, ending with "# EOF"
	Web         string // its web configuration (TLS, users), see exporter-toolkit; "": none
	Flags       []string
	Rules       string // a file of rules that it evaluates every second; "": none
	Scrape      string // host:port whose /metrics it scrapes every second, as job "firstcall"; "": nothing
}

// Prometheus is a running Prometheus.
type Prometheus struct {
	*Process
	URL string // http://127.0.0.1:port, or https where Web asks for it; the caller's to know
}

// StartPrometheus starts a Prometheus on 127.0.0.1 with a configuration and data of its own.
func StartPrometheus(t testing.TB, o PrometheusOptions) *Prometheus {
	t.Helper()
	binary, tool := program(t, "prometheus", "prometheus"), program(t, "promtool", "prometheus")
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if o.OpenMetrics != "" {
		file := filepath.Join(dir, "past.om")
		writeFile(t, file, []byte(o.OpenMetrics))
		//nolint:gosec // the arguments are the test's own
		if out, err := exec.CommandContext(t.Context(), tool, "tsdb", "create-blocks-from", "openmetrics", file, data).CombinedOutput(); err != nil {
			t.Fatalf("promtool cannot make the past: %v\n%s", err, out)
		}
	}
	config, web := filepath.Join(dir, "prometheus.yml"), filepath.Join(dir, "web.yml")
	settings := "global: { scrape_interval: 1h }\n"
	if o.Scrape != "" {
		settings = fmt.Sprintf("global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs: [{ job_name: firstcall, static_configs: [{ targets: [%q] }] }]\n", o.Scrape)
	}
	if o.Rules != "" {
		file, err := filepath.Abs(o.Rules)
		if err != nil {
			t.Fatal(err)
		}
		settings = strings.Replace(settings, "global: {", "global: { evaluation_interval: 1s,", 1) + fmt.Sprintf("rule_files: [%q]\n", file)
	}
	writeFile(t, config, []byte(settings))
	writeFile(t, web, []byte(o.Web))
	port := FreePort(t)
	p := &Prometheus{URL: "http://" + address(port)}
	p.Process = startProcess(t, "prometheus", func() *exec.Cmd {
		args := []string{
			"--config.file=" + config, "--storage.tsdb.path=" + data, "--storage.tsdb.retention.time=50y",
			"--web.listen-address=" + address(port), "--web.config.file=" + web, "--log.level=warn",
		}
		return exec.Command(binary, append(args, o.Flags...)...)
	}, port)
	if o.Web == "" {
		p.awaitReady(t)
	}
	return p
}

// Promtool runs promtool with args and returns what it says; the test fails when it finds a fault.
func Promtool(t testing.TB, args ...string) string {
	t.Helper()
	//nolint:gosec // the arguments are the test's own
	out, err := exec.CommandContext(t.Context(), program(t, "promtool", "prometheus"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// awaitReady returns when it answers queries.
func (p *Prometheus) awaitReady(t testing.TB) {
	t.Helper()
	if err := until(readyWithin, func() (bool, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/-/ready", nil)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	}); err != nil {
		t.Fatalf("prometheus at %s is not ready: %v\n%s", p.URL, err, p.Log())
	}
}
