package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/firstcall-agent/firstcall/config/field"
)

// fileSuffix makes the key of a secret the key of a file that holds it; any other key that ends with it names a file too, and
// its path is relative to the configuration file.
const fileSuffix = "_file"

// mapping decodes n into v, and into the struct of its kind where v has one; then come defaults, required keys, and what the
// structs say of themselves.
func (d *decoder) mapping(n ast.Node, path string, v reflect.Value) {
	targets := []reflect.Value{v}
	if k, ok := reflect.TypeAssert[kinded](v.Addr()); ok {
		targets = append(targets, d.kind(n, path, k)...)
	}
	entries, ok := d.entries(n, path)
	if !ok {
		d.mismatch(n, path, "a mapping", "its keys are "+list(d.keys(targets)), v.Type())
		return
	}
	closed := !v.Addr().Type().Implements(kindedType) || len(targets) == 2 // a kind that is not known has keys that are not known
	for _, e := range entries {
		if !d.entry(e, targets) && closed {
			d.unknown(e, path, targets)
		}
	}
	for _, t := range targets {
		d.complement(path, t)
	}
	for _, t := range targets {
		d.validate(path, t)
	}
}

// entry decodes one key into every target that has it and reports whether one has.
func (d *decoder) entry(e entry, targets []reflect.Value) bool {
	known := false
	for _, t := range targets {
		for _, s := range d.specsOf(t.Type()) {
			v := t.FieldByIndex(s.Index)
			switch {
			case s.Key == e.key:
				known = true
				d.value(e.value, e.path, v, s.Enum)
				switch {
				case v.Kind() != reflect.String:
				case s.Inline != "":
					d.textFile(e, s.Inline, v)
				case strings.HasSuffix(s.Key, fileSuffix):
					v.SetString(d.beside(v.String()))
				}
			case s.Type == secretType && s.Key+fileSuffix == e.key:
				known = true
				d.secretFile(e, v)
			}
		}
	}
	if !known {
		d.source.hide(e.value) // it may be a misspelt secret
	}
	return known
}

func (d *decoder) unknown(e entry, path string, targets []reflect.Value) {
	var left []string
	for _, key := range d.keys(targets) {
		if !d.given(join(path, key)) {
			left = append(left, key)
		}
	}
	p := d.places[e.path].key
	if len(d.faults) >= maxShown {
		d.report(p, e.path, "", "unknown key")
		return
	}
	hint := "its keys are " + list(d.keys(targets))
	if near, ok := nearest(e.key, left); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
		d.taint(join(path, strings.TrimSuffix(near, fileSuffix))) // one mistake, one fault
	}
	d.report(p, e.path, hint, "unknown key")
}

// keys returns every key that the targets have, with the _file forms of secrets.
func (d *decoder) keys(targets []reflect.Value) []string {
	var all []string
	seen := map[string]bool{}
	add := func(key string) {
		if !seen[key] {
			seen[key] = true
			all = append(all, key)
		}
	}
	for _, t := range targets {
		for _, s := range d.specsOf(t.Type()) {
			add(s.Key)
			if s.Type == secretType {
				add(s.Key + fileSuffix)
			}
		}
	}
	return all
}

// complement sets the defaults of keys that are absent and reports those that must not be.
func (d *decoder) complement(path string, t reflect.Value) {
	for _, s := range d.specsOf(t.Type()) {
		p := join(path, s.Key)
		v := t.FieldByIndex(s.Index)
		asFile := s.Type == secretType && d.given(p+fileSuffix)
		switch given := d.given(p); {
		case given && asFile:
			d.report(d.places[p+fileSuffix].key, p+fileSuffix, "", "%s and %s are both given", s.Key, s.Key+fileSuffix)
		case (given || asFile) && !d.clean(p):
			if v.IsZero() {
				d.defaults(p, v, s) // so that what builds on it is not at fault as well
			}
		case given || asFile:
			if s.Required && empty(v) {
				d.fault(p, "", "is empty")
			}
		case s.Required:
			d.missing(path, p, s)
		default:
			d.defaults(p, v, s)
		}
	}
}

func empty(v reflect.Value) bool {
	switch {
	case v.Kind() == reflect.String || v.Type() == secretType:
		return v.IsZero()
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Map:
		return v.Len() == 0
	}
	return false
}

func (d *decoder) missing(path, p string, s field.Spec) {
	if d.bad[p] {
		return
	}
	where := d.find(path)
	if where.key == (position{}) {
		where.key = where.value
	}
	hint := strings.TrimSuffix(s.Doc, ".")
	if s.Type == secretType {
		d.report(where.key, p, hint, "is missing: give %s or %s", s.Key, s.Key+fileSuffix)
		return
	}
	d.report(where.key, p, hint, "is missing")
}

// defaults sets a field that the file does not mention, and the fields of a nested struct.
func (d *decoder) defaults(path string, v reflect.Value, s field.Spec) {
	switch {
	case s.Default != "" && v.Kind() == reflect.Slice:
		for word := range strings.SplitSeq(s.Default, ",") {
			item := reflect.New(v.Type().Elem()).Elem()
			d.set(item, scalar{text: word}, path, s.Enum)
			v.Set(reflect.Append(v, item))
		}
	case s.Default != "":
		if v.Kind() == reflect.Pointer {
			v.Set(reflect.New(v.Type().Elem()))
			v = v.Elem()
		}
		d.set(v, scalar{text: s.Default}, path, s.Enum)
	case v.Kind() == reflect.Struct && !isScalar(v.Type()):
		for _, nested := range d.specsOf(v.Type()) {
			d.defaults(join(path, nested.Key), v.FieldByIndex(nested.Index), nested)
		}
	}
}

// validate asks a struct for faults that its tags cannot express, and leaves out what is reported already.
func (d *decoder) validate(path string, t reflect.Value) {
	v, ok := reflect.TypeAssert[field.Validator](t.Addr())
	if !ok {
		return
	}
	for _, e := range judge(v) {
		p := path
		switch {
		case e.Path == "":
		case path == "" || e.Path[0] == '[':
			p += e.Path
		default:
			p += "." + e.Path
		}
		if d.clean(p) {
			d.fault(p, d.redact(e.Hint), "%s", d.redact(e.Message))
		}
	}
}

// judge calls Validate. A kind that panics over a configuration must not take the running agent down with a reload.
func judge(v field.Validator) (errs field.Errors) {
	defer func() {
		if p := recover(); p != nil {
			errs = field.Errors{{Message: "cannot be checked: the kind's own check failed", Hint: "please report this as a fault of firstcall"}}
		}
	}()
	return v.Validate()
}
