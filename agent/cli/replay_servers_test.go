//go:build servers && linux

package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestReplayPageWithPrometheus runs those commands of docs/replay.md that ask a Prometheus, against a real one.
func TestReplayPageWithPrometheus(t *testing.T) {
	var took, success strings.Builder
	took.WriteString("# TYPE probe_duration_seconds gauge\n")
	success.WriteString("# TYPE probe_success gauge\n")
	now := time.Now().Truncate(time.Minute)
	for m := 48 * 60; m > 0; m-- {
		at := now.Add(-time.Duration(m) * time.Minute).Unix()
		fmt.Fprintf(&took, "probe_duration_seconds{instance=\"web\"} 0.1 %d\n", at)
		fmt.Fprintf(&success, "probe_success{instance=\"web\"} %d %d\n", min(1, m/20%20), at)
	}
	runReplayPage(t, servers.StartPrometheus(t, servers.PrometheusOptions{OpenMetrics: took.String() + success.String() + "# EOF\n"}).URL)
}
