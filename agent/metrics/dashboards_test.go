package metrics

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// dashboard is what the tests look at of a dashboard of Grafana's.
type dashboard struct {
	UID, Title, Description string
	SchemaVersion           int
	Panels                  []panel
	Templating              struct{ List []variable }
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               *source
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		RefID      string
		Expr       string
		Datasource *source
	}
	Panels []panel // of a row that is folded
}

type source struct{ Type, UID string }

type variable struct {
	Name, Label, Type, Description, Definition string
	Datasource                                 *source
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	all := map[string]dashboard{}
	for _, name := range []string{"tenant", "fleet"} {
		data, err := os.ReadFile(filepath.Join("../../charts/firstcall/dashboards", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 500_000 {
			t.Errorf("%s has %d bytes: a ConfigMap holds less than 1 MiB, that of a chart's release less", name, len(data))
		}
		var d dashboard
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = d
	}
	return all
}

// all returns the panels, those of folded rows among them.
func (d dashboard) all() []panel {
	var list []panel
	for _, p := range d.Panels {
		list = append(append(list, p), p.Panels...)
	}
	return list
}

// fill puts values in place of the variables of Grafana's.
var fill = strings.NewReplacer("$__rate_interval", "1m", "$agent", ".+", "$component", ".+", "$probe", ".+", "$vantage", ".+", "$tenant", ".+")

// expressions returns every query of a dashboard, ready for Prometheus.
func (d dashboard) expressions() []string {
	var list []string
	for _, p := range d.all() {
		for _, q := range p.Targets {
			list = append(list, fill.Replace(q.Expr))
		}
	}
	for _, v := range d.Templating.List {
		if inner, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			list = append(list, fill.Replace(inner[:strings.LastIndex(inner, ",")]))
		}
	}
	return list
}

// TestDashboardsAreWhole states what Grafana and its users need of every panel.
func TestDashboardsAreWhole(t *testing.T) {
	for name, d := range dashboards(t) {
		if d.UID != "firstcall-"+name || d.Title == "" || d.Description == "" || d.SchemaVersion < 41 {
			t.Errorf("%s: uid %q, title %q, description %q, schema %d", name, d.UID, d.Title, d.Description, d.SchemaVersion)
		}
		ids := map[int]bool{}
		for _, p := range d.all() {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: the panel %q has the id %d, which is another one's or none", name, p.Title, p.ID)
			}
			ids[p.ID] = true
			if p.Title == "" {
				t.Errorf("%s: the panel %d has no title", name, p.ID)
			}
			if p.Type != "row" {
				checkPanel(t, name, p)
			}
		}
		checkGrid(t, name, d.Panels)
		for _, v := range d.Templating.List {
			if v.Label == "" || v.Description == "" || v.Type == "query" && (v.Datasource == nil || v.Datasource.UID != "${datasource}") {
				t.Errorf("%s: the variable %s has no label, description or data source of the dashboard's", name, v.Name)
			}
		}
	}
}

func checkPanel(t *testing.T, name string, p panel) {
	t.Helper()
	if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
		t.Errorf("%s: the panel %q has no description, unit or query", name, p.Title)
	}
	chosen := func(s *source) bool { return s != nil && s.Type == "prometheus" && s.UID == "${datasource}" }
	if !chosen(p.Datasource) {
		t.Errorf("%s: the panel %q does not ask the data source that is chosen", name, p.Title)
	}
	refs := map[string]bool{}
	for _, q := range p.Targets {
		if refs[q.RefID] || q.RefID == "" || q.Expr == "" || !chosen(q.Datasource) {
			t.Errorf("%s: the query %q of the panel %q has no name of its own, is empty, or asks another data source", name, q.RefID, p.Title)
		}
		refs[q.RefID] = true
		if rest := fill.Replace(q.Expr); strings.Contains(rest, "$") {
			t.Errorf("%s: a variable of %s is not known here", name, rest)
		}
	}
}

// checkGrid reports panels that lie outside of the 24 columns or upon one another.
func checkGrid(t *testing.T, name string, list []panel) {
	t.Helper()
	for i, p := range list {
		g := p.GridPos
		if g.X < 0 || g.W <= 0 || g.H <= 0 || g.X+g.W > 24 {
			t.Errorf("%s: the panel %q lies outside: %+v", name, p.Title, g)
		}
		for _, o := range list[:i] {
			if h := o.GridPos; g.X < h.X+h.W && h.X < g.X+g.W && g.Y < h.Y+h.H && h.Y < g.Y+g.H {
				t.Errorf("%s: the panels %q and %q overlap", name, o.Title, p.Title)
			}
		}
		checkGrid(t, name, p.Panels)
	}
}

// rule is a rule for Prometheus.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	unmarshal(t, "../../charts/firstcall/rules/firstcall.yaml", &file)
	if len(file.Groups) != 1 {
		t.Fatalf("%d groups: alerts need the record of their own group, made just before", len(file.Groups))
	}
	return file.Groups[0].Rules
}

func unmarshal(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestAlertsAreWholeAndExplained states that every alert says whose it is, how bad it is and what to do, that the manual has a
// section for each, and for no other.
func TestAlertsAreWholeAndExplained(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		named[r.Alert] = true
		if r.For == "" || !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) {
			t.Errorf("%s: for %q, severity %q", r.Alert, r.For, r.Labels["severity"])
		}
		whose := "$labels.tenant"
		if strings.HasPrefix(r.Alert, "FirstcallFleet") { // it is of all
			whose = "$labels.instance"
		}
		if !strings.Contains(r.Annotations["summary"], whose) || r.Annotations["description"] == "" {
			t.Errorf("%s does not say whose it is and what it means: %v", r.Alert, r.Annotations)
		}
		if !strings.HasSuffix(r.Annotations["runbook_url"], "/docs/operations.md#"+strings.ToLower(r.Alert)) {
			t.Errorf("%s leads to %s", r.Alert, r.Annotations["runbook_url"])
		}
		_, section, found := strings.Cut(string(manual), "\n### "+r.Alert+"\n")
		section, _, _ = strings.Cut(section, "\n##")
		if !found || !strings.Contains(section, "\n1. ") || !strings.Contains(section, "\n3. ") {
			t.Errorf("the manual does not say three things to look at for %s", r.Alert)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^### (Firstcall\w+)$`).FindAllStringSubmatch(string(manual), -1) {
		if !named[m[1]] {
			t.Errorf("the manual explains %s, which is no alert", m[1])
		}
	}
}

// TestEveryAlertHasItsTests states that the tests that promtool runs see every alert fire, and not fire.
func TestEveryAlertHasItsTests(t *testing.T) {
	var file struct {
		Tests []struct {
			Rules []struct {
				Name     string `yaml:"alertname"`
				Expected []struct {
					Labels map[string]string `yaml:"exp_labels"`
				} `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	unmarshal(t, "testdata/rules_test.yaml", &file)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, r := range test.Rules {
			silent[r.Name] = silent[r.Name] || len(r.Expected) == 0
			for _, e := range r.Expected {
				fires[r.Name+" "+e.Labels["severity"]] = true
			}
		}
	}
	for _, r := range rules(t) {
		if r.Alert != "" && (!fires[r.Alert+" "+r.Labels["severity"]] || !silent[r.Alert]) {
			t.Errorf("no test sees %s, %s, fire and be silent", r.Alert, r.Labels["severity"])
		}
	}
}

// TestDashboardsRulesAndDocsNameRealMetrics states that every metric and every label that they name exists.
func TestDashboardsRulesAndDocsNameRealMetrics(t *testing.T) {
	labels := map[string]map[string]bool{}
	families, err := gathered().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		known := map[string]bool{"job": true, "instance": true}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				known[l.GetName()] = true
			}
		}
		labels[f.GetName()] = known
		if f.GetType().String() == "HISTOGRAM" {
			labels[f.GetName()+"_sum"], labels[f.GetName()+"_count"] = known, known
		}
	}
	texts := map[string]string{}
	for name, d := range dashboards(t) {
		texts[name] = strings.Join(d.expressions(), "\n")
	}
	for _, r := range rules(t) {
		texts["rules"] += r.Expr + "\n"
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md") {
		if strings.Contains(page, "desk") {
			continue // their fields have such names too
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		texts[page] = string(text)
	}
	metric := regexp.MustCompile(`\b(firstcall_[a-z_]*[a-z]|probe_(?:success|duration_seconds|ssl_[a-z_]+))\b(?:\{([^}]*)\})?`)
	label := regexp.MustCompile(`(\w+)\s*(?:=|!=|=~|!~)\s*"`)
	for where, text := range texts {
		found := metric.FindAllStringSubmatch(text, -1)
		for _, m := range found {
			if m[1] == "firstcall_schema" {
				continue // a table of the store's
			}
			if labels[m[1]] == nil {
				t.Errorf("%s: there is no metric %s", where, m[1])
				continue
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if !labels[m[1]][l[1]] {
					t.Errorf("%s: %s has no label %s", where, m[1], l[1])
				}
			}
		}
		if len(found) < 15 && !strings.HasSuffix(where, ".md") {
			t.Errorf("%s names %d metrics: they are not found as they should be", where, len(found))
		}
	}
}
