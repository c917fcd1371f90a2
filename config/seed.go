package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// The kinds of seed.
const (
	SeedCSV        = "csv"
	SeedPrometheus = "prometheus"
)

// SeedProbe stands for the id of a probe in the queries of a Seed.
const SeedProbe = "$probe"

// Seed is a record from which baselines are learnt at once, instead of over two weeks. A key that its kind does not use is a fault.
type Seed struct {
	Kind         string        `yaml:"kind" required:"true" enum:"csv,prometheus" doc:"Where the record is: csv, a file; prometheus."`
	Probe        string        `yaml:"probe" doc:"Id of the probe, such as backend/app01/http. Without it a file's column probe says it, and a query is made for every deciding probe, with $probe in it."`
	File         string        `yaml:"file" doc:"Of kind csv: comma-separated values with a header: time, latency_ms; may be gzipped."`
	URL          string        `yaml:"url" doc:"Of kind prometheus: its address, http://host:9090."`
	Query        string        `yaml:"query" doc:"Of kind prometheus: the latency in seconds, one series; $probe stands for the probe's id."`
	SuccessQuery string        `yaml:"success_query" doc:"Of kind prometheus: 1 and 0, where 0 is a failed run, which teaches nothing."`
	Step         time.Duration `yaml:"step" default:"1m" doc:"Of kind prometheus: time between two points, as often as it was measured."`
	Days         int           `yaml:"days" default:"28" doc:"How many days before now are read."`
	BearerToken  secret.Value  `yaml:"bearer_token" doc:"Of kind prometheus: token, where it wants one."`
	User         string        `yaml:"user" doc:"Of kind prometheus: name for basic authentication."`
	Password     secret.Value  `yaml:"password" doc:"Of kind prometheus: password for basic authentication."`
	CAFile       string        `yaml:"ca_file" doc:"Of kind prometheus: PEM file of the authority that signed its certificate; the system's unless given."`
}

// Deciding returns whether a probe's failure is its instance's.
func (p *Probe) Deciding() bool { return p.Role == deciding }

// seeds checks the records from which baselines are learnt.
func (d *decoder) seeds(c *Config) {
	var known []string
	for _, p := range c.AllProbes()[:len(c.AllProbes())-len(c.Witnesses)] {
		known = append(known, p.ID)
	}
	for i := range c.Seed {
		s, path := &c.Seed[i], fmt.Sprintf("seed[%d]", i)
		d.whole(path+".days", s.Days, 1, 400)
		if s.Probe != "" {
			if !slices.Contains(known, s.Probe) {
				d.check(false, path+".probe", d.suggest(s.Probe, known), "there is no probe %s", quote(s.Probe))
			}
		}
		if !d.clean(path + ".kind") {
			continue
		}
		switch s.Kind {
		case SeedCSV:
			d.check(s.File != "", path, "give it a file", "has no file")
			d.foreign(path, s.Kind, "url", "query", "success_query", "step", "bearer_token", "user", "password", "ca_file")
			s.File = d.beside(s.File)
		case SeedPrometheus:
			d.foreign(path, s.Kind, "file")
			d.seedQuery(s, path)
		}
	}
}

// foreign reports keys that a kind does not use.
func (d *decoder) foreign(path, kind string, keys ...string) {
	for _, key := range keys {
		for _, p := range []string{join(path, key), join(path, key+fileSuffix)} {
			d.check(!d.given(p), p, "leave it out", "is not a key of kind %s", kind)
		}
	}
}

func (d *decoder) seedQuery(s *Seed, path string) {
	d.check(s.URL != "", path, "give it a url", "has no url")
	d.check(s.URL == "" || isHTTP(s.URL), path+".url", "write it as http://host:9090", "is not an http:// or https:// address")
	if u, err := url.Parse(s.URL); err == nil && u.User != nil {
		at := d.find(path + ".url").value
		d.source.hideFrom(at.line, at.column)
		d.check(false, path+".url", "give user and password_file instead", "holds a user or a password")
	}
	d.check(s.Query != "", path, "give it a query", "has no query")
	d.span(path+".step", s.Step, time.Second, time.Hour)
	named := s.Probe != "" || strings.Contains(s.Query, SeedProbe)
	d.check(s.Query == "" || named, path, "give it a probe, or write $probe into the query where the probe's id belongs", "says of no probe which one it is")
	d.check(s.Password.IsZero() || s.User != "", path+".password", "give the user too", "has no user")
}
