package notify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/incident"
)

func init() {
	Register(Kind{
		Name: "desktop",
		Doc:  "Notifications on the desktop of the user that the agent runs as.",
		New:  func() Builder { return &Desktop{} },
	})
}

// Desktop is the configuration of notifications on a desktop.
type Desktop struct {
	Sound   bool          `yaml:"sound" default:"true" doc:"Whether priorities 1 and 2 are heard, too."`
	Bus     string        `yaml:"bus" doc:"Linux: address of the session bus, such as unix:path=/run/user/1000/bus; that of the agent's own user unless given."`
	Timeout time.Duration `yaml:"timeout" default:"5s" doc:"Longest wait for the desktop."`
}

// Validate reports every fault of the configuration.
func (d *Desktop) Validate() field.Errors {
	var faults field.Errors
	if d.Bus != "" && !fitBus(d.Bus) {
		faults.AddHint("bus", "unix:path=/run/user/1000/bus", "is no address of a session bus")
	}
	if d.Timeout < 0 || d.Timeout > time.Minute {
		faults.Add("timeout", "must be at most 1m")
	}
	return faults
}

// Build returns the notifier.
func (d *Desktop) Build(env Env) (Notifier, error) {
	timeout := d.Timeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	return &desktop{name: env.Name, sound: d.Sound, timeout: timeout, screen: newScreen(d.Bus)}, nil
}

// bubble is one notification.
type bubble struct {
	title, body   string
	urgent, sound bool
}

// screen shows notifications; its errors say what is missing, in words, and what to do about it.
type screen interface {
	show(ctx context.Context, b bubble) (proof string, err error)
}

// desktop implements Notifier.
type desktop struct {
	name    string
	sound   bool
	timeout time.Duration
	screen  screen
}

// Send shows the message's subject and first lines. Priorities 1 and 2 are urgent: they stay until somebody closes them. The
// proof is that the desktop took it; whether somebody saw it is not known.
func (d *desktop) Send(ctx context.Context, m Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return "", fail(d.name, false, []error{err}, nil, "nothing was shown: %v: it will be tried again", err)
	}
	title, body, _ := strings.Cut(brief(m), "\n")
	if title == "" {
		title = "firstcall"
	}
	urgent := m.Priority == incident.P1 || m.Priority == incident.P2
	proof, err := d.screen.show(ctx, bubble{title: title, body: body, urgent: urgent, sound: urgent && d.sound})
	switch {
	case ctx.Err() != nil && err != nil:
		return "", fail(d.name, false, []error{ctx.Err()}, nil, "the desktop did not take the message in time: %v: check that the user is logged on", ctx.Err())
	case err != nil:
		return "", fail(d.name, false, nil, nil, "%v", err)
	}
	return proof, nil
}

// shown is the proof of a notification with a number.
func shown(id uint32) string { return fmt.Sprintf("shown as notification %d", id) }
