//go:build servers && linux

package image

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

var published = regexp.MustCompile(`(?m)^published [^/\s]+/acme/(\S+)@(sha256:[0-9a-f]{64}), `)

// publish runs .ci/publish against a registry that wants a password, holds the registry to what it should have then, and returns the images that
// were built.
func publish(t *testing.T, bases []string, dir string) map[string]built {
	t.Helper()
	registry := servers.StartRegistry(t)
	home := t.TempDir()
	registry.LogOn(home)
	bin := t.TempDir()
	// Sigstore cannot be had here: this says what it was asked for.
	write(t, bin, "cosign", "#!/bin/sh\necho \"$@\" >>"+bin+"/asked\n")
	helm := servers.Tool(t, "chart", "helm.sh/helm/v3/cmd/helm")
	env := append(slices.Clip(bases), "HOME="+home, "PATH="+bin+":"+os.Getenv("PATH"), "PLAIN_HTTP=true", "HELM="+helm)
	for _, variable := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} { // they lie below the home of before
		out, err := exec.Command("go", "env", variable).Output()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, variable+"="+strings.TrimSpace(string(out)))
	}
	to := registry.Address + "/acme"
	out := script(t, env, dir, "077", ".ci/publish", to)
	digests := map[string]string{}
	for _, m := range published.FindAllStringSubmatch(out, -1) {
		digests[m[1]] = m[2]
	}

	t.Run("the registry has an image for each architecture", func(t *testing.T) {
		var index struct {
			Manifests []struct {
				Digest   string
				Platform struct{ OS, Architecture string }
			}
		}
		digest := manifest(t, registry, "firstcall", "1.2.3", &index)
		var platforms []string
		for _, m := range index.Manifests {
			platforms = append(platforms, m.Platform.OS+"/"+m.Platform.Architecture)
		}
		if slices.Sort(platforms); !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) || digest != digests["firstcall"] {
			t.Errorf("1.2.3 is %s of %v, published was\n%s", digest, platforms, out)
		}
	})
	t.Run("the registry has the chart that installs it", func(t *testing.T) {
		var chart struct{ Config struct{ MediaType string } }
		if digest := manifest(t, registry, "charts/firstcall", "1.2.3", &chart); digest != digests["charts/firstcall"] || chart.Config.MediaType != "application/vnd.cncf.helm.config.v1+json" {
			t.Errorf("1.2.3 is %s, %q; published was\n%s", digest, chart.Config.MediaType, out)
		}
		cmd := exec.Command(helm, "template", "acme", "oci://"+to+"/charts/firstcall", "--version", "1.2.3", "--plain-http", "--kube-version", "1.34.0", "--values", filepath.Join(dir, "charts/firstcall/examples/sqlite.yaml"))
		cmd.Env = env
		if manifests, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(manifests), "image: ghcr.io/firstcall-agent/firstcall:1.2.3\n") {
			t.Errorf("helm template: %v\n%s", err, manifests)
		}
	})
	t.Run("image, parts and chart are signed, by digest", func(t *testing.T) {
		asked, err := os.ReadFile(filepath.Join(bin, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		image, chart := to+"/firstcall@"+digests["firstcall"], to+"/charts/firstcall@"+digests["charts/firstcall"]
		want := "sign --yes --allow-http-registry --recursive " + image + "\n"
		for _, arch := range []string{"amd64", "arm64"} {
			want += "attest --yes --allow-http-registry --type cyclonedx --predicate dist/firstcall-linux-" + arch + ".cdx.json " + image + "\n"
		}
		if want += "sign --yes --allow-http-registry " + chart + "\n"; string(asked) != want {
			t.Errorf("cosign was asked for\n%swant\n%s", asked, want)
		}
	})
	for _, refused := range []struct {
		name, want string
		env        []string
	}{
		{"a version that is none", "version 27d0ba1 is none of a release", []string{"VERSION=27d0ba1"}},
		{"a commit without a tag", "has no tag", []string{"VERSION="}},
		{"no cosign", "cosign is missing", []string{"VERSION=v1.2.3", "COSIGN=cosign-of-nobody"}},
	} {
		t.Run("refused: "+refused.name, func(t *testing.T) {
			cmd := exec.Command(".ci/publish", to)
			cmd.Dir, cmd.Env = dir, append(slices.Clip(env), refused.env...)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), refused.want) {
				t.Errorf("%v, want %q\n%s", err, refused.want, out)
			}
		})
	}
	return builtBy(t, out, "linux/amd64", "linux/arm64")
}

// manifest reads what a tag names in the registry, and returns its digest.
func manifest(t *testing.T, registry *servers.Registry, repository, tag string, into any) (digest string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+registry.Address+"/v2/acme/"+repository+"/manifests/"+tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(servers.RegistryUser, servers.RegistrySecret)
	request.Header["Accept"] = []string{"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s:%s: %s, %v\n%s", repository, tag, response.Status, err, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatal(err)
	}
	return response.Header.Get("Docker-Content-Digest")
}
