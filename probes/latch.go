package probes

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// FactAccount is the name of the fact of a result that says that an account of the probe's own was refused and that its log-on
// is off: its value is one line for the owner of the account. The agent raises its own alarm on it, whatever the outcome; no
// case is opened for it.
const FactAccount = "account"

// Latch remembers which accounts were refused, so that none is tried again and locked out. What it is told must survive the
// process: a restarted agent that has forgotten tries once more each time. It is safe for concurrent use.
//
// Keys are made of lower-case letters, digits and hyphens, at most 64 bytes; they hold a slow digest of the account's secret,
// so that a changed secret has another key, and tell nothing about it. Reasons are one printable line without secrets.
type Latch interface {
	// Latched returns what was recorded under key, and whether something is. A latch that cannot tell says yes, and why. An error
	// says that others, who share the latch, cannot be asked now, and that nothing is known here: an account that was not
	// accepted yet must rest.
	Latched(key string) (reason string, ok bool, err error)
	// Latch records reason under key, durably, in place of what was there; an empty reason removes it.
	Latch(key, reason string) error
}

// UsesLatch is a Probe that logs on and needs a Latch. SetLatch is called before the first run; a probe that was given none
// remembers for the life of the process.
type UsesLatch interface{ SetLatch(Latch) }

// ResetsLatch is a UsesLatch whose latch an operator can reset: what is recorded of the account that the probe uses now is
// forgotten, and it is tried again. It may be called at any time after SetLatch.
type ResetsLatch interface{ ResetLatch() error }

// Accountable is a Probe that may use an account or an identity of its own, and knows whether it is configured to.
type Accountable interface{ UsesAccount() bool }

// HasAccount reports whether a probe uses an account or an identity of its own, whose refusal its results tell by FactAccount.
func HasAccount(p Probe) bool {
	if a, ok := p.(Accountable); ok {
		return a.UsesAccount()
	}
	_, ok := p.(UsesLatch)
	return ok
}

// MemoryLatch is a Latch for the life of the process. The zero value is ready.
type MemoryLatch struct {
	mu      sync.Mutex
	reasons map[string]string
}

// Latched returns what was recorded under key; it never fails.
func (l *MemoryLatch) Latched(key string) (string, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	reason, ok := l.reasons[key]
	return reason, ok, nil
}

// Latch records reason under key; it never fails.
func (l *MemoryLatch) Latch(key, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reason == "" {
		delete(l.reasons, key)
		return nil
	}
	if l.reasons == nil {
		l.reasons = map[string]string{}
	}
	l.reasons[key] = reason
	return nil
}

// FileLatch is a Latch of small files, one for each key, in the directory that it names, which is made when needed. Several
// processes may share it. An operator resets an account by deleting its file.
type FileLatch string

// maxLatchFile bounds what is read of a file, in bytes.
const maxLatchFile = 4 << 10

// Latched reads the file of key; its error is always nil.
func (l FileLatch) Latched(key string) (string, bool, error) {
	reason, ok, err := l.read(key)
	if err != nil {
		return "the latch cannot be read: " + clause(err), true, nil
	}
	return reason, ok, nil
}

func (l FileLatch) read(key string) (reason string, ok bool, err error) {
	path, err := l.path(key)
	if err != nil {
		return "", false, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxLatchFile))
	return strings.TrimSpace(string(text)), err == nil, err
}

// Latch writes the file of key: whole, and on the disk, or not at all.
func (l FileLatch) Latch(key, reason string) error {
	path, err := l.path(key)
	if err != nil {
		return err
	}
	if reason == "" {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(string(l), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(string(l), ".latch-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(reason + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (l FileLatch) path(key string) (string, error) {
	if key == "" || len(key) > 64 || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", fmt.Errorf("no latch has the key %q", key)
	}
	return filepath.Join(string(l), key), nil
}

// processLatch is what probes use that were given none.
var processLatch Latch = new(MemoryLatch)
