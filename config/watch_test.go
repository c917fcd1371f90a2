package config

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const watched = head + "components: [{ name: web, probes: [{ kind: test, address: a, password_file: pw }] }]\n"

// watching runs do while Watch looks at dir/firstcall.yaml every second, in fake time.
func watching(t *testing.T, dir string, do func(changes *atomic.Int64)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "firstcall.yaml")
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var changes atomic.Int64
		var done sync.WaitGroup
		done.Go(func() { Watch(ctx, path, c.Digest, time.Second, func() { changes.Add(1) }) })
		do(&changes)
		stop()
		done.Wait()
	})
}

// pass lets fake time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func expect(t *testing.T, changes *atomic.Int64, want int64, when string) {
	t.Helper()
	pass(5 * time.Second)
	if got := changes.Load(); got != want {
		t.Errorf("%s: %d changes, want %d", when, got, want)
	}
}

// The agent reads the file by the path that it was given, and looks at it later by its whole path: what it names is the same.
func TestARelativePathIsTheSameConfiguration(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pw"), []byte("one\n"))
	write(t, filepath.Join(dir, "firstcall.yaml"), []byte(watched+"store: { url: \"sqlite:data/x.db\" }\nweb: { config_file: web.yaml }\n"))
	t.Chdir(dir)
	relative, err := Load("firstcall.yaml")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Load(filepath.Join(dir, "firstcall.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if relative.Digest != whole.Digest {
		t.Error("the digests differ")
	}
	if relative.StoreURL() != whole.StoreURL() || relative.Web.ConfigFile != whole.Web.ConfigFile {
		t.Errorf("%s and %s, %s and %s", relative.StoreURL(), whole.StoreURL(), relative.Web.ConfigFile, whole.Web.ConfigFile)
	}
}

func TestWatchSeesContent(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "firstcall.yaml")
	write(t, file, []byte(watched))
	write(t, filepath.Join(dir, "pw"), []byte("one\n"))
	watching(t, dir, func(changes *atomic.Int64) {
		expect(t, changes, 0, "nothing happened")
		write(t, file, []byte(watched))
		expect(t, changes, 0, "the same content was written again")
		write(t, filepath.Join(dir, "pw"), []byte("two\n"))
		expect(t, changes, 1, "a secret file changed")
		write(t, file, []byte("tenant: ["))
		expect(t, changes, 2, "the file is broken")
		write(t, filepath.Join(dir, "pw"), []byte("three\n"))
		expect(t, changes, 2, "a file that is no longer named changed")
		write(t, file, []byte(watched))
		expect(t, changes, 3, "the file is good again")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		expect(t, changes, 4, "the file is gone")
		expect(t, changes, 4, "the file is still gone")
	})
}

func TestWatchSeesAChangeFromBeforeItBegan(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "firstcall.yaml"), []byte(watched+"# changed since\n"))
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		calls := 0
		go Watch(ctx, filepath.Join(dir, "firstcall.yaml"), "the digest of another content", time.Second, func() { calls++; stop() })
		<-ctx.Done()
		synctest.Wait()
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
}

// TestWatchSeesTheSwapOfAConfigMap lays the files out as the kubelet does: ..data is a symbolic link that is renamed over.
func TestWatchSeesTheSwapOfAConfigMap(t *testing.T) {
	dir := t.TempDir()
	publish := func(version, password string) {
		t.Helper()
		write(t, filepath.Join(dir, version, "firstcall.yaml"), []byte(watched))
		write(t, filepath.Join(dir, version, "pw"), []byte(password))
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("..v1", "one")
	for _, name := range []string{"firstcall.yaml", "pw"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	watching(t, dir, func(changes *atomic.Int64) {
		publish("..v2", "two")
		expect(t, changes, 1, "a swap with another content")
		publish("..v3", "two")
		expect(t, changes, 1, "a swap with the same content")
	})
}

func TestWatchWaitsForAFileToBeWrittenToItsEnd(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "firstcall.yaml"), []byte(watched))
	write(t, filepath.Join(dir, "pw"), []byte("one\n"))
	watching(t, dir, func(changes *atomic.Int64) {
		pass(900 * time.Millisecond)
		for i := range 8 { // a slow writer: another piece each 400 ms, so that no two looks are alike
			write(t, filepath.Join(dir, "firstcall.yaml"), []byte(watched[:10+i]))
			pass(400 * time.Millisecond)
		}
		write(t, filepath.Join(dir, "firstcall.yaml"), []byte(watched+"# the end\n"))
		expect(t, changes, 1, "the whole file was written")
	})
}
