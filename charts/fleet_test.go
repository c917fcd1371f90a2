//go:build servers && linux

package charts_test

import "testing"

// TestWithoutAnAgent states that what a release without an agent asks for is there for the pods of its extraObjects, and that a release of rules has none of it.
func TestWithoutAnAgent(t *testing.T) {
	manifests, err := template(t, "firstcall", []string{"firstcall/examples/fleet.yaml"}, "--set", "serviceAccount.name=wall,port=9000,extraVolumes[0].name=own,extraVolumes[0].emptyDir.medium=Memory,extraVolumeMounts[0].name=own,extraVolumeMounts[0].mountPath=/own")
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, manifests)
	all := objects(t, manifests)
	wall := find(all, "StatefulSet")
	if account := find(all, "ServiceAccount"); at(account, "metadata", "name") != "wall" || at(wall, "spec", "template", "spec", "serviceAccountName") != "wall" {
		t.Errorf("the pods' account is %v, and %v is made", at(wall, "spec", "template", "spec", "serviceAccountName"), at(account, "metadata", "name"))
	}
	volumes := map[any]bool{}
	list, _ := at(wall, "spec", "template", "spec", "volumes").([]any)
	for _, v := range list {
		volumes[at(v, "name")] = true
	}
	mounts, _ := at(wall, "spec", "template", "spec", "containers", 0, "volumeMounts").([]any)
	for _, m := range mounts {
		if !volumes[at(m, "name")] {
			t.Errorf("the volume %v is mounted, and not there", at(m, "name"))
		}
	}
	if !volumes["own"] || len(mounts) != 4 {
		t.Errorf("%d mounts of the volumes %v", len(mounts), volumes)
	}
	if got := env(wall, "FIRSTCALL_URL"); got != "http://127.0.0.1:9000" {
		t.Errorf("commands in the pod ask %v", got)
	}
	labels, _ := at(wall, "spec", "template", "metadata", "labels").(object)
	selector, _ := at(find(all, "PodMonitor"), "spec", "selector", "matchLabels").(object)
	for key, value := range selector {
		if labels[key] != value {
			t.Errorf("the PodMonitor asks for %s %v, and the pods have %v", key, value, labels[key])
		}
	}
	if len(selector) == 0 {
		t.Error("no PodMonitor selects the wall")
	}
	rules, err := template(t, "firstcall", []string{"firstcall/examples/monitoring.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if find(objects(t, rules), "ServiceAccount") != nil {
		t.Error("a release of rules makes an account that nobody uses")
	}
}

// TestWordsThatYAMLTakesForSomethingElse states that hosts and classes stay text.
func TestWordsThatYAMLTakesForSomethingElse(t *testing.T) {
	manifests, err := template(t, "firstcall", []string{"firstcall/examples/sqlite.yaml"}, "--set", "ingress.enabled=true",
		"--set-string", "priorityClassName=1,runtimeClassName=2,persistence.storageClass=3,persistence.volumeName=4,ingress.host=*.acme.example,ingress.tlsSecret=5,ingress.className=6")
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, manifests)
	if got := at(find(objects(t, manifests), "Ingress"), "spec", "rules", 0, "host"); got != "*.acme.example" {
		t.Errorf("the Ingress is for %v", got)
	}
}
