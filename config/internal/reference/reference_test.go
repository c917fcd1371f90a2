package reference_test

import (
	"bytes"
	"encoding"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/internal/reference"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/probes"
)

var docs = filepath.Join("..", "..", "..", "docs")

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	files, err := reference.Files(docs)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%s is out of date: run go generate ./config\n%s", path, cmp.Diff(string(got), string(want)))
		}
	}
}

// schema returns the compiled schema as it is generated, which the drift test holds to the published file.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := reference.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(reference.SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile(reference.SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance reads YAML as an editor would.
func instance(t *testing.T, data []byte) any {
	t.Helper()
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// goodFiles are the configurations of the repository that must be accepted: the examples, the demo's, and those of tests.
func goodFiles(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{
		filepath.Join(docs, "examples", "*.yaml"),
		filepath.Join("..", "..", "..", "agent", "demo", "demo.yaml"),
		filepath.Join("..", "..", "..", "testdata", "*.yaml"),
		filepath.Join("testdata", "good", "*.yaml"),
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, files...)
	}
	return all
}

// kindOfLine finds the kind of a probe that stands on one line.
var kindOfLine = regexp.MustCompile(`(?m)^ *- \{ kind: ([a-z-]+),.*\n`)

// read returns a good file, less the probes, a line each, of kinds that an example may show before they are there.
func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return kindOfLine.ReplaceAllFunc(data, func(line []byte) []byte {
		kind := string(kindOfLine.FindSubmatch(line)[1])
		if _, ok := probes.Lookup(kind); !ok && slices.Contains([]string{"browser", "perfion"}, kind) {
			return nil
		}
		return line
	})
}

func TestSchemaAcceptsGoodFiles(t *testing.T) {
	s := schema(t)
	files := goodFiles(t)
	if len(files) < 4 {
		t.Fatalf("only %v", files)
	}
	for _, file := range files {
		data := read(t, file)
		if err := s.Validate(instance(t, data)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

var secretPath = regexp.MustCompile(`/run/secrets/(\w+)`)

// TestExamplesLoad reads the examples as the agent would, with secret files and variables in place.
func TestExamplesLoad(t *testing.T) {
	for _, file := range goodFiles(t) {
		data := read(t, file)
		dir := t.TempDir()
		for _, m := range secretPath.FindAllSubmatch(data, -1) {
			content := "https://secret.example/hook\n"
			if string(m[1]) == "teams" {
				content = "ntfy://ntfy.example/topic\n"
			}
			if err := os.WriteFile(filepath.Join(dir, string(m[1])), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		data = bytes.ReplaceAll(data, []byte("/run/secrets/"), []byte(dir+"/"))
		env := func(name string) (string, bool) {
			value, ok := map[string]string{
				"STORE": "sqlite::memory:", "LISTEN": "127.0.0.1:0", "SMTP": "smtp://127.0.0.1:2525",
				"TENANT": "acme", "PRIORITY": "p2", "YES": "true", "FIVE": "5", "TIMEOUT": "2s",
			}[name]
			switch {
			case ok:
				return value, true
			case strings.HasPrefix(name, "WEB") || strings.HasPrefix(name, "BACKEND"):
				return "http://127.0.0.1:8080/", true
			}
			return "127.0.0.1:3389", true
		}
		c, err := config.Parse(file, data, env)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if len(c.AllProbes()) == 0 {
			t.Errorf("%s has no probes", file)
		}
	}
}

func TestSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	const good = "tenant: { id: acme }\ncomponents: [{ name: web, probes: [{ kind: tcp, address: \"a:1\" }] }]\n"
	s := schema(t)
	if err := s.Validate(instance(t, []byte(good))); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"no tenant":             "components: [{ name: web, probes: [{ kind: tcp, address: \"a:1\" }] }]",
		"no components":         "tenant: { id: acme }",
		"empty components":      "tenant: { id: acme }\ncomponents: []",
		"unknown key":           good + "webb: {}",
		"unknown nested key":    good + "web: { listn: x }",
		"unknown kind":          strings.Replace(good, "kind: tcp", "kind: tpc", 1),
		"later kind":            strings.Replace(good, "kind: tcp", "kind: arm", 1),
		"no kind":               strings.Replace(good, "kind: tcp, ", "", 1),
		"missing key of a kind": strings.Replace(good, "address", "expect", 1),
		"key of another kind":   strings.Replace(good, "kind: tcp", "kind: tcp, url: x", 1),
		"phase of another kind": strings.Replace(good, "kind: tcp", "kind: tcp, limits: { x224: 1s }", 1),
		"number of no kind":     strings.Replace(good, "kind: tcp", "kind: tcp, limits: { certificate_days: 21 }", 1),
		"phase as a number":     strings.Replace(good, "kind: tcp", "kind: tcp, limits: { total: 3 }", 1),
		"number as a duration":  strings.Replace(good, "kind: tcp", "kind: tls, limits: { certificate_days: 21d }", 1),
		"number in percent":     strings.Replace(good, "kind: tcp", "kind: tls, limits: { certificate_days: 5% }", 1),
		"number of nothing":     strings.Replace(good, "kind: tcp", "kind: tls, limits: { certificate_days: 0 }", 1),
		"bad duration":          strings.Replace(good, "kind: tcp", "kind: tcp, interval: 5", 1),
		"bad duration text":     strings.Replace(good, "kind: tcp", "kind: tcp, interval: 5 s", 1),
		"bad role":              strings.Replace(good, "kind: tcp", "kind: tcp, role: judge", 1),
		"both":                  strings.Replace(good, "name: web", "name: web, instances: [{ name: a, probes: [{ kind: tcp, address: \"a:1\" }] }]", 1),
		"neither":               "tenant: { id: acme }\ncomponents: [{ name: web }]",
		"bad type":              good + "web: { listen: 9797 }",
		"bad switch":            strings.Replace(good, "name: web", "name: web, essential: 1", 1),
		"bad number":            good + "detection: { rechecks: three }",
		"bad priority":          good + "policy: { redundancy_lost: p5 }",
		"bad list":              good + "service_level: { status_for: p1 }",
		"null":                  good + "vantage:",
		"secret and its file":   good + "web: { token: a, token_file: b }",
		"no secret":             good + "heartbeat: { every: 1m }",
	} {
		if err := s.Validate(instance(t, []byte(data))); err == nil {
			t.Errorf("%s: the schema accepts\n%s", name, data)
		}
		if _, err := config.Parse("firstcall.yaml", []byte(data), os.LookupEnv); err == nil {
			t.Errorf("%s: the decoder accepts\n%s", name, data)
		}
	}
}

// registered returns a new struct of every kind.
func registered() map[string]field.Validator {
	all := map[string]field.Validator{}
	for _, k := range probes.Kinds() {
		all["probe "+k.Name] = k.New()
	}
	for _, k := range desk.Kinds() {
		all["desk "+k.Name] = k.New()
	}
	for _, k := range notify.Kinds() {
		all["notifier "+k.Name] = k.New()
	}
	return all
}

// TestKindsAreConfigurable holds every registered kind to the rules of package field.
func TestKindsAreConfigurable(t *testing.T) {
	for name, v := range registered() {
		typ := reflect.TypeOf(v)
		if typ.Kind() != reflect.Pointer || typ.Elem().Kind() != reflect.Struct {
			t.Errorf("%s: its configuration is a %v, not a pointer to a struct", name, typ)
			continue
		}
		checkStruct(t, name, typ.Elem())
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: Validate of an empty configuration panics: %v", name, p)
				}
			}()
			v.Validate()
		}()
	}
	checkStruct(t, "config", reflect.TypeFor[config.Config]())
}

func checkStruct(t *testing.T, name string, typ reflect.Type) {
	t.Helper()
	for f := range typ.Fields() {
		if f.IsExported() && !f.Anonymous && f.Tag.Get("yaml") == "" {
			t.Errorf("%s: field %s has no yaml tag", name, f.Name)
		}
	}
	for _, s := range field.Specs(typ) {
		at := name + "." + s.Key
		if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(s.Key) {
			t.Errorf("%s: the key is not snake_case", at)
		}
		if !strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: the doc tag %q is not a sentence", at, s.Doc)
		}
		if s.Default != "" && s.Required {
			t.Errorf("%s: both required and with a default", at)
		}
		checkType(t, at, s.Type)
	}
}

func checkType(t *testing.T, at string, typ reflect.Type) {
	t.Helper()
	text := reflect.TypeFor[encoding.TextUnmarshaler]()
	switch {
	case typ == reflect.TypeFor[secret.Value](), typ == reflect.TypeFor[time.Duration](), reflect.PointerTo(typ).Implements(text):
		return
	}
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice:
		checkType(t, at, typ.Elem())
	case reflect.Map:
		if typ.Key().Kind() != reflect.String {
			t.Errorf("%s: keys of type %v cannot be configured", at, typ.Key())
		}
		checkType(t, at, typ.Elem())
	case reflect.Struct:
		checkStruct(t, at, typ)
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.Array, reflect.Complex64, reflect.Complex128, reflect.Uintptr, reflect.UnsafePointer:
		t.Errorf("%s: values of type %v cannot be configured", at, typ)
	default:
	}
}

func TestDefaultsOfKindsAreAllowedWords(t *testing.T) {
	for name, v := range registered() {
		for _, s := range field.Specs(reflect.TypeOf(v)) {
			if len(s.Enum) > 0 && s.Default != "" && !strings.Contains(","+strings.Join(s.Enum, ",")+",", ","+s.Default+",") {
				t.Errorf("%s.%s: the default %q is not one of %v", name, s.Key, s.Default, s.Enum)
			}
		}
	}
}
