package desk_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// rtAnswers answers as Request Tracker does, by "METHOD /path" below /REST/2.0, without the query; what is not there is 404.
type rtAnswers struct {
	mu     sync.Mutex
	bodies map[string]string // "201 BODY" for another status than 200
	tag    string            // of tickets
	asked  []request
}

func (a *rtAnswers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	raw, _ := io.ReadAll(r.Body)
	a.asked = append(a.asked, request{r.Method, r.URL.String(), r.Header, raw})
	body, ok := a.bodies[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/REST/2.0")]
	status := http.StatusOK
	switch {
	case !ok:
		status, body = http.StatusNotFound, `{"message":"Not Found"}`
	case strings.HasPrefix(body, "201 "):
		status, body = http.StatusCreated, body[4:]
	}
	if a.tag != "" {
		w.Header().Set("ETag", a.tag)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// sent returns the requests with that method and path.
func (a *rtAnswers) sent(method, path string) []request {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []request
	for _, r := range a.asked {
		if p, _, _ := strings.Cut(r.url, "?"); r.method == method && p == "/REST/2.0"+path {
			all = append(all, r)
		}
	}
	return all
}

// answeringRT returns a desk at such answers.
func answeringRT(t *testing.T, change func(*desk.RT), bodies map[string]string) (desk.Desk, *rtAnswers) {
	t.Helper()
	answers := &rtAnswers{bodies: bodies}
	server := httptest.NewServer(answers)
	t.Cleanup(server.Close)
	c := &desk.RT{
		URL: server.URL + "/", Token: secret.New("1-14-abcdef"), Queue: "SOC", KeyField: "FC-Key", PriorityField: "FC-Priority",
		HoldReasonField: "FC-Hold-Reason", BreakStartedField: "FC-Break-Started", RectifiedField: "FC-Rectified",
	}
	if change != nil {
		change(c)
	}
	if faults := c.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	d, err := c.Build(desk.Env{Name: "rt", Tenant: "acme", Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return d, answers
}

// rtShown is a ticket as Request Tracker shows it.
func rtShown(id int, status, owner, key, priority, link string) string {
	return fmt.Sprintf(`{"type":"ticket","Type":"ticket","id":%d,"Subject":"s","Status":%q,"Created":"2026-03-02T12:00:0%dZ",
		"Owner":{"id":%q,"type":"user"},"Creator":{"id":"fc-agent"},"Requestor":[{"id":"it@acme.example"}],
		"CustomFields":[{"id":"2","name":"FC-Key","values":[%q]},{"id":"3","name":"FC-Priority","values":[%q]},{"id":"4","name":"FC-Hold-Reason","values":[]},
		{"id":"6","name":"FC-Rectified","values":[]},{"id":"9","name":"Photo","values":[{"filename":"a.png"}]}],
		"_hyperlinks":[{"ref":"self","id":1},{"ref":"refers-to","type":"external","_url":%q}]}`, id, status, id%10, owner, key, priority, link)
}

func items(all ...string) string {
	return `{"count":1,"total":null,"items":[` + strings.Join(all, ",") + `]}`
}

func TestRTSaysWhatIsWrongWithItsConfiguration(t *testing.T) {
	good := desk.RT{URL: "https://rt.example", Token: secret.New("1-14-abc"), Queue: "SOC", HoldStates: []string{"stalled"}, ResolvedStates: []string{"resolved"}}
	for path, change := range map[string]func(*desk.RT){
		"":                func(*desk.RT) {},
		"url":             func(c *desk.RT) { c.URL = "https://rt.example/REST/2.0/" },
		"token":           func(c *desk.RT) { c.Token = secret.New("a\nb") },
		"queue":           func(c *desk.RT) { c.Queue = "SOC/1" },
		"key_field":       func(c *desk.RT) { c.KeyField = "CF.{FC-Key}" },
		"rectified_field": func(c *desk.RT) { c.RectifiedField = "it's" },
		"hold_states":     func(c *desk.RT) { c.HoldStates = []string{"stalled", " "} },
		"resolved_states": func(c *desk.RT) { c.ResolvedStates = []string{"resolved", "Stalled"} },
		"withdrawn_state": func(c *desk.RT) { c.WithdrawnState = "stalled" },
		"open_state":      func(c *desk.RT) { c.OpenState = "resolved" },
		"mails_customer":  func(c *desk.RT) { c.MailsCustomer = true },
		"timeout":         func(c *desk.RT) { c.Timeout = time.Hour },
	} {
		c := good
		change(&c)
		faults := c.Validate()
		if path == "" && len(faults) > 0 || path != "" && (len(faults) != 1 || faults[0].Path != path) {
			t.Errorf("%q: faults %v", path, faults)
		}
	}
}

func TestRTCreatesATicket(t *testing.T) {
	d, rt := answeringRT(t, func(c *desk.RT) { c.CustomerRequestor = true }, map[string]string{
		"POST /ticket": `201 {"type":"ticket","id":"7"}`,
		"GET /tickets": items(rtShown(7, "new", "Nobody", "fc-1", "2", "")),
	})
	c, err := d.Open(t.Context(), desk.Fields{
		Key: "fc-1", Title: "P2 acme:\nbackend", Body: "one\ntwo", Priority: incident.P2, Follows: "5", Customer: incident.Contact{Email: "it@acme.example"},
		Incident: incident.Incident{Started: noon}, Extra: map[string]string{"CF.{Site}": "x", "Floor": "2", "Due": "tomorrow", "Queue": "other", "CF.{FC-Key}": "no"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := desk.Case{Ref: "7", Number: "7", Key: "fc-1", State: incident.CaseNew, Priority: incident.P2, Created: noon.Add(7 * time.Second)}
	base := c.URL
	if c.URL = ""; !strings.HasSuffix(base, "/Ticket/Display.html?id=7") || strings.Contains(base, "//Ticket") {
		t.Errorf("address %q", base)
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("case (-want +got):\n%s", diff)
	}
	created := rt.sent("POST", "/ticket")
	var got map[string]any
	if err := json.Unmarshal(created[0].body, &got); err != nil || len(created) != 1 {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{
		"Queue": "SOC", "Subject": "P2 acme: backend", "Content": "one\ntwo", "ContentType": "text/plain", "Due": "tomorrow",
		"Requestor": []any{"it@acme.example"}, "RefersTo": []any{"urn:firstcall:fc-1", "5"},
		"CustomFields": map[string]any{
			"FC-Key": "fc-1", "FC-Priority": "2", "FC-Break-Started": "2026-03-02 12:00:00 +0000", "Site": "x", "Floor": "2", "Queue": "other",
		},
	}, got); diff != "" {
		t.Errorf("create (-want +got):\n%s", diff)
	}
	if h := created[0].header; h.Get("Authorization") != "token 1-14-abcdef" || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
}

func TestRTSearchesForTheKeyAlone(t *testing.T) {
	key := `a'b\c" OR`
	urn := "urn:firstcall:" + key
	d, rt := answeringRT(t, nil, map[string]string{
		"GET /tickets": items(
			rtShown(9, "resolved", "Nobody", key, "", ""), rtShown(8, "open", "Nobody", "", "4 - Low", urn), rtShown(2, "rejected", "Nobody", "", "", urn),
			rtShown(3, "rejected", "Nobody", key, "P1", ""), rtShown(4, "new", "Nobody", key+"d", "", urn), rtShown(5, "new", "Nobody", "", "", urn+"d"),
			rtShown(9, "resolved", "Nobody", key, "", "")),
		"GET /ticket/8/history": items(),
	})
	found, err := d.Find(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range found {
		got = append(got, fmt.Sprintf("%s %s %s %t", c.Ref, c.State, c.Priority, c.Key == key))
	}
	// 2 was withdrawn by the agent, 3 was rejected by people; 8 is a double whose key was refused
	if want := []string{"3 resolved P1 true", "8 new P4 true", "9 resolved - true"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	asked, err := http.NewRequest(http.MethodGet, rt.sent("GET", "/tickets")[0].url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if q, want := asked.URL.Query().Get("query"), `'CF.{FC-Key}' = 'a\'b\\c" OR' OR RefersTo = 'urn:firstcall:a\'b\\c" OR'`; q != want {
		t.Errorf("searched for %s, want %s", q, want)
	}
}

func TestRTFindsNothingOnlyWhereItCouldBe(t *testing.T) {
	for _, c := range []struct{ queue, want string }{
		{`{"Name":"SOC","TicketCustomFields":[{"name":"FC-Key"},{"name":"FC-Priority"}]}`, ""},
		{`{"Name":"SOC","TicketCustomFields":[{"name":"FC-Key"}]}`, `no custom field "FC-Priority"`},
		{`{"Name":"SOC"}`, `no custom field "FC-Key"`},
		{`[]`, "did not answer as Request Tracker 5 does"},
		{"", `there is no queue "SOC"`},
	} {
		bodies := map[string]string{"GET /tickets": items()}
		if c.queue != "" {
			bodies["GET /queue/SOC"] = c.queue
		}
		d, _ := answeringRT(t, nil, bodies)
		found, err := d.Find(t.Context(), "fc-1")
		if len(found) != 0 || c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("queue %s: %v, %v, want %q", c.queue, found, err, c.want)
		}
	}
}

// A proxy that compresses writes into the entity tag.
func TestRTChangesOnlyWhatDiffers(t *testing.T) {
	for tag, want := range map[string]string{`"46"`: `"46"`, `"46-gzip"`: `"46"`, `W/"46"`: `"46"`, `"abc"`: "", "": ""} {
		d, rt := answeringRT(t, nil, map[string]string{
			"GET /ticket/7": rtShown(7, "new", "Nobody", "fc-1", "2", ""), "PUT /ticket/7": `["FC-Priority 2 changed to 1", null, {}]`,
		})
		rt.tag = tag
		err := d.Update(t.Context(), "7", desk.Fields{Key: "fc-1", Title: "s", Priority: incident.P1}, nil)
		if err == nil || !strings.Contains(err.Error(), "FC-Priority holds P2 where P1 was written") || errors.Is(err, desk.ErrUnknownOutcome) {
			t.Errorf("update: %v, want that the priority is not what was written", err)
		}
		if err := d.Update(t.Context(), "7", desk.Fields{Key: "fc-1", Title: "s", Priority: incident.P2}, nil); err != nil {
			t.Error(err)
		}
		put := rt.sent("PUT", "/ticket/7")
		if len(put) != 1 || put[0].header.Get("If-Match") != want || string(put[0].body) != `{"CustomFields":{"FC-Priority":"1"}}` {
			t.Errorf("tag %s: %v, want one change of the priority with If-Match %s", tag, put, want)
		}
	}
}

// Request Tracker answers 201 and 200 to a status that its lifecycle does not have.
func TestRTBelievesNoStatusThatItDoesNotReadBack(t *testing.T) {
	d, rt := answeringRT(t, nil, map[string]string{
		"GET /ticket/7": rtShown(7, "new", "Nobody", "fc-1", "2", ""), "POST /ticket/7/comment": `201 ["Comments added","Status 'resolved' isn't a valid status"]`,
		"PUT /ticket/7": `["Ticket 7: Permission Denied"]`,
	})
	f := desk.Fields{Key: "fc-1", Title: "s", Priority: incident.P2}
	for what, err := range map[string]error{"resolve": d.Resolve(t.Context(), "7", f, "over"), "withdraw": d.Withdraw(t.Context(), "7", "5")} {
		if err == nil || !strings.Contains(err.Error(), "Permission Denied") {
			t.Errorf("%s: %v, want what Request Tracker said", what, err)
		}
	}
	if n := len(rt.sent("POST", "/ticket/7/comment")); n != 2 {
		t.Errorf("%d comments, want one each", n)
	}
}

func TestRTFollowsAMergedTicket(t *testing.T) {
	d, rt := answeringRT(t, nil, map[string]string{
		"GET /ticket/7": rtShown(9, "stalled", "Nobody", "fc-other", "4", ""), "GET /ticket/7/history": items(), "POST /ticket/7/comment": `201 ["Comments added"]`,
	})
	f := desk.Fields{Key: "fc-1", Title: "P1", Priority: incident.P1}
	c, err := d.Get(t.Context(), "7")
	if err != nil || c.Ref != "7" || c.Number != "9" || c.State != incident.CaseHeld {
		t.Errorf("case %+v, %v, want that of ticket 9", c, err)
	}
	err = errors.Join(d.Update(t.Context(), "7", f, []desk.Note{{Seq: 1, At: noon, Text: "note"}}), d.Resolve(t.Context(), "7", f, "over"))
	if err != nil || len(rt.sent("PUT", "/ticket/7")) != 0 || len(rt.sent("POST", "/ticket/7/comment")) != 1 {
		t.Errorf("%v; %d changes, %d comments: want the note alone, the ticket is another incident's", err, len(rt.sent("PUT", "/ticket/7")), len(rt.sent("POST", "/ticket/7/comment")))
	}
}

func base64Text(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) + "\\n" }
