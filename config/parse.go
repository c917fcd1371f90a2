package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on the file, so that a wrong one (a log, a core dump, a hostile ConfigMap) costs neither memory nor time: the parser
// is recursive, and quadratic in the keys of one mapping.
const (
	maxFile    = 1 << 20 // bytes
	maxLine    = 16 << 10
	maxDepth   = 32     // nested mappings and lists; the deepest useful key lies at about ten
	maxKeys    = 1000   // of one mapping
	maxSymbols = 200000 // tokens
)

// parse returns the one mapping that the file is; nil when it is not one, which is then a fault.
func (d *decoder) parse(data []byte) *ast.MappingNode {
	if !d.readable(data) {
		return nil
	}
	tokens := lexer.Tokenize(strings.TrimPrefix(string(data), byteOrderMark))
	if !d.bounded(tokens) {
		return nil
	}
	file, err := parseTokens(tokens)
	if err != nil {
		d.syntax(err)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			body = doc.Body
		}
	}
	switch body := body.(type) {
	case nil, *ast.CommentGroupNode:
		d.report(position{1, 1}, "", "start with the smallest file of docs/configuration.md", "the file is empty")
	case *ast.MappingNode:
		return body
	case *ast.MappingValueNode:
		return &ast.MappingNode{BaseNode: &ast.BaseNode{}, Start: body.Start, Values: []*ast.MappingValueNode{body}}
	default:
		d.source.hide(body)
		d.report(start(body), "", "the first key is tenant:", "want a mapping, got %s", kindOf(body))
	}
	return nil
}

// parseTokens guards against a panic of the parser on input that nobody thought of.
func parseTokens(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("the file cannot be read as YAML")
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // the decoder reports duplicates itself, all of them
}

// syntax reports a fault of the parser in our own form.
func (d *decoder) syntax(err error) {
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) {
		d.report(position{1, 1}, "", "", "the file cannot be read as YAML")
		return
	}
	p := at(syntax.GetToken())
	if p.line < 1 || p.line > len(d.source.lines) {
		p = position{1, 1}
	}
	d.source.hideUnparsed(p.line, d.known())
	hint := ""
	if flow := unquotedVariable.MatchString(d.source.lines[p.line-1]); flow {
		hint = `between { } or [ ] a variable needs quotes: "${NAME}"`
	}
	d.report(p, "", hint, "syntax: %s", syntax.GetMessage())
}

// readable reports whether the file is text of a sane size.
func (d *decoder) readable(data []byte) bool {
	if len(data) > maxFile {
		d.report(position{1, 1}, "", "split the solution over several agents", "the file is larger than %d bytes", maxFile)
		return false
	}
	for i, line := range d.source.lines {
		p := position{line: i + 1, column: 1}
		switch {
		case len(line) > maxLine:
			d.source.hideFrom(p.line, 1)
			d.report(p, "", "", "the line is longer than %d bytes", maxLine)
			return false
		case !utf8.ValidString(line):
			d.source.hideFrom(p.line, 1)
			d.report(p, "", "save the file as UTF-8", "the line is not UTF-8 text")
			return false
		}
	}
	return true
}

// bounded walks the tokens before the recursive parser does and reports whether it can be let loose on them.
func (d *decoder) bounded(tokens token.Tokens) bool {
	if len(tokens) > maxSymbols {
		d.report(position{1, 1}, "", "split the solution over several agents", "the file has more than %d words and signs", maxSymbols)
		return false
	}
	var n nesting
	content, header := false, false
	for _, t := range tokens {
		what := ""
		switch t.Type {
		case token.CommentType:
			continue
		case token.DirectiveType:
			what = "directives (%) are not supported"
		case token.DocumentHeaderType:
			if content || header {
				what = "a second document begins here: a configuration is one document"
			}
			header = true
		case token.DocumentEndType:
		default:
			content = true
			what = n.add(t)
		}
		if what != "" {
			d.source.hideUnparsed(t.Position.Line, d.known())
			d.report(at(t), "", "", "%s", what)
			return false
		}
	}
	return true
}

// nesting follows how deep tokens lie, and how many keys lie beside one another.
type nesting struct {
	flow  int
	block []level
}

type level struct{ column, keys int }

func (n *nesting) add(t *token.Token) string {
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		n.flow++
	case token.MappingEndType, token.SequenceEndType:
		n.flow = max(0, n.flow-1)
	case token.SequenceEntryType, token.MappingKeyType:
		n.enter(t.Position.Column)
	case token.MappingValueType:
		if n.flow == 0 && t.Prev != nil && n.enter(t.Prev.Position.Column) > maxKeys {
			return fmt.Sprintf("more than %d keys in one mapping", maxKeys)
		}
	default:
	}
	if n.flow+len(n.block) > maxDepth {
		return fmt.Sprintf("nested deeper than %d levels", maxDepth)
	}
	return ""
}

// enter goes to the level of that column and returns how many keys it has.
func (n *nesting) enter(column int) int {
	for len(n.block) > 0 && n.block[len(n.block)-1].column > column {
		n.block = n.block[:len(n.block)-1]
	}
	if len(n.block) == 0 || n.block[len(n.block)-1].column < column {
		n.block = append(n.block, level{column: column})
	}
	n.block[len(n.block)-1].keys++
	return n.block[len(n.block)-1].keys
}
