package desk_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest/systems"
)

// topdeskDesk returns a desk with a TOPdesk behind it; more is added to its configuration.
func topdeskDesk(t *testing.T, system *systems.TOPdesk, more string) (desk.Desk, *desktest.Faulty, func()) {
	t.Helper()
	faulty := &desktest.Faulty{System: system, Inside: `[{"message": "the rules of this desk do not allow it"}]`}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)
	return fromYAML(t, "topdesk", system.YAML(front.URL)+more), faulty, front.Close
}

func TestTOPdesk(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte(systems.TOPdeskUser + ":" + systems.TOPdeskPassword))
	desktest.Run(t, func(t *testing.T) desktest.Rig {
		system := systems.NewTOPdesk(systems.TOPdeskOptions{})
		d, faulty, down := topdeskDesk(t, system, "")
		return desktest.Rig{
			Desk: d, Name: "desk-under-test", Secrets: []string{systems.TOPdeskPassword, encoded}, Faulty: faulty, Down: down, People: system,
			Live: func(key string) int { return desktest.Live(system, key) }, Files: system.Files,
		}
	})
}

const topdeskID = "0a1b2c3d-0000-4000-8000-000000000007"

func TestTOPdeskPayloads(t *testing.T) {
	address, asked := answering(t, http.StatusCreated, `{"id":"`+topdeskID+`","number":"I 2603 007","externalNumber":"k","processingStatus":{"id":"x","name":"registered"},
		"priority":{"id":"0A1B2C3D-0000-4000-8000-000000000002","name":"Urgent"},"creationDate":"2026-03-02T13:00:00.000+0100","onHoldDate":null}`)
	id2 := "0a1b2c3d-0000-4000-8000-000000000002"
	d := fromYAML(t, "topdesk", "url: "+address+"/\nuser: u\npassword: h1dden\ncategory: Monitoring\nsubcategory: Availability\npriorities: { p2: "+id2+" }\nline: secondLine")
	f := whatIsSaid("k")
	f.Extra = map[string]string{"impact": "Organisation", "optionalFields1.text1": "a", "optionalFields1.text2": "b", "callType": id2, "briefDescription": "no", "feedbackMessage": "x"}
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(desk.Case{
		Ref: topdeskID, Number: "I 2603 007", Key: "k", State: incident.CaseNew, Priority: incident.P2, Created: noon,
		URL: address + "/tas/secure/incident?unid=0a1b2c3d000040008000000000000007",
	}, c); diff != "" {
		t.Errorf("case (-want +got):\n%s", diff)
	}
	f.Title, f.Priority = strings.Repeat("Æ", 200), incident.P1
	notes := []desk.Note{{Text: "one"}, {Text: "two & <three>", Public: true}, {Text: "four\nfive"}}
	if err := errors.Join(d.Update(t.Context(), topdeskID, f, notes), d.Update(t.Context(), topdeskID, whatIsSaid("k"), notes[:1])); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("Æ", 79) + "…"
	want := `POST /tas/api/incidents {"briefDescription":"P2 acme: backend is inaccessible","callType":{"id":"` + id2 + `"},"callerLookup":{"email":"it@acme.example"},"category":{"name":"Monitoring"},` +
		`"externalNumber":"k","feedbackMessage":"x","impact":{"name":"Organisation"},"optionalFields1":{"text1":"a","text2":"b"},"priority":{"id":"` + id2 + `"},"processingStatus":{"name":"Registered"},` +
		`"request":"Since 12:00<br>&lt;b&gt;Ærø&lt;/b&gt;","status":"secondLine","subcategory":{"name":"Availability"}}
PATCH /tas/api/incidents/id/` + topdeskID + ` {"action":"two &amp; &lt;three&gt;","actionInvisibleForCaller":false,"briefDescription":"` + long + `","priority":{"name":"P1"}}
PATCH /tas/api/incidents/id/` + topdeskID + ` {"action":"one<br><br>four<br>five","actionInvisibleForCaller":true}
PATCH /tas/api/incidents/id/` + topdeskID + ` {"action":"one","actionInvisibleForCaller":true,"briefDescription":"P2 acme: backend is inaccessible","priority":{"id":"` + id2 + `"}}
`
	if diff := cmp.Diff(want, sentTo(t, *asked)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	for _, r := range *asked {
		if r.header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("u:h1dden")) {
			t.Errorf("headers %v", r.header)
		}
	}
}

func TestTOPdeskReads(t *testing.T) {
	tests := []struct {
		name, incident string
		state          incident.CaseState
		priority       incident.Priority
	}{
		{"without a status", `"priority":{"name":"p3"}`, incident.CaseNew, incident.P3},
		{"responded without a status", `"responded":true`, incident.CaseAcknowledged, incident.NoPriority},
		{"a status that nobody told of", `"processingStatus":{"name":"Waiting for supplier"},"priority":{"name":"P5"}`, incident.CaseAcknowledged, incident.NoPriority},
		{"a status that waits", `"processingStatus":{"name":"Waiting for user"}`, incident.CaseHeld, incident.NoPriority},
		{"on hold", `"processingStatus":{"name":"In progress"},"onHold":true`, incident.CaseHeld, incident.NoPriority},
		{"completed on hold", `"onHold":true,"completed":true`, incident.CaseResolved, incident.NoPriority},
		{"closed", `"closed":true,"externalNumber":"k"`, incident.CaseResolved, incident.NoPriority},
		{"closed by its status", `"processingStatus":{"name":"Closed"}`, incident.CaseResolved, incident.NoPriority},
		{"a closed double", `"closed":true,"externalNumber":"withdrawn: a double of I 1"`, incident.CaseWithdrawn, incident.NoPriority},
		{"a double that was opened again", `"externalNumber":"withdrawn: a double of I 1"`, incident.CaseNew, incident.NoPriority},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			address, _ := answering(t, http.StatusOK, `{"id":"`+topdeskID+`","creationDate":"2026-03-02T12:00:00Z",`+test.incident+`}`)
			d := fromYAML(t, "topdesk", "url: "+address+"\nuser: u\npassword: p")
			c, err := d.Get(t.Context(), topdeskID)
			if err != nil || c.State != test.state || c.Priority != test.priority || c.Number != topdeskID {
				t.Errorf("%+v, %v: want %s %s", c, err, test.state, test.priority)
			}
		})
	}
}

func TestTOPdeskCases(t *testing.T) {
	system := systems.NewTOPdesk(systems.TOPdeskOptions{})
	d, _, _ := topdeskDesk(t, system, "\nend: closed\nmails_customer: true")
	f := whatIsSaid(strings.Repeat("k", 60))
	f.Title = "P2 acme: " + strings.Repeat("Ærøskøbing ", 20)
	f.Extra = map[string]string{"optionalFields2.text1": "x"}
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if title := system.Title(c.Ref); utf8.RuneCountInString(title) > 80 || !strings.HasSuffix(title, "…") || !utf8.ValidString(title) {
		t.Errorf("title %q", title)
	}
	if got := fmt.Sprint(system.Field(c.Ref, "optionalFields2")); got != "map[text1:x]" || !d.Capabilities().MailsCustomer || d.Capabilities().MaxKey != 60 {
		t.Errorf("fields %s, capabilities %+v", got, d.Capabilities())
	}
	if cases, err := d.Find(t.Context(), strings.ToUpper(f.Key)); err != nil || len(cases) != 0 {
		t.Errorf("a key in another case: %+v, %v", cases, err)
	}
	if err := errors.Join(d.Resolve(t.Context(), c.Ref, f, "again\n& good"), d.Withdraw(t.Context(), c.Ref, strings.Repeat("w", 90))); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Get(t.Context(), c.Ref); err != nil || got.State != incident.CaseWithdrawn || utf8.RuneCountInString(got.Key) > 60 {
		t.Errorf("withdrawn: %+v, %v", got, err)
	}
	if texts := system.Actions(c.Ref); len(texts) != 3 || texts[1] != "again<br>&amp; good" || !strings.HasPrefix(texts[2], "[Withdrawn by firstcall: a double of www") {
		t.Errorf("actions %q", texts)
	}
}

func TestTOPdeskRefusals(t *testing.T) {
	system := systems.NewTOPdesk(systems.TOPdeskOptions{})
	tests := []struct {
		name, keys, want string
		prepare          func(on bool)
		unknown          bool
	}{
		{"a caller that is not there", "caller: nobody@acme.example", "No caller found for the field 'callerLookup'", nil, false},
		{"a branch that is not there", "caller: ACME IT\nbranch: NOC", "'caller.branch' cannot be found", nil, false},
		{"a category that is not there", "category: Alarms", "'category.name' cannot be found", nil, false},
		{"a priority that is not there", "priorities: { p2: Urgent }", "'priority.name' cannot be found", nil, false},
		{"another password", "password: h1dden", "check the credentials", nil, false},
		{"too many", "call_type: Incident", "asks to wait: 3600", system.Limit, true},
		{"a caller that TOPdesk does not know", "caller: ACME IT\nbranch: ACME", "", nil, false},
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
			_, err := fromYAML(t, "topdesk", strings.Join(lines, "\n")+"\n"+test.keys).Open(t.Context(), whatIsSaid("fc-one"))
			if (err == nil) != (test.want == "") {
				t.Fatalf("error %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), test.want) || errors.Is(err, desk.ErrUnknownOutcome) != test.unknown || strings.Contains(err.Error(), "h1dden")) {
				t.Errorf("error %v", err)
			}
		})
	}
	d, _, _ := topdeskDesk(t, system, "")
	c, err := d.Open(t.Context(), whatIsSaid("fc-two"))
	if err != nil {
		t.Fatal(err)
	}
	system.Protect(true)
	if err := d.Resolve(t.Context(), c.Ref, whatIsSaid("fc-two"), "again"); err == nil || !strings.Contains(err.Error(), "left the incident open") {
		t.Errorf("an operator that may not end incidents: %v", err)
	}
	if err := d.Update(t.Context(), "no id", whatIsSaid("fc-two"), nil); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("no id: %v", err)
	}
}

func TestTOPdeskHistory(t *testing.T) {
	now := noon
	system := systems.NewTOPdesk(systems.TOPdeskOptions{Now: func() time.Time { return now }})
	d, _, _ := topdeskDesk(t, system, "")
	f := whatIsSaid("fc-one")
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		do   func()
		want []string
	}{
		{"a status without a date has the change's", func() { system.Begin(c.Ref) }, []string{"Operator, Olga acknowledged In progress"}},
		{"responded", func() { system.Take(c.Ref) }, []string{"Operator, Olga acknowledged responded", "Operator, Olga acknowledged In progress"}},
		{"of the agent", func() { _ = d.Update(t.Context(), c.Ref, f, []desk.Note{{Text: "measured"}}) }, nil},
		{"hold", func() { system.Hold(c.Ref, "which server?") }, []string{"Operator, Olga  which server?", "Operator, Olga held Waiting for user: which server?"}},
		{"of the agent, on hold", func() { _ = d.Update(t.Context(), c.Ref, f, []desk.Note{{Text: "measured"}}) }, nil},
		{"the caller answers", func() { system.Answer(c.Ref, "app01") }, []string{"IT, ACME  ! app01"}},
		{"the agent ends", func() { _ = d.Resolve(t.Context(), c.Ref, f, "good again") }, nil},
		{"and opens again", func() { _ = d.(desk.Reopener).Reopen(t.Context(), c.Ref, f, "still") }, nil},
		{"people end", func() { system.Resolve(c.Ref, "restarted") }, []string{"Operator, Olga  restarted", "Operator, Olga resolved Closed: restarted"}},
		{"the agent notes", func() { _ = d.Update(t.Context(), c.Ref, f, []desk.Note{{Text: "measured"}}) }, nil},
	}
	var since time.Time
	for _, step := range steps {
		step.do()
		all, err := d.Transitions(t.Context(), c.Ref, since)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range all {
			got = append(got, fmt.Sprintf("%s %s%s %s", s.Actor, s.To, map[bool]string{true: " !"}[s.Customer], s.Text))
			since = s.At
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
		now = now.Add(3 * time.Second)
	}
	for range 120 { // more than a page
		now = now.Add(time.Second)
		system.Answer(c.Ref, "hello?")
	}
	all := must(d.Transitions(t.Context(), c.Ref, since))(t)
	if checkFuzzedSteps(t, all); len(all) != 120 {
		t.Errorf("%d answers, want 120", len(all))
	}
}

func TestTOPdeskConfigurationFaults(t *testing.T) {
	good := "url: https://acme.topdesk.net\nuser: firstcall\npassword: h1dden"
	for name, test := range map[string]struct {
		keys string
		want []string
	}{
		"good":                {good + "\ncaller: it@acme.example\noperator_group: " + topdeskID, nil},
		"nothing":             {"name2: x", []string{"url", "user", "password"}},
		"the API's address":   {strings.Replace(good, ".net", ".net/tas/api", 1), []string{"address of TOPdesk alone"}},
		"a colon":             {strings.Replace(good, "user: firstcall", "user: 'a:b'", 1), []string{"has a colon"}},
		"a group by name":     {good + "\noperator_group: SOC", []string{"is no id"}},
		"a name alone":        {good + "\ncaller: ACME IT", []string{"does not look up"}},
		"a branch alone":      {good + "\nbranch: ACME", []string{"caller names none"}},
		"subcategory alone":   {good + "\nsubcategory: x", []string{"needs category"}},
		"priorities of one":   {good + "\npriorities: { p1: p2 }", []string{"told apart"}},
		"statuses of one":     {good + "\nstatuses: { waiting: [In Progress] }", []string{"told apart"}},
		"a line, an end":      {good + "\nline: third\nend: open", []string{"line", "end"}},
		"an endless time-out": {good + "\ntimeout: 1h", []string{"timeout"}},
	} {
		t.Run(name, func(t *testing.T) { checkFaults(t, "topdesk", test.keys, test.want...) })
	}
}

func FuzzTOPdeskAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"id":"` + topdeskID + `","externalNumber":"k","creationDate":"2026-03-02T12:00:00.000+0000","completed":true,"completedDate":"2026-03-02T12:00:00Z"}`,
		`[{"id":"` + topdeskID + `","externalNumber":"k","creationDate":"2026-03-02T12:00:00.000+0000"}]`, `[{"memoText":"x","entryDate":"2026-03-02T12:00:00Z","person":{}}]`,
		`[{"message":"x"}]`, `null`, `[]`, ``, "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := (&desk.TOPdesk{URL: "http://desk.example", User: "u", Password: secret.New("t0k")}).Build(
			desk.Env{Name: "desk-under-test", HTTP: &http.Client{Transport: canned(body)}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := d.Open(context.Background(), whatIsSaid("k"))
		checkFuzzedCase(t, c, err, "k")
		cases, err := d.Find(context.Background(), "k")
		checkFuzzedCase(t, desk.Case{Ref: "-", Number: "-", State: incident.CaseNew}, err, "")
		for _, c := range cases {
			checkFuzzedCase(t, c, nil, "k")
		}
		steps, _ := d.Transitions(context.Background(), topdeskID, time.Time{})
		checkFuzzedSteps(t, steps)
	})
}
