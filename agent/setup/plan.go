package setup

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/firstcall-agent/firstcall/config"
)

// Secret is a file that the configuration names and that somebody has to make.
type Secret struct {
	Path string // relative to the configuration
	What string // such as "password of the Perfion user probe"
}

// Plan is a proposed configuration.
type Plan struct {
	Text       string // of the file
	Secrets    []Secret
	Components []string // names
	Probes     []string // ids, without the witnesses
}

// standIn is the variable that stands for every secret while a configuration is checked.
const standIn = "FIRSTCALL_INIT"

// Propose returns the configuration for the answers, which are Normal and right, and for what a survey found; nil: none was made.
// The same arguments give the same text. It has passed the check that 'firstcall run' makes, with stand-ins for the secrets. file
// is where it will be: other files that it names lie beside it. The error is a config.Faults.
func Propose(file string, a Answers, found Findings) (Plan, error) {
	written := write(a, found, false)
	c, err := config.Parse(file, []byte(write(a, found, true).b.String()), func(name string) (string, bool) {
		return "stand-in-for-a-secret", name == standIn
	})
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Text: written.b.String(), Secrets: written.secrets}
	for _, m := range c.Components {
		plan.Components = append(plan.Components, m.Name)
	}
	all := c.AllProbes()
	for _, probe := range all[:len(all)-len(c.Witnesses)] {
		plan.Probes = append(plan.Probes, probe.ID)
	}
	return plan, nil
}

// Lacking returns what is wrong with the secrets of a proposed configuration as it lies at file, by their paths; none when it is
// ready. Any other fault, where there is no such one, is the error.
func (p Plan) Lacking(file string) (map[string]string, error) {
	_, err := config.Parse(file, []byte(p.Text), noEnvironment)
	var faults config.Faults
	if !errors.As(err, &faults) {
		return nil, err
	}
	lines := strings.Split(p.Text, "\n")
	lacking := map[string]string{}
	for _, f := range faults {
		for _, s := range p.Secrets {
			if strings.HasSuffix(f.Path, fileSuffix) && f.Line > 0 && f.Line <= len(lines) && strings.HasSuffix(lines[f.Line-1], ": "+Quote(s.Path)) {
				lacking[s.Path] = f.Message
			}
		}
	}
	if len(lacking) == 0 {
		return nil, faults
	}
	return lacking, nil // what else there is follows from these: the rest was checked with stand-ins
}

// component is a proposed one.
type component struct {
	name      string
	say       []string
	optional  bool // not essential
	dependsOn []string
	instances []instance
}

// instance is a server, or all of a component that has one only.
type instance struct {
	host   string
	say    []string
	probes []entry
}

// write writes the whole file.
func write(a Answers, found Findings, checking bool) *page {
	p := &page{checking: checking}
	p.head(found != nil)
	p.tenant(a)
	p.serviceLevel()
	p.witnesses(a, found)
	p.line(0, "defaults: { interval: 30s, timeout: 5s }", "of every probe that says nothing else")
	p.blank()
	p.components(propose(a, found))
	p.desks(a)
	p.notices(a)
	p.rest()
	return p
}

func (p *page) head(asked bool) {
	p.line(0, "# yaml-language-server: $schema=https://raw.githubusercontent.com/firstcall-agent/firstcall/main/docs/firstcall.schema.json", "")
	p.say(0, "Written by 'firstcall init'; it is yours now: change what you like, and check it with 'firstcall run --config.check'. "+
		"Pages such as docs/configuration.md, which has every key, are at https://github.com/firstcall-agent/firstcall/tree/main/docs.")
	if asked {
		p.say(0, `"Seen" tells what a target showed when this file was written.`)
	} else {
		p.say(0, "No target was asked (--offline): what the probes expect is less than it could be.")
	}
	p.blank()
}

func (p *page) tenant(a Answers) {
	p.line(0, "tenant:", "")
	p.line(2, "id: "+Quote(a.Tenant), "in every case key, metric and mail: do not change it later")
	if a.Name != "" {
		p.line(2, "name: "+Quote(a.Name), "for people")
	}
	p.line(2, "time_zone: "+Quote(a.TimeZone), "in which the customer reads times")
	p.line(2, "language: "+Quote(a.Language), "of the customer's mails: en, da")
	if a.Customer == "" && a.OnCall == "" {
		p.say(2, "contacts: { customer: { name: ..., email: ..., phone: ... } }: the customer's contact stands in every case.")
		p.blank()
		return
	}
	p.line(2, "contacts:", "")
	if a.Customer != "" {
		p.line(4, "customer: "+contact(a.Customer), "stands in every case")
	}
	if a.OnCall != "" {
		p.line(4, "on_call: "+contact(a.OnCall), "the engineer on call")
	}
	p.say(4, "functional: { name: ..., email: ... }: who is told what is not infrastructure: a refused account, a wrong query.")
	p.blank()
}

func contact(text string) string {
	name, mail := Person(text)
	if name == "" {
		return "{ email: " + Quote(mail) + " }"
	}
	return "{ name: " + Quote(name) + ", email: " + Quote(mail) + " }"
}

func (p *page) serviceLevel() {
	p.line(0, "service_level:", "")
	p.line(2, "supported: 24x7", `or hours: ["Mon-Fri 08:00-16:00"], with holidays: DK`)
	p.say(2, "The contract's reaction times hold: p1 15m, p2 1h, p3 3h, p4 12h; a status mail every 30m.")
	p.blank()
}

// witnesses writes those that answer. Where none does and targets do, none is written: the agent would be blind for ever.
func (p *page) witnesses(a Answers, found Findings) {
	var good, bad []witness
	for _, w := range candidates(a) {
		if r, asked := found.of(w.kind, w.target); !asked || answered(r) {
			good = append(good, w)
		} else {
			bad = append(bad, w)
		}
	}
	const what = "Independent targets. If none of them answers, the agent's own network is broken: it is blind, and says nothing about the customer."
	targets := slices.ContainsFunc(inquiries(a), func(q inquiry) bool {
		r, ok := found[q.id]
		return ok && answered(r) && !slices.ContainsFunc(candidates(a), func(w witness) bool { return q.id == w.kind+" "+w.target })
	})
	switch {
	case len(good) == 0 && targets && len(a.Witnesses) == 0:
		p.say(0, what)
		p.say(0, "From here none of the usual ones answers: "+names(bad)+". Name two that do, of different owners, such as a server at another site; "+
			"without any, the agent takes a fault of its own network for one of the customer.")
		p.line(0, `# witnesses: [{ kind: tcp, address: "HOST:PORT" }]`, "")
		p.blank()
		return
	case len(good) == 0:
		good, bad = bad, nil
		p.say(0, what)
		p.say(0, "From here none of them answered when this file was written.")
	default:
		p.say(0, what)
	}
	most := 3
	if found == nil && len(a.Witnesses) == 0 {
		most = 2 // nobody knows whether they answer
	}
	p.line(0, "witnesses:", "")
	var all []entry
	for _, w := range good[:min(most, len(good))] {
		all = append(all, entry{keys: []key{{name: "kind", value: w.kind}, text(w.key, w.target)}})
	}
	p.probes(2, all)
	if len(bad) > 0 {
		p.say(2, "Left out, since it does not answer from here: "+names(bad)+".")
	}
	p.blank()
}

func names(list []witness) string {
	var all []string
	for _, w := range list {
		all = append(all, w.target)
	}
	return strings.Join(all, ", ")
}

func (p *page) components(all []component) {
	p.say(0, "What is watched: docs/configuration.md#components. A component is a functionality; all its instances down is priority 1, a "+
		"component of one instance down priority 2, and every essential component down priority 1 again.")
	p.line(0, "components:", "")
	for _, c := range all {
		p.component(c)
	}
}

func (p *page) component(c component) {
	for _, text := range c.say {
		p.say(2, text)
	}
	p.line(2, "- name: "+c.name, "")
	if c.optional {
		p.line(4, "essential: false", "its loss alone never makes the whole solution inaccessible")
	}
	if len(c.dependsOn) > 0 {
		p.line(4, "depends_on: ["+strings.Join(c.dependsOn, ", ")+"]", "whose outage explains its own: one case, not two")
	}
	if len(c.instances) == 1 {
		p.instance(4, c.instances[0])
		p.blank()
		return
	}
	p.line(4, "instances:", "redundant: one down is priority 3, all down priority 1")
	taken := map[string]int{}
	for _, n := range c.instances {
		p.line(6, "- name: "+Quote(free(instanceName(n.host), taken)), "")
		p.instance(8, n)
	}
	p.blank()
}

func (p *page) instance(indent int, n instance) {
	for _, text := range n.say {
		p.say(indent, text)
	}
	p.line(indent, "probes:", "")
	p.probes(indent+2, n.probes)
}

// probes writes a list of probes, and gives those a name that would be called like another, after their kind.
func (p *page) probes(indent int, list []entry) {
	taken := map[string]int{}
	for _, e := range list {
		kind := e.keys[0].value
		if name := free(kind, taken); name != kind && kind != "dns" { // which has a name of its own
			e.keys = slices.Insert(slices.Clone(e.keys), 1, text("name", name))
		}
		p.entry(indent, e)
	}
}

// instanceName makes a name of a host: its first label, or all of an address.
func instanceName(host string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, host)
	if first, _, ok := strings.Cut(name, "."); ok && strings.Trim(host, "0123456789.") != "" {
		name = first
	}
	if name = strings.Trim(name[:min(len(name), 50)], "-."); name == "" {
		return "server"
	}
	return name
}

// free returns name, with a number where it is taken.
func free(name string, taken map[string]int) string {
	for {
		taken[name]++
		n := taken[name]
		if n == 1 {
			return name
		}
		if next := fmt.Sprintf("%s-%d", name, n); taken[next] == 0 {
			taken[next]++
			return next
		}
	}
}
