package watch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

const (
	firstRetry = 2 * time.Second // after an agent did not answer; twice as long after each further failure
	lastRetry  = 30 * time.Second
	tellFor    = 10 * time.Second // that one alarm may take
)

// Options say what is watched and where it is shown. Get and Out are required.
type Options struct {
	Get   Getter
	Every time.Duration // how often the agent is asked; 0: 2 s
	From  string        // address of the agent, fit to be shown; "": it is in this process
	Note  string        // said beside the tenant's name, such as "alert-only"
	Log   *Log          // what the screen shows as the log; nil: changes only
	Now   func() time.Time

	Tell  func(ctx context.Context, i incident.Incident, tenant string, sound bool) error // tells of a new P1 or P2; nil: nobody is told
	Muted bool                                                                            // nothing is heard at the start

	In          io.Reader
	Out         io.Writer
	Environment []string // of the terminal
	Plain       bool     // one line a change, without a terminal
	Colour      bool     // the terminal shows colours, and they are wanted
	ASCII       bool     // the terminal shows nothing but ASCII
}

// update is a scene, or why there is none.
type update struct {
	scene *Scene
	err   error
	since time.Time // when it was first not to be had
	again time.Time // when it is tried again
	loud  []incident.Incident
	lines []string
}

// Run watches until ctx ends or the person leaves; stopped is true where they pressed Ctrl-C. An agent that does not answer is no
// error: it is said, and tried again.
func Run(ctx context.Context, o Options) (stopped bool, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Every <= 0 {
		o.Every = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = &Log{}
	}
	if o.Plain {
		return false, plain(ctx, o)
	}
	return show(ctx, o)
}

// Once reads one scene.
func Once(ctx context.Context, get Getter) (*Scene, error) { return newFeed(get, time.Now).read(ctx) }

// follow hands on scenes until ctx ends.
func follow(ctx context.Context, o Options, hand func(update)) {
	f := newFeed(o.Get, o.Now)
	var before *Scene
	var rung alarms
	var since time.Time
	wait := o.Every
	for {
		s, err := f.read(ctx)
		if ctx.Err() != nil {
			return
		}
		u := update{scene: s, err: err}
		if err != nil {
			if since.IsZero() {
				since, wait = o.Now(), firstRetry
				u.lines = []string{"the agent is not reachable: " + clean(err.Error())}
			}
			u.since, u.again = since.In(f.zone), o.Now().Add(wait).In(f.zone)
		} else {
			if !since.IsZero() {
				u.lines = []string{fmt.Sprintf("the agent answers again, after %s", o.Now().Sub(since).Round(time.Second))}
			}
			u.lines = append(u.lines, changes(before, s)...)
			u.loud = rung.ring(s)
			before, since, wait = s, time.Time{}, o.Every
		}
		hand(u)
		if !sleep(ctx, wait) {
			return
		}
		if err != nil {
			wait = min(2*wait, lastRetry)
		}
	}
}

// sleep waits; it returns false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// tell tells of every incident that somebody must hear of.
func tell(ctx context.Context, o Options, u update, sound bool) {
	if o.Tell == nil {
		return
	}
	for _, i := range u.loud {
		limited, cancel := context.WithTimeout(ctx, tellFor)
		if err := o.Tell(limited, i, u.scene.Tenant, sound); err != nil && ctx.Err() == nil {
			o.Log.add(o.Now(), slog.LevelWarn, "no notification on the desktop: "+err.Error())
		}
		cancel()
	}
}

// plain writes one line a change.
func plain(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	zone := time.UTC
	follow(ctx, o, func(u update) {
		if u.scene != nil {
			zone = u.scene.Read.Location()
		}
		for _, line := range u.lines {
			if _, err := fmt.Fprintf(o.Out, "%s  %s\n", o.Now().In(zone).Format(time.RFC3339), line); err != nil {
				failed = fmt.Errorf("the output cannot be written: %w", err)
				cancel()
				return
			}
		}
		tell(ctx, o, u, !o.Muted)
	})
	return failed
}
