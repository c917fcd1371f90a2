package sipcall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/notify/speech"
)

// Bounds on what an ended call may still take.
const (
	farewell = 2 * time.Second        // for the answers to CANCEL and BYE
	tail     = 300 * time.Millisecond // between the end of the sound and BYE: what is under way is heard
)

// maxChallenges is how often a log-on is tried in one call: again only since a nonce may be stale (RFC 3261, 22.2).
const maxChallenges = 2

// Call rings number for at most ring, plays audio (mu-law, 8000 Hz) to whoever answers, and hangs up. It makes one attempt and
// returns when nothing of the call is left: soon after ctx ends, too.
func (l *Line) Call(ctx context.Context, number string, audio []byte, ring time.Duration) Result {
	if err := ctx.Err(); err != nil {
		return Result{Outcome: Cancelled, Err: err}
	}
	if rest := len(audio) % perFrame; rest > 0 {
		audio = append(bytes.Clone(audio), bytes.Repeat([]byte{speech.Silence}, perFrame-rest)...)
	}
	first, cancel := context.WithTimeout(ctx, l.first())
	defer cancel()
	d, err := l.open(first, number)
	if err != nil {
		return l.unreached(ctx, first, err)
	}
	defer d.close()
	result := d.ring(ctx, first, ring)
	if result.Outcome == Answered {
		d.talk(ctx, audio, &result)
	}
	return result
}

// unreached is the result of a call that could not begin.
func (l *Line) unreached(ctx, first context.Context, err error) Result {
	switch {
	case ctx.Err() != nil:
		return Result{Outcome: Cancelled, Err: ctx.Err()}
	case first.Err() != nil:
		return Result{Outcome: Unreachable, Reason: fmt.Sprintf("no connection within %s", l.first()), Err: first.Err()}
	}
	return Result{Outcome: Unreachable, Reason: l.plain(err), Err: err}
}

// plain returns an error's text fit to print.
func (l *Line) plain(err error) string {
	return secret.Plain(secret.Hide(err.Error(), []secret.Value{l.Password}), 200)
}

// ring sends the INVITE and waits until somebody answers, and says why nobody does.
func (d *dialog) ring(ctx, first context.Context, limit time.Duration) Result {
	begin := time.Now()
	tx, err := d.client.TransactionRequest(first, d.invite)
	if err != nil {
		return d.line.unreached(ctx, first, err)
	}
	defer func() { d.tx = tx }()
	var ringing <-chan time.Time // set by the trunk's first sign
	challenges := 0
	for {
		select {
		case response := <-tx.Responses():
			if ringing == nil {
				timer := time.NewTimer(limit)
				defer timer.Stop()
				ringing = timer.C
			}
			switch {
			case response.IsProvisional():
			case response.IsSuccess():
				d.response = response
				return Result{Outcome: Answered, Status: response.StatusCode, After: time.Since(begin)}
			case challenged(response) && d.line.User != "" && challenges < maxChallenges:
				challenges++
				tx.Terminate()
				again, err := d.logOn(first, d.invite, response)
				if err != nil {
					return Result{Outcome: Refused, Status: response.StatusCode, Reason: "its question for the password cannot be answered: " + d.line.plain(err)}
				}
				tx = again
			default:
				return final(response, challenges)
			}
		case <-ringing:
			return d.giveUp(tx, true, Result{Outcome: NoAnswer, Reason: "rang for " + seconds(limit)})
		case <-ctx.Done():
			return d.giveUp(tx, ringing != nil, Result{Outcome: Cancelled, Err: ctx.Err()})
		case <-d.refused:
			if ringing == nil {
				return Result{Outcome: Unreachable, Reason: "nobody listens there", Err: errRefused}
			}
		case <-first.Done():
			if ringing == nil && ctx.Err() == nil {
				return Result{Outcome: Unreachable, Reason: fmt.Sprintf("no sign within %s", d.line.first()), Err: first.Err()}
			}
			first = context.WithoutCancel(ctx) // it has given a sign
		case <-tx.Done():
			if err = tx.Err(); err == nil {
				err = sip.ErrTransactionTerminated
			}
			return d.broken(ringing != nil, err)
		}
	}
}

var errRefused = errors.New("connection refused")

// broken is the result of a call whose signalling ended by itself.
func (d *dialog) broken(begun bool, err error) Result {
	if begun {
		return Result{Outcome: Failed, Reason: "the signalling broke off: " + d.line.plain(err), Err: err}
	}
	return Result{Outcome: Unreachable, Reason: "it ended the connection, or said what is no SIP", Err: err}
}

// challenged reports whether a response asks for the password.
func challenged(response *sip.Response) bool {
	switch response.StatusCode {
	case sip.StatusUnauthorized:
		return response.GetHeader("WWW-Authenticate") != nil
	case sip.StatusProxyAuthRequired:
		return response.GetHeader("Proxy-Authenticate") != nil
	}
	return false
}

// logOn repeats a request with the answer to a challenge (RFC 3261, 22).
func (d *dialog) logOn(ctx context.Context, request *sip.Request, response *sip.Response) (sip.ClientTransaction, error) {
	auth := sipgo.DigestAuth{Username: d.line.User, Password: d.line.Password.Reveal()}
	return d.client.TransactionDigestAuth(ctx, request, response, auth)
}

// final is the result of a call that was not answered (RFC 3261, 21.4 to 21.6).
func final(response *sip.Response, challenges int) Result {
	r := Result{Status: response.StatusCode, Reason: secret.Plain(fmt.Sprintf("%d %s", response.StatusCode, response.Reason), 80)}
	switch response.StatusCode {
	case 486, 600:
		r.Outcome = Busy
	case 408, 480, 487:
		r.Outcome = NoAnswer
	case 603, 607, 608:
		r.Outcome = Rejected
	case 403:
		r.Outcome = Rejected
	case 401, 407:
		r.Outcome = Refused
		r.Reason += ": it wants another user or password"
		if challenges == 0 {
			r.Reason = fmt.Sprintf("%d: it wants a user and a password", response.StatusCode)
		}
	case 404, 410, 484, 604:
		r.Outcome = Refused
		r.Reason += ": it does not know the number"
	default:
		r.Outcome = Failed
	}
	return r
}

// giveUp takes the call back, which is allowed only after the trunk's first sign: shortly, that is waited for (RFC 3261, 9.1).
// Whoever answers in that moment is hung up on.
func (d *dialog) giveUp(tx sip.ClientTransaction, begun bool, r Result) Result {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	taken := false
	for {
		if begun && !taken {
			taken = true
			cancelled, err := d.client.TransactionRequest(ctx, d.cancelRequest())
			if err != nil {
				return r
			}
			defer cancelled.Terminate()
			go drain(cancelled)
		}
		select {
		case response := <-tx.Responses():
			switch {
			case response.IsProvisional():
				begun = true
			case response.IsSuccess():
				d.response = response
				d.acknowledge(tx)
				d.bye(ctx)
				r.Reason = "answered too late"
				return r
			default:
				return r
			}
		case <-d.refused:
			return r
		case <-tx.Done():
			return r
		case <-ctx.Done():
			return r
		}
	}
}

// drain takes the answers to a request that say nothing, until its transaction ends.
func drain(tx sip.ClientTransaction) {
	for {
		select {
		case <-tx.Responses():
		case <-tx.Done():
			return
		}
	}
}

// talk acknowledges the answer, plays the sound and hangs up.
func (d *dialog) talk(ctx context.Context, audio []byte, r *Result) {
	d.acknowledge(d.tx)
	r.Of = length(audio)
	m, err := answer(d.response.Body())
	if err != nil {
		r.Outcome, r.Reason = Failed, err.Error()
		d.bye(context.WithoutCancel(ctx))
		return
	}
	playing, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(d.hungUp, stop)()
	frames := d.sound.play(playing, m, audio)
	if frames*perFrame >= len(audio) {
		wait := time.NewTimer(tail)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-playing.Done():
		}
	}
	r.Heard, r.Sent, r.Got = time.Duration(frames)*frame, frames, int(d.sound.got.Load())
	if d.hungUp.Err() != nil {
		r.HungUp = r.Heard < r.Of
		return
	}
	if r.Heard < r.Of {
		r.Reason, r.Err = "the agent had to end the call", ctx.Err()
	}
	d.bye(context.WithoutCancel(ctx))
}

func length(audio []byte) time.Duration { return time.Duration(len(audio)/perFrame) * frame }
