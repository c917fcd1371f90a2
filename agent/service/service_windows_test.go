package service

import (
	"context"
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/windows/svc"
)

var errStop = errors.New("stop")

func TestAServiceStopsInGoodOrder(t *testing.T) {
	for _, cmd := range []svc.Cmd{svc.Stop, svc.Shutdown} {
		requests, status := make(chan svc.ChangeRequest), make(chan svc.Status, 10)
		cause := make(chan error, 1)
		h := &handler{stop: errStop, main: func(ctx context.Context) int {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return 0
		}}
		over := make(chan uint32, 1)
		go func() {
			_, code := h.Execute(nil, requests, status)
			over <- code
		}()
		if s := <-status; s.State != svc.Running || s.Accepts != svc.AcceptStop|svc.AcceptShutdown {
			t.Errorf("at the start it says %+v", s)
		}
		requests <- svc.ChangeRequest{Cmd: svc.Interrogate}
		if s := <-status; s.State != svc.Running {
			t.Errorf("asked, it says %+v", s)
		}
		requests <- svc.ChangeRequest{Cmd: cmd}
		if s := <-status; s.State != svc.StopPending || s.WaitHint != 45_000 {
			t.Errorf("told to stop, it says %+v", s)
		}
		if err := <-cause; !errors.Is(err, errStop) {
			t.Errorf("the cause of the stop is %v", err)
		}
		if code := <-over; code != 0 {
			t.Errorf("it ends with %d", code)
		}
	}
}

func TestAServiceThatFailsSaysSo(t *testing.T) {
	status := make(chan svc.Status, 1)
	h := &handler{stop: errStop, main: func(context.Context) int { return 2 }}
	if specific, code := h.Execute(nil, nil, status); !specific || code != 2 || h.code != 2 {
		t.Errorf("it ends with %v, %d, %d; want its own code 2", specific, code, h.code)
	}
}

func TestAConsoleIsNoService(t *testing.T) {
	if _, is := Run(errStop, func(context.Context, io.Writer) int { return 0 }); is {
		t.Error("a test is taken for a service")
	}
}
