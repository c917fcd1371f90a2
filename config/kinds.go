package config

import (
	"reflect"

	"github.com/goccy/go-yaml/ast"

	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/probes"
)

// kinded is an entry whose key kind says which keys stand beside the common ones.
type kinded interface {
	// kinds returns the names of the registered kinds.
	kinds() []string
	// choose sets up the kind of that name and returns a pointer to its struct; nil when there is none.
	choose(name string) any
}

var kindedType = reflect.TypeFor[kinded]()

func (*Probe) kinds() (names []string) {
	for _, k := range probes.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

func (p *Probe) choose(name string) any {
	k, ok := probes.Lookup(name)
	if !ok {
		return nil
	}
	p.Probe = k.New()
	return p.Probe
}

func (*Desk) kinds() (names []string) {
	for _, k := range desk.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

func (k *Desk) choose(name string) any {
	kind, ok := desk.Lookup(name)
	if !ok {
		return nil
	}
	k.Builder = kind.New()
	return k.Builder
}

func (*Notifier) kinds() (names []string) {
	for _, k := range notify.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

func (n *Notifier) choose(name string) any {
	kind, ok := notify.Lookup(name)
	if !ok {
		return nil
	}
	n.Builder = kind.New()
	return n.Builder
}

// kind returns the struct of the kind that a mapping names, as a second target to decode into; none when the kind is missing
// or not known. The key itself is reported missing with the common keys.
func (d *decoder) kind(n ast.Node, path string, k kinded) []reflect.Value {
	entries, ok := scan(n)
	if !ok {
		return nil
	}
	for _, v := range entries {
		if v.Key.GetToken().Value != "kind" {
			continue
		}
		p := join(path, "kind")
		d.places[p] = place{start(v), start(v.Value)}
		var name string
		d.value(v.Value, p, reflect.ValueOf(&name).Elem(), nil)
		if !d.clean(p) {
			return nil
		}
		if target := k.choose(name); target != nil {
			return []reflect.Value{reflect.ValueOf(target).Elem()}
		}
		d.fault(p, d.suggest(name, k.kinds()), "there is no kind %s", quote(name))
		return nil
	}
	return nil
}

// scan returns the keys of a mapping without judging them.
func scan(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// known returns every key that a configuration may have, wherever it stands.
func (d *decoder) known() map[string]bool {
	keys := map[string]bool{}
	d.gather(reflect.TypeFor[Config](), keys)
	for _, k := range probes.Kinds() {
		d.gather(reflect.TypeOf(k.New()), keys)
	}
	for _, k := range desk.Kinds() {
		d.gather(reflect.TypeOf(k.New()), keys)
	}
	for _, k := range notify.Kinds() {
		d.gather(reflect.TypeOf(k.New()), keys)
	}
	return keys
}

func (d *decoder) gather(t reflect.Type, keys map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		d.gather(t.Elem(), keys)
	case reflect.Struct:
		for _, s := range d.specsOf(t) {
			keys[s.Key] = true
			if s.Type == secretType {
				keys[s.Key+fileSuffix] = true
			}
			d.gather(s.Type, keys)
		}
	default:
	}
}
