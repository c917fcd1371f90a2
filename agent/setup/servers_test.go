//go:build servers

package setup_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/setup"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestSurveyOfServers asks a real web server, whose certificate nobody here knows, and a real Remote Desktop server.
func TestSurveyOfServers(t *testing.T) {
	cert := servers.SelfSigned(t, servers.CertOptions{NotAfter: time.Now().Add(100 * 24 * time.Hour)})
	web := servers.StartNginx(t, servers.NginxOptions{HTTPS: []int{servers.FreePort(t)}, Cert: cert})
	desktop := servers.StartXrdp(t, servers.XrdpOptions{Cert: cert})
	page := "https://127.0.0.1:" + strconv.Itoa(web.HTTPS[0]) + "/"
	a := setup.Answers{Tenant: "acme", URLs: []string{page}, RDP: []string{desktop.Address}, Witnesses: []string{desktop.Address}}.Normal()
	found, err := setup.Survey(t.Context(), a, setup.Options{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]setup.Row{}
	for _, r := range setup.Table(a, found) {
		seen[r.Kind] = r
	}
	if r := seen["http"]; r.State != "answers wrongly" || !strings.Contains(r.Seen, "certificate until") {
		t.Errorf("%+v", r)
	}
	if r := seen["rdp"]; r.State != "answers" || !strings.Contains(r.Seen, "no NLA") {
		t.Errorf("%+v", r)
	}
	plan := proposed(t, a, found)
	for _, want := range []string{"name that with ca_file: of both probes", "depth: tls"} {
		if !strings.Contains(plan.Text, want) {
			t.Errorf("%q is not in it:\n%s", want, plan.Text)
		}
	}
	for _, p := range sound(t, plan.Text, plan.Secrets).AllProbes() {
		if r := p.Probe.Probe(t.Context()); p.Kind == "rdp" && r.Outcome != probes.Up {
			t.Errorf("what is proposed for Remote Desktop does not hold: %s, %s", r.Outcome, r.Detail)
		}
	}
}
