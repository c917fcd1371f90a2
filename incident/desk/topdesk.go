package desk

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

func init() {
	Register(Kind{
		Name:   "topdesk",
		Doc:    "Incidents in TOPdesk by its Incident Management API; docs/desk-topdesk.md says what to set up.",
		Fields: true,
		New:    func() Builder { return &TOPdesk{} },
	})
}

// TOPdesk is the configuration of a desk in TOPdesk (https://developers.topdesk.com/explorer/?page=incident). An item of one of
// TOPdesk's lists, such as a status, is named by its name or its id.
type TOPdesk struct {
	URL      string       `yaml:"url" required:"true" doc:"Address of TOPdesk, such as https://acme.topdesk.net."`
	User     string       `yaml:"user" required:"true" doc:"Login name of an operator."`
	Password secret.Value `yaml:"password" required:"true" doc:"Application password of the operator."`

	Caller        string `yaml:"caller" doc:"Caller of the incidents: e-mail address or id of a person, or any name for one that TOPdesk does not know; the contact's e-mail address unless given."`
	Branch        string `yaml:"branch" doc:"Branch of a caller that TOPdesk does not know, which it then needs."`
	Line          string `yaml:"line" default:"firstLine" enum:"firstLine,secondLine" doc:"Line in which the incidents are created."`
	OperatorGroup string `yaml:"operator_group" doc:"Id of the operator group that gets the incidents."`
	Category      string `yaml:"category" doc:"Category."`
	Subcategory   string `yaml:"subcategory" doc:"Subcategory, of category."`
	CallType      string `yaml:"call_type" doc:"Call type."`
	EntryType     string `yaml:"entry_type" doc:"Entry type."`

	Priorities    TOPdeskPriorities `yaml:"priorities" doc:"TOPdesk's priorities."`
	Statuses      TOPdeskStatuses   `yaml:"statuses" doc:"TOPdesk's processing statuses."`
	End           string            `yaml:"end" default:"completed" enum:"completed,closed" doc:"What a resolved incident is: completed, so that the caller can still answer, or closed as well."`
	ClosureCode   string            `yaml:"closure_code" doc:"Closure code of incidents that the agent ends."`
	MailsCustomer bool              `yaml:"mails_customer" doc:"Whether TOPdesk mails visible actions to the caller; the agent then does not mail itself."`
	Timeout       time.Duration     `yaml:"timeout" default:"10s" doc:"Longest exchange, repeated reads included."`
	CAFile        string            `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`
}

// TOPdeskPriorities are TOPdesk's priorities for the contract's.
type TOPdeskPriorities struct {
	P1 string `yaml:"p1" default:"P1" doc:"Name or id of P1."`
	P2 string `yaml:"p2" default:"P2" doc:"Name or id of P2."`
	P3 string `yaml:"p3" default:"P3" doc:"Name or id of P3."`
	P4 string `yaml:"p4" default:"P4" doc:"Name or id of P4."`
}

func (p TOPdeskPriorities) list() []string {
	return []string{cmp.Or(p.P1, "P1"), cmp.Or(p.P2, "P2"), cmp.Or(p.P3, "P3"), cmp.Or(p.P4, "P4")}
}

// of returns the item for the priority.
func (p TOPdeskPriorities) of(want incident.Priority) string {
	if want == incident.NoPriority || want > incident.P4 {
		want = incident.P4
	}
	return p.list()[want-1]
}

// TOPdeskStatuses are processing statuses. An incident with a status that is not among them is worked on.
type TOPdeskStatuses struct {
	New        string   `yaml:"new" default:"Registered" doc:"Nobody took the incident."`
	InProgress string   `yaml:"in_progress" default:"In progress" doc:"Somebody works on it; an incident that the agent opens again gets it."`
	Waiting    []string `yaml:"waiting" default:"Waiting for user" doc:"It waits for the customer, as every incident does that is on hold."`
	Closed     string   `yaml:"closed" default:"Closed" doc:"It is resolved; incidents that the agent ends get it."`
}

func (s TOPdeskStatuses) filled() TOPdeskStatuses {
	s.New, s.InProgress, s.Closed = cmp.Or(s.New, "Registered"), cmp.Or(s.InProgress, "In progress"), cmp.Or(s.Closed, "Closed")
	if s.Waiting == nil {
		s.Waiting = []string{"Waiting for user"}
	}
	return s
}

// Bounds of TOPdesk's.
const (
	topdeskKey   = 60 // characters of externalNumber
	topdeskTitle = 80 // characters of briefDescription
)

// uuid is the form of TOPdesk's ids.
var uuid = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Validate reports every fault of the configuration.
func (c *TOPdesk) Validate() field.Errors {
	var faults field.Errors
	checkAddress(&faults, "url", c.URL)
	if strings.Contains(c.URL, "?") || strings.Contains(c.URL, "/tas") {
		faults.AddHint("url", "such as https://acme.topdesk.net", "is more than the address of TOPdesk alone")
	}
	if strings.Contains(c.User, ":") {
		faults.Add("user", "has a colon, which basic authentication cannot say")
	}
	if c.OperatorGroup != "" && !uuid.MatchString(c.OperatorGroup) {
		faults.AddHint("operator_group", "see /tas/api/operatorgroups", "is no id: TOPdesk takes no name here")
	}
	if c.Subcategory != "" && c.Category == "" {
		faults.Add("subcategory", "needs category")
	}
	switch {
	case c.Branch != "" && (c.Caller == "" || topdeskKnown(c.Caller)):
		faults.Add("branch", "is for a caller that TOPdesk does not know, and caller names none")
	case c.Branch == "" && c.Caller != "" && !topdeskKnown(c.Caller):
		faults.AddHint("caller", "give branch as well, or an e-mail address or id of a person", "is a name that TOPdesk does not look up")
	}
	if faulty := doubles(c.Priorities.list()); faulty != "" {
		faults.Add("priorities", "two of them are %q, so that they could not be told apart", faulty)
	}
	s := c.Statuses.filled()
	if faulty := doubles(append([]string{s.New, s.InProgress, s.Closed}, s.Waiting...)); faulty != "" {
		faults.Add("statuses", "two of them are %q, so that they could not be told apart", faulty)
	}
	if c.Timeout < 0 || c.Timeout > time.Minute {
		faults.Add("timeout", "must be at most 1m")
	}
	return faults
}

// doubles returns a name that is there twice; "" when none is.
func doubles(names []string) string {
	for i, name := range names {
		if slices.ContainsFunc(names[:i], func(other string) bool { return strings.EqualFold(other, name) }) {
			return name
		}
	}
	return ""
}

// topdeskKnown reports whether a caller is looked up: by e-mail address or id.
func topdeskKnown(caller string) bool {
	return uuid.MatchString(caller) || mailAddress.MatchString(caller)
}

// Build returns the desk.
func (c *TOPdesk) Build(env Env) (Desk, error) {
	encoded := base64.StdEncoding.EncodeToString([]byte(c.User + ":" + c.Password.Reveal()))
	header := map[string]secret.Value{"Authorization": secret.New("Basic " + encoded)}
	l, err := newLink(env, cmp.Or(c.Timeout, 10*time.Second), c.CAFile, header, secret.New(encoded), c.Password)
	if err != nil {
		return nil, err
	}
	l.partial = true
	d := &topdesk{link: l, config: *c, name: env.Name, url: strings.TrimRight(c.URL, "/")}
	d.config.Line, d.config.End, d.config.Statuses = cmp.Or(c.Line, "firstLine"), cmp.Or(c.End, "completed"), c.Statuses.filled()
	return d, nil
}

// topdesk implements Reopener. Its Ref is the incident's id.
type topdesk struct {
	link   *link
	config TOPdesk
	name   string
	url    string
}

func (d *topdesk) Capabilities() Capabilities {
	return Capabilities{Find: true, MaxKey: topdeskKey, ReadBack: true, Transitions: true, MailsCustomer: d.config.MailsCustomer, InternalFiles: true}
}

func (d *topdesk) fail(verb, what string, err error) error {
	return fmt.Errorf("desk %q: %s %s: %w", d.name, verb, secret.Plain(what, 2*maxActor), err)
}
