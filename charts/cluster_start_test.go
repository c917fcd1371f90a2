//go:build servers && e2ek8s && linux

package charts_test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest"
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
	node   string          // whose agent is asked
	target *servers.Target // the customer's web client
	desk   *servers.Webhook
	proofs []proof
}

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

	k.target = servers.StartTarget(t)
	k.desk = servers.StartWebhook(t, servers.WebhookOptions{Secret: "hmac"})
	k.kubectl("create", "namespace", "firstcall")
	k.kubectl("--namespace", "firstcall", "create", "secret", "generic", "acme-firstcall", "--from-literal=soc=hmac", "--from-literal=db-password=acme", "--from-literal=token=0123456789abcdef0123456789abcdef")
	return k
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

func (k *cluster) eventually(within time.Duration, what string, holds func() bool) {
	k.t.Helper()
	if !probetest.Eventually(within, holds) {
		k.t.Fatalf("not within %s: %s", within, what)
	}
}

type proof struct{ what, figure string }

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
