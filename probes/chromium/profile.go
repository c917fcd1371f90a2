package chromium

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// profilePattern names the directories of browsers, in the system's directory for temporary files.
const profilePattern = "firstcall-chromium-*"

// profile is the directory of a browser: its profile, its home, its temporary files. A lock says that its agent lives.
type profile struct {
	path string
	lock *os.File
}

// newProfile makes a directory, and first removes those whose agents are dead.
func newProfile() (*profile, error) {
	removeStale(os.TempDir())
	path, err := os.MkdirTemp("", profilePattern)
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil && !tryLock(lock) {
		err = errors.New("its lock is held by another process")
	}
	if err != nil {
		_ = os.RemoveAll(path)
		return nil, err
	}
	return &profile{path, lock}, nil
}

// remove deletes the directory; a child of the browser that writes at its last moment is outwaited.
func (p *profile) remove() {
	for range 50 {
		if os.RemoveAll(p.path) == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = p.lock.Close()
}

// removeStale deletes the directories below dir that are this user's and whose locks nobody holds.
func removeStale(dir string) {
	paths, _ := filepath.Glob(filepath.Join(dir, profilePattern))
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || !ours(info) {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR, 0)
		if err != nil {
			// one that is just being made has no lock yet
			if errors.Is(err, os.ErrNotExist) && time.Since(info.ModTime()) > time.Hour {
				_ = os.RemoveAll(path)
			}
			continue
		}
		free := tryLock(lock)
		if free {
			_ = os.RemoveAll(path)
		}
		_ = lock.Close()
		if free {
			_ = os.RemoveAll(path) // where open files cannot be deleted
		}
	}
}

// splitPEM writes each certificate of file into a file of its own below dir, as certutil wants them.
func splitPEM(file, dir string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var paths []string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		path := filepath.Join(dir, fmt.Sprintf("authority%d.pem", len(paths)))
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return paths, nil
}
