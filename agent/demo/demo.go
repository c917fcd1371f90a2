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
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/firstcall-agent/firstcall/agent"
	"github.com/firstcall-agent/firstcall/config"
)

//go:embed demo.yaml
var configuration []byte

// Options tell how the demo is shown. Out is required.
type Options struct {
	Out     io.Writer
	Width   int          // of Out in characters; 0: 120
	Colour  bool         // Out is a terminal that shows colours
	Log     *slog.Logger // the agent's own messages; nil: none
	Listen  string       // of the status page; "": the usual address, or any where that is taken
	Once    bool         // end after the story instead of keeping the page up
	Version string

	hurry bool // shorten the pauses between scenes; for tests
}

// Run shows the demo until the story is over (Once) or ctx ends, which is its usual end and no error. Nothing is left behind:
// no goroutine, no file.
func Run(ctx context.Context, o Options) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	t := newTeller(newScreen(o.Out, o.Width, o.Colour))
	s := &solution{}
	defer s.wait() // after cancel
	defer cancel()
	if err := s.start(ctx); err != nil {
		return err
	}
	smtpAddr, err := s.startMail(ctx, t.arrived)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "firstcall-demo-")
	if err != nil {
		return fmt.Errorf("the demo needs a directory for its store: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
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
	return perform(ctx, cancel, o, c, s, t)
}

// perform runs the agent and tells the story beside it.
func perform(ctx context.Context, cancel context.CancelFunc, o Options, c *config.Config, s *solution, t *teller) error {
	ready := make(chan string, 1)
	a, err := agent.New(ctx, agent.Options{Config: c, Version: o.Version, Log: o.Log, OnReady: func(url string) { ready <- url }})
	if err != nil {
		return ofCourse(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	select {
	case err := <-ended:
		return ofCourse(err)
	case t.base = <-ready:
	}
	t.screen.page(t.base)
	var tale sync.WaitGroup
	tale.Go(func() { t.follow(ctx) })
	tale.Go(func() {
		t.tell(ctx, s, a, o)
		if o.Once {
			cancel()
		}
	})
	err = <-ended
	cancel()
	tale.Wait()
	return ofCourse(err)
}

// ofCourse drops the error that says that the demo was ended.
func ofCourse(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// environment returns a look-up of the configuration's variables.
func (s *solution) environment(more map[string]string) func(string) (string, bool) {
	vars := map[string]string{
		"BACKEND1": "http://" + s.backend1.addr + "/", "BACKEND2": "http://" + s.backend2.addr + "/",
		"WEB": "http://" + s.web.addr + "/", "RDP": s.rdp.addr, "WITNESS": s.witness.addr,
	}
	maps.Copy(vars, more)
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

// freeListen returns the usual address of the status page, or one that is free where that is taken.
func freeListen() string {
	const usual = "127.0.0.1:9797"
	l, err := net.Listen("tcp", usual)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close()
	return usual
}
