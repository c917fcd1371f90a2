package agent

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// watchdog is an outside watchdog that counts heartbeats and answers what it is told.
func watchdog(t *testing.T) (url string, beats *atomic.Int32, status *atomic.Int32) {
	beats, status = new(atomic.Int32), new(atomic.Int32)
	status.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		beats.Add(1)
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(server.Close)
	return server.URL, beats, status
}

func TestHeartbeatIsGivenHeldBackAndGivenAgain(t *testing.T) {
	url, beats, status := watchdog(t)
	var why atomic.Value
	why.Store("")
	h := newHeartbeat(newClock(), quiet, func() string { return why.Load().(string) })
	set := &config.Heartbeat{URL: secret.New(url + "/ping/0123456789abcdef0123?key=hunter2"), Every: time.Hour}

	if last, _ := h.state(); !last.IsZero() {
		t.Error("a heartbeat is reported before the first")
	}
	if !h.beat(t.Context(), set) || beats.Load() != 1 {
		t.Errorf("the first heartbeat was not given (%d)", beats.Load())
	}
	last, reason := h.state()
	if last.IsZero() || reason != "" {
		t.Errorf("state %s, %q after an answered heartbeat", last, reason)
	}

	why.Store("the agent is blind")
	if h.beat(t.Context(), set) || beats.Load() != 1 {
		t.Error("a heartbeat was given although the agent is blind")
	}
	if _, reason := h.state(); reason != "held back: the agent is blind" {
		t.Errorf("reason %q", reason)
	}

	why.Store("")
	status.Store(http.StatusNotFound)
	if h.beat(t.Context(), set) {
		t.Error("an answer of 404 counts as given")
	}
	if _, reason := h.state(); !strings.Contains(reason, "404") {
		t.Errorf("reason %q; want the status", reason)
	}

	status.Store(http.StatusNoContent)
	if !h.beat(t.Context(), set) {
		t.Error("the heartbeat was not given again")
	}
}

func TestHeartbeatErrorsHoldNoSecret(t *testing.T) {
	h := newHeartbeat(newClock(), quiet, func() string { return "" })
	for _, url := range []string{
		"http://user:hunter2@127.0.0.1:1/ping/hunter2hunter2hunter2?key=hunter2", // refused
		"http://127.0.0.1:1/%zzhunter2",                                          // no address
	} {
		if h.beat(t.Context(), &config.Heartbeat{URL: secret.New(url), Every: time.Hour}) {
			t.Errorf("%s answered", url)
		}
		if _, reason := h.state(); reason == "" || strings.Contains(reason, "hunter2") {
			t.Errorf("the error of %s is %q", url, reason)
		}
	}
}

func TestHeartbeatFollowsAChangeOfConfiguration(t *testing.T) {
	url, beats, _ := watchdog(t)
	h := newHeartbeat(newClock(), quiet, func() string { return "" })
	ctx, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { h.run(ctx) })
	h.configure(&config.Heartbeat{URL: secret.New(url), Every: 10 * time.Millisecond})
	waitFor(t, "three heartbeats", func() bool { return beats.Load() >= 3 })
	h.configure(nil)
	waitFor(t, "silence", func() bool {
		before := beats.Load()
		<-time.After(100 * time.Millisecond)
		return beats.Load() == before
	})
	end()
	all.Wait()
}
