package config

import (
	"encoding"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// decoder walks the YAML tree into the structs and gathers faults on the way. It never stops at one.
type decoder struct {
	file   string
	dir    string // of the file: relative paths begin here
	env    func(string) (string, bool)
	source *source
	faults Faults
	bad    map[string]bool     // paths that have a fault, or whose key was misspelt: not to be reported twice
	above  map[string]bool     // what lies around those
	places map[string]place    // of everything that is in the file
	files  map[string]struct{} // files of secrets and texts that were read
	secret map[string]string   // texts from secrets and variables, and what stands for them in messages
	specs  map[reflect.Type][]field.Spec
}

// place is where a key (none in lists) and its value stand.
type place struct{ key, value position }

func newDecoder(name string, data []byte, env func(string) (string, bool)) *decoder {
	dir := filepath.Dir(name)
	if whole, err := filepath.Abs(dir); err == nil { // the same paths, whichever way the file is named
		dir = whole
	}
	return &decoder{
		file:   name,
		dir:    dir,
		env:    env,
		source: newSource(strings.TrimPrefix(string(data), byteOrderMark)),
		bad:    map[string]bool{},
		above:  map[string]bool{},
		places: map[string]place{},
		files:  map[string]struct{}{},
		secret: map[string]string{},
		specs:  map[reflect.Type][]field.Spec{},
	}
}

func (d *decoder) root(n *ast.MappingNode, c any) {
	d.places[""] = place{start(n), start(n)}
	d.mapping(n, "", reflect.ValueOf(c).Elem())
}

// report adds a fault at a position.
func (d *decoder) report(p position, path, hint, format string, args ...any) {
	d.taint(path)
	p = d.source.clamp(p)
	d.faults = append(d.faults, Fault{
		File: d.file, Line: p.line, Column: p.column,
		Path: path, Message: printable(fmt.Sprintf(format, args...)), Hint: printable(hint),
	})
}

// fault adds a fault at the value at path, or at the nearest thing around it that is in the file.
func (d *decoder) fault(path, hint, format string, args ...any) {
	d.report(d.find(path).value, path, hint, format, args...)
}

// find returns the place of path, of its _file form, or of the nearest thing around it.
func (d *decoder) find(path string) place {
	for {
		if p, ok := d.places[path]; ok {
			return p
		}
		if p, ok := d.places[path+fileSuffix]; ok {
			return p
		}
		if path == "" {
			return place{position{1, 1}, position{1, 1}}
		}
		path = outer(path)
	}
}

// given reports whether path is in the file.
func (d *decoder) given(path string) bool { _, ok := d.places[path]; return ok }

// taint marks a path as being at fault.
func (d *decoder) taint(path string) {
	d.bad[path] = true
	for path != "" {
		path = outer(path)
		d.above[path] = true
	}
}

// clean reports whether nothing at, below or around path is at fault already: one mistake, one fault.
func (d *decoder) clean(path string) bool {
	if d.above[path] {
		return false
	}
	for path != "" {
		if d.bad[path] {
			return false
		}
		path = outer(path)
	}
	return true
}

// outer returns the path of what is around path; "" is the whole file.
func outer(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// finish returns the faults with their source lines, which are known to be fit to show only now.
func (d *decoder) finish() Faults {
	faults := d.faults.sorted()
	for i := range faults[:min(len(faults), maxShown)] {
		f := &faults[i]
		f.Source, f.Caret = d.source.show(position{f.Line, f.Column})
	}
	return faults
}

func (d *decoder) specsOf(t reflect.Type) []field.Spec {
	specs, ok := d.specs[t]
	if !ok {
		specs = field.Specs(t) // of a pointer too
		d.specs[t] = specs
	}
	return specs
}

var (
	secretType   = reflect.TypeFor[secret.Value]()
	durationType = reflect.TypeFor[time.Duration]()
	quantityType = reflect.TypeFor[Quantity]()
	wordsTypes   = []reflect.Type{reflect.TypeFor[Supported](), reflect.TypeFor[field.Words]()} // lists that may be written as their only word
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// isScalar reports whether a field of type t takes one word, number or switch.
func isScalar(t reflect.Type) bool {
	if t == secretType || reflect.PointerTo(t).Implements(textType) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	default:
		return false
	}
}

// value decodes n into v, which is settable.
func (d *decoder) value(n ast.Node, path string, v reflect.Value, enum []string) {
	if !d.usable(n, path) {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.Type() == secretType {
		d.source.hide(n)
	}
	switch {
	case isScalar(v.Type()):
		if s, ok := d.scalar(n, path, v.Type()); ok {
			d.set(v, s, path, enum)
		}
	case v.Kind() == reflect.Struct:
		d.mapping(n, path, v)
	case v.Kind() == reflect.Slice:
		d.sequence(n, path, v, enum)
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		d.table(n, path, v, enum)
	default:
		d.fault(path, "", "values of type %s cannot be configured", v.Type())
	}
}

// usable refuses what YAML has and a configuration does not need.
func (d *decoder) usable(n ast.Node, path string) bool {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		p := d.find(path)
		if p.key == (position{}) {
			p.key = p.value
		}
		d.report(p.key, path, "give it a value, or leave the key out", "has no value")
	case *ast.AliasNode, *ast.AnchorNode:
		d.source.hide(n)
		d.fault(path, "write the value out; what probes share can stand in defaults", "anchors (&) and aliases (*) are not supported")
	case *ast.TagNode:
		d.source.hide(n)
		d.fault(path, "write the value without the tag", "tags (!) are not supported")
	default:
		return true
	}
	return false
}

func (d *decoder) sequence(n ast.Node, path string, v reflect.Value, enum []string) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		if s, isScalarNode := n.(ast.ScalarNode); isScalarNode && slices.Contains(wordsTypes, v.Type()) {
			word := reflect.New(v.Type().Elem()).Elem()
			d.value(s, path, word, enum)
			v.Set(reflect.Append(v, word))
			return
		}
		d.mismatch(n, path, "a list", `write - before each entry, or [ ] around them`, v.Type())
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
	for i, entry := range list.Values {
		p := fmt.Sprintf("%s[%d]", path, i)
		d.places[p] = place{value: start(entry)}
		d.value(entry, p, v.Index(i), enum)
	}
}

// table decodes a mapping with free keys.
func (d *decoder) table(n ast.Node, path string, v reflect.Value, enum []string) {
	entries, ok := d.entries(n, path)
	if !ok {
		d.mismatch(n, path, "a mapping", "write key: value pairs below it", v.Type())
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(entries)))
	for _, e := range entries {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(e.value, e.path, item, enum)
		v.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), item)
	}
}

// entry is one key of a mapping with its value.
type entry struct {
	key, path string
	value     ast.Node
}

// entries returns the keys of a mapping in their order, each once, and whether n is one.
func (d *decoder) entries(n ast.Node, path string) ([]entry, bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return nil, false
	}
	all := make([]entry, 0, len(values))
	seen := map[string]position{}
	for _, v := range values {
		p := start(v)
		scalar, ok := v.Key.(ast.ScalarNode)
		if _, merge := v.Key.(*ast.MergeKeyNode); merge || !ok {
			d.source.hide(v)
			d.report(p, path, "write the keys out", "merge keys (<<) and composed keys are not supported")
			continue
		}
		key := scalar.GetToken().Value
		e := entry{key: key, path: join(path, key), value: v.Value}
		if first, double := seen[key]; double {
			d.source.hide(v.Value)
			d.report(p, e.path, "", "is there twice, first in line %d", first.line)
			continue
		}
		seen[key] = p
		d.places[e.path] = place{key: p, value: start(v.Value)}
		all = append(all, e)
	}
	return all, true
}

// join appends a key to a path.
func join(path, key string) string {
	if !isPlain(key) {
		key = quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// isPlain reports whether a key may stand in a path as it is.
func isPlain(key string) bool {
	for _, r := range key {
		if r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return key != "" && len(key) <= 64
}

// mismatch reports a value of the wrong shape.
func (d *decoder) mismatch(n ast.Node, path, want, hint string, t reflect.Type) {
	if d.holdsSecret(t) {
		d.source.hide(n)
	}
	d.fault(path, hint, "want %s, got %s", want, kindOf(n))
}

// kindOf names what a node is, for a sentence.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.NullNode:
		return "nothing"
	}
	return "text"
}

// holdsSecret reports whether a value of type t has a secret somewhere.
func (d *decoder) holdsSecret(t reflect.Type) bool {
	if t == secretType || reflect.PointerTo(t).Implements(kindedType) {
		return true
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return d.holdsSecret(t.Elem())
	case reflect.Struct:
		for _, s := range d.specsOf(t) {
			if d.holdsSecret(s.Type) {
				return true
			}
		}
	default:
	}
	return false
}
