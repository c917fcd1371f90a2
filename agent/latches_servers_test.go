//go:build servers && linux

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
	"github.com/firstcall-agent/firstcall/probes/rdp/rdptest"
)

// TestARefusalStopsEveryAgent states that with PostgreSQL an account that was refused to one agent is named by no other of the tenant, where
// no directory can be written, until somebody resets it; another tenant's is its own matter.
func TestARefusalStopsEveryAgent(t *testing.T) {
	t.Parallel()
	accounts := map[string]string{`ACME\firstcall`: "right"}
	server := rdptest.Start(t, rdptest.Options{Accounts: accounts})
	box := newInbox(t)
	url := servers.StartPostgres(t).Database(t, "firstcall")
	s := &site{dir: t.TempDir()}
	s.file = filepath.Join(s.dir, "firstcall.yaml")
	text := strings.Replace(fmt.Sprintf(accountConfig, "X", server.Address, "new-one", box.URL), "sqlite:X", url, 1)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "latches"), nil, 0o600); err != nil { // where a directory would be
		t.Fatal(err)
	}
	_, stop := s.start(t, false)
	waitFor(t, "message", func() bool { return len(box.texts()) == 1 })
	stop()

	// another agent of the tenant, or of another
	other := func(change ...string) (probes.Probe, func() probes.Result) {
		file := filepath.Join(t.TempDir(), "firstcall.yaml")
		if err := os.WriteFile(file, []byte(strings.NewReplacer(append(change, "web:", "vantage: dk\nweb:")...).Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		latches, err := c.Latches(nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = latches.Close() })
		c.UseLatches(latches)
		p := c.AllProbes()[0].Probe
		return p, func() probes.Result { return p.Probe(t.Context()) }
	}
	named := func(want int) {
		t.Helper()
		if n := server.Seen().Responses; n != want {
			t.Errorf("the account was named %d times, want %d", n, want)
		}
	}
	named(1)
	p, run := other()
	told := false
	for _, f := range run().Facts {
		told = told || f.Name == probes.FactAccount && strings.Contains(f.Value, "name or password is wrong")
	}
	if !told {
		t.Error("another agent does not say why the account is off")
	}
	named(1)
	_, elsewhere := other("id: acme", "id: other")
	elsewhere()
	named(2)
	_, mended := other(`password: "new-one"`, `password: "right"`)
	mended()
	named(3)
	if err := p.(probes.ResetsLatch).ResetLatch(); err != nil {
		t.Fatal(err)
	}
	run()
	named(4)
	run()
	named(4)
}
