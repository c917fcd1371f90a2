//go:build servers && e2ek8s && linux

package charts_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

const (
	// pagePort is the agents' on the nodes' network.
	pagePort = 24450
	// soon is how long something may take that needs no more than a look; synced what waits for the kubelet to bring a ConfigMap to a pod, which it does
	// within its syncFrequency of a minute and a while; restarted what waits for a new container too.
	soon, synced, restarted = 30 * time.Second, 150 * time.Second, 120 * time.Second
)

// cluster is a real Kubernetes of .ci/k8s with the real image on its nodes, a customer whose web client can be broken, and a desk that is slow and loses
// answers.
type cluster struct {
	t      *testing.T
	env    []string
	dir    string
	node   string // whose agent is asked
	broken atomic.Bool
	target *httptest.Server // the customer's web client
	desk   *servers.Webhook
	proofs []proof
}

type proof struct{ what, figure string }

func startCluster(t *testing.T, nodes int) *cluster {
	t.Helper()
	k := &cluster{t: t, node: "127.0.0.1", dir: cmp.Or(os.Getenv("DIR"), fmt.Sprintf("/tmp/firstcall-k8s.%d", os.Getpid()))}
	k.env = append(os.Environ(), "DIR="+k.dir, "KUBECONFIG="+filepath.Join(k.dir, "admin.kubeconfig"))

	begin := time.Now()
	c := servers.NewContainers(t)
	build := exec.Command(".ci/image", "localhost/firstcall:test")
	build.Dir, build.Env = "..", append(c.Bases(), "VERSION=1.2.3")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the image: %v\n%s", err, out)
	}
	c.Pause()
	var archives []string
	for _, name := range []string{"pause", "firstcall"} {
		archive := filepath.Join(t.TempDir(), name+".tar")
		c.Buildah("push", "--quiet", "localhost/"+name+":test", "docker-archive:"+archive+":localhost/"+name+":test")
		archives = append(archives, archive)
	}
	k.proved("the image is built", begin)

	begin = time.Now()
	t.Cleanup(func() {
		if out, err := k.command("../.ci/k8s", "down").CombinedOutput(); err != nil {
			t.Errorf(".ci/k8s down: %v\n%s", err, out)
		}
	})
	up := k.command("../.ci/k8s", "up", strconv.Itoa(nodes))
	up.Env = append(up.Env, "IMAGES="+strings.Join(archives, " "))
	up.Stderr = os.Stderr
	if err := up.Run(); err != nil {
		t.Fatalf(".ci/k8s up: %v", err)
	}
	k.proved(fmt.Sprintf("Kubernetes %s with %d nodes is up", kubernetes, nodes), begin)

	k.target = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if k.broken.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(k.target.Close)
	k.desk = servers.StartWebhook(t, servers.WebhookOptions{Secret: "hmac"})
	k.kubectl("create", "namespace", "firstcall")
	k.kubectl("--namespace", "firstcall", "create", "secret", "generic", "acme-firstcall", "--from-literal=soc=hmac", "--from-literal=db-password=acme", "--from-literal=token=0123456789abcdef0123456789abcdef")
	return k
}

// proved notes what was seen, and how long it took since then.
func (k *cluster) proved(what string, begin time.Time) {
	k.noted(what, time.Since(begin).Round(100*time.Millisecond).String())
}

func (k *cluster) noted(what, figure string) {
	k.t.Logf("%s: %s", what, figure)
	k.proofs = append(k.proofs, proof{what, figure})
}

func (k *cluster) table() {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, p := range k.proofs {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", p.what, p.figure)
	}
	_ = w.Flush()
	k.t.Logf("proved:\n%s", b.String())
}

// obituary says how things stood when the test failed.
func (k *cluster) obituary() {
	for _, args := range [][]string{
		{"get", "all,pvc,pv", "--output", "wide"},
		{"get", "events", "--sort-by", ".lastTimestamp"},
		{"logs", "--selector", "app.kubernetes.io/name=firstcall", "--all-containers", "--tail", "60"},
		{"logs", "--selector", "app.kubernetes.io/name=firstcall", "--all-containers", "--tail", "60", "--previous"},
	} {
		out, _ := k.command("kubectl", append([]string{"--namespace", "firstcall"}, args...)...).CombinedOutput()
		k.t.Logf("kubectl %s\n%s", strings.Join(args, " "), out)
	}
	for _, c := range k.desk.Cases() {
		k.t.Logf("at the desk: %+v", c)
	}
}

func (k *cluster) command(program string, args ...string) *exec.Cmd {
	if program == "kubectl" {
		cache, err := os.UserCacheDir()
		if err != nil {
			k.t.Fatal(err)
		}
		program = filepath.Join(cache, "firstcall", "k8s", "bin", "kubectl")
	}
	cmd := exec.Command(program, args...)
	cmd.Env = k.env
	return cmd
}

func (k *cluster) kubectl(args ...string) string {
	k.t.Helper()
	out, err := k.try("", "kubectl", args...)
	if err != nil {
		k.t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// try runs a program; its complaints are the error.
func (k *cluster) try(input, program string, args ...string) (string, error) {
	cmd := k.command(program, args...)
	cmd.Stdin = strings.NewReader(input)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, said.String())
	}
	return strings.TrimSpace(string(out)), err
}

func (k *cluster) apply(text string) {
	k.t.Helper()
	if _, err := k.try(text, "kubectl", "apply", "--filename", "-"); err != nil {
		k.t.Fatal(err)
	}
}

// helm runs helm on a release in the namespace firstcall.
func (k *cluster) helm(args ...string) string {
	k.t.Helper()
	out, err := k.tryHelm(args...)
	if err != nil {
		k.t.Fatalf("helm %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func (k *cluster) tryHelm(args ...string) (string, error) {
	k.t.Helper()
	return k.try("", helm(k.t), append([]string{"--namespace", "firstcall"}, args...)...)
}

// values writes a file of values.
func (k *cluster) values(text string, args ...any) string {
	k.t.Helper()
	file := filepath.Join(k.t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, text, args...), 0o600); err != nil {
		k.t.Fatal(err)
	}
	return file
}

// agent is one that runs in a pod.
type agent struct {
	pod, uid, node, container string // container: its id, another one after each restart
	restarts                  int
	pid                       int // on this machine
}

// agents returns the agents of a release that run and are ready.
func (k *cluster) agents(release string) []agent {
	out, err := k.try("", "kubectl", "--namespace", "firstcall", "get", "pods", "--output", "json",
		"--selector", "app.kubernetes.io/component=agent,app.kubernetes.io/instance="+release)
	if err != nil {
		return nil
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name, UID, DeletionTimestamp string }
			Spec     struct{ NodeName string }
			Status   struct {
				ContainerStatuses []struct {
					ContainerID  string
					RestartCount int
					Ready        bool
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		k.t.Fatal(err)
	}
	var all []agent
	for _, p := range list.Items {
		if s := p.Status.ContainerStatuses; len(s) == 1 && s[0].Ready && p.Metadata.DeletionTimestamp == "" {
			if pid := process(p.Metadata.UID); pid != 0 {
				all = append(all, agent{p.Metadata.Name, p.Metadata.UID, p.Spec.NodeName, s[0].ContainerID, s[0].RestartCount, pid})
			}
		}
	}
	return all
}

// the returns the one agent of a release, when it is ready and is not the one before.
func (k *cluster) the(release string, before agent) agent {
	k.t.Helper()
	var now agent
	k.eventually(restarted, "a new agent is ready", func() bool {
		all := k.agents(release)
		if len(all) != 1 || all[0].container == before.container {
			return false
		}
		now = all[0]
		return true
	})
	return now
}

// process returns the id of the agent in a pod, as this machine sees it: the kubelet has mounted the pod's own /etc/hosts there. 0: there is none.
func process(uid string) int {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		line, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(line), "/usr/bin/firstcall\x00run") {
			continue
		}
		mounts, err := os.ReadFile(filepath.Join(filepath.Dir(file), "mountinfo"))
		if err == nil && strings.Contains(string(mounts), "/pods/"+uid+"/") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return pid
		}
	}
	return 0
}

func (k *cluster) get(path string) ([]byte, error) {
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(fmt.Sprintf("http://%s:%d%s", k.node, pagePort, path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %d: %s", path, resp.StatusCode, data)
	}
	return data, err
}

// read asks the agent's API; false where it does not answer.
func (k *cluster) read(path string, into any) bool {
	data, err := k.get(path)
	return err == nil && json.Unmarshal(data, into) == nil
}

// probe returns how a probe fared the last time.
func (k *cluster) probe(id string) (probes.Result, bool) {
	var answer web.Components
	k.read("/api/v1/components", &answer)
	for _, c := range answer.Components {
		for _, i := range c.Instances {
			for _, p := range i.Probes {
				if p.ID == id && p.Last != nil {
					return *p.Last, true
				}
			}
		}
	}
	return probes.Result{}, false
}

func (k *cluster) eventually(within time.Duration, what string, holds func() bool) {
	k.t.Helper()
	for until := time.Now().Add(within); !holds(); {
		if time.Now().After(until) {
			k.t.Fatalf("not within %s: %s", within, what)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// breakInMidCase breaks the web client and returns the key of its incident as soon as the desk has made the case and not yet answered. Every answer is late,
// and every third gets lost.
func (k *cluster) breakInMidCase() string {
	k.t.Helper()
	k.desk.Delay(1500 * time.Millisecond)
	k.desk.LoseEvery(3)
	k.broken.Store(true)
	var key string
	k.eventually(soon, "a case is being opened", func() bool {
		for _, call := range k.desk.Calls() {
			if call.Action == "open" && strings.HasPrefix(call.Key, "fc-acme-web-client-") {
				key = call.Key
			}
		}
		return key != ""
	})
	return key
}

// knows waits until the agent knows the case of an incident, and wants it to be the only one and the desk's first.
func (k *cluster) knows(key string) incident.Case {
	k.t.Helper()
	var c incident.Case
	k.eventually(restarted, "the agent knows the case of "+key, func() bool {
		var answer web.Cases
		k.read("/api/v1/cases?limit=1000", &answer)
		for _, shown := range answer.Cases {
			if shown.Key() == key && shown.State.Live() && shown.Number != "" {
				c = shown.Case
				return true
			}
		}
		return false
	})
	k.one(key, c.Number, "")
	return c
}

// one wants the desk to have exactly one case of an incident.
func (k *cluster) one(key, number, state string) {
	k.t.Helper()
	if all := k.desk.ByKey(key); len(all) != 1 || all[0].Number != number || state != "" && all[0].State != state {
		k.t.Errorf("the desk has %d cases of %s, want one, %s %s: %+v", len(all), key, number, state, all)
	}
}

// mend ends the fault and wants the one case resolved.
func (k *cluster) mend(key, number string) {
	k.t.Helper()
	begin := time.Now()
	k.broken.Store(false)
	k.eventually(restarted, "the case is resolved", func() bool {
		all := k.desk.ByKey(key)
		return len(all) > 0 && all[0].State == "resolved"
	})
	took := time.Since(begin)
	k.desk.LoseEvery(0)
	k.desk.Delay(0)
	k.eventually(restarted, "the agent has read back that the case is resolved", func() bool {
		var answer web.Cases
		k.read("/api/v1/cases?limit=1000", &answer)
		return slices.ContainsFunc(answer.Cases, func(c web.Case) bool { return c.Key() == key && c.Settled })
	})
	k.one(key, number, "resolved")
	k.noted("  the fault ends: "+number+" is resolved, and the only one", took.Round(100*time.Millisecond).String())
}

// quick makes an agent that sees a fault in seconds.
const quick = `
  defaults: { interval: 2s, timeout: 2s }
  detection: { rechecks: 2, recheck_within: 500ms, recover: 2 }
  policy: { settle: 1s, momentary: 1s, momentary_count: 100, momentary_window: 1m }`

// TestCluster runs the chart and the image on a real Kubernetes: what they promise is there, and whatever ends the agent while it opens a case at a desk that
// loses answers, there is one case in the end, under one number, and it is resolved.
func TestCluster(t *testing.T) {
	k := startCluster(t, 3)
	defer k.table()
	for _, store := range []struct {
		name string
		test func(*testing.T)
	}{{"sqlite", k.sqlite}, {"postgres", k.postgres}} {
		t.Run(store.name, func(sub *testing.T) {
			k.t = sub
			defer func() {
				if sub.Failed() {
					k.obituary()
				}
				k.t = t
			}()
			store.test(sub)
		})
	}
}

func (k *cluster) sqlite(t *testing.T) {
	k.noted("SQLITE, a StatefulSet", "")
	disk := t.TempDir()
	k.apply(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: { name: acme }
spec:
  capacity: { storage: 4Gi }
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: { namespace: firstcall, name: acme-firstcall }
  local: { path: %s }
  nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: kubernetes.io/hostname, operator: In, values: [127.0.0.1] }] }] } }
`, disk))
	if err := openToAll(disk); err != nil {
		t.Fatal(err)
	}
	// A component more for a change of the configuration.
	release := func(more string, args ...string) []string {
		values := k.values(`
image: { repository: localhost/firstcall, tag: test }
port: %[1]d
persistence: { enabled: true, storageClass: "-", volumeName: acme }
secrets: [{ secret: acme-firstcall }]
config:
  web: { listen: "127.0.0.1:%[1]d", token_file: token }`+quick+`
  components:
    - { name: web-client, probes: [{ kind: http, url: %[2]q }, { kind: icmp, host: 127.0.0.1 }] }
    - { name: backend, probes: [{ kind: tcp, address: %[3]q }] }
%[4]s
  desks:
    - { name: soc, kind: webhook, url: %[5]q, find_url: %[6]q, secret_file: soc, timeout: 5s }
`, pagePort, k.target.URL, k.desk.Address, more, k.desk.URL(), k.desk.FindURL())
		return append([]string{"acme", "firstcall", "--values", "testdata/values/host-network.yaml", "--values", values}, args...)
	}

	begin := time.Now()
	notes := k.helm(append([]string{"install", "--wait", "--timeout", "2m"}, release("")...)...)
	a := k.the("acme", agent{})
	k.proved("helm install --wait: startup, liveness and readiness probes are green", begin)
	k.inPod(a, disk)
	k.notes(notes)
	k.admitted()
	k.icmp()

	// The configuration.
	begin = time.Now()
	k.helm(append([]string{"upgrade"}, release("    - { name: reports, probes: [{ kind: tcp, address: "+k.desk.Address+" }] }")...)...)
	k.eventually(synced, "the new component", func() bool { _, ok := k.probe("reports/tcp"); return ok })
	k.proved("helm upgrade: a new component is probed, through the kubelet's sync", begin)
	k.same(a)
	k.refused(release)
	k.rejected(release, a)

	// What ends an agent.
	key := k.breakInMidCase()
	begin = time.Now()
	if err := syscall.Kill(a.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c := k.knows(key)
	k.proved("killed in mid-case: the container is back and knows "+c.Number, begin)
	killed := a
	if a = k.the("acme", killed); a.pod != killed.pod || a.uid != killed.uid || a.restarts != killed.restarts+1 {
		t.Errorf("want the same pod with one restart more: %+v, then %+v", killed, a)
	}
	k.mend(key, c.Number)

	key = k.breakInMidCase()
	begin = time.Now()
	k.kubectl("--namespace", "firstcall", "delete", "pod", a.pod, "--force", "--grace-period=0")
	c = k.knows(key)
	k.proved("kubectl delete pod --force in mid-case: a new pod knows "+c.Number, begin)
	gone := a
	if a = k.the("acme", gone); a.uid == gone.uid {
		t.Errorf("want another pod: %+v, then %+v", gone, a)
	}
	k.noted("  restarts of the new pod while the old one lets go of the store", strconv.Itoa(a.restarts))
	k.mend(key, c.Number)

	key = k.breakInMidCase()
	begin = time.Now()
	k.helm(append([]string{"upgrade", "--wait", "--timeout", "3m"}, release("", "--set", "podAnnotations.changed=yes")...)...)
	c = k.knows(key)
	k.proved("helm upgrade --wait replaces the pod in mid-case: it knows "+c.Number, begin)
	replaced := a
	a = k.the("acme", replaced)
	begin = time.Now()
	k.helm("rollback", "acme", "--wait", "--timeout", "3m")
	replaced = a
	if a = k.the("acme", replaced); a.uid == replaced.uid {
		t.Errorf("want another pod: %+v, then %+v", replaced, a)
	}
	if again := k.knows(key); again.Number != c.Number {
		t.Errorf("%s became %s", c.Number, again.Number)
	}
	k.proved("helm rollback --wait: the new pod has the open case "+c.Number, begin)

	begin = time.Now()
	k.helm("uninstall", "acme", "--cascade", "foreground", "--wait", "--timeout", "2m")
	if left := k.kubectl("--namespace", "firstcall", "get", "statefulset,pod,service,configmap,serviceaccount,networkpolicy,ingress", "--output", "name",
		"--selector", "app.kubernetes.io/component!=test,app.kubernetes.io/instance=acme"); left != "" {
		t.Errorf("helm uninstall leaves %s", left)
	}
	if phase := k.kubectl("--namespace", "firstcall", "get", "pvc", "acme-firstcall", "--output", "jsonpath={.status.phase}"); phase != "Bound" {
		t.Errorf("the claim is %s", phase)
	}
	k.proved("helm uninstall: everything is gone but the claim", begin)
	begin = time.Now()
	k.helm(append([]string{"install", "--wait", "--timeout", "2m"}, release("")...)...)
	if again := k.knows(key); again.Number != c.Number {
		t.Errorf("%s became %s", c.Number, again.Number)
	}
	k.proved("helm install again: the claim is taken up, and the open case "+c.Number+" with it", begin)
	k.mend(key, c.Number)
	k.settled()
	k.helm("uninstall", "acme", "--cascade", "foreground", "--wait", "--timeout", "2m")
}

// settled wants one case of each incident at the desk, all of them resolved.
func (k *cluster) settled() {
	k.t.Helper()
	all := k.desk.Cases()
	keys := map[string]int{}
	for _, c := range all {
		if keys[c.Key]++; keys[c.Key] > 1 || c.State != "resolved" {
			k.t.Errorf("%s is the case number %d of %s, and %s", c.Number, keys[c.Key], c.Key, c.State)
		}
	}
	k.noted(fmt.Sprintf("in the end: %d incidents and test cases, %d cases, all resolved", len(keys), len(all)), "yes")
}

// leader returns the one agent that leads, once there is one and three are ready.
func (k *cluster) leader() agent {
	k.t.Helper()
	var leader agent
	k.eventually(restarted, "three agents are ready and one of them leads", func() bool {
		all := k.agents("acme")
		led := 0
		for _, a := range all {
			k.node = a.node
			if data, err := k.get("/metrics"); err == nil && strings.Contains(string(data), "\nfirstcall_leader 1\n") {
				led, leader = led+1, a
			}
		}
		k.node = leader.node
		return len(all) == 3 && led == 1
	})
	return leader
}

// takenOver waits until the agent on another node leads, and asks that one from now on.
func (k *cluster) takenOver(from agent) {
	k.t.Helper()
	k.eventually(restarted, "another agent leads", func() bool {
		for _, a := range k.agents("acme") {
			k.node = a.node
			if data, err := k.get("/metrics"); a.container != from.container && err == nil && strings.Contains(string(data), "\nfirstcall_leader 1\n") {
				return true
			}
		}
		return false
	})
}

// postgres has three agents on three nodes, which are three addresses of this machine.
func (k *cluster) postgres(t *testing.T) {
	k.noted("POSTGRESQL, a Deployment of three on three nodes", "")
	db := servers.StartPostgres(t)
	db.Database(t, "acme")
	release := func(args ...string) []string {
		values := k.values(`
image: { repository: localhost/firstcall, tag: test }
hostNetwork: true
port: %[1]d
store: postgres
replicas: 3
vantage: lab
extraEnv: [{ name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }]
extraArgs: [--web.listen-address=$(POD_IP):%[1]d]
secrets: [{ secret: acme-firstcall }]
config:
  tenant: { id: acme }
  store: { url: "postgres://acme@%[2]s/acme?sslmode=disable", password_file: db-password }
  web: { token_file: token }`+quick+`
  components:
    - { name: web-client, probes: [{ kind: http, url: %[3]q }] }
    - { name: backend, probes: [{ kind: tcp, address: %[4]q }] }
  desks:
    - { name: soc, kind: webhook, url: %[5]q, find_url: %[6]q, secret_file: soc, timeout: 5s }
`, pagePort, db.Address, k.target.URL, k.desk.Address, k.desk.URL(), k.desk.FindURL())
		return append([]string{"acme", "firstcall", "--values", values}, args...)
	}
	begin := time.Now()
	k.helm(append([]string{"install", "--wait", "--timeout", "3m"}, release()...)...)
	leader := k.leader()
	k.proved("helm install --wait: three agents are ready, one leads", begin)

	for _, end := range []struct {
		what string
		do   func()
	}{
		{"kubectl delete pod of the leader in mid-case", func() { k.kubectl("--namespace", "firstcall", "delete", "pod", leader.pod, "--wait=false") }},
		{"kubectl delete pod --force of the leader in mid-case", func() {
			k.kubectl("--namespace", "firstcall", "delete", "pod", leader.pod, "--force", "--grace-period=0")
		}},
		{"the leader is killed in mid-case", func() {
			if err := syscall.Kill(leader.pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		key := k.breakInMidCase()
		begin := time.Now()
		end.do()
		k.takenOver(leader)
		k.proved(end.what+": another leads", begin)
		c := k.knows(key)
		k.proved("  and knows "+c.Number, begin)
		k.mend(key, c.Number)
		leader = k.leader()
		k.proved("  three agents are ready again", begin)
	}

	key := k.breakInMidCase()
	begin = time.Now()
	k.helm(append([]string{"upgrade", "--wait", "--timeout", "5m"}, release("--set", "podAnnotations.changed=yes")...)...)
	k.leader()
	c := k.knows(key)
	k.proved("helm upgrade --wait replaces all three in mid-case: the leader knows "+c.Number, begin)
	k.mend(key, c.Number)
	k.settled()
	k.helm("uninstall", "acme", "--cascade", "foreground", "--wait", "--timeout", "2m")
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

// same wants the agent to be the one it was: not restarted.
func (k *cluster) same(a agent) {
	k.t.Helper()
	if all := k.agents("acme"); len(all) != 1 || all[0] != a {
		k.t.Errorf("the agent was restarted: %+v, then %+v", a, all)
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

// known are the kinds that a cluster knows without operators.
var known = []string{
	"ConfigMap", "Deployment", "Ingress", "NetworkPolicy", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "Secret", "Service", "ServiceAccount", "StatefulSet", "StorageClass",
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
