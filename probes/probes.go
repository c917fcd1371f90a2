// Package probes measures: one file per kind, each of which registers itself.
//
// A Probe makes one measurement per call and judges only that one: whether it is an outage is the detector's business.
// What every kind must do is written down, as code, in probetest.
package probes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
)

// Outcome is what a result, an instance or a component shows. The zero value is Unknown.
type Outcome uint8

// The outcomes, from "the agent cannot tell" to "does not answer".
const (
	Unknown  Outcome = iota // the agent cannot tell: its own network, credential or clock is at fault
	Up                      // answers as expected
	Degraded                // answers, but slowly, or near a limit, or with a functional failure
	Down                    // does not answer, or answers wrongly
)

var outcomeNames = [...]string{"unknown", "up", "degraded", "down"}

// String returns the outcome's word.
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) {
		return fmt.Sprintf("outcome(%d)", uint8(o))
	}
	return outcomeNames[o]
}

// MarshalText returns the outcome's word.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads an outcome's word; any other is an error.
func (o *Outcome) UnmarshalText(text []byte) error {
	i := slices.Index(outcomeNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("no outcome %q: want one of %v", text, outcomeNames)
	}
	*o = Outcome(i)
	return nil
}

// Reason says why a result is not plainly up. The set is closed: it is a metric label. Whose matter it is, the infrastructure's
// or the application's, package policy decides.
type Reason string

// The reasons. The zero value, None, goes with Up.
const (
	None           Reason = ""
	Timeout        Reason = "timeout"     // no answer in time
	Refused        Reason = "refused"     // connection refused
	Reset          Reason = "reset"       // connection closed or reset by the peer
	Unreachable    Reason = "unreachable" // the network says that the target's host cannot be reached
	DNS            Reason = "dns"         // the name does not resolve, or not as expected
	TLS            Reason = "tls"         // handshake failed
	BadCertificate Reason = "certificate" // expired, wrong name, untrusted
	Protocol       Reason = "protocol"    // the peer does not speak the protocol
	Status         Reason = "status"      // an answer whose status is not the expected one
	Content        Reason = "content"     // an answer whose content is not the expected one
	Auth           Reason = "auth"        // the probe's own credential was refused
	Functional     Reason = "functional"  // the application answers that the request is wrong
	Slow           Reason = "slow"        // over a latency limit
	Capacity       Reason = "capacity"    // a threshold passed: certificate days, sessions
	Local          Reason = "local"       // the agent's own host: no route, no permission, resolver gone
	Blind          Reason = "blind"       // the agent's own network: no witness answers
	Internal       Reason = "internal"    // the agent's own fault
)

// Reasons lists every reason but None, in the order of their declaration.
var Reasons = []Reason{Timeout, Refused, Reset, Unreachable, DNS, TLS, BadCertificate, Protocol, Status, Content, Auth, Functional, Slow, Capacity, Local, Blind, Internal}

// The names of phases, in the order in which they happen. A kind uses those that it has.
const (
	PhaseGateway   = "gateway" // of rdp: the whole question to a Remote Desktop Gateway
	PhaseDNS       = "dns"
	PhaseConnect   = "connect"
	PhaseTLS       = "tls"
	PhaseX224      = "x224"
	PhasePrelogin  = "prelogin" // of mssql: the first question and its answer
	PhaseNTLM      = "ntlm"     // of rdp: the NTLM challenge
	PhaseEntra     = "entra"    // of rdp: the whole second connection, for Entra authentication; of mssql: a new access token
	PhaseKerberos  = "kerberos" // of rdp: all questions to a domain's KDC
	PhaseToken     = "token"    // of perfion: the whole question for a token
	PhaseRTT       = "rtt"      // of icmp: the average round trip, not the time of the run
	PhaseServer    = "server"   // of perfion: what the server says that it worked; PhaseFirstByte is then the rest of the wait
	PhaseFirstByte = "first_byte"
	PhaseTransfer  = "transfer"
	PhaseDOM       = "dom"     // of browser: from the first byte to the whole document, parsed, and what it waited for
	PhasePaint     = "paint"   // of browser: from there to the first text or picture
	PhaseVisible   = "visible" // of browser: from there to what is waited for
	PhaseLogon     = "logon"   // of rdp: from the account's response to the server's proof; of mssql: to the account's acceptance; of browser: the whole log-in
	PhaseQuery     = "query"   // of mssql
	PhaseTotal     = "total"   // never in Result.Phases: it is Result.Duration
)

// Phase is a named part of a result's duration.
type Phase struct {
	Name     string        `json:"name"`
	Duration time.Duration `json:"duration"`
}

// Certificate describes the leaf certificate that a target showed.
type Certificate struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"fingerprint"` // SHA-256 of the DER form, hexadecimal
	SelfSigned  bool      `json:"self_signed,omitempty"`
}

// Fact is one piece of evidence: a name and a printable value, both bounded by MaxFact.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Bounds on what a result may carry, so that a hostile target cannot fill memory or a case.
const (
	MaxDetail = 400 // bytes of Result.Detail
	MaxFact   = 600 // bytes of a Fact's value
	MaxFacts  = 16  // facts of a result
)

// Result is one run of a probe. Results are values: once delivered they are not changed.
type Result struct {
	Probe       string        `json:"probe"`    // the configured probe's id, set by the caller
	Start       time.Time     `json:"start"`    // UTC
	Duration    time.Duration `json:"duration"` // of the whole run
	Outcome     Outcome       `json:"outcome"`
	Reason      Reason        `json:"reason,omitempty"`
	Detail      string        `json:"detail,omitempty"`  // one lower-case sentence that a person can act on; "" when plainly up
	Phases      []Phase       `json:"phases,omitempty"`  // in order; a phase that did not finish is there with the time it took
	Numbers     []Number      `json:"numbers,omitempty"` // measured quantities, each name once
	Certificate *Certificate  `json:"certificate,omitempty"`
	Facts       []Fact        `json:"facts,omitempty"`
	Recheck     bool          `json:"recheck,omitempty"` // a quick re-probe, not a scheduled run
	Lagging     bool          `json:"lagging,omitempty"` // taken while the agent itself was late: never used against the target
	Attachments []Attachment  `json:"-"`                 // files; they are kept for an incident, not with the result
}

// End returns the instant at which the run ended.
func (r Result) End() time.Time { return r.Start.Add(r.Duration) }

// Phase returns the duration of the named phase, or of the whole run for PhaseTotal, and whether the result has it.
func (r Result) Phase(name string) (time.Duration, bool) {
	if name == PhaseTotal {
		return r.Duration, true
	}
	for _, p := range r.Phases {
		if p.Name == name {
			return p.Duration, true
		}
	}
	return 0, false
}

// Probe is a configured measurement: its struct is its configuration (see package field). After Validate returned no fault,
// Probe may be called from several goroutines at once. It honours the deadline and the cancellation of ctx, makes new
// connections, bounds every read, leaves no goroutine and no descriptor, and sets Start, Duration, Outcome and Reason.
type Probe interface {
	field.Validator
	Probe(ctx context.Context) Result
}

// NeedsHost is a Probe that needs a program on the agent's host. It may be called at any time after Validate.
type NeedsHost interface {
	// Missing says what is missing and what to do about it, as one clause; "" when nothing is.
	Missing() string
}

// Kind describes a registered kind.
type Kind struct {
	Name     string
	Doc      string       // one sentence for the reference page
	New      func() Probe // a pointer to a new struct, defaults not yet set
	Evidence bool         // its role is evidence unless configured otherwise or alone in its instance
	Phases   []string     // the phases it may report
	Numbers  []NumberKind // the numbers it may report, at most MaxNumbers

	// Untimed is set for a kind that asks about its target elsewhere, as at a control plane: how long that takes says nothing
	// about the target, so no baseline is learnt of it and slowness is never found.
	Untimed bool
}

var kinds = map[string]Kind{}

// Register adds a kind; it is called from init functions only and panics when the name is taken.
func Register(k Kind) {
	if _, taken := kinds[k.Name]; taken || k.Name == "" || k.New == nil {
		panic("probes: kind " + k.Name + " is registered twice or is incomplete")
	}
	if !k.proper() {
		panic("probes: kind " + k.Name + " declares too many numbers, or one that is there already, as a phase perhaps")
	}
	kinds[k.Name] = k
}

// Lookup returns the kind of that name.
func Lookup(name string) (Kind, bool) { k, ok := kinds[name]; return k, ok }

// Kinds returns every registered kind, by name.
func Kinds() []Kind {
	all := slices.Collect(maps.Values(kinds))
	slices.SortFunc(all, func(a, b Kind) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}
