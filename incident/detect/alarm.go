package detect

import "math"

// alarm is a regression that lasts. The zero value is none.
type alarm struct {
	on      bool
	test    int   // that saw it first
	since   int64 // Unix seconds of the sample that raised it
	onset   int64 // dated back
	again   int64 // onset of its newest active stretch
	quiet   int   // good samples since it was last active
	still   int64 // Unix seconds of the first of them; 0: it is active
	active  int   // samples of the active stretch
	lasting int64 // Unix seconds since when there are samples of it without a gap; 0: since the next one
	slow    int64 // Unix seconds of the newest sample at which the short window was slow
	stretch int   // active stretches so far
}

// isQuiet reports whether nothing has been slow for long enough to say so.
func (a *alarm) isQuiet() bool { return a.quiet >= 3 }

// fast reports whether the short and the middle window are back near what is expected.
func (l *latency) fast() bool {
	half := l.n.limits[longMean] / 2
	mid := l.win.sorted(1)
	off := 0.
	if l.alarm.test == slowCreep {
		off = l.n.drift
	}
	return l.short() < half && (len(mid) == 0 || mid.median()+off < half)
}

// move begins, quiets, rouses or ends the alarm. over is the test that is passed, or -1.
func (l *latency) move(t int64, over int, s *step) {
	a := &l.alarm
	if !a.on {
		if over >= 0 {
			onset := l.onset(t, over)
			*a = alarm{on: true, test: over, since: t, onset: onset, again: onset, stretch: 1, lasting: t, slow: t}
		}
		return
	}
	if a.lasting == 0 {
		a.lasting = t
	}
	if l.short() >= l.n.limits[longMean]/2 {
		a.slow = t
	}
	if l.fast() {
		if a.quiet == 0 {
			a.still = max(l.recovery(t), a.again)
		}
		a.quiet++
	} else {
		if a.isQuiet() {
			a.active, a.again, a.lasting = 0, max(l.onset(t, a.test), a.still), t
			a.stretch++
		}
		a.quiet, a.still = 0, 0
		a.active++
	}
	hold := quietShort
	if a.active >= longActive {
		hold = quietLong
	}
	switch {
	case a.quiet >= hold, a.quiet >= quietLong && t-a.still >= quietMost:
		*a = alarm{}
		l.win.clear() // the long window still holds what is over
	case a.quiet == 0 && t-a.lasting >= acceptAfter*3600 && l.win.n >= longWindow*3/4 && l.settled():
		l.accept(l.win.sorted(len(sizes) - 1).median())
		s.accepted = true
	}
}

// accept takes a level above the expected one as normal.
func (l *latency) accept(above float64) {
	level := l.n.constant
	if !l.n.young {
		level = l.n.base
	}
	level += above
	l.base.accepted, l.base.level, l.base.changed = l.hour.index(), float32(level), true
	l.alarm = alarm{}
	l.win.clear()
	l.learn()
}

// settled reports whether the level is where it was half a day ago: what still rises is not taken as normal.
func (l *latency) settled() bool {
	const few, before, steady = 3, acceptAfter / 2, .05
	var now, then [few]float64
	n, m := 0, 0
	l.base.back(l.hour, func(r *day, hour, ago int) bool {
		c, ok := l.base.shape(r, hour)
		switch x := r.hours[hour].ms() - c; {
		case !ok:
		case ago <= few:
			now[n] = x
			n++
		case ago > before && ago <= before+few:
			then[m] = x
			m++
		}
		return ago < before+few
	})
	return n == 0 || m == 0 || math.Abs(median(now[:n])-median(then[:m])) < steady
}

// acceptNow takes the level of the newest runs as normal, where there are enough of them: who decides that may do so minutes after
// the change.
func (l *latency) acceptNow() bool {
	if l.n.warming || l.win.n < fewest || math.IsNaN(l.n.base) && !l.n.young {
		return false
	}
	l.accept(l.win.sorted(0).median())
	return true
}

// onset dates a rise back to where the level changed: by the change that was declared last, where that is a rise and lies in the
// windows, otherwise by the single step from the expected level to the one measured now that fits the windows best.
func (l *latency) onset(t int64, test int) int64 {
	if test == slowCreep {
		return l.creepOnset(t)
	}
	if l.win.n == 0 {
		return t
	}
	if c := l.changes.Last(); c.After > c.Before && c.Onset >= l.win.time(l.win.n) && c.Onset <= t {
		return c.Onset
	}
	level := l.short()
	best, sum, at := 0., 0., 1
	for k := 1; k <= l.win.n && level > 0; k++ {
		sum += min(float64(l.win.newest(k)), level) - level/2
		if sum > best {
			best, at = sum, k
		}
	}
	return l.win.time(at)
}

// creepOnset dates a creep back to the hour from which on the level has stood above that of the days before it by a fifth of what it
// does now.
func (l *latency) creepOnset(t int64) int64 {
	if l.alarm.on {
		return l.alarm.onset
	}
	share := (l.n.drift + max(l.short(), 0)) / 5
	reference, onset, gap := l.n.base-l.n.drift, l.hour.start, 0
	l.base.back(l.hour, func(r *day, hour, ago int) bool {
		c, ok := l.base.shape(r, hour)
		if ok && r.hours[hour].ms()-c-reference >= share {
			onset, gap = l.hour.start-int64(ago)*3600, 0
		} else {
			gap++
		}
		return gap < 3 && ago < recentWithin
	})
	return min(onset, t)
}

// recovery dates the end of a rise back: the newest samples that best fit the expected level and no other.
func (l *latency) recovery(t int64) int64 {
	half := l.n.limits[longMean] / 2
	best, sum, at := 0., 0., 1
	for k := 1; k <= l.win.n; k++ {
		sum += min(max(half-float64(l.win.newest(k)), -2*half), 2*half)
		if sum > best {
			best, at = sum, k
		}
		if sum < best-3*half {
			break // what is slow, so all that is older
		}
	}
	if l.win.n == 0 {
		return t
	}
	return l.win.time(at)
}
