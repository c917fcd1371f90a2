package reference

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/incident"
)

// SchemaID is the address under which the schema is published.
const SchemaID = "https://raw.githubusercontent.com/firstcall-agent/firstcall/main/docs/firstcall.schema.json"

// object is a JSON object; its keys are written in alphabetical order.
type object = map[string]any

// priorities are the words of incident.Priority, where a field does not narrow them.
var priorities = []string{"p1", "p2", "p3", "p4"}

// Schema returns the JSON Schema (2020-12) of the configuration, indented, with a final newline.
func Schema() ([]byte, error) {
	b := builder{defs: object{
		"variable": object{"type": "string", "pattern": `^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`, "description": "The value of an environment variable."},
		"duration": object{
			"anyOf": []any{
				object{"type": "string", "pattern": `^(0|[0-9]{1,5}d|([0-9]{1,5}d)?([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+)$`},
				object{"$ref": "#/$defs/variable"},
			},
		},
	}}
	root := b.structure(reflect.TypeFor[config.Config]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = SchemaID
	root["title"] = "firstcall"
	root["description"] = "Configuration of the firstcall monitoring agent."
	root["$defs"] = b.defs
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// builder gathers the named parts of the schema.
type builder struct{ defs object }

// structure returns the schema of a struct: a closed object.
func (b *builder) structure(t reflect.Type) object {
	if kinds := kindsOf(t); kinds != nil {
		return b.kinds(t, kinds)
	}
	s := b.object(field.Specs(t))
	if t == reflect.TypeFor[config.Component]() {
		s["oneOf"] = []any{object{"required": []string{"probes"}}, object{"required": []string{"instances"}}}
	}
	return s
}

// kinds returns the schema of an entry whose key kind says which keys stand beside the common ones.
func (b *builder) kinds(t reflect.Type, kinds []kind) object {
	var names []string
	var cases []any
	for _, k := range kinds {
		names = append(names, k.name)
		then := b.object(merged(field.Specs(t), field.Specs(k.config)))
		then["description"] = k.doc
		properties := then["properties"].(object)
		properties["kind"] = object{"const": k.name, "description": k.doc}
		if len(k.phases) > 0 {
			limits(properties["limits"].(object), k)
		}
		if t == reflect.TypeFor[config.Desk]() && !k.fields {
			delete(properties, "fields")
		}
		delete(then, "type")
		cases = append(cases, object{"if": object{"properties": object{"kind": object{"const": k.name}}}, "then": then})
	}
	return object{
		"type":       "object",
		"required":   []string{"kind"},
		"properties": object{"kind": object{"enum": names}},
		"allOf":      cases,
	}
}

// limits gives every phase and every number of a kind its own form.
func limits(o object, k kind) {
	properties := object{}
	for _, phase := range append(slices.Clone(k.phases), "total") {
		properties[phase] = object{"$ref": "#/$defs/duration"}
	}
	for _, n := range k.numbers {
		forms := []any{object{"type": "number", "exclusiveMinimum": 0}}
		if n.Unit == "%" {
			forms = append(forms, object{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)? ?%$`})
		}
		properties[n.Name] = object{"anyOf": append(forms, object{"$ref": "#/$defs/variable"}), "description": n.Doc}
	}
	o["properties"], o["additionalProperties"] = properties, false
}

// merged returns the common keys and those of a kind; where both have one, the kind says more.
func merged(common, own []field.Spec) []field.Spec {
	all := slices.DeleteFunc(slices.Clone(common), func(s field.Spec) bool {
		return slices.ContainsFunc(own, func(o field.Spec) bool { return o.Key == s.Key })
	})
	return append(all, own...)
}

// object returns the closed schema of a set of keys.
func (b *builder) object(specs []field.Spec) object {
	properties := object{}
	var required []string
	var rules []any
	for _, s := range specs {
		value := b.value(s.Type, s.Enum)
		value["description"] = s.Doc
		if s.Default != "" {
			value["default"] = defaultOf(s)
		}
		properties[s.Key] = value
		secret := shapeOf(bare(s.Type)) == shapeSecret
		if secret {
			properties[s.Key+"_file"] = object{"type": "string", "minLength": 1, "description": "File that holds " + s.Key + ", relative to the configuration file."}
			rules = append(rules, object{"not": object{"required": []string{s.Key, s.Key + "_file"}}})
		}
		switch {
		case s.Required && secret:
			rules = append(rules, object{"anyOf": []any{object{"required": []string{s.Key}}, object{"required": []string{s.Key + "_file"}}}})
		case s.Required:
			required = append(required, s.Key)
			if shapeOf(bare(s.Type)) == shapeList {
				value["minItems"] = 1
			}
		}
	}
	o := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		o["required"] = required
	}
	if len(rules) > 0 {
		o["allOf"] = rules
	}
	return o
}

// value returns the schema of a field's type. Whatever is not text may be a variable too.
func (b *builder) value(t reflect.Type, enum []string) object {
	t = bare(t)
	if t == reflect.TypeFor[incident.Priority]() && enum == nil {
		enum = priorities
	}
	switch shapeOf(t) {
	case shapeDuration:
		return object{"$ref": "#/$defs/duration"}
	case shapeQuantity:
		return object{"anyOf": []any{object{"$ref": "#/$defs/duration"}, object{"type": "number"}, object{"type": "string", "pattern": `%$`}}}
	case shapeSwitch:
		return orVariable(object{"type": "boolean"})
	case shapeNumber:
		return orVariable(object{"type": "number"})
	case shapeWhole:
		return orVariable(object{"type": "integer"})
	case shapeWords:
		return object{"anyOf": []any{object{"type": "string"}, object{"type": "array", "items": object{"type": "string"}}}}
	case shapeList:
		return object{"type": "array", "items": b.value(t.Elem(), enum)}
	case shapeTable:
		return object{"type": "object", "additionalProperties": b.value(t.Elem(), enum)}
	case shapeStruct:
		return b.named(t)
	default:
	}
	if enum != nil {
		return orVariable(object{"enum": enum})
	}
	return object{"type": "string"}
}

func orVariable(o object) object {
	return object{"anyOf": []any{o, object{"$ref": "#/$defs/variable"}}}
}

// named puts a struct of the configuration itself under its name; those of kinds stay where they are used.
func (b *builder) named(t reflect.Type) object {
	if t.PkgPath() != reflect.TypeFor[config.Config]().PkgPath() && t != reflect.TypeFor[incident.Contact]() {
		return b.structure(t)
	}
	name := strings.ToLower(t.Name())
	if _, done := b.defs[name]; !done {
		b.defs[name] = object{} // a struct that holds itself ends here
		b.defs[name] = b.structure(t)
	}
	return object{"$ref": "#/$defs/" + name}
}

// defaultOf returns the default in its JSON type.
func defaultOf(s field.Spec) any {
	t := bare(s.Type)
	switch shapeOf(t) {
	case shapeSwitch:
		return s.Default == "true"
	case shapeWhole, shapeNumber:
		if n, err := strconv.ParseFloat(s.Default, 64); err == nil {
			return n
		}
	case shapeList:
		words := strings.Split(s.Default, ",")
		all := make([]any, len(words))
		for i, word := range words {
			all[i] = defaultOf(field.Spec{Type: t.Elem(), Default: word})
		}
		return all
	default:
	}
	return s.Default
}
