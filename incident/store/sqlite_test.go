package store_test

import (
	"path/filepath"
	"testing"

	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/incident/store/storetest"
)

func TestFile(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store {
		return open(t, "sqlite:"+filepath.Join(t.TempDir(), "a b#c?%41.db"))
	})
}

func TestModel(t *testing.T) {
	storetest.Model(t, open(t, "sqlite:"+filepath.Join(t.TempDir(), "firstcall.db")))
}

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return open(t, "sqlite::memory:") })
}

func open(t *testing.T, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
