package desk

import (
	"cmp"
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
		Name:   "zammad",
		Doc:    "Tickets in Zammad by its REST API; docs/desk-zammad.md says what to set up.",
		Fields: true,
		New:    func() Builder { return &Zammad{} },
	})
}

// Zammad is the configuration of a desk in Zammad (https://docs.zammad.org/en/latest/api/intro.html).
type Zammad struct {
	URL           string           `yaml:"url" required:"true" doc:"Address of Zammad, such as https://acme.zammad.com."`
	Token         secret.Value     `yaml:"token" required:"true" doc:"Access token of an agent user, with the permission ticket.agent."`
	Group         string           `yaml:"group" required:"true" doc:"Name of the group that gets the tickets."`
	Customer      string           `yaml:"customer" doc:"E-mail address of the tickets' customer; the contact's unless given. Zammad creates a user for one that it does not know."`
	KeyField      string           `yaml:"key_field" doc:"Name of a text attribute of tickets that holds the case key, beside the tag that always does."`
	PriorityField string           `yaml:"priority_field" doc:"Name of a text or select attribute that holds p1 to p4, so that priorities of one name are told apart."`
	Priorities    ZammadPriorities `yaml:"priorities" doc:"Zammad's priorities by name."`
	States        ZammadStates     `yaml:"states" doc:"Zammad's states by name, where they are not the usual ones."`
	Lag           time.Duration    `yaml:"lag" default:"1m" doc:"How long after a create Zammad's search may still miss the ticket."`
	MailsCustomer bool             `yaml:"mails_customer" doc:"Whether a trigger of Zammad mails public notes to the customer; the agent then does not mail itself."`
	Timeout       time.Duration    `yaml:"timeout" default:"10s" doc:"Longest exchange, repeated reads included."`
	CAFile        string           `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`
}

// ZammadPriorities names Zammad's priority of each of the contract's. Two may have one name; which of them a ticket has is then
// only known by priority_field.
type ZammadPriorities struct {
	P1 string `yaml:"p1" default:"3 high" doc:"Name of P1."`
	P2 string `yaml:"p2" default:"3 high" doc:"Name of P2."`
	P3 string `yaml:"p3" default:"2 normal" doc:"Name of P3."`
	P4 string `yaml:"p4" default:"1 low" doc:"Name of P4."`
}

// names returns the names of P1 to P4.
func (p ZammadPriorities) names() [4]string { return [4]string{p.P1, p.P2, p.P3, p.P4} }

// of returns the name of the priority.
func (p ZammadPriorities) of(want incident.Priority) string {
	if want == incident.NoPriority || want > incident.P4 {
		want = incident.P4
	}
	return p.names()[want-1]
}

// read returns the only priority with that name; NoPriority when none or several have it.
func (p ZammadPriorities) read(name string) incident.Priority {
	found := incident.NoPriority
	for i, n := range p.names() {
		switch {
		case !strings.EqualFold(n, name):
		case found != incident.NoPriority:
			return incident.NoPriority
		default:
			found = incident.Priority(i + 1)
		}
	}
	return found
}

// ZammadStates names the states of tickets. A ticket in a state that is not among them is worked on.
type ZammadStates struct {
	New    string   `yaml:"new" default:"new" doc:"Nobody took the ticket."`
	Open   string   `yaml:"open" default:"open" doc:"Somebody works on it; a ticket that the agent opens again gets it."`
	Hold   []string `yaml:"hold" default:"pending reminder" doc:"It waits for the customer."`
	Closed string   `yaml:"closed" default:"closed" doc:"It is resolved."`
	Merged string   `yaml:"merged" default:"merged" doc:"People made it part of another ticket, where its story goes on: it is over."`
}

func (s ZammadStates) filled() ZammadStates {
	s.New, s.Open, s.Closed, s.Merged = cmp.Or(s.New, "new"), cmp.Or(s.Open, "open"), cmp.Or(s.Closed, "closed"), cmp.Or(s.Merged, "merged")
	if s.Hold == nil {
		s.Hold = []string{"pending reminder"}
	}
	return s
}

// read returns what a state means.
func (s ZammadStates) read(name string) incident.CaseState {
	switch {
	case strings.EqualFold(name, s.New):
		return incident.CaseNew
	case strings.EqualFold(name, s.Closed), strings.EqualFold(name, s.Merged):
		return incident.CaseResolved
	case slices.ContainsFunc(s.Hold, func(hold string) bool { return strings.EqualFold(hold, name) }):
		return incident.CaseHeld
	}
	return incident.CaseAcknowledged
}

// zammadName is the form of an attribute's name. zammadOwn are attributes that every ticket has and that are not the operator's.
var (
	zammadName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`)
	zammadOwn  = []string{
		"id", "title", "number", "group", "group_id", "state", "state_id", "priority", "priority_id", "customer", "customer_id", "owner",
		"owner_id", "organization", "organization_id", "article", "tags", "note", "type", "links", "preferences", "pending_time", "created_at",
	}
)

// Validate reports every fault of the configuration.
func (z *Zammad) Validate() field.Errors {
	var faults field.Errors
	checkAddress(&faults, "url", z.URL)
	if strings.Contains(z.URL, "?") {
		faults.AddHint("url", "such as https://acme.zammad.com", "has a query: give the address of Zammad alone")
	}
	if strings.ContainsFunc(z.Token.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		faults.Add("token", "has a space, a line break or another character that no token has")
	}
	if z.Customer != "" && !mailAddress.MatchString(z.Customer) {
		faults.AddHint("customer", "such as it@acme.example", "is no e-mail address")
	}
	for path, name := range map[string]string{"key_field": z.KeyField, "priority_field": z.PriorityField} {
		switch {
		case name == "":
		case !zammadName.MatchString(name):
			faults.AddHint(path, "its name, such as firstcall_key, not its display text", "is no name of an attribute")
		case slices.Contains(zammadOwn, name):
			faults.AddHint(path, "such as firstcall_key", "is an attribute of Zammad's own: create one for the agent")
		}
	}
	if z.KeyField != "" && z.KeyField == z.PriorityField {
		faults.Add("priority_field", "is key_field as well")
	}
	states := z.States.filled()
	names := append([]string{states.New, states.Open, states.Closed, states.Merged}, states.Hold...)
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	slices.Sort(names)
	if len(slices.Compact(names)) < 4+len(states.Hold) {
		faults.Add("states", "two of them have the same name")
	}
	if z.Lag < 0 || z.Lag > time.Hour {
		faults.Add("lag", "must be between 0s and 1h")
	}
	if z.Timeout < 0 || z.Timeout > time.Minute {
		faults.Add("timeout", "must be at most 1m")
	}
	return faults
}

// mailAddress is what an e-mail address looks like; the ticket system knows it better.
var mailAddress = regexp.MustCompile(`^[^@\s<>"]+@[^@\s<>"]+$`)

// Build returns the desk.
func (z *Zammad) Build(env Env) (Desk, error) {
	header := map[string]secret.Value{"Authorization": secret.New("Token token=" + z.Token.Reveal())}
	l, err := newLink(env, cmp.Or(z.Timeout, 10*time.Second), z.CAFile, header, z.Token)
	if err != nil {
		return nil, err
	}
	d := &zammad{link: l, config: *z, name: env.Name, url: strings.TrimRight(z.URL, "/")}
	p := z.Priorities
	d.config.Priorities = ZammadPriorities{cmp.Or(p.P1, "3 high"), cmp.Or(p.P2, "3 high"), cmp.Or(p.P3, "2 normal"), cmp.Or(p.P4, "1 low")}
	d.config.States = z.States.filled()
	return d, nil
}

// zammad implements Reopener. Its Ref is the ticket's id.
type zammad struct {
	link   *link
	config Zammad
	name   string
	url    string
}

func (d *zammad) Capabilities() Capabilities {
	return Capabilities{Find: true, Lag: d.config.Lag, ReadBack: true, Transitions: true, MailsCustomer: d.config.MailsCustomer, InternalFiles: true}
}

func (d *zammad) fail(verb, what string, err error) error {
	return fmt.Errorf("desk %q: %s %s: %w", d.name, verb, secret.Plain(what, 2*maxActor), err)
}
