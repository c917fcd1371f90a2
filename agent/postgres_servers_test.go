//go:build servers && linux

package agent

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestPostgresKeepsTheCase states that an agent whose store is in PostgreSQL keeps its lead for longer than one lasts, and goes on
// after a restart with the case of before.
func TestPostgresKeepsTheCase(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	url := servers.StartPostgres(t).Database(t, "firstcall")
	if err := os.WriteFile(s.file, []byte(strings.Replace(string(text), "sqlite:"+s.dir+"/firstcall.db", url, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	a, stop := s.start(t, false)
	began := time.Now()
	waitFor(t, "a lead that was renewed", func() bool { return time.Since(began) > 8*time.Second && a.store.shared.Load().Leading() == nil })
	backend.broken.Store(true)
	waitFor(t, "case", func() bool { list := cases(t, a); return len(list) == 1 && list[0].Number != "" })
	number := cases(t, a)[0].Number
	stop()

	a, stop = s.start(t, false)
	waitFor(t, "incident of before", func() bool { open := a.View().Incidents; return len(open) == 1 && open[0].Root == "backend" })
	backend.broken.Store(false)
	waitFor(t, "resolved case", func() bool { return cases(t, a)[0].State == incident.CaseResolved })
	if list := cases(t, a); len(list) != 1 || list[0].Number != number {
		t.Errorf("cases after the restart: %+v; want %s alone", list, number)
	}
	stop()
}
