//go:build servers && linux

// Package charts_test renders the chart with Helm itself and holds what comes out to Kubernetes' own schemas, to kube-score, and to the agent's
// check of its configuration.
package charts_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

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
		{"config.components[0].probes[0].url=https://probe:geheim@acme.example/", "at '/config/components/0/probes/0/url': value must be 'an address without credentials, or ${NAME}'"},
		{"config.components[0].probes[0].url=https://geheim@acme.example/", "at '/config/components/0/probes/0/url'"},
		{"config.components[0].probes[0].url=https://acme.example/?token=geheim", "at '/config/components/0/probes/0/url'"},
		{"config.components[0].probes[0].headers.Authorization=Bearer geheim", "at '/config/components/0/probes/0/headers/Authorization': value must be '${NAME}, a variable of extraEnv'"},
		{"config.components[0].probes[0].headers.cookie=geheim", "at '/config/components/0/probes/0/headers/cookie'"},
		{"config.desks[0].kind=webhook,config.desks[0].name=soc,config.desks[0].url=https://u:geheim@soc.example/", "at '/config/desks/0/url'"},
		{"config.desks[0].kind=webhook,config.desks[0].name=soc,config.desks[0].url=https://soc.example/,config.desks[0].headers.X-Key=geheim", "at '/config/desks/0/headers/X-Key'"},
		{"config.notices[0].kind=email,config.notices[0].name=mail,config.notices[0].smtp=smtp://u:geheim@smtp.example:587", "at '/config/notices/0/smtp'"},
		{"config.web.external_url=https://u:geheim@acme.example/", "at '/config/web/external_url'"},
		{"config.web.token=geheim", "at '/config/web/token': value must be '${NAME}, or token_file'"},
		{"config.heartbeat.url=https://watchdog.example/geheim", "at '/config/heartbeat/url': value must be '${NAME}, or url_file'"},
		{"config.store.url=postgres://firstcall:geheim@db/firstcall", "at '/config/store/url': value must be 'an address without a password, ${NAME}, or url_file'"},
		{"config.store.url=postgres://firstcall@db/firstcall", "set store: postgres as well"},
		{"config.store.url=sqlite:/tmp/firstcall.db", "must lie below sqlite:/var/lib/firstcall/"},
		{"config.store.url=${STORE}", "for a PostgreSQL set store: postgres as well"},
		{"config.store.url_file=db-url", "config.store.url_file is for a PostgreSQL: set store: postgres as well; with sqlite leave it out"},
		{"secrets[0].secret=acme,secrets[0].items.config=firstcall.yaml", "at '/secrets/0/items/config'"},
		{"store=postgres", "give config.store.url"},
		{"store=postgres,config.store.url_file=url", "vantage is missing"},
		{"config.web.listen=:8080", "config.web.listen is :8080, and port is 9797"},
		{"config.web.listen=127.0.0.1:9797", "which nobody reaches in a pod"},
		{"existingConfig.secret=acme", "there is more than one configuration"},
		{"config=null", "there is no configuration"},
		{"metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true", "would scrape everything twice"},
		{"ingress.enabled=true", "ingress.host is missing"},
		{"agent.enabled=false,ingress.enabled=true,ingress.host=a.example", "ingress is the way to an agent's page, and agent.enabled is false"},
		{"agent.enabled=false,metrics.podMonitor.enabled=true", "have nothing to scrape: agent.enabled is false and there are no extraObjects"},
		{"agent.enabled=false,metrics.serviceMonitor.enabled=true", "have nothing to scrape"},
		{"agent.enabled=false,metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true", "would scrape everything twice"},
		{"azureWorkloadIdentity.enabled=true,azureWorkloadIdentity.clientId=x,serviceAccount.create=false", "annotate that ServiceAccount yourself"},
		{"config=null,existingConfig.secret=acme,vantage=weu", "vantage has no effect on existingConfig"},
		{"podDisruptionBudget.maxUnavailable=0", "at '/podDisruptionBudget/maxUnavailable'"},
		{"podDisruptionBudget.maxUnavailable=0%", "at '/podDisruptionBudget/maxUnavailable'"},
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

// TestNames states that every name that Helm and Kubernetes allow makes objects that Kubernetes takes, or is refused with what to do.
func TestNames(t *testing.T) {
	long := strings.Repeat("a", 42)
	for _, c := range []struct{ release, namespace, set, want, refusal string }{
		{release: "acme.eu", want: "acme-eu-firstcall"},
		{release: long + ".eu", want: long + "-eu-firstc"},
		{release: long[:41] + ".firstcall.x", want: long[:41] + "-firstcall"},
		{release: "no", namespace: "on", want: "no-firstcall"},
		{release: "4711", namespace: "4711", set: "fullnameOverride=c4711,serviceAccount.name=4711,secrets[0].secret=4711,persistence.existingClaim=4711,nameOverride=42", want: "c4711"},
		{release: "4711", refusal: "no Service can be named 4711-firstcall: it begins with a letter"},
		{release: "acme", set: "fullnameOverride=Acme_1", refusal: "no Service can be named Acme_1"},
	} {
		var args []string
		if c.namespace != "" {
			args = append(args, "--namespace", c.namespace)
		}
		manifests, err := templateOf(t, c.release, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, append(args, "--set-string", c.set)...)
		if c.refusal != "" {
			if err == nil || !strings.Contains(err.Error(), c.refusal) {
				t.Errorf("%s %s: want %q: %v", c.release, c.set, c.refusal, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s: %v", c.release, c.set, err)
			continue
		}
		conforms(t, manifests)
		if got := at(find(objects(t, manifests), "Service"), "metadata", "name"); got != c.want {
			t.Errorf("%s %s: the Service is named %v, want %s", c.release, c.set, got, c.want)
		}
	}
}

// TestWhatIsNoSecretIsTaken states that addresses and headers without a credential are taken in config, and variables in place of those with one.
func TestWhatIsNoSecretIsTaken(t *testing.T) {
	const probe, desk = "config.components[0].probes[0].", "config.desks[0].kind=webhook,config.desks[0].name=soc,"
	for _, set := range []string{
		probe + "url=https://acme.example:8443/a:b@c/?q=a@b&key={key}", probe + "url=${WEB}", probe + "url=https://[2001:db8::1]:8443/",
		probe + "headers.Accept=text/html," + probe + "headers.user-agent=firstcall," + probe + "headers.SOAPAction=x," + probe + "headers.Content-Type=text/xml," + probe + "headers.Authorization=${WEB}",
		probe + "expect.headers.Server=nginx",
		desk + "config.desks[0].url=https://soc.example/,config.desks[0].headers.Authorization=${SOC},config.desks[0].find_url=https://soc.example/cases?key={key}",
		"config.notices[0].kind=email,config.notices[0].name=mail,config.notices[0].to[0]=customer,config.notices[0].from=a@acme.example,config.notices[0].smtp=smtp.example:587",
	} {
		if _, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, "--set", strings.NewReplacer("{key}", "\\{key\\}").Replace(set)); err != nil {
			t.Errorf("%s: %v", set, err)
		}
	}
}

// TestLabelsOfOnesOwn states that labels and annotations of the operator's come beside the chart's and before them, but for those that select: no key is there
// twice, which Flux and kustomize refuse.
func TestLabelsOfOnesOwn(t *testing.T) {
	const own = `{"app.kubernetes.io/part-of": "soc", "app.kubernetes.io/name": "other", "app.kubernetes.io/instance": "other", "app.kubernetes.io/component": "other",
		"azure.workload.identity/use": "false", "kubectl.kubernetes.io/default-container": "tail", "team": "soc"}`
	for _, values := range []string{"firstcall/examples/aks.yaml", "firstcall/examples/sqlite.yaml", "firstcall/examples/monitoring.yaml"} {
		set := "metrics.podMonitor.enabled=true,azureWorkloadIdentity.enabled=true"
		if values == "firstcall/examples/monitoring.yaml" {
			set = "azureWorkloadIdentity.enabled=true" // there is nothing to scrape
		}
		manifests, err := template(t, "firstcall", []string{values}, "--set", set,
			"--set-json", "commonLabels="+own, "--set-json", "podLabels="+own, "--set-json", "podAnnotations="+own, "--set-json", "service.labels="+own,
			"--set-json", "persistence.labels="+own, "--set-json", "serviceAccount.labels="+own, "--set-json", "metrics.podMonitor.labels="+own,
			"--set-json", "metrics.dashboards.labels="+own, "--set-json", "metrics.prometheusRule.labels="+own)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects(t, manifests) { // refuses a key that is there twice
			where := fmt.Sprintf("%s: %v %v", values, o["kind"], at(o, "metadata", "name"))
			all := []any{at(o, "metadata", "labels")}
			want := object{"app.kubernetes.io/name": "firstcall", "app.kubernetes.io/instance": "acme", "app.kubernetes.io/part-of": "soc", "team": "soc"}
			if pod := at(o, "spec", "template", "metadata"); pod != nil {
				all = append(all, at(pod, "labels"))
				selector := maps.Clone(at(o, "spec", "selector", "matchLabels").(object))
				selector["azure.workload.identity/use"] = "true"
				for key, value := range selector {
					if got := at(pod, "labels", key); got != value {
						t.Errorf("%s: the pods' label %s is %v, want %v", where, key, got, value)
					}
				}
				if got := at(pod, "annotations", "kubectl.kubernetes.io/default-container"); got != "tail" {
					t.Errorf("%s: the pods' own annotation is %v", where, got)
				}
			}
			if o["kind"] == "Service" {
				want["app.kubernetes.io/component"] = "agent" // a ServiceMonitor picks it by that
			}
			for _, labels := range all {
				for key, value := range want {
					if got := at(labels, key); got != value {
						t.Errorf("%s: label %s is %v, want %v", where, key, got, value)
					}
				}
			}
		}
	}
}

// TestMemoryLimitIsToldToGo states that the heap may take four fifths of the memory limit, however that is written.
func TestMemoryLimitIsToldToGo(t *testing.T) {
	for limit, want := range map[string]any{
		`"256Mi"`: "204MiB", `"1Gi"`: "819MiB", `"0.5Gi"`: "409MiB", `"1.5Gi"`: "1228MiB", `"512M"`: "390MiB", `"1G"`: "762MiB", `"262144Ki"`: "204MiB",
		`268435456`: "204MiB", `"268435456"`: "204MiB", `"1e9"`: "762MiB", `null`: nil,
	} {
		manifests, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, "--set-json", "resources.limits.memory="+limit)
		if err != nil {
			t.Errorf("%s: %v", limit, err)
			continue
		}
		if got := env(find(objects(t, manifests), "StatefulSet"), "GOMEMLIMIT"); got != want {
			t.Errorf("memory limit %s: GOMEMLIMIT is %v, want %v", limit, got, want)
		}
	}
}

// TestTheAgentIsFoundInItsPod states that commands in the pod, such as `firstcall health`, ask where the agent listens.
func TestTheAgentIsFoundInItsPod(t *testing.T) {
	for set, want := range map[string]any{
		"":                                 nil, // where they ask by themselves
		"port=9443,probes.scheme=HTTPS":    "https://127.0.0.1:9443",
		"probes.scheme=HTTPS":              "https://127.0.0.1:9797",
		"port=9000":                        "http://127.0.0.1:9000",
		"port=9000,probes.host=192.0.2.10": "http://192.0.2.10:9000",
		"port=9000,extraEnv[0].name=FIRSTCALL_URL,extraEnv[0].value=http://localhost:9000": "http://localhost:9000",
	} {
		manifests, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, "--set", set)
		if err != nil {
			t.Errorf("%s: %v", set, err)
			continue
		}
		conforms(t, manifests)
		all := objects(t, manifests)
		if got := env(find(all, "StatefulSet"), "FIRSTCALL_URL"); got != want {
			t.Errorf("%s: FIRSTCALL_URL is %v, want %v", set, got, want)
		}
	}
}

// TestIdentityReachesThePods states that pods are replaced where the webhook must look at them anew, and that a shared ServiceAccount leaves the chart its token's life.
func TestIdentityReachesThePods(t *testing.T) {
	const life = "azure.workload.identity/service-account-token-expiration"
	pod := func(set string) (agent any, test any) {
		manifests, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, "--set", set)
		if err != nil {
			t.Fatal(err)
		}
		all := objects(t, manifests)
		return at(find(all, "StatefulSet"), "spec", "template", "metadata", "annotations"), at(find(all, "Pod"), "metadata", "annotations")
	}
	if off, _ := pod("azureWorkloadIdentity.clientId=a"); at(off, life) != nil || at(off, "firstcall/identity") != nil {
		t.Errorf("without an identity the pods have %v", off)
	}
	before, _ := pod("azureWorkloadIdentity.enabled=true,azureWorkloadIdentity.clientId=a")
	for _, change := range []string{"clientId=b", "tenantId=a", "tokenExpiration=7200"} {
		if after, _ := pod("azureWorkloadIdentity.enabled=true,azureWorkloadIdentity.clientId=a,azureWorkloadIdentity." + change); cmp.Diff(before, after) == "" {
			t.Errorf("azureWorkloadIdentity.%s has no effect", change)
		}
	}
	agent, test := pod("azureWorkloadIdentity.enabled=true,azureWorkloadIdentity.tokenExpiration=7200,serviceAccount.create=false,serviceAccount.name=watchers")
	if at(agent, life) != "7200" || at(test, life) != "7200" {
		t.Errorf("tokens live for %v in the agent's pod and %v in the test's, want 7200", at(agent, life), at(test, life))
	}
}

// TestSysctlsOfOnesOwn states that they come beside the one for ICMP, which is there once.
func TestSysctlsOfOnesOwn(t *testing.T) {
	const idle = `{"name":"net.ipv4.tcp_keepalive_time","value":"60"}`
	for _, c := range []struct{ sysctls, set, want string }{
		{`[` + idle + `]`, "icmp.enabled=true", "net.ipv4.ping_group_range=0 2147483647 net.ipv4.tcp_keepalive_time=60"},
		{`[` + idle + `]`, "icmp.enabled=false", "net.ipv4.tcp_keepalive_time=60"},
		{`[{"name":"net.ipv4.ping_group_range","value":"0 9"}]`, "icmp.enabled=true", "net.ipv4.ping_group_range=0 9"},
		{`null`, "icmp.enabled=true", "net.ipv4.ping_group_range=0 2147483647"},
	} {
		manifests, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, "--set", c.set, "--set-json", "podSecurityContext.sysctls="+c.sysctls)
		if err != nil {
			t.Errorf("%s: %v", c.sysctls, err)
			continue
		}
		var got []string
		sysctls, _ := at(find(objects(t, manifests), "StatefulSet"), "spec", "template", "spec", "securityContext", "sysctls").([]any)
		for _, s := range sysctls {
			got = append(got, fmt.Sprintf("%v=%v", at(s, "name"), at(s, "value")))
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s, %s: sysctls are %s, want %s", c.sysctls, c.set, got, c.want)
		}
	}
}

// TestValuesThatAreTakenAway states that whatever has a default map or list may be set to null.
func TestValuesThatAreTakenAway(t *testing.T) {
	for _, value := range []string{"resources", "imagePullSecrets", "serviceAccount.annotations", "commonLabels", "podAnnotations", "podLabels", "podSecurityContext", "securityContext", "nodeSelector", "affinity", "tolerations", "service.labels", "persistence.annotations", "files", "secrets", "global", "extraObjects"} {
		manifests, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, "--set", "icmp.enabled=true,"+value+"=null")
		if err != nil {
			t.Errorf("%s=null: %v", value, err)
			continue
		}
		conforms(t, manifests)
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
		"config.components[0].probes[1].kind=icmp,config.components[0].probes[1].host=h": true, // the sysctl
		"image.tag=v2": true,
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

// TestNotesAreTrue states what the notes say, and do not say, where a single value makes the difference.
func TestNotesAreTrue(t *testing.T) {
	for _, c := range []struct{ set, says, not string }{
		{"probes.scheme=HTTPS", "then https://127.0.0.1:9797", "http://127"},
		{"tests.enabled=false", "exec statefulset/acme-firstcall -- firstcall run --config.check --config.file /etc/firstcall/firstcall.yaml", "helm -n firstcall test"},
		{"config=null,existingConfig.secret=acme", "tests.probe names a probe to run", "and one probe"},
		{"config=null,existingConfig.secret=acme", "set icmp.enabled: true", "external_url"},
		{"config=null,existingConfig.secret=acme,tests.probe=web-client/http,icmp.enabled=false", "and one probe from inside", "icmp"},
		{"config=null,existingConfig.secret=acme,ingress.enabled=true,ingress.host=acme.example", "web.external_url", "port-forward"},
		{"config.desks[0].name=here,config.desks[0].kind=builtin,config.desks[1].name=soc,config.desks[1].kind=webhook,config.desks[1].url=https://soc.example/cases", "firstcall desk test soc --config.file", "test here"},
		{"config.desks[0].name=here,config.desks[0].kind=builtin", "3. Look at", "desk test"},
		{"config=null,existingConfig.secret=acme", "desk test NAME --config.file", "desk test soc"},
		{"networkPolicy.egress.rules[0].ports[0].port=443", "hold nobody back", "Egress is restricted"},
		{"networkPolicy.egress.restrict=true,networkPolicy.egress.rules[0].ports[0].port=443", "Egress is restricted", "hold nobody back"},
		{"networkPolicy.egress.restrict=true,networkPolicy.enabled=false", "", "Egress is restricted"},
	} {
		manifests, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, "--set", c.set, "--set-json", "extraObjects=["+fmt.Sprintf("%q", strings.TrimPrefix(notes, "extraObjects[0]="))+"]")
		if err != nil {
			t.Errorf("%s: %v", c.set, err)
			continue
		}
		text := find(objects(t, manifests), "Notes")["text"].(string)
		if !strings.Contains(text, c.says) || strings.Contains(text, c.not) {
			t.Errorf("%s: want %q and not %q:\n%s", c.set, c.says, c.not, text)
		}
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

// TestTheTestProbeUsesNoAccount states which probe `helm test` runs: a test pod does not know which accounts were refused, and an answer to ICMP says little.
func TestTheTestProbeUsesNoAccount(t *testing.T) {
	const (
		rdp  = `{"kind":"rdp","address":"backend.example:3389","user":"ACME\\probe","password_file":"probe"}`
		tcp  = `{"kind":"tcp","address":"backend.example:443","name":"port"}`
		http = `{"kind":"http","url":"https://acme.example/"}`
		icmp = `{"kind":"icmp","host":"backend.example"}`
	)
	for _, c := range []struct{ components, set, want string }{
		{`[{"name":"backend","instances":[{"name":"vm-1","probes":[` + rdp + `,` + tcp + `]}]},{"name":"web","probes":[` + http + `]}]`, "", "backend/vm-1/port"},
		{`[{"name":"backend","probes":[` + rdp + `]},{"name":"web","probes":[` + http + `]}]`, "", "web/http"},
		{`[{"name":"backend","probes":[` + rdp + `]}]`, "", ""},
		{`[{"name":"backend","probes":[` + rdp + `]}]`, "backend/rdp", "backend/rdp"},
		{`[{"name":"backend","instances":[{"name":"vm-1","probes":[` + icmp + `,` + rdp + `,` + tcp + `]}]},{"name":"web","probes":[` + http + `]}]`, "", "backend/vm-1/port"},
		{`[{"name":"backend","probes":[` + icmp + `,` + rdp + `]}]`, "", "backend/icmp"}, // says little, but more than nothing
	} {
		manifests, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, "--set-json", "config.components="+c.components, "--set", "tests.probe="+c.set)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if m := regexp.MustCompile(`(?m)^ +- probe\n +- --config\.file=\S+\n +- (\S+)$`).FindSubmatch([]byte(manifests)); m != nil {
			got = string(m[1])
		}
		if got != c.want {
			t.Errorf("%s: helm test runs %q, want %q", c.components, got, c.want)
		}
	}
}
