package reconcile

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"unicode/utf8"
)

// Templates are an operator's own texts of the cases at one desk: Go templates (text/template) over CaseText. An empty one is the
// agent's own.
type Templates struct {
	Title   string `yaml:"title" doc:"Title of the case, one line; unless given, as {{.Priority}} {{.TenantID}}: {{.Problem}}."`
	Body    string `yaml:"body" doc:"Text of the case when it is opened, and where the system shows one text, after each change."`
	Note    string `yaml:"note" doc:"Note for a step of the timeline; unless given, as {{.At}} {{.Kind}}: {{.Text}}."`
	Closing string `yaml:"closing" doc:"Note with which the case is resolved."`
}

// The parts of a case that have a template.
const (
	partTitle   = "title"
	partBody    = "body"
	partNote    = "note"
	partClosing = "closing"
)

// maxField bounds a field of the desk's own, in bytes.
const maxField = 4000

// caseFuncs are what the templates of cases may call beside Go's own.
var caseFuncs = template.FuncMap{
	"item":  item,
	"join":  func(between string, list []string) string { return strings.Join(list, between) },
	"upper": strings.ToUpper,
	"lower": strings.ToLower,
	"cut":   cutRunes,
}

// caseBase is what an operator's template is parsed beside, so that it may be built of the agent's own parts: case.title,
// case.body, case.note, case.closing.
var caseBase = template.Must(template.New("case").Funcs(caseFuncs).ParseFS(files, "text/en/case.tmpl"))

// cutRunes returns at most limit characters of text, the last three of them dots where some are left out.
func cutRunes(limit int, text string) string {
	if limit < 0 || utf8.RuneCountInString(text) <= limit {
		return text
	}
	dots := min(limit, 3)
	return string([]rune(text)[:limit-dots]) + strings.Repeat(".", dots)
}

// TextFault is what is wrong with one template.
type TextFault struct {
	Part    string   // title, body, note, closing, or the name of a field
	Field   bool     // Part is the name of a field
	Message string   // a lower-case clause, with line and column in the template as far as they are known
	Unknown string   // the name or function that is not known; "": it is another fault
	Known   []string // what there is instead; of other faults the names that a template sees
	Empty   bool     // it is that a case would have no text
}

// CheckTexts returns what is wrong with an operator's texts, by writing with them cases of every class and priority, open and
// closed. It does no I/O.
func CheckTexts(t Templates, fields map[string]string) []TextFault {
	var faults []TextFault
	own, bad := parseTexts(t, fields)
	faults = append(faults, bad...)
	for _, key := range slices.SortedFunc(maps.Keys(own.parts), partKey.compare) {
		if f := own.try(key); f != nil {
			faults = append(faults, *f)
		}
	}
	return faults
}

// partKey names a template: a part of the case, or a field.
type partKey struct {
	field bool
	name  string
}

func (k partKey) compare(o partKey) int { return strings.Compare(k.String(), o.String()) }

func (k partKey) String() string {
	if k.field {
		return "fields." + k.name
	}
	return "templates." + k.name
}

// ownTexts are the parsed templates of one desk. They are safe for concurrent use.
type ownTexts struct {
	parts map[partKey]*template.Template

	mu   sync.Mutex
	said map[partKey]bool // failed before, and the log knows
}

// parseTexts parses what is given, and leaves out what cannot be.
func parseTexts(t Templates, fields map[string]string) (*ownTexts, []TextFault) {
	own := &ownTexts{parts: map[partKey]*template.Template{}, said: map[partKey]bool{}}
	given := map[partKey]string{}
	for name, text := range map[string]string{partTitle: t.Title, partBody: t.Body, partNote: t.Note, partClosing: t.Closing} {
		if text != "" {
			given[partKey{name: name}] = text
		}
	}
	for name, text := range fields {
		given[partKey{field: true, name: name}] = text
	}
	var faults []TextFault
	for _, key := range slices.SortedFunc(maps.Keys(given), partKey.compare) {
		base, err := caseBase.Clone()
		if err == nil {
			own.parts[key], err = base.New(templateName).Parse(given[key])
		}
		if err == nil {
			count(own.parts[key])
		}
		if err != nil {
			delete(own.parts, key)
			faults = append(faults, faultOf(key, err))
		}
	}
	return own, faults
}

// templateName is what errors call the template itself.
const templateName = "text"

// errFull ends a template that has written as much as is kept of it.
var errFull = errors.New("the text is full")

// bounded keeps what is written until it is full.
type bounded struct {
	strings.Builder
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Builder.Write(p[:n])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// execute returns what the template says, without space around it and bounded far above every limit.
func execute(t *template.Template, data CaseText) (string, error) {
	counted, err := t.Clone()
	if err != nil {
		return "", err
	}
	b := bounded{left: 4 * maxBody}
	if err := counted.Funcs(limits()).Execute(&b, data); err != nil && !errors.Is(err, errFull) {
		return "", err
	}
	return strings.TrimSpace(strings.ToValidUTF8(b.String(), "")), nil
}

// try writes the sample cases with one template, and returns the first fault.
func (o *ownTexts) try(key partKey) *TextFault {
	for _, s := range samples() {
		data, ok := s.data(key)
		if !ok {
			continue
		}
		text, err := execute(o.parts[key], data)
		if err != nil {
			f := faultOf(key, err)
			if f.Unknown == "" {
				f.Message += " (" + s.name + ")"
			}
			return &f
		}
		if text == "" && !key.field {
			return &TextFault{Part: key.name, Message: fmt.Sprintf("says nothing (%s)", s.name), Empty: true}
		}
	}
	return nil
}

// fill writes a part of a case; false where there is no template for it, or it fails: then the agent's own text stands, since no
// case may be lost to a template. The log hears of it once.
func (o *ownTexts) fill(key partKey, data CaseText, log *slog.Logger) (string, bool) {
	if o == nil || o.parts[key] == nil {
		return "", false
	}
	text, err := execute(o.parts[key], data)
	if err == nil && (text != "" || key.field) {
		return text, true
	}
	why := "it says nothing"
	if err != nil {
		why = faultOf(key, err).Message
	}
	o.mu.Lock()
	before := o.said[key]
	o.said[key] = true
	o.mu.Unlock()
	if !before {
		log.Error("a template of a case fails: the agent's own text stands in its place", "template", key.String(), "case", data.Key, "err", tidy(why, maxText))
	}
	return "", false
}

// fields returns the fields of the desk's own; an empty one is left out.
func (o *ownTexts) fields(data CaseText, log *slog.Logger) map[string]string {
	if o == nil {
		return nil
	}
	var all map[string]string
	for key := range o.parts {
		if !key.field {
			continue
		}
		if text, _ := o.fill(key, data, log); text != "" {
			if all == nil {
				all = map[string]string{}
			}
			all[key.name] = strings.TrimSpace(cut(text, maxField))
		}
	}
	return all
}

// The forms of text/template's errors.
var (
	errorPlace   = regexp.MustCompile(`^template: ([^:]*):(\d+)(?::(\d+))?: `)
	errorDoing   = regexp.MustCompile(`^executing "[^"]*" at `)
	unknownField = regexp.MustCompile(`can't evaluate field (\w+) in type \*?([\w.]+)`)
	unknownFunc  = regexp.MustCompile(`function "([^"]*)" not defined`)
	unknownPart  = regexp.MustCompile(`template "([^"]*)" not defined`)
)

// faultOf reads what text/template says.
func faultOf(key partKey, err error) TextFault {
	f := TextFault{Part: key.name, Field: key.field, Known: knownNames()}
	text := err.Error()
	where := ""
	if m := errorPlace.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		where = "line " + m[2]
		if column, err := strconv.Atoi(m[3]); err == nil {
			where += fmt.Sprintf(", column %d", column+1)
		}
		if m[1] != templateName {
			where = "the agent's own " + m[1] + ", " + where
		}
		where += ": "
	}
	text = strings.TrimPrefix(errorDoing.ReplaceAllString(text, ""), "<"+stepFunc+">: error calling "+stepFunc+": ")
	if m := unknownField.FindStringSubmatch(text); m != nil {
		f.Unknown, f.Known = m[1], namesOf(m[2])
		text = fmt.Sprintf("there is no name %s", m[1])
		if m[2] != "reconcile.CaseText" {
			text += " here"
		}
	} else if m := unknownFunc.FindStringSubmatch(text); m != nil {
		f.Unknown, f.Known = m[1], append(slices.Sorted(maps.Keys(caseFuncs)), goFuncs...)
		text = fmt.Sprintf("there is no function %s", m[1])
	} else if m := unknownPart.FindStringSubmatch(text); m != nil {
		f.Unknown, f.Known = m[1], []string{"case.title", "case.body", "case.note", "case.closing"}
		text = fmt.Sprintf("there is no template %q", m[1])
	}
	f.Message = where + tidy(text, maxText)
	return f
}

// goFuncs are the functions of every Go template that a case may have a use for.
var goFuncs = []string{"and", "eq", "ge", "gt", "index", "le", "len", "lt", "ne", "not", "or", "printf", "slice"}

func knownNames() []string { return namesOf("reconcile.CaseText") }
