package config

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// ellipsis stands for what is hidden in a source line, and for what a long line loses.
const ellipsis = "…"

// window is how many characters of a long source line are shown on either side of the caret.
const window = 80

// position is a place in the file: 1-based line and column, in characters. The zero value is nowhere.
type position struct{ line, column int }

func at(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{}
	}
	return position{t.Position.Line, t.Position.Column}
}

// start returns where a node begins to the eye. The parser itself places a mapping at its first colon.
func start(n ast.Node) position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return start(n.Values[0])
		}
		return at(n.Start)
	case *ast.MappingValueNode:
		return at(n.Key.GetToken())
	case *ast.SequenceNode:
		return at(n.Start)
	case *ast.LiteralNode:
		return at(n.Start)
	}
	return at(n.GetToken())
}

// source is the text of the file, fit to show: what is, or may be, secret can be hidden before a line is shown.
type source struct {
	lines  []string
	hidden map[int][]span // by 1-based line
}

// span is a part of a line, in bytes.
type span struct{ from, to int }

func newSource(text string) *source {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	return &source{lines: lines, hidden: map[int][]span{}}
}

// hide makes sure that no scalar below n is ever shown.
func (s *source) hide(n ast.Node) {
	if n != nil {
		ast.Walk(hider{s}, n)
	}
}

type hider struct{ *source }

// Visit implements ast.Visitor.
func (h hider) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.LiteralNode:
		h.block(n.Start) // the content's own position is not reliable
		return nil
	case ast.ScalarNode:
		h.scalar(n.GetToken())
	}
	return h
}

// scalar hides one value. Where the file does not hold exactly the text that the parser read (several lines, escapes),
// everything up to the next word or sign is hidden.
func (h hider) scalar(t *token.Token) {
	line, text := t.Position.Line, strings.TrimSpace(t.Origin)
	if line < 1 || line > len(h.lines) {
		return
	}
	from := offset(h.lines[line-1], t.Position.Column)
	exact := text != "" && strings.HasPrefix(h.lines[line-1][from:], text)
	if exact && !strings.ContainsAny(text, "\\\n") && (t.Type != token.DoubleQuoteType || strings.HasSuffix(text, `"`)) {
		h.hidden[line] = append(h.hidden[line], span{from, from + len(text)})
		return
	}
	h.block(t)
}

// block hides everything from t on up to the next token, or to the end.
func (h hider) block(t *token.Token) {
	first, after := t.Position.Line, t.Next
	if after != nil && (t.Type == token.LiteralType || t.Type == token.FoldedType) {
		after = after.Next // what comes next is the content
	}
	end := position{len(h.lines) + 1, 1}
	if after != nil && after.Position != nil {
		end = at(after)
	}
	h.hideFrom(first, t.Position.Column)
	for line := first + 1; line <= min(end.line, len(h.lines)); line++ {
		text, to := h.lines[line-1], len(h.lines[line-1])
		if line == end.line {
			to = offset(text, end.column)
		}
		if strings.TrimSpace(text[:to]) != "" {
			h.hidden[line] = append(h.hidden[line], span{0, to})
		}
	}
}

// hideFrom hides the rest of a line from a column on.
func (s *source) hideFrom(line, column int) {
	if line >= 1 && line <= len(s.lines) {
		text := s.lines[line-1]
		s.hidden[line] = append(s.hidden[line], span{offset(text, column), len(text)})
	}
}

// clamp returns the place in the file that is nearest to p.
func (s *source) clamp(p position) position {
	p.line = min(max(p.line, 1), len(s.lines))
	p.column = min(max(p.column, 1), utf8.RuneCountInString(s.lines[p.line-1])+1)
	return p
}

// offset returns where the character at a 1-based column begins.
func offset(line string, column int) int {
	for i := range line {
		if column--; column <= 0 {
			return i
		}
	}
	return len(line)
}

// word is a run of characters that says something, as opposed to the signs that give a file its structure.
var word = regexp.MustCompile("[^\\s\\[\\]{},:\"'|>&*!%?#$-][^\\s\\[\\]{},:\"'|>&*!%?#$]*")

// hideUnparsed hides, in a line that the parser did not understand, every word but the known keys: what is a secret there
// cannot be told, and a fault of syntax is in the signs.
func (s *source) hideUnparsed(line int, known map[string]bool) {
	if line < 1 || line > len(s.lines) {
		return
	}
	text := s.lines[line-1]
	for _, at := range word.FindAllStringIndex(text, -1) {
		if !known[text[at[0]:at[1]]] {
			s.hidden[line] = append(s.hidden[line], span{at[0], at[1]})
		}
	}
}

// show returns the line with hidden texts and control characters replaced, cut to a window around column, and where the
// column has moved to.
func (s *source) show(p position) (text string, caret int) {
	if p.line < 1 || p.line > len(s.lines) {
		return "", 1
	}
	line := s.lines[p.line-1]
	masked := make([]bool, len(line))
	for _, hidden := range s.hidden[p.line] {
		for i := hidden.from; i < hidden.to; i++ {
			masked[i] = true
		}
	}
	var shown []rune
	column := 0
	for i, r := range line {
		column++
		switch {
		case masked[i] && (i == 0 || !masked[i-1]):
			shown = append(shown, []rune(ellipsis)...)
		case masked[i]:
		case unicode.IsPrint(r):
			shown = append(shown, r)
		default:
			shown = append(shown, ' ')
		}
		if column == p.column {
			caret = len(shown)
		}
	}
	if caret == 0 {
		caret = len(shown) + 1
	}
	return cut(shown, caret)
}

func cut(shown []rune, caret int) (string, int) {
	if first := caret - window; first > 0 {
		shown, caret = append([]rune(ellipsis), shown[first:]...), caret-first+1
	}
	if last := caret + window; last < len(shown) {
		shown = append(shown[:last:last], []rune(ellipsis)...)
	}
	return strings.TrimRight(string(shown), " "), caret
}
