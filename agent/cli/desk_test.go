package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/firstcall-agent/firstcall/incident/desk/desktest/systems"
)

// startReceiver starts a webhook receiver and writes a configuration with a desk soc for it, one named archive for it as if it had
// no search, and the built-in one, called inside.
func startReceiver(ts *testscript.TestScript, _ bool, args []string) {
	lag, err := time.ParseDuration(args[1])
	ts.Check(err)
	system := systems.NewWebhook(lag)
	var handler http.Handler = system
	if len(args) > 2 {
		handler = deaf{system}
	}
	srv := httptest.NewServer(handler)
	ts.Defer(srv.Close)
	keys := strings.ReplaceAll(system.YAML(srv.URL), "\n", "\n    ")
	without := strings.ReplaceAll(systems.NewWebhookWithoutSearch().YAML(srv.URL), "\n", "\n    ")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), fmt.Appendf(nil, `tenant: { id: acme, name: ACME A/S, contacts: { customer: { name: ACME IT, email: it@acme.example } } }
components:
  - name: web-client
    probes: [{ kind: http, url: "https://acme.example/" }]
desks:
  - name: soc
    kind: webhook
    templates: { title: "{{.Problem}} ({{.Priority}})" }
    %s
  - name: archive
    kind: webhook
    %s
  - { name: inside, kind: builtin }
`, keys, without), 0o600))
}

// deaf takes every update and does nothing with it.
type deaf struct{ *systems.Webhook }

func (d deaf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if bytes.Contains(body, []byte(`"action":"update"`)) {
		_, _ = io.WriteString(w, "{}")
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	d.Webhook.ServeHTTP(w, r)
}
