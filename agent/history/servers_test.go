//go:build servers && linux

package history

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// past returns three days of two targets at a minute's step: the first fails for an hour, and does not answer for the last ten
// minutes of it; the second is not scraped for a while.
func past() string {
	var took, success strings.Builder
	took.WriteString("# TYPE probe_duration_seconds gauge\n")
	success.WriteString("# TYPE probe_success gauge\n")
	for i := range 3 * 24 * 60 {
		at := start.Add(time.Duration(i) * time.Minute).Unix()
		ok := 1
		if i >= 600 && i < 660 {
			ok = 0
		}
		if i < 650 || i >= 660 {
			fmt.Fprintf(&took, "probe_duration_seconds{instance=\"backend/http\"} %g %d\n", 0.1+float64(i%7)/100, at)
		} else {
			fmt.Fprintf(&took, "probe_duration_seconds{instance=\"backend/http\"} NaN %d\n", at)
		}
		fmt.Fprintf(&success, "probe_success{instance=\"backend/http\"} %d %d\n", ok, at)
		if i < 100 || i >= 200 {
			fmt.Fprintf(&took, "probe_duration_seconds{instance=\"web-client/http\"} 0.5 %d\n", at)
			fmt.Fprintf(&success, "probe_success{instance=\"web-client/http\"} 1 %d\n", at)
		}
	}
	return took.String() + success.String() + "# EOF\n"
}

func TestRealPrometheus(t *testing.T) {
	server := servers.StartPrometheus(t, servers.PrometheusOptions{OpenMetrics: past()})
	end := start.Add(3 * 24 * time.Hour)
	one := Prometheus{URL: server.URL, Query: `probe_duration_seconds{instance="backend/http"}`, Success: `probe_success{instance="backend/http"}`, Probe: "backend/http"}
	list := all(t, one, start, end)
	counts := map[probes.Outcome]int{}
	for _, r := range list {
		counts[r.Outcome]++
	}
	if diff := cmp.Diff(map[probes.Outcome]int{probes.Up: 4260, probes.Down: 60}, counts); diff != "" {
		t.Errorf("outcomes (-want +got)\n%s", diff)
	}
	if r := list[8]; !r.Start.Equal(start.Add(8*time.Minute)) || r.Duration != 110*time.Millisecond {
		t.Errorf("the ninth result is %+v", r)
	}
	by := Prometheus{URL: server.URL, Query: "probe_duration_seconds", Success: "probe_success", Label: "instance", Step: time.Hour}
	if got := all(t, by, start, end); len(got) != 72+70 { // the second was not scraped at two and three o'clock
		t.Errorf("%d results by label at a step of an hour, want 142", len(got))
	}
	// A month at half a minute is asked for in parts.
	fine := one
	fine.Step = 30 * time.Second
	if got := all(t, fine, start.AddDate(0, 0, -30), end); len(got) != 2*4320 {
		t.Errorf("%d results at half a minute's step, want 8640", len(got))
	}
	for query, want := range map[string]string{
		"probe_duration_seconds{": "parse error",
		"probe_duration_seconds":  "instance (backend/http, web-client/http)",
		"nothing_of_the_kind":     "has nothing for",
		`probe_duration_seconds * on(nothing) group_left probe_success`:    "many-to-many",
		`label_replace(probe_success, "a b", "x", "instance", ".*(")`:      "invalid",
		`probe_duration_seconds{instance="backend/http"} + on() vector(1)`: "",
	} {
		p := Prometheus{URL: server.URL, Query: query, Probe: "p"}
		err := p.Each(t.Context(), start, end, func(probes.Result) error { return nil })
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
	server.Stop()
	if err := one.Each(t.Context(), start, end, nil); err == nil || !strings.Contains(err.Error(), "check its address") {
		t.Errorf("a stopped Prometheus: %v", err)
	}
}

// TestGuardedPrometheus states that one behind TLS and a password is read with both, and says what is missing.
func TestGuardedPrometheus(t *testing.T) {
	cert := servers.SelfSigned(t, servers.CertOptions{})
	web := fmt.Sprintf("tls_server_config: { cert_file: %s, key_file: %s }\nbasic_auth_users: { ada: %s }\n", cert.CertFile, cert.KeyFile, bcryptOf(t, "hunter2hunter2"))
	server := servers.StartPrometheus(t, servers.PrometheusOptions{OpenMetrics: past(), Web: web})
	p := Prometheus{
		URL: strings.Replace(server.URL, "http:", "https:", 1), Query: "probe_success", Label: "instance",
		User: "ada", Pass: secret.New("hunter2hunter2"), CAFile: cert.CertFile,
	}
	if got := all(t, p, start, start.Add(time.Hour)); len(got) != 120 {
		t.Errorf("%d results, want 120", len(got))
	}
	for want, spoil := range map[string]func(*Prometheus){
		"a user and a password":     func(p *Prometheus) { p.Pass = secret.New("wrong") },
		"PEM file of the authority": func(p *Prometheus) { p.CAFile = "" },
		"400":                       func(p *Prometheus) { p.URL = server.URL },
	} {
		bad := p
		spoil(&bad)
		err := bad.Each(t.Context(), start, start.Add(time.Hour), func(probes.Result) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
