package setup_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/firstcall-agent/firstcall/agent/setup"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/perfiontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is the longest answer of a survey in a test: what answers does so at once.
const patience = time.Minute

// site answers / with a redirect to /login, which has a title, /bare with a page without one, /closed with 401, and /away with a
// redirect to another host.
func site(t *testing.T, away string) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) })
	mux.HandleFunc("/login", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html><title>Perfion: \"Web\" Client</title>")
	})
	mux.HandleFunc("/spread", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html><title>\n  Perfion\n  Web\n</title>")
	})
	mux.HandleFunc("/bare", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "welcome") })
	mux.HandleFunc("/closed", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, away, http.StatusFound) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// TestSurvey asks real servers on loopback and states what comes of it.
func TestSurvey(t *testing.T) {
	web := site(t, "")
	elsewhere := strings.Replace(site(t, "").URL, "127.0.0.1", "localhost", 1) + "/login"
	other := site(t, elsewhere)
	api := perfiontest.Start(t, perfiontest.Options{})
	closed := probetest.Closed(t)
	witness := strings.TrimPrefix(web.URL, "http://")
	a := setup.Answers{
		Tenant:      "acme",
		URLs:        []string{web.URL + "/", web.URL + "/bare", web.URL + "/spread", web.URL + "/closed", other.URL + "/away"},
		PerfionAPIs: []string{api.URL},
		RDP:         []string{closed},
		Witnesses:   []string{closed, witness},
	}.Normal()
	if faults := a.Check(); len(faults) > 0 {
		t.Fatal(errors.Join(faults...))
	}
	var lock sync.Mutex
	steps, last, all := 0, 0, 0
	found, err := setup.Survey(t.Context(), a, setup.Options{Timeout: patience, Progress: func(done, of int) {
		lock.Lock()
		defer lock.Unlock()
		if done != last+1 {
			t.Errorf("%d comes after %d", done, last)
		}
		steps, last, all = steps+1, done, of
	}})
	if err != nil {
		t.Fatal(err)
	}
	if steps == 0 || last != all {
		t.Errorf("told %d times, at last %d of %d", steps, last, all)
	}
	rows := map[string]setup.Row{}
	for _, r := range setup.Table(a, found) {
		rows[r.Kind+" "+r.Target] = r
	}
	for target, want := range map[string]string{
		"http " + web.URL + "/":       "answers: status 200 OK, ends at " + web.URL + `/login, title "Perfion: \"Web\" Client"`,
		"http " + web.URL + "/closed": "answers wrongly: status 401 Unauthorized",
		"perfion " + api.URL:          "answers: Perfion ",
		"rdp " + closed:               "does not answer: " + closed + " refuses the connection",
		"tcp " + witness:              "answers: at " + witness,
		"tcp " + closed:               "does not answer: ",
	} {
		if got := rows[target].State + ": " + rows[target].Seen; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	plan := proposed(t, a, found)
	sound(t, plan.Text, plan.Secrets)
	for _, want := range []string{
		`expect: { status: [200], body: "Perfion: \"Web\" Client" }`,
		"add body: with a text that is always in it",
		"expect: { status: [401] }",
		"expect: { status: [302], headers: { Location: localhost } }",
		`address: "` + witness + `"` + "\n  # Left out, since it does not answer from here: " + closed + ".",
		"Seen: it did not answer: " + closed + " refuses the connection.",
	} {
		if !strings.Contains(plan.Text, want) {
			t.Errorf("%q is not in it", want)
		}
	}
	if strings.Contains(plan.Text, `body: "Perfion Web"`) {
		t.Error("a title that is not in the page as it stands is expected all the same")
	}
	for _, p := range sound(t, plan.Text, nil).AllProbes() { // what is proposed holds
		if p.Kind != "http" {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if r := p.Probe.Probe(ctx); r.Outcome != probes.Up {
			t.Errorf("%s: %s, %s", p.ID, r.Outcome, r.Detail)
		}
		cancel()
	}
}

// TestSurveyEnds states that a survey that is broken off ends, and says why.
func TestSurveyEnds(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	silent := probetest.Listen(t, probetest.Silence)
	first := make(chan struct{}, 100)
	go func() {
		<-first
		cancel(why)
	}()
	a := setup.Answers{Tenant: "acme", RDP: []string{silent}, Witnesses: []string{silent}}.Normal() // the witness answers: it only connects
	_, err := setup.Survey(ctx, a, setup.Options{Timeout: time.Hour, Progress: func(int, int) { first <- struct{}{} }})
	if !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
}
