package fleet

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
)

// hanging is a database that never answers.
type hanging struct{}

func (hanging) Read(ctx context.Context, _ time.Time) (store.FleetView, error) {
	<-ctx.Done()
	return store.FleetView{}, ctx.Err()
}

// A database that takes a reading and never answers does not hold the wall: it says so, and is tried again.
func TestAReadingThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for refresh, want := range map[time.Duration]time.Duration{5 * time.Second: readFor, time.Minute: 3 * time.Minute} {
			f, err := New(t.Context(), Options{Reader: hanging{}, Refresh: refresh})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			err = f.Round(t.Context())
			if err == nil || !strings.Contains(err.Error(), "took longer than "+want.String()) || f.Wall().Err != err.Error() {
				t.Errorf("each %s: %v; the wall says %q", refresh, err, f.Wall().Err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("each %s: given up after %s", refresh, took)
			}
		}
		ctx, end := context.WithCancel(t.Context())
		end()
		f, err := New(t.Context(), Options{Reader: hanging{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Round(ctx); err == nil || strings.Contains(err.Error(), "took longer") {
			t.Errorf("at the end it says %v", err)
		}
	})
}
