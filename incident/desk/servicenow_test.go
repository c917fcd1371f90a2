package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest/systems"
)

// configured returns the desk of a configuration: the keys beside kind and name, a line each.
func configured(t *testing.T, kind, keys string) desk.Desk {
	t.Helper()
	file := "tenant: { id: acme }\ncomponents:\n  - name: web\n    probes: [{ kind: tcp, address: 'acme.example:443' }]\ndesks:\n" +
		"  - kind: " + kind + "\n    name: desk-under-test\n    " + strings.ReplaceAll(keys, "\n", "\n    ") + "\n"
	c, err := config.Parse("test.yaml", []byte(file), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	d, err := c.Desks[0].Builder.Build(desk.Env{Name: "desk-under-test", Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// snow returns a desk with an instance behind it; more is added to its configuration.
func snow(t *testing.T, system *systems.ServiceNow, more string) (desk.Desk, *desktest.Faulty, func()) {
	t.Helper()
	faulty := &desktest.Faulty{System: system, Inside: `{"error":{"message":"Operation Failed","detail":"the rules do not allow it"},"status":"failure"}`}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)
	return configured(t, "servicenow", system.YAML(front.URL)+more), faulty, front.Close
}

// agentFields returns what a case shall say.
func agentFields(key string) desk.Fields {
	return desk.Fields{
		Key: key, Title: "P2 acme: backend is inaccessible", Body: "Since 12:00\n[CODE]<b>Ærø</b>[/code]", Priority: incident.P2,
		Customer: incident.Contact{Name: "ACME IT", Email: "IT@acme.example"},
	}
}

func TestServiceNow(t *testing.T) {
	secrets := []string{systems.SnowSecret, systems.SnowPassword, systems.SnowAPIKey, "t0k3n-", "cDRzczp3MHJkL"}
	for _, o := range []systems.ServiceNowOptions{{Unique: true}, {Auth: "basic"}} {
		t.Run(fmt.Sprintf("%s unique %t", o.Auth, o.Unique), func(t *testing.T) {
			desktest.Run(t, func(t *testing.T) desktest.Rig {
				system := systems.NewServiceNow(o)
				d, faulty, down := snow(t, system, "")
				if _, err := d.Find(t.Context(), "fc-none"); err != nil { // a token is there before anything fails
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if ignored := system.Ignored(); len(ignored) > 0 {
						t.Errorf("fields that the instance does not have: %q", ignored)
					}
				})
				return desktest.Rig{
					Desk: d, Name: "desk-under-test", Secrets: secrets, Faulty: faulty, Down: down, People: system,
					Live: func(key string) int { return desktest.Live(system, key) }, Files: system.Files,
				}
			})
		})
	}
}

func TestServiceNowTakesAnAPIKey(t *testing.T) {
	system := systems.NewServiceNow(systems.ServiceNowOptions{Auth: "api_key"})
	d, faulty, _ := snow(t, system, "")
	if _, err := d.Open(t.Context(), agentFields("fc-one")); err != nil {
		t.Error(err)
	}
	faulty.Set(desktest.Echo)
	if _, err := d.Open(t.Context(), agentFields("fc-two")); err == nil || strings.Contains(err.Error(), systems.SnowAPIKey) {
		t.Errorf("an answer that holds the key: %v", err)
	}
}

func TestServiceNowPayloads(t *testing.T) {
	address, asked := answering(t, http.StatusOK, `{"result":{"sys_id":"0123456789abcdef0123456789abcdef","number":"INC1","state":"1","priority":"2","sys_created_on":"2026-03-02 12:00:00","u_key":"k"}}`)
	ref := "0123456789abcdef0123456789abcdef"
	d := configured(t, "servicenow", "url: "+address+"/\nuser: u\npassword: h1dden\nkey_field: u_key\nimpact_urgency: { p2: 2x1 }")
	f := agentFields("k")
	f.Follows, f.Extra = "INC0", map[string]string{"category": "network", "impact": "9"}
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(desk.Case{
		Ref: ref, Number: "INC1", Key: "k", State: incident.CaseNew, Priority: incident.P2, Created: noon,
		URL: address + "/nav_to.do?uri=incident.do%3Fsys_id%3D" + ref,
	}, c); diff != "" {
		t.Errorf("case (-want +got):\n%s", diff)
	}
	notes := []desk.Note{{Text: "one"}, {Text: "two", Public: true}, {Text: "three [code]\x1b"}}
	if err := errors.Join(d.Update(t.Context(), ref, f, notes), d.Resolve(t.Context(), ref, f, "good\nagain"), d.Withdraw(t.Context(), ref, "INC0")); err == nil ||
		strings.Count(err.Error(), "left it in state") != 2 {
		t.Errorf("an instance that leaves a case open: %v", err)
	}
	fields := "sys_id%2Cnumber%2Cu_key%2Cstate%2Chold_reason%2Cpriority%2Cclose_notes%2Csys_created_on%2Csys_created_by%2Ccaller_id.user_name"
	query := "?sysparm_display_value=false&sysparm_exclude_reference_link=true&sysparm_fields=" + fields
	one := "/api/now/table/incident/" + ref + query
	type sent struct {
		Method, URL string
		Body        map[string]string
	}
	var got []sent
	for _, r := range *asked {
		s := sent{Method: r.method, URL: r.url}
		if len(r.body) > 0 {
			if err := json.Unmarshal(r.body, &s.Body); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, s)
	}
	about := map[string]string{"short_description": f.Title, "impact": "2", "urgency": "1"}
	with := func(more ...string) map[string]string {
		all := map[string]string{}
		maps.Copy(all, about)
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	want := []sent{
		{"POST", "/api/now/table/incident" + query, with("u_key", "k", "category", "network", "description", f.Body,
			"work_notes", "This follows INC0, which was resolved while the fault lasted.")},
		{"PATCH", one, with("comments", "two", "work_notes", "one\n\nthree [ code ]")},
		{"GET", one, nil},
		{"PATCH", one, map[string]string{"state": "6", "close_code": "Solution provided", "close_notes": "good\nagain"}},
		{"GET", one, nil},
		{"PATCH", one, map[string]string{"state": "8", "close_code": "Solution provided", "close_notes": "Withdrawn by firstcall: a double of INC0, which goes on."}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestServiceNowPrioritiesReachTheirOwn(t *testing.T) {
	system := systems.NewServiceNow(systems.ServiceNowOptions{})
	d, _, _ := snow(t, system, "")
	for p := incident.P1; p <= incident.P4; p++ {
		f := agentFields("fc-" + p.String())
		f.Priority = p
		c, err := d.Open(t.Context(), f)
		if err != nil || c.Priority != p {
			t.Errorf("%s is %s (%v)", p, c.Priority, err)
		}
	}
}

func TestServiceNowAnswersToOpen(t *testing.T) {
	const id = `"sys_id":"0123456789abcdef0123456789abcdef","sys_created_on":"2026-03-02 12:00:00"`
	tests := []struct {
		name    string
		status  int
		body    string
		err     string // "": none
		unknown bool
	}{
		{"created", 201, `{"result":{` + id + `,"correlation_id":"k"}}`, "", false},
		{"a reference as an object, a number", 201, `{"result":{` + id + `,"state":1,"priority":{"link":"x","value":"2"}}}`, "", false},
		{"the key was dropped by an ACL", 201, `{"result":{` + id + `,"correlation_id":""}}`, "", false},
		{"another record", 201, `{"result":{` + id + `,"correlation_id":"other"}}`, `of key "other"`, true},
		{"an error inside", 200, `{"error":{"message":"Operation Failed","detail":"no"},"status":"failure"}`, "Operation Failed", true},
		{"no result", 201, `{"status":"success"}`, "no result", true},
		{"a list", 200, `{"result":[]}`, "no result", true},
		{"no sys_id", 201, `{"result":{"number":"INC1"}}`, "no sys_id", true},
		{"no time", 201, `{"result":{"sys_id":"0123456789abcdef0123456789abcdef"}}`, "sys_created_on", true},
		{"nothing", 204, ``, "no result", true},
		{"data policy", 403, `{"error":{"message":"Operation Failed","detail":"Data Policy Exception: \n\tThe following fields are mandatory: Category"}}`, `"Operation Failed Data Policy Exception: The following fields are mandatory: Category"`, false},
		{"access rule", 403, `{"error":{"message":"User Not Authorized"}}`, "by its access rules (ACL), or by a business rule or data policy", false},
		{"bad request", 400, `{"error":{"message":"Invalid table x"}}`, "answered 400", false},
		{"no credentials", 401, ``, "check the credentials", false},
		{"too many", 429, `{"error":{"message":"Rate limit exceeded"}}`, "rate limit", true},
		{"gateway", 502, `<html>`, "answered 502", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			address, asked := answering(t, test.status, test.body)
			_, err := configured(t, "servicenow", "url: "+address+"\nuser: u\npassword: h1dden").Open(t.Context(), agentFields("k"))
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

func TestServiceNowFindNeverTrustsAQuery(t *testing.T) {
	system := systems.NewServiceNow(systems.ServiceNowOptions{})
	d, faulty, down := snow(t, system, "")
	if _, err := d.Open(t.Context(), agentFields("fc-one")); err != nil {
		t.Fatal(err)
	}
	before := faulty.Requests()
	for _, key := range []string{"", "x^ORnumberISNOTEMPTY", "x\n", strings.Repeat("x", 61)} {
		if _, err := d.Find(t.Context(), key); err == nil {
			t.Errorf("key %q was looked for", key)
		}
		if _, err := d.Open(t.Context(), agentFields(key)); err == nil || errors.Is(err, desk.ErrUnknownOutcome) {
			t.Errorf("key %q: %v", key, err)
		}
	}
	if n := faulty.Requests() - before; n != 0 {
		t.Errorf("%d requests", n)
	}
	front := httptest.NewServer(system)
	defer front.Close()
	keys := strings.Replace(system.YAML(front.URL), "key_field: "+systems.SnowKeyField, "key_field: u_misspelt", 1)
	if _, err := configured(t, "servicenow", keys).Find(t.Context(), "fc-other"); err == nil || !strings.Contains(err.Error(), "u_misspelt") {
		t.Errorf("a field that the instance does not have: %v", err)
	}
	if cases, err := d.Find(t.Context(), "FC-ONE"); err != nil || len(cases) != 0 {
		t.Errorf("a key in other case: %v %v", cases, err)
	}
	down()
}

func TestServiceNowUniqueKey(t *testing.T) {
	system := systems.NewServiceNow(systems.ServiceNowOptions{Unique: true})
	d, _, _ := snow(t, system, "")
	first, err := d.Open(t.Context(), agentFields("fc-one"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.Open(t.Context(), agentFields("fc-one"))
	if err != nil || second.Ref != first.Ref {
		t.Errorf("the refused create leads to %+v (%v), want the winner", second, err)
	}
	if err := d.Withdraw(t.Context(), first.Ref, "INC9"); err != nil {
		t.Fatal(err)
	}
	if c, err := d.Open(t.Context(), agentFields("fc-one")); err == nil || !strings.Contains(err.Error(), "withdrawn") || errors.Is(err, desk.ErrUnknownOutcome) {
		t.Errorf("a withdrawn record holds the key: %+v, %v", c, err)
	}
	// What a person cancels is no withdrawn double: it is found, and resolved.
	c, err := d.Open(t.Context(), agentFields("fc-two"))
	if err != nil {
		t.Fatal(err)
	}
	system.By("soc.op", c.Ref, map[string]string{"state": "8"})
	if cases, err := d.Find(t.Context(), "fc-two"); err != nil || len(cases) != 1 || cases[0].State != incident.CaseResolved {
		t.Errorf("a case that a person cancelled: %+v %v", cases, err)
	}
}

func TestServiceNowRefusals(t *testing.T) {
	system := systems.NewServiceNow(systems.ServiceNowOptions{})
	d, _, _ := snow(t, system, "")
	system.Mandatory("category")
	_, err := d.Open(t.Context(), agentFields("fc-one"))
	if err == nil || !strings.Contains(err.Error(), "mandatory: category") || errors.Is(err, desk.ErrUnknownOutcome) {
		t.Errorf("data policy: %v", err)
	}
	f := agentFields("fc-one")
	f.Extra = map[string]string{"category": "network"}
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	system.Limit(true)
	if err := d.Update(t.Context(), c.Ref, f, nil); err == nil || !strings.Contains(err.Error(), "rate limit of 1000 is used up, it asks to wait: 3600") {
		t.Errorf("rate limit: %v", err)
	}
	system.Limit(false)
	system.HideAudit(true)
	if _, err := d.Transitions(t.Context(), c.Ref, time.Time{}); err == nil || !strings.Contains(err.Error(), "history: false") {
		t.Errorf("sys_audit: %v", err)
	}
	without, _, _ := snow(t, system, "\nhistory: false\nmails_customer: true")
	if can := without.Capabilities(); can.Transitions || !can.MailsCustomer || !can.ReadBack {
		t.Errorf("capabilities %+v", can)
	}
	system.By("soc.op", c.Ref, map[string]string{"state": "7", "close_code": "x", "close_notes": "x"})
	if err := d.(desk.Reopener).Reopen(t.Context(), c.Ref, f, "still"); err == nil || !strings.Contains(err.Error(), "reopen") {
		t.Errorf("a closed case: %v", err)
	}
	system.Mandatory("")
	system.ReadOnly(systems.SnowKeyField)
	if c, err := d.Open(t.Context(), agentFields("fc-two")); err != nil || c.Key != "" || c.Ref == "" {
		t.Errorf("a key that an ACL drops must not lose the case: %+v %v", c, err)
	}
}

func TestServiceNowCaller(t *testing.T) {
	tests := []struct{ caller, group, user, note string }{
		{"it.acme", "SOC", systems.SnowCaller, ""},
		{"it@acme.example", "SOC", systems.SnowCaller, ""},
		{"customer", "soc", systems.SnowCaller, ""},
		{"left.acme", "SOC", "", `caller_id is not set: "left.acme"`},
		{"nobody", "NOC", "", `assignment_group is not set: "NOC"`},
	}
	for _, test := range tests {
		t.Run(test.caller, func(t *testing.T) {
			system := systems.NewServiceNow(systems.ServiceNowOptions{})
			front := httptest.NewServer(system)
			defer front.Close()
			keys, _, _ := strings.Cut(system.YAML(front.URL), "\ncaller:")
			d := configured(t, "servicenow", keys+"\ncaller: "+test.caller+"\nassignment_group: "+test.group)
			c, err := d.Open(t.Context(), agentFields("fc-one"))
			if err != nil {
				t.Fatal(err)
			}
			row, journal := system.Record(c.Ref), strings.Join(system.Journal(c.Ref), "\n")
			if got := row["caller_id"] != ""; got != (test.user != "") || !strings.Contains(journal, test.note) {
				t.Errorf("record %v, journal %q", row, journal)
			}
			if got := row["assignment_group"] != ""; got != strings.EqualFold(test.group, "SOC") {
				t.Errorf("record %v", row)
			}
		})
	}
}

// serve returns the address of a server.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestServiceNowHistory(t *testing.T) {
	now := noon
	system := systems.NewServiceNow(systems.ServiceNowOptions{Now: func() time.Time { return now }})
	d, _, _ := snow(t, system, "\nhold_reasons: [1, 5]")
	c, err := d.Open(t.Context(), agentFields("fc-one"))
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name, user string
		values     map[string]string
		want       []string
	}{
		{"assigned", "soc.op", map[string]string{"assigned_to": "x"}, []string{"acknowledged assigned to a person"}},
		{"in progress", "soc.op", map[string]string{"state": "2", "work_notes": "on it"}, []string{"acknowledged ", " on it"}},
		{"of the agent", systems.SnowUser, map[string]string{"work_notes": "measured"}, nil},
		{"awaiting vendor", "soc.op", map[string]string{"state": "3", "hold_reason": "4"}, []string{" on hold, but not for the customer: Awaiting Vendor"}},
		{"then the caller", "soc.op", map[string]string{"hold_reason": "1"}, []string{"held Awaiting Caller"}},
		{"then the vendor again", "soc.op", map[string]string{"hold_reason": "4"}, []string{"acknowledged on hold, but not for the customer: Awaiting Vendor"}},
		{"a change", "soc.op", map[string]string{"hold_reason": "5", "comments": "after the weekend"}, []string{"held Awaiting Change: after the weekend"}},
		{"the caller answers", systems.SnowCaller, map[string]string{"comments": "now,\nplease"}, []string{"acknowledged ! ", " ! now, please"}},
		{"resolved", "soc.op", map[string]string{"state": "6", "close_code": "x", "close_notes": "restarted"}, []string{"resolved restarted"}},
		{"closed by itself", "system", map[string]string{"state": "7"}, nil},
	}
	var since time.Time
	for i, step := range steps {
		if i%2 == 0 { // two in each second
			now = now.Add(time.Second)
		}
		system.By(step.user, c.Ref, step.values)
		all, err := d.Transitions(t.Context(), c.Ref, since)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tr := range all {
			if !tr.At.After(since) || tr.Actor != step.user || tr.At.Truncate(time.Second) != now {
				t.Errorf("%s: %+v", step.name, tr)
			}
			since = tr.At
			got = append(got, string(tr.To)+map[bool]string{true: " !", false: ""}[tr.Customer]+" "+tr.Text)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
	all, err := d.Transitions(t.Context(), c.Ref, time.Time{})
	if err != nil || len(all) != 10 || !slices.IsSortedFunc(all, func(a, b incident.Transition) int { return a.At.Compare(b.At) }) {
		t.Errorf("the whole history: %d steps, %v (%+v)", len(all), err, all)
	}
}

func TestServiceNowLongHistory(t *testing.T) {
	system := systems.NewServiceNow(systems.ServiceNowOptions{Now: func() time.Time { return noon }})
	d, faulty, _ := snow(t, system, "")
	c, err := d.Open(t.Context(), agentFields("fc-one"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 120 {
		system.By("soc.op", c.Ref, map[string]string{"comments": fmt.Sprint(i)})
	}
	before := faulty.Requests()
	all, err := d.Transitions(t.Context(), c.Ref, time.Time{})
	if err != nil || len(all) != 120 || all[119].Text != "119" || faulty.Requests()-before != 4 {
		t.Errorf("%d steps in %d requests: %v", len(all), faulty.Requests()-before, err)
	}
}

func TestServiceNowConfigurationFaults(t *testing.T) {
	good := desk.ServiceNow{URL: "https://acme.service-now.com", User: "u", Password: secret.New("hidden")}
	tests := []struct {
		name   string
		change func(*desk.ServiceNow)
		want   string // the only fault; "": none
	}{
		{"good", func(*desk.ServiceNow) {}, ""},
		{"query", func(s *desk.ServiceNow) { s.URL += "?x=1" }, "url: has a query"},
		{"no way in", func(s *desk.ServiceNow) { s.User, s.Password = "", secret.Value{} }, "has 0 ways"},
		{"two ways in", func(s *desk.ServiceNow) { s.APIKey = secret.New("hidden") }, "has 2 ways"},
		{"half a way", func(s *desk.ServiceNow) { s.Password = secret.Value{} }, "user: needs password"},
		{"colon", func(s *desk.ServiceNow) { s.User = "a:b" }, "user: has a colon"},
		{"field", func(s *desk.ServiceNow) { s.KeyField = "x^y" }, "key_field: is no name"},
		{"pair", func(s *desk.ServiceNow) { s.ImpactUrgency.P3 = "high" }, "impact_urgency.p3: is no impact"},
		{"states", func(s *desk.ServiceNow) { s.States.Closed = 6 }, "states: two of them"},
		{"caller", func(s *desk.ServiceNow) { s.Caller = "x^y" }, "caller: has a ^"},
		{"timeout", func(s *desk.ServiceNow) { s.Timeout = time.Hour }, "timeout: must be"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := good
			test.change(&s)
			faults := fmt.Sprint(s.Validate())
			if test.want == "" && faults != "[]" || !strings.HasPrefix(faults, "["+test.want) || strings.Contains(faults, "hidden") {
				t.Errorf("faults %s, want %q", faults, test.want)
			}
		})
	}
}

func FuzzServiceNowAnswer(f *testing.F) {
	const ref = "0123456789abcdef0123456789abcdef"
	record := `{"sys_id":"` + ref + `","correlation_id":"k","state":"3","hold_reason":"1","priority":"2","sys_created_on":"2026-03-02 12:00:00"}`
	audit := `{"documentkey":"` + ref + `","fieldname":"state","oldvalue":"1","newvalue":"2","user":"x","sys_created_on":"2026-03-02 12:00:00","record_checkpoint":"-7"}`
	for _, seed := range []string{`{}`, `{"result":` + record + `}`, `{"result":[` + record + `]}`, `{"result":[` + audit + `]}`, `{"error":"x"}`, `{"result":[{"a":[]}]}`, "null", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := (&desk.ServiceNow{URL: "http://desk.example", APIKey: secret.New("a"), History: true}).
			Build(desk.Env{Name: "x", HTTP: &http.Client{Transport: canned(body)}})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := d.Open(context.Background(), desk.Fields{Key: "k"})
		if err == nil && (len(opened.Ref) != 32 || opened.Number == "" || opened.State == incident.CaseWanted) {
			t.Errorf("open answered %+v to %q", opened, body)
		}
		cases, err := d.Find(context.Background(), "k")
		for _, c := range cases {
			if c.Key != "k" || len(c.Ref) != 32 || len(c.Number) > 300 {
				t.Errorf("find answered %+v to %q", c, body)
			}
		}
		if err != nil {
			if text := err.Error(); len(text) > 2000 || strings.ContainsAny(text, "\n\x1b\x00") {
				t.Errorf("error %q", text)
			}
		}
		_, _ = d.Transitions(context.Background(), ref, time.Time{})
	})
}

// The examples in the documentation are good configurations.
func TestDocumentedDesks(t *testing.T) {
	for _, kind := range []string{"servicenow", "jira"} {
		page, err := os.ReadFile("../../docs/desk-" + kind + ".md")
		if err != nil {
			t.Fatal(err)
		}
		_, example, _ := strings.Cut(string(page), "```yaml\n")
		example, _, _ = strings.Cut(example, "```")
		file := "tenant: { id: acme }\ncomponents:\n  - name: web\n    probes: [{ kind: tcp, address: 'acme.example:443' }]\n" + example
		if _, err := config.Parse("docs", []byte(file), func(string) (string, bool) { return "x", true }); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
