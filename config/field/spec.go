package field

import (
	"reflect"
	"strings"
)

// Spec is one key of a configuration struct, as the tags of its field say. The decoder, the JSON Schema and the reference
// page all read it, so that they cannot disagree.
type Spec struct {
	Key      string
	Doc      string
	Default  string   // as it would be written; "" when there is none
	Enum     []string // the allowed words; of the entries, where the field is a list
	Inline   string   // of a text that may lie in a file: the characters of which one begins a text that is written out
	Required bool
	Type     reflect.Type
	Index    []int // for reflect.Value.FieldByIndex
}

// Specs returns the keys of struct type t (or of the struct that it points to) in the order of their fields. Embedded structs
// without a key of their own stand flat; fields tagged yaml:"-", without a yaml tag, or unexported are not configurable.
func Specs(t reflect.Type) []Spec {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var all []Spec
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case key == "-":
		case key == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			for _, s := range Specs(f.Type) {
				s.Index = append([]int{i}, s.Index...)
				all = append(all, s)
			}
		case key != "" && f.IsExported():
			all = append(all, spec(f, key))
		}
	}
	return all
}

func spec(f reflect.StructField, key string) Spec {
	s := Spec{
		Key:      key,
		Doc:      f.Tag.Get("doc"),
		Default:  f.Tag.Get("default"),
		Inline:   f.Tag.Get("inline"),
		Required: f.Tag.Get("required") == "true",
		Type:     f.Type,
		Index:    f.Index,
	}
	if words := f.Tag.Get("enum"); words != "" {
		s.Enum = strings.Split(words, ",")
	}
	return s
}
