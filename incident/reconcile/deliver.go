package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// noticeLoop delivers the notices of one notifier. Only its own goroutine touches it.
type noticeLoop struct {
	r *Reconciler
	Notifier
	routes []route
}

// round delivers what is due, in order, until nothing is left that can be tried now.
func (l *noticeLoop) round(ctx context.Context) {
	for ctx.Err() == nil {
		due, err := l.due(ctx)
		if err != nil {
			l.r.storeFailed(ctx, err)
			return
		}
		next, pointless := pick(due, l.routes)
		for _, n := range pointless {
			n.State = incident.NoticeSuperseded
			if err := l.r.o.Store.SaveNotice(ctx, n); err != nil {
				l.r.storeFailed(ctx, err)
				return
			}
			l.r.fails("notifier "+l.Name, n.ID, "")
		}
		sent := 0
		for _, n := range next {
			if ctx.Err() != nil || soon(l.r.o.Now(), n.NextTry, max(maxBackoff, l.pace().Pause)) {
				continue
			}
			ok, err := l.deliver(ctx, n)
			if err != nil {
				l.r.storeFailed(ctx, err)
				return
			}
			if ok {
				sent++
			}
		}
		if sent == 0 {
			return
		}
	}
}

// due returns the notifier's notices that are due.
func (l *noticeLoop) due(ctx context.Context) ([]incident.Notice, error) {
	all, err := l.r.o.Store.Notices(ctx, "")
	var own []incident.Notice
	for _, n := range all {
		if n.Notifier == l.Name && n.State == incident.NoticeDue {
			own = append(own, n)
		}
	}
	return own, err
}

// deliver makes one attempt, with the same id each time, and keeps the proof or the error. A process that dies between the
// sending and the keeping sends again: at least once, told apart by the id.
func (l *noticeLoop) deliver(ctx context.Context, n incident.Notice) (sent bool, err error) {
	s, i, err := l.story(ctx, n)
	if errors.Is(err, incident.ErrNotFound) { // retention was quicker
		n.State, n.LastError = incident.NoticeSuperseded, "the incident is no longer kept"
		return false, l.r.o.Store.SaveNotice(ctx, n)
	}
	if err != nil {
		return false, err
	}
	to, _ := audienceOf(n, l.routes)
	pace := l.pace()
	if pace.UntilTold && (!i.Open() || !s.reacted.IsZero()) {
		n.State, n.LastError = incident.NoticeSuperseded, "somebody has the case, or it is over"
		l.r.fails("notifier "+l.Name, n.ID, "")
		return false, l.r.o.Store.SaveNotice(ctx, n)
	}
	if l.quiet(i) {
		return false, nil
	}
	if muted, done, err := l.mute(ctx, n, i, to); muted || err != nil {
		return done, err
	}
	message, err := l.r.text.message(s, to)
	if err != nil {
		return false, err
	}
	began := l.r.o.Now()
	var proof string
	err = l.r.observed(ctx, cmp.Or(pace.Timeout, l.r.o.CallTimeout), "notifier", l.Name, "send", func(ctx context.Context) (err error) {
		proof, err = l.Notifier.Notifier.Send(ctx, message)
		return err
	})
	if err != nil && (ctx.Err() != nil || errors.Is(err, errWait)) {
		return false, nil // it is due still
	}
	var events []incident.Event
	event := func(kind incident.EventKind, text string) {
		events = append(events, incident.Event{Incident: i.ID, At: l.r.o.Now(), Kind: kind, Actor: l.Name, Text: text, Priority: i.Priority})
	}
	if err != nil {
		text := tidy(err.Error(), maxText)
		given := pace.Attempts > 0 && n.Failures+1 >= pace.Attempts
		if given {
			n.State = incident.NoticeFailed
			text = fmt.Sprintf("given up after %d attempts: %s", n.Failures+1, text)
		}
		if given || n.Failures == 0 || !sameError(n.LastError, text) {
			event(incident.EventNoticeFailed, fmt.Sprintf("%s to %s: %s", noticeName(n), named(to), text))
			l.r.o.Log.Warn("the notice is not delivered; it is sent again", "notifier", l.Name, "notice", n.ID, "err", text)
		}
		n.Failures++
		n.LastError = text
		n.NextTry = began.Add(cmp.Or(pace.Pause, backoff(n.Failures, l.r.o.Jitter())))
		l.r.fails("notifier "+l.Name, n.ID, text)
		return false, l.r.o.Store.SaveNotice(ctx, n, events...)
	}
	n.State, n.Sent, n.Proof = incident.NoticeSent, l.r.o.Now(), tidy(proof, maxText)
	n.Failures, n.LastError, n.NextTry = 0, "", time.Time{}
	event(incident.EventNoticeSent, fmt.Sprintf("%s to %s: %s", noticeName(n), named(to), n.Proof))
	l.r.fails("notifier "+l.Name, n.ID, "")
	return true, l.r.o.Store.SaveNotice(ctx, n, events...)
}

// quiet reports whether nobody is to be told of the incident now.
func (l *noticeLoop) quiet(i incident.Incident) bool { return l.Silent(i.Priority, l.r.o.Now()) }

// story reads what a message tells.
func (l *noticeLoop) story(ctx context.Context, n incident.Notice) (story, incident.Incident, error) {
	cases, err := l.r.o.Store.Cases(ctx, n.Incident)
	if err != nil {
		return story{}, incident.Incident{}, err
	}
	i, err := l.r.o.Store.Incident(ctx, n.Incident)
	if err != nil {
		return story{}, incident.Incident{}, err
	}
	into, err := l.r.leadNumber(ctx, i.AbsorbedBy)
	if err != nil {
		return story{}, incident.Incident{}, err
	}
	return story{notice: n, incident: i, theCase: l.r.set.lead(cases), reacted: l.r.set.reacted(cases).Acknowledged, into: into, view: l.r.o.View(), now: l.r.o.Now()}, i, nil
}

// named says in a few words who is told.
func named(r route) string {
	var names []string
	for _, c := range r.to {
		switch {
		case c.Email != "":
			names = append(names, c.Email)
		case c.Name != "":
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return string(r.audience)
	}
	return fmt.Sprintf("%s (%s)", r.audience, strings.Join(names, ", "))
}
