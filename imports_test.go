package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/firstcall-agent/firstcall"

type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// layers lists the module's packages from the ground up; a package may import only what stands on its own line or above.
// The longest match counts.
var layers = []struct{ prefix string }{
	{"config/secret"},
	{"config/field"},
	{"probes"},
	{"incident"},
	{"config"},
	{"agent"},
	{""}, // main
}

// pure packages get time with what they are given, and do no I/O.
var pure = []string{"incident", "incident/policy", "incident/detect", "incident/sla", "incident/engine", "incident/fleet", "agent/report"}

// clocks are the functions of package time that look at, or wait for, the time of day.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// impure are the packages, with all below them, that pure ones must not import.
var impure = []string{"net", "os", "io/fs", "database/sql", "log", "math/rand", "crypto/rand", "syscall", "runtime", "sync", "context"}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		from := within(p.ImportPath)
		for _, path := range p.Imports {
			if path == "github.com/spf13/cobra/doc" && from != "agent/man" {
				t.Errorf("%s imports %s: the binary makes no man pages", from, path)
			}
			if path != module && !strings.HasPrefix(path, module+"/") {
				continue
			}
			to := within(path)
			if layer(to) > layer(from) {
				t.Errorf("%s imports %s, which stands above it", from, to)
			}
			if why := forbidden(from, to); why != "" && !suite(from) {
				t.Errorf("%s imports %s: %s", from, to, why)
			}
			if suite(to) && !suite(from) {
				t.Errorf("%s imports %s, which is for tests", from, to)
			}
		}
	}
}

func TestImportRulesBite(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{"incident/store", "incident/desk"},
		{"incident/notify", "incident/store"},
		{"incident/desk/desktest", "incident/notify"},
		{"incident/policy", "incident/detect"},
		{"incident/detect", "incident/store"},
		{"incident/engine", "incident/reconcile"},
		{"incident", "incident/policy"},
		{"incident/smtp", "incident/desk"},
	} {
		if forbidden(c.from, c.to) == "" {
			t.Errorf("%s may import %s", c.from, c.to)
		}
	}
	for _, c := range []struct{ low, high string }{
		{"config/secret", "probes/rdp"},
		{"probes", "incident"},
		{"incident/reconcile", "config"},
		{"config/internal/reference", "agent"},
		{"agent/web", ""},
	} {
		if layer(c.low) >= layer(c.high) {
			t.Errorf("%s does not stand below %s", c.low, c.high)
		}
	}
}

func TestPurePackagesHaveNoClockAndDoNoIO(t *testing.T) {
	for _, p := range packages(t) {
		name := within(p.ImportPath)
		if !slices.Contains(pure, name) {
			continue
		}
		for _, path := range p.Imports {
			for _, bad := range impure {
				if path == bad || strings.HasPrefix(path, bad+"/") {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
		for _, file := range p.GoFiles {
			for _, call := range clockCalls(t, filepath.Join(p.Dir, file)) {
				t.Errorf("%s: time.%s: time comes in with the result", filepath.Join(name, file), call)
			}
		}
	}
}

// forbidden says what is wrong with an import inside incident; "" when it is fine.
func forbidden(from, to string) string {
	part := func(path string) string {
		rest, ok := strings.CutPrefix(path, "incident/")
		if !ok {
			return ""
		}
		first, _, _ := strings.Cut(rest, "/")
		return first
	}
	a, b := part(from), part(to)
	switch sides := []string{"store", "desk", "notify"}; {
	case b == "" || a == b:
		return ""
	case slices.Contains(sides, a) && slices.Contains(sides, b):
		return "store, desk and notify do not know one another"
	case from == "incident":
		return "the domain's words know no package below"
	case a == "smtp":
		return "desk and notify share it, so it knows neither them nor their neighbours"
	case a == "engine" && !slices.Contains(pure, "incident/"+b):
		return "the engine is pure"
	case a != "engine" && slices.Contains(pure, "incident/"+a):
		return "of the pure packages, the engine alone imports others"
	}
	return ""
}

// suite reports whether a package is there for tests: a contract suite such as desktest, or what lies below one.
func suite(name string) bool {
	return slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return strings.HasSuffix(part, "test") })
}

func layer(name string) int {
	best, length := len(layers)-1, -1
	for i, l := range layers {
		if (name == l.prefix || strings.HasPrefix(name, l.prefix+"/")) && len(l.prefix) > length && l.prefix != "" {
			best, length = i, len(l.prefix)
		}
	}
	return best
}

func within(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

// clockCalls returns the functions of clocks that a file uses.
func clockCalls(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clocks, selector.Sel.Name) {
			found = append(found, selector.Sel.Name)
		}
		return true
	})
	return found
}
