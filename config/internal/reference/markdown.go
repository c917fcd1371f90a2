package reference

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"text/template"

	_ "embed"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/probes"
)

//go:embed configuration.md.tmpl
var pageText string

// row is a line of a table.
type row struct{ Key, Type, Default, Doc string }

// section is a kind with its keys.
type section struct {
	Name, Doc string
	Phases    string
	Numbers   []probes.NumberKind
	Evidence  bool
	Fields    bool // its cases have fields that a configuration may fill
	Rows      []row
}

// page is what the template is filled with.
type page struct {
	Smallest, Everyday string
	SchemaID           string
	Sections           map[string][]row // by the key of the top level
	Top                []row            // keys of the top level that hold one value
	Instance, Probe    []row
	Probes             []section
	Desks              []section
	Notifiers          []section
	Desk, Notifier     []row
	Countries          string
	CaseNames          []reconcile.TextName
}

// Markdown returns the reference page, with the two example files in it.
func Markdown(smallest, everyday []byte) ([]byte, error) {
	p := page{
		Smallest: strings.TrimSpace(string(smallest)),
		Everyday: strings.TrimSpace(string(everyday)),
		SchemaID: SchemaID,
		Sections: map[string][]row{},

		Instance:  rows("", field.Specs(reflect.TypeFor[config.Instance]())),
		Probe:     rows("", field.Specs(reflect.TypeFor[config.Probe]())),
		Desk:      rows("", field.Specs(reflect.TypeFor[config.Desk]())),
		Notifier:  rows("", field.Specs(reflect.TypeFor[config.Notifier]())),
		Probes:    sections(reflect.TypeFor[config.Probe]()),
		Desks:     sections(reflect.TypeFor[config.Desk]()),
		Notifiers: sections(reflect.TypeFor[config.Notifier]()),
		Countries: strings.Join(sla.Countries(), ", "),
		CaseNames: reconcile.TextNames(),
	}
	for _, s := range field.Specs(reflect.TypeFor[config.Config]()) {
		t := bare(s.Type)
		if t.Kind() == reflect.Slice {
			t = bare(t.Elem())
		}
		if shapeOf(t) == shapeStruct {
			p.Sections[s.Key] = rows("", field.Specs(t))
		} else {
			p.Top = append(p.Top, rows("", []field.Spec{s})...)
		}
	}
	page, err := template.New("configuration.md").Funcs(template.FuncMap{"table": table, "cell": cell}).Option("missingkey=error").Parse(pageText)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := page.Execute(&out, p); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func sections(t reflect.Type) []section {
	var all []section
	for _, k := range kindsOf(t) {
		all = append(all, section{
			Name: k.name, Doc: k.doc, Evidence: k.evidence, Fields: k.fields,
			Phases: strings.Join(append(k.phases, "total"), ", "), Numbers: k.numbers,
			Rows: rows("", field.Specs(k.config)),
		})
	}
	return all
}

// rows flattens nested structs: their keys stand behind a dot.
func rows(prefix string, specs []field.Spec) []row {
	var all []row
	for _, s := range specs {
		t := bare(s.Type)
		key := prefix + s.Key
		if shapeOf(t) == shapeStruct {
			all = append(all, row{Key: code(key), Type: "mapping", Default: required(s), Doc: cell(s.Doc)})
			all = append(all, rows(key+".", field.Specs(t))...)
			continue
		}
		r := row{Key: code(key), Type: words(t, s.Enum), Default: required(s), Doc: cell(s.Doc)}
		switch {
		case s.Inline != "":
			r.Type = "text or path"
		case shapeOf(t) == shapeText && strings.HasSuffix(s.Key, "_file"):
			r.Type = "path"
		}
		if shapeOf(t) == shapeSecret {
			r.Key = code(key) + " or " + code(key+"_file")
		}
		all = append(all, r)
		if t.Kind() == reflect.Slice && shapeOf(bare(t.Elem())) == shapeStruct && prefix == "" && kindsOf(t.Elem()) == nil && t.Elem() != reflect.TypeFor[config.Instance]() {
			all = append(all, rows(key+"[].", field.Specs(t.Elem()))...)
		}
	}
	return all
}

func required(s field.Spec) string {
	switch {
	case s.Required:
		return "**required**"
	case s.Default == "":
		return ""
	}
	return code(s.Default)
}

// words names a type for people.
func words(t reflect.Type, enum []string) string {
	if len(enum) > 0 {
		quoted := make([]string, len(enum))
		for i, word := range enum {
			quoted[i] = code(word)
		}
		if t.Kind() == reflect.Slice {
			return "list of " + strings.Join(quoted, ", ")
		}
		return strings.Join(quoted, ", ")
	}
	switch shapeOf(t) {
	case shapeSecret:
		return "secret"
	case shapeDuration:
		return "duration"
	case shapeQuantity:
		return "duration or number"
	case shapeSwitch:
		return "`true`, `false`"
	case shapeWhole:
		return "whole number"
	case shapeNumber:
		return "number"
	case shapeWords:
		return "word or list"
	case shapeList:
		return "list of " + strings.TrimSuffix(plural(words(bare(t.Elem()), nil)), ".")
	case shapeTable:
		return "mapping to " + words(bare(t.Elem()), nil)
	case shapeStruct:
		return "mapping"
	default:
		return "text"
	}
}

func plural(word string) string {
	switch word {
	case "text":
		return "texts"
	case "mapping", "duration", "secret", "whole number", "number":
		return word + "s"
	}
	return word
}

func code(text string) string { return "`" + text + "`" }

// cell makes text fit for a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}

// table renders rows.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| key | value | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Key, r.Type, r.Default, r.Doc)
	}
	return b.String()
}
