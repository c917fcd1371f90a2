package setup

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// bare matches texts that YAML and a configuration read as that text, between { } too.
var bare = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/@-]*$`)

// variable matches texts that stand for a variable, or for one with a $ less.
var variable = regexp.MustCompile(`^\$+\{[A-Za-z_][A-Za-z0-9_]*\}$`)

// words are what YAML, in one version or another, reads as something else than text.
var words = []string{"true", "false", "yes", "no", "on", "off", "y", "n", "null"}

// Quote returns text as a YAML scalar that a configuration reads as that very text. Control characters are escaped.
func Quote(text string) string {
	if bare.MatchString(text) && !slices.Contains(words, strings.ToLower(text)) {
		return text
	}
	if variable.MatchString(text) {
		text = "$" + text // it stands for what the environment holds otherwise
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// width is how long a line of comment may become, in characters; noteAt where a remark behind a key begins.
const (
	width  = 118
	noteAt = 58
)

// page writes the lines of a configuration.
type page struct {
	b        strings.Builder
	checking bool // secrets are stand-ins, so that everything else can be checked before they exist
	secrets  []Secret
	told     bool // how files of secrets are made
}

// say writes a comment, over as many lines as it needs.
func (p *page) say(indent int, text string) {
	row := strings.Repeat(" ", indent) + "#"
	start := row
	for word := range strings.FieldsSeq(text) {
		if row != start && utf8.RuneCountInString(row)+1+utf8.RuneCountInString(word) > width {
			p.b.WriteString(row + "\n")
			row = start
		}
		row += " " + word
	}
	p.b.WriteString(row + "\n")
}

// blank ends a section.
func (p *page) blank() { p.b.WriteByte('\n') }

// line writes a line, and a remark behind it, or before it where there is no room.
func (p *page) line(indent int, text, note string) {
	row := strings.Repeat(" ", indent) + text
	if note != "" {
		if max(noteAt, utf8.RuneCountInString(row)+1)+2+utf8.RuneCountInString(note) > width {
			p.say(indent+len(text)-len(strings.TrimLeft(text, " ")), upperFirst(note)+".")
			p.b.WriteString(row + "\n")
			return
		}
		row += strings.Repeat(" ", max(1, noteAt-utf8.RuneCountInString(row))) + "# " + note
	}
	p.b.WriteString(row + "\n")
}

// key is a key of an entry. Its value is YAML.
type key struct {
	name, value, note string
	secret            string // what the secret is; value is then the path of its file
}

// text is a key whose value is a text.
func text(name, value string) key { return key{name: name, value: Quote(value)} }

// noted returns k with a remark.
func (k key) noted(note string) key { k.note = note; return k }

// hidden is a key whose value lies in a file.
func hidden(name, path, what string) key { return key{name: name, value: path, secret: what} }

// entry is an element of a list, with what is said about it before.
type entry struct {
	say  []string
	keys []key
}

// entry writes an element of a list.
func (p *page) entry(indent int, e entry) {
	for _, text := range e.say {
		p.say(indent, text)
	}
	if !p.told && slices.ContainsFunc(e.keys, func(k key) bool { return k.secret != "" }) {
		p.told = true
		p.say(indent, secretsNote)
	}
	mark := "- "
	for _, k := range e.keys {
		line := k.name + ": " + k.value
		switch {
		case k.secret != "" && p.checking:
			line = k.name + ": ${" + standIn + "}"
		case k.secret != "":
			line = k.name + fileSuffix + ": " + Quote(k.value)
			p.secret(Secret{Path: k.value, What: k.secret})
		}
		p.line(indent, mark+line, k.note)
		mark = "  "
	}
}

func (p *page) secret(s Secret) {
	if !slices.ContainsFunc(p.secrets, func(there Secret) bool { return there.Path == s.Path }) {
		p.secrets = append(p.secrets, s)
	}
}

func upperFirst(text string) string {
	if text == "" || text[0] >= utf8.RuneSelf {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
