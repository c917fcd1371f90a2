package agent

import (
	"context"
	"time"

	"github.com/firstcall-agent/firstcall/incident/reconcile"
)

// desking is a reconciler that runs, or ran.
type desking struct {
	*reconcile.Reconciler
	store  reconcile.Store
	may    func() error
	ctx    context.Context
	cancel context.CancelFunc
	end    *time.Timer // cancels when the agent's lead is over; nil: it has no end
	done   chan struct{}
}

// startDesks starts the reconciler of a set on a store, for as long as may allows (nil: always), and for so long where lasts is not 0:
// see prolong.
func (a *Agent) startDesks(s *set, from reconcile.Store, may func() error, lasts time.Duration) {
	d := a.newDesking(s, from, may, lasts)
	a.desks.Store(d)
	d.start()
}

func (a *Agent) newDesking(s *set, from reconcile.Store, may func() error, lasts time.Duration) *desking {
	ctx, cancel := context.WithCancel(context.Background())
	d := &desking{Reconciler: a.reconciler(s, from, may), store: from, may: may, ctx: ctx, cancel: cancel, done: make(chan struct{})}
	if lasts != 0 {
		d.end = time.AfterFunc(max(lasts, 0), cancel)
	}
	return d
}

func (d *desking) start() {
	go func() {
		defer close(d.done)
		d.Run(d.ctx)
	}()
	d.Kick()
}

// prolong lets the reconciler go on for so long from now.
func (a *Agent) prolong(lasts time.Duration) {
	if d := a.desks.Load(); d != nil && d.end != nil && d.ctx.Err() == nil {
		d.end.Reset(max(lasts, 0))
	}
}

// restartDesks lets the reconciler go on with another set.
func (a *Agent) restartDesks(s *set) {
	d := a.desks.Load()
	if d == nil || d.ctx.Err() != nil {
		return // whoever starts one takes the new set
	}
	d.cancel()
	<-d.done // never two at once: a case could be opened twice
	if d.may != nil && d.may() != nil {
		return
	}
	lasts := time.Duration(0)
	if d.end != nil {
		lasts = max(a.member.left(), time.Nanosecond)
	}
	next := a.newDesking(s, d.store, d.may, lasts)
	if !a.desks.CompareAndSwap(d, next) { // the agent's role began anew meanwhile, with the new set
		next.cancel()
		return
	}
	next.start()
}

// endDesks ends the reconciler at once, and waits for nobody: what it writes from now on no store takes, and it tells nobody anything.
func (a *Agent) endDesks() {
	if d := a.desks.Load(); d != nil {
		d.cancel()
	}
}

// desksEnded reports whether the reconciler was ended.
func (a *Agent) desksEnded() bool {
	d := a.desks.Load()
	return d == nil || d.ctx.Err() != nil
}

// gone reports whether no call of it is under way any more; nil: there was none.
func (d *desking) gone() bool {
	if d == nil {
		return true
	}
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// stopDesks ends a reconciler; where the newest steps are durable and nobody else takes over, it first gets a moment to tell them.
func (a *Agent) stopDesks(d *desking, tell bool) {
	if d == nil {
		return
	}
	defer d.cancel()
	limit := time.After(stopDesks)
	if tell {
		d.Kick()
		for wait := 50 * time.Millisecond; d.ctx.Err() == nil && d.Status().Pending > 0; {
			select {
			case <-limit:
				a.log.Warn("cases are not yet as they should be; this goes on at the next start", "cases", d.Status().Pending)
				d.cancel()
				<-d.done
				return
			case <-time.After(wait):
			}
		}
	}
	d.cancel()
	select {
	case <-d.done:
	case <-limit:
		a.log.Warn("a desk or a notifier did not end its call; it is left behind")
	}
}

// kick tells the reconciler that something became durable.
func (a *Agent) kick() {
	if d := a.desks.Load(); d != nil {
		d.Kick()
	}
}
