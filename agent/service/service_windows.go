package service

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
)

// stopWithin is how long a stop may take before the system takes the service for hung.
const stopWithin = 45 * time.Second

// Run runs main as a service where the service control manager started this process, and returns its exit code and true;
// elsewhere it does nothing and returns false. The context ends, with the cause stop, when the service is to stop or the machine
// shuts down. What main writes goes to the event log.
func Run(stop error, main func(ctx context.Context, log io.Writer) int) (code int, is bool) {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return 0, false
	}
	log := io.Discard // there is no other place to say that there is no event log
	if l, err := eventlog.Open(Name); err == nil {
		defer func() { _ = l.Close() }()
		log = events{func(s severity, text string) error {
			switch s {
			case information:
				return l.Info(1, text)
			case warning:
				return l.Warning(1, text)
			default:
				return l.Error(1, text)
			}
		}}
	}
	h := &handler{stop: stop, main: func(ctx context.Context) int { return main(ctx, log) }}
	if err := svc.Run(Name, h); err != nil {
		_, _ = fmt.Fprintln(log, "firstcall: the service control manager:", err)
		return 1, true
	}
	return h.code, true
}

// handler is a service that does main.
type handler struct {
	stop error
	main func(ctx context.Context) int
	code int // of main, once Execute returned
}

// Execute implements svc.Handler. A main that fails makes the service fail with its exit code.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (specific bool, code uint32) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ended := make(chan int, 1)
	go func() { ended <- h.main(ctx) }()
	now := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	status <- now
	for {
		select {
		case h.code = <-ended:
			return h.code != 0, uint32(h.code) //nolint:gosec // exit codes are small
		case r := <-requests:
			switch r.Cmd {
			case svc.Stop, svc.Shutdown:
				now = svc.Status{State: svc.StopPending, WaitHint: uint32(stopWithin.Milliseconds())}
				status <- now
				cancel(h.stop)
			default:
				status <- now
			}
		}
	}
}
