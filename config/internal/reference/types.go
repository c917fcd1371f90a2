// Package reference writes the reference page and the JSON Schema of the configuration from the structs that the decoder
// fills, so that neither can say anything else than what is true.
package reference

import (
	"encoding"
	"reflect"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/probes"
)

// shape is what a value looks like in the file.
type shape int

const (
	shapeText shape = iota
	shapeSecret
	shapeDuration
	shapeQuantity // a duration or a number: its key says which
	shapeSwitch
	shapeWhole
	shapeNumber
	shapeWords // a list that may be written as its only word
	shapeList
	shapeTable // free keys
	shapeStruct
)

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

// shapeOf tells how the decoder reads a field of type t, which is not a pointer.
func shapeOf(t reflect.Type) shape {
	switch {
	case t == reflect.TypeFor[secret.Value]():
		return shapeSecret
	case t == reflect.TypeFor[time.Duration]():
		return shapeDuration
	case t == reflect.TypeFor[config.Quantity]():
		return shapeQuantity
	case t == reflect.TypeFor[config.Supported](), t == reflect.TypeFor[field.Words]():
		return shapeWords
	case reflect.PointerTo(t).Implements(textType):
		return shapeText
	}
	switch t.Kind() {
	case reflect.Bool:
		return shapeSwitch
	case reflect.Float32, reflect.Float64:
		return shapeNumber
	case reflect.Slice:
		return shapeList
	case reflect.Map:
		return shapeTable
	case reflect.Struct:
		return shapeStruct
	case reflect.String:
		return shapeText
	default:
		return shapeWhole
	}
}

// bare returns t without the pointer in front of it.
func bare(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// kind is a registered kind of probe, desk or notifier.
type kind struct {
	name, doc string
	config    reflect.Type
	phases    []string
	numbers   []probes.NumberKind
	evidence  bool
	fields    bool // of a desk: its cases have fields that a configuration may fill
}

// kindsOf returns the kinds whose keys stand beside those of struct type t; none for a struct without kinds.
func kindsOf(t reflect.Type) []kind {
	var all []kind
	switch t {
	case reflect.TypeFor[config.Probe]():
		for _, k := range probes.Kinds() {
			all = append(all, kind{
				name: k.Name, doc: k.Doc, config: bare(reflect.TypeOf(k.New())), phases: k.Phases, numbers: k.Numbers, evidence: k.Evidence,
			})
		}
	case reflect.TypeFor[config.Desk]():
		for _, k := range desk.Kinds() {
			all = append(all, kind{name: k.Name, doc: k.Doc, config: bare(reflect.TypeOf(k.New())), fields: k.Fields})
		}
	case reflect.TypeFor[config.Notifier]():
		for _, k := range notify.Kinds() {
			all = append(all, kind{name: k.Name, doc: k.Doc, config: bare(reflect.TypeOf(k.New()))})
		}
	}
	return all
}
