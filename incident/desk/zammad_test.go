package desk_test

import (
	"context"
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

// zammadDesk returns a desk with a Zammad behind it; more is added to its configuration.
func zammadDesk(t *testing.T, system *systems.Zammad, more string) (desk.Desk, *desktest.Faulty, func()) {
	t.Helper()
	faulty := &desktest.Faulty{System: system}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)
	return fromYAML(t, "zammad", system.YAML(front.URL)+more), faulty, front.Close
}

func TestZammad(t *testing.T) {
	for _, o := range []systems.ZammadOptions{{Attributes: true, Lag: 300 * time.Millisecond}, {Lag: 300 * time.Millisecond}} {
		t.Run(fmt.Sprintf("attributes %t", o.Attributes), func(t *testing.T) {
			desktest.Run(t, func(t *testing.T) desktest.Rig {
				system := systems.NewZammad(o)
				d, faulty, down := zammadDesk(t, system, "")
				t.Cleanup(func() {
					if ignored := system.Ignored(); len(ignored) > 0 {
						t.Errorf("attributes that Zammad does not have: %q", ignored)
					}
				})
				return desktest.Rig{
					Desk: d, Name: "desk-under-test", Secrets: []string{systems.ZammadToken}, Faulty: faulty, Down: down, People: system,
					Live: func(key string) int { return desktest.Live(system, key) }, Files: system.Files,
				}
			})
		})
	}
}

func TestZammadPayloads(t *testing.T) {
	address, asked := answering(t, http.StatusOK, `{"id":7,"number":"31007","state":"closed","priority":"3 high","customer_id":9,"created_by_id":3,
		"created_at":"2026-03-02T12:00:00.123Z","f_key":"k","f_prio":"p2","tags":[]}`)
	d := fromYAML(t, "zammad", "url: "+address+"/\ntoken: h1dden\ngroup: SOC\nkey_field: f_key\npriority_field: f_prio\ncustomer: soc@acme.example\npriorities: { p4: 0 none }")
	f := whatIsSaid("k")
	f.Follows, f.Extra = "31006", map[string]string{"category": "network", "title": "no"}
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(desk.Case{
		Ref: "7", Number: "31007", Key: "k", State: incident.CaseResolved, Priority: incident.P2, Created: noon.Add(123 * time.Millisecond), URL: address + "/#ticket/zoom/7",
	}, c); diff != "" {
		t.Errorf("case (-want +got):\n%s", diff)
	}
	f.Priority, f.Title = incident.P4, strings.Repeat("Æ", 300)
	notes := []desk.Note{{Text: "one"}, {Text: "two\x1b", Public: true}, {Text: "three\nlines"}}
	if err := errors.Join(d.Update(t.Context(), "7", f, notes), d.Update(t.Context(), "7", whatIsSaid("k"), nil)); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("Æ", 249) + "…"
	want := `POST /api/v1/tickets?expand=true {"article":{"body":"Since 12:00\n<b>Ærø</b>","content_type":"text/plain","internal":false,"subject":"P2 acme: backend is inaccessible","type":"note"},` +
		`"category":"network","customer_id":"guess:soc@acme.example","f_key":"k","f_prio":"p2","group":"SOC","priority":"3 high","state":"new","tags":"k","title":"P2 acme: backend is inaccessible"}
POST /api/v1/links/add {"link_object_source":"Ticket","link_object_source_number":"31006","link_object_target":"Ticket","link_object_target_value":7,"link_type":"normal"}
PUT /api/v1/tickets/7?expand=true {"article":{"body":"two","content_type":"text/plain","internal":false,"subject":"` + long + `","type":"note"},"f_prio":"p4","priority":"0 none","title":"` + long + `"}
POST /api/v1/ticket_articles {"body":"one\n\nthree\nlines","content_type":"text/plain","internal":true,"subject":"` + long + `","ticket_id":7,"type":"note"}
PUT /api/v1/tickets/7?expand=true {"f_prio":"p2","priority":"3 high","title":"P2 acme: backend is inaccessible"}
`
	if diff := cmp.Diff(want, sentTo(t, *asked)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	for _, r := range *asked {
		if r.header.Get("Authorization") != "Token token=h1dden" {
			t.Errorf("headers %v", r.header)
		}
	}
}

func TestZammadReads(t *testing.T) {
	tests := []struct {
		name, ticket string
		state        incident.CaseState
		priority     incident.Priority
	}{
		{"two priorities of one name are not told apart", `"state":"new","priority":"3 high"`, incident.CaseNew, incident.NoPriority},
		{"but by the field", `"state":"new","priority":"3 high","f_prio":"p1"`, incident.CaseNew, incident.P1},
		{"Zammad's own counts where people changed it alone", `"state":"open","priority":"2 normal","f_prio":"p1"`, incident.CaseAcknowledged, incident.P3},
		{"a field with anything in it", `"state":"open","priority":"1 low","f_prio":"urgent"`, incident.CaseAcknowledged, incident.P4},
		{"an unknown priority", `"state":"Closed","priority":"9"`, incident.CaseResolved, incident.NoPriority},
		{"a field of another type", `"state":"pending reminder","priority":"1 low","f_prio":{"a":1}`, incident.CaseHeld, incident.P4},
		{"a second state of hold", `"state":"waits","priority":""`, incident.CaseHeld, incident.NoPriority},
		{"a state that nobody told of", `"state":"pending close","priority":"1 low"`, incident.CaseAcknowledged, incident.P4},
		{"merged", `"state":"merged","priority":"1 low"`, incident.CaseResolved, incident.P4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			address, _ := answering(t, http.StatusOK, `{"id":7,"created_at":"2026-03-02T12:00:00Z","tags":[],`+test.ticket+`}`)
			d := fromYAML(t, "zammad", "url: "+address+"\ntoken: t\ngroup: SOC\npriority_field: f_prio\nstates: { hold: [pending reminder, waits] }")
			c, err := d.Get(t.Context(), "7")
			if err != nil || c.State != test.state || c.Priority != test.priority || c.Number != "7" {
				t.Errorf("%+v, %v: want %s %s", c, err, test.state, test.priority)
			}
		})
	}
}

func TestZammadCases(t *testing.T) {
	system := systems.NewZammad(systems.ZammadOptions{Mails: true})
	d, _, _ := zammadDesk(t, system, "\nmails_customer: true")
	f := whatIsSaid("fc-one")
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if can := d.Capabilities(); !can.MailsCustomer || can.Lag != 0 {
		t.Errorf("capabilities %+v", can)
	}
	// A public note is mailed by a trigger, and takes nothing over: the ticket stays new.
	if err := d.Update(t.Context(), c.Ref, f, []desk.Note{{Text: "for all", Public: true}, {Text: "for us"}}); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Get(t.Context(), c.Ref); err != nil || got.State != incident.CaseNew {
		t.Errorf("after a public note: %+v, %v", got, err)
	}
	if mails := system.Mails(); !slices.Equal(mails, []string{"Since 12:00\n<b>Ærø</b>", "for all"}) {
		t.Errorf("mails %q", mails)
	}
	if err := errors.Join(d.Withdraw(t.Context(), c.Ref, "311"), d.Resolve(t.Context(), c.Ref, f, "again")); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Get(t.Context(), c.Ref); err != nil || got.State != incident.CaseWithdrawn {
		t.Errorf("withdrawn: %+v, %v", got, err)
	}
	if texts := system.Articles(c.Ref); len(texts) != 4 || texts[3] != "[Withdrawn by firstcall: a double of 311, which goes on.]" {
		t.Errorf("articles %q", texts)
	}
	f.Key, f.Follows = "fc-two", c.Number
	second, err := d.Open(t.Context(), f)
	if err != nil || len(system.Links()) != 1 || second.State != incident.CaseNew {
		t.Errorf("%+v %v, links %q", second, err, system.Links())
	}
	system.Merge(second.Ref)
	if cases, err := d.Find(t.Context(), "fc-two"); err != nil || len(cases) != 1 || cases[0].State != incident.CaseResolved {
		t.Errorf("a merged ticket: %+v, %v", cases, err)
	}
	f.Key, f.Follows, f.Customer.Email = "fc-three", "no such number", ""
	if _, err := d.Open(t.Context(), f); err == nil || errors.Is(err, desk.ErrUnknownOutcome) || !strings.Contains(err.Error(), "set customer") {
		t.Errorf("without a customer: %v", err)
	}
}

// An attribute that Zammad does not have is dropped without a word; the case is found all the same.
func TestZammadWithoutItsAttributes(t *testing.T) {
	system := systems.NewZammad(systems.ZammadOptions{})
	d, _, _ := zammadDesk(t, system, "\nkey_field: firstcall_key\npriority_field: firstcall_priority")
	c, err := d.Open(t.Context(), whatIsSaid("fc-one"))
	if err != nil || c.Key != "" {
		t.Fatalf("%+v, %v", c, err)
	}
	if cases, err := d.Find(t.Context(), "fc-one"); err != nil || len(cases) != 1 || cases[0].Key != "fc-one" || cases[0].Ref != c.Ref {
		t.Errorf("%+v, %v", cases, err)
	}
}

func TestZammadRefusals(t *testing.T) {
	system := systems.NewZammad(systems.ZammadOptions{})
	tests := []struct {
		name, more, want string
		prepare          func(on bool)
		unknown          bool
	}{
		{"a core workflow", "", "Missing required value for field 'category'", func(on bool) { system.Mandatory(map[bool]string{true: "category"}[on]) }, false},
		{"a group that is not there", "\ngroup: NOC", "No lookup value found for 'group'", nil, false},
		{"a priority that is not there", "\npriorities: { p2: urgent }", "No lookup value found for 'priority'", nil, false},
		{"another token", "\ntoken: h1dden", "check the credentials", nil, false},
		{"too many", "", "asks to wait: 3600", system.Limit, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.prepare != nil {
				test.prepare(true)
				defer test.prepare(false)
			}
			front := httptest.NewServer(system)
			defer front.Close()
			keys := system.YAML(front.URL)
			if name, _, ok := strings.Cut(strings.TrimSpace(test.more), ":"); ok { // in place of the one that is there
				lines := slices.DeleteFunc(strings.Split(keys, "\n"), func(line string) bool { return strings.HasPrefix(line, name+":") })
				keys = strings.Join(lines, "\n") + test.more
			}
			_, err := fromYAML(t, "zammad", keys).Open(t.Context(), whatIsSaid("fc-one"))
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, desk.ErrUnknownOutcome) != test.unknown || strings.Contains(err.Error(), "h1dden") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestZammadHistory(t *testing.T) {
	now := noon
	system := systems.NewZammad(systems.ZammadOptions{Now: func() time.Time { return now }})
	d, _, _ := zammadDesk(t, system, "")
	c, err := d.Open(t.Context(), whatIsSaid("fc-one"))
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		do   func()
		want []string
	}{
		{"take", func() { system.Take(c.Ref) }, []string{"Olga Operator acknowledged open"}},
		{"of the agent", func() { _ = d.Update(t.Context(), c.Ref, whatIsSaid("fc-one"), []desk.Note{{Text: "measured"}}) }, nil},
		{"hold", func() { system.Hold(c.Ref, "which server?") }, []string{"Olga Operator held pending reminder: which server?", "Olga Operator  which server?"}},
		{"the customer answers", func() { system.Answer(c.Ref, "app01") }, []string{"it@acme.example acknowledged ! open: app01", "it@acme.example  ! app01"}},
		{"merge", func() { system.Merge(c.Ref) }, []string{"Olga Operator resolved merged"}},
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
	checkFuzzedSteps(t, must(d.Transitions(t.Context(), c.Ref, time.Time{}))(t))
}

func TestZammadConfigurationFaults(t *testing.T) {
	good := "url: https://acme.zammad.com\ntoken: h1dden\ngroup: SOC"
	for name, test := range map[string]struct {
		keys string
		want []string
	}{
		"good":              {good, nil},
		"nothing":           {"name2: x", []string{"url", "token", "group"}},
		"a query":           {strings.Replace(good, ".com", ".com/?a=b", 1), []string{"has a query"}},
		"a token of two":    {strings.Replace(good, "h1dden", "'h1dden two'", 1), []string{"token"}},
		"no customer":       {good + "\ncustomer: ACME", []string{"is no e-mail address"}},
		"a label":           {good + "\nkey_field: Case key", []string{"is no name of an attribute"}},
		"Zammad's own":      {good + "\npriority_field: priority", []string{"attribute of Zammad's own"}},
		"one for both":      {good + "\nkey_field: a\npriority_field: a", []string{"is key_field as well"}},
		"states of a name":  {good + "\nstates: { hold: [Open] }", []string{"two of them have the same name"}},
		"lag and timeout":   {good + "\nlag: 2h\ntimeout: 2m", []string{"lag", "timeout"}},
		"an address of its": {strings.Replace(good, "https://acme.zammad.com", "acme", 1), []string{"no http or https address"}},
	} {
		t.Run(name, func(t *testing.T) { checkFaults(t, "zammad", test.keys, test.want...) })
	}
}

func FuzzZammadAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"id":7,"state":"new","created_at":"2026-03-02T12:00:00Z","tags":["k"]}`, `[{"id":7,"state":"new","created_at":"2026-03-02T12:00:00Z","f_key":"k"}]`,
		`{"history":[{"id":1,"object":"Ticket","type":"updated","attribute":"state","value_to":"open","created_by_id":4,"created_at":"2026-03-02T12:00:00Z"}]}`,
		`{"error":"x"}`, `null`, `[]`, "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := (&desk.Zammad{URL: "http://desk.example", Token: secret.New("t0k"), Group: "SOC", KeyField: "f_key"}).Build(
			desk.Env{Name: "desk-under-test", HTTP: &http.Client{Transport: canned(body)}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := d.Open(context.Background(), whatIsSaid("k"))
		checkFuzzedCase(t, c, err, "")
		cases, err := d.Find(context.Background(), "k")
		checkFuzzedCase(t, desk.Case{Ref: "-", Number: "-", State: incident.CaseNew}, err, "")
		for _, c := range cases {
			checkFuzzedCase(t, c, nil, "k")
		}
		steps, _ := d.Transitions(context.Background(), "7", time.Time{})
		checkFuzzedSteps(t, steps)
	})
}
