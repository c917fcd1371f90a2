package agent

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/config"
)

func TestTheSupervisorHearsNothingOfAnAgentThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told, alive atomic.Int32
		alive.Store(1)
		s := Supervisor{Watchdog: time.Minute, Tell: func(state string) {
			if state == "WATCHDOG=1" {
				told.Add(1)
			}
		}}
		ctx, end := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			s.watch(ctx, func() bool { return alive.Load() == 1 })
		}()
		time.Sleep(2*time.Minute + time.Second)
		if n := told.Load(); n != 5 {
			t.Errorf("%d signs of life in two minutes, want one at once and one every half of a minute", n)
		}
		alive.Store(0)
		time.Sleep(10 * time.Minute)
		if n := told.Load(); n != 5 {
			t.Errorf("%d signs of life of an agent that stands still", n-5)
		}
		alive.Store(1)
		time.Sleep(time.Minute)
		if n := told.Load(); n != 7 {
			t.Errorf("%d signs of life in a minute after it moved again, want 2", n-5)
		}
		end()
		<-over
	})
}

func TestTheSupervisorHearsOfStartReloadAndStop(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	site := newSite(t, backend, client)
	c, err := config.Load(site.file)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var told []string
	heard := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(told)
	}
	a, err := New(t.Context(), Options{Config: c, ConfigFile: site.file, Version: "test", Log: slog.New(slog.DiscardHandler), Supervisor: Supervisor{Tell: func(state string) {
		mu.Lock()
		defer mu.Unlock()
		first, rest, _ := strings.Cut(state, "\n")
		if first == "RELOADING=1" && !strings.HasPrefix(rest, "MONOTONIC_USEC=") {
			rest = "" // elsewhere than on Linux
		}
		told = append(told, first+" "+strings.TrimRight(rest, "0123456789\n"))
	}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	waitFor(t, "readiness", func() bool { return len(heard()) > 0 })
	if err := a.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	site.write(t, backend, client, "nonsense: true\n")
	if a.Reload(t.Context()) == nil {
		t.Error("nonsense is taken")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	want := []string{
		"READY=1 STATUS=watches acme with 2 probes",
		"RELOADING=1 MONOTONIC_USEC=", "READY=1 STATUS=watches acme with 2 probes",
		"RELOADING=1 MONOTONIC_USEC=", "READY=1 STATUS=watches acme with 2 probes; the new configuration is refused (see the log), the old one goes on",
		"STOPPING=1 STATUS=stops",
	}
	// The file is looked at too, so that a reload of nonsense may be heard of twice.
	if got := slices.Compact(heard()); len(got) < len(want) || !slices.Equal(got[:5], want[:5]) || got[len(got)-1] != want[5] {
		t.Errorf("it heard\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
