package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// stopped is the cause of a context that a signal ended.
type stopped struct{ by os.Signal }

func (s stopped) Error() string { return "stopped by signal: " + s.by.String() }

// untilSignal returns a context that ends with the first Ctrl-C or SIGTERM. From then on a further Ctrl-C kills the process at
// once, as it does a program that handles no signal.
func untilSignal(parent context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case by := <-signals:
			signal.Reset(os.Interrupt)
			cancel(stopped{by})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// interrupted reports whether Ctrl-C ended ctx.
func interrupted(ctx context.Context) bool {
	var s stopped
	return errors.As(context.Cause(ctx), &s) && s.by == os.Interrupt
}

// brokenOff reports whether err is there only because a signal ended ctx.
func brokenOff(ctx context.Context, err error) bool {
	var s stopped
	return errors.As(context.Cause(ctx), &s) && (errors.Is(err, context.Canceled) || errors.As(err, &s))
}
