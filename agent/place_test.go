package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// A role that ends takes its steps with it, also those that hang in a store which does not answer; results go on to the next place,
// each once.
func TestStepsEndWithTheRoleAndResultsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j, next := newCourt(), testJob("p", time.Second, up), &disk{}
		c.run(t, func() {
			c.disk.breaks(nil, 7*time.Second) // it answers late, with success
			c.hand(j, probes.Down, "before")
			<-time.After(3 * time.Second)
			if _, err := c.cede(place{state: next, results: next}); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
			c.hand(j, probes.Down, "while it follows")
			<-time.After(time.Minute)
			if commits, _ := next.holds(); commits != 0 || len(next.vantage) == 0 {
				t.Errorf("%d steps of a follower were committed, and its own state was saved %d times", commits, len(next.vantage))
			}
			if err := c.lead(place{state: next, results: next, judges: true}, nil, nil); err != nil {
				t.Fatal(err)
			}
			c.hand(j, probes.Down, "after")
			<-time.After(10 * time.Second)
		})
		for _, commit := range next.commits {
			for _, i := range commit.Incidents {
				if i.ID != "p after" {
					t.Errorf("step %q was committed in a later role", i.ID)
				}
			}
		}
		if got := len(c.disk.results) + len(next.results); got != 3 {
			t.Errorf("%d results are stored, want 3", got)
		}
		if steps, results := c.writer.waiting(); steps+results != 0 {
			t.Errorf("%d steps and %d results wait", steps, results)
		}
	})
}

// A write that the store refuses since another leads is no failure of the store, and is not repeated.
func TestARefusedWriteTellsThatAnotherLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j := newCourt(), testJob("p", time.Second, up)
		refused := 0
		c.writer.refused = func() {
			refused++
			go func() { // as the member does, in its own time
				_, _ = c.cede(place{state: &disk{}, results: &disk{}})
			}()
		}
		c.run(t, func() {
			c.disk.breaks(store.ErrNotLeading, 0)
			c.hand(j, probes.Down, "decided by one that leads no more")
			<-time.After(time.Minute)
			if reason, _ := c.writer.failure(); reason != "" || refused != 1 {
				t.Errorf("failure %q, refused %d times", reason, refused)
			}
		})
		if len(c.disk.commits) != 0 {
			t.Error("it was stored")
		}
	})
}

// TestTheStartWithoutTheDatabaseIsToldOnce states that the log says once that the database does not answer, not again for each that needs it, and that another
// failure of the store is told.
func TestTheStartWithoutTheDatabaseIsToldOnce(t *testing.T) {
	s := newSite(t, newTarget(t), newTarget(t))
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file, []byte(strings.Replace(string(text), "sqlite:"+filepath.Join(s.dir, "firstcall.db"), "postgres://acme@127.0.0.1:1/firstcall", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Options{Config: c, Version: "test", AlertOnly: true, NoPage: true, Log: slog.New(slog.NewTextHandler(&s.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	if h := a.Health(); h.StoreAway == "" {
		t.Error("the page does not say that the database is away")
	}
	a.member.reach(t.Context())
	a.member.opened <- <-a.member.opened
	a.member.reach(t.Context())
	write := func(l lane, err error) {
		_ = a.writer.write(l, a.writer.moved, func(context.Context) error { return err }, nil)
	}
	write(incidents, away{}.Commit(t.Context(), store.Commit{}))
	write(results, away{}.AppendResults(t.Context(), nil))
	write(results, nil)
	if log := s.log.String(); strings.Count(log, "the database does not answer: this agent") != 1 || !strings.Contains(log, "starts without it") || strings.Contains(log, "the store ") {
		t.Error(log)
	}
	write(incidents, errors.New("no space left"))
	write(incidents, nil)
	if log := s.log.String(); !strings.Contains(log, "no space left") || !strings.Contains(log, "the store is written again") {
		t.Error(log)
	}
}
