package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

func init() {
	Register(Kind{
		Name: "builtin",
		Doc:  "Cases inside the agent itself, worked on through its page, its API and firstcall cases.",
		New:  func() Builder { return &Builtin{} },
	})
}

// Builtin is the configuration of the desk inside the agent. It has no keys.
type Builtin struct{}

// Validate finds nothing to complain of.
func (b *Builtin) Validate() field.Errors { return nil }

// Build returns the desk; it needs env.Storage.
func (b *Builtin) Build(env Env) (Desk, error) {
	if env.Storage == nil {
		return nil, fmt.Errorf("desk %q: the built-in desk has no store to keep its cases in", env.Name)
	}
	now := env.Now
	if now == nil {
		now = time.Now
	}
	return &builtin{name: env.Name, external: strings.TrimRight(env.ExternalURL, "/"), storage: env.Storage, now: now}, nil
}

// Bounds on what people may write into a case, and on how long its log may grow.
const (
	maxActor  = 100   // bytes
	maxReason = 2000  // bytes
	maxBody   = 32768 // bytes
	maxLog    = 1000  // entries; beyond it the agent's oldest notes give way
)

// builtin implements Operable. All state is in the storage.
type builtin struct {
	name     string
	external string
	storage  Storage
	now      func() time.Time
}

func (d *builtin) Capabilities() Capabilities {
	return Capabilities{Find: true, DedupeOnCreate: true, ReadBack: true, Transitions: true}
}

func (d *builtin) Find(ctx context.Context, key string) ([]Case, error) {
	if key == "" {
		return nil, d.fail("find", "", errEmptyKey)
	}
	c, err := d.storage.DeskCaseByKey(ctx, key)
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, d.fail("find", key, err)
	case c.Key != key || c.State == incident.CaseWithdrawn:
		return nil, nil
	}
	return []Case{d.show(c)}, nil
}

func (d *builtin) Open(ctx context.Context, f Fields) (Case, error) {
	if f.Key == "" || len(f.Key) > incident.MaxKey {
		return Case{}, d.fail("open", f.Key, errEmptyKey)
	}
	if err := ctx.Err(); err != nil { // a store may finish what it was asked for once it has begun
		return Case{}, d.fail("open", f.Key, err)
	}
	now := d.now().UTC()
	c, err := d.storage.CreateDeskCase(ctx, incident.StoredCase{
		Key: f.Key, Title: secret.Plain(f.Title, maxReason), Body: body(f), Priority: f.Priority, State: incident.CaseNew, Created: now,
		Log: []incident.Transition{{At: now, Actor: incident.ActorAgent, To: incident.CaseNew, Text: "opened at " + f.Priority.String()}},
	})
	if err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	if c.Key != f.Key {
		return Case{}, d.fail("open", f.Key, fmt.Errorf("the store answered with case %s, which has the key %q", c.Number, c.Key))
	}
	return d.show(c), nil
}

func (d *builtin) Get(ctx context.Context, ref string) (Case, error) {
	c, err := d.storage.DeskCaseByNumber(ctx, ref)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	return d.show(c), nil
}

func (d *builtin) Update(ctx context.Context, ref string, f Fields, notes []Note) error {
	return d.change(ctx, "update", ref, func(c *incident.StoredCase) error {
		c.Title, c.Body = secret.Plain(f.Title, maxReason), body(f)
		if c.Priority != f.Priority {
			d.log(c, incident.ActorAgent, "", fmt.Sprintf("priority %s, was %s", f.Priority, c.Priority))
			c.Priority = f.Priority
		}
		for _, n := range notes {
			if !seen(c.Seqs, n.Seq) {
				c.Seqs = keepNewest(append(c.Seqs, n.Seq))
				d.log(c, incident.ActorAgent, "", n.Text)
			}
		}
		return nil
	})
}

func (d *builtin) Resolve(ctx context.Context, ref string, _ Fields, note string) error {
	return d.change(ctx, "resolve", ref, func(c *incident.StoredCase) error {
		if c.State.Live() {
			c.State = incident.CaseResolved
			d.log(c, incident.ActorAgent, incident.CaseResolved, note)
		}
		return nil
	})
}

// Reopen implements Reopener: the case is as it was before people resolved it.
func (d *builtin) Reopen(ctx context.Context, ref string, _ Fields, note string) error {
	return d.change(ctx, "reopen", ref, func(c *incident.StoredCase) error {
		if c.State == incident.CaseResolved {
			c.State = beforeHold(c.Log)
			d.log(c, incident.ActorAgent, c.State, note)
		}
		return nil
	})
}

func (d *builtin) Withdraw(ctx context.Context, ref, winner string) error {
	return d.change(ctx, "withdraw", ref, func(c *incident.StoredCase) error {
		if c.State != incident.CaseWithdrawn {
			c.State = incident.CaseWithdrawn
			d.log(c, incident.ActorAgent, incident.CaseWithdrawn, "a double of "+secret.Plain(winner, maxActor))
		}
		return nil
	})
}

func (d *builtin) Transitions(ctx context.Context, ref string, since time.Time) ([]incident.Transition, error) {
	c, err := d.storage.DeskCaseByNumber(ctx, ref)
	if err != nil {
		return nil, d.fail("read the log of", ref, err)
	}
	var people []incident.Transition
	for _, t := range c.Log {
		if t.Actor != incident.ActorAgent && t.At.After(since) {
			people = append(people, t)
		}
	}
	return people, nil
}

// Act implements Operable. The actor is "operator" unless given; ActorAgent is refused, since it tells the agent's own steps
// from people's.
func (d *builtin) Act(ctx context.Context, number string, action Action, actor, reason string) error {
	if len(actor) > maxActor || len(reason) > maxReason {
		return d.fail(string(action), number, fmt.Errorf("a name may have %d bytes and a reason %d: shorten it", maxActor, maxReason))
	}
	actor, reason = secret.Plain(actor, maxActor), secret.Plain(reason, maxReason)
	switch {
	case actor == "":
		actor = "operator"
	case strings.EqualFold(actor, incident.ActorAgent):
		return d.fail(string(action), number, fmt.Errorf("%q is the agent's own name: give yours", incident.ActorAgent))
	}
	if reason == "" && slices.Contains([]Action{Hold, AddNote, Answer, Rectify}, action) {
		return d.fail(string(action), number, fmt.Errorf("%s needs a text: say what the case waits for, what the customer answered, how it was rectified or what is to be noted", action))
	}
	return d.change(ctx, string(action), number, func(c *incident.StoredCase) error {
		to, err := next(*c, action)
		if err != nil {
			return err
		}
		if to != "" {
			c.State = to
		}
		d.log(c, actor, to, reason)
		last := &c.Log[len(c.Log)-1]
		last.Customer, last.Rectified = action == Answer, action == Rectify
		return nil
	})
}

// next returns the state that the action leads to, "" for a note, or why the case's state does not allow it.
func next(c incident.StoredCase, action Action) (incident.CaseState, error) {
	able := allowed(c.State)
	if !slices.Contains(able, action) {
		words := make([]string, len(able))
		for i, a := range able {
			words[i] = string(a)
		}
		return "", fmt.Errorf("the case is %s: possible now: %s", c.State, strings.Join(words, ", "))
	}
	switch action {
	case Acknowledge:
		return incident.CaseAcknowledged, nil
	case Hold:
		return incident.CaseHeld, nil
	case Resolve:
		return incident.CaseResolved, nil
	case Resume:
		return beforeHold(c.Log), nil
	case AddNote, Answer, Rectify:
	}
	return "", nil
}

// allowed returns the actions that a case in that state allows.
func allowed(state incident.CaseState) []Action {
	switch state {
	case incident.CaseNew:
		return []Action{Acknowledge, Hold, AddNote, Answer, Rectify, Resolve}
	case incident.CaseAcknowledged:
		return []Action{Hold, AddNote, Answer, Rectify, Resolve}
	case incident.CaseHeld:
		return []Action{Resume, AddNote, Answer, Rectify, Resolve}
	case incident.CaseWanted, incident.CaseResolved, incident.CaseWithdrawn:
	}
	return []Action{AddNote}
}

// beforeHold returns the state in which the newest hold began.
func beforeHold(log []incident.Transition) incident.CaseState {
	for _, t := range slices.Backward(log) {
		if t.To == incident.CaseNew || t.To == incident.CaseAcknowledged {
			return t.To
		}
	}
	return incident.CaseNew
}

// log appends to the case's log. Its times rise strictly, whatever the clock does, so that Transitions misses nothing.
func (d *builtin) log(c *incident.StoredCase, actor string, to incident.CaseState, text string) {
	at := d.now().UTC()
	if n := len(c.Log); n > 0 && !at.After(c.Log[n-1].At) {
		at = c.Log[n-1].At.Add(time.Millisecond)
	}
	c.Log = append(c.Log, incident.Transition{At: at, Actor: actor, To: to, Text: secret.Plain(text, maxReason)})
	if len(c.Log) > maxLog {
		oldest := max(0, slices.IndexFunc(c.Log, func(t incident.Transition) bool { return t.Actor == incident.ActorAgent && t.To == "" }))
		c.Log = slices.Delete(c.Log, oldest, oldest+1)
	}
}

// seen reports whether a note with that Seq is in the log, or was before the list was cut: Seqs rise.
func seen(seqs []int64, seq int64) bool {
	return slices.Contains(seqs, seq) || len(seqs) >= maxLog && seq < slices.Min(seqs)
}

// keepNewest cuts the list to its maxLog highest.
func keepNewest(seqs []int64) []int64 {
	if len(seqs) <= maxLog {
		return seqs
	}
	slices.Sort(seqs)
	return seqs[len(seqs)-maxLog:]
}

// change alters a stored case in one transaction.
func (d *builtin) change(ctx context.Context, verb, number string, change func(*incident.StoredCase) error) error {
	err := ctx.Err()
	if err == nil {
		err = d.storage.UpdateDeskCase(ctx, number, change)
	}
	if err != nil {
		return d.fail(verb, number, err)
	}
	return nil
}

// errEmptyKey refuses what could touch cases that are not the agent's.
var errEmptyKey = errors.New("a case key has 1 to 60 characters")

func (d *builtin) fail(verb, what string, err error) error {
	if errors.Is(err, incident.ErrNotFound) {
		return fmt.Errorf("desk %q: %s %s: no such case here, see firstcall cases: %w", d.name, verb, secret.Plain(what, maxActor), err)
	}
	return fmt.Errorf("desk %q: %s %s: %w", d.name, verb, secret.Plain(what, maxActor), err)
}

func (d *builtin) show(c incident.StoredCase) Case {
	shown := Case{Ref: c.Number, Number: c.Number, Key: c.Key, State: c.State, Priority: c.Priority, Created: c.Created}
	if d.external != "" {
		shown.URL = d.external + "/cases/" + c.Number
	}
	return shown
}

// body is the whole text of a case, without what could disturb a screen, bounded.
func body(f Fields) string {
	lines := strings.Split(f.Body, "\n")
	for i, line := range lines {
		lines[i] = secret.Plain(line, maxReason)
	}
	text := strings.TrimSpace(strings.Join(lines, "\n"))
	if len(text) > maxBody {
		text = strings.ToValidUTF8(text[:maxBody], "")
	}
	return text
}
