package probetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/firstcall-agent/firstcall/probes"
)

// Latches states what every Latch must do; of is another view of the same latch, as another process has it. Keys are the test's own.
func Latches(t *testing.T, l, of probes.Latch) {
	t.Helper()
	check := func(l probes.Latch, key, want string, latched bool) {
		t.Helper()
		if got, ok, err := l.Latched(key); got != want || ok != latched || err != nil {
			t.Errorf("%s is %q, %v, %v; want %q, %v", key, got, ok, err, want, latched)
		}
	}
	step := func(key, reason string) {
		t.Helper()
		if err := l.Latch(key, reason); err != nil {
			t.Fatal(err)
		}
		check(l, key, reason, reason != "")
		check(of, key, reason, reason != "")
	}
	check(l, "rdp-1", "", false)
	step("rdp-1", "first")
	step("rdp-1", "second, of which somebody says 'ø' ? $1 %s")
	step("rdp-2", "other")
	step("rdp-1", "")
	step("rdp-1", "")
	check(l, "rdp-2", "other", true)
	if err := of.Latch("rdp-2", ""); err != nil {
		t.Fatal(err)
	}
	check(l, "rdp-2", "", false)

	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			view := []probes.Latch{l, of}[n%2]
			if err := view.Latch("mssql-3-try", fmt.Sprint("by ", n)); err != nil {
				t.Error(err)
			}
			if _, ok, err := view.Latched("mssql-3-try"); !ok || err != nil {
				t.Errorf("latched %t, %v", ok, err)
			}
		})
	}
	all.Wait()
}
