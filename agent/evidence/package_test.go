package evidence

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

func TestSummaryCounts(t *testing.T) {
	for _, c := range []struct {
		components, witnesses []probes.Outcome
		want                  string
	}{
		{[]probes.Outcome{probes.Up}, []probes.Outcome{probes.Down}, "the other component answers normally; the witness does not answer"},
		{[]probes.Outcome{probes.Degraded}, []probes.Outcome{probes.Up}, "the other component does not answer normally; the witness answers"},
		{[]probes.Outcome{probes.Up, probes.Down}, []probes.Outcome{probes.Up, probes.Up}, "1 of 2 other components answer normally; 2 of 2 witnesses answer"},
		{nil, nil, "the state at the time is below"},
	} {
		var f findings
		for _, o := range c.components {
			f.view.Components = append(f.view.Components, engine.ComponentView{Outcome: o})
		}
		for _, o := range c.witnesses {
			f.view.Witnesses = append(f.view.Witnesses, engine.ProbeView{Outcome: o})
		}
		if got := f.summary(); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}

func TestSecondNameServer(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "[]",
		"nameserver 192.0.2.1\n": "[]",
		"# x\nnameserver 192.0.2.1\noptions ndots:5\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n": "[192.0.2.2:53]",
		"nameserver 192.0.2.1\n\tnameserver\t2001:db8::53 \n":                                      "[[2001:db8::53]:53]",
		"nameserver no\nnameserver 192.0.2.1\nnameserver\n":                                        "[]",
		strings.Repeat("x", 200_000) + "\nnameserver 192.0.2.1\nnameserver 192.0.2.2":              "[]",
	} {
		file := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(second(file)); got != want {
			t.Errorf("%.60q: %s, want %s", text, got, want)
		}
	}
	if got := second(filepath.Join(t.TempDir(), "none")); got != nil {
		t.Errorf("without a file: %v", got)
	}
}

func TestFileNamesAreFit(t *testing.T) {
	for _, c := range [][3]string{
		{"web-client/browser", "screenshot.png", "web-client-browser-screenshot.png"},
		{"../Web Client/Ærø", "a.har", "web-client--r--a.har"},
		{strings.Repeat("x", 90), "screenshot.png", strings.Repeat("x", 45) + "-screenshot.png"},
		{"p", strings.Repeat("y", 60), strings.Repeat("y", 60)},
	} {
		if got := fileName(c[0], c[1]); got != c[2] || len(got) > 60 {
			t.Errorf("%s of %s: %s, want %s", c[1], c[0], got, c[2])
		}
	}
}
