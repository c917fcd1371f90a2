package agent

import (
	"sync"
	"time"
)

// slew is by which part of the time passed a clock that runs ahead falls back: an hour is made up in ten.
const slew = 10

// clock is the one clock of the agent: wall time that never goes back. It runs on the monotonic clock and follows the
// machine's wall clock: forwards at once; where that was set back it runs slower until both agree, so that no result,
// incident or notice is ever dated before one that came earlier. It is safe for concurrent use.
type clock struct {
	wall func() time.Time
	mono func() time.Duration // since the agent's start; does not jump

	mu    sync.Mutex
	base  time.Time     // the clock at `at`
	at    time.Duration // monotonic
	ahead time.Duration // of the wall clock, at `at`
	seen  time.Time     // wall clock at `at`
}

// skew is by how much the machine's clock is taken to be wrong: 0 but in tests of that.
var skew time.Duration

// newClock returns a clock on the machine's own.
func newClock() *clock {
	start := time.Now()
	return newClockOn(func() time.Time { return time.Now().Round(0).Add(skew) }, func() time.Duration { return time.Since(start) })
}

func newClockOn(wall func() time.Time, mono func() time.Duration) *clock {
	now := wall()
	return &clock{wall: wall, mono: mono, base: now.UTC(), at: mono(), seen: now}
}

// Now returns the agent's time, in UTC.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read(c.mono())
}

func (c *clock) read(mono time.Duration) time.Time {
	passed := mono - c.at
	return c.base.Add(passed - min(passed/slew, c.ahead))
}

// follow compares the wall clock with the monotonic one and returns by how much the wall clock jumped since it was called
// last: positive when the machine slept or the clock was set forward, negative when it was set back.
func (c *clock) follow() (jump time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := c.wall(), c.mono()
	jump = wall.Sub(c.seen) - (mono - c.at)
	now := c.read(mono)
	c.at, c.seen = mono, wall
	if wall.Before(now) {
		c.base, c.ahead = now, now.Sub(wall)
	} else {
		c.base, c.ahead = wall.UTC(), 0
	}
	return jump
}
