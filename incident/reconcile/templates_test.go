package reconcile

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/engine"
)

// ownDesk is a desk with every text its own.
var ownDesk = Desk{
	Name: "soc",
	Templates: Templates{
		Title:   `[{{upper .TenantID}}] {{.Problem | cut 12}} {{.Number}}`,
		Body:    "Runbook: https://wiki.example/{{.Root}}\n\n{{template \"case.body\" .}}",
		Note:    `{{.Key}}: {{template "case.note" .}}`,
		Closing: "{{.Problem}} for {{.Gross}}{{if .Held}}, {{.Held}} of it on hold{{end}}; {{join \" / \" .HoldsOf}}",
	},
	Fields: map[string]string{
		"category": `{{if eq .Class "capacity"}}capacity{{else}}incident{{end}}`,
		"major":    `{{if eq .Priority "P1"}}yes{{end}}`,
		"since":    `{{.Times.Started.Format "2006-01-02T15:04:05Z07:00"}}`,
	},
}

func TestOwnTexts(t *testing.T) {
	if faults := CheckTexts(ownDesk.Templates, ownDesk.Fields); len(faults) > 0 {
		t.Fatalf("faults %+v", faults)
	}
	w := exampleWriter(t, "da").at(ownDesk)
	i, s := exampleIncident(), exampleStory(incident.NoticeResolved)
	f := w.fields(i, incident.Case{}, incident.P1, nil, exampleView())
	if want := map[string]string{"category": "incident", "major": "yes", "since": "2026-11-23T10:59:54Z"}; cmp.Diff(want, f.Extra) != "" {
		t.Errorf("fields (-want +got):\n%s", cmp.Diff(want, f.Extra))
	}
	note := w.note(i, s.theCase, incident.Event{At: noon, Kind: incident.EventRaised, Text: "to P1"}, engine.View{})
	golden(t, "case/own.txt", f.Title+"\n\n"+f.Body+"\n"+note+"\n\n"+w.closing(s.incident, s.theCase, "", s.view))
	if f = w.fields(i, incident.Case{}, incident.P2, nil, exampleView()); f.Extra["category"] != "incident" || len(f.Extra) != 2 {
		t.Errorf("an empty field must be left out: %v", f.Extra)
	}
}

// Without templates, and for each part that has none, the texts are the agent's own to the byte.
func TestPartsWithoutTemplateStayAsTheyAre(t *testing.T) {
	plain := exampleWriter(t, "en")
	own := plain.at(Desk{Name: "soc", Templates: Templates{Title: "x"}})
	i, s := exampleIncident(), exampleStory(incident.NoticeResolved)
	a, b := plain.fields(i, s.theCase, i.Priority, nil, s.view), own.fields(i, s.theCase, i.Priority, nil, s.view)
	e := incident.Event{At: noon, Kind: incident.EventRaised, Text: "to P1"}
	if a.Title == b.Title || a.Body != b.Body || plain.note(i, s.theCase, e, s.view) != own.note(i, s.theCase, e, s.view) ||
		plain.closing(s.incident, s.theCase, "", s.view) != own.closing(s.incident, s.theCase, "", s.view) {
		t.Error("one template changes another text")
	}
	if want := "2026-11-23 12:00:00 CET (2026-11-23 11:00:00 UTC) raised: to P1"; plain.note(i, s.theCase, e, s.view) != want {
		t.Errorf("note %q", plain.note(i, s.theCase, e, s.view))
	}
}

func TestTextsThatFailGiveWayAndAreLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	w := exampleWriter(t, "en")
	w.log = slog.New(slog.NewTextHandler(&log, nil))
	plain := w.fields(exampleIncident(), incident.Case{}, incident.P2, nil, engine.View{})
	own := w.at(Desk{Name: "soc", Templates: Templates{Title: "{{if .Open}}{{end}}", Body: "{{index .Evidence 7}}", Note: "{{.Text", Closing: "{{.Nope}}"}, Fields: map[string]string{"f": "{{index .Detail 9}}"}})
	for range 3 {
		f := own.fields(exampleIncident(), incident.Case{}, incident.P2, nil, engine.View{})
		if f.Title != plain.Title || f.Body != plain.Body || len(f.Extra) > 0 {
			t.Errorf("title %q, fields %v, body\n%s", f.Title, f.Extra, f.Body)
		}
		if own.closing(exampleStory(incident.NoticeResolved).incident, incident.Case{}, "", engine.View{}) == "" {
			t.Error("no closing")
		}
	}
	for text, want := range map[string]int{"templates.title": 1, "templates.body": 1, "templates.closing": 1, "fields.f": 1, "template=note": 1, "level=ERROR": 5, "desk=soc": 5} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", text, got, want, log.String())
		}
	}
}

func TestOwnTextsAreBounded(t *testing.T) {
	long := `{{range .Detail}}{{printf "%0900000d" 1}}{{end}}æøå{{range .Detail}}{{printf "%0900000d" 1}}{{end}}`
	w := exampleWriter(t, "en").at(Desk{Templates: Templates{Title: long, Body: "æ" + long, Note: long, Closing: long}, Fields: map[string]string{"f": "ø" + long}})
	i, s := exampleIncident(), exampleStory(incident.NoticeResolved)
	f := w.fields(i, incident.Case{}, incident.P2, nil, engine.View{})
	for what, got := range map[string]struct {
		text string
		most int
	}{
		"title": {f.Title, maxTitle}, "body": {f.Body, maxBody}, "note": {w.note(i, incident.Case{}, incident.Event{}, engine.View{}), maxBody},
		"closing": {w.closing(s.incident, s.theCase, "", s.view), maxBody}, "field": {f.Extra["f"], maxField},
	} {
		if len(got.text) > got.most || len(got.text) < got.most/2 || !utf8.ValidString(got.text) {
			t.Errorf("%s has %d bytes, at most %d", what, len(got.text), got.most)
		}
	}
	if strings.Contains(f.Title, "\n") {
		t.Errorf("title %q", f.Title)
	}
}

// A template that never ends, or would fill the memory, ends with an error that says where, soon; the texts of the agent that it
// uses are counted too, and stay as they are for others.
func TestTextsThatNeverEnd(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a long loop":                {`{{range 1000000000000}}{{end}}x`, "line 1, column 24: the template goes round more than 20000 times"},
		"loops within loops":         {"x\n{{range 1000}}{{range 1000}}{{if true}}{{range 1000}}{{end}}{{end}}{{end}}{{end}}", "goes round more than"},
		"a loop in another case":     {`{{if .Open}}x{{else}}{{range 1000000000000}}{{end}}{{end}}`, "goes round more than"},
		"a template that calls two":  {`{{define "x"}}{{if .}}{{template "x" slice . 1}}{{template "x" slice . 1}}{{end}}{{end}}x{{template "x" .Why}}`, "goes round more than"},
		"a template that calls none": {`{{define "x"}}{{template "x" .}}{{end}}{{template "x" .}}`, "goes round more than"},
		"a text that doubles":        {`{{$x := .Why}}{{range 60}}{{$x = printf "%s%s" $x $x}}{{end}}{{$x}}`, "error calling printf: the texts grow too long"},
		"a list that is joined":      {`{{$x := .Why}}{{range 60}}{{$x = print $x $x}}{{end}}{{$x}}`, "error calling print: the texts grow too long"},
		"printf without a format":    {`{{printf}}`, "wrong number of args"},
	} {
		t.Run(name, func(t *testing.T) {
			faults := CheckTexts(Templates{Body: c.text}, nil)
			if len(faults) != 1 || !strings.Contains(faults[0].Message, c.want) || strings.Contains(faults[0].Message, stepFunc) {
				t.Errorf("%+v, want %q", faults, c.want)
			}
		})
	}
	good := Templates{Body: `{{range .Detail}}{{range 100}}.{{end}}{{printf "%.10s" .}}{{end}}{{template "case.body" .}}{{template "case.body" .}}`}
	if faults := CheckTexts(good, nil); len(faults) > 0 {
		t.Errorf("%+v", faults)
	}
	if text := caseBase.Lookup("case.body").Root.String(); strings.Contains(text, stepFunc) {
		t.Error("the agent's own template is changed")
	}
}

func TestCutIsInCharacters(t *testing.T) {
	for _, c := range []struct {
		limit      int
		text, want string
	}{{5, "ærø", "ærø"}, {3, "ærø", "ærø"}, {5, "ærøskøbing", "ær..."}, {2, "ærø", ".."}, {0, "x", ""}, {-1, "x", "x"}} {
		if got := cutRunes(c.limit, c.text); got != c.want {
			t.Errorf("cut %d %q is %q, want %q", c.limit, c.text, got, c.want)
		}
	}
}

func TestACaseSaysWhichOneItFollows(t *testing.T) {
	w, i := exampleWriter(t, "en"), exampleIncident()
	c := incident.Case{Incident: i.ID, Round: 1, Earlier: []incident.EarlierCase{{Number: "SOC-1"}, {Number: "SOC-2"}}}
	f := w.fields(i, c, i.Priority, nil, engine.View{})
	if !strings.Contains(f.Body, "\nFollows case SOC-2, which was resolved while the fault was still measured.\n") || f.Follows != "SOC-2" || f.Key != c.Key() ||
		!strings.Contains(f.Body, "\nCase key: "+c.Key()+"\n") {
		t.Errorf("follows %q, key %q:\n%s", f.Follows, f.Key, f.Body)
	}
}

// Every name that templates see is told of, and every sample can be written with the agent's own texts.
func TestNamesAndSamples(t *testing.T) {
	for _, n := range TextNames() {
		if !strings.HasSuffix(n.Doc, ".") {
			t.Errorf("%s: the doc tag %q is not a sentence", n.Name, n.Doc)
		}
	}
	for _, s := range samples() {
		texts := Render(sampleOptions, Desk{Name: "soc"}, s, s.into)
		if texts.Title == "" || texts.Body == "" || texts.Note == "" || (texts.Closing == "") != s.Incident.Open() || strings.Contains(texts.Body+texts.Closing, "<no value>") {
			t.Errorf("%s: %+v", s.name, texts)
		}
	}
}

// Each desk gets its own texts, and its own fields when the case is opened.
func TestEachDeskItsOwnTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		second := &fakeDesk{can: desk.Capabilities{DedupeOnCreate: true, ReadBack: true}}
		own := ownDesk
		own.Name, own.Desk = "second", second
		w.o.Desks = append(w.o.Desks, own)
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(5 * time.Second)
		w.raise(i, incident.P1)
		w.wait(20 * time.Second)
		i.Priority, i.Highest = incident.P1, incident.P1
		w.recover(i)
		w.wait(time.Minute)
		w.stop()
		a, b := w.soc.only(t), second.only(t)
		if a.title != "P1 acme: web-client is inaccessible" || b.title != "[ACME] web-clien... SOC-1" {
			t.Errorf("titles %q and %q", a.title, b.title)
		}
		if strings.HasPrefix(a.body, "Runbook") || !strings.HasPrefix(b.body, "Runbook: https://wiki.example/web-client\n\n2 Urgent") {
			t.Errorf("bodies\n%s\nand\n%s", a.body, b.body)
		}
		if strings.HasPrefix(a.notes[0].Text, i.ID) || !strings.HasPrefix(b.notes[0].Text, i.ID+": 2000-") {
			t.Errorf("notes %q and %q", a.notes[0].Text, b.notes[0].Text)
		}
		if !strings.HasPrefix(a.closing, "Rectified") || !strings.HasPrefix(b.closing, "web-client is inaccessible for ") {
			t.Errorf("closings %q and %q", a.closing, b.closing)
		}
		if a.extra != nil || b.extra["category"] != "incident" {
			t.Errorf("fields %v and %v", a.extra, b.extra)
		}
	})
}
