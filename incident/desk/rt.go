package desk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

func init() {
	Register(Kind{
		Name: "rt", Fields: true,
		Doc: "Tickets of Request Tracker 5 through its REST 2.0 interface; docs/desk-rt.md says what its administrator sets up.",
		New: func() Builder { return &RT{} },
	})
}

// RT is the configuration of a desk at Request Tracker 5 (REST 2.0, https://docs.bestpractical.com/rt/5.0.3/RT/REST2.html).
type RT struct {
	URL     string       `yaml:"url" required:"true" doc:"Address of Request Tracker, without /REST/2.0."`
	Token   secret.Value `yaml:"token" required:"true" doc:"Authentication token of the agent's account there."`
	Account string       `yaml:"account" doc:"Name of that account, to tell the agent's own steps from people's; the ticket's creator unless given."`
	Queue   string       `yaml:"queue" required:"true" doc:"Name of the queue that tickets are created in."`

	KeyField          string `yaml:"key_field" default:"FC-Key" doc:"Custom field with the case key; it tells the agent's tickets from all others."`
	PriorityField     string `yaml:"priority_field" default:"FC-Priority" doc:"Custom field with the contract's priority, 1 to 4; \"\": the priority stands in the subject only."`
	HoldReasonField   string `yaml:"hold_reason_field" default:"FC-Hold-Reason" doc:"Custom field in which people say what a ticket waits for; \"\": none, what they write with the hold says it."`
	BreakStartedField string `yaml:"break_started_field" default:"FC-Break-Started" doc:"Custom field (date and time) for the start of the break; \"\": none."`
	RectifiedField    string `yaml:"rectified_field" default:"FC-Rectified" doc:"Custom field that people fill in when the fault is temporarily rectified; \"\": none."`

	NewStates      []string `yaml:"new_states" default:"new" doc:"Statuses of a ticket that nobody has begun to work on."`
	HoldStates     []string `yaml:"hold_states" default:"stalled" doc:"Statuses of a ticket that waits for the customer."`
	ResolvedStates []string `yaml:"resolved_states" default:"resolved,rejected,deleted" doc:"Statuses of a ticket that is over; the agent sets the first."`
	WithdrawnState string   `yaml:"withdrawn_state" default:"rejected" doc:"Status that the agent gives to a double."`
	OpenState      string   `yaml:"open_state" default:"open" doc:"Status that the agent gives to a ticket that it opens again."`

	CustomerRequestor bool `yaml:"customer_requestor" doc:"The customer's e-mail address is the ticket's requestor: their answers by e-mail are seen, and Request Tracker mails them what its scrips say, such as an automatic reply."`
	MailsCustomer     bool `yaml:"mails_customer" doc:"Notes for the customer are sent as correspondence, which Request Tracker mails to the requestor; the agent then does not mail the customer itself."`

	Timeout time.Duration `yaml:"timeout" default:"10s" doc:"Longest exchange, repeated reads included."`
	CAFile  string        `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`
}

// rtForbidden may not be part of a custom field's or a status's name in a search.
const rtForbidden = `{}'"\`

// Validate reports every fault of the configuration.
func (r *RT) Validate() field.Errors {
	var faults field.Errors
	checkAddress(&faults, "url", r.URL)
	if base := strings.TrimRight(r.URL, "/"); strings.HasSuffix(base, "/REST/2.0") || strings.Contains(base, "?") {
		faults.AddHint("url", "such as https://rt.example or https://example.org/rt", "is not where people open Request Tracker")
	}
	if !httpguts.ValidHeaderFieldValue(r.Token.Reveal()) {
		faults.Add("token", "holds what no header can have: a line break or a control character")
	}
	if strings.ContainsAny(r.Queue, "/") {
		faults.AddHint("queue", "give its number instead", "has a slash in its name, which no address can have")
	}
	for _, f := range []struct{ path, name string }{
		{"key_field", r.KeyField},
		{"priority_field", r.PriorityField},
		{"hold_reason_field", r.HoldReasonField},
		{"break_started_field", r.BreakStartedField},
		{"rectified_field", r.RectifiedField},
	} {
		if strings.ContainsAny(f.name, rtForbidden) {
			faults.AddHint(f.path, "the name alone, such as FC-Key", "has a bracket, a quote or a backslash in it")
		}
	}
	r.checkStates(&faults)
	if r.MailsCustomer && !r.CustomerRequestor {
		faults.AddHint("mails_customer", "set customer_requestor as well", "would mail nobody: the customer is not the requestor")
	}
	if r.Timeout < 0 || r.Timeout > time.Minute {
		faults.Add("timeout", "must be at most 1m")
	}
	return faults
}

// checkStates reports statuses that mean two things, or nothing.
func (r *RT) checkStates(faults *field.Errors) {
	meant := map[string]string{}
	for _, of := range []struct {
		path  string
		words []string
	}{{"new_states", r.NewStates}, {"hold_states", r.HoldStates}, {"resolved_states", r.ResolvedStates}} {
		for _, word := range of.words {
			word = strings.ToLower(strings.TrimSpace(word))
			switch other := meant[word]; {
			case word == "":
				faults.Add(of.path, "has an empty entry")
			case other != "" && other != of.path:
				faults.AddHint(of.path, "name each status once", "%q is in %s as well", secret.Plain(word, 40), other)
			}
			meant[word] = of.path
		}
	}
	for _, of := range []struct{ path, word, wrong string }{
		{"withdrawn_state", r.WithdrawnState, "new_states hold_states"}, {"open_state", r.OpenState, "hold_states resolved_states"},
	} {
		if other := meant[strings.ToLower(of.word)]; of.word != "" && other != "" && strings.Contains(of.wrong, other) {
			faults.Add(of.path, "%q is in %s, which means something else", secret.Plain(of.word, 40), other)
		}
	}
}

// Build returns the desk.
func (r *RT) Build(env Env) (Desk, error) {
	proof := secret.New("token " + r.Token.Reveal())
	l, err := newLink(env, cmp.Or(r.Timeout, 10*time.Second), r.CAFile, map[string]secret.Value{"Authorization": proof}, r.Token)
	if err != nil {
		return nil, err
	}
	d := &rt{RT: *r, link: l, name: env.Name, base: strings.TrimRight(r.URL, "/")}
	d.api, d.now = d.base+"/REST/2.0", env.Now
	if d.now == nil {
		d.now = time.Now
	}
	d.KeyField, d.OpenState, d.WithdrawnState = cmp.Or(r.KeyField, "FC-Key"), cmp.Or(r.OpenState, "open"), cmp.Or(r.WithdrawnState, "rejected")
	for states, usual := range map[*[]string][]string{
		&d.NewStates: {"new"}, &d.HoldStates: {"stalled"}, &d.ResolvedStates: {"resolved", "rejected", "deleted"},
	} {
		if len(*states) == 0 {
			*states = usual
		}
	}
	return d, nil
}

// rt implements Reopener. A Ref is a ticket's number.
//
// A ticket carries its case key twice: in a custom field, by which people and reports find it, and in a link to
// "urn:firstcall:KEY". Where the field's values must be unique, Request Tracker answers 201 to a second create with the same
// key and leaves the field empty: without the link, such a double would never be found again once that answer was lost.
// A ticket that the agent withdraws loses the field's value; one that people reject keeps it.
type rt struct {
	RT

	link      *link
	name      string
	base, api string
	now       func() time.Time
}

func (d *rt) Capabilities() Capabilities {
	return Capabilities{Find: true, DedupeOnCreate: true, ReadBack: true, Transitions: true, MailsCustomer: d.MailsCustomer, InternalFiles: true}
}

func (d *rt) Open(ctx context.Context, f Fields) (Case, error) {
	if f.Key == "" || len(f.Key) > incident.MaxKey {
		return Case{}, d.fail("open", f.Key, errEmptyKey)
	}
	id, err := d.create(ctx, f)
	if err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	c, err := d.settle(ctx, id, f.Key)
	if err != nil {
		return Case{}, d.fail("open", f.Key, fmt.Errorf("ticket %s was created, then: %w: %w", id, err, ErrUnknownOutcome))
	}
	return c, nil
}

// settle returns the one case of the key after a create: of all live tickets the oldest, which every agent sees alike. When
// that is another than the one just created, this one is withdrawn.
func (d *rt) settle(ctx context.Context, id, key string) (Case, error) {
	all, err := d.search(ctx, key)
	if err != nil {
		return Case{}, err
	}
	own := slices.IndexFunc(all, func(t rtTicket) bool { return t.id() == id })
	if own < 0 { // not shown to this account: the case is this one nevertheless, and reading it will say why
		return Case{Ref: id, Number: id, URL: d.page(id), State: incident.CaseNew, Created: d.now().UTC()}, nil
	}
	winner := all[max(0, slices.IndexFunc(all, func(t rtTicket) bool { return d.class(t.Status).Live() }))]
	if winner.id() != id {
		for try := 1; ; try++ { // nothing will look for it later
			if err = d.finish(ctx, id, d.withdrawal(winner.id(), key)); err == nil {
				break
			}
			if try == 3 || ctx.Err() != nil {
				return Case{}, fmt.Errorf("it is a double of ticket %s, which goes on, and cannot be withdrawn: %w", winner.id(), err)
			}
		}
	}
	return d.show(ctx, winner, winner.id(), key)
}

func (d *rt) Find(ctx context.Context, key string) ([]Case, error) {
	if key == "" || len(key) > incident.MaxKey {
		return nil, d.fail("find", key, errEmptyKey)
	}
	all, err := d.search(ctx, key)
	if err == nil && len(all) == 0 {
		err = d.ready(ctx) // a search by a field that is not there finds nothing as well
	}
	if err != nil {
		return nil, d.fail("find", key, err)
	}
	var cases []Case
	for _, t := range all {
		c, err := d.show(ctx, t, t.id(), key)
		if err != nil {
			return nil, d.fail("find", key, err)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func (d *rt) Get(ctx context.Context, ref string) (Case, error) {
	t, _, err := d.ticket(ctx, ref)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	c, err := d.show(ctx, t, ref, t.value(d.KeyField))
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	return c, nil
}

func (d *rt) Update(ctx context.Context, ref string, f Fields, notes []Note) error {
	t, tag, err := d.ticket(ctx, ref)
	if err != nil {
		return d.fail("update", ref, inTime(err))
	}
	said, err := d.put(ctx, ref, tag, d.changes(t, ref, f))
	if err != nil {
		return d.fail("update", ref, err)
	}
	if err := d.notes(ctx, t, ref, f, notes); err != nil {
		return d.fail("update", ref, err)
	}
	if said == nil || d.PriorityField == "" || t.id() != ref {
		return nil
	}
	if t, _, err = d.ticket(ctx, ref); err != nil {
		return d.fail("update", ref, fmt.Errorf("it cannot be read back: %w: %w", err, ErrUnknownOutcome))
	}
	if got := rtPriority(t.value(d.PriorityField)); got != f.Priority {
		return d.fail("update", ref, d.link.failure(nil, "field %s holds %s where %s was written: check its values and the account's rights: it said: %s",
			d.PriorityField, got, f.Priority, strings.Join(said, "; ")))
	}
	return nil
}

// notes adds the notes that the ticket does not have yet.
func (d *rt) notes(ctx context.Context, t rtTicket, ref string, f Fields, notes []Note) error {
	if len(notes) == 0 {
		return nil
	}
	rows, err := d.history(ctx, ref)
	if err != nil {
		return inTime(err)
	}
	for _, n := range notes {
		mark := fmt.Sprintf("(note %d)", n.Seq)
		if n.Seq != 0 && slices.ContainsFunc(rows, func(r rtRow) bool {
			return r.said() && d.own(t, r.Creator.name()) && strings.HasSuffix(strings.TrimSpace(string(r.Data)), mark)
		}) {
			continue
		}
		m := rtMessage{
			Subject: secret.Plain(f.Title, rtSubject) + " " + mark,
			Content: n.At.UTC().Format("2006-01-02 15:04 UTC") + ": " + body(Fields{Body: n.Text}),
			public:  n.Public && d.MailsCustomer && d.class(t.Status).Live(), // correspondence would open an ended ticket again
		}
		if _, err := d.say(ctx, ref, m); err != nil {
			return err
		}
	}
	return nil
}

func (d *rt) Resolve(ctx context.Context, ref string, f Fields, note string) error {
	t, _, err := d.ticket(ctx, ref)
	switch {
	case err != nil:
		return d.fail("resolve", ref, inTime(err))
	case !d.class(t.Status).Live():
		return nil
	case t.id() != ref && t.value(d.KeyField) != "" && t.value(d.KeyField) != f.Key:
		return nil // people merged it into the case of another incident, with which it ends
	}
	m := rtMessage{Subject: secret.Plain(f.Title, rtSubject), Content: body(Fields{Body: note}), Status: d.ResolvedStates[0], public: d.MailsCustomer}
	if err := d.finish(ctx, ref, m); err != nil {
		return d.fail("resolve", ref, err)
	}
	return nil
}

// Reopen implements Reopener.
func (d *rt) Reopen(ctx context.Context, ref string, f Fields, note string) error {
	t, _, err := d.ticket(ctx, ref)
	switch {
	case err != nil:
		return d.fail("reopen", ref, inTime(err))
	case d.class(t.Status).Live():
		return nil
	}
	m := rtMessage{Subject: secret.Plain(f.Title, rtSubject), Content: body(Fields{Body: note}), Status: d.OpenState, public: d.MailsCustomer}
	if err := d.finish(ctx, ref, m); err != nil {
		return d.fail("reopen", ref, err)
	}
	return nil
}

func (d *rt) Withdraw(ctx context.Context, ref, winner string) error {
	t, _, err := d.ticket(ctx, ref)
	switch {
	case err != nil:
		return d.fail("withdraw", ref, inTime(err))
	case d.state(t) == incident.CaseWithdrawn:
		return nil
	}
	if err := d.finish(ctx, ref, d.withdrawal(winner, t.value(d.KeyField))); err != nil {
		return d.fail("withdraw", ref, err)
	}
	return nil
}

// withdrawal is what is said of a double.
func (d *rt) withdrawal(winner, key string) rtMessage {
	text := fmt.Sprintf("A double of ticket %s, which goes on. Nothing is to be done here. Case key: %s", secret.Plain(winner, maxActor), cmp.Or(key, "none"))
	return rtMessage{Subject: "a double", Content: text, Status: d.WithdrawnState, CustomFields: map[string]any{d.KeyField: nil}}
}

var rtNumber = regexp.MustCompile(`^[1-9][0-9]{0,17}$`)

// page is where people see the ticket.
func (d *rt) page(id string) string { return d.base + "/Ticket/Display.html?id=" + id }

// inTime marks that a write came to nothing because the time was over before it.
func inTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", err, ErrUnknownOutcome)
	}
	return err
}

func (d *rt) fail(verb, what string, err error) error {
	return fmt.Errorf("desk %q: %s %s: %w", d.name, verb, secret.Plain(what, maxActor), err)
}
