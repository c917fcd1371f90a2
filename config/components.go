package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// witness stands before the names of witnesses in the ids of their probes.
const witness = "witness"

// The roles of a probe.
const (
	deciding = "deciding"
	evidence = "evidence"
)

const (
	shortestInterval = 100 * time.Millisecond
	longestInterval  = 7 * 24 * time.Hour
)

// pace checks the defaults of probes. A timeout that is not given is never longer than the interval.
func (d *decoder) pace(p *Defaults) {
	if !d.given("defaults.timeout") {
		p.Timeout = min(p.Timeout, p.Interval)
	}
	d.span("defaults.interval", p.Interval, shortestInterval, longestInterval)
	d.check(p.Timeout > 0, "defaults.timeout", "", "must be longer than 0")
	if d.clean("defaults.interval") {
		d.check(p.Timeout <= p.Interval, "defaults.timeout", "", "%s is longer than the interval of %s", short(p.Timeout), short(p.Interval))
	}
}

// names returns the names of the components, each once, in the order of the file.
func names(c *Config) []string {
	var all []string
	seen := map[string]bool{"": true}
	for _, component := range c.Components {
		if !seen[component.Name] {
			seen[component.Name] = true
			all = append(all, component.Name)
		}
	}
	return all
}

func (d *decoder) components(c *Config) {
	known, seen := names(c), map[string]string{}
	for i := range c.Components {
		m, path := &c.Components[i], fmt.Sprintf("components[%d]", i)
		d.check(m.Name != incident.Solution && m.Name != witness, path+".name", "", "%q is a word of firstcall's own", m.Name)
		d.name(path, m.Name, componentName, componentHint, seen)
		d.instances(c, m, path)
	}
	for i, m := range c.Components {
		path := fmt.Sprintf("components[%d].depends_on", i)
		d.references(path, m.DependsOn, known, seen)
		for j, other := range m.DependsOn {
			d.check(!slices.Contains(m.DependsOn[:j], other), fmt.Sprintf("%s[%d]", path, j), "", "%s is there twice", quote(other))
		}
	}
	d.cycles(c)
}

// references checks a list of names of components; seen holds the known ones as well.
func (d *decoder) references(path string, list, known []string, seen map[string]string) {
	for i, name := range list {
		if _, ok := seen[name]; !ok && !slices.Contains(known, name) {
			d.check(false, fmt.Sprintf("%s[%d]", path, i), d.suggest(name, known), "there is no component %s", quote(name))
		}
	}
}

// instances gives every component its instances: probes of its own are those of its only one.
func (d *decoder) instances(c *Config, m *Component, path string) {
	switch many, one := d.given(path+".instances"), d.given(path+".probes"); {
	case many && one:
		d.check(false, path, "move the probes to the instances", "has both instances and probes")
	case many:
		d.check(len(m.Instances) > 0, path+".instances", "", "is empty: nothing would be watched")
	default:
		d.check(one, path, "give it probes, or instances with probes each", "has no probes: nothing would be watched")
		d.check(!one || len(m.Probes) > 0, path+".probes", "", "is empty: nothing would be watched")
		m.Instances = []Instance{{Name: m.Name, Probes: m.Probes}}
		m.Probes = nil
		d.probes(c, m.Instances[0].Probes, path, m.Name)
		return
	}
	seen := map[string]string{}
	for i := range m.Instances {
		n, p := &m.Instances[i], fmt.Sprintf("%s.instances[%d]", path, i)
		d.name(p, n.Name, entryName, nameHint, seen)
		d.probes(c, n.Probes, p, m.Name+"/"+n.Name)
	}
}

// cycles reports every circle of dependencies once, at the component that is written first.
func (d *decoder) cycles(c *Config) {
	depends := map[string][]string{}
	for _, m := range c.Components {
		depends[m.Name] = m.DependsOn
	}
	done := map[string]bool{}
	for i, m := range c.Components {
		if circle := circleFrom(m.Name, depends, done); circle != nil {
			d.check(false, fmt.Sprintf("components[%d].depends_on", i), "", "goes round in a circle: %s", strings.Join(shortened(circle), " -> "))
		}
	}
}

// shortened leaves out the middle of a long way.
func shortened(way []string) []string {
	if len(way) <= 8 {
		return way
	}
	return slices.Concat(way[:6], []string{ellipsis}, way[len(way)-1:])
}

// circleFrom returns a way from name back to itself and marks what it went through as done; nil, and name alone is done, when
// there is none.
func circleFrom(name string, depends map[string][]string, done map[string]bool) []string {
	var way []string
	been := map[string]bool{}
	var walk func(string) bool
	walk = func(at string) bool {
		been[at] = true
		way = append(way, at)
		for _, next := range depends[at] {
			if next == name {
				way = append(way, next)
				return true
			}
			if !done[next] && !been[next] && walk(next) {
				return true
			}
		}
		way = way[:len(way)-1]
		return false
	}
	if done[name] || !walk(name) {
		done[name] = true
		return nil
	}
	for _, at := range way {
		done[at] = true
	}
	return way
}

// probes completes the probes of one instance; id stands before their names in their ids.
func (d *decoder) probes(c *Config, list []Probe, path, id string) {
	d.label(list, path+".probes", id)
	decides := false
	for i := range list {
		p, at := &list[i], fmt.Sprintf("%s.probes[%d]", path, i)
		d.timing(c, p, at)
		d.limits(p, at)
		d.judgeAs(p, at)
		decides = decides || p.Role == deciding || p.Role == "" && !isEvidence(p.Kind)
	}
	for i := range list {
		p := &list[i]
		if p.Role != "" {
			continue
		}
		// A kind that only explains decides where there is nothing else to go by.
		if p.Role = deciding; isEvidence(p.Kind) && decides {
			p.Role = evidence
		}
	}
	if len(list) > 0 {
		never := !slices.ContainsFunc(list, func(p Probe) bool { return p.Role == deciding })
		d.check(!never, path+".probes", "give one of them role: deciding", "all are evidence: it could never be down")
	}
}

// judgeAs checks what a probe's configuration judges otherwise than the contract's table.
func (d *decoder) judgeAs(p *Probe, path string) {
	known := make([]string, len(probes.Reasons))
	for i, reason := range probes.Reasons {
		known[i] = string(reason)
	}
	for _, reason := range slices.Sorted(maps.Keys(p.JudgeAs)) {
		at := join(path+".judge_as", string(reason))
		if !slices.Contains(known, string(reason)) {
			d.check(false, at, d.suggest(string(reason), known), "there is no reason %s", quote(string(reason)))
			continue
		}
		if why := policy.CheckJudgeAs(p.Kind, reason, p.JudgeAs[reason]); why != "" {
			d.check(false, at, "leave it out; the table in docs/cases.md says what may be judged otherwise", "%s %s", reason, why)
		}
	}
}

func isEvidence(kind string) bool {
	k, ok := probes.Lookup(kind)
	return ok && k.Evidence
}

// label gives the probes their names and ids.
func (d *decoder) label(list []Probe, path, id string) {
	seen, numbers := map[string]string{}, map[string]int{}
	for i := range list {
		p, at := &list[i], fmt.Sprintf("%s[%d]", path, i)
		named := p.Name != ""
		if !named && !d.clean(at+".kind") {
			continue // what it would be called is not known
		}
		if d.ownsName(p) {
			p.Name, named = unused(plainName(p.Name), seen, numbers), false
		}
		p.Name = cmp.Or(p.Name, p.Kind)
		p.ID = id + "/" + p.Name
		if first, double := seen[p.Name]; double && !named {
			d.check(false, at, "give this one a name", "%s is called %s too, after its kind", first, quote(p.Name))
			continue
		}
		d.name(at, p.Name, entryName, nameHint, seen)
	}
}

// ownsName reports whether name is a key of the probe's kind, as the name that dns asks for: then it is the probe's name too.
func (d *decoder) ownsName(p *Probe) bool {
	if p.Probe == nil {
		return false
	}
	return slices.ContainsFunc(d.specsOf(reflect.TypeOf(p.Probe)), func(s field.Spec) bool { return s.Key == "name" })
}

// plainName makes a name of what a kind calls name.
func plainName(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, text)
	return strings.Trim(name[:min(len(name), 60)], ".-_")
}

// unused returns name, or name with the first number that makes it one of its own; numbers holds those that are used up.
func unused(name string, seen map[string]string, numbers map[string]int) string {
	free := name
	for {
		numbers[name]++
		if n := numbers[name]; n > 1 {
			free = fmt.Sprintf("%s-%d", name, n)
		}
		if _, taken := seen[free]; !taken {
			return free
		}
	}
}

// timing completes interval, timeout and schedule of a probe.
func (d *decoder) timing(c *Config, p *Probe, path string) {
	byClock, byInterval := d.given(path+".schedule"), d.given(path+".interval")
	d.check(!byClock || !byInterval, path+".schedule", "keep one of them", "schedule and interval are both given")
	pace := p.Interval
	if byClock {
		if p.Cron = d.schedule(path+".schedule", p.Schedule, c.Tenant.Zone); p.Cron != nil {
			pace, _ = gaps(p.Cron)
		}
	} else {
		if byInterval {
			d.span(path+".interval", p.Interval, shortestInterval, longestInterval)
		}
		if p.Interval == 0 {
			p.Interval = c.Defaults.Interval // not given, or at fault
		}
		pace = p.Interval
	}
	if !d.given(path+".timeout") || !d.clean(path+".timeout") {
		if p.Timeout = c.Defaults.Timeout; pace > 0 {
			p.Timeout = min(p.Timeout, pace)
		}
		return
	}
	d.check(p.Timeout > 0, path+".timeout", "", "must be longer than 0")
	if pace > 0 && d.clean(path+".interval") {
		d.check(p.Timeout <= pace, path+".timeout", "", "%s is longer than the time between two runs, %s", short(p.Timeout), short(pace))
	}
}

func (d *decoder) witnesses(c *Config) {
	d.label(c.Witnesses, "witnesses", witness)
	for i := range c.Witnesses {
		p, path := &c.Witnesses[i], fmt.Sprintf("witnesses[%d]", i)
		d.timing(c, p, path)
		for _, key := range []string{"role", "limits", "judge_as"} {
			d.check(!d.given(path+"."+key), path+"."+key, "leave it out", "has no effect on a witness")
		}
	}
}
