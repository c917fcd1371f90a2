package probes

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// phaseOrder is the order in which phases happen and in which Result.Phases lists them.
var phaseOrder = [...]string{
	PhaseGateway, PhaseDNS, PhaseConnect, PhaseX224, PhasePrelogin, PhaseTLS, PhaseNTLM, PhaseEntra, PhaseKerberos, PhaseToken, PhaseRTT, PhaseServer,
	PhaseFirstByte, PhaseTransfer, PhaseDOM, PhasePaint, PhaseVisible, PhaseLogon, PhaseQuery,
}

// MaxName bounds the names in a Certificate, in bytes.
const MaxName = 200

// Recorder takes down one run of a probe and turns it into a Result: it keeps the time, adds up phases, and bounds, escapes
// and masks everything that comes from the target. Every kind starts with NewRecorder and returns what Up, Fail or Finish
// returns. It is safe for concurrent use; once one of those three was called, later calls change nothing.
type Recorder struct {
	mu       sync.Mutex
	start    time.Time     // with its monotonic reading
	deadline time.Time     // of the run; zero when it has none
	phase    string        // the running phase, or the last one
	since    time.Time     // start of the running phase; zero when none runs
	aside    time.Duration // that does not count
	phases   [len(phaseOrder)]Phase
	count    int
	masked   []string
	result   Result
	done     bool
}

// NewRecorder starts the clock of a run whose deadline is that of ctx.
func NewRecorder(ctx context.Context) *Recorder {
	r := &Recorder{start: time.Now()}
	r.deadline, _ = ctx.Deadline()
	r.result.Start = r.start.UTC()
	return r
}

// Mask makes every later detail and fact hide these secrets; unset ones and those shorter than four bytes are ignored,
// since they occur in any text.
func (r *Recorder) Mask(secrets ...secret.Value) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		if text := s.Reveal(); len(text) >= 4 {
			r.masked = append(r.masked, text)
		}
	}
}

// Begin ends the running phase, if any, and starts the named one; a phase that was there before goes on adding up. The name
// must be one of the Phase constants. To begin the running phase again does nothing.
func (r *Recorder) Begin(phase string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done || (phase == r.phase && !r.since.IsZero()) {
		return
	}
	now := time.Now()
	r.endAt(now)
	r.phase, r.since = phase, now
}

// End ends the running phase.
func (r *Recorder) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done {
		r.endAt(time.Now())
	}
}

// Phase returns the running phase, or the last one that ran; "" before the first.
func (r *Recorder) Phase() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phase
}

// reaching reports whether a look-up or a connection attempt is under way.
func (r *Recorder) reaching() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.since.IsZero() && (r.phase == PhaseDNS || r.phase == PhaseConnect)
}

// Add adds d to a phase that the caller measured itself.
func (r *Recorder) Add(phase string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done {
		r.add(phase, d)
	}
}

// Split moves d of a phase that has ended, or all of it when it is shorter, to the phase into, which lies inside it: phases still
// add up within the run.
func (r *Recorder) Split(phase, into string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.phases[:r.count], func(p Phase) bool { return p.Name == phase })
	if r.done || i < 0 || d <= 0 {
		return
	}
	d = min(d, r.phases[i].Duration)
	r.phases[i].Duration -= d
	r.add(into, d)
}

// Aside calls f, whose time counts neither as the run's nor as that of its running phase: it is no matter of the target's.
func (r *Recorder) Aside(f func()) {
	begun := time.Now()
	f()
	r.mu.Lock()
	defer r.mu.Unlock()
	took := time.Since(begun)
	r.aside += took
	if !r.since.IsZero() && !r.since.After(begun) {
		r.since = r.since.Add(took)
	}
}

func (r *Recorder) endAt(now time.Time) {
	if r.since.IsZero() {
		return
	}
	r.add(r.phase, now.Sub(r.since))
	r.since = time.Time{}
}

// add keeps r.phases in phaseOrder whatever the order of the calls: a redirect from http to https comes to tls last.
func (r *Recorder) add(phase string, d time.Duration) {
	rank := slices.Index(phaseOrder[:], phase)
	at := 0
	for at < r.count && slices.Index(phaseOrder[:], r.phases[at].Name) < rank {
		at++
	}
	if at < r.count && r.phases[at].Name == phase {
		r.phases[at].Duration += d
		return
	}
	if rank < 0 {
		return
	}
	copy(r.phases[at+1:], r.phases[at:r.count])
	r.phases[at] = Phase{Name: phase, Duration: d}
	r.count++
}

// Fact adds evidence. An empty value, and what exceeds MaxFacts, is left out; a name that is already there gets the new value.
func (r *Recorder) Fact(name, value string) {
	if value == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	fact := Fact{Name: name, Value: Printable(r.hide(value), MaxFact)}
	if i := slices.IndexFunc(r.result.Facts, func(f Fact) bool { return f.Name == name }); i >= 0 {
		r.result.Facts[i] = fact
		return
	}
	if len(r.result.Facts) >= MaxFacts {
		return
	}
	if r.result.Facts == nil {
		r.result.Facts = make([]Fact, 0, 6)
	}
	r.result.Facts = append(r.result.Facts, fact)
}

// Certificate notes the leaf certificate that the target showed; nil is ignored.
func (r *Recorder) Certificate(leaf *x509.Certificate) {
	if leaf == nil {
		return
	}
	c := describe(leaf)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done {
		r.result.Certificate = c
	}
}

func describe(leaf *x509.Certificate) *Certificate {
	sum := sha256.Sum256(leaf.Raw)
	return &Certificate{
		Subject:     Printable(leaf.Subject.String(), MaxName),
		Issuer:      Printable(leaf.Issuer.String(), MaxName),
		NotBefore:   leaf.NotBefore.UTC(),
		NotAfter:    leaf.NotAfter.UTC(),
		Fingerprint: hex.EncodeToString(sum[:]),
		SelfSigned:  string(leaf.RawSubject) == string(leaf.RawIssuer),
	}
}

// Up ends the run: the target answers as expected.
func (r *Recorder) Up() Result { return r.finish(Up, None, "") }

// Finish ends the run with a verdict of the kind's own. The detail is one lower-case sentence that a person can act on.
func (r *Recorder) Finish(outcome Outcome, reason Reason, format string, args ...any) Result {
	return r.finish(outcome, reason, fmt.Sprintf(format, args...))
}

// Fail ends the run because of err, judged by Classify in the phase that runs or ran last; fallback is the reason for what
// Classify does not know. A certificate that did not verify is noted.
func (r *Recorder) Fail(ctx context.Context, err error, fallback Reason) Result {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(e.UnverifiedCertificates) > 0 {
		r.Certificate(e.UnverifiedCertificates[0])
	}
	outcome, reason, detail := Classify(ctx, r.Phase(), err, fallback)
	if reason == Timeout && !r.deadline.IsZero() && !time.Now().Before(r.deadline) {
		detail += " within " + r.deadline.Sub(r.start).Round(time.Millisecond).String()
	}
	return r.finish(outcome, reason, detail)
}

func (r *Recorder) finish(outcome Outcome, reason Reason, detail string) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return r.result
	}
	now := time.Now()
	r.endAt(now)
	r.done = true
	r.result.Duration = now.Sub(r.start) - r.aside
	r.result.Outcome, r.result.Reason = outcome, reason
	r.result.Detail = Printable(r.hide(detail), MaxDetail)
	if r.count > 0 {
		r.result.Phases = slices.Clone(r.phases[:r.count])
	}
	return r.result
}

// hide replaces every masked secret in text.
func (r *Recorder) hide(text string) string {
	for _, s := range r.masked {
		text = strings.ReplaceAll(text, s, secret.Mask)
	}
	return text
}

// hidden is hide for texts that go elsewhere than into the result.
func (r *Recorder) hidden(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hide(text)
}

// Printable returns text fit for a page, a mail or a terminal: control, format (bidirectional overrides among them) and
// invalid characters become Go escapes, and what exceeds limit bytes is cut at a character and ends in "…".
func Printable(text string, limit int) string {
	if plain(text) && len(text) <= limit {
		return text
	}
	const more = "…"
	var b strings.Builder
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRuneInString(text[i:])
		piece := text[i : i+size]
		switch {
		case c == utf8.RuneError && size == 1:
			piece = fmt.Sprintf(`\x%02x`, text[i])
		case !unicode.IsPrint(c):
			quoted := fmt.Sprintf("%+q", c)
			piece = quoted[1 : len(quoted)-1]
		}
		i += size
		room := limit - b.Len()
		if len(piece) > room || (len(piece) > room-len(more) && i < len(text)) {
			b.WriteString(more)
			break
		}
		b.WriteString(piece)
	}
	return b.String()
}

// plain reports whether text is printable ASCII only.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
