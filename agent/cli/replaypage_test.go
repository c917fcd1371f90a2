package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

const pageConfig = `tenant: { id: acme, time_zone: Europe/Copenhagen }
components:
  - name: web-client
    probes: [{ kind: http, url: "https://acme.example/", limits: { total: %s } }]
  - name: backend
    probes: [{ kind: tcp, address: "acme.example:443" }]
`

// TestReplayPage runs every command of docs/replay.md that needs no Prometheus.
func TestReplayPage(t *testing.T) {
	runReplayPage(t, "")
}

// runReplayPage runs the page's commands in a directory with what they name; those of Prometheus where there is one.
func runReplayPage(t *testing.T, prometheus string) {
	text := read(t, "docs/replay.md")
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"acme.yaml": fmt.Sprintf(pageConfig, "150ms"), "tighter.yaml": fmt.Sprintf(pageConfig, "90ms"), "trace.csv": trace(),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"firstcall.db", "copy.db"} {
		fillStore(t, name)
	}
	commands := 0
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			if strings.Contains(line, "--prometheus") == (prometheus == "") {
				continue
			}
			commands++
			args := words(strings.ReplaceAll(line, "http://127.0.0.1:9090", prometheus))
			var stdout, stderr strings.Builder
			if code := Main(args[1:], strings.NewReader(""), &stdout, &stderr); code != 0 || stderr.String() != "" || stdout.String() == "" {
				t.Errorf("%s: exit code %d\n%s%s", line, code, stdout.String(), stderr.String())
			}
		}
	}
	if want := map[bool]int{true: 9, false: 2}[prometheus == ""]; commands != want {
		t.Errorf("%d commands were run, want %d", commands, want)
	}
	if prometheus == "" {
		for _, picture := range []string{"both.png", "trace.svg"} {
			if info, err := os.Stat(picture); err != nil || info.Size() < 5000 {
				t.Errorf("%s: %v", picture, err)
			}
		}
	}
}

// TestReplayPageSeeds states that the page's piece of configuration is one.
func TestReplayPageSeeds(t *testing.T) {
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(read(t, "docs/replay.md"))
	if len(found) == 0 {
		t.Fatal("the page has no configuration")
	}
	if _, err := config.Parse("acme.yaml", []byte(fmt.Sprintf(pageConfig, "1s")+found[1]), os.LookupEnv); err != nil {
		t.Error(err)
	}
}

// words splits a command line as a shell would: at spaces, but within single quotes.
func words(line string) []string {
	var all []string
	for i, part := range strings.Split(strings.TrimSpace(line), "'") {
		if i%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}

// fillStore makes a store with the last two days of one probe, which is slow for an hour.
func fillStore(t *testing.T, name string) {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var list []probes.Result
	start := time.Now().Add(-48 * time.Hour)
	for m := range 48 * 60 {
		r := probes.Result{Probe: "web-client/http", Start: start.Add(time.Duration(m) * time.Minute), Duration: 80 * time.Millisecond, Outcome: probes.Up}
		if m > 1000 && m < 1060 {
			r.Duration *= 3
		}
		list = append(list, r)
	}
	if err := s.AppendResults(t.Context(), list); err != nil {
		t.Fatal(err)
	}
}
