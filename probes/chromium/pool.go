package chromium

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// Slots is how many pages are open at once.
	Slots = 2
	// maxPages is after how many pages a browser is replaced, and wornMemory from how many bytes on.
	maxPages   = 200
	wornMemory = 600 << 20
	// maxMemory ends a browser at once, with the pages that are open.
	maxMemory = 1536 << 20
	// idleAfter ends a browser that no page needs.
	idleAfter = 15 * time.Minute
	// watchEvery is how often the memory of a browser with pages is looked at.
	watchEvery = time.Second
	// disposeWithin is how long a browser may take to close a page before it is replaced.
	disposeWithin = 10 * time.Second
)

// ErrBusy says that other pages took the browser until ctx was done.
var ErrBusy = errors.New("other pages took the browser all the time")

// ErrMemory says that the browser was ended because of the memory that it took.
var ErrMemory = fmt.Errorf("chromium took more than %d MiB of memory and was ended", maxMemory>>20)

// Pool is a browser that is started when a page first needs it, shared by all pages, and replaced when it is worn or dead. It is
// safe for concurrent use.
type Pool struct {
	options Options
	slots   chan struct{}

	mu       sync.Mutex
	current  *shared       // nil: none
	starting chan struct{} // closed when the start under way has ended; nil when none is
	failed   error         // of the last start
	idle     *time.Timer
}

// shared is a browser with its users. The pool's lock guards it.
type shared struct {
	*process
	closing     chan *Page // pages that are given back
	open, pages int
	worn        bool
	why         error // the pool ended it
}

var (
	poolsMu sync.Mutex
	pools   = map[Options]*Pool{}
)

// For returns the pool of browsers with these options.
func For(o Options) *Pool {
	poolsMu.Lock()
	defer poolsMu.Unlock()
	if pools[o] == nil {
		pools[o] = &Pool{options: o, slots: make(chan struct{}, Slots)}
	}
	return pools[o]
}

// Close ends every browser of this process and returns when they are gone. A page that is opened later starts another.
func Close() {
	poolsMu.Lock()
	defer poolsMu.Unlock()
	for _, p := range pools {
		p.stop()
	}
}

func (p *Pool) stop() {
	p.mu.Lock()
	starting := p.starting
	p.mu.Unlock()
	if starting != nil {
		<-starting
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle != nil {
		p.idle.Stop()
	}
	if p.current != nil {
		p.current.stop()
		p.current = nil
	}
}

// Open returns a new page in a browser context of its own, once there is room for it and a browser runs. It returns ErrBusy, why
// there is no browser, or ctx.Err. The page must be closed.
func (p *Pool) Open(ctx context.Context) (*Page, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, errors.Join(ErrBusy, ctx.Err())
	}
	for {
		b, err := p.take(ctx)
		if err != nil {
			<-p.slots
			return nil, err
		}
		page, err := newPage(ctx, b.process)
		if err == nil {
			page.closing = b.closing
			page.why = func() error { return p.why(b) }
			return page, nil
		}
		p.put(b, !errors.Is(err, ctx.Err()))
		if !errors.Is(err, ErrGone) || ctx.Err() != nil {
			<-p.slots
			return nil, err
		}
	}
}

// PID returns the process id of the running browser, which is also its process group where there are such; an error when none runs.
func (p *Pool) PID() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil || !p.current.alive() {
		return 0, ErrGone
	}
	return p.current.cmd.Process.Pid, nil
}

// take returns the browser, started if need be, with one user more.
func (p *Pool) take(ctx context.Context) (*shared, error) {
	for {
		p.mu.Lock()
		if b := p.current; b != nil && b.alive() && !b.worn {
			b.open++
			b.pages++
			b.worn = b.pages >= maxPages
			if p.idle != nil {
				p.idle.Stop()
			}
			p.mu.Unlock()
			return b, nil
		}
		if p.starting == nil {
			p.retire()
			p.starting = make(chan struct{})
			go p.start(p.starting)
		}
		starting := p.starting
		p.mu.Unlock()
		select {
		case <-starting:
			p.mu.Lock()
			err := p.failed
			p.mu.Unlock()
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// retire takes the browser out of use: it ends now, or with its last page. The caller holds mu.
func (p *Pool) retire() {
	if b := p.current; b != nil && (b.open == 0 || !b.alive()) {
		go b.stop()
	}
	p.current = nil
}

// start outlives the run that asked for it: the next one has the browser then.
func (p *Pool) start(done chan struct{}) {
	browser, err := start(p.options)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed, p.starting = err, nil
	if err == nil {
		p.current = &shared{process: browser, closing: make(chan *Page, Slots)}
		p.rest()
		go p.watch(p.current)
		go p.close(p.current)
	}
	close(done)
}

// rest ends the browser when no page needs it for a while. The caller holds mu.
func (p *Pool) rest() {
	if p.idle != nil {
		p.idle.Stop()
	}
	p.idle = time.AfterFunc(idleAfter, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.current != nil && p.current.open == 0 {
			p.retire()
		}
	})
}

// watch ends a browser that takes too much memory, and clears away after one that ended.
func (p *Pool) watch(b *shared) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.ended:
			b.stop()
			return
		case <-tick.C:
		}
		p.mu.Lock()
		used := b.open > 0
		p.mu.Unlock()
		if !used || memory(b.cmd.Process.Pid) <= maxMemory {
			continue
		}
		p.mu.Lock()
		b.worn, b.why = true, ErrMemory
		p.mu.Unlock()
		b.stop()
		return
	}
}

// why returns why the pool ended a browser, or ErrGone.
func (p *Pool) why(b *shared) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.why != nil {
		return b.why
	}
	return ErrGone
}

// close closes pages that are given back, and takes their places back, until no page can come any more.
func (p *Pool) close(b *shared) {
	for {
		select {
		case page := <-b.closing:
			worn := page.dispose()
			p.put(b, worn || memory(b.cmd.Process.Pid) > wornMemory)
			<-p.slots
			continue
		case <-b.ended:
		}
		p.mu.Lock()
		done := b.open == 0
		p.mu.Unlock()
		if done {
			return
		}
		select { // pages of a browser that ended meanwhile
		case page := <-b.closing:
			page.dispose()
			p.put(b, true)
			<-p.slots
		case <-time.After(watchEvery): // one that was never opened may be the last
		}
	}
}

// put takes one user from a browser.
func (p *Pool) put(b *shared, worn bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.open--
	b.worn = b.worn || worn
	switch {
	case b.open == 0 && b.worn && p.current == b:
		p.retire()
	case b.open == 0 && b.worn:
		go b.stop()
	case b.open == 0 && p.current == b:
		p.rest()
	}
}

// alive reports whether the process runs and is connected.
func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	case <-p.gone:
		return false
	default:
		return true
	}
}
