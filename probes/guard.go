package probes

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// guard keeps an account from being locked out by the probe. Before the account is named, that it will be is recorded; only
// an answer takes the record away. So a refusal is never repeated, a crash in mid-attempt is remembered, and an attempt that
// ended without a word, which may have counted as a wrong password, is repeated once and an hour later.
type guard struct {
	latch Latch
	key   string
}

const (
	// doubtHold is how long an account rests after an attempt of which nobody knows whether it counted.
	doubtHold = time.Hour
	// doubtTries is how many such attempts there may be.
	doubtTries = 2
	// underWay is how long after its beginning the attempt of another process counts as one that is under way.
	underWay = 2 * time.Minute
	// digestRounds makes the digest of a secret in a key expensive to reverse.
	digestRounds = 10_000
)

// guardKey returns the key that a kind has for an account under a scope, which is the host for accounts of its own.
func guardKey(kind, user, domain, scope string, secret []byte) (string, error) {
	salt := strings.Join([]string{"firstcall " + kind, strings.ToUpper(user), strings.ToUpper(domain), strings.ToLower(scope)}, "\x00")
	sum, err := pbkdf2.Key(sha256.New, string(secret), []byte(salt), digestRounds, 16)
	if err != nil {
		return "", err
	}
	return kind + "-" + hex.EncodeToString(sum), nil
}

// turns lets one log-on of an account at a time pass, and proven holds the keys that were accepted since the process began.
var turns, proven sync.Map

// turn waits until no other log-on of the account is under way and returns what ends its own turn; false when ctx is done first.
func (g guard) turn(ctx context.Context) (end func(), ok bool) {
	token, _ := turns.LoadOrStore(g.key, make(chan struct{}, 1))
	turn := token.(chan struct{})
	end = func() { <-turn }
	select {
	case turn <- struct{}{}: // also when ctx is done: what it says then is not that others were in the way
		return end, true
	default:
	}
	select {
	case turn <- struct{}{}:
		return end, true
	case <-ctx.Done():
		return nil, false
	}
}

// aside returns the guard with a latch whose time does not count as the run's.
func (g guard) aside(rec *Recorder) guard { return guard{asideLatch{g.latch, rec}, g.key} }

type asideLatch struct {
	latch Latch
	rec   *Recorder
}

// Latched implements Latch.
func (l asideLatch) Latched(key string) (reason string, ok bool, err error) {
	l.rec.Aside(func() { reason, ok, err = l.latch.Latched(key) })
	return reason, ok, err
}

// Latch implements Latch.
func (l asideLatch) Latch(key, reason string) (err error) {
	l.rec.Aside(func() { err = l.latch.Latch(key, reason) })
	return err
}

// hold is why an account must not be named now. Silent is set when that is because of a server that did not answer; resting, when
// nothing speaks against the account: it was that, or the agent ended in mid-attempt.
type hold struct {
	why             string
	silent, resting bool
}

// note tells in the facts what is off: its owner where something speaks against the account; else nobody, as it is tried again by itself.
func (h *hold) note(rec *Recorder, off string) {
	if h.resting {
		rec.Fact("logon", off)
		return
	}
	rec.Fact(FactAccount, off)
}

// doubt is a record of an attempt without an answer.
type doubt struct {
	tries int
	how   string // open, again, closed or silent
	at    time.Time
	by    string // the process
}

const (
	doubtOpen   = "open"  // under way, or the process ended meanwhile
	doubtAgain  = "again" // the same, of an account that this process was accepted with before
	doubtClosed = "closed"
	doubtSilent = "silent"
)

// process tells the attempts of this process from those of others.
var process = strings.ToLower(rand.Text()[:8])

func (d doubt) String() string {
	return fmt.Sprintf("%d %s %s %s", d.tries, d.how, d.at.UTC().Format(time.RFC3339), d.by)
}

// others reports whether it is an attempt of another process that may be under way.
func (d doubt) others(now time.Time) bool {
	age := now.Sub(d.at)
	return (d.how == doubtOpen || d.how == doubtAgain) && d.by != process && d.by != "" && age > -underWay && age < underWay
}

// doubt reads the record. One that cannot be read counts as the last that is allowed.
func (g guard) doubt(now time.Time) (d doubt, ok bool, err error) {
	text, ok, err := g.latch.Latched(g.key + "-try")
	if !ok || err != nil {
		return doubt{}, false, err
	}
	words := strings.Fields(text)
	if len(words) >= 3 {
		words = append(words, "") // who, which older records lack
		d = doubt{how: words[1], by: words[3]}
		if d.tries, err = strconv.Atoi(words[0]); err == nil {
			d.at, err = time.Parse(time.RFC3339, words[2])
		}
		if err == nil {
			return d, true, nil
		}
	}
	return doubt{tries: 1, how: doubtOpen, at: now}, true, nil
}

// begin records an attempt, or says why there must be none. It is called within a turn.
func (g guard) begin(now time.Time) (tries int, held *hold) {
	reason, latched, err := g.latch.Latched(g.key)
	if latched {
		return 0, &hold{why: reason + "; it is not tried again until its secret changes or an operator resets it"}
	}
	var d doubt
	var before bool
	if err == nil {
		d, before, err = g.doubt(now)
	}
	if err != nil && !g.known() {
		return 0, &hold{why: "whether another agent was refused with it cannot be asked: " + clause(err) + "; it is tried when that is known", resting: true}
	}
	if before && d.others(now) {
		if d.how == doubtOpen && !g.known() {
			return 0, &hold{why: "another agent, or this one before it was started anew, began its first log-on with it at " + clockText(d.at) + ": tried when that has ended", resting: true}
		}
		d, before = doubt{}, false
	}
	if rest := doubtHold - now.Sub(d.at); before && rest > 0 && rest < 2*doubtHold {
		how := map[string]string{doubtSilent: "was not answered", doubtClosed: "ended without an answer"}[d.how]
		if how == "" {
			how = "was interrupted"
		}
		return 0, &hold{
			why:    fmt.Sprintf("the last log-on, at %s, %s: tried again after %s", clockText(d.at), how, clockText(d.at.Add(doubtHold))),
			silent: d.how == doubtSilent, resting: d.how != doubtClosed,
		}
	}
	if before && d.tries >= doubtTries && d.how != doubtSilent {
		g.refused(fmt.Sprintf("%d log-ons ended without an answer, the last at %s", d.tries, clockText(d.at)))
		return g.begin(now)
	}
	tries = d.tries + 1
	how := doubtOpen
	if g.known() {
		how = doubtAgain
	}
	if err := g.latch.Latch(g.key+"-try", doubt{tries, how, now, process}.String()); err != nil {
		return 0, &hold{why: "a refusal could not be remembered, so it is not tried: " + clause(err)}
	}
	return tries, nil
}

// clear takes the record of the attempt away: the answer said nothing against the account. Should that fail, the account
// rests for a while.
func (g guard) clear() { _ = g.latch.Latch(g.key+"-try", "") }

// reset forgets what is recorded of the account.
func (g guard) reset() error {
	return errors.Join(g.latch.Latch(g.key, ""), g.latch.Latch(g.key+"-try", ""))
}

// accepted ends an attempt with which the account proved good.
func (g guard) accepted() {
	proven.Store(g.key, true)
	g.clear()
}

// refused ends an attempt with a refusal. Should it not be recorded, that of the attempt stays.
func (g guard) refused(reason string) {
	proven.Delete(g.key)
	if g.latch.Latch(g.key, Printable(reason, MaxDetail/2)) == nil {
		g.clear()
	}
}

// interrupted ends an attempt that the agent itself broke off. Its record stays unless the account was accepted before.
func (g guard) interrupted() {
	if g.known() {
		g.clear()
	}
}

// known reports whether the account was accepted since the process began.
func (g guard) known() bool {
	_, ok := proven.Load(g.key)
	return ok
}

// doubtful ends an attempt of which nobody knows how it was judged, and reports whether it was the last. A server that is
// silent counts nothing against an account that was accepted before.
func (g guard) doubtful(tries int, silent bool, now time.Time) (last bool) {
	how := doubtClosed
	if silent {
		how = doubtSilent
		if g.known() {
			g.clear()
			return false
		}
	}
	if !silent && tries >= doubtTries {
		g.refused(fmt.Sprintf("%d log-ons ended without an answer, the last at %s", tries, clockText(now)))
		return true
	}
	_ = g.latch.Latch(g.key+"-try", doubt{tries, how, now, process}.String())
	return false
}

func clockText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
