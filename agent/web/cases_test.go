package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/sla"
)

// listed returns the open cases as "number desk: reaction; deliveries", one each.
func listed(t *testing.T, h http.Handler) []string {
	t.Helper()
	var answer web.Cases
	if err := json.Unmarshal(get(t, h, "/api/v1/cases?open=true").Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range answer.Cases {
		text := fmt.Sprintf("%s %s: %s", c.Number, c.Desk, web.Reaction(c.Clock, !c.Closed.IsZero(), answer.At))
		for _, d := range c.Deliveries {
			text += fmt.Sprintf("; %s %s%s %s", d.What(), d.Desk, d.Notifier, d.How())
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

func TestCasesSayWhereTheyStand(t *testing.T) {
	for _, c := range []struct {
		name, scene string
		change      func(*webtest.Fake, *web.Options)
		want        []string
	}{
		{"nothing is open", "well", nil, nil},
		{"nobody took it in time", "late", nil, []string{
			"SOC-4712 soc: LATE by 5 min; opened on-call given up after 3 attempts; update soc fails for 4 min; status 2 customer fails for 3 min; reaction chat waits for 2 s",
			"SOC-4713 soc: taken after 10 min; resolve soc fails for 3 min",
		}},
		{"the fallback has it", "fallback", nil, []string{
			" soc: taken after 6 min; create soc fails for 8 min",
			"M-20261123-1 mailbox: taken after 6 min",
		}},
		{"another follows", "follows", nil, []string{"SOC-4715 soc: taken after 3 min"}},
		{"one of two desks has a person", "p1", nil, []string{
			"FC-2026-000201 builtin: taken after 3 min; opened on-call fails for 5 min",
			"SOC-4711 soc: taken after 3 min; opened on-call fails for 5 min",
		}},
		{"no case yet", "pending", nil, []string{" soc: due in 58 min; create soc fails for 1 min"}},
		{"quiet hours", "late", func(_ *webtest.Fake, o *web.Options) {
			o.Silent = func(notifier string, p incident.Priority, at time.Time) bool {
				return notifier == "chat" && p == incident.P2 && at.Equal(webtest.Now)
			}
		}, []string{
			"SOC-4712 soc: LATE by 5 min; opened on-call given up after 3 attempts; update soc fails for 4 min; status 2 customer fails for 3 min; reaction chat waits for quiet hours to end",
			"SOC-4713 soc: taken after 10 min; resolve soc fails for 3 min",
		}},
		{"a case that is not needed", "fallback", func(f *webtest.Fake, _ *web.Options) {
			f.Desk[len(f.Desk)-2].Settled = true
		}, []string{"M-20261123-1 mailbox: taken after 6 min"}},
		{"resolved by people and not to be opened again", "pending", func(f *webtest.Fake, _ *web.Options) {
			c := &f.Desk[len(f.Desk)-1]
			c.Number, c.State, c.Resolved = "SOC-1", incident.CaseResolved, webtest.At(time.Minute)
		}, []string{"SOC-1 soc: due in 58 min; reopen soc fails for 1 min"}},
	} {
		f := webtest.Scene(c.scene)
		o := options(f)
		if c.change != nil {
			c.change(f, &o)
		}
		if got := listed(t, web.New(o)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestReactionInWords(t *testing.T) {
	at := webtest.Now
	clock := sla.Clock{Commencement: at.Add(-3 * time.Minute), Due: at.Add(12 * time.Minute), Margin: 12 * time.Minute}
	with := func(change func(*sla.Clock)) sla.Clock { c := clock; change(&c); return c }
	for _, c := range []struct {
		clock  sla.Clock
		closed bool
		want   string
	}{
		{sla.Clock{}, false, ""},
		{clock, false, "due in 12 min"},
		{clock, true, "nobody took it"},
		{with(func(k *sla.Clock) { k.Due, k.Margin = at.Add(-5*time.Minute), -5*time.Minute }), false, "LATE by 5 min"},
		{with(func(k *sla.Clock) { k.Reacted = at }), false, "taken after 3 min"},
		{with(func(k *sla.Clock) { k.Reacted = at.Add(-time.Hour) }), false, "taken after 0 s"}, // before it commenced
		{with(func(k *sla.Clock) { k.Reacted, k.Margin = at, -time.Minute }), true, "taken 1 min LATE"},
		{with(func(k *sla.Clock) { k.Due = at.Add(14 * time.Hour) }), false, "due in 14 h"}, // most of it is no supported time
	} {
		if got := web.Reaction(c.clock, c.closed, at); got != c.want {
			t.Errorf("%+v: %q, want %q", c.clock, got, c.want)
		}
	}
}

// TestPagesSayWhatIsNotDelivered states that the reasons and ages stand on the pages, and that nothing is said where nothing waits.
func TestPagesSayWhatIsNotDelivered(t *testing.T) {
	page := func(scene, kind string, o func(*web.Options)) string {
		f := webtest.Scene(scene)
		all := options(f)
		if o != nil {
			o(&all)
		}
		target := "/"
		if kind == "incident" {
			target = "/incidents/" + f.Seen.Incidents[0].ID
		}
		return get(t, web.New(all), target).Body.String()
	}
	office, err := sla.ParseCalendar([]string{"Mon 08:00-10:00", "Tue 08:00-16:00"}, webtest.Zone, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		scene, kind string
		options     func(*web.Options)
		want        []string
	}{
		{"late", "status", nil, []string{
			`reaction overdue by 5 min: due 10:43`, `<svg class="clock late"`, `aria-label="108 % of the reaction time had passed"`, `<a href="https://soc.service-now.example/case/4712"`,
			`<b>update</b> case SOC-4712 at soc: <span class="bad">fails for 4 min</span>, 17 attempts`, `Assignment group is mandatory</bdi>`,
			`<b>opened</b> notice by on-call: <span class="bad">given up after 3 attempts</span>`, `<b>reaction</b> notice by chat: <span>waits for 2 s</span>`,
			"Over, and still to be delivered", `<b>resolve</b> case SOC-4713 at soc`,
		}},
		{"late", "incident", nil, []string{`<h2 id="due">To be delivered</h2>`, `<b>status 2</b> notice by customer: <span class="bad">fails for 3 min</span>`, "Break/fix work is owed now."}},
		{"fallback", "incident", nil, []string{`reaction met with 53 min to spare: taken 10:46, due 11:39`, `<path class="flag"`, `no number yet`, `M-20261123-1`, `<b>create</b> case at soc`}},
		{"follows", "incident", nil, []string{
			`follows <a href="https://soc.service-now.example/case/4714"`, `by <bdi>Jonas Holm</bdi> while it still failed`, "; the customer answered ", "; left hold ", "temporarily rectified 10:46:50 by Jonas Holm",
			"Nothing: every desk and everybody who is told has heard everything.",
		}},
		{"held", "incident", nil, []string{"On hold: the case waits for the customer."}},
		{"pending", "incident", nil, []string{`<svg class="clock" `, "reaction due 11:46 (58 min left)"}},
		{"pending", "incident", func(o *web.Options) { o.Level.Supported = office }, []string{"reaction due 11:46 (in 58 min, 0 s of it supported time)", "Break/fix work is owed now."}},
	} {
		body := page(c.scene, c.kind, c.options)
		for _, want := range c.want {
			if !strings.Contains(body, want) {
				t.Errorf("the %s page of %s misses %q", c.kind, c.scene, want)
			}
		}
	}
	for _, never := range []string{"To be delivered", "still to be delivered", `class="clock`} {
		if strings.Contains(page("well", "status", nil), never) {
			t.Errorf("the page says %q while all is well", never)
		}
	}
}

func TestEarlierNumberLeadsToTheCaseThatFollowed(t *testing.T) {
	f := webtest.Scene("follows")
	h := web.New(options(f))
	w := get(t, h, "/cases/SOC-4714")
	if want := "../incidents/" + f.Seen.Incidents[0].ID; w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
		t.Errorf("%d %s, want %s", w.Code, w.Header().Get("Location"), want)
	}
	var story web.CaseStory
	if err := json.Unmarshal(get(t, h, "/api/v1/cases/SOC-4714").Body.Bytes(), &story); err != nil || story.Case.Number != "SOC-4715" || story.Clock.Rectified.IsZero() {
		t.Errorf("%+v, %v", story, err)
	}
}

// TestCasesAreDocumentedWordForWord states that a key which the document does not know is refused in a case, its clock and its
// deliveries.
func TestCasesAreDocumentedWordForWord(t *testing.T) {
	for _, c := range []struct{ scene, target string }{
		{"late", "/api/v1/cases"}, {"late", "/api/v1/cases/SOC-4712"}, {"follows", "/api/v1/cases/SOC-4714"}, {"fallback", "/api/v1/cases?open=true"}, {"fallback", "/api/v1/cases/M-20261123-1"},
	} {
		h := web.New(options(webtest.Scene(c.scene)))
		router, err := legacy.NewRouter(document(t, h), openapi3.IsOpenAPI31OrLater())
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"", `"settled"`, `"margin"`, `"attempts"`, `"answered"`, `"earlier"`, `"clock"`, `"failing_since"`} {
			w := get(t, h, c.target)
			body := w.Body.String()
			if key != "" {
				spoilt := strings.Replace(body, key, `"surplus": 1, `+key, 1)
				if spoilt == body {
					continue // not in this scene
				}
				w.Body = bytes.NewBufferString(spoilt)
			}
			if err := conforms(t, router, "GET", c.target, w); (err == nil) != (key == "") {
				t.Errorf("%s of %s with a key beside %q: %v", c.target, c.scene, key, err)
			}
		}
	}
}
