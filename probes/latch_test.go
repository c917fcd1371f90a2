package probes_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

// board is what agents share in these tests; it may be away, or hang.
type board struct {
	mu      sync.Mutex
	reasons map[string]string
	away    error
	hangs   bool
	asked   int
}

func newBoard() *board { return &board{reasons: map[string]string{}} }

func (b *board) answers(ctx context.Context) error {
	b.mu.Lock()
	b.asked++
	hangs, away := b.hangs, b.away
	b.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return away
}

func (b *board) Latched(ctx context.Context, key string) (string, bool, error) {
	if err := b.answers(ctx); err != nil {
		return "", false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	reason, ok := b.reasons[key]
	return reason, ok, nil
}

func (b *board) Latch(ctx context.Context, key, reason string) error {
	if err := b.answers(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reasons[key] = reason
	if reason == "" {
		delete(b.reasons, key)
	}
	return nil
}

func (b *board) set(away error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

func TestLatches(t *testing.T) {
	memory, dir, shared := new(probes.MemoryLatch), t.TempDir()+"/new", newBoard()
	for name, views := range map[string][2]probes.Latch{
		"memory": {memory, memory},
		"file":   {probes.FileLatch(dir), probes.FileLatch(dir)},
		"shared": {probes.NewSharedLatch(shared, t.TempDir(), nil), probes.NewSharedLatch(shared, "/proc/none", nil)},
	} {
		t.Run(name, func(t *testing.T) { probetest.Latches(t, views[0], views[1]) })
	}
}

func latched(t *testing.T, l probes.Latch, key, want string, fails bool) {
	t.Helper()
	reason, ok, err := l.Latched(key)
	if reason != want || ok != (want != "") || (err != nil) != fails {
		t.Errorf("%s is %q, %v, %v; want %q, failing %t", key, reason, ok, err, want, fails)
	}
}

// TestSharedLatchAlone states what an agent knows while the others cannot be asked, and what they hear afterwards.
func TestSharedLatchAlone(t *testing.T) {
	for _, place := range []string{t.TempDir(), "/proc/none"} {
		t.Run(strings.TrimPrefix(place, "/"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBoard()
				var heard []error
				l := probes.NewSharedLatch(b, place, func(err error) { heard = append(heard, err) })
				if err := l.Latch("rdp-old", "refused before"); err != nil {
					t.Fatal(err)
				}
				latched(t, l, "rdp-old", "refused before", false)
				b.set(errors.New("away"))
				latched(t, l, "rdp-old", "refused before", false)
				latched(t, l, "rdp-new", "", true)
				if err := l.Latch("rdp-new", "refused meanwhile"); err != nil {
					t.Errorf("a refusal is not kept: %v", err)
				}
				latched(t, l, "rdp-new", "refused meanwhile", false)
				if err := l.Latch("rdp-old", ""); err == nil {
					t.Error("a reset that nobody hears is no error")
				}
				latched(t, l, "rdp-old", "", true)

				if place != "/proc/none" { // another process of this agent
					latched(t, probes.NewSharedLatch(b, place, nil), "rdp-new", "refused meanwhile", false)
				}
				b.set(nil)
				time.Sleep(11 * time.Second)
				latched(t, l, "rdp-new", "refused meanwhile", false)
				latched(t, l, "rdp-old", "", false)
				if b.reasons["rdp-new"] != "refused meanwhile" || len(b.reasons) != 1 {
					t.Errorf("the others know %v", b.reasons)
				}
				if left, _ := os.ReadDir(place); place != "/proc/none" && len(left) != 0 {
					t.Errorf("%d files stay", len(left))
				}
				if len(heard) != 2 || heard[0] == nil || heard[1] != nil {
					t.Errorf("it tells %v", heard)
				}
				b.reasons = map[string]string{} // somebody resets it
				latched(t, l, "rdp-new", "", false)
			})
		})
	}
}

// TestSharedLatchHanging states that a run does not wait for others again and again.
func TestSharedLatchHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		b.hangs = true
		l := probes.NewSharedLatch(b, t.TempDir(), nil)
		begun := time.Now()
		for range 5 {
			latched(t, l, "rdp-1", "", true)
			_ = l.Latch("rdp-1-try", "")
		}
		if took := time.Since(begun); took != 2*time.Second || b.asked != 1 {
			t.Errorf("five runs waited %s, and asked %d times", took, b.asked)
		}
	})
}

// TestSharedLatchTakesFilesOver states that what an earlier version kept in files is told to the others.
func TestSharedLatchTakesFilesOver(t *testing.T) {
	dir, b := t.TempDir(), newBoard()
	if err := probes.FileLatch(dir).Latch("rdp-1", "refused long ago"); err != nil {
		t.Fatal(err)
	}
	latched(t, probes.NewSharedLatch(b, dir, nil), "rdp-1", "refused long ago", false)
	if _, err := os.Stat(filepath.Join(dir, "rdp-1")); !errors.Is(err, os.ErrNotExist) || b.reasons["rdp-1"] == "" {
		t.Errorf("%v, the others know %v", err, b.reasons)
	}
}

// TestRecorderAside states that what is no matter of the target's counts nowhere.
func TestRecorderAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := probes.NewRecorder(t.Context())
		rec.Begin(probes.PhaseConnect)
		time.Sleep(time.Second)
		rec.Aside(func() { time.Sleep(time.Minute) })
		time.Sleep(time.Second)
		rec.End()
		rec.Aside(func() { time.Sleep(time.Minute) })
		r := rec.Up()
		if r.Duration != 2*time.Second || len(r.Phases) != 1 || r.Phases[0].Duration != 2*time.Second {
			t.Errorf("%s, %v", r.Duration, r.Phases)
		}
	})
}
