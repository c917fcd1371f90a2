//go:build unix

package agent

import (
	"os"
	"syscall"
	"testing"
)

func TestASignalAndAChangeOfTheFileReload(t *testing.T) {
	t.Parallel()
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	a, stop := s.start(t, false)
	s.write(t, backend, client, "vantage: by-signal\n")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "reload by signal", func() bool { return a.set.Load().config.Vantage == "by-signal" })
	s.write(t, backend, client, "vantage: by-content\n")
	waitFor(t, "reload by content", func() bool { return a.set.Load().config.Vantage == "by-content" })
	s.write(t, backend, client, "vantage: [\n")
	waitFor(t, "refusal", func() bool { return a.Health().ConfigError != "" })
	s.write(t, backend, client, "vantage: by-content\n") // as before: the error must go
	waitFor(t, "end of the refusal", func() bool { return a.Health().ConfigError == "" })
	stop()
}
