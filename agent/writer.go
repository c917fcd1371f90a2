package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	resultsEvery  = time.Second      // how often raw results are written
	stateEvery    = 30 * time.Second // how often the engine's state is written where nothing else asks for it
	maintainEvery = time.Hour
	writeTimeout  = 10 * time.Second
	retryFirst    = 100 * time.Millisecond
	retryMost     = 5 * time.Second
	chunk         = 2000 // results in one write, so that a step never waits long behind them
	// storeFailed is how long the store may fail before the heartbeat to the outside watchdog stops.
	storeFailed = time.Minute
)

// Store is what the writer needs of *store.Store.
type Store interface {
	Commit(ctx context.Context, c store.Commit) error
	SaveVantage(ctx context.Context, state []byte, baselines map[string][]byte, seeds map[string]int) error
	AppendResults(ctx context.Context, results []probes.Result) error
}

// place is where the writer writes, which changes with the agent's role.
type place struct {
	state   Store
	results Store
	judges  bool // the engine judges: its steps are committed. Else only what the vantage itself has learnt is saved
	several bool // other vantages may judge next: what this one has learnt is saved beside the steps, too
}

// writer makes durable what the judge decides. Steps wait in memory, in order, until the store has them, however long it
// fails; they are folded together, so that they need no more room than the incidents they speak of and their timeline.
// Raw results are already judged: at most a bound of them waits, then the oldest are dropped, counted and reported.
// It is safe for concurrent use.
//
// Where the agent's role changes, so does the place that is written to, and steps that are not durable by then never will be: whoever
// judges next judges for itself. A write under way is left behind; its end is still learnt of.
type writer struct {
	clock   *clock
	log     *slog.Logger
	metrics *metrics.Metrics
	freeze  func() (frozen, error) // the engine's state with all that is pending: see judge.freeze
	stored  func()                 // after a step is durable
	refused func()                 // the store says that another agent leads; nil: there is none
	wake    chan struct{}
	saved   time.Duration // when what a vantage has learnt was saved beside its steps; of the writing goroutine

	mu      sync.Mutex
	at      place
	moved   chan struct{}     // closed when at changes
	turn    int               // of at
	pending store.Commit      // steps that are not durable yet, but for those being written
	steps   int               // how many
	writing int               // how many are being written
	ever    int               // how many there were
	results [][]probes.Result // oldest first
	held    int               // how many
	bound   int               // of held
	dropped int               // since the store last took results
	trouble [2]trouble        // by lane
	last    time.Time         // of the newest write that succeeded
	busy    time.Duration     // monotonic time at which the write under way began; -1: none
}

// lane tells apart the two things that are written.
type lane int

const (
	incidents lane = iota
	results
)

func (l lane) String() string { return [...]string{"incidents", "results"}[l] }

// trouble is what is wrong with one lane.
type trouble struct {
	err   error         // nil: nothing
	since time.Duration // monotonic time of the first failure
	at    time.Duration // of the newest
}

func newWriter(c *clock, at place, log *slog.Logger, m *metrics.Metrics, stored func()) *writer {
	return &writer{
		clock: c, at: at, moved: make(chan struct{}), log: log, metrics: m, stored: stored, wake: make(chan struct{}, 1), bound: minResults, busy: -1,
	}
}

// move changes where is written, and drops the steps that are pending. The judge calls it while nothing is judged.
func (w *writer) move(at place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at, w.turn = at, w.turn+1
	w.pending.Incidents, w.pending.Events = nil, nil
	w.steps, w.writing = 0, 0
	close(w.moved)
	w.moved = make(chan struct{})
}

// minResults and maxResults bound the raw results that wait for the store; between them the bound is five minutes' worth.
const (
	minResults = 1_000
	maxResults = 100_000
)

// expect sets the bound on raw results by how many come in a second.
func (w *writer) expect(perSecond float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bound = min(max(int(perSecond*300), minResults), maxResults)
}

// step takes a step of the engine. The judge calls it while nothing else is judged, so that steps stay in order.
func (w *writer) step(s engine.Step) {
	w.mu.Lock()
	if !w.at.judges {
		s.Incidents, s.Events = nil, nil
	}
	w.pending = merge(w.pending, store.Commit{At: s.At, Incidents: s.Incidents, Events: s.Events})
	w.steps++
	w.ever++
	w.mu.Unlock()
	w.rouse()
}

// baselines takes what changed of them, to be stored with the next state.
func (w *writer) baselines(changed map[string][]byte) {
	if len(changed) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = merge(w.pending, store.Commit{At: w.pending.At, Baselines: changed})
}

// learnt takes back what a vantage has learnt and is not stored yet.
func (w *writer) learnt(baselines map[string][]byte, seeds map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = merge(store.Commit{Baselines: baselines, Seeds: seeds}, w.pending)
}

// seed notes that a probe's baseline was taught so many points of elsewhere, to be stored with the next state.
func (w *writer) seed(probe string, points int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = merge(w.pending, store.Commit{At: w.pending.At, Seeds: map[string]int{probe: points}})
}

// result takes a raw result.
func (w *writer) result(r probes.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.results) - 1
	if last < 0 || len(w.results[last]) >= chunk {
		w.results = append(w.results, make([]probes.Result, 0, 16))
		last++
	}
	w.results[last] = append(w.results[last], r)
	w.held++
	w.shed()
}

// shed drops the oldest results over the bound. The caller holds mu.
func (w *writer) shed() {
	for w.held > w.bound && len(w.results) > 1 {
		n := len(w.results[0])
		w.results[0] = nil
		w.results = w.results[1:]
		w.held -= n
		w.dropped += n
		w.metrics.Dropped(n)
	}
}

// merge returns two steps as one: the newest form of every incident and of every baseline, and all events, in order.
func merge(first, second store.Commit) store.Commit {
	for _, i := range second.Incidents {
		at := slices.IndexFunc(first.Incidents, func(o incident.Incident) bool { return o.ID == i.ID })
		if at < 0 {
			first.Incidents = append(first.Incidents, i)
		} else {
			first.Incidents[at] = i
		}
	}
	first.Events = append(first.Events, second.Events...)
	first.Baselines = together(first.Baselines, second.Baselines)
	first.Seeds = together(first.Seeds, second.Seeds)
	first.At = second.At
	return first
}

// together returns both maps as one; where both have a key, the second holds.
func together[V any](first, second map[string]V) map[string]V {
	if len(second) == 0 {
		return first
	}
	all := make(map[string]V, len(first)+len(second))
	maps.Copy(all, first)
	maps.Copy(all, second)
	return all
}

// frozen is what is to be written, and where.
type frozen struct {
	store.Commit
	at    place
	turn  int
	moved <-chan struct{}
}

// write makes it durable.
func (f *frozen) write(ctx context.Context) error {
	if f.at.judges {
		return f.at.state.Commit(ctx, f.Commit)
	}
	return f.at.state.SaveVantage(ctx, f.State, f.Baselines, f.Seeds)
}

// take hands over all pending steps as one. judge.freeze calls it, while nothing is judged.
func (w *writer) take() frozen {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := frozen{w.pending, w.at, w.turn, w.moved}
	w.pending, w.writing, w.steps = store.Commit{}, w.writing+w.steps, 0
	return f
}

// putBack returns what could not be written, before all that came since. Steps of an earlier role are not.
func (w *writer) putBack(f *frozen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := f.Commit
	if f.turn != w.turn {
		c.Incidents, c.Events = nil, nil
	}
	w.pending = merge(c, w.pending)
	if w.pending.At.IsZero() {
		w.pending.At = c.At
	}
	w.pending.State = nil
	if f.turn == w.turn {
		w.steps, w.writing = w.steps+w.writing, 0
	}
}

func (w *writer) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	everyResults, everyState := time.NewTicker(resultsEvery), time.NewTicker(stateEvery)
	defer everyResults.Stop()
	defer everyState.Stop()
	for ctx.Err() == nil {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			err = w.writeSteps()
		case <-everyState.C:
			err = w.writeState(false)
		case <-everyResults.C:
			err = w.writeResults()
		}
		if err != nil {
			w.retry(ctx)
		}
	}
}

// retry repeats what failed, ever more slowly, until the store takes it or ctx ends. Where only raw results fail, steps are
// still written at once.
func (w *writer) retry(ctx context.Context) {
	wait := retryFirst
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			if w.works(incidents) {
				_ = w.writeSteps() // repeated below
			}
			continue
		case <-timer.C:
		}
		if w.writeState(false) == nil && w.writeResults() == nil {
			return
		}
		wait = min(2*wait, retryMost)
		timer.Reset(wait)
	}
}

// works reports whether the newest write of a lane was made.
func (w *writer) works(l lane) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble[l].err == nil
}

// finish writes all that is pending, once, when the agent stops.
func (w *writer) finish() error { return errors.Join(w.writeState(true), w.writeResults()) }

// writeSteps makes pending steps durable.
func (w *writer) writeSteps() error {
	w.mu.Lock()
	none := w.steps == 0
	w.mu.Unlock()
	if none {
		return nil
	}
	return w.writeState(false)
}

// writeState makes the engine's state durable, and with it every pending step; final says that it is the last time.
func (w *writer) writeState(final bool) error {
	f, err := w.freeze()
	if err != nil {
		w.log.Error("the state of the judgement cannot be saved; after a restart it begins anew with the stored incidents", "err", err)
	}
	err = w.write(incidents, f.moved, f.write, nil)
	switch {
	case errors.Is(err, errMoved):
		w.putBack(&f)
		return nil
	case errors.Is(err, store.ErrNotLeading):
		w.putBack(&f)
		w.refused()
		return nil
	case err != nil:
		w.putBack(&f)
		return err
	}
	w.mu.Lock()
	if f.turn == w.turn {
		w.writing = 0
	}
	w.mu.Unlock()
	if len(f.Incidents) > 0 || len(f.Events) > 0 {
		w.stored()
	}
	if f.at.judges && f.at.several && (final || w.clock.mono()-w.saved >= stateEvery) {
		w.saved = w.clock.mono()
		err = w.write(incidents, f.moved, func(ctx context.Context) error { return f.at.state.SaveVantage(ctx, f.State, nil, nil) }, nil)
		if err != nil && !errors.Is(err, errMoved) {
			return err
		}
	}
	return nil
}

// writeResults writes raw results, a chunk at a time; steps that come meanwhile go first.
func (w *writer) writeResults() error {
	for {
		list, at, moved := w.oldest()
		if len(list) == 0 {
			return nil
		}
		back := func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.results = slices.Insert(w.results, 0, list)
			w.held += len(list)
			w.shed()
		}
		err := w.write(results, moved, func(ctx context.Context) error { return at.results.AppendResults(ctx, list) }, func(late error) {
			if late != nil {
				back()
			}
		})
		if errors.Is(err, errMoved) {
			return nil // the rest goes to the new place, and so does this where it turns out not to be in the old one
		}
		if err != nil {
			back()
			return err
		}
		w.tellDropped()
		if err := w.writeSteps(); err != nil {
			return err
		}
	}
}

// oldest takes out the oldest chunk of results, nil when there is none, and says where it goes.
func (w *writer) oldest() (list []probes.Result, at place, moved <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.results) == 0 {
		return nil, w.at, w.moved
	}
	list = w.results[0]
	w.results[0] = nil
	w.results = w.results[1:]
	w.held -= len(list)
	return list, w.at, w.moved
}

// tellDropped reports, once the store takes results again, how many it never got.
func (w *writer) tellDropped() {
	w.mu.Lock()
	n := w.dropped
	w.dropped = 0
	w.mu.Unlock()
	if n > 0 {
		w.log.Warn("raw results were dropped while the store failed; they had been judged, but charts have a gap", "results", n)
	}
}

var (
	errSlowStore = errors.New("the store did not answer within " + writeTimeout.String())
	errMoved     = errors.New("the agent's role changed while the store was written")
)

// write calls the store once and keeps account of whether it works. A call that has not returned when moved is closed is left behind
// with errMoved; late, where given, is told of its end.
func (w *writer) write(l lane, moved <-chan struct{}, call func(context.Context) error, late func(error)) error {
	began := w.clock.mono()
	w.mu.Lock()
	w.busy = began
	w.mu.Unlock()
	done := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), writeTimeout, errSlowStore)
		defer cancel()
		err := call(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = context.Cause(ctx)
		}
		select {
		case done <- err:
		case <-moved:
			if late != nil {
				late(err)
			}
		}
	}()
	var err error
	select {
	case err = <-done:
	case <-moved:
		w.mu.Lock()
		w.busy, w.trouble[l] = -1, trouble{}
		w.mu.Unlock()
		return errMoved
	}
	w.account(l, began, err)
	return err
}

// account notes how a write went.
func (w *writer) account(l lane, began time.Duration, err error) {
	if errors.Is(err, store.ErrNotLeading) {
		err = nil // the store works
	}
	w.mu.Lock()
	before := w.trouble[l]
	w.busy = -1
	switch {
	case err == nil:
		w.trouble[l], w.last = trouble{}, w.clock.Now()
	case before.err == nil:
		w.trouble[l] = trouble{err, began, began}
	default:
		w.trouble[l].err, w.trouble[l].at = err, began
	}
	w.mu.Unlock()
	switch {
	case err != nil && before.err == nil:
		w.log.Error("the store cannot be written; probing and judging go on, and it is tried again", "what", l.String(), "err", err)
	case err == nil && before.err != nil:
		w.log.Info("the store is written again", "what", l.String(), "after", (w.clock.mono() - before.since).Round(time.Millisecond))
	}
	if err != nil {
		w.metrics.StoreError()
	}
}

// failure returns why the store cannot be written now, and for how long; "" when it can.
func (w *writer) failure() (reason string, lasting time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.mono()
	var newest time.Duration
	for _, t := range w.trouble {
		if t.err == nil {
			continue
		}
		lasting = max(lasting, now-t.since)
		if reason == "" || t.at > newest {
			reason, newest = t.err.Error(), t.at
		}
	}
	if reason == "" && w.busy >= 0 && now-w.busy > writeTimeout {
		return "the store does not answer", now - w.busy
	}
	return reason, lasting
}

// idle reports whether every step is durable, and how many there ever were.
func (w *writer) idle() (ever int, idle bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ever, w.steps+w.writing == 0
}

// written returns when the store last took a write; zero: not yet.
func (w *writer) written() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// waiting returns how many steps and raw results wait for the store.
func (w *writer) waiting() (steps, results int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps + w.writing, w.held
}
