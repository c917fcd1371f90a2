package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seedFile writes 20 days of hourly points of each probe, up to now.
func seedFile(t *testing.T, path string, ids ...string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("time,latency_ms,probe\n")
	now := time.Now().Truncate(time.Second)
	for h := 20 * 24; h > 0; h-- {
		for _, id := range ids {
			latency := "100"
			if h == 7 {
				latency = ""
			}
			fmt.Fprintf(&b, "%d,%s,%s\n", now.Add(-time.Duration(h)*time.Hour).Unix(), latency, id)
		}
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func learnt(a *Agent, id string) func() bool {
	return func() bool {
		days, of := a.judge.learning(id)
		return days >= of
	}
}

// TestSeeding states that probes that have learnt too little are taught once, at the start and after a reload that brings them,
// and that what they learnt outlives the agent.
func TestSeeding(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	seedFile(t, filepath.Join(s.dir, "seed.csv"), "backend/http", "later/http", "nobody")
	s.write(t, backend, client, "seed:\n  - { kind: csv, file: nowhere.csv }\n  - { kind: csv, file: seed.csv }\n")
	a, stop := s.start(t, true)
	waitFor(t, "seed of backend", learnt(a, "backend/http"))
	if learnt(a, "web-client/http")() {
		t.Error("a probe of which the record has nothing has learnt")
	}
	s.write(t, backend, client, "  - name: later\n    probes: [{ kind: http, url: \""+client.URL+"\" }]\nseed:\n  - { kind: csv, file: seed.csv }\n")
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "seed of what is new", learnt(a, "later/http"))
	if !learnt(a, "backend/http")() {
		t.Error("a reload made backend forget")
	}
	stop()

	// The second record would teach it something else: it is not read again.
	a, stop = s.start(t, true)
	defer stop()
	if !learnt(a, "backend/http")() || !learnt(a, "later/http")() {
		t.Error("after a restart the baselines have learnt nothing")
	}
	seeds, err := a.store.shared.Load().Seeds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"backend/http": 479, "later/http": 479}, seeds); diff != "" {
		t.Errorf("seeds (-want +got)\n%s", diff)
	}
}

// TestSeededOnce states that a probe is not taught twice, however little it has learnt.
func TestSeededOnce(t *testing.T) {
	c := newCourt()
	s := newSeeder(c.clock, c.judge, quiet, map[string]int{"before": 9})
	if got := s.wanted([]string{"before", "p"}); len(got) != 1 || got[0] != "p" {
		t.Errorf("wanted %v", got)
	}
	s.seeded["p"] = true
	if got := s.wanted([]string{"before", "p"}); len(got) != 0 {
		t.Errorf("wanted %v", got)
	}
}
