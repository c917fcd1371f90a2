// Package history reads what was measured before, by this agent or by others, as results: for replay and for seeding baselines.
package history

import (
	"context"
	"fmt"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// Source is where results of the past are. A Source is immutable and may be used from several goroutines at once.
type Source interface {
	// Each calls fn with every result with from <= Start < to in the order in which they ended; a zero bound is none. It ends
	// with the first error of fn, which it returns as it is, and with ctx. Its other errors say what to do.
	Each(ctx context.Context, from, to time.Time, fn func(probes.Result) error) error
	// String returns a name fit to print: it holds no secret.
	String() string
}

// Store is an agent's own store, which may be in use by a running agent: it is opened for reading only.
type Store struct {
	URL    string   // as store.url
	Probes []string // ids; none: every probe
}

// String returns the store's address, without a password.
func (s Store) String() string { return store.Name(s.URL) }

// Each implements Source.
func (s Store) Each(ctx context.Context, from, to time.Time, fn func(probes.Result) error) error {
	opened, err := store.OpenReadOnly(ctx, s.URL)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }() // it was only read
	return opened.EachResult(ctx, s.Probes, from, to, fn)
}

// failed completes a result that failed, so that every text made of it says something.
func failed(r *probes.Result, reason probes.Reason) {
	r.Outcome, r.Reason = probes.Down, reason
	if reason == probes.None {
		r.Reason = probes.Timeout
		r.Detail = "recorded as failed"
		return
	}
	r.Detail = fmt.Sprintf("recorded as failed: %s", reason)
}

// As returns a source whose every result is of the probe with that id.
func As(s Source, probe string) Source { return renamed{s, probe} }

type renamed struct {
	Source
	probe string
}

// Each implements Source.
func (s renamed) Each(ctx context.Context, from, to time.Time, fn func(probes.Result) error) error {
	return s.Source.Each(ctx, from, to, func(r probes.Result) error {
		r.Probe = s.probe
		return fn(r)
	})
}
