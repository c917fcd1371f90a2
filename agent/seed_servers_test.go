//go:build servers && linux

package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestSeedingFromPrometheus teaches two probes from a real Prometheus that knows both, by the probe's id in the query.
func TestSeedingFromPrometheus(t *testing.T) {
	t.Parallel()
	var took, success strings.Builder
	took.WriteString("# TYPE probe_duration_seconds gauge\n")
	success.WriteString("# TYPE probe_success gauge\n")
	now := time.Now().Truncate(time.Minute)
	for m := 20 * 24 * 12; m > 0; m-- {
		at := now.Add(-time.Duration(m) * 5 * time.Minute).Unix()
		for _, id := range []string{"backend/http", "web-client/http"} {
			fmt.Fprintf(&took, "probe_duration_seconds{probe=%q} 0.1 %d\n", id, at)
			fmt.Fprintf(&success, "probe_success{probe=%q} %d %d\n", id, min(1, m%100), at)
		}
	}
	prometheus := servers.StartPrometheus(t, servers.PrometheusOptions{OpenMetrics: took.String() + success.String() + "# EOF\n"})
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	s.write(t, backend, client, fmt.Sprintf(`seed:
  - { kind: prometheus, url: %q, query: 'probe_duration_seconds{probe="$probe"}', success_query: 'probe_success{probe="$probe"}', step: 5m, days: 21 }
`, prometheus.URL))
	a, stop := s.start(t, true)
	waitFor(t, "seed of backend", learnt(a, "backend/http"))
	waitFor(t, "seed of web-client", learnt(a, "web-client/http"))
	stop()
}
