//go:build unix

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// oneOfSeveral is an agent in a process of its own. While it leads it stores step after step, each the successor of the last one that
// it knows, and says each one's number when it is acknowledged. What is stored it reads when it begins to lead and never else: an agent that
// could store what it decided in an earlier lead would store a step that another has stored. It resigns at SIGTERM.
func oneOfSeveral(url string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := Open(ctx, url, Options{})
	if err != nil {
		return err
	}
	rounds := make(chan Round)
	go func() {
		for beat := time.Tick(500 * time.Millisecond); ctx.Err() == nil; <-beat {
			now := time.Now().Add(time.Duration(os.Getpid()) * time.Hour) // its clock is wrong
			if r, err := s.Beat(ctx, Beat{Wants: true, Now: now, Vote: []byte(now.String())}); err == nil {
				select {
				case rounds <- r:
				default: // in the middle of a step
				}
			}
		}
	}()
	n, epoch := 0, int64(0)
	for {
		select {
		case <-ctx.Done():
			return errors.Join(s.Resign(context.Background()), s.Close())
		case r := <-rounds:
			if !r.Leading || r.Epoch == epoch {
				continue
			}
			if err = s.Lead(ctx, r.Epoch); err == nil {
				n, err = s.CountIncidents(ctx, IncidentFilter{})
			}
			if err == nil {
				epoch = r.Epoch
			}
		case <-time.After(10 * time.Millisecond):
			if epoch == 0 {
				continue
			}
			switch err := s.Commit(ctx, step(n+1)); {
			case err == nil:
				n++
				fmt.Println(n)
			case ctx.Err() != nil: // SIGTERM came while it waited for its turn
				continue
			case errors.Is(err, ErrNotLeading), errors.Is(err, ErrAway), errors.Is(err, ErrStandby):
			default:
				return err
			}
			if err := s.AppendResults(ctx, httpResults(0, 10, at.Add(time.Duration(n)*time.Second))); err != nil && ctx.Err() == nil && !errors.Is(err, ErrAway) {
				return err
			}
		}
	}
}
