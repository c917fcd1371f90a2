package demo

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"one two", 10, []string{"one two"}},
		{"one two three", 8, []string{"one two", "three"}},
		{"abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"a abcdefghij b", 4, []string{"a", "abcd", "efgh", "ij b"}},
		{"smørrebrød på øen", 10, []string{"smørrebrød", "på øen"}},
		{"a\x1b[2Jb\r\nc", 20, []string{"a [2Jb c"}},
	} {
		if diff := cmp.Diff(c.want, wrap(c.text, c.width)); diff != "" {
			t.Errorf("wrap(%q, %d): -want +got\n%s", c.text, c.width, diff)
		}
	}
}

func TestWrapKeepsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, width := rapid.StringOf(rapid.RuneFrom([]rune("abø \n\x1b"))).Draw(t, "text"), rapid.IntRange(1, 20).Draw(t, "width")
		rows := wrap(text, width)
		kept := func(s string) string {
			return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < '!' }), "")
		}
		if got := kept(strings.Join(rows, "")); got != kept(text) {
			t.Fatalf("%q became %q", text, rows)
		}
		for _, row := range rows {
			if utf8.RuneCountInString(row) > width || strings.ContainsAny(row, "\n\x1b") {
				t.Fatalf("row %q of %q", row, text)
			}
		}
	})
}

func TestLetters(t *testing.T) {
	var out strings.Builder
	s := newScreen(&out, 60, false)
	l := letter{to: "it@demo.example", subject: "Status", text: "First, which\r\nhas two lines.\r\n\r\nSecond.\r\n"}
	s.letter(l, true)
	s.letter(l, false)
	want := "  0s  MAIL  to it@demo.example: Status\n            | First, which\n            | has two lines.\n            |\n            | Second.\n" +
		"  0s  MAIL  to it@demo.example: Status\n            | First, which\n            | has two lines. ...\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestColour(t *testing.T) {
	var out strings.Builder
	newScreen(&out, 0, true).line("STORY", "it rains")
	if want := "\n  0s  \x1b[1;33mSTORY it rains\x1b[0m\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
