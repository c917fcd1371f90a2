//go:build linux

package servers

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// Alertmanager is a running Prometheus Alertmanager. What it holds in memory, alerts first of all, ends with Stop and Kill; what it
// has notified is kept by Stop.
type Alertmanager struct {
	*Process
	URL string // http://127.0.0.1:port
}

// StartAlertmanager starts an Alertmanager on 127.0.0.1, alone, that groups alerts by firstcall_key and notifies the webhook at
// receiver, where that is not "", after a tenth of a second.
func StartAlertmanager(t testing.TB, receiver string) *Alertmanager {
	t.Helper()
	binary := program(t, "prometheus-alertmanager", "prometheus-alertmanager")
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	hook := ""
	if receiver != "" {
		hook = fmt.Sprintf("\n    webhook_configs: [{ url: %q, send_resolved: true }]", receiver)
	}
	writeFile(t, config, []byte(`route: { receiver: hook, group_by: [firstcall_key], group_wait: 100ms, group_interval: 200ms, repeat_interval: 1h }
receivers:
  - name: hook`+hook+"\n"))
	port := FreePort(t)
	m := &Alertmanager{URL: "http://" + address(port)}
	m.Process = startProcess(t, "alertmanager", func() *exec.Cmd {
		return exec.Command(binary, "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"), //nolint:gosec // the arguments are the test's own
			"--web.listen-address="+address(port), "--cluster.listen-address=", "--log.level=warn")
	}, port)
	return m
}
