//go:build servers && linux

package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestAlertRulesHold has promtool check the rules and run their tests.
func TestAlertRulesHold(t *testing.T) {
	t.Parallel()
	t.Log(servers.Promtool(t, "check", "rules", "../../charts/firstcall/rules/firstcall.yaml"))
	t.Log(servers.Promtool(t, "test", "rules", "testdata/rules_test.yaml"))
}

// TestDashboardsAskInPromQL has promtool read every query of the dashboards, as a rule that records it.
func TestDashboardsAskInPromQL(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("groups:\n  - name: dashboards\n    rules:\n")
	n := 0
	for _, d := range dashboards(t) {
		for _, expression := range d.expressions() {
			n++
			fmt.Fprintf(&b, "      - { record: 'q:%d', expr: %q }\n", n, expression)
		}
	}
	if n < 60 {
		t.Errorf("the dashboards have %d queries: they are not found as they should be", n)
	}
	file := filepath.Join(t.TempDir(), "queries.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Log(servers.Promtool(t, "check", "rules", file))
}
