package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/incident"
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
	freeze  func() (frozen, error)              // the engine's state with all that is pending: see judge.freeze
	stored  func(incidents []incident.Incident) // after a step is durable, with what it changed
	refused func()                              // the store says that another agent leads; nil: there is none
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

func newWriter(c *clock, at place, log *slog.Logger, m *metrics.Metrics, stored func([]incident.Incident)) *writer {
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
func (w *writer) finish() error {
	state, results := w.writeState(true), w.writeResults()
	if state != nil && results != nil && state.Error() == results.Error() { // once is enough
		return state
	}
	return errors.Join(state, results)
}

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
		w.stored(f.Incidents)
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
		if late == nil {
			select {
			case <-moved: // what was decided in another role does not begin in this one
				return
			default:
			}
		}
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
	told := func(err error) bool { return err != nil && !errors.Is(err, errNoStore) } // of that the start tells
	switch {
	case told(err) && !told(before.err):
		w.log.Error("the store cannot be written; probing and judging go on, and it is tried again", "what", l.String(), "err", err)
	case err == nil && told(before.err):
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

// written returns when the store last took a write; zero: not yet.
func (w *writer) written() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}
