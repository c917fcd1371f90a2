// Package notify sends messages to people: one file per way, each of which registers itself.
//
// A Notifier makes one attempt per call; when, how often and whether again is the reconciler's business. What every notifier
// must do is written down, as code, in notifytest.
package notify

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/incident"
)

// Message is what is sent. Every text is bounded and free of secrets.
type Message struct {
	ID       string             // deterministic, the same at every attempt: the Message-ID of a mail is made of it
	Thread   string             // the incident's id: mails of one incident stand together
	To       []incident.Contact // empty: the notifier's own configured recipients
	Subject  string
	Text     string
	HTML     string // "" : text only
	Priority incident.Priority
	Kind     incident.NoticeKind
	Date     time.Time // when the notice was due
}

// Notifier is one configured way to people. Send honours ctx, is safe for concurrent use, makes one attempt, and returns the
// other side's answer as proof (an SMTP reply, an HTTP status). Its errors name the notifier, say what to do and hold no
// secret.
type Notifier interface {
	Send(ctx context.Context, m Message) (proof string, err error)
}

// Pace is how a notifier's messages are attempted. The zero value is that of a message which costs nobody anything: 10 s an
// attempt, soon again, until it is sent.
type Pace struct {
	Timeout   time.Duration // of one attempt; 0: 10 s
	Attempts  int           // after so many a notice is given up, which is told; 0: never
	Pause     time.Duration // between two attempts; 0: seconds, growing
	UntilTold bool          // pointless once somebody has acknowledged the case or it is over
}

// Paced is a Notifier with a pace of its own.
type Paced interface {
	Notifier
	Pace() Pace
}

// Env is what a kind may use when it is built.
type Env struct {
	Name   string
	Tenant string
	Now    func() time.Time
}

// Builder is a notifier's configuration: a struct with tags (see package field).
type Builder interface {
	field.Validator
	Build(env Env) (Notifier, error)
}

// Kind describes a registered kind.
type Kind struct {
	Name string
	Doc  string
	New  func() Builder
}

var kinds = map[string]Kind{}

// Register adds a kind; it is called from init functions only and panics when the name is taken.
func Register(k Kind) {
	if _, taken := kinds[k.Name]; taken || k.Name == "" || k.New == nil {
		panic("notify: kind " + k.Name + " is registered twice or is incomplete")
	}
	kinds[k.Name] = k
}

// Lookup returns the kind of that name.
func Lookup(name string) (Kind, bool) { k, ok := kinds[name]; return k, ok }

// Kinds returns every registered kind, by name.
func Kinds() []Kind {
	return slices.SortedFunc(maps.Values(kinds), func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
}
