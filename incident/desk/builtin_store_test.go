package desk_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// The built-in desk keeps its promises on the real store too.
func TestBuiltinContractOnTheStore(t *testing.T) {
	desktest.Run(t, func(t *testing.T) desktest.Rig {
		s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "firstcall.db"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		live := func(key string) int {
			c, err := s.DeskCaseByKey(t.Context(), key)
			if err != nil || !c.State.Live() {
				return 0
			}
			return 1
		}
		d := builtin(t, s, time.Now)
		return desktest.Rig{Desk: d, Name: "soc", Live: live, People: operators{t, d}}
	})
}
