//go:build servers && linux

package cli

import (
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// terminal runs a watch of a made-up agent in a real terminal.
func terminal(t *testing.T, scene string, width, height int, env ...string) *servers.Terminal {
	t.Helper()
	f := webtest.Scene(scene)
	srv := httptest.NewServer(web.New(web.Options{Level: webtest.Level, Agent: f, Store: f, Now: func() time.Time { return f.Now }, Zone: webtest.Zone}))
	t.Cleanup(srv.Close)
	return servers.StartTerminal(t, width, height, append(env, "LANG=C.UTF-8", "GORACE="+noSleep), binary(t), "watch", "--desktop=false", "--from", srv.URL)
}

func binary(t *testing.T) string {
	t.Helper()
	name, err := exec.LookPath("firstcall")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

var changing = regexp.MustCompile(`\d\d:\d\d:\d\d|127\.0\.0\.1:\d+`)

// steady makes the times of the test's own clock, and the port, the same in every run.
func steady(screen string) string {
	screen = changing.ReplaceAllString(screen, "*")
	return regexp.MustCompile(` +\* CET`).ReplaceAllString(screen, "  * CET")
}

func TestScreensOnARealTerminal(t *testing.T) {
	for _, c := range []struct {
		name, scene   string
		width, height int
		keys          []string
		until         string
	}{
		{"p1-narrow", "p1", 60, 20, nil, "P1 opened"},
		{"p1-wide", "p1", 200, 60, nil, "case SOC-4711 acknowledged by Jonas Holm (the entire"},
		{"well", "well", 100, 30, nil, "acme: All well"},
		{"incident", "p1", 100, 40, []string{"End", "Enter"}, "timeline"},
		{"help", "well", 80, 24, []string{"?"}, "marks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := terminal(t, c.scene, c.width, c.height, "NO_COLOR=1")
			m.Until("acme")
			for _, k := range c.keys {
				m.Press(k)
			}
			m.Until(c.until)
			got := steady(m.Until("q quit"))
			file := filepath.Join("testdata", "watch", c.name+".txt")
			if flag.Lookup("update").Value.String() == "true" {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got)\n%s", file, diff)
			}
			if coloured := m.Coloured(); strings.Contains(coloured, "38;5;") || strings.Contains(coloured, "[31m") {
				t.Error("colours are sent although NO_COLOR is set")
			}
			m.Press("q")
			if code := m.Ended(); code != "0" {
				t.Errorf("q ends it with exit code %s", code)
			}
		})
	}
}

func TestATerminalThatIsResizedAndInterrupted(t *testing.T) {
	m := terminal(t, "pending", 200, 50, "TERM=xterm-256color")
	m.Until("web-client is inaccessible")
	if code := m.Coloured(); !strings.Contains(code, "38;5;") {
		t.Errorf("no colours on a terminal that has them:\n%q", code)
	}
	m.Resize(60, 20)
	m.Until("…")
	for row := range strings.Lines(m.Screen()) {
		if n := len([]rune(strings.TrimRight(row, "\n"))); n > 60 {
			t.Errorf("a row of %d columns: %s", n, row)
		}
	}
	m.Press("m")
	m.Until("muted")
	m.Press("C-c")
	if code := m.Ended(); code != "130" {
		t.Errorf("Ctrl-C ends it with exit code %s", code)
	}
}
