//go:build servers && e2ek8s && linux

package charts_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/probes"
)

// known are the kinds that a cluster knows without operators.
var known = []string{
	"ConfigMap", "Deployment", "Ingress", "NetworkPolicy", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "Secret", "Service", "ServiceAccount", "StatefulSet",
}

// admitted has the API server take what every example renders, and its pods under PodSecurity's level restricted.
func (k *cluster) admitted() {
	k.t.Helper()
	begin := time.Now()
	for _, name := range []string{"restricted", "monitoring"} {
		k.kubectl("create", "namespace", name)
		k.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
	}
	k.apply("{ apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: { name: gvisor }, handler: runsc }") // which one of them names
	pods := 0
	accounts := map[any]bool{}
	for _, s := range sets(k.t) {
		if slices.Contains([]string{"host-network", "browser"}, s.name) {
			continue // which say that they are not restricted
		}
		args := []string{"template", "acme", chartOf(k.t, s.name), "--namespace", "restricted"}
		for _, file := range s.files {
			args = append(args, "--values", file)
		}
		manifests, err := k.try("", helm(k.t), append(args, "--kube-version", kubernetes)...)
		if err != nil {
			k.t.Fatal(err)
		}
		var taken []string
		for document := range strings.SplitSeq("\n"+manifests, "\n---\n") {
			for _, o := range objects(k.t, document) {
				if !slices.Contains(known, o["kind"].(string)) {
					continue
				}
				taken = append(taken, document)
				if o["kind"] == "Pod" || at(o, "spec", "template", "spec") != nil {
					pods++
				}
				if account := at(o, "spec", "serviceAccountName"); account != nil && !accounts[account] {
					accounts[account] = true // a dry run leaves none behind, and without its account a pod is refused
					k.kubectl("--namespace", "restricted", "create", "serviceaccount", fmt.Sprint(account))
				}
			}
		}
		cmd := k.command("kubectl", "apply", "--dry-run=server", "--validate=strict", "--filename", "-")
		cmd.Stdin = strings.NewReader(strings.Join(taken, "\n---\n"))
		said, err := cmd.CombinedOutput()
		complaints := slices.DeleteFunc(strings.Split(string(said), "\n"), func(line string) bool {
			return strings.HasSuffix(line, "(server dry run)") || strings.Contains(line, "missing the kubectl.kubernetes.io/last-applied-configuration") || line == ""
		})
		if err != nil || len(complaints) > 0 {
			k.t.Errorf("%s: %v: %s", s.name, err, strings.Join(complaints, "\n"))
		}
	}
	k.proved(fmt.Sprintf("the API server admits every example; %d pods are restricted", pods), begin)
	_, err := k.try(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"hostNetwork": true, "containers": [{"name": "x", "image": "x"}],
		"securityContext": {"sysctls": [{"name": "net.ipv4.ping_group_range", "value": "0 2147483647"}]}}}`, "kubectl", "--namespace", "firstcall", "apply", "--dry-run=server", "--filename", "-")
	k.noted("a pod on the node's network with the sysctl is refused by the API server", strconv.FormatBool(err != nil))
	if err != nil {
		k.t.Log(err)
	}
}

// refused wants a configuration that the schema knows to be wrong to change nothing at all.
func (k *cluster) refused(release func(string, ...string) []string) {
	k.t.Helper()
	begin := time.Now()
	before := k.kubectl("--namespace", "firstcall", "get", "configmap,statefulset,secret", "--output", "jsonpath={.items[*].metadata.resourceVersion}")
	for _, wrong := range []string{"config.tennant.id=x", "config.components[0].probes[0].ulr=x", "config.web.token=secret", "replicas=2"} {
		if _, err := k.tryHelm(append([]string{"upgrade"}, release("", "--set", wrong)...)...); err == nil || !strings.Contains(err.Error(), "UPGRADE FAILED: values don't meet the specifications") {
			k.t.Errorf("helm upgrade --set %s: %v", wrong, err)
		}
	}
	if after := k.kubectl("--namespace", "firstcall", "get", "configmap,statefulset,secret", "--output", "jsonpath={.items[*].metadata.resourceVersion}"); after != before {
		k.t.Errorf("a refused upgrade changed something: %s, then %s", before, after)
	}
	k.proved("helm upgrade refuses four wrong configurations, and nothing is changed", begin)
}

// rejected gives the agent a configuration that only it knows to be wrong: the old one goes on, until helm rollback.
func (k *cluster) rejected(release func(string, ...string) []string, a agent) {
	k.t.Helper()
	metric := func(want string) func() bool {
		return func() bool {
			data, err := k.get("/metrics")
			return err == nil && strings.Contains(string(data), "\nfirstcall_config_last_reload_successful "+want+"\n")
		}
	}
	begin := time.Now()
	k.helm(append([]string{"upgrade"}, release("    - { name: broken, depends_on: [nothing], probes: [{ kind: http, url: "+k.target.URL+" }] }")...)...)
	k.eventually(synced, "the agent refuses the configuration", metric("0"))
	k.proved("a configuration that only the agent sees through: refused, the old one goes on", begin)
	if log := k.kubectl("--namespace", "firstcall", "logs", a.pod); !strings.Contains(log, "the new configuration is refused") || !strings.Contains(log, "nothing") {
		k.t.Errorf("the log does not say why:\n%s", log)
	}
	if _, ok := k.probe("reports/tcp"); !ok {
		k.t.Error("the old configuration does not go on")
	}
	if _, err := k.tryHelm("test", "acme", "--timeout", "1m"); err == nil {
		k.t.Error("helm test likes the wrong configuration")
	}
	begin = time.Now()
	k.helm("rollback", "acme")
	k.eventually(synced, "the agent takes the configuration", metric("1"))
	k.proved("  helm rollback: taken again", begin)
	k.same(a)
}

// notes does what the notes of the installation say.
func (k *cluster) notes(notes string) {
	k.t.Helper()
	for _, said := range []string{"firstcall watches acme.", "Nothing watches the agent itself", "There are no config.witnesses"} {
		if !strings.Contains(notes, said) {
			k.t.Errorf("the notes do not say %q:\n%s", said, notes)
		}
	}
	var commands []string
	for line := range strings.Lines(notes) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "kubectl ") || strings.HasPrefix(line, "helm ") {
			command, _, _ := strings.Cut(line, ", then ")
			commands = append(commands, command)
		}
	}
	if len(commands) != 5 {
		k.t.Fatalf("the notes name %d commands: %q\n%s", len(commands), commands, notes)
	}
	for _, command := range commands {
		program, rest, _ := strings.Cut(command, " ")
		args := strings.Fields(rest)
		begin := time.Now()
		if program == "helm" {
			program = helm(k.t)
		}
		if slices.Contains(args, "port-forward") {
			k.forward(program, args)
			k.proved("notes: "+command, begin)
			continue
		}
		out, err := k.try("", program, args...)
		if err != nil {
			k.t.Errorf("%s: %v\n%s", command, err, out)
		}
		switch {
		case slices.Contains(args, "logs") && !strings.Contains(out, `"msg":`),
			slices.Contains(args, "test") && strings.Contains(program, "helm") && (strings.Count(out, "Succeeded") != 2 || !strings.Contains(out, "FIRSTCALL OK - web-client/http")):
			k.t.Errorf("%s says\n%s", command, out)
		}
		k.proved("notes: "+command, begin)
	}
	if all := k.desk.Cases(); len(all) != 1 || all[0].State != "resolved" {
		k.t.Errorf("firstcall desk test left %+v", all)
	}
}

// forward wants the page through a port-forward, on a port of the kernel's choice.
func (k *cluster) forward(program string, args []string) {
	k.t.Helper()
	for i, arg := range args {
		if _, port, found := strings.Cut(arg, ":"); found {
			args[i] = ":" + port
		}
	}
	cmd := k.command(program, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	line := make([]byte, 200)
	n, err := out.Read(line)
	m := regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+)`).FindSubmatch(line[:n])
	if m == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		k.t.Errorf("port-forward: %v: %s%s", err, line[:n], said.String())
		return
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(fmt.Sprintf("http://%s/", m[1]))
	if err != nil {
		k.t.Error(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if page, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "acme") {
		k.t.Errorf("the page through port-forward: %d, %v\n%s", resp.StatusCode, err, page)
	}
}

// inPod looks at the process and at what it was given.
func (k *cluster) inPod(a agent, disk string) {
	k.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.pid))
	if err != nil {
		k.t.Fatal(err)
	}
	for _, want := range []string{
		`Uid:\t65532\t65532\t65532\t65532`, `Gid:\t65532\t65532\t65532\t65532`, `Groups:\t65532 `, `CapPrm:\t0+`, `CapEff:\t0+`, `CapBnd:\t0+`, `CapAmb:\t0+`, `NoNewPrivs:\t1`, `Seccomp:\t2`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).Match(status) {
			k.t.Errorf("the process is not %s:\n%s", want, status)
		}
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", a.pid))
	if err != nil {
		k.t.Fatal(err)
	}
	for path, mode := range map[string]string{"/": "ro", "/etc/firstcall": "ro", "/var/lib/firstcall": "rw", "/tmp": "rw"} {
		if !regexp.MustCompile(`(?m)^\S+ ` + path + ` \S+ ` + mode + `,`).Match(mounts) {
			k.t.Errorf("%s is not mounted %s:\n%s", path, mode, mounts)
		}
	}
	if strings.Contains(string(mounts), "serviceaccount") {
		k.t.Error("the pod has a ServiceAccount's token")
	}
	k.noted("uid 65532, no capability, no new privileges, seccomp, / read-only, no token", "yes")
	root := fmt.Sprintf("/proc/%d/root", a.pid)
	for _, f := range []struct {
		path, mode string
		uid, gid   uint32
	}{
		{root + "/etc/firstcall/..data/firstcall.yaml", "-r--r-----", 0, 65532},
		{root + "/etc/firstcall/..data/soc", "-r--r-----", 0, 65532},
		{root + "/var/lib/firstcall/firstcall.db", "-rw-------", 65532, 65532},
		{disk, "dgrwxrwxr-x", 0, 65532},
	} {
		info, err := os.Stat(f.path)
		if err != nil {
			k.t.Error(err)
			continue
		}
		owner := info.Sys().(*syscall.Stat_t)
		if info.Mode().String() != f.mode || owner.Uid != f.uid || owner.Gid != f.gid {
			k.t.Errorf("%s is %s of %d:%d, want %s of %d:%d", f.path, info.Mode(), owner.Uid, owner.Gid, f.mode, f.uid, f.gid)
		}
	}
	k.noted("fsGroup: projected files 0440 root:65532, the volume's directory is the group's", "yes")
}

// icmp wants a probe to say what the node lets it: with the node's network a pod cannot set the sysctl itself.
func (k *cluster) icmp() {
	k.t.Helper()
	allowed, err := os.ReadFile("/proc/sys/net/ipv4/ping_group_range")
	if err != nil {
		k.t.Fatal(err)
	}
	var first, last int
	if _, err := fmt.Sscan(string(allowed), &first, &last); err != nil {
		k.t.Fatal(err)
	}
	r, ok := k.probe("web-client/icmp")
	want := probes.Up
	if last < 65532 || first > 65532 {
		want = probes.Unknown
	}
	if !ok || r.Outcome != want || want == probes.Unknown && !strings.Contains(r.Detail, "net.ipv4.ping_group_range") {
		k.t.Errorf("with the node's ping_group_range %d to %d icmp is %+v", first, last, r)
	}
	var s web.Status
	if !k.read("/api/v1/status", &s) || len(s.Incidents) != 0 {
		k.t.Errorf("%+v", s)
	}
	k.noted(fmt.Sprintf("icmp with the node's ping_group_range %d %d", first, last), want.String()+", and no case of it")
}

// openToAll lets others than root look for what is below, and leaves the directory itself to root: the kubelet gives it to the pod's group.
func openToAll(dir string) error {
	for p := filepath.Dir(dir); p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o755)
}
