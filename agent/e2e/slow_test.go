//go:build servers && linux

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestSlowToCase slows nginx down behind an agent that was taught by a record what is normal: one priority 2 case that says in numbers
// what would be normal and which phase takes the time, which a kill of the agent does not lose and an operator's word ends.
func TestSlowToCase(t *testing.T) {
	t.Parallel()
	nginx := servers.StartNginx(t, servers.NginxOptions{})
	relay := servers.StartRelay(t, strings.TrimPrefix(nginx.URL(), "http://"), servers.Unlimited)
	seed := filepath.Join(t.TempDir(), "seed.csv")
	r := rand.New(rand.NewPCG(1, 2))
	var record strings.Builder
	record.WriteString("time,latency_ms\n")
	for at := time.Now().Add(-15 * 24 * time.Hour).Unix(); at < time.Now().Unix(); at += 120 {
		fmt.Fprintf(&record, "%d,%.3f\n", at, 30+2*r.Float64())
	}
	if err := os.WriteFile(seed, []byte(record.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	relay.SetDelay(25 * time.Millisecond)
	p := run(t, tenant+fmt.Sprintf(`
defaults: { interval: 10s, timeout: 5s }
policy: { sustained: 10s }
components: [{ name: web-client, probes: [{ kind: http, url: "http://%s/" }] }]
seed: [{ kind: csv, probe: web-client/http, file: %q }]
`, relay.Address, seed))
	p.eventually(20*time.Second, "the record is learnt", func() bool {
		b := p.probe().Baseline
		return b != nil && b.Days == b.Of && b.Expected > 25*time.Millisecond
	})
	relay.SetDelay(250 * time.Millisecond)
	p.eventually(3*time.Minute, "a case", func() bool { return len(p.liveCases()) == 1 })
	i := p.open()[0]
	if i.Priority != incident.P2 || i.Class != incident.Performance {
		t.Errorf("%+v", i)
	}
	for _, part := range []string{"web-client/http: total: median of the last", "normal for this hour", "days like it", " x for 4 runs in a row", "since about"} {
		if !strings.Contains(i.Detail[0], part) {
			t.Errorf("%q does not say %q", i.Detail[0], part)
		}
	}
	p.kill()
	p.start()
	p.eventually(20*time.Second, "the regression is known after the kill", func() bool {
		f := p.probe().Findings
		return len(f) == 1 && f[0].Latency != nil && f[0].Since.Equal(i.Started)
	})
	out, err := exec.Command(binary, "detect", "accept", "web-client/http", "moved", "--url", p.url, "--actor", "ada").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, out, p.log.String())
	}
	p.eventually(20*time.Second, "the case is resolved as accepted", func() bool {
		all := p.incidents()
		return len(all) == 1 && all[0].Resolution == incident.Accepted && len(p.liveCases()) == 0
	})
	if n := len(p.cases()); n != 1 {
		t.Errorf("%d cases", n)
	}
}

// probe returns how the first probe of the first component stands.
func (p *process) probe() engine.ProbeView {
	p.t.Helper()
	var answer web.Components
	p.read("/api/v1/components", &answer)
	return answer.Components[0].Instances[0].Probes[0]
}
