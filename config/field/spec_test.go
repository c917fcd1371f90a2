package field_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/firstcall-agent/firstcall/config/field"
)

type common struct {
	CA string `yaml:"ca_file" doc:"Authorities."`
}

type sample struct {
	common
	Depth   string `yaml:"depth" default:"tls" enum:"tcp,tls" doc:"How far."`
	Address string `yaml:"address,omitempty" required:"true"`
	Query   string `yaml:"query" inline:"<{"`
	Hidden  string `yaml:"-"`
	Plain   string
}

func TestSpecsFollowTheTags(t *testing.T) {
	want := []field.Spec{
		{Key: "ca_file", Doc: "Authorities.", Type: reflect.TypeFor[string](), Index: []int{0, 0}},
		{Key: "depth", Doc: "How far.", Default: "tls", Enum: []string{"tcp", "tls"}, Type: reflect.TypeFor[string](), Index: []int{1}},
		{Key: "address", Required: true, Type: reflect.TypeFor[string](), Index: []int{2}},
		{Key: "query", Inline: "<{", Type: reflect.TypeFor[string](), Index: []int{3}},
	}
	sameType := cmp.Comparer(func(a, b reflect.Type) bool { return a == b })
	for _, typ := range []reflect.Type{reflect.TypeFor[sample](), reflect.TypeFor[*sample]()} {
		if diff := cmp.Diff(want, field.Specs(typ), sameType, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("Specs(%v) (-want +got):\n%s", typ, diff)
		}
	}
}
