package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDisk fills a real file system. Mounting one needs the right to; without it TestFull, which bounds the file instead, has
// to do.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Logf("no file system can be mounted here: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path, ballast := filepath.Join(dir, "firstcall.db"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20-20<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), "sqlite:"+path, Options{})
	mention(t, err, ErrDiskFull, path, "make room")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path, Options{})
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	stored := fillUp(t, s)
	mention(t, s.AppendResults(t.Context(), httpResults(0, 5000, at)), ErrDiskFull)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	afterFull(t, s, stored)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
