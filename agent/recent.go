package agent

import (
	"slices"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// recentResults is how many results of a probe are held in memory for the page.
const recentResults = 60

// filesFor is how long the files of a failing result are held once the probe is good again: a failure may still be confirmed.
const filesFor = 10 * time.Minute

// recent holds the newest results of a probe: the last one whole, the others in 16 bytes each. The zero value is empty. It is
// safe for concurrent use.
type recent struct {
	mu   sync.Mutex
	ring []brief // grows to recentResults, then turns
	next int
	last probes.Result // without its files

	files    []probes.Attachment // of the newest failing result that has any
	filesEnd time.Time           // of that result
}

// brief is what the outcome bars need of a result.
type brief struct {
	start    int64  // Unix milliseconds
	duration uint32 // microseconds; more than 71 minutes are cut
	outcome  probes.Outcome
	reason   uint8 // index in probes.Reasons plus one; 0: none
	flags    uint8
}

const (
	flagRecheck = 1 << iota
	flagLagging
)

// add keeps a result.
func (r *recent) add(result *probes.Result) {
	b := brief{
		start:    result.Start.UnixMilli(),
		duration: uint32(min(result.Duration.Microseconds(), 1<<32-1)),
		outcome:  result.Outcome,
		reason:   uint8(slices.Index(probes.Reasons, result.Reason) + 1),
	}
	if result.Recheck {
		b.flags |= flagRecheck
	}
	if result.Lagging {
		b.flags |= flagLagging
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = *result
	r.last.Attachments = nil
	switch up := result.Outcome == probes.Up; {
	case !up && len(result.Attachments) > 0:
		r.files, r.filesEnd = result.Attachments, result.End()
	case up && result.Start.Sub(r.filesEnd) > filesFor:
		r.files = nil
	}
	if len(r.ring) < recentResults {
		r.ring = append(r.ring, b)
		return
	}
	r.ring[r.next] = b
	r.next = (r.next + 1) % recentResults
}

// results returns what is held, oldest first; only the newest one is whole.
func (r *recent) results(probe string) []probes.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) == 0 {
		return nil
	}
	all := make([]probes.Result, 0, len(r.ring))
	for i := range r.ring {
		b := r.ring[(r.next+i)%len(r.ring)]
		result := probes.Result{
			Probe: probe, Start: time.UnixMilli(b.start).UTC(), Duration: time.Duration(b.duration) * time.Microsecond,
			Outcome: b.outcome, Recheck: b.flags&flagRecheck != 0, Lagging: b.flags&flagLagging != 0,
		}
		if b.reason > 0 {
			result.Reason = probes.Reasons[b.reason-1]
		}
		all = append(all, result)
	}
	all[len(all)-1] = r.last
	return all
}

// failing returns the files of the newest failing result that has any; none once it has been good for a while.
func (r *recent) failing() []probes.Attachment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.files)
}

// any reports whether there is a result at all.
func (r *recent) any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ring) > 0
}
