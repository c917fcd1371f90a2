package probes

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func newGuard(t *testing.T) guard {
	t.Helper()
	key := strings.ToLower(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, t.Name()))
	return guard{new(MemoryLatch), key[:min(len(key), 40)]}
}

var midday = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// tries begins an attempt that must be allowed, or must not.
func tries(t *testing.T, g guard, now time.Time, allowed bool) int {
	t.Helper()
	n, held := g.begin(now)
	if (held == nil) != allowed {
		t.Fatalf("at %s: held %+v, want allowed %v", now.Format("15:04"), held, allowed)
	}
	return n
}

func TestGuardLetsAGoodAccountPassAgainAndAgain(t *testing.T) {
	g := newGuard(t)
	for range 5 {
		tries(t, g, midday, true)
		g.accepted()
	}
	if n := len(g.latch.(*MemoryLatch).reasons); n != 0 {
		t.Errorf("%d records stay", n)
	}
}

func TestGuardRefusedIsForGoodUntilReset(t *testing.T) {
	g := newGuard(t)
	tries(t, g, midday, true)
	g.refused("refused: wrong")
	tries(t, g, midday.AddDate(1, 0, 0), false)
	if err := g.latch.Latch(g.key, ""); err != nil { // the operator
		t.Fatal(err)
	}
	tries(t, g, midday, true)
}

// A process that dies between naming the account and the answer has it rest, and not for ever.
func TestGuardRemembersAnAttemptInWhichTheProcessDied(t *testing.T) {
	g := newGuard(t)
	tries(t, g, midday, true)
	tries(t, g, midday.Add(59*time.Minute), false)
	if n := tries(t, g, midday.Add(61*time.Minute), true); n != 2 {
		t.Errorf("attempt %d", n)
	}
	tries(t, g, midday.Add(3*time.Hour), false) // the second one died too
	if reason, ok, _ := g.latch.Latched(g.key); !ok || !strings.Contains(reason, "2 log-ons ended without an answer") {
		t.Errorf("latched %q, %v", reason, ok)
	}
}

func TestGuardAllowsOneMoreAttemptAfterAnUnclearEnd(t *testing.T) {
	g := newGuard(t)
	n := tries(t, g, midday, true)
	if g.doubtful(n, false, midday) {
		t.Error("the first is the last")
	}
	tries(t, g, midday.Add(time.Minute), false)
	n = tries(t, g, midday.Add(2*time.Hour), true)
	if !g.doubtful(n, false, midday.Add(2*time.Hour)) {
		t.Error("the second is not the last")
	}
	tries(t, g, midday.Add(100*time.Hour), false)
}

func TestGuardForgetsAnUnclearEndOnceTheAccountIsAccepted(t *testing.T) {
	g := newGuard(t)
	for i := range 4 {
		now := midday.Add(time.Duration(i) * 2 * time.Hour)
		if g.doubtful(tries(t, g, now, true), false, now) {
			t.Error("latched")
		}
		tries(t, g, now.Add(90*time.Minute), true)
		g.accepted()
	}
}

func TestGuardSilenceNeverLatchesAndRestsOnlyAnUnprovenAccount(t *testing.T) {
	g := newGuard(t)
	for i := range 4 {
		now := midday.Add(time.Duration(i) * 2 * time.Hour)
		g.doubtful(tries(t, g, now, true), true, now)
		if _, held := g.begin(now); held == nil || !held.silent {
			t.Errorf("held %+v", held)
		}
	}
	tries(t, g, midday.Add(24*time.Hour), true)
	g.accepted()
	for range 4 {
		g.doubtful(tries(t, g, midday, true), true, midday)
	}
	tries(t, g, midday, true)
	g.interrupted()
	tries(t, g, midday, true)
}

// A clock that was far ahead when the record was made does not keep the account for ever.
func TestGuardRecordOfTheFutureEnds(t *testing.T) {
	g := newGuard(t)
	tries(t, g, midday.AddDate(5, 0, 0), true)
	tries(t, g, midday, true)
}

func TestGuardRecordThatCannotBeReadHolds(t *testing.T) {
	g := newGuard(t)
	if err := g.latch.Latch(g.key+"-try", "what is this"); err != nil {
		t.Fatal(err)
	}
	tries(t, g, midday, false)
}

type brokenLatch struct{ MemoryLatch }

func (*brokenLatch) Latch(string, string) error { return errors.New("disk full") }

func TestGuardTriesNothingThatItCannotRemember(t *testing.T) {
	g := newGuard(t)
	g.latch = new(brokenLatch)
	tries(t, g, midday, false)
}

func TestGuardTurnsEndWithTheContext(t *testing.T) {
	g := newGuard(t)
	end, ok := g.turn(t.Context())
	if !ok {
		t.Fatal("no first turn")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := g.turn(ctx); ok {
		t.Error("two turns at once")
	}
	end()
	if end, ok = g.turn(t.Context()); !ok {
		t.Fatal("no turn after the first")
	}
	end()
}

func TestGuardKeysDependOnAccountAndSecret(t *testing.T) {
	seen := map[string]string{}
	for _, c := range [][4]string{{"probe", "ACME", "", "s"}, {"probe", "ACME", "", "t"}, {"probe", "OTHER", "", "s"}, {"probe", "", "h1", "s"}, {"probe", "", "h2", "s"}} {
		key, err := guardKey("rdp", c[0], c[1], c[2], []byte(c[3]))
		if err != nil {
			t.Fatal(err)
		}
		if before, twice := seen[key]; twice {
			t.Errorf("%v has the key of %s", c, before)
		}
		seen[key] = strings.Join(c[:], " ")
		if _, err := FileLatch(t.TempDir()).path(key + "-try"); err != nil {
			t.Error(err)
		}
	}
	upper, err := guardKey("rdp", "PROBE", "acme", "", []byte("s"))
	if err != nil || seen[upper] == "" {
		t.Errorf("letters' case makes another account: %v", err)
	}
}

func TestFileLatchTakesNoOtherKeys(t *testing.T) {
	if _, ok, _ := FileLatch(t.TempDir()).Latched("../etc/passwd"); !ok {
		t.Error("a key that is none is not latched")
	}
	if err := FileLatch(t.TempDir()).Latch("a/b", "x"); err == nil {
		t.Error("a key that is none is recorded")
	}
}

// others records an attempt of another process.
func others(t *testing.T, g guard, how string, at time.Time) {
	t.Helper()
	if err := g.latch.Latch(g.key+"-try", doubt{1, how, at, "another"}.String()); err != nil {
		t.Fatal(err)
	}
}

// Two agents that try an account for the first time do so one after the other; one that was accepted is not kept waiting.
func TestGuardOfSeveralAgents(t *testing.T) {
	g := newGuard(t)
	others(t, g, doubtOpen, midday)
	if _, held := g.begin(midday.Add(time.Second)); held == nil || !held.resting || !strings.Contains(held.why, "another agent") {
		t.Errorf("held %+v while another agent tries the account for the first time", held)
	}
	if _, held := g.begin(midday.Add(30 * time.Minute)); held == nil || !strings.Contains(held.why, "was interrupted") {
		t.Errorf("held %+v after another agent died", held)
	}
	others(t, g, doubtAgain, midday)
	if n := tries(t, g, midday.Add(time.Second), true); n != 1 {
		t.Errorf("attempt %d beside an agent that was accepted before", n)
	}
	g.accepted()
	others(t, g, doubtOpen, midday)
	tries(t, g, midday.Add(time.Second), true)
	if text, _, _ := g.latch.Latched(g.key + "-try"); !strings.HasPrefix(text, "1 again 2026-11-25T12:00:01Z ") {
		t.Errorf("an account that was accepted before is tried as %q", text)
	}
	others(t, g, doubtClosed, midday)
	tries(t, g, midday.Add(time.Second), false) // it may have counted
}

// A record of before, without who made it, holds as it did.
func TestGuardReadsRecordsOfBefore(t *testing.T) {
	g := newGuard(t)
	if err := g.latch.Latch(g.key+"-try", "1 open 2026-11-25T12:00:00Z"); err != nil {
		t.Fatal(err)
	}
	tries(t, g, midday.Add(time.Minute), false)
	if n := tries(t, g, midday.Add(2*time.Hour), true); n != 2 {
		t.Errorf("attempt %d", n)
	}
}

type deafLatch struct{ MemoryLatch }

func (*deafLatch) Latched(string) (string, bool, error) {
	return "", false, errors.New("nobody answers")
}

// While the others cannot be asked, only an account that was accepted is tried.
func TestGuardWithoutTheOthers(t *testing.T) {
	g := newGuard(t)
	g.latch = new(deafLatch)
	if _, held := g.begin(midday); held == nil || !held.resting || !strings.Contains(held.why, "nobody answers") {
		t.Errorf("held %+v", held)
	}
	g.accepted()
	tries(t, g, midday, true)
}

func BenchmarkGuardKey(b *testing.B) {
	for b.Loop() {
		if _, err := guardKey("rdp", "probe", "ACME", "", []byte("s")); err != nil {
			b.Fatal(err)
		}
	}
}
