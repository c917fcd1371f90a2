package desk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// rtEntry is an entry of a history: who, second after noon, type, field, old and new value.
func rtEntry(id int, who string, second int, kind, field, from, to string) string {
	at := noon.Add(time.Duration(second) * time.Second).Format(time.RFC3339)
	return fmt.Sprintf(`{"Type":%q,"type":"transaction","id":"%d","Creator":{"id":%q,"type":"user"},"Created":%q,"Field":%q,"OldValue":%q,"NewValue":%q,"Data":"subject of %d\n"}`,
		kind, id, who, at, field, from, to, id)
}

const rtPart = `{"items":[{"id":"1","ContentType":"multipart/mixed","ContentLength":null,"Filename":""},` +
	`{"id":"2","ContentType":"text/plain","ContentLength":"%d","Filename":""}]}`

func TestRTTellsWhatPeopleDid(t *testing.T) {
	status := func(id int, who string, second int, from, to string) string {
		return rtEntry(id, who, second, "Status", "Status", from, to)
	}
	said := func(id int, who string, second int, kind string) string {
		return rtEntry(id, who, second, kind, "", "", "")
	}
	for _, c := range []struct {
		what, status, owner string
		rows                []string
		state               incident.CaseState
		want                []string
	}{
		{"nothing", "new", "Nobody", nil, "new", nil},
		{"taken", "new", "op", []string{rtEntry(2, "op", 1, "Take", "Owner", "6", "33"), rtEntry(3, "op", 1, "SetWatcher", "Owner", "6", "33")}, "acknowledged", []string{"op acknowledged "}},
		{"an owner from the start", "new", "op", nil, "new", nil},
		{"given by a scrip", "open", "op", []string{rtEntry(2, "RT_System", 1, "Give", "Owner", "6", "33"), status(3, "RT_System", 1, "new", "open")}, "new", nil},
		{"given back", "open", "Nobody", []string{rtEntry(2, "op", 1, "Set", "Owner", "33", "6")}, "new", nil},
		{"opened", "open", "Nobody", []string{status(2, "op", 1, "new", "open")}, "acknowledged", []string{"op acknowledged "}},
		{"opened by the agent's words", "open", "Nobody", []string{said(2, "fc-agent", 1, "Correspond"), status(3, "RT_System", 1, "new", "open")}, "new", nil},
		{"opened by the customer's words", "open", "Nobody", []string{said(2, "it@acme.example", 1, "Correspond"), status(3, "RT_System", 1, "new", "open")}, "new", []string{"it@acme.example  text (customer)"}},
		{"a stranger writes", "open", "Nobody", []string{said(2, "boss@acme.example", 1, "Correspond")}, "new", []string{"boss@acme.example  text (customer)"}},
		{"a colleague answers", "open", "Nobody", []string{said(2, "op", 1, "Correspond"), status(3, "RT_System", 1, "new", "open")}, "acknowledged", []string{"op acknowledged text"}},
		{"resolved by a rule", "resolved", "Nobody", []string{status(2, "RT_System", 9, "new", "resolved")}, "resolved", []string{"RT_System resolved "}},
		{"resolved by the agent, opened by the customer", "open", "Nobody", []string{
			status(2, "fc-agent", 9, "new", "resolved"), said(3, "it@acme.example", 20, "Correspond"), status(4, "RT_System", 20, "resolved", "open"),
		}, "new", []string{"it@acme.example  text (customer)", "it@acme.example new text"}},
		{"held, with the reason in a comment", "stalled", "Nobody", []string{said(2, "op", 1, "Comment"), status(3, "op", 2, "new", "stalled")}, "held", []string{"op  text", "op held text"}},
		{"held, with the reason in the field", "stalled", "Nobody", []string{
			rtEntry(2, "op", 1, "CustomField", "4", "", "which server?"), status(3, "op", 2, "new", "stalled"),
		}, "held", []string{"op held which server?"}},
		{"mended for now", "stalled", "Nobody", []string{
			status(2, "op", 1, "new", "stalled"), rtEntry(3, "op", 2, "CustomField", "6", "", "2026-03-02 10:00:00"), rtEntry(4, "fc-agent", 2, "CustomField", "6", "", "x"),
		}, "held", []string{"op held ", "op  temporarily rectified: FC-Rectified is 2026-03-02 10:00:00 (rectified)"}},
		{"the clock is set back", "open", "Nobody", []string{status(2, "op", 9, "new", "open"), said(3, "op", 1, "Comment")}, "acknowledged", []string{"op acknowledged ", "op  text"}},
		{"mail trouble is no news of a desk that does not mail", "new", "Nobody", []string{said(2, "RT_System", 1, "SystemError")}, "new", nil},
	} {
		rows := slices.Clone(c.rows)
		slices.Reverse(rows)
		d, _ := answeringRT(t, nil, map[string]string{
			"GET /ticket/7": rtShown(7, c.status, c.owner, "fc-1", "2", ""), "GET /ticket/7/history": items(rows...),
			"GET /user/op": `{"Name":"op","Privileged":1}`, "GET /user/boss@acme.example": `{"Privileged":0}`,
			"GET /transaction/2/attachments": fmt.Sprintf(rtPart, 4), "GET /transaction/3/attachments": fmt.Sprintf(rtPart, 4),
			"GET /attachment/2": `{"Content":"` + base64Text("> quoted\n\ntext\n") + `"}`,
		})
		checkTold(t, d, c.what, c.state, c.want)
	}
}

func checkTold(t *testing.T, d desk.Desk, what string, state incident.CaseState, want []string) {
	t.Helper()
	all, err := d.Transitions(t.Context(), "7", time.Time{})
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	var told []string
	for i, s := range all {
		line := fmt.Sprintf("%s %s %s", s.Actor, s.To, s.Text)
		if s.Customer {
			line += " (customer)"
		}
		if s.Rectified {
			line += " (rectified)"
		}
		told = append(told, line)
		if i > 0 && !s.At.After(all[i-1].At) {
			t.Errorf("%s: the times of %+v do not rise", what, all)
		}
		if rest, err := d.Transitions(t.Context(), "7", s.At); err != nil || len(rest) != len(all)-i-1 {
			t.Errorf("%s: since step %d: %+v, %v", what, i, rest, err)
		}
	}
	if !slices.Equal(told, want) {
		t.Errorf("%s: told %q, want %q", what, told, want)
	}
	if c, err := d.Get(t.Context(), "7"); err != nil || c.State != state {
		t.Errorf("%s: the case is %q, %v, want %q", what, c.State, err, state)
	}
}

func TestRTReadsNoHistoryWithoutAnEnd(t *testing.T) {
	var page []string
	for i := range 100 {
		page = append(page, rtEntry(i+1, "op", i, "Comment", "", "", ""))
	}
	d, rt := answeringRT(t, nil, map[string]string{
		"GET /ticket/7": rtShown(7, "new", "Nobody", "fc-1", "2", ""), "GET /ticket/7/history": items(page...), "GET /user/op": `{"Privileged":1}`,
	})
	all, err := d.Transitions(t.Context(), "7", time.Time{})
	if err != nil || len(all) != 100 {
		t.Errorf("%d steps, %v, want each of the 100 once", len(all), err)
	}
	if pages, users := len(rt.sent("GET", "/ticket/7/history")), len(rt.sent("GET", "/user/op")); pages != 20 || users != 1 {
		t.Errorf("%d pages, %d questions for one user", pages, users)
	}
	if n := len(rt.asked); n > 50 {
		t.Errorf("%d requests", n)
	}
}

func TestRTFetchesNoHugeText(t *testing.T) {
	d, rt := answeringRT(t, nil, map[string]string{
		"GET /ticket/7": rtShown(7, "new", "Nobody", "fc-1", "2", ""), "GET /ticket/7/history": items(rtEntry(2, "op", 1, "Comment", "", "", "")),
		"GET /user/op": `{}`, "GET /transaction/2/attachments": fmt.Sprintf(rtPart, 50<<20),
	})
	all, err := d.Transitions(t.Context(), "7", time.Time{})
	if err != nil || len(all) != 1 || all[0].Text != "subject of 2" || len(rt.sent("GET", "/attachment/2")) != 0 {
		t.Errorf("%+v, %v, want the subject", all, err)
	}
}

func TestRTRepeatsNoNote(t *testing.T) {
	note := strings.Replace(rtEntry(2, "fc-agent", 1, "Comment", "", "", ""), "subject of 2", "s (note 4)", 1)
	d, rt := answeringRT(t, nil, map[string]string{
		"GET /ticket/7": rtShown(7, "new", "Nobody", "fc-1", "2", ""), "GET /ticket/7/history": items(note), "POST /ticket/7/comment": `201 ["Comments added"]`,
	})
	f := desk.Fields{Key: "fc-1", Title: "s", Priority: incident.P2}
	if err := d.Update(t.Context(), "7", f, []desk.Note{{Seq: 4, At: noon, Text: "old"}, {Seq: 14, At: noon, Text: "new\x1b[31m"}}); err != nil {
		t.Fatal(err)
	}
	said := rt.sent("POST", "/ticket/7/comment")
	if want := `{"Subject":"s (note 14)","Content":"2026-03-02 12:00 UTC: new [31m","ContentType":"text/plain"}`; len(said) != 1 || string(said[0].body) != want {
		t.Errorf("said %s, want %s alone", said, want)
	}
}

// sameAnswer answers every request with the same.
type sameAnswer []byte

func (a sameAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	status := http.StatusOK
	if r.Method == http.MethodPost {
		status = http.StatusCreated
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a)), Request: r}, nil
}

func FuzzRTAnswers(f *testing.F) {
	for _, seed := range []string{
		rtShown(7, "open", "Nobody", "fc-1", "2", "urn:firstcall:fc-1"), items(rtShown(7, "open", "op", "fc-1", "9", "")), items(),
		items(rtEntry(2, "op", 1, "Status", "Status", "new", "stalled")), `["said"]`, `{"items":null}`, `{"items":[null]}`, `{"items":[{"id":"00"}]}`, `{"id":"1","Status":[]}`, "null", "",
		items(rtEntry(2, "RT_System", 1, "Status", "Status", "new", "open")), items(rtEntry(999999999999999999>>1, "x", 1, "Correspond", "", "", "")),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := &desk.RT{URL: "https://rt.example", Token: secret.New("1-14-abcdef"), Queue: "SOC", HoldReasonField: "FC-Hold-Reason", RectifiedField: "FC-Rectified", Timeout: time.Second}
		d, err := c.Build(desk.Env{Name: "rt", HTTP: &http.Client{Transport: sameAnswer(raw)}, Now: func() time.Time { return noon }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		found, err := d.Find(ctx, "fc-1")
		checkFuzzed(t, err, found...)
		for _, c := range found {
			if c.Key != "fc-1" {
				t.Errorf("found a case of another key: %+v", c)
			}
		}
		got, err := d.Get(ctx, "7")
		checkFuzzed(t, err, got)
		opened, err := d.Open(ctx, desk.Fields{Key: "fc-1", Priority: incident.P1})
		if err != nil && !errors.Is(err, desk.ErrUnknownOutcome) {
			t.Errorf("open: %v: a ticket may have been created", err)
		}
		checkFuzzed(t, err, opened)
		steps, err := d.Transitions(ctx, "7", time.Time{})
		checkFuzzed(t, err)
		for i, s := range steps {
			if s.Actor == "" || s.Actor == incident.ActorAgent || len(s.Text) > 4000 || i > 0 && !s.At.After(steps[i-1].At) {
				t.Errorf("step %d of %+v", i, steps)
			}
		}
		checkFuzzed(t, errors.Join(d.Update(ctx, "7", desk.Fields{Key: "fc-1", Priority: incident.P1}, []desk.Note{{Seq: 1}})))
	})
}

func checkFuzzed(t *testing.T, err error, cases ...desk.Case) {
	t.Helper()
	if err != nil {
		if text := err.Error(); !strings.Contains(text, `desk "rt"`) || len(text) > 3000 || strings.Contains(text, "abcdef") {
			t.Errorf("error %q", text)
		}
		return
	}
	for _, c := range cases {
		if c.Ref == "" || c.Number == "" || !strings.HasPrefix(c.URL, "https://rt.example/Ticket/Display.html?id=") || c.Created.IsZero() {
			t.Errorf("case %+v", c)
		}
	}
}
