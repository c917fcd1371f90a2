//go:build !linux

package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gen2brain/beeep"
)

func init() { beeep.AppName = "firstcall" }

// system shows notifications by the operating system, as beeep knows how. That knows no context, so one that hangs is left
// behind; there is never more than one.
type system struct{ busy chan struct{} }

func newScreen(string) screen { return system{make(chan struct{}, 1)} }

func fitBus(string) bool { return false }

// inert keeps out of a notification what a shell or a script would read: on some systems one shows it.
var inert = strings.NewReplacer("`", "'", "$", "", `"`, "'", `\`, "/", "<", "(", ">", ")", "&", "+")

func (s system) show(ctx context.Context, b bubble) (string, error) {
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-s.busy }()
		show := beeep.Notify
		if b.sound {
			show = beeep.Alert
		}
		done <- show(inert.Replace(b.title), inert.Replace(b.body), "")
	}()
	select {
	case err := <-done:
		switch {
		case errors.Is(err, beeep.ErrUnsupported):
			return "", errors.New("this operating system is not known to show notifications: use another kind of notifier")
		case err != nil:
			return "", fmt.Errorf("the desktop did not take the message: %w: check that the agent runs in the user's session, and that it may show notifications", err)
		}
		return "taken by the desktop", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
