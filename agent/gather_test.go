package agent

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// gathered waits for the evidence of the one incident, and returns it.
func gathered(t *testing.T, a *Agent) (e incident.Evidence) {
	t.Helper()
	waitFor(t, "evidence", func() bool {
		all, err := a.store.Incidents(t.Context(), store.IncidentFilter{})
		if err != nil || len(all) != 1 {
			return false
		}
		e, err = a.store.Evidence(t.Context(), all[0].ID)
		return err == nil
	})
	return e
}

// noted counts how often a timeline tells of evidence.
func noted(t *testing.T, a *Agent, id string) (n int) {
	t.Helper()
	events, err := a.store.Timeline(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == incident.EventEvidence {
			n++
		}
	}
	return n
}

// An outage's evidence is in the store, the case, the page and the API, once, also over a restart.
func TestEvidenceOfAnOutage(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	a, stop := s.start(t, false)
	backend.broken.Store(true)
	e := gathered(t, a)
	for _, part := range []string{"- backend/http at ", "503", "last good at ", "- web-client: up", "Paths\n"} {
		if !strings.Contains(e.Text, part) {
			t.Errorf("the evidence lacks %q:\n%s", part, e.Text)
		}
	}
	waitFor(t, "the note in the case", func() bool {
		list := cases(t, a)
		if len(list) != 1 || list[0].Ref == "" {
			return false
		}
		kept, err := a.store.DeskCaseByKey(t.Context(), e.Incident)
		if err != nil {
			return false
		}
		for _, step := range kept.Log {
			if strings.Contains(step.Text, "web-client: up") {
				return true
			}
		}
		return false
	})
	if code, body := get(t, a.URL()+"incidents/"+e.Incident); code != http.StatusOK || !strings.Contains(body, "- web-client: up") {
		t.Errorf("the page answers %d without the evidence", code)
	}
	if code, body := get(t, a.URL()+"api/v1/incidents/"+e.Incident+"/evidence"); code != http.StatusOK || !strings.Contains(body, "web-client: up") {
		t.Errorf("the API answers %d: %s", code, body)
	}
	stop()
	again, _ := s.start(t, false)
	waitFor(t, "the incident to be looked at again", func() bool {
		backend.broken.Store(false)
		all, err := again.store.Incidents(t.Context(), store.IncidentFilter{Open: true})
		return err == nil && len(all) == 0
	})
	if n := noted(t, again, e.Incident); n != 1 {
		t.Errorf("the timeline tells %d times of the evidence", n)
	}
}

// An agent that only alerts gathers too.
func TestEvidenceInAlertOnlyMode(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	a, _ := newSite(t, backend, client).start(t, true)
	backend.broken.Store(true)
	if e := gathered(t, a); noted(t, a, e.Incident) != 1 {
		t.Error("the timeline does not tell of it")
	}
}

// The files of the newest failing result are held, those of good ones never, and none for ever.
func TestRecentHoldsFailingFiles(t *testing.T) {
	var r recent
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	add := func(after time.Duration, o probes.Outcome, files ...string) {
		result := probes.Result{Start: start.Add(after), Outcome: o}
		for _, name := range files {
			result.Attachments = append(result.Attachments, probes.Attachment{Name: name, Content: []byte("x")})
		}
		r.add(&result)
	}
	holds := func(want string) {
		t.Helper()
		var got []string
		for _, f := range r.failing() {
			got = append(got, f.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("it holds %q, want %q", got, want)
		}
		for _, result := range r.results("p") {
			if len(result.Attachments) > 0 {
				t.Error("a result for the page carries its files")
			}
		}
	}
	add(0, probes.Up, "good.png")
	holds("")
	add(time.Minute, probes.Down, "one.png")
	holds("one.png")
	add(2*time.Minute, probes.Down, "two.png", "two.har")
	holds("two.png two.har")
	add(3*time.Minute, probes.Down)
	add(4*time.Minute, probes.Up)
	holds("two.png two.har")
	add(13*time.Minute, probes.Up)
	holds("")
}
