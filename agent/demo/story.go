package demo

import (
	"context"
	"time"

	"github.com/firstcall-agent/firstcall/agent"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// patience is how long the story waits for what a scene shall bring, before it goes on without it.
const patience = 30 * time.Second

// scene is one step of the story.
type scene struct {
	after  time.Duration // pause for the reader
	say    string
	do     func()
	brings func() bool // what must hold before the next scene
}

// tell plays the story.
func (t *teller) tell(ctx context.Context, s *solution, a *agent.Agent, o Options) {
	everything := []*standin{s.backend1, s.backend2, s.web, s.rdp}
	set := func(m mode, of ...*standin) {
		for _, one := range of {
			one.set(m)
		}
	}
	act := func(action desk.Action, reason string) func() {
		return func() { t.act(ctx, a, action, reason) }
	}
	for _, one := range []scene{
		{4 * time.Second, "the Web Client's application pool stops: it answers 503", func() { set(failing, s.web) }, t.seen(incident.EventCaseOpened)},
		{4 * time.Second, "an engineer at the Operations Centre takes the case", act(desk.Acknowledge, ""), t.seen(incident.EventAcknowledged)},
		{3 * time.Second, "now everything hangs: both backends, the Web Client, Remote Desktop", func() { set(hanging, everything...) }, t.seen(incident.EventRaised)},
		{11 * time.Second, "the case must wait for the customer's word", act(desk.Hold, "waiting for the customer's word on a restart"), t.seen(incident.EventHeld)},
		{3 * time.Second, "the customer agreed: on with it", act(desk.Resume, ""), t.seen(incident.EventResumed)},
		{3 * time.Second, "the host was restarted: everything answers again", func() { set(well, everything...) }, t.over},
	} {
		if !wait(ctx, one.after, o.hurry) {
			return
		}
		t.screen.line("STORY", one.say)
		one.do()
		if !t.until(ctx, one.brings, patience) && ctx.Err() == nil {
			t.screen.line("", "this takes longer than it should; the story goes on")
		}
	}
	if !wait(ctx, 2*time.Second, false) { // for the last mail
		return
	}
	end := "the end of the story"
	if !o.Once {
		end += ". The status page stays up; Ctrl-C ends the demo"
	}
	t.screen.line("STORY", end)
}

// wait returns false when ctx ended first.
func wait(ctx context.Context, d time.Duration, hurry bool) bool {
	if hurry {
		d /= 8
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
