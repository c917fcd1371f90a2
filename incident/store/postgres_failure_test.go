//go:build servers && linux

package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// insist repeats a write until the server takes it, as the agent does, and returns how often it failed.
func insist(ctx context.Context, t *testing.T, write func() error) (failures int) {
	for ctx.Err() == nil {
		err := write()
		if err == nil {
			return failures
		}
		failures++
		if !errors.Is(err, ErrAway) && !errors.Is(err, ErrStandby) && !errors.Is(err, ErrNotLeading) { // the last until the next beat
			t.Errorf("a server that is away: %v", err)
			return failures
		}
		select { // a server that comes up refuses at once
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	return failures
}

// TestPostgresKilled kills the server at any instant, under load, and starts it again: every step that was acknowledged is there, none
// twice, none by half, and results and roll-ups agree, though their newest may be lost.
func TestPostgresKilled(t *testing.T) {
	server := servers.StartPostgres(t)
	s := openURL(t, aTenant(server.Database(t, "firstcall")))
	ctx, cancel := context.WithCancel(t.Context())
	acknowledged, ended := make(chan int, 1), make(chan int)
	go func() {
		n := 0
		for ctx.Err() == nil {
			n++
			insist(context.Background(), t, func() error { return s.Commit(context.Background(), step(n)) })
			insist(context.Background(), t, func() error {
				return s.AppendResults(context.Background(), httpResults(n%3, 40, at.Add(time.Duration(n)*time.Second)))
			})
			insist(context.Background(), t, func() error {
				_, err := s.CreateDeskCase(context.Background(), incident.StoredCase{Key: fmt.Sprint("fc-", n), Created: at})
				return err
			})
			select {
			case acknowledged <- n:
			default:
			}
		}
		ended <- n
	}()
	kills := 5
	if testing.Short() {
		kills = 2
	}
	for range kills {
		<-acknowledged
		for range 1 + rand.IntN(5) {
			<-acknowledged
		}
		moment := time.NewTimer(time.Duration(rand.IntN(3000)) * time.Microsecond)
		<-moment.C
		server.Crash()
		server.Start()
	}
	<-acknowledged
	cancel()
	n := <-ended
	nothingTwice(t, s, n)
	t.Logf("%d steps over %d crashes", n, kills)
}

// nothingTwice checks what n steps left behind.
func nothingTwice(t *testing.T, s *Store, n int) {
	t.Helper()
	stored(t, s, n)
	for i := 1; i <= n; i++ {
		c, err := s.DeskCaseByKey(t.Context(), fmt.Sprint("fc-", i))
		if err != nil || c.Number != fmt.Sprintf("FC-2026-%06d", i) {
			t.Fatalf("case %d has number %s (%v)", i, c.Number, err)
		}
	}
	agree(t, s, 1)
	once := map[time.Time]bool{}
	err := s.EachResult(t.Context(), []string{"component-7/http"}, time.Time{}, time.Time{}, func(r probes.Result) error {
		if once[r.Start] {
			t.Errorf("the result of %s is there twice", r.Start)
		}
		once[r.Start] = true
		return nil
	})
	if err != nil || len(once) == 0 {
		t.Errorf("%d results, %v", len(once), err)
	}
}

// follow waits until the standby has what the primary has now.
func follow(t *testing.T, primary, standby *servers.Postgres) {
	t.Helper()
	at := primary.SQL(t, "postgres", "SELECT pg_current_wal_flush_lsn()")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for standby.SQL(t, "postgres", fmt.Sprintf("SELECT pg_last_wal_replay_lsn() >= '%s'", at)) != "t" {
		if ctx.Err() != nil {
			t.Fatal("the standby does not follow")
		}
	}
}

// TestPostgresFailover states that a standby is read and never written, and that a store goes on when it takes over.
func TestPostgresFailover(t *testing.T) {
	primary := servers.StartPostgres(t)
	database := primary.Database(t, "firstcall")
	standby := primary.Standby(t)
	alone := aTenant(strings.Replace(database, primary.Address, standby.Address, 1))
	both := strings.Replace(alone, standby.Address, standby.Address+","+primary.Address, 1)
	_, err := Open(t.Context(), alone, Options{})
	mention(t, err, ErrStandby, "name the primary")
	s := openURL(t, both)
	if err := errors.Join(s.Commit(t.Context(), step(1)), s.AppendResults(t.Context(), httpResults(0, 3, at))); err != nil {
		t.Fatal(err)
	}
	follow(t, primary, standby)
	reader, err := OpenReadOnly(t.Context(), alone)
	if err != nil {
		t.Fatal(err)
	}
	stored(t, reader, 1)
	if err := reader.Close(); err != nil {
		t.Error(err)
	}

	if err := s.Commit(t.Context(), step(2)); err != nil {
		t.Fatal(err)
	}
	follow(t, primary, standby)
	primary.Crash()
	err = s.Commit(t.Context(), step(3))
	if !errors.Is(err, ErrAway) && !errors.Is(err, ErrStandby) {
		t.Errorf("while nobody takes writes: %v", err)
	}
	standby.SQL(t, "postgres", "SELECT pg_promote()")
	if failures := insist(t.Context(), t, func() error { return s.Commit(t.Context(), step(3)) }); failures > 0 {
		t.Logf("%d attempts before the standby took over", failures)
	}
	stored(t, s, 3)
}
