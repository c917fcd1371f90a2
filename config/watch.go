package config

import (
	"bytes"
	"context"
	"os"
	"time"
)

// settle is how long changed files are given to be written to their end before they are looked at again.
const settle = 500 * time.Millisecond

// Watch calls changed whenever the content of the file at path, or of a file of a secret or a text that it names, is no longer what seen (a
// Config.Digest) or the call before was made for. It compares content, read through the path, so that the swap of a
// ConfigMap's symlink and an edit in place count, and a touch does not; content that is still being written is waited for.
// Watch returns when ctx is done. A file that vanishes is a change too.
func Watch(ctx context.Context, path, seen string, every time.Duration, changed func()) {
	w := watcher{path: path}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := w.digest()
		for now != seen {
			select {
			case <-ctx.Done():
				return
			case <-time.After(min(settle, every)):
			}
			again := w.digest()
			if again == now {
				seen = now
				changed()
				break
			}
			now = again
		}
	}
}

// watcher remembers which files the newest content names, so that an unchanged file is not parsed again and again.
type watcher struct {
	path  string
	data  []byte
	files []string
}

func (w *watcher) digest() string {
	data, err := readFile(w.path, maxFile+1)
	if err != nil {
		return "cannot be read"
	}
	if w.data == nil || !bytes.Equal(data, w.data) {
		_, w.files, _ = parse(w.path, data, os.LookupEnv)
		w.data = data
	}
	return digest(data, w.files)
}
