//go:build servers && e2ek8s && linux

package charts_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

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

// same wants the agent to be the one it was: not restarted.
func (k *cluster) same(a agent) {
	k.t.Helper()
	if all := k.agents("acme"); len(all) != 1 || all[0] != a {
		k.t.Errorf("the agent was restarted: %+v, then %+v", a, all)
	}
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

// breakInMidCase breaks the web client and returns the key of its incident as soon as the desk has made the case and not yet answered. Every answer is late,
// and every third gets lost.
func (k *cluster) breakInMidCase() string {
	k.t.Helper()
	k.desk.Delay(1500 * time.Millisecond)
	k.desk.LoseEvery(3)
	k.target.Broken.Store(true)
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
	k.target.Broken.Store(false)
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
