package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-cleanhttp"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/secret"
)

const (
	heartbeatTimeout = 10 * time.Second // of one call
	heartbeatRetry   = 5 * time.Second  // after a heartbeat that was held back or not answered
)

// heartbeat tells an outside watchdog, again and again, that the agent is alive and sees. It is silent while the agent cannot
// do its work: then the watchdog calls for help. It is safe for concurrent use.
type heartbeat struct {
	clock  *clock
	log    *slog.Logger
	client *http.Client
	silent func() string // why no heartbeat may be sent now; "" when it may
	change chan struct{}

	mu   sync.Mutex
	set  *config.Heartbeat // nil: none is configured
	last time.Time         // that was answered
	err  string            // of the newest one; "" when it was answered
}

func newHeartbeat(c *clock, log *slog.Logger, silent func() string) *heartbeat {
	client := cleanhttp.DefaultPooledClient()
	client.Timeout = heartbeatTimeout
	return &heartbeat{clock: c, log: log, client: client, silent: silent, change: make(chan struct{}, 1)}
}

// configure sets whom to call; nil: nobody.
func (h *heartbeat) configure(set *config.Heartbeat) {
	h.mu.Lock()
	h.set = set
	if set == nil {
		h.err = ""
	}
	h.mu.Unlock()
	select {
	case h.change <- struct{}{}:
	default:
	}
}

// run calls until ctx ends.
func (h *heartbeat) run(ctx context.Context) {
	defer h.client.CloseIdleConnections()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.change:
		case <-timer.C:
		}
		h.mu.Lock()
		set := h.set
		h.mu.Unlock()
		if set == nil {
			timer.Reset(time.Hour)
			continue
		}
		wait := set.Every
		if !h.beat(ctx, set) {
			wait = min(wait, heartbeatRetry)
		}
		timer.Reset(wait)
	}
}

// beat makes one call, unless the agent must be silent, keeps what came of it, and reports whether it was answered.
func (h *heartbeat) beat(ctx context.Context, set *config.Heartbeat) bool {
	err := h.call(ctx, set)
	if ctx.Err() != nil {
		return false
	}
	h.mu.Lock()
	before := h.err
	if err != nil {
		h.err = err.Error()
	} else {
		h.err, h.last = "", h.clock.Now()
	}
	now := h.err
	h.mu.Unlock()
	switch {
	case now != "" && now != before:
		h.log.Warn("the heartbeat to the outside watchdog was not given", "err", now)
	case now == "" && before != "":
		h.log.Info("the heartbeat to the outside watchdog is given again")
	}
	return err == nil
}

func (h *heartbeat) call(ctx context.Context, set *config.Heartbeat) error {
	if why := h.silent(); why != "" {
		return fmt.Errorf("held back: %s", why)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, set.URL.Reveal(), nil)
	if err != nil {
		return fmt.Errorf("heartbeat.url is no address that can be called: correct it in the configuration")
	}
	req.Header.Set("User-Agent", "firstcall")
	resp, err := h.client.Do(req)
	if err != nil {
		return fmt.Errorf("the watchdog did not answer: %w", secret.RedactError(err))
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the watchdog answered %d: check heartbeat.url", resp.StatusCode)
	}
	return nil
}

// state returns when a heartbeat was answered last and why the newest one was not.
func (h *heartbeat) state() (last time.Time, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last, h.err
}
