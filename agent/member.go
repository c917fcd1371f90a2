package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

const (
	voteEvery   = time.Second     // how often the agent says that it lives, and hears the others
	voteTimeout = 3 * time.Second // of that
	enterFor    = 4 * time.Second // for what must be read before a role is entered: less than a lease lasts
	takeFor     = 2 * time.Second // for what others did alone, of that
	openFor     = time.Second     // how long the open incidents that were read are gone by, while handovers are taken
	tellEach    = time.Minute     // how often what keeps failing is told at the most
	tendEvery   = 2 * time.Second // how often a snapshot is taken, and what others hand over is looked for
	tendTimeout = 10 * time.Second
	restMost    = 500 * time.Millisecond // after it was looked, where that took as long
	ordersEvery = 10 * time.Second
	recently    = time.Hour // of incidents that may be the same as one that was judged alone
	openTimeout = 15 * time.Second
	tryEvery    = 5 * time.Second // between two attempts to open the shared store
)

// member is the agent among those of its tenant that share a store: it votes, hears the others, and leads, follows or judges alone.
type member struct {
	a      *Agent
	log    *slog.Logger
	refuge *refuge
	poke   chan struct{}
	opened chan opening

	mu      sync.Mutex
	s       standing
	round   store.Round // newest answer
	known   []web.Vantage
	failing string              // why the shared store does not answer; "": it does
	open    []incident.Incident // of the snapshot: what a follower shows

	// Of the goroutine of run only.
	entered int           // the term whose role the agent has taken
	last    role          // of it
	shifts  shifts        // of the peers' clocks to this one's; under "" of this one's to the shared store's
	tried   time.Duration // monotonic time of the newest attempt to open the shared store; -1: none is under way
	desks   *desking      // of the last time alone; nil: there was none since the last handover
	handing *errand       // the handover under way; nil: none
	taking  *errand       // the newest taking of handovers before it judged; nil: there was none

	errands sync.WaitGroup
	told    telling

	pouring atomic.Bool
	pours   sync.WaitGroup
	spools  sync.Mutex // held while there comes to be a spool, or none
}

// telling is what keeps failing and was told, so that it is not told each second.
type telling struct {
	mu   sync.Mutex
	what map[string]told
}

type told struct {
	err string
	at  time.Duration // monotonic
}

// tell logs what keeps failing: when it begins, when another error is its cause, but not more often than each minute, and when it is over (err is nil). args
// say of whom. It is safe for concurrent use.
func (m *member) tell(level slog.Level, what string, err error, args ...any) {
	key, now := what+fmt.Sprint(args...), m.a.clock.mono()
	m.told.mu.Lock()
	defer m.told.mu.Unlock()
	before, failed := m.told.what[key]
	switch {
	case err == nil && failed:
		delete(m.told.what, key)
		m.log.Info("this is over", append([]any{"what", what}, args...)...)
	case err != nil && (!failed || before.err != err.Error() && now-before.at >= tellEach):
		m.told.what[key] = told{err.Error(), now}
		m.log.Log(context.Background(), level, what, append(args, "err", err)...) //nolint:sloglint // each caller gives a constant
	}
}

// opening is how an attempt to open the shared store ended.
type opening struct {
	store     *store.Store      // open, where err is nil
	baselines map[string][]byte // that this vantage has learnt
	err       error
}

func (a *Agent) newMember(ctx context.Context) (*member, error) {
	c := a.o.Config
	m := &member{a: a, log: a.log, poke: make(chan struct{}, 1), opened: make(chan opening, 1), entered: -1, tried: -1, shifts: shifts{}, told: telling{what: map[string]told{}}}
	var err error
	if m.refuge, err = newRefuge(ctx, c.StateDirs(), fileName(c.Tenant.ID+"-"+c.Vantage), a.log); err != nil {
		return nil, err
	}
	owes, err := m.refuge.owes(ctx)
	if err != nil {
		return nil, errors.Join(err, m.refuge.close())
	}
	m.s = standing{grace: c.Store.AloneAfter}
	m.s.begin(m.now(), owes)
	m.refuge.hold(owes)
	host, _ := os.Hostname()
	m.s.recall(m.refuge.with, c.Vantage+" "+host)
	if m.refuge.spooled() {
		spool, err := m.refuge.spool(ctx)
		if err != nil {
			a.log.Warn("results of the time in which the database was away cannot be read; charts have a gap", "err", err)
		} else {
			a.store.spool.Store(spool)
		}
	}
	return m, nil
}

// fileName makes a name fit for a file.
func fileName(name string) string {
	safe := []byte(name)
	for i, b := range safe {
		if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '-' && b != '_' {
			safe[i] = '_'
		}
	}
	return string(safe)
}

// run takes part until ctx ends.
func (m *member) run(ctx context.Context) {
	ticker := time.NewTicker(voteEvery)
	defer ticker.Stop()
	defer m.errands.Wait()
	for ctx.Err() == nil {
		m.vote(ctx)
		m.act(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-m.poke:
		}
	}
}

// rouse lets it vote, and act, at once.
func (m *member) rouse() {
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

// end says that the agent stops: no role is taken any more.
func (m *member) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.end()
}

// resign lets another agent take over at once, and closes everything.
func (m *member) resign() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopDesks)
	defer cancel()
	var errs []error
	if s := m.a.store.shared.Load(); s != nil {
		if err := s.Resign(ctx); err != nil {
			m.log.Warn("the other agents learn only by its silence that this one stopped", "err", err)
		}
		errs = append(errs, s.Close())
	}
	if spool := m.a.store.spool.Load(); spool != nil {
		errs = append(errs, spool.Close())
	}
	if m.tried == 1<<63-1 {
		if o := <-m.opened; o.err == nil {
			errs = append(errs, o.store.Close())
		}
	}
	return errors.Join(append(errs, m.refuge.close())...)
}

func (m *member) now() instant { return instant{m.a.clock.mono(), m.a.clock.wall()} }

func (m *member) self() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.self
}

// refused says that a person's order is for another agent, or nil where this one takes it.
func (m *member) refused() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.s.role == leader:
		return nil
	case m.s.role == alone, m.failing != "", m.round.Self == "":
		return errors.New("the database is away: what people order cannot be kept now; work on cases at their desk, and try again when it is back")
	case m.round.Leader == "":
		return errors.New("no agent leads at this moment: try again in a few seconds")
	}
	holder := ""
	for _, v := range m.known {
		if v.Name == m.round.Leader && v.Holder != "" {
			holder = " (" + v.Holder + ")"
		}
	}
	return fmt.Errorf("this agent follows: give the order to the one that leads, %s%s", m.round.Leader, holder)
}

// incidents returns what is open by the newest snapshot.
func (m *member) incidents() []incident.Incident {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.open)
}

// away reports whether the shared store does not answer.
func (m *member) away() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.failed > 0 || m.s.role == alone
}

// health adds the role, and who else there is.
func (m *member) health(h *web.Health) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	h.Role, h.Voter, h.Leader, h.Epoch, h.StoreAway = m.s.role.String(), m.s.self, m.round.Leader, m.s.epoch, m.failing
	if m.s.role == alone {
		h.Leader, h.AloneSince = "", m.a.clock.Now().Add(-max(0, now.mono-m.s.since.mono))
	}
	h.Vantages = slices.Clone(m.known)
}

// living returns how many vantages there are, this one included.
func (m *member) living() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.s.failed > 0 || m.round.Self == "" {
		return 1
	}
	return 1 + len(m.round.Peers)
}
