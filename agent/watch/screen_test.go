package watch

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/incident"
)

var renew = flag.Bool("update", false, "write the screens to testdata")

func at() time.Time { return webtest.Now }

// getter asks a made-up agent in a named state.
func getter(name string) Getter {
	f := webtest.Scene(name)
	return Local(web.New(web.Options{Level: webtest.Level, Agent: f, Store: f, Now: at, Zone: webtest.Zone}))
}

func sceneOf(t *testing.T, name string) *Scene {
	t.Helper()
	s, err := newFeed(getter(name), at).read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// screenOf returns a screen of that size on which the scene is shown and the keys were pressed.
func screenOf(t *testing.T, name string, width, height int, o Options, keys ...string) *screen {
	t.Helper()
	o.Now, o.Log = at, &Log{}
	m := newScreen(o)
	s := sceneOf(t, name)
	for _, line := range changes(nil, s) {
		o.Log.add(at(), 0, line)
	}
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	m.Update(update{scene: s})
	for _, k := range keys {
		m.press(k)
	}
	return m
}

func TestScreens(t *testing.T) {
	from := Options{From: "https://firstcall.example"}
	for _, c := range []struct {
		name, scene   string
		width, height int
		o             Options
		keys          []string
	}{
		{"p1-narrow", "p1", 60, 20, from, nil},
		{"p1-wide", "p1", 200, 60, from, nil},
		{"p1-colour", "p1", 100, 30, Options{From: from.From, Colour: true}, nil},
		{"p1-ascii", "p1", 80, 24, Options{From: from.From, ASCII: true}, nil},
		{"p1-component", "p1", 100, 30, from, []string{"enter"}},
		{"p1-incident", "p1", 100, 40, from, []string{"end", "enter"}},
		{"well-narrow", "well", 60, 20, Options{Note: "alert-only"}, []string{"m"}},
		{"well", "well", 100, 30, Options{Note: "alert-only"}, nil},
		{"empty", "empty", 80, 24, from, nil},
		{"learning", "learning", 80, 24, from, nil},
		{"suspect", "suspect", 100, 24, from, nil},
		{"held", "held", 120, 30, from, []string{"down", "down", "down"}},
		{"blind", "blind", 100, 30, from, nil},
		{"maintenance", "maintenance", 100, 24, from, nil},
		{"hostile", "hostile", 80, 24, from, nil},
		{"large", "large", 100, 30, from, slices.Repeat([]string{"pgdown"}, 5)},
		{"help", "well", 100, 24, from, []string{"?"}},
		{"tiny", "p1", 20, 6, from, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := screenOf(t, c.scene, c.width, c.height, c.o, c.keys...)
			rows := m.draw()
			if len(rows) != c.height {
				t.Errorf("%d rows on a screen of %d", len(rows), c.height)
			}
			for n, row := range rows {
				if w := ansi.StringWidth(row); w > c.width {
					t.Errorf("row %d has %d columns on a screen of %d: %s", n, w, c.width, row)
				}
				rows[n] = strings.TrimRight(row, " ")
			}
			compare(t, filepath.Join("testdata", c.name+".txt"), strings.Join(rows, "\n")+"\n")
		})
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *renew {
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
}

// escapes returns the sequences in a text that a terminal acts on.
func escapes(s string) (all []string) {
	for part := range strings.SplitSeq(s, "\x1b") {
		if end := strings.IndexAny(part, "mKHJ"); end >= 0 && s[0] != part[0] {
			all = append(all, part[:end+1])
		}
	}
	return all
}

func TestWithoutColoursNothingButEmphasisIsSent(t *testing.T) {
	for _, name := range webtest.Scenes {
		for _, s := range escapes(strings.Join(screenOf(t, name, 100, 40, Options{}).draw(), "\n")) {
			if !slices.Contains([]string{"[1m", "[7m", "[m"}, s) {
				t.Errorf("%s: %q is sent although no colour is wanted", name, s)
			}
		}
	}
}

func TestDarkAndLightTerminalsGetColoursOfTheirOwn(t *testing.T) {
	dark := screenOf(t, "p1", 100, 30, Options{Colour: true})
	before := strings.Join(dark.draw(), "\n")
	light := screenOf(t, "p1", 100, 30, Options{Colour: true})
	light.look = newLook(true, false, false)
	after := strings.Join(light.draw(), "\n")
	if before == after || ansi.Strip(before) != ansi.Strip(after) {
		t.Error("a light terminal must show the same text in other colours")
	}
}

func TestEveryScreenFitsEverySize(t *testing.T) {
	for _, name := range webtest.Scenes {
		m := screenOf(t, name, 80, 24, Options{})
		for _, size := range [][2]int{{1, 1}, {10, 3}, {40, 10}, {60, 20}, {79, 23}, {141, 41}, {300, 100}} {
			m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
			for _, keys := range [][]string{nil, {"enter"}, {"end"}, {"?"}, {"esc", "home"}} {
				for _, k := range keys {
					m.press(k)
				}
				rows := m.draw()
				if len(rows) != size[1] {
					t.Errorf("%s: %d rows on %v", name, len(rows), size)
				}
				for _, row := range rows {
					if ansi.StringWidth(row) > size[0] {
						t.Errorf("%s: a row of %d columns on %v: %q", name, ansi.StringWidth(row), size, row)
					}
				}
			}
		}
	}
}

func TestKeys(t *testing.T) {
	m := screenOf(t, "held", 100, 30, Options{})
	heard := []bool{}
	m.sound = func(on bool) { heard = append(heard, on) }
	first := m.chosen
	if m.press("down"); m.chosen == first {
		t.Error("down does not move")
	}
	if m.press("up"); m.chosen != first {
		t.Error("up does not move back")
	}
	m.press("up")
	if m.press("enter"); !m.details || m.chosen != first {
		t.Error("enter does not open the details of the first item")
	}
	if m.press("esc"); m.details {
		t.Error("esc does not close them")
	}
	m.press("m")
	m.press("m")
	if fmt.Sprint(heard) != "[false true]" {
		t.Errorf("m turns the sound %v", heard)
	}
	m.press("end")
	if !strings.HasPrefix(m.chosen, "incident ") {
		t.Errorf("end leads to %q", m.chosen)
	}
	last := m.chosen
	m.press("enter")
	if m.take(update{scene: sceneOf(t, "held")}); m.chosen != last || !m.details {
		t.Error("a newer scene moves the cursor")
	}
	if m.take(update{scene: sceneOf(t, "well")}); m.details || m.chosen == last {
		t.Error("what was looked at is gone, and its details still stand there")
	}
	if cmd := m.press("q"); cmd == nil || m.stopped {
		t.Error("q leaves, as one does")
	}
	if cmd := m.press("ctrl+c"); cmd == nil || !m.stopped {
		t.Error("Ctrl-C leaves, as an interruption")
	}
}

func TestABellRingsOnceForWhatNobodyHasTaken(t *testing.T) {
	m := screenOf(t, "well", 80, 24, Options{})
	loud := update{scene: sceneOf(t, "pending"), loud: []incident.Incident{{ID: "1"}}}
	if m.take(loud) == nil {
		t.Error("no bell")
	}
	if m.take(update{scene: loud.scene}) != nil {
		t.Error("a bell without a cause")
	}
	m.press("m")
	if m.take(loud) != nil {
		t.Error("a bell although muted")
	}
}

func TestAnAgentThatDoesNotAnswerIsSaid(t *testing.T) {
	m := screenOf(t, "well", 80, 24, Options{From: "https://firstcall.example"})
	m.take(update{err: fmt.Errorf("no agent answers at https://firstcall.example"), since: at().In(webtest.Zone), again: at().Add(8 * time.Second).In(webtest.Zone)})
	text := ansi.Strip(strings.Join(m.draw(), "\n"))
	for _, want := range []string{"agent not reachable since 10:48:20, next try 10:48:28: no agent answers", "what stands below is from 10:48:20", "web-client"} {
		if !strings.Contains(text, want) {
			t.Errorf("the screen lacks %q:\n%s", want, text)
		}
	}
	if head, _, _ := strings.Cut(text, "components"); strings.Contains(head, "All well") || m.title() != "firstcall: agent not reachable" {
		t.Errorf("it says that all is well, which nobody knows:\n%s", text)
	}
}
