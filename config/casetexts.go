package config

import (
	"strings"
	"unicode"

	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
)

// Bounds on the fields that a desk's entry may fill.
const (
	maxFields    = 50
	maxFieldName = 100 // bytes
)

// caseTexts checks an operator's texts for the cases at one desk by writing sample cases with them.
func (d *decoder) caseTexts(k Desk, path string) {
	if kind, ok := desk.Lookup(k.Kind); ok && len(k.Fields) > 0 {
		d.check(kind.Fields, path+".fields", "leave it out; docs/configuration.md says which kinds have some", "cases of kind %s have no fields that can be filled", quote(k.Kind))
	}
	d.check(len(k.Fields) <= maxFields, path+".fields", "", "has more than %d fields", maxFields)
	for name := range k.Fields {
		odd := name == "" || len(name) > maxFieldName || strings.ContainsFunc(name, unicode.IsControl)
		d.check(!odd, join(path+".fields", name), "", "is no name of a field: it has 1 to %d bytes and no control characters", maxFieldName)
	}
	for _, f := range reconcile.CheckTexts(k.Templates, k.Fields) {
		at := join(path+".templates", f.Part)
		if f.Field {
			at = join(path+".fields", f.Part)
		}
		if !d.clean(at) {
			continue
		}
		hint := ""
		switch {
		case f.Unknown != "" && len(f.Known) > 0:
			hint = d.suggest(f.Unknown, f.Known)
		case f.Empty:
			hint = "write something for every case, or leave the key out"
		case len(f.Known) > 0:
			hint = "its names are " + list(f.Known) + "; docs/configuration.md tells of all"
		}
		d.fault(at, hint, "%s", d.redact(f.Message))
	}
}
