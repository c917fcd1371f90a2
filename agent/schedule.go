package agent

import (
	"container/heap"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	spareFiles  = 128 // descriptors for the store, the page, desks and logs
	filesPerRun = 3   // a connection and the look-ups before it
	spareRuns   = 256 // for quick re-probes, beside one scheduled run of every probe
)

// runLimit returns how many runs may be under way at once: one of every probe and room for quick re-probes, but never more
// than the process has descriptors for. A run over it is left out and counted; with one descriptor limit of 1,024, as on old
// systems, 298 runs may be under way, which a solution in which everything hangs reaches with as many probes.
func runLimit(probes int) int {
	return max(16, min(probes+spareRuns, (openFiles()-spareFiles)/filesPerRun))
}

// maxRechecks bounds the quick re-probes of one probe that wait or are under way.
const maxRechecks = 16

// job is a probe in the schedule.
type job struct {
	id, kind string
	witness  bool
	probe    atomic.Pointer[probes.Probe] // a reload renews it where nothing but its files changed
	interval time.Duration                // 0 with cron
	timeout  time.Duration
	cron     cron.Schedule // nil: interval
	spec     string        // of cron, with its zone
	late     error         // cause of the end of a run that is too long
	series   *metrics.Series
	recent   recent
	retired  atomic.Bool // no longer configured: what still comes of it is dropped

	// guarded by schedule.mu
	cronAt   time.Time     // the occurrence that is due next
	running  bool          // a scheduled run is under way
	owes     bool          // a tick fell due while it was
	owed     time.Duration // which
	rechecks int           // waiting or under way
	stuck    int           // runs that did not return after their deadline
}

// entry is one run that is due.
type entry struct {
	due     time.Duration // monotonic
	job     *job
	recheck bool
}

type entries []entry

func (e entries) Len() int           { return len(e) }
func (e entries) Less(i, j int) bool { return e[i].due < e[j].due }
func (e entries) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *entries) Push(x any)        { *e = append(*e, x.(entry)) }
func (e *entries) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = entry{}
	*e = old[:len(old)-1]
	return last
}

// schedule starts every run when it is due: one heap, one timer, a goroutine a run. Runs by interval lie on an absolute grid
// (no drift), spread evenly over it. Of one probe at most one scheduled run is under way, beside its quick re-probes; no probe
// ever waits for another. It is safe for concurrent use.
type schedule struct {
	clock   *clock
	lag     *lag
	log     *slog.Logger
	metrics *metrics.Metrics
	deliver func(measured) // may block: the run is then still under way

	ctx    context.Context // of the runs
	cancel context.CancelFunc
	runs   sync.WaitGroup
	wake   chan struct{}
	idle   chan entry // goroutines that wait for a next run

	mu       sync.Mutex
	queue    entries
	jobs     map[string]*job
	limit    int // runs under way at once; 0: no bound
	underway int
	stuck    int
}

func newSchedule(c *clock, l *lag, log *slog.Logger, m *metrics.Metrics, deliver func(measured)) *schedule {
	s := &schedule{clock: c, lag: l, log: log, metrics: m, deliver: deliver, wake: make(chan struct{}, 1), idle: make(chan entry), jobs: map[string]*job{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// replace puts jobs in place of those before. A job that was there already (the same pointer) keeps its next due; a new one
// begins within its interval. limit bounds the runs under way at once.
func (s *schedule) replace(jobs []*job, limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, queue := s.jobs, s.queue
	s.jobs, s.queue, s.limit = make(map[string]*job, len(jobs)), make(entries, 0, len(jobs)+16), limit
	var fresh []*job
	for _, j := range jobs {
		s.jobs[j.id] = j
		if old[j.id] != j {
			fresh = append(fresh, j)
		}
	}
	for _, j := range old {
		if s.jobs[j.id] != j {
			j.retired.Store(true)
		}
	}
	for _, e := range queue {
		if !e.job.retired.Load() {
			s.queue = append(s.queue, e)
		}
	}
	s.queue = append(s.queue, s.spread(fresh)...)
	heap.Init(&s.queue)
	s.rouse()
}

// spread gives every new job its first due: the jobs of one interval at equal distances over it, the very first at once.
// Jobs of different intervals are set off against each other, so that the grids do not coincide.
func (s *schedule) spread(jobs []*job) entries {
	var intervals []time.Duration
	groups := map[time.Duration][]*job{}
	var all entries
	now := s.clock.mono()
	for _, j := range jobs {
		if j.cron != nil {
			all = append(all, s.nextCron(j, now))
			continue
		}
		if groups[j.interval] == nil {
			intervals = append(intervals, j.interval)
		}
		groups[j.interval] = append(groups[j.interval], j)
	}
	for g, interval := range intervals {
		group := groups[interval]
		for i, j := range group {
			share := (float64(i) + float64(g)/float64(len(intervals))) / float64(len(group))
			all = append(all, entry{due: now + time.Duration(share*float64(interval)), job: j})
		}
	}
	return all
}

// nextCron returns the next occurrence of a job with a cron schedule.
func (s *schedule) nextCron(j *job, now time.Duration) entry {
	at := s.clock.Now()
	from := at
	if j.cronAt.After(from) {
		from = j.cronAt
	}
	j.cronAt = j.cron.Next(from)
	return entry{due: now + j.cronAt.Sub(at), job: j}
}

// realign works out the next occurrences of cron schedules again, after the clock jumped.
func (s *schedule) realign() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.mono()
	for i, e := range s.queue {
		if e.job.cron != nil && !e.recheck {
			e.job.cronAt = time.Time{}
			s.queue[i] = s.nextCron(e.job, now)
		}
	}
	heap.Init(&s.queue)
	s.rouse()
}

// recheck adds quick re-probes, spread evenly over the time asked for. Probes that are not configured are passed over.
func (s *schedule) recheck(list []engine.Recheck) {
	if len(list) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.mono()
	for _, r := range list {
		j := s.jobs[r.Probe]
		if j == nil {
			continue
		}
		for i := range r.Count {
			if j.rechecks >= maxRechecks {
				s.metrics.Missed(metrics.MissLimit, r.Count-i)
				break
			}
			j.rechecks++
			heap.Push(&s.queue, entry{due: now + r.Within*time.Duration(i+1)/time.Duration(r.Count), job: j, recheck: true})
		}
	}
	s.rouse()
}

// rouse makes the timer look at the queue again.
func (s *schedule) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run starts runs when they are due, until ctx ends; then runs under way are cancelled.
func (s *schedule) run(ctx context.Context) {
	defer s.cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		timer.Reset(s.startDue())
	}
}

// startDue starts all that is due and returns how long it is until something is again.
func (s *schedule) startDue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		now := s.clock.mono()
		e := s.queue[0]
		if e.due > now {
			return e.due - now
		}
		if e.recheck {
			heap.Pop(&s.queue)
			s.startRecheck(e)
			continue
		}
		s.queue[0] = s.startScheduled(e, now)
		heap.Fix(&s.queue, 0)
	}
	return time.Hour
}

// startRecheck starts a quick re-probe, or counts it as missed.
func (s *schedule) startRecheck(e entry) {
	if reason := s.hindrance(e.job); reason != "" {
		e.job.rechecks--
		s.metrics.Missed(reason, 1)
		return
	}
	s.start(e)
}

// startScheduled starts a scheduled run, or counts it as missed, and returns the next one.
func (s *schedule) startScheduled(e entry, now time.Duration) (next entry) {
	j := e.job
	tick := e.due // the newest tick that is due
	if j.cron != nil {
		if at := s.clock.Now(); at.Before(j.cronAt) { // the clock was set back meanwhile
			return entry{due: now + j.cronAt.Sub(at), job: j}
		}
		next = s.nextCron(j, now)
	} else {
		if late := now - e.due; late >= j.interval {
			s.metrics.Missed(metrics.MissLate, int(late/j.interval))
			tick += late - late%j.interval
		}
		next = entry{due: tick + j.interval, job: j}
	}
	reason := s.hindrance(j)
	if now-tick > j.tolerance() {
		reason = metrics.MissLate
	}
	switch {
	case reason != "":
		s.metrics.Missed(reason, 1)
	case j.running:
		s.owe(j, tick)
	default:
		j.running = true
		s.start(entry{due: tick, job: j})
	}
	return next
}

// tolerance is how late a tick may be run. After a pause of the agent a tenth of all probes at most runs at once; the others
// wait for their next turn on the grid.
func (j *job) tolerance() time.Duration {
	if j.cron != nil {
		return time.Minute
	}
	return max(j.interval/10, lagLimit)
}

// owe keeps a tick that fell due while the run before is still under way: where that ends soon, as it does when the time-out
// is as long as the interval, the run follows at once.
func (s *schedule) owe(j *job, tick time.Duration) {
	if j.owes {
		s.metrics.Missed(metrics.MissRunning, 1)
	}
	j.owes, j.owed = true, tick
}

// repay starts the run that was owed, or counts it as missed.
func (s *schedule) repay(j *job) {
	if !j.owes {
		return
	}
	j.owes = false
	now := s.clock.mono()
	if now-j.owed > j.tolerance() || s.hindrance(j) != "" || j.retired.Load() || s.ctx.Err() != nil {
		s.metrics.Missed(metrics.MissRunning, 1)
		return
	}
	j.running = true
	s.start(entry{due: now, job: j})
}

// hindrance says why no run of the job may start now, or "".
func (s *schedule) hindrance(j *job) metrics.MissReason {
	switch {
	case j.stuck > 0:
		return metrics.MissStuck
	case s.limit > 0 && s.underway >= s.limit:
		return metrics.MissLimit
	}
	return ""
}

func (s *schedule) start(e entry) {
	s.underway++
	select {
	case s.idle <- e:
	default:
		s.runs.Go(func() { s.work(e) })
	}
}

// ended takes note that a run returned.
func (s *schedule) ended(e entry, wasStuck bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underway--
	if wasStuck {
		e.job.stuck--
		s.stuck--
		return
	}
	s.release(e)
}

func (s *schedule) release(e entry) {
	if e.recheck {
		e.job.rechecks--
		return
	}
	e.job.running = false
	s.repay(e.job)
}

// gaveUp takes note that a run did not return after its deadline.
func (s *schedule) gaveUp(e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.job.stuck++
	s.stuck++
	s.release(e)
}

// stuckRuns returns how many runs did not return after their deadline.
func (s *schedule) stuckRuns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stuck
}

// stop cancels the runs under way and waits for them, at most for d.
func (s *schedule) stop(d time.Duration) {
	s.cancel()
	done := make(chan struct{})
	go func() { s.runs.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(d):
		s.log.Warn("runs of probes did not end when they were cancelled; they are left behind")
	}
}
