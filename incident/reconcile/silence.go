package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// mute deals with a notice of an incident that a person silenced; false where it is to be sent. Of an incident that is open, that it
// was opened and that its priority rose waits for the end of the silence, and the rest is not told. A close is never muted: whoever
// was told of the beginning is told of the end at once. done says that the notice is out of the way.
func (l *noticeLoop) mute(ctx context.Context, n incident.Notice, i incident.Incident, to route) (muted, done bool, err error) {
	order, silent := l.r.o.Silenced(i, to.audience == toCustomer, l.r.o.Now())
	told := true
	if silent || n.Kind == incident.NoticeResolved {
		if told, err = l.told(ctx, n, to); err != nil {
			return true, false, err
		}
	}
	switch {
	case n.Kind == incident.NoticeResolved && told, !silent && n.Kind != incident.NoticeResolved:
		return false, false, nil
	case n.Kind == incident.NoticeResolved:
		n.LastError = "nobody was told of the beginning, since it was silenced"
	case i.Open() && (n.Kind == incident.NoticeOpened || n.Kind == incident.NoticeRaised):
		return true, false, nil // it waits
	default:
		n.LastError = tidy(fmt.Sprintf("%s%s: %s", silencedBy, order.Actor, order.Reason), maxText)
	}
	n.State, n.Failures, n.NextTry = incident.NoticeSuperseded, 0, time.Time{}
	l.r.fails("notifier "+l.Name, n.ID, "")
	return true, true, l.r.o.Store.SaveNotice(ctx, n)
}

const silencedBy = "silenced by "

// told reports whether the audience was told that the incident began, or would have been but for another reason than silence.
func (l *noticeLoop) told(ctx context.Context, n incident.Notice, to route) (bool, error) {
	all, err := l.r.o.Store.Notices(ctx, n.Incident)
	if err != nil {
		return false, err
	}
	opened := to.id(n.Incident, incident.NoticeOpened, 0)
	at := slices.IndexFunc(all, func(o incident.Notice) bool { return o.ID == opened })
	return at < 0 || all[at].State != incident.NoticeSuperseded || !strings.HasPrefix(all[at].LastError, silencedBy), nil
}

// waitsForSilence reports whether a notice waits for the end of a silence.
func (r *Reconciler) waitsForSilence(n incident.Notice, i incident.Incident, now time.Time) bool {
	if !i.Open() {
		return false
	}
	customer := false
	for _, o := range r.o.Notifiers {
		if o.Name == n.Notifier {
			if to, ok := audienceOf(n, routesOf(o)); ok {
				customer = to.audience == toCustomer
			}
		}
	}
	_, silent := r.o.Silenced(i, customer, now)
	return silent
}
