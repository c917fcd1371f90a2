package service

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestEventsAreRatedAndBounded(t *testing.T) {
	var got []string
	w := events{func(s severity, text string) error {
		got = append(got, fmt.Sprintf("%d %s", s, text))
		return nil
	}}
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(w, nil)), slog.New(slog.NewJSONHandler(w, nil))} {
		log.Info("the agent watches", "level", "ERROR")
		log.Warn("a probe cannot run")
		log.Error("the store cannot be written")
	}
	_, _ = fmt.Fprint(w, "acme.yaml:3:1: unknown key\nacme.yaml:4:1: unknown key\n")
	_, _ = fmt.Fprint(w, "warning: probe a cannot run on this host\n")
	_, _ = fmt.Fprint(w, "\n")
	_, _ = fmt.Fprint(w, "a\x00b\xff"+strings.Repeat("é", 40_000))
	want := []severity{information, warning, failure, information, warning, failure, failure, warning, failure}
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d: %q", len(got), len(want), got)
	}
	for i, s := range want {
		if !strings.HasPrefix(got[i], fmt.Sprint(int(s))+" ") {
			t.Errorf("event %d is %.80q, want severity %d", i, got[i], s)
		}
	}
	if !strings.Contains(got[6], "3:1: unknown key\nacme.yaml:4:1") {
		t.Errorf("the faults of a file are torn apart: %q", got[6])
	}
	if last := got[8]; len(last) > longest+16 || !strings.HasPrefix(last, "2 a?b?é") || !strings.HasSuffix(last, "é ...") {
		t.Errorf("%d bytes, %.20q ... %q", len(last), last, last[len(last)-10:])
	}
}
