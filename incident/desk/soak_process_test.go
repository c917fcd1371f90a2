//go:build unix

package desk_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// soakProcess is one agent: a process that is started again whenever it was killed.
type soakProcess struct {
	h   *soakRun
	dir string

	mu  sync.Mutex
	cmd *exec.Cmd // nil while none runs
}

// agent returns agent n with its directory, its configuration and the system in front of it.
func (h *soakRun) agent(n int) *soakProcess {
	a := &soakProcess{h: h, dir: filepath.Join(h.t.TempDir(), fmt.Sprint("agent-", n))}
	h.agents = append(h.agents, a)
	keys := ""
	if h.o.System != nil {
		front := httptest.NewServer(a)
		h.t.Cleanup(front.Close)
		for line := range strings.Lines(h.o.System.YAML(front.URL)) {
			if !strings.HasPrefix(line, "timeout:") {
				keys += "    " + strings.TrimRight(line, "\n") + "\n"
			}
		}
		keys += fmt.Sprintf("    timeout: %s\n", h.o.Timeout)
	}
	story, err := json.Marshal(h.story)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.Mkdir(a.dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	for name, text := range map[string]string{
		"story.json": string(story),
		"firstcall.yaml": "tenant: { id: acme, contacts: { customer: { name: ACME IT, email: it@acme.example } } }\ncomponents: [{ name: web-client, probes: [{ kind: http, url: \"https://acme.example/\" }] }]\n" +
			"desks:\n  - name: soc\n    kind: " + h.o.Kind + "\n" + keys,
	} {
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	return a
}

// live starts the agent again and again until it ends by itself, which is when everything is settled.
func (a *soakProcess) live() {
	end := time.NewTimer(time.Until(a.h.story.Begin.Add(a.h.o.Within)))
	defer end.Stop()
	for a.once(end.C) {
	}
}

// once is one life, and reports whether another must follow.
func (a *soakProcess) once(end <-chan time.Time) bool {
	h := a.h
	log, err := os.OpenFile(filepath.Join(a.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Error(err)
		return false
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), soakDir+"="+a.dir)
	cmd.Stderr = log
	said, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Error(err)
		return false
	}
	if err := cmd.Start(); err != nil {
		h.t.Error(err)
		return false
	}
	a.runs(cmd)
	ended, up := make(chan error, 1), make(chan struct{}, 1)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if n, _ := said.Read(make([]byte, len(soakUp))); n > 0 {
			up <- struct{}{}
		}
		ended <- cmd.Wait()
	})
	defer waiting.Wait()
	blue := time.NewTimer(time.Hour)
	defer blue.Stop()
	for {
		select {
		case <-up: // a slow machine must not kill what has not begun
			if after, left := h.moment(); left {
				blue.Reset(after)
			}
		case <-blue.C:
			if h.spend() {
				a.kill()
			}
		case <-end:
			a.kill()
			if err := <-ended; err == nil {
				h.t.Log("it was about to end by itself")
			}
			h.t.Errorf("not settled within %s\n%s", h.o.Within, a.left())
			return false
		case err := <-ended:
			a.runs(nil)
			if err != nil && cmd.ProcessState.ExitCode() != -1 {
				h.t.Errorf("the agent failed: %v\n%s", err, a.tail())
				return false
			}
			return err != nil
		}
	}
}

func (a *soakProcess) runs(cmd *exec.Cmd) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cmd = cmd
}

// kill kills the agent (SIGKILL), if it runs.
func (a *soakProcess) kill() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cmd != nil {
		_ = a.cmd.Process.Kill()
	}
}

// ServeHTTP is the ticket system as this agent sees it.
func (a *soakProcess) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	work := func() *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		a.h.o.System.ServeHTTP(answer, r)
		a.h.watch(r)
		return answer
	}
	switch a.h.choose() {
	case soakDrop:
		work()
		panic(http.ErrAbortHandler)
	case soakHang:
		_, _ = io.Copy(io.Discard, r.Body) // or the server would not notice that the client went away
		<-r.Context().Done()
	case soakFailed:
		work()
		http.Error(w, "the disk is full", http.StatusInternalServerError)
	case soakRefused:
		http.Error(w, "the disk is full", http.StatusInternalServerError)
	case soakTooMany:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "slow down", http.StatusTooManyRequests)
	case soakCut:
		answer := work()
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()+10))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case soakInside:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, cmp.Or(a.h.o.Inside, `{"error": "the rules of this queue do not allow it"}`))
	case soakKillBefore:
		a.kill()
		panic(http.ErrAbortHandler)
	case soakKillAfter:
		work()
		a.kill()
		panic(http.ErrAbortHandler)
	default:
		a.h.o.System.ServeHTTP(w, r)
		a.h.watch(r)
	}
}

func (a *soakProcess) open() *store.Store {
	kept, err := store.OpenReadOnly(a.h.t.Context(), "sqlite:"+filepath.Join(a.dir, "firstcall.db"))
	if err != nil {
		a.h.t.Fatal(err)
	}
	a.h.t.Cleanup(func() { _ = kept.Close() })
	return kept
}

// check looks at what the agent itself keeps, and at what it wrote.
func (a *soakProcess) check() {
	t, kept := a.h.t, a.open()
	for n := range a.h.story.Incidents {
		cases, err := kept.Cases(t.Context(), a.h.story.id(n))
		if err != nil || len(cases) != 1 || !cases[0].Settled || cases[0].Number == "" || cases[0].State != incident.CaseResolved {
			t.Errorf("the store of %s has %+v (%v), want one settled, resolved case with its number", a.dir, cases, err)
		}
	}
	log, err := os.ReadFile(filepath.Join(a.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(filepath.Join(a.dir, "firstcall.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secretsIn(reflect.ValueOf(c.Desks[0].Builder)) {
		if strings.Contains(string(log), s) {
			t.Errorf("the log of %s holds a secret", a.dir) // and must not be printed here either
		}
	}
}

// left says what an agent that did not come to its end was still at.
func (a *soakProcess) left() string {
	kept := a.open()
	var b strings.Builder
	open, err := kept.Incidents(a.h.t.Context(), store.IncidentFilter{Unsettled: true, Limit: 5})
	fmt.Fprintf(&b, "%v\n", err)
	for _, i := range open {
		cases, err := kept.Cases(a.h.t.Context(), i.ID)
		fmt.Fprintf(&b, "%s: %+v %v\n", i.ID, cases, err)
	}
	return b.String() + a.tail()
}

// tail returns the end of what the agent wrote.
func (a *soakProcess) tail() string {
	log, err := os.ReadFile(filepath.Join(a.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-4000):])
}
