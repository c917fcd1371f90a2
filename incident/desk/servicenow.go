package desk

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

func init() {
	Register(Kind{
		Name:   "servicenow",
		Doc:    "Incidents in ServiceNow by its Table API; docs/desk-servicenow.md says what to set up.",
		Fields: true,
		New:    func() Builder { return &ServiceNow{} },
	})
}

// ServiceNow is the configuration of a desk in ServiceNow (Table API, https://www.servicenow.com/docs, REST API reference).
type ServiceNow struct {
	URL          string       `yaml:"url" required:"true" doc:"Address of the instance, such as https://acme.service-now.com."`
	ClientID     string       `yaml:"client_id" doc:"OAuth 2.0 client id, for the client credentials grant."`
	ClientSecret secret.Value `yaml:"client_secret" doc:"OAuth 2.0 client secret."`
	User         string       `yaml:"user" doc:"User name, for basic authentication."`
	Password     secret.Value `yaml:"password" doc:"Password of the user."`
	APIKey       secret.Value `yaml:"api_key" doc:"Key for the header x-sn-apikey."`

	Table     string `yaml:"table" default:"incident" doc:"Table that the cases are records of."`
	KeyField  string `yaml:"key_field" default:"correlation_id" doc:"Field that holds the case key; better a Unique field of your own, such as u_firstcall_key."`
	UniqueKey bool   `yaml:"unique_key" doc:"Whether key_field is Unique in the dictionary, so that the database refuses a second case."`

	Caller          string            `yaml:"caller" doc:"User name, e-mail address or sys_id of the caller; customer: the user with the contact's e-mail address."`
	AssignmentGroup string            `yaml:"assignment_group" doc:"Name or sys_id of the group that gets the cases."`
	ImpactUrgency   SnowImpactUrgency `yaml:"impact_urgency" doc:"Impact and urgency of each priority, from which ServiceNow computes its own."`
	States          SnowStates        `yaml:"states" doc:"Numbers of the states, where they are not the usual ones."`
	HoldReasons     []int             `yaml:"hold_reasons" default:"1" doc:"Hold reasons that wait for the customer, by number; a case on hold for any other counts as worked on."`
	CloseCode       string            `yaml:"close_code" default:"Solution provided" doc:"Resolution code of cases that the agent resolves."`

	MailsCustomer bool          `yaml:"mails_customer" doc:"Whether ServiceNow mails additional comments to the customer; the agent then does not mail itself."`
	History       bool          `yaml:"history" default:"true" doc:"Whether the account may read sys_audit, where it stands who did what and when."`
	Timeout       time.Duration `yaml:"timeout" default:"10s" doc:"Longest exchange, repeated reads included."`
	CAFile        string        `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`
}

// SnowImpactUrgency says with which impact and urgency each priority is written, as IMPACTxURGENCY. The defaults lead to 1 to
// 4 by ServiceNow's own priority look-up rules.
type SnowImpactUrgency struct {
	P1 string `yaml:"p1" default:"1x1" doc:"Impact and urgency of P1."`
	P2 string `yaml:"p2" default:"1x2" doc:"Impact and urgency of P2."`
	P3 string `yaml:"p3" default:"2x2" doc:"Impact and urgency of P3."`
	P4 string `yaml:"p4" default:"2x3" doc:"Impact and urgency of P4."`
}

// of returns impact and urgency of the priority.
func (m SnowImpactUrgency) of(p incident.Priority) (impact, urgency string) {
	pairs := [...]string{incident.P1: m.P1, incident.P2: m.P2, incident.P3: m.P3, incident.P4: m.P4}
	pair := pairs[incident.P4]
	if p != incident.NoPriority && p <= incident.P4 {
		pair = pairs[p]
	}
	impact, urgency, _ = strings.Cut(pair, "x")
	return impact, urgency
}

// SnowStates are the numbers of a record's states. A number of 0 is the usual one.
type SnowStates struct {
	New        int `yaml:"new" default:"1" doc:"New."`
	InProgress int `yaml:"in_progress" default:"2" doc:"In Progress."`
	OnHold     int `yaml:"on_hold" default:"3" doc:"On Hold."`
	Resolved   int `yaml:"resolved" default:"6" doc:"Resolved."`
	Closed     int `yaml:"closed" default:"7" doc:"Closed."`
	Canceled   int `yaml:"canceled" default:"8" doc:"Canceled."`
}

func (s SnowStates) filled() SnowStates {
	return SnowStates{cmp.Or(s.New, 1), cmp.Or(s.InProgress, 2), cmp.Or(s.OnHold, 3), cmp.Or(s.Resolved, 6), cmp.Or(s.Closed, 7), cmp.Or(s.Canceled, 8)}
}

var (
	snowName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,79}$`) // of a table or field
	snowPair = regexp.MustCompile(`^[1-9]x[1-9]$`)
	snowID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// Validate reports every fault of the configuration.
func (s *ServiceNow) Validate() field.Errors {
	var faults field.Errors
	checkAddress(&faults, "url", s.URL)
	if strings.Contains(s.URL, "?") {
		faults.AddHint("url", "such as https://acme.service-now.com", "has a query: give the address of the instance alone")
	}
	s.checkCredentials(&faults)
	for path, name := range map[string]string{"table": s.Table, "key_field": s.KeyField} {
		if name != "" && !snowName.MatchString(name) {
			faults.AddHint(path, "its name, such as u_firstcall_key, not its label", "is no name of a table or field")
		}
	}
	for path, pair := range map[string]string{"p1": s.ImpactUrgency.P1, "p2": s.ImpactUrgency.P2, "p3": s.ImpactUrgency.P3, "p4": s.ImpactUrgency.P4} {
		if pair != "" && !snowPair.MatchString(pair) {
			faults.AddHint("impact_urgency."+path, "such as 1x2", "is no impact and urgency")
		}
	}
	states := s.States.filled()
	numbers := []int{states.New, states.InProgress, states.OnHold, states.Resolved, states.Closed, states.Canceled}
	slices.Sort(numbers)
	if len(slices.Compact(numbers)) < 6 {
		faults.Add("states", "two of them have the same number")
	}
	for path, value := range map[string]string{"caller": s.Caller, "assignment_group": s.AssignmentGroup} {
		if strings.ContainsAny(value, "^\r\n") {
			faults.Add(path, "has a ^ or a line break, which no query can hold")
		}
	}
	if s.Timeout < 0 || s.Timeout > time.Minute {
		faults.Add("timeout", "must be at most 1m")
	}
	return faults
}

// checkCredentials reports what is wrong with the ways to prove who asks: there must be one, whole.
func (s *ServiceNow) checkCredentials(faults *field.Errors) {
	ways := 0
	for _, way := range []struct {
		name, secretName string
		has, hasSecret   bool
	}{
		{"client_id", "client_secret", s.ClientID != "", !s.ClientSecret.IsZero()},
		{"user", "password", s.User != "", !s.Password.IsZero()},
		{"api_key", "api_key", !s.APIKey.IsZero(), !s.APIKey.IsZero()},
	} {
		if way.has != way.hasSecret {
			faults.Add(way.name, "needs %s, and the other way round: one of them is missing", way.secretName)
		}
		if way.has || way.hasSecret {
			ways++
		}
	}
	if ways != 1 {
		faults.AddHint("", "client_id and client_secret, or user and password, or api_key", "has %d ways to authenticate: give one", ways)
	}
	if strings.Contains(s.User, ":") {
		faults.Add("user", "has a colon, which basic authentication cannot say")
	}
	if strings.ContainsAny(s.APIKey.Reveal(), "\r\n") {
		faults.Add("api_key", "has a line break")
	}
}

// Build returns the desk.
func (s *ServiceNow) Build(env Env) (Desk, error) {
	headers := map[string]secret.Value{}
	secrets := []secret.Value{s.ClientSecret, s.Password, s.APIKey}
	switch {
	case !s.APIKey.IsZero():
		headers["x-sn-apikey"] = s.APIKey
	case s.User != "":
		encoded := base64.StdEncoding.EncodeToString([]byte(s.User + ":" + s.Password.Reveal()))
		headers["Authorization"] = secret.New("Basic " + encoded)
		secrets = append([]secret.Value{secret.New(encoded)}, secrets...) // the whole before its parts
	}
	timeout := cmp.Or(s.Timeout, 10*time.Second)
	l, err := newLink(env, timeout, s.CAFile, headers, secrets...)
	if err != nil {
		return nil, err
	}
	d := &servicenow{
		link: l, config: *s, name: env.Name, now: env.Now, url: strings.TrimRight(s.URL, "/"), known: map[string]string{},
	}
	if d.now == nil {
		d.now = time.Now
	}
	d.config.Table, d.config.KeyField = cmp.Or(s.Table, "incident"), cmp.Or(s.KeyField, "correlation_id")
	d.config.CloseCode, d.config.States = cmp.Or(s.CloseCode, "Solution provided"), s.States.filled()
	usual := SnowImpactUrgency{"1x1", "1x2", "2x2", "2x3"}
	m := s.ImpactUrgency
	d.config.ImpactUrgency = SnowImpactUrgency{cmp.Or(m.P1, usual.P1), cmp.Or(m.P2, usual.P2), cmp.Or(m.P3, usual.P3), cmp.Or(m.P4, usual.P4)}
	if s.HoldReasons == nil {
		d.config.HoldReasons = []int{1}
	}
	l.explain = snowExplain
	if s.ClientID != "" {
		if err := d.authorizeByToken(env, timeout, secrets); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// authorizeByToken makes every request carry an access token.
func (d *servicenow) authorizeByToken(env Env, timeout time.Duration, secrets []secret.Value) error {
	l, err := newLink(env, timeout, d.config.CAFile, nil, secrets...)
	if err != nil {
		return err
	}
	l.explain = func(status int, _ http.Header, _ []byte) (string, error) {
		if status == http.StatusUnauthorized || status == http.StatusBadRequest {
			return "check client_id and client_secret, and that glide.oauth.inbound.client.credential.grant_type.enabled is true", nil
		}
		return "", nil
	}
	d.tokens = &clientCredentials{
		link: l, address: d.url + "/oauth_token.do", id: d.config.ClientID, secret: d.config.ClientSecret,
		life: 30 * time.Minute, now: d.now, turn: make(chan struct{}, 1),
	}
	l.passing, d.link.passing = d.tokens.secrets, d.tokens.secrets
	d.link.authorize = func(ctx context.Context, request *http.Request) error {
		token, _, err := d.tokens.current(ctx)
		if err == nil {
			request.Header.Set("Authorization", "Bearer "+token.Reveal())
		}
		return err
	}
	return nil
}

// servicenow implements Desk and Reopener. Its Ref is the sys_id.
type servicenow struct {
	link   *link
	tokens *clientCredentials // nil: not by OAuth
	config ServiceNow         // every default filled in
	name   string
	url    string
	now    func() time.Time

	mu    sync.Mutex
	known map[string]string // sys_ids of users and groups, by query
}

// Capabilities says that reads follow writes at once, and what the configuration allows.
func (d *servicenow) Capabilities() Capabilities {
	return Capabilities{
		Find: true, DedupeOnCreate: d.config.UniqueKey, MaxKey: 100, ReadBack: true,
		Transitions: d.config.History, MailsCustomer: d.config.MailsCustomer,
	}
}
