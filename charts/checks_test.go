//go:build servers && linux

package charts_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/cli"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

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

// ignored are the opinions of kube-score that the chart does not share.
var ignored = []string{
	"container-image-pull-policy",          // Always would keep agents from starting while the registry is away; versions do not move
	"deployment-has-host-podantiaffinity",  // topology spread does it
	"statefulset-has-host-podantiaffinity", // it has one pod
	"statefulset-has-servicename",          // nobody asks for the pod's own name; the page's Service does
	"pod-topology-spread-constraints",      // of one pod
	"container-ephemeral-storage-request-equals-limit",
}

// conforms holds manifests to Kubernetes' schemas, in which an unknown key is a fault.
func conforms(t *testing.T, manifests string) {
	t.Helper()
	out, said, err := run(t, manifests, servers.Tool(t, "chart", "github.com/yannh/kubeconform/cmd/kubeconform"), "-strict", "-summary",
		"-schema-location", "testdata/schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json", "-skip", "CiliumNetworkPolicy,ExternalSecret", "-")
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

// secrets are the contents of the Secrets that examples name, by key.
var secrets = map[string]string{
	"db-password": "s3cret", "db-url": "postgres://firstcall:s3cret@db.example/firstcall?sslmode=verify-full", "heartbeat": "https://watchdog.example/acme",
	"perfion": "s3cret", "probe-password": "s3cret", "smtp": "s3cret", "soc": "0123456789abcdef", "teams": "ntfy://ntfy.example/topic", "token": "0123456789abcdef0123456789abcdef",
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
	for i, source := range sources { // of a file that several have the kubelet takes the last
		if at(source, "secret") != nil {
			items, _ := at(source, "secret", "items").([]any)
			for _, item := range items {
				write(at(item, "path").(string), secrets[at(item, "path").(string)])
			}
			if items == nil {
				for key, text := range secrets {
					write(key, text)
				}
				if i == len(sources)-1 {
					write("firstcall.yaml", string(smallest)) // of existingConfig.secret
				} else {
					write("firstcall.yaml", "a secret's own: true\n")
				}
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
