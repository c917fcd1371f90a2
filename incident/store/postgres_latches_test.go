//go:build servers && linux

package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

func openLatches(t *testing.T, url, vantage string) *Latches {
	t.Helper()
	l, err := OpenLatches(url, vantage)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestPostgresLatches states that agents share what they know of refused accounts with their tenant's and nobody else's, through lost
// connections and while the server is away.
func TestPostgresLatches(t *testing.T) {
	server := servers.StartPostgres(t)
	database := server.Database(t, "firstcall")
	url, other := aTenant(database), aTenant(database)
	early := openLatches(t, url, "weu")
	if _, _, err := early.Latched(t.Context(), "rdp-1"); err == nil || !strings.Contains(err.Error(), "start an agent of this version once") {
		t.Errorf("before there are tables: %v", err)
	}
	openSilent(t, url, "")

	weu, dk := openLatches(t, url, "weu"), openLatches(t, url, "dk")
	shared := func(l *Latches) probes.Latch { return probes.NewSharedLatch(l, t.TempDir(), nil) }
	probetest.Latches(t, shared(weu), shared(dk))
	if _, ok, err := openLatches(t, other, "weu").Latched(t.Context(), "mssql-3-try"); ok || err != nil {
		t.Errorf("another tenant knows: %t, %v", ok, err)
	}
	if by := server.SQL(t, "firstcall", "SELECT count(*) FROM latches WHERE vantage IN ('weu', 'dk') AND at > now() - interval '1 minute'"); by != "1" {
		t.Errorf("%s records say who made them", by)
	}

	server.SQL(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'firstcall'")
	if err := errors.Join(weu.Latch(t.Context(), "rdp-5", strings.Repeat("x", 5000)), dk.Latch(t.Context(), "rdp-6", "refused")); err != nil {
		t.Errorf("after the connections were lost: %v", err)
	}
	if reason, ok, err := dk.Latched(t.Context(), "rdp-5"); len(reason) != maxLatch || !ok || err != nil {
		t.Errorf("%d bytes, %t, %v", len(reason), ok, err)
	}

	agent := shared(weu)
	server.Stop()
	if _, _, err := weu.Latched(t.Context(), "rdp-5"); !errors.Is(err, ErrAway) {
		t.Errorf("server away: %v", err)
	}
	if err := agent.Latch("rdp-7", "refused meanwhile"); err != nil {
		t.Errorf("a refusal is not kept while the server is away: %v", err)
	}
	server.Start()
	fresh := openLatches(t, url, "weu")
	if _, ok, err := fresh.Latched(t.Context(), "rdp-7"); ok || err != nil {
		t.Errorf("known too early: %t, %v", ok, err)
	}
	if err := fresh.Latch(t.Context(), "rdp-8", "x"); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkLatched is what an attempt waits for.
func BenchmarkLatched(b *testing.B) {
	server := servers.StartPostgres(b)
	url := aTenant(server.Database(b, "firstcall"))
	s, err := Open(b.Context(), url, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	l, err := OpenLatches(url, "weu")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for n := 0; b.Loop(); n++ {
		key := fmt.Sprint("rdp-", n%10)
		if _, _, err := l.Latched(b.Context(), key); err != nil {
			b.Fatal(err)
		}
		if err := l.Latch(b.Context(), key, "1 again 2026-11-25T12:00:01Z abcdefgh"); err != nil {
			b.Fatal(err)
		}
	}
}
