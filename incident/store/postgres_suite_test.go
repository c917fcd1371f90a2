//go:build servers && linux

package store_test

import (
	"fmt"
	"testing"

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
		return open(t, fmt.Sprintf("%s?tenant=t%d", url, tenants))
	}
	storetest.Run(t, next)
	t.Run("model", func(t *testing.T) { storetest.Model(t, next(t)) })
}
