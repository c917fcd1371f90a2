package watch

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	kept    = 500  // entries of the log
	longest = 2000 // bytes of one
)

// Log keeps the newest messages for the screen. The zero value is empty. It is safe for concurrent use.
type Log struct {
	mu      sync.Mutex
	entries []entry
	told    func() // after each one; nil: nobody
}

type entry struct {
	at    time.Time
	level slog.Level
	text  string
}

// Logger returns a logger whose messages of that level and above are kept.
func (l *Log) Logger(level slog.Leveler) *slog.Logger {
	return slog.New(&handler{log: l, level: level})
}

func (l *Log) add(at time.Time, level slog.Level, text string) {
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	l.mu.Lock()
	if len(l.entries) >= kept {
		l.entries = append(l.entries[:0], l.entries[kept/10:]...)
	}
	l.entries = append(l.entries, entry{at, level, clean(text)})
	told := l.told
	l.mu.Unlock()
	if told != nil {
		told()
	}
}

// newest returns up to n entries, oldest first.
func (l *Log) newest(n int) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]entry(nil), l.entries[max(0, len(l.entries)-n):]...)
}

// handler brings messages into a Log: the message, then name=value.
type handler struct {
	log    *Log
	level  slog.Leveler
	before string // attributes of the logger
	group  string
}

// Enabled reports whether the level is kept.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

// Handle keeps a message.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message + h.before)
	r.Attrs(func(a slog.Attr) bool { b.WriteString(h.attribute(a)); return true })
	h.log.add(r.Time, r.Level, b.String())
	return nil
}

// WithAttrs returns a handler that adds the attributes to every message.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	for _, a := range attrs {
		next.before += h.attribute(a)
	}
	return &next
}

// WithGroup returns a handler whose attributes stand in the group.
func (h *handler) WithGroup(name string) slog.Handler {
	next := *h
	next.group += name + "."
	return &next
}

func (h *handler) attribute(a slog.Attr) string {
	return fmt.Sprintf(" %s%s=%v", h.group, a.Key, a.Value.Resolve())
}

// clean returns a text on one line and without what a terminal would act on: most of it comes from targets, desks and people.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
