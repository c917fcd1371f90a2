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

// jiraDesk returns a desk with a site behind it; more is added to its configuration.
func jiraDesk(t *testing.T, system *systems.Jira, more string) (desk.Desk, *desktest.Faulty, func()) {
	t.Helper()
	faulty := &desktest.Faulty{System: system, Inside: `{"errorMessages":["the rules do not allow it"],"errors":{}}`}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)
	return configured(t, "jira", system.YAML(front.URL)+more), faulty, front.Close
}

func TestJira(t *testing.T) {
	for name, o := range map[string]systems.JiraOptions{
		"issues, search lags": {Lag: 300 * time.Millisecond}, "customer requests, bearer": {Request: true, Bearer: true},
	} {
		t.Run(name, func(t *testing.T) {
			desktest.Run(t, func(t *testing.T) desktest.Rig {
				system := systems.NewJira(o)
				d, faulty, down := jiraDesk(t, system, "")
				return desktest.Rig{
					Desk: d, Name: "desk-under-test", Secrets: []string{systems.JiraToken, "YWdlbnRAc29j"}, Faulty: faulty, Down: down, People: system,
					Live: func(key string) int { return desktest.Live(system, key) }, Files: system.Files,
				}
			})
		})
	}
}

// asJSON returns what was sent: "METHOD path" and the body as JSON reads it.
func asJSON(t *testing.T, asked []request) (lines []string, bodies []any) {
	t.Helper()
	for _, r := range asked {
		var body any
		if len(r.body) > 0 {
			if err := json.Unmarshal(r.body, &body); err != nil {
				t.Fatal(err)
			}
		}
		lines, bodies = append(lines, r.method+" "+r.url), append(bodies, body)
	}
	return lines, bodies
}

func TestJiraPayloads(t *testing.T) {
	f := agentFields("fc-k")
	f.Follows = "SOC-1"
	f.Extra = map[string]string{"customfield_10010": "plain", "customfield_10011": ` {"value": "Odense"}`, "customfield_10012": "{no json", "summary": "not this"}
	para := func(nodes ...any) any { return map[string]any{"type": "paragraph", "content": nodes} }
	word := func(s string) any { return map[string]any{"type": "text", "text": s} }
	tests := []struct {
		name, more, answer string
		want               []string
		body               map[string]any
	}{
		{
			"an issue", "", `{"id":"10001","key":"SOC-2"}`,
			[]string{"POST /rest/api/3/issue", "POST /rest/api/3/issueLink"},
			map[string]any{"fields": map[string]any{
				"project": map[string]any{"key": "SOC"}, "issuetype": map[string]any{"name": "Incident"}, "summary": f.Title, "priority": map[string]any{"name": "Sev2"},
				"labels": []any{"fc-k"}, "reporter": map[string]any{"id": "acc:1"}, "customfield_10010": "plain", "customfield_10011": map[string]any{"value": "Odense"}, "customfield_10012": "{no json",
				"description": map[string]any{"type": "doc", "version": 1.0, "content": []any{
					para(word("Since 12:00"), map[string]any{"type": "hardBreak"}, word("[CODE]<b>Ærø</b>[/code]")),
				}},
			}},
		},
		{
			"a customer request", "\nservice_desk: '7'\nrequest_type: '9'", `{"issueId":"10001","issueKey":"SOC-2"}`,
			[]string{"POST /rest/servicedeskapi/request", "POST /rest/api/3/issueLink"},
			map[string]any{"serviceDeskId": "7", "requestTypeId": "9", "raiseOnBehalfOf": "acc:1", "requestFieldValues": map[string]any{
				"summary": f.Title, "priority": map[string]any{"name": "Sev2"}, "labels": []any{"fc-k"}, "description": f.Body,
				"customfield_10010": "plain", "customfield_10011": map[string]any{"value": "Odense"}, "customfield_10012": "{no json",
			}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			address, asked := answering(t, http.StatusCreated, test.answer)
			d := configured(t, "jira", "url: "+address+"/\ntoken: t0ken\nproject: SOC\ncustomer: acc:1\npriorities: { p2: Sev2 }"+test.more)
			c, err := d.Open(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if c.Ref != "10001" || c.Number != "SOC-2" || c.URL != address+"/browse/SOC-2" || c.Key != "fc-k" || c.Created.IsZero() {
				t.Errorf("case %+v", c)
			}
			lines, bodies := asJSON(t, *asked)
			if diff := cmp.Diff(test.want, lines); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(any(test.body), bodies[0]); diff != "" {
				t.Errorf("create (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(any(map[string]any{
				"type": map[string]any{"name": "Relates"}, "inwardIssue": map[string]any{"key": "SOC-2"}, "outwardIssue": map[string]any{"key": "SOC-1"},
			}), bodies[1]); diff != "" {
				t.Errorf("link (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJiraAnswersToOpen(t *testing.T) {
	tests := []struct {
		name    string
		status  int
		body    string
		err     string // "": none
		unknown bool
	}{
		{"created", 201, `{"id":"10001","key":"SOC-1","self":"x"}`, "", false},
		{"an error inside", 201, `{"errorMessages":["Index is locked"],"errors":{"b":"2","a":"1"}}`, "Index is locked; a: 1; b: 2", true},
		{"another status", 200, `{"id":"10001","key":"SOC-1"}`, "answered 200 where Jira answers 201", true},
		{"no number", 201, `{"key":"SOC-1"}`, "names no issue", true},
		{"no key", 201, `{"id":"1","key":"../x"}`, "names no issue", true},
		{"null", 201, `null`, "names no issue", true},
		{"a list", 201, `[]`, "not as Jira does", true},
		{"no priority on the screen", 400, `{"errorMessages":[],"errors":{"priority":"Field 'priority' cannot be set. It is not on the appropriate screen, or unknown."}}`, "priority: Field 'priority' cannot be set", false},
		{"a service desk's fault", 400, `{"errorMessage":"Your request could not be created."}`, "Your request could not be created.", false},
		{"no credentials", 401, ``, "check the credentials", false},
		{"no right", 403, `{"errorMessages":["no"],"errors":{}}`, "may not do this", false},
		{"removed", 410, `{"errorMessages":["The requested API has been removed."]}`, "a newer firstcall", false},
		{"too many", 429, `{}`, "answered 429", true},
		{"gateway", 503, ``, "answered 503", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			address, asked := answering(t, test.status, test.body)
			_, err := configured(t, "jira", "url: "+address+"\ntoken: t0ken\nproject: SOC").Open(t.Context(), agentFields("fc-k"))
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if errors.Is(err, desk.ErrUnknownOutcome) != test.unknown {
				t.Errorf("outcome unknown: %v, want %v (%v)", !test.unknown, test.unknown, err)
			}
			if len(*asked) != 1 {
				t.Errorf("%d requests", len(*asked))
			}
		})
	}
}

func TestJiraFindNeverTrustsASearch(t *testing.T) {
	address, asked := answering(t, http.StatusOK, `{"issues":[{"id":"1","key":"SOC-1","fields":{"labels":["FC-K","fc-k1"]}}],"isLast":true}`)
	d := configured(t, "jira", "url: "+address+"\ntoken: t0ken\nproject: SOC")
	if cases, err := d.Find(t.Context(), "fc-k"); err != nil || len(cases) != 0 {
		t.Errorf("issues with other labels: %v %v", cases, err)
	}
	if _, err := d.Find(t.Context(), `x" OR project != "\`); err != nil {
		t.Error(err)
	}
	for i, want := range []string{
		`project+%3D+%22SOC%22+AND+labels+%3D+%22fc-k%22+ORDER+BY+created+ASC`,
		`project+%3D+%22SOC%22+AND+labels+%3D+%22x%5C%22+OR+project+%21%3D+%5C%22%5C%5C%22+ORDER+BY+created+ASC`,
	} {
		if url := (*asked)[i].url; url != "/rest/api/3/search/jql?fields=labels&jql="+want+"&maxResults=50" {
			t.Errorf("query %s", url)
		}
	}
	for _, key := range []string{"", strings.Repeat("x", 61)} {
		if _, err := d.Find(t.Context(), key); err == nil {
			t.Errorf("key %q was looked for", key)
		}
	}
	if _, err := d.Open(t.Context(), agentFields("two words")); err == nil || len(*asked) != 2 {
		t.Errorf("a key that no label can be: %v, %d requests", err, len(*asked))
	}
	for _, body := range []string{`{}`, `{"issues":null}`, `null`, `[]`, `{"errorMessages":["Index is being rebuilt"]}`} {
		address, _ := answering(t, http.StatusOK, body)
		if cases, err := configured(t, "jira", "url: "+address+"\ntoken: t0ken\nproject: SOC").Find(t.Context(), "fc-k"); err == nil {
			t.Errorf("%s was taken as %v", body, cases)
		}
	}
}

// The index is late, the issue itself is not.
func TestJiraFindReadsTheIssue(t *testing.T) {
	now := noon
	system := systems.NewJira(systems.JiraOptions{Lag: time.Minute, Now: func() time.Time { return now }})
	d, _, _ := jiraDesk(t, system, "")
	c, err := d.Open(t.Context(), agentFields("fc-one"))
	if err != nil {
		t.Fatal(err)
	}
	if cases, err := d.Find(t.Context(), "fc-one"); err != nil || len(cases) != 0 || d.Capabilities().Lag != time.Minute {
		t.Errorf("before the lag is over: %v %v", cases, err)
	}
	now = now.Add(time.Minute)
	if err := d.Resolve(t.Context(), c.Ref, agentFields("fc-one"), "good"); err != nil {
		t.Fatal(err)
	}
	cases, err := d.Find(t.Context(), "fc-one")
	want := c
	want.State, want.Priority, want.Created = incident.CaseResolved, incident.P2, noon
	if diff := cmp.Diff([]desk.Case{want}, cases); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	second, err := d.Open(t.Context(), agentFields("fc-one"))
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if err := d.Withdraw(t.Context(), second.Ref, c.Number); err != nil {
		t.Fatal(err)
	}
	if cases, err := d.Find(t.Context(), "fc-one"); err != nil || len(cases) != 1 || cases[0].Ref != c.Ref {
		t.Errorf("a withdrawn case that the index shows as it was: %+v %v", cases, err)
	}
	if got, want := system.Resolution(second.Ref), "Duplicate"; got != want {
		t.Errorf("resolution %q, want %q", got, want)
	}
	if got := system.Comments(second.Ref); !slices.Equal(got, []string{"internal: Withdrawn: a double of " + c.Number + ", which goes on."}) {
		t.Errorf("comments %q", got)
	}
}

func TestJiraNotes(t *testing.T) {
	system := systems.NewJira(systems.JiraOptions{})
	d, faulty, _ := jiraDesk(t, system, "\nmails_customer: true")
	f := agentFields("fc-one")
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	notes := []desk.Note{{Text: "12:01 raised\nby two", Public: true}, {Text: "12:02 measured [link|x] {code}\x1b"}}
	for range 2 { // the second time nothing is said again
		if err := d.Update(t.Context(), c.Ref, f, notes); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Resolve(t.Context(), c.Ref, f, "good again"); err != nil {
		t.Fatal(err)
	}
	reopen := d.(desk.Reopener).Reopen
	for range 2 {
		if err := reopen(t.Context(), c.Ref, f, "still measured"); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Resolve(t.Context(), c.Ref, f, "good again"); err != nil { // another time: said again
		t.Fatal(err)
	}
	want := []string{
		"public: 12:01 raised\nby two", "internal: 12:02 measured [link|x] {code}", "public: good again", "public: still measured", "public: good again",
	}
	if diff := cmp.Diff(want, system.Comments(c.Ref)); diff != "" {
		t.Errorf("comments (-want +got):\n%s", diff)
	}
	if !d.Capabilities().MailsCustomer || system.Resolution(c.Ref) != "Done" {
		t.Errorf("resolution %q", system.Resolution(c.Ref))
	}
	before := faulty.Requests()
	if err := d.Resolve(t.Context(), c.Ref, f, "good again"); err != nil || faulty.Requests() != before+1 {
		t.Errorf("a resolved case: %v, %d requests", err, faulty.Requests()-before)
	}
}

func TestJiraTransitionsByName(t *testing.T) {
	system := systems.NewJira(systems.JiraOptions{})
	tests := []struct{ more, err, resolution string }{
		{"", "", "Done"},
		{"\ntransitions: { resolve: [ 'resolved' ] }\nresolution: duplicate", "", "Duplicate"}, // the status that it leads to, in either case
		{"\ntransitions: { resolve: [ Fertig ] }", `offers only the transitions "In progress" to "In progress", "Respond to customer"`, ""},
		{"\nresolution: ''", "Resolution is required", ""},
	}
	for i, test := range tests {
		d, _, _ := jiraDesk(t, system, test.more)
		f := agentFields(fmt.Sprintf("fc-%d", i))
		c, err := d.Open(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		err = d.Resolve(t.Context(), c.Ref, f, "good again")
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) || system.Resolution(c.Ref) != test.resolution {
			t.Errorf("%s: %v, resolution %q", test.more, err, system.Resolution(c.Ref))
		}
	}
}

func TestJiraFollows(t *testing.T) {
	system := systems.NewJira(systems.JiraOptions{})
	d, _, _ := jiraDesk(t, system, "")
	first, err := d.Open(t.Context(), agentFields("fc-one"))
	if err != nil {
		t.Fatal(err)
	}
	f := agentFields("fc-two")
	f.Follows = first.Number
	if _, err := d.Open(t.Context(), f); err != nil || !slices.Equal(system.Links(), []string{"Relates: SOC-2 to SOC-1"}) {
		t.Errorf("links %q, %v", system.Links(), err)
	}
	system.RefuseLinks(true)
	f.Key = "fc-three"
	if c, err := d.Open(t.Context(), f); err != nil || c.Number != "SOC-3" {
		t.Errorf("a link that is refused must not lose the case: %+v %v", c, err)
	}
}

func TestJiraRefusals(t *testing.T) {
	system := systems.NewJira(systems.JiraOptions{})
	d, _, _ := jiraDesk(t, system, "")
	f := agentFields("fc-one")
	system.Require("customfield_10077")
	if _, err := d.Open(t.Context(), f); err == nil || !strings.Contains(err.Error(), "customfield_10077 is required") || errors.Is(err, desk.ErrUnknownOutcome) {
		t.Errorf("a mandatory field: %v", err)
	}
	f.Extra = map[string]string{"customfield_10077": "x"}
	if _, err := d.Open(t.Context(), f); err != nil {
		t.Error(err)
	}
	system.Limit(true)
	if _, err := d.Open(t.Context(), f); err == nil || !strings.Contains(err.Error(), "it asks to wait: 120") || !errors.Is(err, desk.ErrUnknownOutcome) {
		t.Errorf("rate limit: %v", err)
	}
	system.Limit(false)
	other, _, _ := jiraDesk(t, system, "\nissue_type: Bug")
	if _, err := other.Open(t.Context(), f); err == nil || !strings.Contains(err.Error(), "valid issue type") {
		t.Errorf("issue type: %v", err)
	}
}

func TestJiraHistory(t *testing.T) {
	now := noon
	system := systems.NewJira(systems.JiraOptions{Now: func() time.Time { return now }})
	d, _, _ := jiraDesk(t, system, "")
	f := agentFields("fc-one")
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		do   func()
		want []string
	}{
		{"of the agent", func() {
			f.Priority = incident.P1
			if err := d.Update(t.Context(), c.Ref, f, []desk.Note{{Text: "raised"}}); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"assigned", func() { system.Assign(c.Ref, systems.JiraOperator) }, []string{"Op Erator: acknowledged assigned to Op Erator"}},
		{"taken", func() { system.Take(c.Ref) }, []string{"Op Erator: acknowledged "}},
		{"assigned again", func() { system.Assign(c.Ref, systems.JiraOperator) }, nil},
		{"held", func() { system.Hold(c.Ref, "which server?") }, []string{"Op Erator:  which server?", "Op Erator: held Waiting for customer"}},
		{"answered", func() { system.Answer(c.Ref, "app01") }, []string{"ACME IT!:  app01", "Automation for Jira: new "}},
		{"resolved", func() { system.Resolve(c.Ref, "restarted") }, []string{"Op Erator:  restarted", "Op Erator: resolved "}},
	}
	var since time.Time
	for i, step := range steps {
		if i%2 == 0 { // two in each millisecond
			now = now.Add(time.Millisecond)
		}
		step.do()
		all, err := d.Transitions(t.Context(), c.Ref, since)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tr := range all {
			if !tr.At.After(since) || tr.At.Truncate(time.Millisecond) != now {
				t.Errorf("%s: %+v is not after %s", step.name, tr, since)
			}
			since = tr.At
			got = append(got, tr.Actor+map[bool]string{true: "!", false: ""}[tr.Customer]+": "+string(tr.To)+" "+tr.Text)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

func TestJiraLongHistory(t *testing.T) {
	system := systems.NewJira(systems.JiraOptions{})
	d, _, _ := jiraDesk(t, system, "")
	c, err := d.Open(t.Context(), agentFields("fc-one"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 45 {
		system.Say(systems.JiraOperator, c.Ref, fmt.Sprint(i))
		system.Take(c.Ref)
		system.By(systems.JiraOperator, c.Ref, "Respond to customer")
	}
	all, err := d.Transitions(t.Context(), c.Ref, time.Time{})
	if err != nil || len(all) != 3*45 || !slices.IsSortedFunc(all, func(a, b incident.Transition) int { return a.At.Compare(b.At) }) {
		t.Errorf("%d steps: %v", len(all), err)
	}
}

func TestJiraConfigurationFaults(t *testing.T) {
	good := desk.Jira{URL: "https://acme.atlassian.net", User: "a@b.example", Token: secret.New("hidden"), Project: "SOC"}
	tests := []struct {
		name   string
		change func(*desk.Jira)
		want   string // the only fault; "": none
	}{
		{"good", func(*desk.Jira) {}, ""},
		{"query", func(j *desk.Jira) { j.URL += "?x=1" }, "url: has a query"},
		{"project", func(j *desk.Jira) { j.Project = "Service Desk" }, "project: is no key"},
		{"half a request", func(j *desk.Jira) { j.RequestType = "25" }, "request_type: needs service_desk"},
		{"request type", func(j *desk.Jira) { j.ServiceDesk, j.RequestType = "10", "Incident" }, "request_type: is no number"},
		{"colon", func(j *desk.Jira) { j.User = "a:b" }, "user: has a colon"},
		{"token", func(j *desk.Jira) { j.Token = secret.New("hidden\n") }, "token: has a line break"},
		{"priorities", func(j *desk.Jira) { j.Priorities.P4 = "medium" }, "priorities: two of them"},
		{"lag", func(j *desk.Jira) { j.Lag = -1 }, "lag: must be"},
		{"timeout", func(j *desk.Jira) { j.Timeout = time.Hour }, "timeout: must be"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j := good
			test.change(&j)
			faults := fmt.Sprint(j.Validate())
			if test.want == "" && faults != "[]" || !strings.HasPrefix(faults, "["+test.want) || strings.Contains(faults, "hidden") {
				t.Errorf("faults %s, want %q", faults, test.want)
			}
		})
	}
}

func FuzzJiraAnswer(f *testing.F) {
	issue := `"id":"1","key":"SOC-1","fields":{"labels":["fc-k"],"created":"2026-03-02T12:00:00.000+0000","status":{"id":"2","name":"x","statusCategory":{"key":"new"}}}`
	for _, seed := range []string{
		`{}`, `{` + issue + `}`, `{"issues":[{` + issue + `}],` + issue + `}`, `{"errorMessages":["x"]}`, `[{"statuses":[{"id":"1"}]}]`, `null`, "\x00",
		`{` + issue + `,"values":[{"id":"9","created":"2026-03-02T12:00:00.000+0000","items":[{"field":"status","from":"1","to":"3"}]}],"isLast":true}`,
		`{` + issue + `,"values":[],"comments":[{"id":"9","created":"2026-03-02T12:00:00.000+0000","body":{"type":"doc","content":[{"text":"x"}]}}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := (&desk.Jira{URL: "http://desk.example", Token: secret.New("a"), Project: "SOC"}).Build(desk.Env{Name: "x", HTTP: &http.Client{Transport: canned(body)}})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := d.Open(context.Background(), desk.Fields{Key: "fc-k"})
		if err == nil {
			t.Errorf("open answered %+v to status 200 and %q", opened, body)
		}
		cases, err := d.Find(context.Background(), "fc-k")
		for _, c := range cases {
			if c.Key != "fc-k" || c.Ref == "" || len(c.Ref) > 20 || len(c.Number) > 300 {
				t.Errorf("find answered %+v to %q", c, body)
			}
		}
		if err != nil {
			if text := err.Error(); len(text) > 2000 || strings.ContainsAny(text, "\n\x1b\x00") {
				t.Errorf("error %q", text)
			}
		}
		all, _ := d.Transitions(context.Background(), "1", time.Time{})
		for _, tr := range all {
			if tr.At.IsZero() || tr.Actor == "" || len(tr.Text) > 3000 {
				t.Errorf("%+v", tr)
			}
		}
	})
}
