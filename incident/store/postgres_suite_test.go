//go:build servers && linux

package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/incident/store/storetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestPostgres states that PostgreSQL is a store as SQLite is, for every tenant of one database.
func TestPostgres(t *testing.T) {
	url := servers.StartPostgres(t).Database(t, "firstcall")
	tenants := 0
	next := func(t *testing.T) *store.Store {
		tenants++
		return beating(t, open(t, fmt.Sprintf("%s?tenant=t%d", url, tenants)))
	}
	storetest.Run(t, next)
	t.Run("model", func(t *testing.T) { storetest.Model(t, next(t)) })
}

// beating has the store's agent beat until the test ends.
func beating(t *testing.T, s *store.Store) *store.Store {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
				_, _ = s.Beat(ctx, store.Beat{Wants: true}) // a lead that is lost shows in the test
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s
}
