package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// The widths of the output, in characters.
const (
	usualWidth = 120
	leastWidth = 40
	indent     = 12 // of everything that follows the first row of an entry: "999s  STORY "
)

// screen writes the story's lines. It is safe for concurrent use.
type screen struct {
	mu     sync.Mutex
	out    io.Writer
	start  time.Time
	width  int
	colour bool
}

func newScreen(out io.Writer, width int, colour bool) *screen {
	if width <= 0 {
		width = usualWidth
	}
	return &screen{out: out, start: time.Now(), width: max(width, leastWidth), colour: colour}
}

// The looks of marks on a terminal (ECMA-48, select graphic rendition).
var looks = map[string]string{"STORY": "\x1b[1;33m", "CASE": "\x1b[36m", "MAIL": "\x1b[35m"}

const plainLook = "\x1b[0m"

// page says where the status page is, before anything else.
func (s *screen) page(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.out, "status page: %s\n\n", url)
	for _, row := range wrap("A stand-in customer: two backends, the Web Client and Remote Desktop, all on loopback, probed every second by the "+
		"real agent. Everything below is its work: STORY tells what happens to the customer, CASE what the agent does about it, MAIL what the customer is told.", s.width) {
		_, _ = fmt.Fprintln(s.out, row)
	}
}

// line writes one entry: the seconds since the start, the mark, and the text over as many rows as it needs.
func (s *screen) line(mark, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mark == "STORY" {
		_, _ = fmt.Fprintln(s.out) // a new scene
	}
	rows := wrap(text, s.width-indent)
	look, end := "", ""
	if s.colour && looks[mark] != "" {
		look, end = looks[mark], plainLook
	}
	_, _ = fmt.Fprintf(s.out, "%3ds  %s%-5s %s%s\n", int(time.Since(s.start).Seconds()), look, mark, rows[0], end)
	for _, row := range rows[1:] {
		_, _ = fmt.Fprintf(s.out, "%*s%s%s%s\n", indent, "", look, row, end)
	}
}

// letter shows a mail: the first in whole, of every other its first paragraph.
func (s *screen) letter(l letter, whole bool) {
	s.line("MAIL", "to "+l.to+": "+l.subject)
	text := strings.TrimSpace(strings.ReplaceAll(l.text, "\r\n", "\n"))
	if !whole {
		first, rest, _ := strings.Cut(text, "\n\n")
		text = first
		if rest != "" {
			text += " ..."
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for paragraph := range strings.SplitSeq(text, "\n") {
		for _, row := range wrap(paragraph, s.width-indent-2) {
			_, _ = fmt.Fprintln(s.out, strings.TrimRight(strings.Repeat(" ", indent)+"| "+row, " "))
		}
	}
}

// wrap breaks a text into rows of at most width characters, between words where it can; there is always one row. What a
// terminal would act on becomes a space.
func wrap(text string, width int) []string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	var rows []string
	row := ""
	for word := range strings.FieldsSeq(clean) {
		for utf8.RuneCountInString(word) > width { // no space to break at
			if row != "" {
				rows = append(rows, row)
				row = ""
			}
			runes := []rune(word)
			rows, word = append(rows, string(runes[:width])), string(runes[width:])
		}
		switch {
		case row == "":
			row = word
		case utf8.RuneCountInString(row)+1+utf8.RuneCountInString(word) <= width:
			row += " " + word
		default:
			rows = append(rows, row)
			row = word
		}
	}
	if row != "" || len(rows) == 0 {
		rows = append(rows, row)
	}
	return rows
}
