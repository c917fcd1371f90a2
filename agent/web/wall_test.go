package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/fleet"
	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/config/secret"
)

var wallNow = time.Date(2026, 11, 3, 10, 3, 0, 0, time.UTC)

func wallOf(f *webtest.Fleet) http.Handler {
	return web.NewWall(web.Options{Tenant: "Fleet", Now: func() time.Time { return wallNow }, Token: secret.New("correct horse"), Version: "1.2.3"}, f)
}

func TestWallSaysTheWorstFirst(t *testing.T) {
	page := func(name, path string) string {
		t.Helper()
		w := get(t, wallOf(webtest.NewFleet(name, wallNow)), path)
		if w.Code != http.StatusOK {
			t.Fatalf("%s answers %d", path, w.Code)
		}
		return w.Body.String()
	}
	full := page("full", "/")
	for _, want := range []string{
		"36 tenants lost virtual-desktop in region westeurope at 09:42 UTC, 31 still fail: one cause; 2 tenants at P1; 36 tenants at P2; 6 agents are silent; 3 agents are blind; 2 agents are impaired.",
		"31 of 36 fail now", "less than once in 1,000 years", "its agent is not heard since 09:54", ": nothing is known of it", ": what stands here is from then", "P2 Urgent, silent", "942 tenants are well", `href="https://t0000.example/"`, "Sign in to open one parent case",
		"&lt;b&gt;412 ms&lt;/b&gt;", "INC-4000", "Hansen &amp; Sønner",
	} {
		if !strings.Contains(full, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	if first, second := strings.Index(full, "t0000.example"), strings.Index(full, "entire customer solution"); first < 0 || second < 0 || strings.Index(full, `class="silent"`) < second {
		t.Error("the worst is not first")
	}
	if len(full) > 1<<20 {
		t.Errorf("the page of 1,000 tenants has %d bytes", len(full))
	}
	if text := page("empty", "/"); !strings.Contains(text, "No tenant has told of itself yet") || !strings.Contains(text, `class="headline unknown"`) {
		t.Error("an empty wall does not say so")
	}
	if text := page("well", "/"); !strings.Contains(text, "No tenant of 40 is at P1 or P2, and every agent is heard") {
		t.Error("a wall on which all is well does not say so")
	}
	if text := page("full", "/?label.region=denmark&state=p2"); !strings.Contains(text, "12 of 1000 tenants") || strings.Contains(text, "tenants are well") {
		t.Error("the filter by label and state does not hold")
	}
	if text := page("full", "/?q=inc-4001"); !strings.Contains(text, "1 of 1000 tenants") {
		t.Error("a case is not found")
	}
}

// The tiles are bounded; how many tenants are well is said all the same. Names that a tile cuts short are whole in its tip.
func TestWallCountsTenantsWithoutATile(t *testing.T) {
	f := webtest.NewFleet("full", wallNow)
	f.Change(func(w *fleet.Wall) {
		for len(w.Rows) < 3000 {
			w.Rows = append(w.Rows, fleet.Row{ID: "t", Name: "One of many", State: fleet.Well})
		}
	})
	text := get(t, wallOf(f), "/").Body.String()
	for _, want := range []string{"2942 tenants are well", "and 942 more", `title="One of many, t"`, `title="Hansen &amp; Sønner 2, t0002, region=denmark, supplier=s2"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q on the page", want)
		}
	}
}

func TestWallSaysWhenItIsOld(t *testing.T) {
	const old, failed = "What stands below is old.", "store: &lt;away&gt;"
	for _, c := range []struct {
		name   string
		change func(*fleet.Wall)
		want   string // "": it is not old
	}{
		{"read lately", func(*fleet.Wall) {}, ""},
		{"it cannot be read", func(w *fleet.Wall) { w.Seen, w.Err = wallNow.Add(-time.Minute), "store: <away>" }, old + " " + failed},
		{"nobody reads", func(w *fleet.Wall) { w.Seen = wallNow.Add(-time.Minute) }, old},
		{"read once a minute", func(w *fleet.Wall) { w.Seen, w.Refresh = wallNow.Add(-time.Minute), time.Minute }, ""},
		{"three readings are missing", func(w *fleet.Wall) { w.Seen, w.Refresh = wallNow.Add(-4*time.Minute), time.Minute }, old},
		{"another clock at the database", func(w *fleet.Wall) { w.At = wallNow.Add(-time.Hour) }, ""},
		{"never read", func(w *fleet.Wall) { *w = fleet.Wall{Err: "store: <away>"} }, "The database could not be read yet. " + failed},
		{"never read, with a memory", func(w *fleet.Wall) {
			*w = fleet.Wall{Err: "store: <away>", Shared: webtest.NewFleet("full", wallNow).Wall().Shared}
		}, "What stands below was known before. " + failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := webtest.NewFleet("well", wallNow)
			f.Change(c.change)
			h := wallOf(f)
			text := get(t, h, "/").Body.String()
			if is := strings.Contains(text, `class="stale" role="alert">The`); is != (c.want != "") || !strings.Contains(text, c.want) || is != strings.Contains(text, `class="headline unknown"`) {
				t.Errorf("it is old: %t; want %q", is, c.want)
			}
			if w := get(t, h, "/-/ready"); w.Code != http.StatusOK {
				t.Errorf("nobody may see that it is old: /-/ready answers %d", w.Code)
			}
		})
	}
}

func TestWallIsReadyAfterItsFirstReading(t *testing.T) {
	f := webtest.NewFleet("well", wallNow)
	f.Change(func(w *fleet.Wall) { *w = fleet.Wall{} })
	if w := get(t, wallOf(f), "/-/ready"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "not read yet") {
		t.Errorf("before its first reading: %d %s", w.Code, w.Body)
	}
}

func TestWallSaysWhyParentCasesWait(t *testing.T) {
	f := webtest.NewFleet("well", wallNow)
	f.Change(func(w *fleet.Wall) { w.Unkept = "store: <full>" })
	text := get(t, wallOf(f), "/").Body.String()
	if !strings.Contains(text, "What the fleet decides cannot be kept: store: &lt;full&gt;; parent cases wait.") || strings.Contains(text, "is not read since") {
		t.Error("the page does not say that nothing can be kept, or takes the database for away")
	}
}

func TestWallSaysWhoIsNotHeardYet(t *testing.T) {
	f := webtest.NewFleet("well", wallNow)
	f.Change(func(w *fleet.Wall) {
		w.Rows[0].State, w.Rows[0].Unsure, w.Rows[0].Trouble = fleet.Blind, true, "its agent is not heard yet"
		w.Rows[1].State, w.Counts[fleet.Blind], w.Unsure = fleet.Blind, 2, 1
	})
	if text := get(t, wallOf(f), "/").Body.String(); !strings.Contains(text, "1 agent is blind; 1 agent is not heard yet since the database is read again.") {
		t.Error("the sentence does not say who is not heard yet")
	}
}

func TestWallSaysWhichCommandOpensAParentCase(t *testing.T) {
	f := webtest.NewFleet("full", wallNow)
	const open = "or run <code>firstcall fleet open "
	for _, c := range []struct {
		o    web.Options
		want string
	}{
		{web.Options{ExternalURL: "https://fleet.example/wall/", Token: secret.New("correct horse")}, " --url https://fleet.example/wall/ --token-file FILE</code></p>"},
		{web.Options{ExternalURL: "https://fleet.example/"}, " --url https://fleet.example/</code></p>"},
		{web.Options{Token: secret.New("correct horse")}, " --url ADDRESS --token-file FILE</code>, with the address of this page</p>"},
	} {
		if text, want := get(t, web.NewWall(c.o, f), "/").Body.String(), open+f.Wall().Shared[0].Key+c.want; !strings.Contains(text, want) {
			_, said, _ := strings.Cut(text, open)
			t.Errorf("want %q, got %.200q", want, said)
		}
	}
}

func TestWallTakesOrdersFromWhoMay(t *testing.T) {
	f := webtest.NewFleet("full", wallNow)
	h := wallOf(f)
	path := "/api/v1/fleet/" + f.Wall().Shared[0].Key + "/open"
	post := func(token, body string) int {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, c := range []struct {
		token, body string
		want        int
	}{
		{"", `{"actor":"mette"}`, http.StatusUnauthorized},
		{"wrong", `{"actor":"mette"}`, http.StatusUnauthorized},
		{"correct horse", `{}`, http.StatusBadRequest},
		{"correct horse", `{"actor":"firstcall"}`, http.StatusBadRequest},
		{"correct horse", `{"actor":"mette"}`, http.StatusOK},
	} {
		if got := post(c.token, c.body); got != c.want {
			t.Errorf("token %q, %s: %d, want %d", c.token, c.body, got, c.want)
		}
	}
	if by := f.Wall().Shared[0].OpenedBy; by != "mette" {
		t.Errorf("asked for by %q", by)
	}
	f.Err = fleet.ErrNoDesk
	if got := post("correct horse", `{"actor":"mette"}`); got != http.StatusConflict {
		t.Errorf("without a desk: %d", got)
	}
	f.Err = errors.New("broken")
	if got := post("correct horse", `{"actor":"mette"}`); got != http.StatusInternalServerError {
		t.Errorf("a state that cannot be written: %d", got)
	}
	var w fleet.Wall
	if err := json.Unmarshal(get(t, h, "/api/v1/fleet").Body.Bytes(), &w); err != nil || len(w.Rows) != 1000 {
		t.Errorf("the API has %d tenants (%v)", len(w.Rows), err)
	}
}
