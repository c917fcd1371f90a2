//go:build unix

package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// victimPath names the store that this test binary, started again, writes until it is killed.
const victimPath = "FIRSTCALL_STORE_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(victimPath); path != "" {
		work := victim
		if isPostgres(path) {
			work = oneOfSeveral
		}
		fmt.Fprintln(os.Stderr, work(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim writes step after step, says each one's number when it is acknowledged, and never ends by itself.
func victim(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, "sqlite:"+path, Options{RawRows: 100_000})
	if err != nil {
		return err
	}
	all, err := s.Incidents(ctx, IncidentFilter{Limit: 1})
	if err != nil {
		return err
	}
	next := 0
	if len(all) > 0 {
		if next, err = strconv.Atoi(strings.TrimPrefix(all[0].ID, "fc-")); err != nil {
			return err
		}
	}
	for n := max(next, 1); ; n++ {
		if n > next { // otherwise this step was begun before the kill
			if err := s.Commit(ctx, step(n)); err != nil {
				return err
			}
		}
		if err := s.AppendResults(ctx, httpResults(0, 40, at.Add(time.Duration(n)*time.Second))); err != nil {
			return err
		}
		if _, err := s.CreateDeskCase(ctx, incident.StoredCase{Key: fmt.Sprint("fc-", n), Created: at}); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// kill lets a victim run until it has acknowledged some steps and a moment longer, kills it, and returns the last step that it
// acknowledged.
func kill(t *testing.T, path string, steps int, moment time.Duration) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimPath+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if steps--; steps == 0 {
			time.AfterFunc(moment, func() { _ = cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the victim ended by itself: %v", err)
	}
	return last
}

// Killed at any instant, the store has every step that was acknowledged, none by half, and its roll-ups agree with its results.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "firstcall.db")
	kills := 50
	if testing.Short() {
		kills = 5
	}
	for range kills {
		last := kill(t, path, 1+rand.IntN(4), time.Duration(rand.IntN(3000))*time.Microsecond)
		s := openAt(t, path, Options{RawRows: 100_000})
		all, err := s.Incidents(t.Context(), IncidentFilter{Limit: 1_000_000})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) < last || len(all) > last+1 {
			t.Fatalf("%d steps are stored, %d were acknowledged", len(all), last)
		}
		for _, i := range all {
			if events, err := s.Timeline(t.Context(), i.ID, 0); err != nil || len(events) != 1 {
				t.Fatalf("%s has %d events (%v), want 1", i.ID, len(events), err)
			}
		}
		for n := 1; n <= last; n++ {
			c, err := s.DeskCaseByKey(t.Context(), fmt.Sprint("fc-", n))
			if err != nil || c.Number != fmt.Sprintf("FC-2026-%06d", n) {
				t.Fatalf("case %d has number %s (%v)", n, c.Number, err)
			}
		}
		agree(t, s, last)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// agree checks that a probe has at least that many results and that the roll-ups count the same.
func agree(t *testing.T, s *Store, least int) {
	t.Helper()
	results, err := s.Results(t.Context(), "component-7/http", time.Time{}, time.Time{}, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	hours, err := s.Rollups(t.Context(), "component-7/http", time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, h := range hours {
		sum += h.Counts[probes.Up]
	}
	if len(results) < least || int64(len(results)) != sum {
		t.Fatalf("%d results, %d in the roll-ups, at least %d were acknowledged", len(results), sum, least)
	}
}

// Another process is refused while this one has the store open.
func TestLockAgainstAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "firstcall.db")
	openAt(t, path, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), victimPath+"="+path)
	said, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("process %d", os.Getpid()); err == nil || !strings.Contains(string(said), want) {
		t.Errorf("the other process said %q (%v), want %q in it", said, err, want)
	}
}
