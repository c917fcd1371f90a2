// Package config reads the one configuration file: strict, every fault at once with its place and a hint, secrets kept secret.
package config

//go:generate go run ./internal/gen

import (
	"time"

	"github.com/robfig/cron/v3"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/probes"
)

// Config is a whole, valid configuration. It is read-only after Load.
type Config struct {
	Tenant           Tenant          `yaml:"tenant" required:"true" doc:"The customer that this agent serves."`
	ServiceLevel     ServiceLevel    `yaml:"service_level" doc:"What the customer opted for."`
	OperationsCentre Centre          `yaml:"operations_centre" doc:"Who takes the cases."`
	Witnesses        []Probe         `yaml:"witnesses" doc:"Independent targets: if none of them answers, the agent is blind and says nothing about the customer."`
	Defaults         Defaults        `yaml:"defaults" doc:"Defaults of every probe."`
	Components       []Component     `yaml:"components" required:"true" doc:"What is watched."`
	Detection        detect.Settings `yaml:"detection" doc:"Counts and times of judgement."`
	Policy           policy.Readings `yaml:"policy" doc:"Readings of the contract."`
	Quorum           policy.Quorum   `yaml:"quorum" doc:"How many vantages must agree where several agents share a store: docs/high-availability.md."`
	Maintenance      []Maintenance   `yaml:"maintenance" doc:"Recurring windows in which no case is opened."`
	Desks            []Desk          `yaml:"desks" doc:"Where cases are opened; none: the built-in desk."`
	Notices          []Notifier      `yaml:"notices" doc:"Who is told, and how."`
	Heartbeat        *Heartbeat      `yaml:"heartbeat" doc:"An outside watchdog that notices when this agent falls silent."`
	Evidence         Evidence        `yaml:"evidence" doc:"What is gathered, once, when an incident opens: docs/evidence.md."`
	Store            Store           `yaml:"store" doc:"Where state is kept."`
	Seed             []Seed          `yaml:"seed" doc:"Records of before, from which what is normal for a probe is learnt at once instead of over two weeks."`
	Vantage          string          `yaml:"vantage" doc:"The place that this agent probes from, unlike that of every other agent of the tenant; the host name unless given."`
	Web              Web             `yaml:"web" doc:"Status page, API and metrics."`

	File   string `yaml:"-"` // path as given
	Digest string `yaml:"-"` // SHA-256 over the file and every file of a secret or a text, hexadecimal; a reload compares it

	stateDirs []string // see StateDirs
	latches   string   // directory: see UseLatches
}

// Tenant is the customer.
type Tenant struct {
	ID       string   `yaml:"id" required:"true" doc:"Short name in every case key, metric and mail: lower-case letters, digits and hyphens, at most 24."`
	Name     string   `yaml:"name" doc:"Name for people; the id unless given."`
	TimeZone string   `yaml:"time_zone" default:"UTC" doc:"IANA zone in which the customer reads times."`
	Language string   `yaml:"language" default:"en" enum:"en,da" doc:"Language of the customer's mails."`
	Holidays string   `yaml:"holidays" doc:"Country whose public holidays the customer's people have off, such as DK, or none: a latency is compared with that of weekends then; service_level.holidays unless given."`
	Contacts Contacts `yaml:"contacts" doc:"People."`

	Labels map[string]string `yaml:"labels" doc:"What the tenant shares with others, such as {region: westeurope, supplier: contoso}: 'firstcall fleet' looks there for a common cause. At most 10; names of lower-case letters, digits and underscores, values of at most 63 bytes."`

	Zone    *time.Location       `yaml:"-"`          // of TimeZone
	Holiday func(time.Time) bool `yaml:"-" json:"-"` // whether a local day is one of Holidays; nil: none is
}

// Contacts are the people of a tenant.
type Contacts struct {
	Customer   incident.Contact `yaml:"customer" doc:"Gets the contract's mails and stands in every case."`
	Functional incident.Contact `yaml:"functional" doc:"Gets what is not infrastructure."`
	OnCall     incident.Contact `yaml:"on_call" doc:"The engineer on call."`
}

// ServiceLevel is what the customer opted for.
type ServiceLevel struct {
	Supported   Supported           `yaml:"supported" default:"24x7" doc:"Supported Time Period: 24x7, or a list such as [\"Mon-Fri 08:00-16:00\"]."`
	Holidays    string              `yaml:"holidays" doc:"Country whose public holidays are not supported time, or none. DK unless given where supported names hours; 24x7 knows no holidays."`
	Reaction    Reaction            `yaml:"reaction" doc:"Reaction times; the contract's unless given."`
	StatusEvery time.Duration       `yaml:"status_every" default:"30m" doc:"How often a status mail is sent while an incident lasts."`
	StatusFor   []incident.Priority `yaml:"status_for" default:"p1,p2,p3" enum:"p1,p2,p3,p4" doc:"Priorities that get status mails; a passed threshold (p4) may last for weeks and gets none by default."`

	WarnAt   []int        `yaml:"warn_at" default:"50,80,100" doc:"Shares of the reaction time, in percent, at which on-call is told that nobody has taken the case."`
	HoldEnds sla.HoldRule `yaml:"hold_ends" default:"answer" enum:"answer,status" doc:"What ends the time on hold that is deducted from downtime: the customer's answer or the case leaving its hold, whichever is first; or the status alone."`

	Calendar sla.Calendar `yaml:"-"` // of Supported and Holidays
}

// Supported is the Supported Time Period as written: the word 24x7, or weekly hours in the tenant's zone.
type Supported []string

// Reaction times by priority.
type Reaction struct {
	P1 time.Duration `yaml:"p1" default:"15m" doc:"Critical."`
	P2 time.Duration `yaml:"p2" default:"1h" doc:"Urgent."`
	P3 time.Duration `yaml:"p3" default:"3h" doc:"Moderate."`
	P4 time.Duration `yaml:"p4" default:"12h" doc:"Low."`
}

// Centre is the Operations Centre.
type Centre struct {
	Name  string `yaml:"name" default:"Operations Centre" doc:"Its name."`
	Phone string `yaml:"phone" default:"+45 33 36 63 00" doc:"Its telephone number; it stands in every priority 1 and 2 message."`
}

// Defaults of every probe.
type Defaults struct {
	Interval time.Duration `yaml:"interval" default:"30s" doc:"Time between two runs of a probe."`
	Timeout  time.Duration `yaml:"timeout" default:"5s" doc:"Longest run of a probe; at most its interval."`
}

// Component is a server application or functionality.
type Component struct {
	Name      string     `yaml:"name" required:"true" doc:"Lower-case letters, digits and hyphens; backend, web-client, remote-desktop, virtual-desktop, or the tenant's own."`
	Essential bool       `yaml:"essential" default:"true" doc:"Whether its loss counts towards the entire customer solution being inaccessible."`
	DependsOn []string   `yaml:"depends_on" doc:"Components without which it cannot work; their outage explains its own."`
	Instances []Instance `yaml:"instances" doc:"Its servers; two or more make it redundant."`
	Probes    []Probe    `yaml:"probes" doc:"Its probes, where it has one server only (instead of instances)."`
}

// Instance is one server of a component. After Load every component has at least one.
type Instance struct {
	Name   string  `yaml:"name" required:"true" doc:"Name of the server."`
	Probes []Probe `yaml:"probes" required:"true" doc:"Its probes."`
}

// Probe is a configured, scheduled measurement. The keys of its kind stand beside these.
type Probe struct {
	Kind     string              `yaml:"kind" required:"true" doc:"Which kind of probe."`
	Name     string              `yaml:"name" doc:"Name within its instance; the kind unless given."`
	Interval time.Duration       `yaml:"interval" doc:"Time between two runs; defaults.interval unless given."`
	Timeout  time.Duration       `yaml:"timeout" doc:"Longest run; defaults.timeout unless given."`
	Schedule string              `yaml:"schedule" doc:"Cron expression in the tenant's zone, instead of interval."`
	Role     string              `yaml:"role" enum:"deciding,evidence" doc:"Whether its failure is the instance's; icmp is evidence unless it is alone, every other kind decides."`
	Written  map[string]Quantity `yaml:"limits" doc:"Absolute limits: of latencies by phase (total, dns, connect, tls, ...), judged over a window, as durations; of the numbers of the kind as numbers, in percent with or without the sign. See docs/thresholds.md."`

	JudgeAs map[probes.Reason]incident.Matter `yaml:"judge_as" enum:"infrastructure,functional" doc:"Failures of this probe that are judged otherwise than docs/cases.md has it, by reason: {content: functional} makes wrong content the application's matter, for which no case is opened."`

	Limits     map[string]time.Duration `yaml:"-"` // of latencies, by phase
	Thresholds map[string]float64       `yaml:"-"` // of numbers, by name; from limits or from a key of the kind's own

	ID    string        `yaml:"-"` // component/name or component/instance/name; witness/name for a witness
	Probe probes.Probe  `yaml:"-"` // the kind's own struct, decoded and valid
	Cron  cron.Schedule `yaml:"-"` // of Schedule, in the tenant's zone; nil when Interval holds
}

// Maintenance is a recurring window.
type Maintenance struct {
	Name       string        `yaml:"name" required:"true" doc:"Name of the window."`
	Schedule   string        `yaml:"schedule" required:"true" doc:"Cron expression of its starts, in the tenant's zone."`
	Duration   time.Duration `yaml:"duration" required:"true" doc:"How long it lasts."`
	Components []string      `yaml:"components" doc:"Which components; all unless given."`

	Cron cron.Schedule `yaml:"-"` // of Schedule, in the tenant's zone
}

// Desk is a configured ticket system. The keys of its kind stand beside these.
type Desk struct {
	Kind string `yaml:"kind" required:"true" doc:"Which kind of desk."`
	Name string `yaml:"name" required:"true" doc:"Name of the desk."`

	FallbackAfter      time.Duration `yaml:"fallback_after" doc:"Open cases here only when the first desk could not be reached for so long; when it answers again it takes them over. Always unless given."`
	ResolvedEarly      string        `yaml:"resolved_early" default:"reopen" enum:"reopen,new_case,comment" doc:"What is done when people resolve a case whose fault is still measured, beside telling the case so: open it again (at a desk that cannot: a new case), open a new case that follows it, or nothing more."`
	ResolvedEarlyAfter time.Duration `yaml:"resolved_early_after" default:"15m" doc:"How long they may have been right."`
	ResolvedBy         string        `yaml:"resolved_by" default:"agent" enum:"agent,people" doc:"Who resolves a case whose fault has gone. The case is told so in any case."`
	ResolveAfter       time.Duration `yaml:"resolve_after" default:"0s" doc:"How long the fault must have gone before the agent resolves the case."`
	WebhookSecret      secret.Value  `yaml:"webhook_secret" doc:"Key of the HMAC-SHA256 of a POST to /api/v1/desks/NAME/changed, by which the system says that people changed a case; without it cases are read every 15 s."`

	Templates reconcile.Templates `yaml:"templates" doc:"Texts of your own for its cases: Go templates over the names in Texts of cases."`
	Fields    map[string]string   `yaml:"fields" doc:"Fields of the system's own by their names in it, each a template; written when a case is opened, and left out where the text is empty. Only kinds that say so have them."`

	Builder desk.Builder `yaml:"-"`
}

// Notifier is a configured way to people. The keys of its kind stand beside these.
type Notifier struct {
	Kind       string              `yaml:"kind" required:"true" doc:"Which kind of notifier."`
	Name       string              `yaml:"name" required:"true" doc:"Name of the notifier."`
	To         []string            `yaml:"to" doc:"customer, functional or on_call (the tenant's contacts), or addresses of the kind. Of the kind phone also operations_centre: its number is called for what nobody there has taken."`
	Priorities []incident.Priority `yaml:"priorities" enum:"p1,p2,p3,p4" doc:"Only incidents that are, or were, of one of these; all unless given."`
	Quiet      []string            `yaml:"quiet" doc:"Weekly hours in the tenant's zone in which nobody is told, such as [\"Mon-Sun 22:00-07:00\"]; what is due then is told after them."`
	Loud       []incident.Priority `yaml:"loud" default:"p1" enum:"p1,p2,p3,p4" doc:"Priorities that are told in quiet hours too."`

	QuietHours *sla.Calendar  `yaml:"-"` // of Quiet; nil: none
	Builder    notify.Builder `yaml:"-"`
	Recipients []Recipient    `yaml:"-"` // To, resolved
}

// Recipient is somebody whom a notifier tells.
type Recipient struct {
	Role    string           // customer, functional, on_call or operations_centre; "" for an address of the notifier's kind
	Contact incident.Contact // for an address, that alone
}

// Heartbeat tells an outside watchdog that the agent is alive and sees.
type Heartbeat struct {
	URL   secret.Value  `yaml:"url" required:"true" doc:"Address that is called."`
	Every time.Duration `yaml:"every" default:"1m" doc:"How often."`
}

// Evidence says what is gathered when an incident opens.
type Evidence struct {
	Enabled   bool     `yaml:"enabled" default:"true" doc:"Gather it: the way to what fails, what its names resolve to, its last good result, what else works, and files of failing probes."`
	Path      bool     `yaml:"path" default:"true" doc:"Walk to what fails, hop by hop, as traceroute does; on Linux only, and without any right."`
	Resolvers []string `yaml:"resolvers" doc:"DNS servers, host:port, that are asked for the names of what fails, beside the system's resolver: at most 3. The second name server of /etc/resolv.conf unless given."`
}

// Store says where state is kept.
type Store struct {
	URL        secret.Value  `yaml:"url" doc:"sqlite:PATH; firstcall.db beside the configuration file unless given. Or a PostgreSQL that many tenants share: postgres://USER@HOST/DATABASE?sslmode=verify-full, with the parameters of libpq and several hosts (HOST1,HOST2) where one takes over from another."`
	Password   secret.Value  `yaml:"password" doc:"Of the role in PostgreSQL, where url holds none."`
	ResultsFor time.Duration `yaml:"results_for" default:"35d" doc:"How long single results are kept, so that a change can be tried on last month ('firstcall replay'); at most 2,000,000 of them and 1 GiB, whichever comes first. Hourly figures are kept for 400 days."`
	AloneAfter time.Duration `yaml:"alone_after" default:"1m" doc:"With PostgreSQL: how long the database may be away before an agent judges alone and opens cases by itself, one agent after the other; 0s: never."`
	StateDir   string        `yaml:"state_dir" doc:"With PostgreSQL: directory for what an agent must know while the database is away; beside the configuration file unless given, or where that cannot be written firstcall in the user's cache directory, or else memory."`
}

// Web is the agent's own page.
type Web struct {
	Listen      string       `yaml:"listen" default:"127.0.0.1:9797" doc:"Address to listen on."`
	ExternalURL string       `yaml:"external_url" doc:"Address under which people reach the page; stands in cases and mails."`
	ConfigFile  string       `yaml:"config_file" doc:"TLS and basic authentication, in the format of Prometheus' exporter-toolkit."`
	Token       secret.Value `yaml:"token" doc:"Bearer token for calls that change something; from loopback none is needed unless it is set."`
}
