//go:build servers && linux

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/fleet"
	"github.com/firstcall-agent/firstcall/incident"
	shared "github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestFleetPrints states what 'firstcall fleet' prints of a real database, and how it ends.
func TestFleetPrints(t *testing.T) {
	server := servers.StartPostgres(t)
	database := sixOfEight(t, server)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "postgres://reader@" + server.Address + "/monitoring"
	run := func(args ...string) (string, int) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"fleet", "--store.url", address, "--store.password-file", password}, args...), strings.NewReader(""), &out, &errs)
		if errs.Len() > 0 {
			t.Errorf("%v: %s", args, &errs)
		}
		return out.String(), code
	}
	text, code := run()
	for _, want := range []string{"P2 6 tenants lost virtual-desktop at ", ": one cause\n", "6 of 8 tenants, ", "key fc-fleet-virtual-desktop", "P2     t0", "region=westeurope", "8 tenants at ", ": 6 P2, 2 well\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if code != exitFailed || strings.Contains(text, "\x1b") || strings.Contains(text, "t7") {
		t.Errorf("exit code %d of\n%q", code, text)
	}
	if text, _ := run("--all"); !strings.Contains(text, "t7") {
		t.Errorf("--all leaves some out:\n%s", text)
	}
	text, _ = run("--json")
	var w fleet.Wall
	if err := json.Unmarshal([]byte(text), &w); err != nil || len(w.Rows) != 8 || len(w.Shared) != 1 || w.Counts[fleet.P2] != 6 {
		t.Errorf("as JSON: %v, %d tenants", err, len(w.Rows))
	}
	var errs bytes.Buffer
	if code := Main([]string{"fleet", "--store.url", database}, strings.NewReader(""), &bytes.Buffer{}, &errs); code != exitFailed || !strings.Contains(errs.String(), "let_fleet_read") {
		t.Errorf("as an agent's role: %d, %s", code, &errs)
	}
}

// sixOfEight makes a database of eight tenants, of which six lost the same; the role reader reads all of them.
func sixOfEight(t *testing.T, server *servers.Postgres) (database string) {
	t.Helper()
	database = server.Database(t, "monitoring")
	now := time.Now().UTC()
	for n := range 8 {
		s, err := store.Open(t.Context(), fmt.Sprintf("%s?tenant=t%d", database, n), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		facts, _ := json.Marshal(shared.Facts{Name: fmt.Sprint("Tenant ", n), Labels: map[string]string{"region": "westeurope"}, Components: []string{"virtual-desktop"}})
		if err := s.TellFleet(t.Context(), facts, []byte(`{"outcome":"up"}`)); err != nil {
			t.Fatal(err)
		}
		if n < 6 {
			i := incident.Incident{
				ID: fmt.Sprint("fc-t", n), Tenant: fmt.Sprint("t", n), Class: incident.Availability, Root: "virtual-desktop", Components: []string{"virtual-desktop"}, Priority: incident.P2,
				Highest: incident.P2, Reason: "timeout", Title: "virtual-desktop is \x1b[31minaccessible", Started: now.Add(-3 * time.Minute), Opened: now.Add(-2 * time.Minute),
			}
			if err := s.Commit(t.Context(), store.Commit{At: now, Incidents: []incident.Incident{i}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	server.SQL(t, "monitoring", "CREATE ROLE reader LOGIN PASSWORD 'sesame'")
	server.SQL(t, "monitoring", "SELECT let_fleet_read('reader')")
	return database
}

// TestFleetServesWithoutItsDatabase states that the wall is served while its database is away: with what the state file knows, from which a parent case can be asked for, and that
// it is read once the database is back. What no waiting mends ends the start.
func TestFleetServesWithoutItsDatabase(t *testing.T) {
	server := servers.StartPostgres(t)
	database := sixOfEight(t, server)
	dir, listen := t.TempDir(), fmt.Sprint("127.0.0.1:", servers.FreePort(t))
	write := func(name, address string) string {
		file := filepath.Join(dir, name)
		text := fmt.Sprintf("tenant: { id: fleet }\nstore: { url: %q }\nweb: { listen: %q }\ndesks: [{ kind: builtin, name: soc }]\nfleet: { refresh: 1s }\n", address, listen)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	reader := "postgres://reader:sesame@" + server.Address + "/monitoring"
	file := write("fleet.yaml", reader)
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + listen + path)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	wall := func() (w fleet.Wall) {
		_, body := get("/api/v1/fleet")
		_ = json.Unmarshal([]byte(body), &w)
		return w
	}
	serve := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		var said bytes.Buffer
		code := make(chan int, 1)
		go func() {
			code <- execute(ctx, []string{"fleet", "serve", "--config.file", file}, strings.NewReader(""), io.Discard, &said)
		}()
		return sync.OnceFunc(func() {
			cancel()
			if code := <-code; code != exitDone {
				t.Errorf("fleet serve ends with %d\n%s", code, &said)
			}
		})
	}
	stop := serve()
	defer func() { stop() }()
	waitUntil(t, "the wall is read", func() bool { return len(wall().Rows) == 8 && len(wall().Open()) == 1 })
	key := wall().Open()[0].Key
	stop()

	server.Stop()
	stop = serve()
	waitUntil(t, "the first reading has failed", func() bool { return wall().Err != "" })
	if code, body := get("/-/ready"); code != http.StatusOK {
		t.Errorf("it is not ready: %d %s", code, body)
	}
	_, page := get("/")
	for _, want := range []string{"The database could not be read yet. What stands below was known before. ", "does not answer", "6 tenants lost virtual-desktop at ", "The fleet is not read yet."} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page:\n%s", want, page)
		}
	}
	if _, text := get("/metrics"); !strings.Contains(text, "\nfirstcall_fleet_read_failing 1\n") || strings.Contains(text, "firstcall_fleet_last_read_timestamp_seconds -") {
		t.Errorf("the metrics:\n%s", text)
	}
	var said bytes.Buffer
	if code := Main([]string{"fleet", "open", key, "--url", "http://" + listen, "--actor", "mette"}, strings.NewReader(""), io.Discard, &said); code != exitDone {
		t.Errorf("a parent case cannot be asked for: %d, %s", code, &said)
	}
	server.Start()
	waitUntil(t, "the wall is read again", func() bool { return wall().Err == "" && len(wall().Rows) == 8 })
	if open := wall().Open(); len(open) != 1 || open[0].Key != key || open[0].OpenedBy != "mette" {
		t.Errorf("%+v", open)
	}
	stop()

	for address, want := range map[string]string{
		database: "let_fleet_read", strings.Replace(reader, "sesame", "wrong", 1): "does not let us in", strings.Replace(reader, "/monitoring", "/other", 1): "is not there",
	} {
		said.Reset()
		if code := Main([]string{"fleet", "serve", "--config.file", write("wrong.yaml", address)}, strings.NewReader(""), io.Discard, &said); code != exitFailed || !strings.Contains(said.String(), want) {
			t.Errorf("%s: %d, want %q: %s", store.Name(address), code, want, &said)
		}
	}
}

// waitUntil waits for what another process or goroutine does.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("still not: %s", what)
		}
	}
}
