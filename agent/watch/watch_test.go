package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/incident"
)

// turning answers as one scene after the other, each for so many calls of its status; "" does not answer.
func turning(scenes ...string) Getter {
	n := -1
	return func(ctx context.Context, path string, into any) error {
		if path == "/api/v1/status" {
			n = min(n+1, len(scenes)-1)
		}
		if scenes[n] == "" {
			return errors.New("no agent answers at https://firstcall.example")
		}
		return getter(scenes[n])(ctx, path, into)
	}
}

func TestChangesAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var lines []string
		o := Options{Get: turning("well", "well", "pending", "pending", "p1", "blind", "well"), Every: 5 * time.Second, Now: time.Now}
		follow(ctx, o, func(u update) { lines = append(lines, u.lines...) })
		want := []string{
			"acme: All well: 4 components answer.",
			"web-client is down: answered 503 Service Unavailable, wanted 200",
			"P2 opened: web-client is inaccessible",
			"backend is down: no answer within 5 s while connecting to 203.0.113.7:443",
			"remote-desktop is down: no answer within 5 s while connecting to 203.0.113.7:443",
			"virtual-desktop is down: no answer within 5 s while connecting to 203.0.113.7:443",
			"P1 opened: the entire customer solution is inaccessible",
			"case SOC-4711 acknowledged by Jonas Holm (the entire customer solution is inaccessible)",
			"P2 over: web-client is inaccessible",
			"the agent is blind: nothing is said about the customer",
			"agent opened: the agent is blind",
			"P1 over: the entire customer solution is inaccessible",
			"the agent sees again", "backend is up", "web-client is up", "remote-desktop is up", "virtual-desktop is up",
			"agent over: the agent is blind",
		}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("lines (-want +got)\n%s", diff)
		}
	})
}

func TestAnAgentThatIsGoneIsAskedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		start := time.Now()
		var asked []int
		var lines []string
		get := turning("well", "", "", "", "", "", "", "", "well")
		o := Options{Every: 3 * time.Second, Now: time.Now, Get: func(ctx context.Context, path string, into any) error {
			if path == "/api/v1/status" {
				asked = append(asked, int(time.Since(start).Seconds()))
			}
			return get(ctx, path, into)
		}}
		follow(ctx, o, func(u update) {
			lines = append(lines, u.lines...)
			if u.err != nil && int(u.since.Sub(start).Seconds()) != 3 {
				t.Errorf("not reachable since %s", u.since.Sub(start))
			}
		})
		if diff := cmp.Diff([]int{0, 3, 5, 9, 17, 33, 63, 93}, asked[:8]); diff != "" {
			t.Errorf("asked at (-want +got)\n%s", diff)
		}
		want := []string{"acme: All well: 4 components answer.", "the agent is not reachable: no agent answers at https://firstcall.example"}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("lines (-want +got)\n%s", diff)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var b strings.Builder
		if _, err := Run(ctx, Options{Get: turning("well", "", "", "well"), Plain: true, Out: &b}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "  the agent answers again, after 6s\n") || strings.Count(b.String(), "\n") != 3 {
			t.Errorf("got\n%s", b.String())
		}
	})
}

func TestOnlyWhatNobodyHasTakenRingsAndOnce(t *testing.T) {
	one := func(id string, p incident.Priority, acknowledged bool) *Scene {
		s := &Scene{Stories: map[string]web.Story{}}
		s.Incidents = []incident.Incident{{ID: id, Priority: p}}
		if acknowledged {
			s.Stories[id] = web.Story{Cases: []incident.Case{{Number: "SOC-1", Acknowledged: webtest.Now}}}
		}
		return s
	}
	var a alarms
	for n, c := range []struct {
		scene *Scene
		loud  bool
	}{
		{one("a", incident.P3, false), false},
		{one("a", incident.P2, false), true},
		{one("a", incident.P2, false), false},
		{one("a", incident.P1, false), true},
		{one("a", incident.P2, false), false},
		{one("a", incident.P1, false), false},
		{one("b", incident.P1, true), false},
		{one("b", incident.P1, false), false},
		{one("c", incident.NoPriority, false), false},
		{one("a", incident.P2, false), true}, // it was over in between
	} {
		if got := len(a.ring(c.scene)) > 0; got != c.loud {
			t.Errorf("step %d: loud %t, want %t", n, got, c.loud)
		}
	}
}

func TestPlainOutputTellsTheDesktop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var told []string
		o := Options{Get: turning("well", "pending"), Plain: true, Out: io.Discard, Muted: true, Tell: func(_ context.Context, i incident.Incident, tenant string, sound bool) error {
			told = append(told, fmt.Sprint(tenant, " ", i.Priority, " ", i.Title, " ", sound))
			return errors.New("no session bus")
		}, Log: &Log{}}
		if _, err := Run(ctx, o); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(told, []string{"acme P2 web-client is inaccessible false"}) {
			t.Errorf("told %q", told)
		}
		if e := o.Log.newest(1); len(e) != 1 || e[0].text != "no notification on the desktop: no session bus" {
			t.Errorf("log %v", e)
		}
	})
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAnOutputThatIsClosedEndsIt(t *testing.T) {
	if _, err := Run(t.Context(), Options{Get: getter("well"), Plain: true, Out: broken{}}); err == nil || !strings.Contains(err.Error(), "the output cannot be written: broken pipe") {
		t.Errorf("got %v", err)
	}
}

func TestTables(t *testing.T) {
	for name, want := range map[string]bool{"well": true, "p1": false, "blind": false, "held": false, "functional": false, "empty": false, "learning": false} {
		var b strings.Builder
		s, err := Once(t.Context(), getter(name))
		if err != nil {
			t.Fatal(err)
		}
		well, err := s.Table(&b)
		if err != nil || well != want && name != "functional" {
			t.Errorf("%s: well %t, want %t (%v)\n%s", name, well, want, err, b.String())
		}
		if name == "p1" {
			compare(t, "testdata/table-p1.txt", b.String())
		}
	}
}

func TestAnAgentInThisProcessIsAskedWithoutAnAddress(t *testing.T) {
	var into struct{ A int }
	get := Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/a" {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = io.WriteString(w, `{"a":7}`)
	}))
	if err := get(t.Context(), "/a?b=c", &into); err != nil || into.A != 7 {
		t.Errorf("got %v, %v", into, err)
	}
	if err := get(t.Context(), "/b", &into); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("got %v", err)
	}
}

func TestTheLogIsBoundedAndPrintable(t *testing.T) {
	l := &Log{}
	log := l.Logger(slog.LevelWarn).With("probe", "web").WithGroup("g")
	log.Info("not kept")
	log.Warn("bad\x1b[2J", "err", errors.New("a\nb"))
	if e := l.newest(9); len(e) != 1 || e[0].text != "bad [2J probe=web g.err=a b" || e[0].level != slog.LevelWarn {
		t.Errorf("got %v", e)
	}
	for n := range 5000 {
		l.add(webtest.Now, slog.LevelInfo, fmt.Sprint(n, strings.Repeat("x", 3000)))
	}
	if e := l.newest(10_000); len(e) > kept || len(e[0].text) > longest+3 || !strings.HasPrefix(e[len(e)-1].text, "4999") {
		t.Errorf("%d entries", len(e))
	}
}

func TestALineOfLatencies(t *testing.T) {
	l := newLook(false, true, false)
	for _, c := range []struct {
		points []point
		normal time.Duration
		want   string
	}{
		{nil, 0, "      "},
		{[]point{{took: 0}}, 0, "     ▁"},
		{[]point{{took: 10}, {took: 70}}, 0, "    ▂█"},
		{[]point{{took: 10}, {took: 10}}, 35, "    ▂▂"},
	} {
		for n := range c.points {
			c.points[n].outcome = webtest.Scene("well").Seen.Outcome
		}
		if got := l.line(c.points, c.normal, 6); got != c.want {
			t.Errorf("%v: %q, want %q", c.points, got, c.want)
		}
	}
	if got := l.line(slices.Repeat([]point{{took: 5}}, 500), 0, 6); len([]rune(got)) != 6 {
		t.Errorf("%q is not of six columns", got)
	}
}
