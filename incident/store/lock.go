package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// fileLock is the advisory lock that keeps a second agent off the file. The operating system frees it with the process, so a
// lock file that is left over means nothing.
type fileLock struct{ file *os.File }

var errHeld = errors.New("held")

// acquire takes the lock beside the store at path, or says who has it.
func acquire(path string) (*fileLock, error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w: create the directory and give this user the right to write in it, or set store.url", err)
	}
	switch err := tryLock(f); {
	case errors.Is(err, errHeld):
		holder := readHolder(f)
		return nil, errors.Join(fmt.Errorf("store: %s is %w: %s has it open: stop that one, or give this one a file of its own (store.url; of a fleet fleet.state_file)", path, ErrLocked, holder), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("store: cannot lock %s: %w: put the store on a disk that can lock files", name, err), f.Close())
	}
	host, _ := os.Hostname() // only said for people
	holder := fmt.Sprintf("process %d on %s\n", os.Getpid(), host)
	// For people only: on a full disk the lock holds without its holder's name.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(holder), 0)
	return &fileLock{file: f}, nil
}

// readHolder returns what the holder wrote of itself.
func readHolder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 300))
	holder, _, _ := strings.Cut(string(text), "\n")
	if err != nil || !strings.HasPrefix(holder, "process ") {
		return "another firstcall"
	}
	return fmt.Sprintf("another firstcall (%q)", holder)
}

func (l *fileLock) release() error {
	// The file stays: to remove it would race with one that has just opened it.
	return errors.Join(l.file.Truncate(0), l.file.Close())
}
