package desk

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

func init() {
	Register(Kind{
		Name:   "jira",
		Doc:    "Issues in Jira Cloud or Jira Service Management; docs/desk-jira.md says what to set up.",
		Fields: true,
		New:    func() Builder { return &Jira{} },
	})
}

// Jira is the configuration of a desk in Jira Cloud (REST API v3 and Jira Service Management's servicedeskapi,
// https://developer.atlassian.com/cloud/jira).
type Jira struct {
	URL   string       `yaml:"url" required:"true" doc:"Address of the site, such as https://acme.atlassian.net."`
	User  string       `yaml:"user" doc:"E-mail address of the agent's account; without it the token is a bearer token."`
	Token secret.Value `yaml:"token" required:"true" doc:"API token of the account, or a bearer token."`

	Project     string `yaml:"project" required:"true" doc:"Key of the project, such as SOC."`
	IssueType   string `yaml:"issue_type" default:"Incident" doc:"Name of the issue type, where no request_type is given."`
	ServiceDesk string `yaml:"service_desk" doc:"Number of the service desk; with request_type, cases are customer requests."`
	RequestType string `yaml:"request_type" doc:"Number of the request type; its form must have the fields Labels and Priority."`
	Customer    string `yaml:"customer" doc:"Account id of the customer, who becomes the reporter; the agent's own account unless given."`

	Priorities  JiraPriorities  `yaml:"priorities" doc:"Names of the priorities in Jira."`
	States      JiraStates      `yaml:"states" doc:"Names of the statuses that mean something; any other goes by its category."`
	Transitions JiraTransitions `yaml:"transitions" doc:"Names of the transitions, or of the statuses that they lead to, that the agent may use; the first that the issue offers is taken."`
	Resolution  string          `yaml:"resolution" default:"Done" doc:"Resolution to set where the transition's screen has the field; empty: none."`

	Lag           time.Duration `yaml:"lag" default:"2m" doc:"How long after a create the search may still miss the issue."`
	MailsCustomer bool          `yaml:"mails_customer" doc:"Whether Jira mails public comments to the customer; the agent then does not mail itself."`
	Timeout       time.Duration `yaml:"timeout" default:"10s" doc:"Longest exchange, repeated reads included."`
	CAFile        string        `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`
}

// JiraPriorities are the names of the priorities; an empty one is the usual one.
type JiraPriorities struct {
	P1 string `yaml:"p1" default:"Highest" doc:"Name of P1."`
	P2 string `yaml:"p2" default:"High" doc:"Name of P2."`
	P3 string `yaml:"p3" default:"Medium" doc:"Name of P3."`
	P4 string `yaml:"p4" default:"Low" doc:"Name of P4."`
}

func (m JiraPriorities) names() [5]string {
	return [5]string{
		incident.P1: cmp.Or(m.P1, "Highest"), incident.P2: cmp.Or(m.P2, "High"), incident.P3: cmp.Or(m.P3, "Medium"), incident.P4: cmp.Or(m.P4, "Low"),
	}
}

// name returns Jira's name of the priority.
func (m JiraPriorities) name(p incident.Priority) string {
	if p == incident.NoPriority || p > incident.P4 {
		p = incident.P4
	}
	return m.names()[p]
}

// of returns the priority of that name; NoPriority when it is none of them.
func (m JiraPriorities) of(name string) incident.Priority {
	for p, own := range m.names() {
		if own != "" && strings.EqualFold(own, name) {
			return incident.Priority(p)
		}
	}
	return incident.NoPriority
}

// JiraStates are names of statuses.
type JiraStates struct {
	New  []string `yaml:"new" default:"Open,Waiting for support" doc:"Statuses in which nobody works yet, whatever their category."`
	Hold []string `yaml:"hold" default:"Waiting for customer,Pending" doc:"Statuses that wait for the customer."`
}

// JiraTransitions are names of transitions or of the statuses that they lead to.
type JiraTransitions struct {
	Resolve  []string `yaml:"resolve" default:"Resolve this issue,Resolve,Resolved,Completed,Done,Close" doc:"To end a case."`
	Reopen   []string `yaml:"reopen" default:"Reopen,Back to in progress,In progress,Work in progress,Open" doc:"To open a resolved case again."`
	Withdraw []string `yaml:"withdraw" default:"Cancel request,Cancel,Canceled,Cancelled,Declined,Resolve this issue,Resolve,Resolved,Completed,Done,Close" doc:"To end a double."`
}

var (
	jiraProject = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,254}$`)
	jiraNumber  = regexp.MustCompile(`^[0-9]{1,20}$`)
	jiraKey     = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,254}-[0-9]{1,18}$`)
)

// Validate reports every fault of the configuration.
func (j *Jira) Validate() field.Errors {
	var faults field.Errors
	checkAddress(&faults, "url", j.URL)
	if strings.Contains(j.URL, "?") {
		faults.AddHint("url", "such as https://acme.atlassian.net", "has a query: give the address of the site alone")
	}
	if j.Project != "" && !jiraProject.MatchString(j.Project) {
		faults.AddHint("project", "its key, such as SOC, not its name", "is no key of a project")
	}
	for path, number := range map[string]string{"service_desk": j.ServiceDesk, "request_type": j.RequestType} {
		if number != "" && !jiraNumber.MatchString(number) {
			faults.AddHint(path, "its number, as GET /rest/servicedeskapi/servicedesk shows it", "is no number")
		}
	}
	if (j.ServiceDesk == "") != (j.RequestType == "") {
		faults.Add("request_type", "needs service_desk, and the other way round: one of them is missing")
	}
	if strings.Contains(j.User, ":") {
		faults.Add("user", "has a colon, which basic authentication cannot say")
	}
	if strings.ContainsAny(j.Token.Reveal(), "\r\n") {
		faults.Add("token", "has a line break")
	}
	seen := map[string]bool{}
	for p, name := range j.Priorities.names() {
		if p > 0 && seen[strings.ToLower(name)] {
			faults.Add("priorities", "two of them have the same name, so that they cannot be told apart when they are read back")
		}
		seen[strings.ToLower(name)] = true
	}
	if j.Lag < 0 || j.Lag > time.Hour {
		faults.Add("lag", "must be between 0s and 1h")
	}
	if j.Timeout < 0 || j.Timeout > time.Minute {
		faults.Add("timeout", "must be at most 1m")
	}
	return faults
}

// Build returns the desk.
func (j *Jira) Build(env Env) (Desk, error) {
	proof := "Bearer " + j.Token.Reveal()
	secrets := []secret.Value{j.Token}
	if j.User != "" {
		encoded := base64.StdEncoding.EncodeToString([]byte(j.User + ":" + j.Token.Reveal()))
		proof, secrets = "Basic "+encoded, []secret.Value{secret.New(encoded), j.Token} // the whole before its parts
	}
	l, err := newLink(env, cmp.Or(j.Timeout, 10*time.Second), j.CAFile, map[string]secret.Value{"Authorization": secret.New(proof)}, secrets...)
	if err != nil {
		return nil, err
	}
	l.explain = jiraExplain
	d := &jira{link: l, config: *j, name: env.Name, now: env.Now, url: strings.TrimRight(j.URL, "/")}
	if d.now == nil {
		d.now = time.Now
	}
	d.config.IssueType = cmp.Or(j.IssueType, "Incident")
	fill(&d.config.States.New, "Open", "Waiting for support")
	fill(&d.config.States.Hold, "Waiting for customer", "Pending")
	fill(&d.config.Transitions.Resolve, "Resolve this issue", "Resolve", "Resolved", "Completed", "Done", "Close")
	fill(&d.config.Transitions.Reopen, "Reopen", "Back to in progress", "In progress", "Work in progress", "Open")
	fill(&d.config.Transitions.Withdraw, append([]string{"Cancel request", "Cancel", "Canceled", "Cancelled", "Declined"}, d.config.Transitions.Resolve...)...)
	if u, err := url.Parse(j.URL); err != nil || u.Hostname() != "api.atlassian.com" { // which shows no pages
		d.pages = d.url + "/browse/"
	}
	return d, nil
}

// fill sets a list that the configuration does not give.
func fill(list *[]string, names ...string) {
	if *list == nil {
		*list = names
	}
}

// jira implements Desk and Reopener. Its Ref is the number of the issue, which stays when an issue moves to another project.
type jira struct {
	link   *link
	config Jira
	name   string
	url    string
	pages  string // address before the key; "" when not known
	now    func() time.Time
}

// Capabilities says that the search follows writes late, and what the configuration allows.
func (d *jira) Capabilities() Capabilities {
	return Capabilities{
		Find: true, Lag: d.config.Lag, MaxKey: 255, ReadBack: true, Transitions: true,
		MailsCustomer: d.config.MailsCustomer, InternalFiles: d.config.RequestType != "",
	}
}
