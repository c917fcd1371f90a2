package agent

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/rdp/rdptest"
)

// inbox takes what a chat service would.
type inbox struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func newInbox(t *testing.T) *inbox {
	b := &inbox{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.got = append(b.got, string(text))
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *inbox) texts() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.got...)
}

const accountConfig = `
tenant: { id: acme }
defaults: { interval: 300ms, timeout: 250ms }
detection: { rechecks: 2, recheck_within: 100ms, recover: 2 }
policy: { settle: 100ms }
store: { url: "sqlite:%s" }
web: { listen: "127.0.0.1:0" }
components:
  - name: remote-desktop
    probes: [{ kind: rdp, address: "%s", depth: logon, user: 'ACME\firstcall', password: "%s", timeout: 20s, interval: 20s }]
notices:
  - { name: on-call, kind: chat, url: "generic+%s?disabletls=yes" }
`

// A refused account is told to its owners once, over a restart too, shown and counted, opens no case, and is tried again when an
// operator resets it.
func TestARefusedAccountIsToldOnce(t *testing.T) {
	t.Parallel()
	accounts := map[string]string{`ACME\firstcall`: "old"}
	server := rdptest.Start(t, rdptest.Options{Accounts: accounts})
	box := newInbox(t)
	s := &site{dir: t.TempDir()}
	s.file = filepath.Join(s.dir, "firstcall.yaml")
	write := func(password string) {
		text := fmt.Sprintf(accountConfig, filepath.Join(s.dir, "firstcall.db"), server.Address, password, box.URL)
		if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("new-one")
	a, stop := s.start(t, false)
	waitFor(t, "message", func() bool { return len(box.texts()) == 1 })
	if text := box.texts()[0]; !strings.Contains(text, "remote-desktop/rdp") || !strings.Contains(text, "firstcall probe remote-desktop/rdp --try-account-again") || strings.Contains(text, "new-one") {
		t.Errorf("it says %s", text)
	}
	account := func() string {
		_, page := get(t, a.URL()+"metrics")
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "firstcall_account_off") {
				return strings.TrimSpace(line)
			}
		}
		return ""
	}
	waitFor(t, "metric", func() bool { return account() == `firstcall_account_off{probe="remote-desktop/rdp"} 1` })
	for _, path := range []string{"", "api/v1/components", "api/v1/status"} {
		if _, body := get(t, a.URL()+path); !strings.Contains(body, "name or password is wrong") {
			t.Errorf("/%s does not say that the account is off", path)
		}
	}
	stop()

	a, stop = s.start(t, false)
	waitFor(t, "the incident of before", func() bool { return account() == `firstcall_account_off{probe="remote-desktop/rdp"} 1` })
	if seen := server.Seen(); seen.Responses != 1 {
		t.Errorf("the account was named %d times", seen.Responses)
	}
	stop()

	// Its owner gives the probe the right secret, and has it tried again.
	write("old")
	c, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	latches, err := c.Latches(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.UseLatches(latches)
	if r, ok := c.AllProbes()[0].Probe.(probes.ResetsLatch); !ok || r.ResetLatch() != nil {
		t.Fatal("the account cannot be reset")
	}
	a, stop = s.start(t, false)
	waitFor(t, "the end", func() bool { return len(box.texts()) == 2 })
	waitFor(t, "metric", func() bool { return account() == `firstcall_account_off{probe="remote-desktop/rdp"} 0` })
	all, err := a.store.Incidents(t.Context(), store.IncidentFilter{})
	if err != nil || len(all) != 1 || all[0].Class != incident.Account || all[0].Resolution != incident.Recovered || len(cases(t, a)) != 0 {
		t.Errorf("%v, incidents %+v, %d cases", err, all, len(cases(t, a)))
	}
	if texts := box.texts(); len(texts) != 2 || !strings.Contains(texts[1], "can use its account again") {
		t.Errorf("told %q", texts)
	}
	stop()
}
