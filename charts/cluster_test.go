//go:build servers && e2ek8s && linux

package charts_test

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

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
