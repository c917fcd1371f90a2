//go:build servers && linux

// Package charts_test renders the chart with Helm itself and holds what comes out to Kubernetes' own schemas, to kube-score, and to the agent's
// check of its configuration.
package charts_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/cli"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

// kubernetes is the version that templates are rendered for, and that testdata/schemas are of.
const kubernetes = "1.36.3"

// notes lets the notes of an installation come out among the manifests.
const notes = `extraObjects[0]={kind: Notes, apiVersion: v1, text: {{ include "firstcall/templates/NOTES.txt" . | toJson }}}`

// secrets are the contents of the Secrets that examples name, by key.
var secrets = map[string]string{
	"db-password": "s3cret", "db-url": "postgres://firstcall:s3cret@db.example/firstcall?sslmode=verify-full", "heartbeat": "https://watchdog.example/acme",
	"perfion": "s3cret", "probe-password": "s3cret", "smtp": "s3cret", "soc": "0123456789abcdef", "teams": "ntfy://ntfy.example/topic", "token": "0123456789abcdef0123456789abcdef",
}

// ignored are the opinions of kube-score that the chart does not share.
var ignored = []string{
	"container-image-pull-policy",          // Always would keep agents from starting while the registry is away; versions do not move
	"deployment-has-host-podantiaffinity",  // topology spread does it
	"statefulset-has-host-podantiaffinity", // it has one pod
	"statefulset-has-servicename",          // nobody asks for the pod's own name; the page's Service does
	"pod-topology-spread-constraints",      // of one pod
	"container-ephemeral-storage-request-equals-limit",
}

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
	all := []string{"template", "acme", chart, "--namespace", "firstcall", "--kube-version", kubernetes}
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

// TestReleases states of every example, and of sets of values that together use every one, that what is rendered is what it was, that Kubernetes takes it, that
// kube-score has nothing against it, and that the agent would start with it.
func TestReleases(t *testing.T) {
	for _, s := range sets(t) {
		t.Run(s.name, func(t *testing.T) {
			chart := chartOf(t, s.name)
			manifests, err := template(t, chart, s.files)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, s.name+".yaml", short(t, manifests))
			conforms(t, manifests)
			scores(t, manifests)
			lints(t, chart, s.files)
			starts(t, objects(t, manifests))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: write it with go test -tags servers ./charts -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what is rendered; if that is meant: go test -tags servers ./charts -update\n%s", file, diff)
	}
}

var source = regexp.MustCompile(`(?m)^  firstcall-(\w+\.json): \|\n((?:    .*\n|\n)+)`)

// short takes the dashboards out of manifests, after it has seen that they are the files'.
func short(t *testing.T, manifests string) string {
	t.Helper()
	return source.ReplaceAllStringFunc(manifests, func(found string) string {
		m := source.FindStringSubmatch(found)
		file := filepath.Join("firstcall", "dashboards", m[1])
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(strings.TrimPrefix(m[2], "    "), "\n    ", "\n"); strings.TrimSpace(got) != strings.TrimSpace(string(want)) {
			t.Errorf("the ConfigMap of %s does not hold it", file)
		}
		return "  firstcall-" + m[1] + ": " + file + "\n"
	})
}

// conforms holds manifests to Kubernetes' schemas, in which an unknown key is a fault.
func conforms(t *testing.T, manifests string) {
	t.Helper()
	out, said, err := run(t, manifests, servers.Tool(t, "chart", "github.com/yannh/kubeconform/cmd/kubeconform"), "-strict", "-summary",
		"-schema-location", "testdata/schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json", "-skip", "CiliumNetworkPolicy,ExternalSecret,StorageClass,VolumeSnapshot", "-")
	if err != nil {
		t.Errorf("kubeconform: %v\n%s%s", err, out, said)
	}
}

func scores(t *testing.T, manifests string) {
	t.Helper()
	args := []string{"score", "--kubernetes-version", "v1.36", "--output-format", "ci", "--ignore-container-cpu-limit"}
	off := slices.Clone(ignored)
	if !strings.Contains(manifests, "Ingress, Egress") {
		off = append(off, "pod-networkpolicy") // egress is restricted where somebody lists the targets
	}
	for _, test := range off {
		args = append(args, "--ignore-test", test)
	}
	out, said, _ := run(t, manifests, servers.Tool(t, "score", "github.com/zegl/kube-score/cmd/kube-score"), append(args, "-")...)
	if !strings.Contains(out, "[OK]") && strings.Contains(manifests, "kind: Pod\n") {
		t.Errorf("kube-score looked at nothing: %s%s", out, said)
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "[WARNING]") || strings.HasPrefix(line, "[CRITICAL]") {
			t.Errorf("kube-score: %s", line)
		}
	}
}

func lints(t *testing.T, chart string, files []string) {
	t.Helper()
	args := []string{"lint", chart, "--strict", "--quiet", "--kube-version", kubernetes}
	for _, file := range files {
		args = append(args, "--values", file)
	}
	if out, said, err := run(t, "", helm(t), args...); err != nil {
		t.Errorf("helm lint: %v\n%s%s", err, out, said)
	}
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

// starts lays the agent's directory out as the kubelet would, and lets the agent check what it finds there, with the arguments of the pod.
func starts(t *testing.T, all []object) {
	t.Helper()
	agent := find(all, "StatefulSet", "Deployment")
	if agent == nil {
		return
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	smallest, err := os.ReadFile("../docs/examples/smallest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sources, _ := at(agent, "spec", "template", "spec", "volumes", 0, "projected", "sources").([]any)
	for _, source := range sources {
		if at(source, "secret") != nil {
			items, _ := at(source, "secret", "items").([]any)
			for _, item := range items {
				write(at(item, "path").(string), secrets[at(item, "path").(string)])
			}
			if items == nil {
				for key, text := range secrets {
					write(key, text)
				}
				write("firstcall.yaml", string(smallest)) // of existingConfig.secret; a rendered one comes after it
			}
			continue
		}
		name := at(source, "configMap", "name")
		own := slices.IndexFunc(all, func(o object) bool { return o["kind"] == "ConfigMap" && at(o, "metadata", "name") == name })
		if own < 0 {
			write("acme.yaml", string(smallest))
			continue
		}
		for key, text := range all[own]["data"].(object) {
			write(key, text.(string))
		}
	}
	if own := find(all, "ConfigMap"); own != nil && at(own, "data", "firstcall.yaml") != nil {
		write("firstcall.yaml", at(own, "data", "firstcall.yaml").(string))
	}
	container := at(agent, "spec", "template", "spec", "containers", 0)
	env, _ := at(container, "env").([]any)
	for _, v := range env {
		t.Setenv(at(v, "name").(string), "0123456789abcdef0123456789abcdef")
	}
	args := []string{"--config.check"}
	for _, arg := range at(container, "args").([]any) {
		args = append(args, strings.Replace(arg.(string), "/etc/firstcall", dir, 1))
	}
	args = append(args[1:], args[0])
	var out, said bytes.Buffer
	if code := cli.Main(args, strings.NewReader(""), &out, &said); code != 0 {
		t.Errorf("firstcall %s: code %d\n%s%s", strings.Join(args, " "), code, out.String(), said.String())
		return
	}
	test := slices.IndexFunc(all, func(o object) bool { return at(o, "spec", "containers", 0, "name") == "probe" })
	if test < 0 {
		return
	}
	probe := at(all[test], "spec", "containers", 0, "args", 2)
	_, file, _ := strings.Cut(args[1], "=")
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(c.AllProbes(), func(p *config.Probe) bool { return p.ID == probe }) {
		t.Errorf("helm test would run the probe %v, which is none", probe)
	}
}

// TestConfigurationsAreTaken states that the configurations of the manual are taken below config as they stand, but for an address on loopback.
func TestConfigurationsAreTaken(t *testing.T) {
	files, err := filepath.Glob("../docs/examples/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		values := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(values, []byte("config:\n  "+strings.NewReplacer("\n", "\n  ", "127.0.0.1:9797", "0.0.0.0:9797").Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := template(t, "firstcall", []string{values}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestRefusals states that what cannot work is refused before anything is installed, in words that say what to do, and without the secret.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"replicaz=2", "additional properties 'replicaz' not allowed"},
		{"podSecurityContex.runAsUser=1", "additional properties 'podSecurityContex' not allowed"},
		{"persistence.sise=1Gi", "at '/persistence': additional properties 'sise' not allowed"},
		{"replicas=2", "at '/replicas': value must be '1, or store: postgres'"},
		{"image.digest=latest", "at '/image/digest'"},
		{"azureWorkloadIdentity.tokenExpiration=60", "minimum: got 60, want 3,600"},
		{"config.tennant.id=x", "at '/config': additional properties 'tennant' not allowed"},
		{"config.components[0].probes[0].ulr=x", "at '/config/components/0/probes/0': additional properties 'ulr' not allowed"},
		{"config.components[0].probes[0].kind=htpp", "at '/config/components/0/probes/0/kind': value must be one of 'avd', "},
		{"config.web.token=geheim", "at '/config/web/token': value must be '${NAME}, or token_file'"},
		{"config.heartbeat.url=https://watchdog.example/geheim", "at '/config/heartbeat/url': value must be '${NAME}, or url_file'"},
		{"config.store.url=postgres://firstcall:geheim@db/firstcall", "at '/config/store/url': value must be 'an address without a password, ${NAME}, or url_file'"},
		{"config.store.url=postgres://firstcall@db/firstcall", "set store: postgres as well"},
		{"config.store.url=sqlite:/tmp/firstcall.db", "must lie below sqlite:/var/lib/firstcall/"},
		{"store=postgres", "give config.store.url"},
		{"store=postgres,config.store.url_file=url", "vantage is missing"},
		{"config.web.listen=:8080", "config.web.listen is :8080, and port is 9797"},
		{"config.web.listen=127.0.0.1:9797", "which nobody reaches in a pod"},
		{"existingConfig.secret=acme", "there is more than one configuration"},
		{"config=null", "there is no configuration"},
		{"metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true", "would scrape every agent twice"},
		{"ingress.enabled=true", "ingress.host is missing"},
	} {
		_, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, "--set", c.set)
		switch {
		case err == nil:
			t.Errorf("%s is taken", c.set)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: want %q:\n%v", c.set, c.want, err)
		case strings.Contains(err.Error(), "geheim"):
			t.Errorf("%s: the secret is shown:\n%v", c.set, err)
		}
	}
}

// TestOnlySomeChangesRestart states that pods are replaced where the agent reads a key at its start only, and are left alone where it reads it anew.
func TestOnlySomeChangesRestart(t *testing.T) {
	pod := func(args ...string) any {
		manifests, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, args...)
		if err != nil {
			t.Fatal(err)
		}
		return at(find(objects(t, manifests), "StatefulSet"), "spec", "template")
	}
	before := pod()
	for change, restarts := range map[string]bool{
		"config.components[0].probes[0].interval=10s":  false,
		"config.tenant.name=ACME":                      false,
		"config.web.external_url=https://acme.example": false,
		"files.a=b":                       false,
		"config.tenant.id=other":          true,
		"config.store.results_for=10d":    true,
		"config.web.config_file=web.yaml": true,
		"vantage=weu":                     true,
		"image.tag=v2":                    true,
	} {
		if got := cmp.Diff(before, pod("--set", change)) != ""; got != restarts {
			t.Errorf("%s: pods are replaced: %v, want %v", change, got, restarts)
		}
	}
	if cmp.Diff(pod("--set", "restartOnConfigChange=true"), pod("--set", "restartOnConfigChange=true,files.a=b")) == "" {
		t.Error("restartOnConfigChange has no effect")
	}
}

// TestNotes states what an operator is told after an installation.
func TestNotes(t *testing.T) {
	for _, s := range sets(t) {
		if s.name == "subchart" {
			continue
		}
		manifests, err := template(t, "firstcall", s.files, "--set-json", "extraObjects=["+fmt.Sprintf("%q", strings.TrimPrefix(notes, "extraObjects[0]="))+"]")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, s.name+".txt", find(objects(t, manifests), "Notes")["text"].(string)+"\n")
	}
}

// TestValuesAndSchemaAgree states that every value is in values.yaml, with its default and its meaning, and in the schema.
func TestValuesAndSchemaAgree(t *testing.T) {
	var values, schema object
	for file, into := range map[string]*object{"firstcall/values.yaml": &values, "values.schema.json": &schema} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(data, into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	var compare func(path string, values, schema object)
	compare = func(path string, values, schema object) {
		properties, closed := schema["properties"].(object)
		if !closed || schema["additionalProperties"] != false {
			return
		}
		for name := range maps.Keys(values) {
			if properties[name] == nil {
				t.Errorf("%s%s is in values.yaml and not in the schema", path, name)
			}
		}
		for name, p := range properties {
			v, there := values[name]
			if !there && path+name != "enabled" && !strings.HasPrefix(path, "resources.") && path+name != "resources.claims" {
				t.Errorf("%s%s is in the schema and not in values.yaml", path, name)
			}
			if below, ok := v.(object); ok {
				compare(path+name+".", below, p.(object))
			}
		}
	}
	compare("", values, schema)
}

// TestReadme states that the chart's README is what helm-docs makes of its values.
func TestReadme(t *testing.T) {
	out, said, err := run(t, "", servers.Tool(t, "chart", "github.com/norwoodj/helm-docs/cmd/helm-docs"), "--chart-search-root", "firstcall", "--dry-run")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	want, err := os.ReadFile("firstcall/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), strings.TrimSpace(out)); diff != "" {
		t.Errorf("charts/firstcall/README.md is out of date: make chart\n%s", diff)
	}
}

// TestPackage states what a packaged chart holds.
func TestPackage(t *testing.T) {
	dir := t.TempDir()
	if out, said, err := run(t, "", helm(t), "package", "firstcall", "--destination", dir); err != nil {
		t.Fatalf("%v\n%s%s", err, out, said)
	}
	files, err := filepath.Glob(filepath.Join(dir, "firstcall-*.tgz"))
	if err != nil || len(files) != 1 {
		t.Fatalf("packaged: %v, %v", files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 200_000 {
		t.Errorf("the packaged chart has %d bytes: Helm keeps it with every revision, in a Secret of at most 1 MiB", info.Size())
	}
}
