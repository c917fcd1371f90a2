package config

import (
	"os"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// FleetFile is the configuration of 'firstcall fleet serve'. Its sections are those of an agent's configuration, but for fleet. It is
// read-only after LoadFleet.
type FleetFile struct {
	Tenant           Tenant       `yaml:"tenant" required:"true" doc:"The fleet, in the place of a customer: its id stands in the texts of parent cases."`
	ServiceLevel     ServiceLevel `yaml:"service_level" doc:"Reaction times of parent cases."`
	OperationsCentre Centre       `yaml:"operations_centre" doc:"Who takes the cases."`
	Desks            []Desk       `yaml:"desks" doc:"Where parent cases are opened; none: nowhere, their text is offered."`
	Store            Store        `yaml:"store" required:"true" doc:"The PostgreSQL of the agents, as a role that reads every tenant."`
	Web              Web          `yaml:"web" doc:"The page of the fleet."`
	Fleet            FleetRules   `yaml:"fleet" doc:"When it is one cause, and what is done then."`

	File string `yaml:"-"`
}

// FleetRules are the section fleet.
type FleetRules struct {
	State       string        `yaml:"state_file" doc:"SQLite file of what the fleet remembers; fleet.db beside the configuration unless given."`
	OpenCases   bool          `yaml:"open_cases" doc:"Open the parent case of every fleet incident by itself; otherwise a person does, on the page or by 'firstcall fleet open'."`
	Refresh     time.Duration `yaml:"refresh" default:"5s" doc:"How often the database is read."`
	SilentAfter time.Duration `yaml:"silent_after" default:"1m" doc:"How long an agent may not be heard."`
	Window      time.Duration `yaml:"window" default:"10m" doc:"In which faults of one cause begin."`
	MinTenants  int           `yaml:"min_tenants" default:"3" doc:"Fewer are never one cause."`
	PerYear     float64       `yaml:"false_per_year" default:"0.1" doc:"How often a year chance may be taken for a cause."`
}

// LoadFleet reads the configuration of a fleet. The error is a Faults with everything that is wrong with it.
func LoadFleet(path string) (*FleetFile, error) {
	data, err := readFile(path, maxFile+1)
	if err != nil {
		return nil, Faults{{File: path, Message: "cannot be read: " + plain(err), Hint: "give the path of a fleet's configuration, see docs/fleet.md", Err: err}}
	}
	d := newDecoder(path, data, os.LookupEnv)
	f := &FleetFile{File: path}
	if root := d.parse(data); root != nil {
		d.root(root, f)
		d.fleet(f)
	}
	if faults := d.finish(); len(faults) > 0 {
		return nil, faults
	}
	return f, nil
}

// fleet checks a fleet's configuration as an agent's is, and fills in what follows.
func (d *decoder) fleet(f *FleetFile) {
	c := &Config{Tenant: f.Tenant, ServiceLevel: f.ServiceLevel, OperationsCentre: f.OperationsCentre, Desks: f.Desks, Store: f.Store, Web: f.Web}
	d.tenant(&c.Tenant)
	d.serviceLevel(&c.ServiceLevel, c.Tenant.Zone)
	d.holidays(&c.Tenant, c.ServiceLevel.Holidays)
	d.text("operations_centre.name", c.OperationsCentre.Name)
	d.text("operations_centre.phone", c.OperationsCentre.Phone)
	if len(c.Desks) > 0 {
		d.desks(c)
		d.mail(c)
	}
	address := c.Store.URL.Reveal()
	d.check(strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://"), "store.url", "write postgres://USER@HOST/DATABASE?sslmode=verify-full", "is not that of a PostgreSQL, in which a fleet is")
	d.faces(c)
	r := &f.Fleet
	d.span("fleet.refresh", r.Refresh, time.Second, time.Minute)
	d.span("fleet.silent_after", r.SilentAfter, 30*time.Second, time.Hour)
	d.span("fleet.window", r.Window, time.Minute, time.Hour)
	d.check(r.MinTenants >= 2 && r.MinTenants <= 1000, "fleet.min_tenants", "", "%d is not between 2 and 1000", r.MinTenants)
	d.check(r.PerYear > 0 && r.PerYear <= 100, "fleet.false_per_year", "", "is not above 0 and at most 100")
	if r.State == "" {
		r.State = d.beside("fleet.db")
	}
	f.Tenant, f.ServiceLevel, f.Desks, f.Store, f.Web = c.Tenant, c.ServiceLevel, c.Desks, c.Store, c.Web
}

// StoreURL returns the address of the database, with its password or its identity at Entra.
func (f *FleetFile) StoreURL() string {
	return f.Agent().address("")
}

// Agent returns the parts that a fleet's configuration shares with an agent's.
func (f *FleetFile) Agent() *Config {
	return &Config{Tenant: f.Tenant, ServiceLevel: f.ServiceLevel, OperationsCentre: f.OperationsCentre, Desks: f.Desks, Store: f.Store, Web: f.Web, File: f.File}
}

// WithPassword returns an address of PostgreSQL with a password, where one is set.
func WithPassword(address string, password secret.Value) string {
	c := Config{Store: Store{URL: secret.New(address), Password: password}}
	return c.address("")
}
