//go:build servers && linux

package agent

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// lossy is a way to a server that is lost when a client says a word.
type lossy struct {
	address string
	word    atomic.Pointer[string] // nil: none
	hangs   bool                   // what was there before says nothing then, instead of being gone
	lost    atomic.Bool
}

func newLossy(t *testing.T, target string, hangs bool) *lossy {
	l := &lossy{hangs: hangs}
	l.address = probetest.Listen(t, func(client net.Conn) {
		if l.lost.Load() {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer func() { _ = server.Close() }()
		go func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		}()
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if word := l.word.Load(); word != nil && bytes.Contains(buffer[:n], []byte(*word)) {
				l.lost.Store(true)
			}
			if err != nil || l.lost.Load() && !l.hangs {
				return
			}
			if l.lost.Load() {
				continue
			}
			if _, err := server.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	return l
}

// TestADatabaseThatIsLostBeforeAllIsRead states that an agent starts without a database that answers at first and is away before
// everything is read, and takes it into use when it is back.
func TestADatabaseThatIsLostBeforeAllIsRead(t *testing.T) {
	t.Parallel()
	database := servers.StartPostgres(t)
	for name, c := range map[string]struct {
		word  string
		hangs bool
	}{
		"orders": {word: "FROM orders"}, "state": {word: "FROM vantage_state"}, "seeds": {word: "FROM seeds"}, "hanging": {"FROM vantage_state", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nowhere, nowhere)
			text, err := os.ReadFile(s.file)
			if err != nil {
				t.Fatal(err)
			}
			way := newLossy(t, database.Address, c.hangs)
			url := strings.Replace(database.Database(t, "start_"+name), database.Address, way.address, 1)
			changed := strings.Replace(string(text), `"sqlite:`+s.dir+`/firstcall.db"`, `"`+url+`", state_dir: state`, 1) + "vantage: weu\n"
			if err := os.WriteFile(s.file, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			_, stop := s.start(t, true) // migrates
			stop()
			way.word.Store(&c.word)
			a, stop := s.start(t, true)
			if !way.lost.Load() {
				t.Error("the database was never lost")
			}
			way.word.Store(nil)
			way.lost.Store(false)
			waitFor(t, "the lead", func() bool { s := a.store.shared.Load(); return s != nil && s.Leading() == nil })
			stop()
		})
	}
}
