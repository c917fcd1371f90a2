package config

import "testing"

func TestCaseTextsAreKeptAsWritten(t *testing.T) {
	c := parsed(t, "firstcall.yaml", head+`components: [{ name: web, probes: [{ kind: hint }] }]
desks:
  - name: soc
    kind: fielded
    url: "https://soc.example"
    templates:
      title: '{{.Priority}} {{.Problem | cut 40}}'
      body: |
        {{range .Evidence}}{{item .}}
        {{end}}See {{.PageURL}} ({{.Class}}, {{lower .Root}})
        {{template "case.body" .}}
    fields: { "dynamic field": '{{if eq .Class "capacity"}}capacity{{end}}' }
  - { name: plain, kind: fielded, url: "https://soc.example" }
`)
	d := c.Desks[0]
	if d.Templates.Title != "{{.Priority}} {{.Problem | cut 40}}" || d.Templates.Note != "" || len(d.Templates.Body) < 80 || len(d.Fields) != 1 {
		t.Errorf("desk %+v", d)
	}
	if len(c.Desks[1].Fields) > 0 || c.Desks[1].Templates.Title != "" {
		t.Errorf("desk %+v", c.Desks[1])
	}
}
