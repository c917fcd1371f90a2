package storetest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

func someEvidence(id string) incident.Evidence {
	return incident.Evidence{
		Incident: id, At: at(10, 0), Took: 3*time.Second + 1, Text: "the path ends at hop 2\n 1  10.0.0.1\n<b>æøå</b>", Left: []string{"large.har"},
		Files: []incident.EvidenceFile{
			{Name: "path.txt", Type: "text/plain", Content: []byte("path\n")},
			{Name: "screenshot.png", Type: "image/png", Content: bytes.Repeat([]byte{0, 0xff, 'x'}, 100_000)},
			{Name: "empty.txt", Type: "text/plain"},
		},
	}
}

// gathered evidence is kept once, with its event.
func gathered(t *testing.T, s *store.Store) {
	ctx := t.Context()
	e := someEvidence("fc-1")
	event := incident.Event{Incident: "fc-1", At: at(10, 0), Kind: incident.EventEvidence, Actor: incident.ActorAgent, Text: e.Text}
	if kept, err := s.SaveEvidence(ctx, e, event); kept || !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("of an incident that is not stored: kept %t, %v", kept, err)
	}
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 0), Incidents: []incident.Incident{openIncident("fc-1", at(10, 0)), openIncident("fc-2", at(10, 0))}}))
	if _, err := s.Evidence(ctx, "fc-1"); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("before anything is kept: %v", err)
	}
	var kept [4]bool
	var errs [4]error
	var all sync.WaitGroup
	for n := range kept { // at once, as two lives of an agent might
		all.Go(func() { kept[n], errs[n] = s.SaveEvidence(ctx, e, event) })
	}
	all.Wait()
	ok(t, errors.Join(errs[:]...))
	times := 0
	for _, k := range kept {
		if k {
			times++
		}
	}
	if n := len(must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", 0))); times != 1 || n != 1 {
		t.Errorf("kept %d times with %d events, want once with one", times, n)
	}
	other := e
	other.Text, other.Files = "another", nil
	if kept, err := s.SaveEvidence(ctx, other); kept || err != nil {
		t.Errorf("what is kept was replaced: %t, %v", kept, err)
	}
	want := someEvidence("fc-1")
	for n, f := range want.Files {
		want.Files[n].Size, want.Files[n].Content = len(f.Content), nil
		got := must[incident.EvidenceFile](t)(s.EvidenceFile(ctx, "fc-1", f.Name))
		if got.Type != f.Type || got.Size != len(f.Content) || !bytes.Equal(got.Content, f.Content) {
			t.Errorf("%s: %s, %d bytes, of which %d are there", f.Name, got.Type, got.Size, len(got.Content))
		}
	}
	same(t, "evidence", must[incident.Evidence](t)(s.Evidence(ctx, "fc-1")), want)
	for _, miss := range [][2]string{{"fc-1", "none.txt"}, {"fc-2", "path.txt"}, {"fc-3", "path.txt"}} {
		if _, err := s.EvidenceFile(ctx, miss[0], miss[1]); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("%v: %v", miss, err)
		}
	}
}

// gatheredBounds: what is over them is refused whole.
func gatheredBounds(t *testing.T, s *store.Store) {
	ctx := t.Context()
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 0), Incidents: []incident.Incident{openIncident("fc-1", at(10, 0))}}))
	many := make([]incident.EvidenceFile, incident.MaxEvidenceFiles+1)
	for n := range many {
		many[n].Name = strings.Repeat("a", n+1)
	}
	half := make([]byte, incident.MaxEvidenceBytes/2+1)
	for name, e := range map[string]incident.Evidence{
		"files":       {Incident: "fc-1", Files: many},
		"bytes":       {Incident: "fc-1", Files: []incident.EvidenceFile{{Name: "a", Content: half}, {Name: "b", Content: half}}},
		"text":        {Incident: "fc-1", Text: strings.Repeat("x", incident.MaxEvidenceText+1)},
		"name twice":  {Incident: "fc-1", Files: []incident.EvidenceFile{{Name: "a"}, {Name: "a"}}},
		"no name":     {Incident: "fc-1", Files: []incident.EvidenceFile{{}}},
		"no incident": {},
	} {
		if kept, err := s.SaveEvidence(ctx, e); kept || err == nil {
			t.Errorf("%s: kept %t, %v", name, kept, err)
		}
	}
	if kept, err := s.SaveEvidence(ctx, incident.Evidence{Incident: "fc-1", Files: many[:incident.MaxEvidenceFiles]}); !kept || err != nil {
		t.Errorf("at the bounds: kept %t, %v", kept, err)
	}
}

// gatheredRetention: it goes with its incident.
func gatheredRetention(t *testing.T, s *store.Store) {
	ctx := t.Context()
	old := at(10, 0)
	ok(t, s.Commit(ctx, store.Commit{At: old, Incidents: []incident.Incident{anIncident("old", old), openIncident("open", old)}}))
	for _, id := range []string{"old", "open"} {
		if kept, err := s.SaveEvidence(ctx, someEvidence(id)); !kept || err != nil {
			t.Fatalf("%s: kept %t, %v", id, kept, err)
		}
	}
	ok(t, s.Maintain(ctx, old.Add(399*24*time.Hour)))
	must[incident.EvidenceFile](t)(s.EvidenceFile(ctx, "old", "path.txt"))
	ok(t, s.Maintain(ctx, old.Add(401*24*time.Hour)))
	if _, err := s.Evidence(ctx, "old"); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("evidence of 401 days ago: %v", err)
	}
	must[incident.EvidenceFile](t)(s.EvidenceFile(ctx, "open", "path.txt"))
	ok(t, s.Commit(ctx, store.Commit{At: old, Incidents: []incident.Incident{anIncident("old", old)}})) // nothing of it is left behind
	if kept, err := s.SaveEvidence(ctx, someEvidence("old")); !kept || err != nil {
		t.Errorf("after retention: kept %t, %v", kept, err)
	}
}
