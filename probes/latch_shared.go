package probes

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// latchTimeout bounds one question to whom all agents share what they know of refused accounts; after one that was not answered
	// nothing is asked for latchPause.
	latchTimeout = 2 * time.Second
	latchPause   = 10 * time.Second
)

// Latches is where all agents of a tenant keep what is known of refused accounts, with the keys and reasons of a Latch. It is safe for
// concurrent use.
type Latches interface {
	// Latched returns what was recorded under key, by whomever, and whether something is.
	Latched(ctx context.Context, key string) (reason string, ok bool, err error)
	// Latch records reason under key, durably, in place of what was there; an empty reason removes it.
	Latch(ctx context.Context, key, reason string) error
}

// SharedLatch is a Latch of all agents of a tenant: a refusal of one stops the others, since each asks before every attempt. While they
// cannot be asked, this agent goes by what it knows itself: what it heard last, and what it could not tell the others, which it tells them
// before anything else once they answer.
type SharedLatch struct {
	shared  Latches
	own     keptLatch
	changed func(error)

	mu     sync.Mutex
	heard  map[string]string // what was recorded when last asked
	untold map[string]bool   // what was removed here and not there
	until  time.Time         // nothing is asked before
	why    error             // of the newest question; nil: it was answered
}

// NewSharedLatch returns a latch that keeps what the others could not be told as files in the directory own, as FileLatch does, or in
// memory where that cannot be written. It calls changed with the error when the others cannot be asked any more, and with nil when they
// can again; changed may be nil.
func NewSharedLatch(shared Latches, own string, changed func(error)) *SharedLatch {
	return &SharedLatch{shared: shared, own: keptLatch{files: FileLatch(own)}, changed: changed, heard: map[string]string{}, untold: map[string]bool{}}
}

// Latched asks the others; see SharedLatch.
func (l *SharedLatch) Latched(key string) (reason string, ok bool, err error) {
	if reason, ok, _ = l.own.Latched(key); ok {
		if l.tell(key, reason) == nil {
			_ = l.own.Latch(key, "") // otherwise it is told once more
		}
		return reason, true, nil
	}
	l.mu.Lock()
	untold := l.untold[key]
	l.mu.Unlock()
	if untold {
		if err := l.tell(key, ""); err != nil {
			return "", false, err
		}
	}
	err = l.ask(func(ctx context.Context) (err error) {
		reason, ok, err = l.shared.Latched(ctx, key)
		return err
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		if reason, ok = l.heard[key]; ok {
			return reason, true, nil
		}
		return "", false, err
	case ok:
		l.heard[key] = reason
	default:
		delete(l.heard, key)
	}
	return reason, ok, nil
}

// Latch tells the others. A reason that they cannot be told is kept here, and no error; that nothing is recorded any more is an error
// then, and told later while this process lives.
func (l *SharedLatch) Latch(key, reason string) error {
	err := l.tell(key, reason)
	if err != nil && reason != "" {
		return l.own.Latch(key, reason)
	}
	if _, kept, _ := l.own.Latched(key); kept {
		err = errors.Join(err, l.own.Latch(key, "")) // it would be told again
	}
	return err
}

// tell records reason where the others look, and notes what they know then.
func (l *SharedLatch) tell(key, reason string) error {
	err := l.ask(func(ctx context.Context) error { return l.shared.Latch(ctx, key, reason) })
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.untold, key)
	if reason == "" {
		delete(l.heard, key)
		if err != nil {
			l.untold[key] = true
		}
	} else if err == nil {
		l.heard[key] = reason
	}
	return err
}

// ask calls f, bounded, unless the others did not answer a moment ago.
func (l *SharedLatch) ask(f func(context.Context) error) error {
	l.mu.Lock()
	until, why := l.until, l.why
	l.mu.Unlock()
	if time.Now().Before(until) {
		return why
	}
	ctx, cancel := context.WithTimeout(context.Background(), latchTimeout)
	defer cancel()
	err := f(ctx)
	l.mu.Lock()
	before := l.why
	if l.why = err; err != nil {
		l.until = time.Now().Add(latchPause)
	}
	l.mu.Unlock()
	if (err == nil) != (before == nil) && l.changed != nil {
		l.changed(err)
	}
	return err
}

// keptLatch is a Latch of files that falls back on memory where they cannot be written. A file that cannot be read is none.
type keptLatch struct {
	files  FileLatch
	memory MemoryLatch
}

// Latched implements Latch; its error is always nil.
func (l *keptLatch) Latched(key string) (string, bool, error) {
	if reason, ok, _ := l.memory.Latched(key); ok {
		return reason, true, nil
	}
	reason, ok, err := l.files.read(key)
	return reason, ok && err == nil, nil
}

// Latch implements Latch.
func (l *keptLatch) Latch(key, reason string) error {
	err := l.files.Latch(key, reason)
	if reason == "" || err == nil {
		return errors.Join(err, l.memory.Latch(key, ""))
	}
	return l.memory.Latch(key, reason)
}

// ownLatch returns the part of a latch that is of this agent alone: what it says of the way to a target, not of an account.
func ownLatch(l Latch) Latch {
	if shared, ok := l.(*SharedLatch); ok {
		return &shared.own
	}
	return l
}
