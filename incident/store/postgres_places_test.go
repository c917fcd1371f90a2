//go:build servers && linux

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sync/errgroup"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// places states that each agent of a vantage has a place of its own, and that one that is free is taken with what was known there.
func places(t *testing.T, _ *servers.Postgres, database string) {
	url := aTenant(database)
	names := make([]string, 5)
	all := make([]*Store, len(names))
	var group errgroup.Group
	for n := range all { // at once
		group.Go(func() (err error) {
			if all[n], err = Open(t.Context(), url, Options{Vantage: "weu"}); err == nil {
				names[n] = all[n].pg.place.Load().name
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b *Store) int { return strings.Compare(a.pg.place.Load().name, b.pg.place.Load().name) })
	slices.Sort(names)
	if !slices.Equal(names, []string{"weu", "weu#2", "weu#3", "weu#4", "weu#5"}) {
		t.Fatalf("places %v", names)
	}
	if err := all[0].SaveVantage(t.Context(), []byte("first"), map[string][]byte{"a": {1}}, map[string]int{"a": 5}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(all[1].SaveVantage(t.Context(), []byte("second"), map[string][]byte{"a": {2}}, nil), all[1].AppendResults(t.Context(), httpResults(0, 3, at)), all[1].Close()); err != nil {
		t.Fatal(err)
	}
	next := openSilent(t, url, "weu")
	state, baselines, err := next.VantageState(t.Context())
	if name := next.pg.place.Load().name; name != "weu#2" || err != nil || string(state) != "second" || baselines["a"][0] != 2 {
		t.Errorf("%s begins with %q, %v (%v)", name, state, baselines, err)
	}
	if results, err := next.Results(t.Context(), "component-1/http", time.Time{}, time.Time{}, 0); err != nil || len(results) != 1 {
		t.Errorf("%d results were inherited (%v)", len(results), err)
	}
	sixth := openSilent(t, url, "weu") // a new one begins with what is normal at the first
	state, baselines, err = sixth.VantageState(t.Context())
	seeds, seeded := sixth.Seeds(t.Context())
	if err != nil || seeded != nil || state != nil || len(baselines) != 1 || baselines["a"][0] != 1 || seeds["a"] != 5 {
		t.Errorf("a new place begins with %q, %v, %v (%v, %v)", state, baselines, seeds, err, seeded)
	}
	if other := openSilent(t, url, "dk"); other.pg.place.Load().name != "dk" {
		t.Error("another vantage has another name")
	}
	for n, s := range all {
		if n != 1 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for _, bad := range []string{"weu#2", "a\nb", strings.Repeat("x", 101), "\xff"} {
		if _, err := Open(t.Context(), url, Options{Vantage: bad}); err == nil || !strings.Contains(err.Error(), "vantage") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// placeTaken states that an agent whose place was taken, since it was frozen, notices at its next write or beat and takes another.
func placeTaken(t *testing.T, _ *servers.Postgres, database string) {
	for what, next := range map[string]func(s *Store) error{
		"write": func(s *Store) error { return s.AppendResults(t.Context(), httpResults(0, 3, at)) },
		"beat":  func(s *Store) error { _, err := s.Beat(t.Context(), Beat{Wants: true}); return err },
	} {
		url := aTenant(database)
		old := openSilent(t, url, "weu")
		if err := old.AppendResults(t.Context(), httpResults(0, 3, at)); err != nil {
			t.Fatal(err)
		}
		asTenant(t, url, "UPDATE voters SET beat = beat - interval '16 seconds'")
		fresh := openSilent(t, url, "weu")
		if name := fresh.pg.place.Load().name; name != "weu" {
			t.Errorf("the place of a frozen agent stays its own: %s", name)
		}
		failures := insist(t.Context(), t, func() error { return next(old) }) // its sessions were ended
		r := beat(t, old, Beat{})
		if r.Self != "weu#2" || failures > 2 {
			t.Errorf("%s: the agent of before has the place %s, after %d failures", what, r.Self, failures)
		}
		mention(t, old.Commit(t.Context(), step(1)), ErrNotLeading)
		if err := old.AppendResults(t.Context(), httpResults(1, 1, at)); err != nil {
			t.Error(err)
		}
		for s, want := range map[*Store]int{fresh: 1, old: map[string]int{"write": 2, "beat": 1}[what]} {
			if all, err := s.Results(t.Context(), "component-1/http", time.Time{}, time.Time{}, 0); err != nil || len(all) != want {
				t.Errorf("%s: %d results under %s, want %d (%v)", what, len(all), s.pg.place.Load().name, want, err)
			}
		}
	}
}

// placeOfTheDead states that an agent that was killed has its place again when it is started again, at once.
func placeOfTheDead(t *testing.T, _ *servers.Postgres, database string) {
	url := aTenant(database)
	dead := openSilent(t, url, "weu")
	_, _ = dead.pg.beater.Close(), dead.writer.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	role := role(t, database)
	for sessions := 1; sessions > 0; { // until the server knows it, too
		if err := role.QueryRowContext(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '"+dead.pg.session+"%'").Scan(&sessions); err != nil {
			t.Fatal(err)
		}
	}
	next := openSilent(t, url, "weu")
	if name := next.pg.place.Load().name; name != "weu" {
		t.Errorf("it has the place %s", name)
	}
	mention(t, next.Commit(t.Context(), step(1)), ErrNotLeading) // what led before may do so at a desk until its lead ends
}

// answerLostPlaceTaken states the same for results, when another agent has taken the place since.
func answerLostPlaceTaken(t *testing.T, server *servers.Postgres, database string) {
	for _, forward := range []bool{true, false} {
		url := aTenant(database)
		p := startCutter(t, server.Address)
		old := openSilent(t, strings.Replace(url, server.Address, p.address, 1), "weu")
		p.cut(forward, 1_000_000)
		result := make(chan error, 1)
		go func() { result <- old.AppendResults(context.Background(), httpResults(0, 3, at)) }()
		<-p.refused
		asTenant(t, url, "UPDATE voters SET beat = beat - interval '16 seconds'")
		fresh := openSilent(t, url, "weu")
		if err := fresh.AppendResults(t.Context(), httpResults(5, 3, at)); err != nil {
			t.Fatal(err)
		}
		p.cut(false, 0)
		p.mu.Lock()
		p.armed = false
		p.mu.Unlock()
		if err := <-result; (err == nil) != forward {
			t.Errorf("COMMIT forwarded %t: %v", forward, err)
		}
		want := map[bool]int{true: 1, false: 0}[forward]
		if all, err := fresh.Results(t.Context(), "component-1/http", time.Time{}, time.Time{}, 0); err != nil || len(all) != want {
			t.Errorf("COMMIT forwarded %t: %d results (%v)", forward, len(all), err)
		}
		insist(t.Context(), t, func() error { return old.AppendResults(t.Context(), httpResults(0, 3, at)) })
		if name := old.pg.place.Load().name; name != "weu#2" {
			t.Errorf("the agent of before has the place %s", name)
		}
	}
}

// votersApart states that results, roll-ups and baselines are each agent's own, and whose a reader gets.
func votersApart(t *testing.T, _ *servers.Postgres, database string) {
	url := aTenant(database)
	all := map[string]*Store{}
	for n, name := range []string{"weu", "dk", "neu"} {
		s := openSilent(t, url, name)
		all[name] = s
		for round := range n + 1 {
			if err := s.AppendResults(t.Context(), httpResults(0, 10, at.Add(time.Duration(round)*time.Minute))); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(s.SaveVantage(t.Context(), nil, map[string][]byte{"a": []byte(name)}, nil), s.Maintain(t.Context(), at)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, s *Store, name string, n int) {
		t.Helper()
		agree(t, s, n)
		results, err := s.Results(t.Context(), "component-7/http", time.Time{}, time.Time{}, 0)
		each := 0
		streamed := s.EachResult(t.Context(), nil, time.Time{}, time.Time{}, func(probes.Result) error { each++; return nil })
		baselines, known := s.Baselines(t.Context())
		if len(results) != n || each != 10*n || string(baselines["a"]) != name || errors.Join(err, streamed, known) != nil {
			t.Errorf("%s: %d results of a probe, %d of all, baselines %s (%v)", what, len(results), each, baselines, errors.Join(err, streamed, known))
		}
	}
	check("weu", all["weu"], "weu", 1)
	check("dk", all["dk"], "dk", 2)
	check("neu", all["neu"], "neu", 3)
	read := func(url string) *Store {
		t.Helper()
		s, err := OpenReadOnly(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	reader := read(url)
	check("a reader", reader, "weu", 1)
	check("a reader of neu", read(url+"&vantage=neu"), "neu", 3)
	if _, err := OpenReadOnly(t.Context(), url+"&vantage=seu"); err == nil || !strings.Contains(err.Error(), "dk, neu, weu") {
		t.Errorf("of a vantage that there is not: %v", err)
	}
	if err := all["weu"].Close(); err != nil {
		t.Fatal(err)
	}
	check("a reader, when nobody leads", reader, "weu", 1)
	beat(t, all["dk"], Beat{Wants: true})
	check("a reader, when another leads", reader, "dk", 2)
	// Bounds are each one's own: who is over them loses nobody else's.
	all["neu"].options.RawRows = 5
	if err := errors.Join(all["neu"].AppendResults(t.Context(), httpResults(0, 10, at)), all["neu"].Maintain(t.Context(), at)); err != nil {
		t.Fatal(err)
	}
	check("dk, after neu was trimmed", all["dk"], "dk", 2)
}

// tidiedAfterOthers states that the leader applies retention for agents that have gone, and forgets them in the end.
func tidiedAfterOthers(t *testing.T, _ *servers.Postgres, database string) {
	url := aTenant(database)
	leader, gone := openURL(t, url), openSilent(t, url, "gone")
	if err := errors.Join(gone.AppendResults(t.Context(), httpResults(0, 10, at)), gone.SaveVantage(t.Context(), []byte("x"), nil, nil), gone.Close()); err != nil {
		t.Fatal(err)
	}
	left := func() (blocks, rollups, voters int) {
		db := role(t, database)
		_, tenant, _ := strings.Cut(url, "tenant=")
		execute(t, db, "SET app.tenant = '"+tenant+"'")
		if err := db.QueryRow("SELECT (SELECT count(*) FROM result_blocks), (SELECT count(*) FROM rollups), (SELECT count(*) FROM voters)").Scan(&blocks, &rollups, &voters); err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
		return blocks, rollups, voters
	}
	if err := leader.Maintain(t.Context(), at.AddDate(0, 0, 30)); err != nil {
		t.Fatal(err)
	}
	if b, r, v := left(); b != 10 || r != 10 || v != 2 {
		t.Errorf("after 30 days %d blocks, %d roll-ups and %d voters are left", b, r, v)
	}
	if err := leader.Maintain(t.Context(), at.AddDate(0, 0, 40)); err != nil {
		t.Fatal(err)
	}
	if b, r, v := left(); b != 0 || r != 10 || v != 2 {
		t.Errorf("after 40 days %d blocks, %d roll-ups and %d voters are left", b, r, v)
	}
	asTenant(t, url, "UPDATE voters SET since = since - interval '500 days' WHERE name = 'gone'")
	if err := leader.Maintain(t.Context(), at.AddDate(0, 0, 410)); err != nil {
		t.Fatal(err)
	}
	if b, r, v := left(); b != 0 || r != 0 || v != 1 {
		t.Errorf("after 410 days %d blocks, %d roll-ups and %d voters are left", b, r, v)
	}
	early := openSilent(t, url, "early")
	if err := errors.Join(early.AppendResults(t.Context(), httpResults(0, 10, at)), early.Close()); err != nil {
		t.Fatal(err)
	}
	asTenant(t, url, `INSERT INTO voters (name, vantage, token, holder, session, since, beat, off)
		SELECT 'pod-' || n, 'pod-' || n, '', '', '', clock_timestamp(), '-infinity', 0 FROM generate_series(1, 100) AS n`)
	if err := leader.Maintain(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if b, r, _ := left(); b != 0 || r != 0 {
		t.Errorf("beyond the bound of agents that have gone %d blocks and %d roll-ups are left", b, r)
	}
}

// olderSchema states that what a tenant had before there were voters is the first agent's.
func olderSchema(t *testing.T, server *servers.Postgres, _ string) {
	database := server.Database(t, "older")
	db := role(t, database)
	files, err := fs.Sub(migrations, "migrations/postgres")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName(schemaTable))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	var urls []string
	for n := range 2 { // tenants
		url := aTenant(database)
		urls = append(urls, url)
		_, tenant, _ := strings.Cut(url, "tenant=")
		execute(t, db, "SET app.tenant = '"+tenant+"'")
		for _, statement := range []string{
			"INSERT INTO agents (epoch, writes, holder) VALUES (7, 99, 'x')",
			"INSERT INTO result_totals (id, results, bytes) VALUES (1, 0, 0)",
			"INSERT INTO probes (id, name, seen) VALUES (%d, 'a/http', 1770199200000000000)",
			"INSERT INTO rollups (hour, probe, unknown, up, degraded, down, lagging, total) VALUES (491722, %d, 0, 5, 0, 0, 0, 10)",
			"INSERT INTO baselines (probe, at, body) VALUES ('a/http', 1, 'x')",
			"INSERT INTO seeds (probe, at, points) VALUES ('a/http', 1, 3)",
			"INSERT INTO engine_state (id, at, state) VALUES (1, 1, 'state')",
		} {
			if strings.Contains(statement, "%d") {
				statement = fmt.Sprintf(statement, n+1)
			}
			execute(t, db, statement)
		}
	}
	_ = db.Close()
	for _, url := range urls {
		first, second := openSilent(t, url, "weu"), openSilent(t, url, "dk")
		for s, want := range map[*Store]int{first: 1, second: 0} {
			hours, err := s.Rollups(t.Context(), "a/http", time.Time{}, time.Time{})
			baselines, known := s.Baselines(t.Context())
			seeds, seeded := s.Seeds(t.Context())
			state, judged := s.EngineState(t.Context())
			if err := errors.Join(err, known, seeded, judged); err != nil || len(hours) != want || len(baselines) != want || len(seeds) != want || string(state) != "state" {
				t.Errorf("%s has %d roll-ups, %d baselines, %d seeds, the state %q (%v)", s.pg.place.Load().name, len(hours), len(baselines), len(seeds), state, err)
			}
		}
		if err := errors.Join(first.AppendResults(t.Context(), []probes.Result{{Probe: "a/http", Start: at, Outcome: probes.Up}}), first.Maintain(t.Context(), at), first.Commit(t.Context(), step(1))); err != nil {
			t.Error(err)
		}
	}
}

// answerLostPlaceTakenTwice states that a store goes on, in another place, where nobody can say any more what became of a write.
func answerLostPlaceTakenTwice(t *testing.T, server *servers.Postgres, database string) {
	url := aTenant(database)
	p := startCutter(t, server.Address)
	old := openSilent(t, strings.Replace(url, server.Address, p.address, 1), "weu")
	p.cut(true, 1_000_000)
	result := make(chan error, 1)
	go func() { result <- old.Commit(context.Background(), step(1)) }()
	<-p.refused
	look, err := OpenReadOnly(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if !probetest.Eventually(time.Minute, func() bool { n, err := look.CountIncidents(t.Context(), IncidentFilter{}); return err == nil && n == 1 }) {
		t.Fatal("the COMMIT that was forwarded does not arrive")
	}
	if err := look.Close(); err != nil {
		t.Fatal(err)
	}
	var last *Store
	for range 2 {
		asTenant(t, url, "UPDATE voters SET beat = beat - interval '16 seconds'")
		last = openSilent(t, url, "weu")
		if err := last.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.cut(false, 0)
	p.mu.Lock()
	p.armed = false
	p.mu.Unlock()
	if err := <-result; !errors.Is(err, ErrNotLeading) && !errors.Is(err, ErrAway) {
		t.Errorf("the write in doubt: %v", err)
	}
	insist(t.Context(), t, func() error { return old.AppendResults(t.Context(), httpResults(0, 3, at)) }) // its sessions were ended
	expire(t, url)
	r := beat(t, old, Beat{Wants: true})
	if !r.Leading {
		t.Fatalf("it does not lead: %+v", r)
	}
	decide(t, old, r.Epoch)
	if err := old.Commit(t.Context(), step(2)); err != nil {
		t.Error(err)
	}
	stored(t, old, 2)
}
