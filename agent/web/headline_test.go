package web_test

import (
	"encoding/json"
	"errors"
	"html"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// firstCase changes the case of scene "p1" that somebody took.
func firstCase(change func(*incident.Case)) func(*webtest.Fake) {
	return func(f *webtest.Fake) {
		for i := range f.Desk {
			if f.Desk[i].Number == "SOC-4711" {
				change(&f.Desk[i])
			}
		}
	}
}

func unacknowledged(c *incident.Case) { c.State, c.Acknowledged = incident.CaseNew, time.Time{} }

var headlines = []struct {
	name, scene string
	change      func(*webtest.Fake)
	level       web.Level
	want        string
}{
	{"nothing configured", "empty", nil, "unknown", "Nothing is watched: the configuration names no component."},
	{"just started", "learning", nil, "unknown", "Learning: 4 of 8 probes have run once."},
	{"well", "well", nil, "well", "All well: 4 components answer."},
	{"one component", "well", func(f *webtest.Fake) { f.Seen.Components = f.Seen.Components[:1] }, "well", "All well: 1 component answers."},
	{"well, agent in trouble", "trouble", nil, "notice", "All well: 4 components answer. The agent itself needs attention."},
	{"suspect", "suspect", nil, "notice", "Suspect: remote-desktop failed just now and is being probed again; nothing is confirmed."},
	{"maintenance", "maintenance", nil, "notice", "In maintenance: backend does not answer as it should; no case is opened before the window ends."},
	{"not well", "large", nil, "notice", "Not well: shop-017 is degraded and shop-042 is down; no incident is open."},
	{"partly unknown", "well", func(f *webtest.Fake) { f.Seen.Components[2].Outcome = probes.Unknown }, "unknown", "Partly unknown: the agent cannot tell how remote-desktop fares; the rest answers."},
	{"account", "account", nil, "notice", "Since 10:41: the account of the probe remote-desktop/rdp is off. No case: the account's owner must mend it."},
	{"functional", "functional", nil, "notice", "Since 10:43: web-client refuses the probe's credential. No case: it is the application's matter, not infrastructure."},
	{"blind", "blind", nil, "unknown", "Blind since 10:45: the agent's own network; nothing is said about the customer."},
	{
		"blind in an outage", "p1", func(f *webtest.Fake) { f.Seen.Blind, f.Seen.BlindSince = true, webtest.At(time.Minute) }, "unknown",
		"Blind since 10:47: the agent's own network; nothing is said about the customer. Open from before: P1, the entire customer solution is inaccessible. Case SOC-4711 (and 1 more), acknowledged after 3 min.",
	},
	{"standing still", "still", nil, "unknown", "Standing still: the agent has not judged anything for 30 s; what stands below may be old."},
	{"P1 acknowledged", "p1", nil, "alarm", "Priority 1 since 10:42: the entire customer solution is inaccessible. Case SOC-4711 (and 1 more), acknowledged after 3 min, next status mail 11:12."},
	{"P1 not acknowledged", "p1", firstCase(unacknowledged), "alarm", "Priority 1 since 10:42: the entire customer solution is inaccessible. Case SOC-4711 (and 1 more), not acknowledged, reaction due 10:57 (9 min left), next status mail 11:12."},
	{
		"P1 overdue", "p1", func(f *webtest.Fake) { firstCase(unacknowledged)(f); f.Now = f.Now.Add(13 * time.Minute) }, "alarm",
		"Priority 1 since 10:42: the entire customer solution is inaccessible. Case SOC-4711 (and 1 more), not acknowledged, reaction overdue by 3 min, next status mail 11:12.",
	},
	{
		"P1, mail overdue", "p1", func(f *webtest.Fake) { f.Now = f.Now.Add(26 * time.Minute) }, "alarm",
		"Priority 1 since 10:42: the entire customer solution is inaccessible. Case SOC-4711 (and 1 more), acknowledged after 3 min, status mail overdue since 11:12.",
	},
	{
		"P1 of yesterday", "p1", func(f *webtest.Fake) { f.Now = f.Now.Add(24 * time.Hour); f.Messages = nil }, "alarm",
		"Priority 1 since Mon 23 Nov 10:42: the entire customer solution is inaccessible. Case SOC-4711 (and 1 more), acknowledged after 3 min.",
	},
	{"P1 resolved by hand", "p1", func(f *webtest.Fake) {
		f.Messages = nil
		for i := range f.Desk {
			f.Desk[i].State = incident.CaseResolved
		}
	}, "alarm", "Priority 1 since 10:42: the entire customer solution is inaccessible. Case SOC-4711 (and 1 more), resolved at the desk although it still fails."},
	{"P2, desk silent", "pending", nil, "alarm", "Priority 2 since 10:46: web-client is inaccessible. No case yet: desk \"soc\": open: the ticket system did not answer within 10 s, next try 10:48:27."},
	{"P2, case on its way", "pending", func(f *webtest.Fake) { f.Desk, f.State.DeskErrors = nil, nil }, "alarm", "Priority 2 since 10:46: web-client is inaccessible. Its case is being opened."},
	{"P2 held, two more", "held", nil, "alarm", "Priority 2 since 10:12: web-client is slow. Case FC-2026-000202, on hold since 10:38 (waits for the customer to stop the import). 2 more incidents are open."},
	{"P2, alert-only", "alert-only", nil, "alarm", "Priority 2 since 10:46: web-client is inaccessible. No case: this agent only alerts."},
	{"P3 only", "held", func(f *webtest.Fake) { f.Seen.Incidents = f.Seen.Incidents[1:2] }, "notice", "Priority 3 since 10:43: backend has lost its redundancy. Its case is being opened."},
	{"P2, store silent", "pending", func(f *webtest.Fake) { f.StoreErr = errors.New("locked") }, "alarm", "Priority 2 since 10:46: web-client is inaccessible. Its case cannot be read: the store does not answer."},
}

// The first sentence of every state, as it stands in the page and in the API.
func TestHeadline(t *testing.T) {
	for _, c := range headlines {
		t.Run(c.name, func(t *testing.T) {
			f := webtest.Scene(c.scene)
			if c.change != nil {
				c.change(f)
			}
			h := web.New(options(f))
			want := `<section class="headline ` + string(c.level) + `" aria-live="polite">` + "\n  <h1>" + html.EscapeString(c.want) + "</h1>"
			if page := get(t, h, "/").Body.String(); !strings.Contains(page, want) {
				_, got, _ := strings.Cut(page, `<section class="headline`)
				t.Errorf("the page says\n%.400s\nwant\n%s", got, want)
			}
			var status web.Status
			if err := json.Unmarshal(get(t, h, "/api/v1/status").Body.Bytes(), &status); err != nil || status.Headline.Sentence != c.want || status.Headline.Level != c.level {
				t.Errorf("the API says %+v, %v", status.Headline, err)
			}
		})
	}
}

// TestASilentVantageIsTrouble states that a vantage that is not heard needs attention, but for one that stopped in good order or was left long ago.
func TestASilentVantageIsTrouble(t *testing.T) {
	f := webtest.Scene("well")
	f.State.Role, f.State.Voter, f.State.Leader = "leader", "a", "a"
	f.State.Vantages = []web.Vantage{
		{Name: "a", Self: true, Alive: true, Leads: true, Beat: webtest.At(0)},
		{Name: "b", Beat: webtest.At(3 * time.Minute)},
		{Name: "stopped"},
		{Name: "left", Beat: webtest.At(8 * 24 * time.Hour)},
	}
	h := web.New(options(f))
	for _, path := range []string{"/", "/agent"} {
		body := get(t, h, path).Body.String()
		if strings.Count(body, "A vantage is silent: ") != 1 || !strings.Contains(body, "A vantage is silent: b<") || strings.Contains(body, "o trouble.") {
			t.Errorf("%s does not say it", path)
		}
	}
}

// TestTroubleInFull states that the status page, which shows the first line, and no other says where the rest is.
func TestTroubleInFull(t *testing.T) {
	h := web.New(options(webtest.Scene("trouble")))
	for path, want := range map[string]bool{"/": true, "/agent": false} {
		if body := get(t, h, path).Body.String(); strings.Contains(strings.ToLower(body), "in full at") != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		-time.Second: {"0 s", "0 s"}, 45 * time.Second: {"45 s", "45 s"}, 200 * time.Second: {"3 min", "3 min 20 s"}, 125 * time.Minute: {"2 h 5 min", "2 h 5 min"},
		2 * time.Hour: {"2 h", "2 h"}, 76*time.Hour + time.Second: {"3 d 4 h", "3 d 4 h 1 s"},
	} {
		if got := [2]string{web.Span(d), web.Exact(d)}; got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := web.Clean("a\u202eb\x00\x1b\r\nc\td\xff"); got != `a\u202eb\u0000\u001b c d\ufffd` {
		t.Errorf("clean: %s", got)
	}
	if got := web.Bounded("æøå", 2); got != "æø…" {
		t.Errorf("bounded: %s", got)
	}
}
