package secret

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestPlain states that a text comes out on one line, printable, valid and bounded, whatever goes in.
func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\nb\tc": "a b c", "  x  ": "x", "bad\xff\xfeutf": "bad utf", "\u202eright": "right", "": "", "æøå": "æøå",
		strings.Repeat("æ", 20): strings.Repeat("æ", 8) + "...",
	} {
		got := Plain(in, 20)
		if got != want || len(got) > 20 || !utf8.ValidString(got) {
			t.Errorf("Plain(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestHide states that a secret is hidden in every form in which an error may carry it.
func TestHide(t *testing.T) {
	s := New(`p "w/d`)
	for _, in := range []string{`p "w/d`, `p \"w/d`, "p+%22w%2Fd", "p%20%22w%2Fd", "cCAidy9k"} {
		if got := Hide("with "+in+" in it", []Value{s, {}}); got != "with "+Mask+" in it" {
			t.Errorf("%q: %q", in, got)
		}
	}
}
