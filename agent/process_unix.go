//go:build unix

package agent

import (
	"context"
	"math"
	"os"
	"os/signal"
	"syscall"
)

// reloadSignal delivers SIGHUP until ctx ends.
func reloadSignal(ctx context.Context) <-chan os.Signal {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { signal.Stop(ch) })
	return ch
}

// openFiles returns how many descriptors the process may have. Go has raised the soft limit to the hard one already.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(uint64(limit.Cur), math.MaxInt32)) //nolint:unconvert // signed on some systems
}
