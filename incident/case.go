package incident

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// ErrNotFound is wrapped by look-ups that find nothing, in the store and at desks.
var ErrNotFound = errors.New("not found")

// CaseState is where a case stands at its desk, as last read back.
type CaseState string

// The states. The zero value is a case that is wanted but not yet known to exist.
const (
	CaseWanted       CaseState = ""
	CaseNew          CaseState = "new"          // exists; nobody took it
	CaseAcknowledged CaseState = "acknowledged" // somebody works on it
	CaseHeld         CaseState = "held"         // waits for the customer
	CaseResolved     CaseState = "resolved"
	CaseWithdrawn    CaseState = "withdrawn" // a double that lost; closed with a note
)

// Live reports whether a case in this state exists and is not over.
func (s CaseState) Live() bool { return s == CaseNew || s == CaseAcknowledged || s == CaseHeld }

// Hold is a time in which the case waited for the customer or its partner; it is deducted from downtime. To is zero while it
// lasts. It is Left, or Answered where that is earlier and the service level says that an answer ends a hold.
type Hold struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to,omitzero"`
	Left     time.Time `json:"left,omitzero"`     // when the case was no longer on hold at the desk
	Answered time.Time `json:"answered,omitzero"` // when the customer first answered meanwhile
	Reason   string    `json:"reason"`
	Actor    string    `json:"actor"`
}

// Case is the record of an incident at one service desk, as the reconciler knows it. The desired half follows from the
// incident; here is what is known of the desk's half.
type Case struct {
	Incident string    `json:"incident"` // Incident.ID, which is the case key
	Desk     string    `json:"desk"`     // the configured desk's name
	Ref      string    `json:"ref"`      // the desk's own identity of the case; "" until it exists
	Number   string    `json:"number"`   // what people say on the telephone; "" until it exists
	URL      string    `json:"url,omitempty"`
	State    CaseState `json:"state"`

	As string `json:"as,omitempty"` // the key at the desk, where that is not Incident: see SharedKey

	Attempted time.Time `json:"attempted,omitzero"` // last create that may have reached the desk, written before it is sent
	Created   time.Time `json:"created,omitzero"`   // when the desk says that it was created
	Priority  Priority  `json:"priority"`           // as read back
	Noted     int64     `json:"noted"`              // Seq of the last timeline event that the desk was told

	Owed int64 `json:"owed,omitempty"` // Seq of an event that stands in no body and that the desk is still to be told of; 0: none

	Attached       []string  `json:"attached,omitempty"`        // names of the files of evidence that the desk holds
	AttachFailures int       `json:"attach_failures,omitempty"` // in a row
	AttachNext     time.Time `json:"attach_next,omitzero"`

	FailingSince time.Time `json:"failing_since,omitzero"` // start of the first of Failures
	GoodNoted    time.Time `json:"good_noted,omitzero"`    // when the desk was told that the fault has gone, where the case is not resolved at once
	Reopened     int       `json:"reopened,omitempty"`     // how often it was opened again after people resolved it too early

	Round   int           `json:"round,omitempty"`   // how often a new case followed one that people resolved too early
	Earlier []EarlierCase `json:"earlier,omitempty"` // those, oldest first

	Acknowledged   time.Time `json:"acknowledged,omitzero"`
	AcknowledgedBy string    `json:"acknowledged_by,omitempty"`
	Holds          []Hold    `json:"holds,omitempty"`
	Resolved       time.Time `json:"resolved,omitzero"`
	ResolvedBy     string    `json:"resolved_by,omitempty"`
	Rectified      time.Time `json:"rectified,omitzero"` // temporarily, as a person said: the customer can work again
	RectifiedBy    string    `json:"rectified_by,omitempty"`
	Seen           time.Time `json:"seen,omitzero"` // time of the newest desk transition that was read

	Failures  int       `json:"failures,omitempty"` // in a row
	LastError string    `json:"last_error,omitempty"`
	NextTry   time.Time `json:"next_try,omitzero"`
	Settled   bool      `json:"settled"` // the incident is closed and the desk, read back, agrees: nothing is left to do
}

// Key returns the key of the case at its desk: As or the incident's id, with the round after it where a case follows another.
func (c Case) Key() string {
	key := cmp.Or(c.As, c.Incident)
	if c.Round == 0 {
		return key
	}
	tail := fmt.Sprintf(".%d", c.Round+1)
	if len(key)+len(tail) <= MaxKey {
		return key + tail
	}
	sum := sha256.Sum256([]byte(key))
	tail = "-" + hex.EncodeToString(sum[:6]) + tail
	return key[:MaxKey-len(tail)] + tail
}

// EarlierCase is a case of the same incident at the same desk that another one followed.
type EarlierCase struct {
	Ref        string    `json:"ref"`
	Number     string    `json:"number"`
	URL        string    `json:"url,omitempty"`
	Resolved   time.Time `json:"resolved,omitzero"`
	ResolvedBy string    `json:"resolved_by,omitempty"`
}

// NoticeKind says what a notice is about.
type NoticeKind string

// The kinds of notice.
const (
	NoticeOpened       NoticeKind = "opened"
	NoticeRaised       NoticeKind = "raised"
	NoticeLowered      NoticeKind = "lowered"
	NoticeStatus       NoticeKind = "status"
	NoticeAcknowledged NoticeKind = "acknowledged"
	NoticeHeld         NoticeKind = "held"
	NoticeResumed      NoticeKind = "resumed"
	NoticeMoved        NoticeKind = "moved"    // the case goes on under another number
	NoticeReaction     NoticeKind = "reaction" // nobody took the case, and the reaction time runs out
	NoticeResolved     NoticeKind = "resolved"
)

// NoticeState is where a notice stands.
type NoticeState string

// The states. The zero value is a notice that is due and not yet proven.
const (
	NoticeDue        NoticeState = ""
	NoticeSent       NoticeState = "sent"
	NoticeSuperseded NoticeState = "superseded" // a newer one, or what people did, made it pointless before it could be sent
	NoticeFailed     NoticeState = "failed"     // given up after as many attempts as its notifier makes
)

// Notice is a message to people about an incident. It is written before it is sent and kept with its proof.
type Notice struct {
	ID       string      `json:"id"` // deterministic: incident, notifier, kind and sequence
	Incident string      `json:"incident"`
	Notifier string      `json:"notifier"` // the configured notifier's name
	Kind     NoticeKind  `json:"kind"`
	Seq      int         `json:"seq"` // status mails count 1, 2, ...; raised, held and so on by the event's Seq
	Due      time.Time   `json:"due"`
	State    NoticeState `json:"state"`
	Text     string      `json:"text,omitempty"` // of the event it tells, where it has one
	Sent     time.Time   `json:"sent,omitzero"`
	Proof    string      `json:"proof,omitempty"` // the other side's answer

	Failures  int       `json:"failures,omitempty"`
	LastError string    `json:"last_error,omitempty"`
	NextTry   time.Time `json:"next_try,omitzero"`
}

// Contact is a person or a service desk at the customer or its partner.
type Contact struct {
	Name  string `yaml:"name" json:"name" doc:"Name as it shall stand in cases and mails."`
	Email string `yaml:"email" json:"email,omitempty" doc:"E-mail address."`
	Phone string `yaml:"phone" json:"phone,omitempty" doc:"Telephone number, as it is dialled."`
}

// Transition is a change that somebody made at the desk.
type Transition struct {
	At    time.Time
	Actor string
	To    CaseState // CaseNew, CaseAcknowledged, CaseHeld, CaseResolved; "" for a note
	Text  string    // the note, or the reason of the hold

	Customer  bool `json:",omitempty"` // the customer wrote it; a To of "" then: an answer
	Rectified bool `json:",omitempty"` // it says that the fault is temporarily rectified
}

// StoredCase is a case of the built-in desk.
type StoredCase struct {
	Number   string // FC-YYYY-NNNNNN, set by the storage from Created
	Key      string
	Title    string
	Body     string
	Priority Priority
	State    CaseState
	Created  time.Time
	Log      []Transition // what happened, oldest first; Actor "firstcall" for the agent
	Seqs     []int64      // Seq of the notes in Log, to drop doubles
}
