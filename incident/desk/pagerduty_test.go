package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest/systems"
)

// pagerdutyDesk returns a desk with a PagerDuty behind it; more is added to its configuration.
func pagerdutyDesk(t *testing.T, system *systems.PagerDuty, more string) (desk.Desk, *desktest.Faulty, func()) {
	t.Helper()
	faulty := &desktest.Faulty{System: system}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)
	return fromYAML(t, "pagerduty", system.YAML(front.URL)+more), faulty, front.Close
}

func TestPagerDuty(t *testing.T) {
	for name, o := range map[string]systems.PagerDutyOptions{
		"events alone": {Delay: 150 * time.Millisecond}, "read back": {REST: true, Delay: 150 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			desktest.Run(t, func(t *testing.T) desktest.Rig {
				system := systems.NewPagerDuty(o)
				d, faulty, down := pagerdutyDesk(t, system, "")
				t.Cleanup(func() {
					if ignored := system.Ignored(); len(ignored) > 0 {
						t.Errorf("fields that events do not have: %q", ignored)
					}
				})
				return desktest.Rig{
					Desk: d, Name: "desk-under-test", Secrets: []string{systems.PagerDutyKey, systems.PagerDutyToken}, Faulty: faulty, Down: down,
					Live:   func(key string) int { return desktest.Live(system, key) },
					People: system, Cannot: []desktest.Ability{desktest.Holding, desktest.Answering, desktest.Withdrawing},
				}
			})
		})
	}
}

func TestPagerDutyPayloads(t *testing.T) {
	address, asked := answering(t, http.StatusAccepted, `{"status":"success","message":"Event processed","dedup_key":"k"}`)
	d := fromYAML(t, "pagerduty", "url: "+address+"/v2/enqueue\nrouting_key: h1dden\nseverities: { p4: warning }\nsource: acme.example")
	f := whatIsSaid("k")
	f.Follows, f.Extra = "#40", map[string]string{"runbook": "https://wiki.example/1", "story": "no"}
	f.Incident = incident.Incident{ID: "k", Root: "backend", Class: incident.Availability, Started: noon}
	c, err := d.Open(t.Context(), f)
	if err != nil || c.Created.IsZero() {
		t.Fatal(c, err)
	}
	c.Created = time.Time{}
	if diff := cmp.Diff(desk.Case{Ref: "k", Number: "PD-8254C329", Key: "k", State: incident.CaseNew}, c); diff != "" {
		t.Errorf("case (-want +got):\n%s", diff)
	}
	raised := whatIsSaid("k")
	raised.Priority, raised.Title, raised.Published, raised.Customer = incident.P4, strings.Repeat("Æ", 2000), nil, incident.Contact{}
	notes := []desk.Note{{Text: "one"}, {Text: "two", Public: true}, {Text: "three\nlines"}}
	if err := errors.Join(d.Update(t.Context(), "k", raised, notes), d.Resolve(t.Context(), "k", f, "again"), d.Withdraw(t.Context(), "k", "#1")); err != nil {
		t.Fatal(err)
	}
	page := "https://acme.firstcall.example/incidents/k"
	tail := `"client":"firstcall","client_url":"` + page + `","dedup_key":"k","event_action":"trigger","links":[{"href":"` + page + `","text":"The incident at firstcall"}],`
	want := `POST /v2/enqueue {` + tail + `"payload":{"class":"` + string(incident.Availability) + `","component":"backend","custom_details":{"case":"PD-8254C329","contact":"ACME IT","contact's e-mail":"it@acme.example",` +
		`"contact's telephone":"+45 00 00 00 00","evidence":["tcp acme-app01.example:443: connection refused"],"follows":"#40","priority":"P2","runbook":"https://wiki.example/1","story":"Since 12:00\n<b>Ærø</b>","tenant":"acme"},` +
		`"group":"acme","severity":"error","source":"acme.example","summary":"P2 acme: backend is inaccessible","timestamp":"2026-03-02T12:00:00Z"},"routing_key":"h1dden"}
POST /v2/enqueue {` + tail + `"payload":{"custom_details":{"case":"PD-8254C329","notes":"one\n\nthree\nlines","notes for the customer":"two","priority":"P4","story":"Since 12:00\n<b>Ærø</b>","tenant":"acme"},` +
		`"group":"acme","severity":"warning","source":"acme.example","summary":"` + strings.Repeat("Æ", 1023) + `…"},"routing_key":"h1dden"}
POST /v2/enqueue {"dedup_key":"k","event_action":"resolve","routing_key":"h1dden"}
POST /v2/enqueue {"dedup_key":"k","event_action":"resolve","routing_key":"h1dden"}
`
	if diff := cmp.Diff(want, sentTo(t, *asked)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// An event has at most 512 KB, whatever there is to say.
func TestPagerDutyBoundsEvents(t *testing.T) {
	system := systems.NewPagerDuty(systems.PagerDutyOptions{})
	d, _, _ := pagerdutyDesk(t, system, "")
	f := whatIsSaid("fc-one")
	f.Body = strings.Repeat("Æ<&>\n", 100000)
	notes := make([]desk.Note, 200)
	for i := range notes {
		notes[i].Text = strings.Repeat("Æ<&>\n", 1000)
	}
	if err := d.Update(t.Context(), "fc-one", f, notes); err != nil {
		t.Fatal(err)
	}
	details := system.Events()[0]["payload"].(map[string]any)["custom_details"].(map[string]any)
	if story, _ := details["story"].(string); !strings.HasPrefix(story, "Æ<&>") || details["notes"] != nil {
		t.Errorf("details have %d bytes of story and the notes %.40v", len(story), details["notes"])
	}
}

// What is sent for a resolved alert would open another one.
func TestPagerDutyDoesNotOpenByAccident(t *testing.T) {
	for _, rest := range []bool{true, false} {
		t.Run(fmt.Sprintf("read back %t", rest), func(t *testing.T) {
			system := systems.NewPagerDuty(systems.PagerDutyOptions{REST: rest})
			d, _, _ := pagerdutyDesk(t, system, "")
			f := whatIsSaid("fc-one")
			c, err := d.Open(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			system.Resolve(c.Ref, "restarted")
			if err := d.Update(t.Context(), c.Ref, f, []desk.Note{{Text: "still measured"}}); err != nil {
				t.Fatal(err)
			}
			want := []incident.CaseState{incident.CaseResolved}
			if !rest { // it cannot be known; docs/desk-pagerduty.md says so
				want = append(want, incident.CaseNew)
			}
			if states := system.States(c.Ref); !slices.Equal(states, want) {
				t.Errorf("states %q, want %q", states, want)
			}
		})
	}
}

func TestPagerDutyReadsBack(t *testing.T) {
	system := systems.NewPagerDuty(systems.PagerDutyOptions{REST: true})
	d, _, _ := pagerdutyDesk(t, system, "")
	f := whatIsSaid("fc-one")
	c, err := d.Open(t.Context(), f)
	if err != nil || c.Number != "#41" || c.URL != "https://acme.pagerduty.com/incidents/Q0000000000001" {
		t.Fatalf("%+v, %v", c, err)
	}
	system.Take(c.Ref)
	system.Note(c.Ref, "looking at app01")
	system.TimeOut(c.Ref)
	system.Resolve(c.Ref, "")
	var got []string
	all := must(d.Transitions(t.Context(), c.Ref, time.Time{}))(t)
	for _, s := range all {
		got = append(got, fmt.Sprintf("%s %s: %s", s.Actor, s.To, s.Text))
	}
	if diff := cmp.Diff([]string{
		"Olga Operator acknowledged: Acknowledged by Olga Operator", "Olga Operator : looking at app01", "PagerDuty new: Acknowledgement timed out",
		"Olga Operator resolved: Resolved by Olga Operator",
	}, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	checkFuzzedSteps(t, all)
	if rest := must(d.Transitions(t.Context(), c.Ref, all[1].At))(t); len(rest) != 2 {
		t.Errorf("after the second: %+v", rest)
	}
	for range 60 { // more than a page
		system.Note(c.Ref, "and on")
	}
	if notes := must(d.Transitions(t.Context(), c.Ref, all[3].At))(t); len(notes) != 60 {
		t.Errorf("%d notes, want 60", len(notes))
	}
	if cases, err := d.Find(t.Context(), "FC-ONE"); err != nil || len(cases) != 0 {
		t.Errorf("a key in another case: %+v, %v", cases, err)
	}
	// A second alert of the key stands for the case while it is open.
	again, err := d.Open(t.Context(), f)
	if err != nil || again.Ref != c.Ref || again.Number != "#42" {
		t.Errorf("%+v, %v", again, err)
	}
	if cases, err := d.Find(t.Context(), "fc-one"); err != nil || len(cases) != 1 || cases[0].State != incident.CaseNew {
		t.Errorf("%+v, %v", cases, err)
	}
}

func TestPagerDutyRefusals(t *testing.T) {
	system := systems.NewPagerDuty(systems.PagerDutyOptions{REST: true, Most: 2})
	tests := []struct {
		name, keys, want string
		prepare          func(on bool)
		unknown          bool
	}{
		{"another key", "routing_key: h1dden", "'routing_key' is invalid", nil, false},
		{"throttled", "source: x", "throttle exceeded", system.Throttle, true},
		{"another token", "api_token: h1dden", "check the credentials", nil, true}, // before an update, which is not sent then
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.prepare != nil {
				test.prepare(true)
				defer test.prepare(false)
			}
			front := httptest.NewServer(system)
			defer front.Close()
			name, _, _ := strings.Cut(test.keys, ":")
			lines := slices.DeleteFunc(strings.Split(system.YAML(front.URL), "\n"), func(line string) bool { return strings.HasPrefix(line, name+":") })
			before := len(system.Events())
			err := fromYAML(t, "pagerduty", strings.Join(lines, "\n")+"\n"+test.keys).Update(t.Context(), "fc-one", whatIsSaid("fc-one"), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, desk.ErrUnknownOutcome) != test.unknown || strings.Contains(err.Error(), "h1dden") {
				t.Errorf("error %v", err)
			}
			if len(system.Events()) != before {
				t.Error("an event was taken")
			}
		})
	}
	d, _, _ := pagerdutyDesk(t, system, "")
	if err := d.Update(t.Context(), "other", whatIsSaid("fc-one"), nil); err == nil || !strings.Contains(err.Error(), "no reference") {
		t.Errorf("another case: %v", err)
	}
	alone := fromYAML(t, "pagerduty", "routing_key: k")
	_, find := alone.Find(t.Context(), "fc-one")
	_, get := alone.Get(t.Context(), "fc-one")
	for _, err := range []error{find, get} {
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "set api_token") {
			t.Errorf("without a token: %v", err)
		}
	}
	if can := alone.Capabilities(); can != (desk.Capabilities{DedupeOnCreate: true, Reopens: true}) {
		t.Errorf("capabilities %+v", can)
	}
	if steps, err := alone.Transitions(t.Context(), "fc-one", time.Time{}); err != nil || steps != nil {
		t.Errorf("steps %v, %v", steps, err)
	}
	limited := systems.NewPagerDuty(systems.PagerDutyOptions{Most: 1})
	few, _, _ := pagerdutyDesk(t, limited, "")
	if _, err := few.Open(t.Context(), whatIsSaid("fc-one")); err != nil {
		t.Error(err)
	}
	if _, err := few.Open(t.Context(), whatIsSaid("fc-two")); !errors.Is(err, desk.ErrUnknownOutcome) {
		t.Errorf("beyond the limit: %v", err)
	}
}

func TestPagerDutyConfigurationFaults(t *testing.T) {
	good := "routing_key: h1dden\napi_token: h1dden2"
	for name, test := range map[string]struct {
		keys string
		want []string
	}{
		"good":            {good, nil},
		"nothing":         {"source: x", []string{"routing_key"}},
		"a key of two":    {"routing_key: 'h1dden two'", []string{"routing_key"}},
		"a severity":      {good + "\nseverities: { p1: fatal }", []string{"severities.p1"}},
		"addresses":       {good + "\nurl: events\napi_url: 'https://api.example/?a=b'", []string{"url: is no http", "api_url: has a query"}},
		"lag and timeout": {good + "\nlag: 2h\ntimeout: 2m", []string{"lag", "timeout"}},
	} {
		t.Run(name, func(t *testing.T) { checkFaults(t, "pagerduty", test.keys, test.want...) })
	}
}

func FuzzPagerDutyAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"status":"success","dedup_key":"k"}`, `{"incidents":[{"id":"Q1","incident_number":4,"status":"resolved","incident_key":"k","created_at":"2026-03-02T12:00:00Z"}],
			"log_entries":[{"type":"acknowledge_log_entry","created_at":"2026-03-02T12:00:00Z","agent":{"type":"user"}}],"alerts":[{"alert_key":"k"}]}`,
		`{"error":{"message":"x"}}`, `null`, `[]`, "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		client := &http.Client{Transport: canned(body)}
		events, err := (&desk.PagerDuty{RoutingKey: secret.New("t0k")}).Build(desk.Env{Name: "desk-under-test", HTTP: client})
		if err != nil {
			t.Fatal(err)
		}
		c, err := events.Open(context.Background(), whatIsSaid("k"))
		checkFuzzedCase(t, c, err, "k")
		if err == nil && !json.Valid(body) {
			t.Errorf("%q was taken for an answer", body)
		}
		d, err := (&desk.PagerDuty{RoutingKey: secret.New("t0k"), APIToken: secret.New("t0k2")}).Build(desk.Env{Name: "desk-under-test", HTTP: client})
		if err != nil {
			t.Fatal(err)
		}
		cases, err := d.Find(context.Background(), "k")
		checkFuzzedCase(t, desk.Case{Ref: "-", Number: "-", State: incident.CaseNew}, err, "")
		for _, c := range cases {
			checkFuzzedCase(t, c, nil, "k")
		}
		steps, _ := d.Transitions(context.Background(), "k", time.Time{})
		checkFuzzedSteps(t, steps)
	})
}
