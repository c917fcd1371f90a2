// Package demo shows the main job on embedded defaults: a stand-in solution on loopback, the real agent against it with short
// intervals, and a scripted story whose case and mails are told in the terminal as they happen.
package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/agent"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

//go:embed demo.yaml
var configuration []byte

// Options tell how the demo is shown. The zero value of Listen takes the usual port, or any where that is taken.
type Options struct {
	Out     io.Writer
	Log     *slog.Logger // the agent's own messages
	Listen  string
	Once    bool // end after the story instead of keeping the page up
	Version string
}

// Run shows the demo until the story is over (Once) or ctx ends.
func Run(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &teller{out: o.Out, start: time.Now()}
	s, err := startSolution(ctx)
	if err != nil {
		return err
	}
	smtpAddr, err := startMail(ctx, t.mail)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "firstcall-demo-")
	if err != nil {
		return fmt.Errorf("the demo needs a directory for its store: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	listen := o.Listen
	if listen == "" {
		listen = freeListen()
	}
	c, err := config.Parse("demo.yaml", configuration, s.environment(map[string]string{
		"SMTP": "smtp://" + smtpAddr, "STORE": "sqlite:" + filepath.Join(dir, "firstcall.db"), "LISTEN": listen,
	}))
	if err != nil {
		return fmt.Errorf("the embedded configuration is wrong: %w", err)
	}
	ready := make(chan string, 1)
	ended := make(chan error, 1)
	var running *agent.Agent
	running, err = agent.New(ctx, agent.Options{
		Config: c, Version: o.Version, Log: o.Log, OnReady: func(url string) { ready <- url },
	})
	if err != nil {
		return err
	}
	go func() { ended <- running.Run(ctx) }()
	var tale sync.WaitGroup
	select {
	case err := <-ended:
		return err
	case url := <-ready:
		_, _ = fmt.Fprintf(o.Out, "status page: %s\n\n", url)
		t.introduce()
		tale.Go(func() { t.follow(ctx, url) })
		tale.Go(func() {
			t.tell(ctx, s, running)
			if o.Once {
				cancel()
			}
		})
	}
	err = <-ended
	cancel()
	tale.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// environment returns a look-up of the configuration's variables.
func (s *solution) environment(more map[string]string) func(string) (string, bool) {
	vars := map[string]string{
		"BACKEND1": "http://" + s.backend1.addr + "/", "BACKEND2": "http://" + s.backend2.addr + "/",
		"WEB": "http://" + s.web.addr + "/", "RDP": s.rdp.addr, "WITNESS": s.witness.addr,
	}
	for k, v := range more {
		vars[k] = v
	}
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

// tell plays the story.
func (t *teller) tell(ctx context.Context, s *solution, a *agent.Agent) {
	everything := []*standin{s.backend1, s.backend2, s.web, s.rdp}
	set := func(m mode, of ...*standin) {
		for _, one := range of {
			one.set(m)
		}
	}
	for _, scene := range []struct {
		after time.Duration
		say   string
		do    func()
	}{
		{4 * time.Second, "the Web Client's application pool stops: it answers 503", func() { set(failing, s.web) }},
		{5 * time.Second, "an engineer at the Operations Centre takes the case", func() { t.act(ctx, a, desk.Acknowledge, "") }},
		{5 * time.Second, "now everything hangs: both backends, the Web Client, Remote Desktop", func() { set(hanging, everything...) }},
		{14 * time.Second, "the case waits for an answer of the customer", func() { t.act(ctx, a, desk.Hold, "waiting for the customer's word on a restart") }},
		{4 * time.Second, "the customer agreed: on with it", func() { t.act(ctx, a, desk.Resume, "") }},
		{3 * time.Second, "the host was restarted: everything answers again", func() { set(well, everything...) }},
	} {
		if !wait(ctx, scene.after) {
			return
		}
		t.scene(scene.say)
		scene.do()
	}
	if wait(ctx, 8*time.Second) {
		t.scene("the end of the story. The status page stays up; Ctrl-C ends the demo")
	}
}

// wait returns false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
