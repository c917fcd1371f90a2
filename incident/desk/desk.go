// Package desk brings cases to ticket systems: one file per system, each of which registers itself.
//
// A Desk is a thin, stateless translation of the eight things that the reconciler asks of every ticket system. It never
// retries, never remembers and never decides: those are the reconciler's. What every desk must do is written down, as code,
// in desktest.
package desk

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/incident"
)

// ErrUnknownOutcome wraps an error after which a write may or may not have happened (time-out, lost reply, 5xx). The
// reconciler then searches, after the desk's lag, before it writes again.
var ErrUnknownOutcome = errors.New("outcome unknown")

// Fields is what a case shall say. Every text is plain, bounded and free of secrets.
type Fields struct {
	Key       string // the deterministic case key; never empty
	Title     string // "P1 acme: backend is inaccessible"
	Body      string // the whole story so far, several lines; contact and evidence are in it
	Priority  incident.Priority
	Customer  incident.Contact  // the contact person at the customer, once more for desks with a field for it
	Incident  incident.Incident // for desks that carry structured data
	Published []string          // evidence, a line each, once more for desks with fields for it
	Follows   string            // number of the case that this one follows, which people resolved too early; "": none
	Extra     map[string]string // of a create: more of the desk's own fields by their own names, as configured (Kind.Fields)
}

// Note is an addition to a case's story.
type Note struct {
	Seq    int64 // of the timeline event; the same note carries the same Seq, so that a desk that can may drop a double
	At     time.Time
	Text   string
	Public bool // for the customer's eyes too
}

// Case is what a desk says of a case.
type Case struct {
	Ref      string // the desk's own identity
	Number   string // for people
	URL      string
	Key      string // as read back; "" where the desk does not show it
	State    incident.CaseState
	Priority incident.Priority // as read back; NoPriority where the desk does not show it
	Created  time.Time
}

// Older orders cases so that every agent agrees: by creation, then by number, which rises as cases are made while times may come in whole
// seconds and identities in any order, then by identity. So a case that an agent saw alone stays the oldest. Numbers are compared as
// numbers, as far as they differ in length.
func Older(a, b Case) int {
	return cmp.Or(a.Created.Compare(b.Created), len(a.Number)-len(b.Number), strings.Compare(a.Number, b.Number), len(a.Ref)-len(b.Ref), strings.Compare(a.Ref, b.Ref))
}

// Capabilities says what a desk can and cannot do, so that the reconciler need not know its name.
type Capabilities struct {
	Find           bool          // Find works; without it, DedupeOnCreate must hold
	DedupeOnCreate bool          // a second Open with the same key returns the first case
	Lag            time.Duration // how long after a create Find may still miss it
	MaxKey         int           // longest key in bytes; 0: incident.MaxKey, which every key keeps to
	ReadBack       bool          // Get returns state and priority as the desk holds them
	Transitions    bool          // people work in this desk, and Transitions tells what they did
	MailsCustomer  bool          // the desk itself mails the customer: the agent's own customer mails are not sent
	Reopens        bool          // an Update that comes to a resolved case opens another one: none is sent when the case is about to be resolved
	InternalFiles  bool          // the customer does not see what Attach adds; without it nothing is attached where MailsCustomer holds
	KeepAlive      time.Duration // the desk ends a case of which it hears nothing for longer: Update is repeated within it; 0: it does not
}

// Desk is one configured ticket system. All methods honour ctx, are safe for concurrent use, bound what they read, and
// return errors that name the desk, say what to do and hold no secret.
type Desk interface {
	Capabilities() Capabilities
	// Find returns every case with that key that is not withdrawn, resolved ones too, oldest first; none is no error.
	Find(ctx context.Context, key string) ([]Case, error)
	// Open creates the case. It makes exactly one attempt.
	Open(ctx context.Context, f Fields) (Case, error)
	// Get reads the case back; a case that the desk does not know is incident.ErrNotFound, wrapped.
	Get(ctx context.Context, ref string) (Case, error)
	// Update sets title and priority and adds the notes; repeated, it changes nothing but may repeat notes.
	Update(ctx context.Context, ref string, f Fields, notes []Note) error
	// Resolve ends the case with a closing note; on a resolved case it changes nothing.
	Resolve(ctx context.Context, ref string, f Fields, note string) error
	// Withdraw ends a double that lost, with a note naming the winner's number.
	Withdraw(ctx context.Context, ref, winner string) error
	// Transitions returns what people did since, exclusive, oldest first.
	Transitions(ctx context.Context, ref string, since time.Time) ([]incident.Transition, error)
}

// Reopener is a desk that can open a resolved case again.
type Reopener interface {
	Desk
	// Reopen makes a resolved case a live one again, with a note that says why; on a live case it changes nothing but may
	// repeat the note.
	Reopen(ctx context.Context, ref string, f Fields, note string) error
}

// File is a file for a case: evidence, and so for the engineer's eyes only.
type File struct {
	Name    string // at most 60 of a-z, 0-9, dot, hyphen and underscore
	Type    string // media type
	Content []byte // at most 1 MiB; free of secrets
}

// Attacher is a desk that takes files.
type Attacher interface {
	Desk
	// Attach adds the file to the case, unless the case has one of that name already, as far as the desk can tell. Where the
	// system knows the difference, the customer does not see it.
	Attach(ctx context.Context, ref string, f Fields, file File) error
}

// Action is what an operator does to a case of a desk that lives inside the agent.
type Action string

// The actions.
const (
	Acknowledge Action = "ack"
	Hold        Action = "hold"
	Resume      Action = "resume"
	AddNote     Action = "note"
	Answer      Action = "answer"  // what the customer answered, by telephone or mail
	Rectify     Action = "rectify" // temporarily: the customer can work, the cause is not mended
	Resolve     Action = "resolve"
)

// Operable is a desk whose cases are worked on through the agent itself. Only the built-in desk is.
type Operable interface {
	Desk
	// Act performs the action on the case with that number. reason is required by Hold and AddNote. The error wraps
	// incident.ErrNotFound, or says which actions the case's state allows.
	Act(ctx context.Context, number string, action Action, actor, reason string) error
}

// Env is what a kind may use when it is built.
type Env struct {
	Name        string // the configured name
	Tenant      string
	ExternalURL string // of the agent's page; "" when not configured
	Storage     Storage
	HTTP        *http.Client // nil: the desk's own, with deadlines; tests inject one
	Now         func() time.Time
}

// Storage keeps the cases of the built-in desk; the store implements it.
type Storage interface {
	// CreateDeskCase stores a new case, gives it the next number of the year, and returns it. When the key is there already
	// it returns that case instead: the built-in desk dedupes on create.
	CreateDeskCase(ctx context.Context, c incident.StoredCase) (incident.StoredCase, error)
	DeskCaseByKey(ctx context.Context, key string) (incident.StoredCase, error)       // wraps incident.ErrNotFound
	DeskCaseByNumber(ctx context.Context, number string) (incident.StoredCase, error) // wraps incident.ErrNotFound
	// UpdateDeskCase reads the case, lets change alter it and append to its log, and stores it, in one transaction. An error
	// of change is returned unchanged and nothing is stored.
	UpdateDeskCase(ctx context.Context, number string, change func(*incident.StoredCase) error) error
}

// Kind describes a registered kind of desk. New returns a pointer to a new configuration struct (see package field); it must
// implement Builder.
type Kind struct {
	Name   string
	Doc    string
	Fields bool // cases have fields of the desk's own that a configuration may fill: Fields.Extra
	New    func() Builder
}

// Builder is a desk's configuration.
type Builder interface {
	field.Validator
	Build(env Env) (Desk, error)
}

var kinds = map[string]Kind{}

// Register adds a kind; it is called from init functions only and panics when the name is taken.
func Register(k Kind) {
	if _, taken := kinds[k.Name]; taken || k.Name == "" || k.New == nil {
		panic("desk: kind " + k.Name + " is registered twice or is incomplete")
	}
	kinds[k.Name] = k
}

// Lookup returns the kind of that name.
func Lookup(name string) (Kind, bool) { k, ok := kinds[name]; return k, ok }

// Kinds returns every registered kind, by name.
func Kinds() []Kind {
	return slices.SortedFunc(maps.Values(kinds), func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
}
