//go:build servers && linux

package charts_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// kubernetes is the version that templates are rendered for, and that testdata/schemas are of.
const kubernetes = "1.36.3"

// notes lets the notes of an installation come out among the manifests.
const notes = `extraObjects[0]={kind: Notes, apiVersion: v1, text: {{ include "firstcall/templates/NOTES.txt" . | toJson }}}`

type object = map[string]any

// set is a release: files of values, in their order.
type set struct {
	name  string
	files []string
}

func sets(t *testing.T) []set {
	t.Helper()
	var all []set
	for _, pattern := range []string{"firstcall/examples/*.yaml", "testdata/values/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			s := set{strings.TrimSuffix(filepath.Base(file), ".yaml"), []string{file}}
			if s.name == "operations" {
				s.files = append(s.files, "firstcall/examples/tenants/acme.yaml")
			}
			all = append(all, s)
		}
	}
	if len(all) < 12 {
		t.Fatalf("only %d sets of values are found", len(all))
	}
	return all
}

// run runs a program with input and returns what it says on both streams.
func run(t *testing.T, input string, program string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &said
	cmd.Env = append(os.Environ(), "KUBECONFIG="+os.DevNull)
	err = cmd.Run()
	return out.String(), said.String(), err
}

func helm(t *testing.T) string { return servers.Tool(t, "chart", "helm.sh/helm/v3/cmd/helm") }

// template renders a release named acme in the namespace firstcall.
func template(t *testing.T, chart string, files []string, args ...string) (string, error) {
	t.Helper()
	return templateOf(t, "acme", chart, files, args...)
}

func templateOf(t *testing.T, release, chart string, files []string, args ...string) (string, error) {
	t.Helper()
	all := []string{"template", release, chart, "--namespace", "firstcall", "--kube-version", kubernetes}
	for _, file := range files {
		all = append(all, "--values", file)
	}
	out, said, err := run(t, "", helm(t), append(all, args...)...)
	if err != nil {
		return "", errors.New(said)
	}
	return out, nil
}

// chartOf returns the chart that a set is for: of subchart a parent that has it among its own.
func chartOf(t *testing.T, name string) string {
	t.Helper()
	if name != "subchart" {
		return "firstcall"
	}
	parent := t.TempDir()
	if err := os.CopyFS(filepath.Join(parent, "charts", "firstcall"), os.DirFS("firstcall")); err != nil {
		t.Fatal(err)
	}
	const chart = "apiVersion: v2\nname: solution\nversion: 1.0.0\ndependencies: [{ name: firstcall, version: '*', condition: firstcall.enabled }]\n"
	if err := os.WriteFile(filepath.Join(parent, "Chart.yaml"), []byte(chart), 0o600); err != nil {
		t.Fatal(err)
	}
	return parent
}

// objects parses manifests.
func objects(t *testing.T, manifests string) []object {
	t.Helper()
	var all []object
	for d := yaml.NewDecoder(strings.NewReader(manifests)); ; {
		var o object
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if o != nil {
			all = append(all, o)
		}
	}
}

// find returns the first object of one of the kinds; nil where there is none.
func find(all []object, kinds ...string) object {
	for _, o := range all {
		if slices.Contains(kinds, o["kind"].(string)) {
			return o
		}
	}
	return nil
}

// at returns what is at a path of keys and indices of an object; nil where nothing is.
func at(o any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := o.(object)
			o = m[step]
		case int:
			l, _ := o.([]any)
			if step >= len(l) {
				return nil
			}
			o = l[step]
		}
	}
	return o
}

// env returns the value of a variable of the agent's container; nil where it has none.
func env(workload object, name string) any {
	all, _ := at(workload, "spec", "template", "spec", "containers", 0, "env").([]any)
	for _, v := range all {
		if at(v, "name") == name {
			return at(v, "value")
		}
	}
	return nil
}
