package web_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
)

func TestOrdersByTheAPI(t *testing.T) {
	f := webtest.Scene("p1")
	h := web.New(options(f))
	id := f.Seen.Incidents[0].ID
	const upkeep, silences = "/api/v1/maintenance", "/api/v1/silences"
	for _, c := range []struct {
		name, target, body, want string
		status                   int
	}{
		{"maintenance", upkeep, `{"actor": " mette ", "reason": "patches", "minutes": 90, "components": ["web-client", "backend", "backend"]}`, `"active": true`, 200},
		{"of everything", upkeep, `{"actor": "mette", "reason": "patches", "minutes": 1}`, `"id": 2`, 200},
		{"silence of one incident", silences, `{"actor": "mette", "reason": "known", "minutes": 60, "incident": "` + id + `"}`, `"priority": "p1"`, 200},
		{"silence with the customer", silences, `{"actor": "mette", "reason": "a drill", "minutes": 60, "customer": true}`, `"customer": true`, 200},
		{"nobody", upkeep, `{"reason": "patches", "minutes": 90}`, "actor is missing", 400},
		{"no reason", upkeep, `{"actor": "m", "minutes": 90}`, "reason is missing", 400},
		{"no time", upkeep, `{"actor": "m", "reason": "r"}`, "minutes is out of range", 400},
		{"too long", upkeep, `{"actor": "m", "reason": "r", "minutes": 43201}`, "minutes is out of range", 400},
		{"a component that is not there", upkeep, `{"actor": "m", "reason": "r", "minutes": 9, "components": ["web-klient"]}`, `did you mean \"web-client\"`, 400},
		{"maintenance of an incident", upkeep, `{"actor": "m", "reason": "r", "minutes": 9, "incident": "x"}`, "for silences", 400},
		{"both", silences, `{"actor": "m", "reason": "r", "minutes": 9, "incident": "` + id + `", "components": ["backend"]}`, "exclude each other", 400},
		{"an incident that is not open", silences, `{"actor": "m", "reason": "r", "minutes": 9, "incident": "x"}`, "no open one", 404},
		{"an unknown key", silences, `{"actor": "m", "reason": "r", "minutes": 9, "who": 1}`, "unknown field", 400},
		{"end", upkeep + "/2/end", `{"actor": "jonas"}`, `"ended_by": "jonas"`, 200},
		{"end of the other kind", silences + "/1/end", `{"actor": "jonas"}`, "not found", 404},
		{"end of nothing", upkeep + "/zwei/end", `{"actor": "jonas"}`, "there is no maintenance", 404},
		{"end by nobody", upkeep + "/1/end", `{}`, "actor is missing", 400},
	} {
		w := call(t, h, "POST", c.target, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s, want %d %q", c.name, w.Code, w.Body, c.status, c.want)
		}
	}
	var list web.Upkeep
	if err := json.Unmarshal(get(t, h, upkeep).Body.Bytes(), &list); err != nil || len(list.Orders.Orders) != 2 || len(list.Windows) == 0 {
		t.Fatalf("%v: %+v", err, list)
	}
	if o := list.Orders.Orders[1]; o.Actor != "mette" || len(o.Components) != 2 || o.Until.Sub(o.From) != 90*time.Minute || !o.Active || list.Orders.Orders[0].Active {
		t.Errorf("%+v", list.Orders.Orders)
	}
	f.ActErr = errors.New("200 orders are in force, which is the most: end some")
	if w := call(t, h, "POST", upkeep, `{"actor": "m", "reason": "r", "minutes": 9}`); w.Code != 409 || !strings.Contains(w.Body.String(), "end some") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOrdersOnThePages(t *testing.T) {
	f := webtest.Scene("ordered")
	h := web.New(options(f))
	for target, want := range map[string][]string{
		"/":                                    {"Silenced</b> until", "maintenance until", "a new certificate", "in maintenance, down, refused"},
		"/maintenance":                         {"in force</b>, 55 min left", "patch-sunday", "ended by <bdi>mette", "Sign in</a> to order it here"},
		"/components/backend":                  {"<b>Maintenance</b> now, until"},
		"/incidents/" + f.Seen.Incidents[0].ID: {"Silenced</b> until", "the customer&#39;s mails go on"},
	} {
		body := get(t, h, target).Body.String()
		for _, text := range want {
			if !strings.Contains(strings.ToLower(body), strings.ToLower(strings.ReplaceAll(text, "&#39;", "'"))) {
				t.Errorf("%s does not say %q", target, text)
			}
		}
	}
}

func TestHistoryFilters(t *testing.T) {
	f := webtest.Scene("p1")
	h := web.New(options(f))
	for _, c := range []struct {
		query, count string
		status       int
	}{
		{"", "121 incidents.", 200},
		{"state=open", "1 incident that matches.", 200},
		{"open=true", "1 incident that matches.", 200},
		{"state=closed", "120 incidents that match.", 200},
		{"state=momentary", "30 incidents that match.", 200},
		{"priority=p1", "1 incident that matches.", 200},
		{"class=capacity", "0 incidents that match.", 200},
		{"class=account", "0 incidents that match.", 200},
		{"state=rejudged", "0 incidents that match.", 200},
		{"component=backend", "1 incident that matches.", 200},
		{"q=FC-2026-000150", "1 incident that matches.", 200},
		{"q=%3Cscript%3E", "0 incidents that match.", 200},
		{"from=2026-11-22&to=2026-11-23", "1 incident that matches.", 200},
		{"from=2026-11-21&to=2026-11-21", "1 incident that matches.", 200},
		{"from=2026-11-23T09:42:00Z", "1 incident that matches.", 200},
		{"state=broken", "state is not known", 400},
		{"priority=p5", "priority is not known", 400},
		{"class=x", "class is not known", 400},
		{"from=yesterday", "from is no day", 400},
	} {
		w := get(t, h, "/incidents?"+c.query)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.count) {
			_, rest, _ := strings.Cut(w.Body.String(), `role="status">`)
			t.Errorf("%s: %d, want %d %q: %.80s", c.query, w.Code, c.status, c.count, rest)
		}
	}
	page := get(t, h, "/incidents?state=closed&component=web-client").Body.String()
	if !strings.Contains(page, `<option selected>closed</option>`) || !strings.Contains(page, "component=web-client&amp;state=closed") {
		t.Error("the form or the link to older ones forgets the filter")
	}
}

func TestComponentPage(t *testing.T) {
	f := webtest.Scene("ordered")
	h := web.New(options(f))
	for target, want := range map[string][]string{
		"/components/web-client":                               {`class="phase4"`, `class="band"`, `class="limit"`, `class="mark p2 edge"`, "Limit 120 ms", "As a table", `aria-label="latency of web-client/http`, `class="bar down"`},
		"/components/web-client?range=24h":                     {`class="bar unknown"`, `class="slowest"`, `aria-current="true">24 hours`},
		"/components/web-client?range=30d":                     {"By the hour", `class="bar down"`, `class="window"`},
		"/components/web-client?range=3h&probe=web-client/tls": {`<h3>web-client/tls</h3>`, "or <a"},
		"/components/virtual-desktop":                          {"sessions: 79 %, limit 85 %", "sessions free: 21", `class="number"`},
	} {
		w := get(t, h, target)
		inspect(t, target, w.Body.String())
		for _, text := range want {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s misses %q", target, text)
			}
		}
	}
	f.StoreErr = webtest.ErrStore
	if w := get(t, h, "/components/web-client"); w.Code != 500 || !strings.Contains(w.Body.String(), "database is locked") {
		t.Errorf("without a store: %d", w.Code)
	}
}

func TestAgentPage(t *testing.T) {
	f := webtest.Scene("trouble")
	f.State.DeskQueue = map[string]web.Queue{"soc": {Pending: 3, Oldest: 4 * time.Minute, Failures: 7}}
	f.Seen.Witnesses[0].Last.Start = webtest.At(time.Hour)
	body := get(t, web.New(options(f)), "/agent").Body.String()
	for _, text := range []string{"no space left on device", "41.0 MiB", "the clock jumped", "refused</span>", "4 min", "witness/tcp", "last ran 59 min ago", "acme.yaml:14:3", "410 Gone"} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not say %q", text)
		}
	}
	if body := get(t, web.New(options(webtest.Scene("well"))), "/agent").Body.String(); !strings.Contains(body, "No trouble.") || strings.Contains(body, `class="bad"`) {
		t.Error("an agent that is well looks bad")
	}
}
