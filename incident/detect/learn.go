package detect

import (
	"math"
	"slices"
)

// learn derives what is normal in the hour that begins from the baseline. It is the only work that grows with the baseline, and is
// done once an hour.
func (l *latency) learn() {
	n := &l.n
	*n = normal{base: math.NaN()}
	n.warming = l.base.hours < warmHours
	for i := range n.around {
		s := l.calendar.at(l.hour.start + int64(i-1)*3600)
		n.around[i] = l.base.centre(s.day, s.hour, s.rest)
	}
	like := l.base.like(l.hour.day, l.hour.rest)
	l.recall()
	n.young = len(l.base.days) < 4 || math.IsNaN(n.base) || like < 2 && !l.hour.rest || n.around[1].days == 0 && like >= 2
	n.unsure = like < 2 || n.around[1].days < 2
	if like < 2 && !n.young {
		l.guess()
		n.young = n.around[1].days == 0
	}
	l.limit()
}

// recall reads the hours back from the newest: the base now, the noise, the own peaks.
func (l *latency) recall() {
	n := &l.n
	var spread histogram
	var sure, all [tests]histogram
	var baseRoom [recentHours]float64
	var levelRoom [recentWithin]float64
	var latestRoom [creepHours]float64
	bases, levels, latest := baseRoom[:0], levelRoom[:0], latestRoom[:0]
	newest := math.NaN()
	l.base.back(l.hour, func(r *day, hour, ago int) bool {
		h := &r.hours[hour]
		valid := r.date*24+int32(hour) >= l.base.accepted
		if len(levels) < recentWithin && valid {
			levels = append(levels, h.ms())
		}
		if above, ok := l.base.shape(r, hour); ok && len(latest) < cap(latest) {
			latest = append(latest, h.ms()-above)
		}
		if h.is(slowHour) {
			return true
		}
		if ago == 1 && valid {
			newest = h.ms()
		}
		spread.add(h.spread)
		if len(bases) < recentHours && valid {
			if above, ok := l.base.shape(r, hour); ok {
				bases = append(bases, h.ms()-above)
			}
		}
		if h.is(touched) {
			return true
		}
		for i := range tests {
			if i == inARow || i == mostShort || !h.is(unsureHour) {
				sure[i].add(h.peaks[i])
			}
			all[i].add(h.peaks[i])
		}
		return ago < peakHours
	})
	n.sigma = spread.quantile(.5) / spreadUnit
	l.setLevels(bases, levels, newest)
	n.creep = math.Inf(-1)
	if len(latest) == creepHours && n.hasReference {
		n.creep = median(latest) - n.reference
	}
	for i := range tests {
		peaks := &sure[i]
		if peaks.n < youngHours {
			peaks = &all[i]
		}
		if peaks.n >= youngHours {
			n.own[i] = extrapolated(peaks, judges[i].own)
		}
	}
}

// extrapolated returns the peak that a probe passes about once in some thousand hours, if its hourly peaks are distributed as
// maxima are (Gumbel 1935): so many scales above the median. Three quantiles give the scale, so that neither a few bad hours nor
// a fifth of them blind the test.
func extrapolated(h *histogram, scales float64) float64 {
	const units = 1 / peakUnit
	m := h.quantile(.5)
	scale := ((h.quantile(.9)-m)/1.884 + (h.quantile(.8)-m)/1.133 + (h.quantile(.75)-m)/.879) / 3
	return max(units*(m+scales*scale)*(1+fewHours/float64(h.n)), .001)
}

// setLevels derives the base, how far it drifted, and the constant that stands for both while they are unknown.
func (l *latency) setLevels(bases, levels []float64, newest float64) {
	n := &l.n
	fresh := l.base.accepted != 0 && l.hour.index()-l.base.accepted <= recentWithin
	switch {
	case len(levels) > 0:
		slices.Sort(levels)
		n.constant = quantile(levels, .9)
		if newest > n.constant { // the first rise of a first working day, but not a doubling
			n.constant = min(newest, n.constant+math.Log(stepMost))
		}
	case !fresh:
		n.warming = true
	}
	if fresh {
		n.constant = max(n.constant, float64(l.base.level)) // of which few hours tell yet, or none
	}
	switch {
	case len(bases) >= 6:
		slices.Sort(bases)
		n.base = quantile(bases, .5)
	case fresh:
		n.base = float64(l.base.level)
	}
	var room [creepBases]float64
	days := room[:0]
	for i := len(l.base.days) - 1; i >= 0 && len(days) < creepBases; i-- {
		r := &l.base.days[i]
		if r.date < l.hour.day && r.based() && r.date*24 >= l.base.accepted {
			days = append(days, float64(r.base))
		}
	}
	if len(days) >= 2 && !math.IsNaN(n.base) {
		slices.Sort(days)
		n.reference, n.hasReference = quantile(days, .5), true
		n.drift = n.base - n.reference
	}
}

// guess replaces the shape of a kind of day that was not seen yet, a first weekend, by that of the other kind, damped as far as
// today has followed it.
func (l *latency) guess() {
	const first, prior = .5, .01
	followed, stood := prior*first, prior
	l.base.back(l.hour, func(r *day, hour, ago int) bool {
		if ago > 5 || r.rest != l.hour.rest {
			return false
		}
		if c := l.base.centre(r.date, hour, !r.rest); c.days > 0 && !r.hours[hour].is(slowHour) {
			followed += c.above * (r.hours[hour].ms() - l.n.base)
			stood += c.above * c.above
		}
		return true
	})
	damped := min(max(followed/stood, 0), 1.2)
	for i := range l.n.around {
		s := l.calendar.at(l.hour.start + int64(i-1)*3600)
		c := l.base.centre(s.day, s.hour, !l.hour.rest)
		c.above *= damped
		l.n.around[i] = c
	}
}

// floor is the smallest rise that matters to a person: as a ratio, and as a time, which no cap cuts.
func (l *latency) floor(test int) (ratio, felt float64) {
	ratio = judges[test].floor
	if l.slowRatio > 1 {
		ratio = 1 + (ratio-1)*(l.slowRatio-1)/(judges[longMean].floor-1)
	}
	if l.slowBy > 0 && !l.n.warming {
		if expected := l.expected(l.hour.start + 1800); expected == expected {
			felt = math.Log1p(milliseconds(l.slowBy) / math.Exp(expected))
		}
	}
	return math.Log(ratio), felt
}

// limit sets the limits of the hour: the largest of what matters, what noise does and what this probe does itself, and never more
// than the cap.
func (l *latency) limit() {
	n := &l.n
	slope := 0.
	if a := &n.around; !n.unsure && a[0].days > 0 && a[2].days > 0 {
		slope = slopeShare * max(math.Abs(a[2].above-a[1].above), math.Abs(a[1].above-a[0].above))
	}
	for i := range tests {
		j := &judges[i]
		least, felt := l.floor(i)
		x, by := least, byFloor
		if noise := sigmas * n.sigma * math.Sqrt(math.Pi/2/float64(j.size)); noise > x {
			x, by = noise, byNoise
		}
		if n.own[i] > x {
			x, by = n.own[i], byHistory
		}
		x += slope
		if n.unsure && !n.young {
			x, by = x*guessed, byLearning
		}
		if most := max(math.Log(j.cap), least); x > most {
			x, by = most, byCap
		}
		if n.young || n.own[i] == 0 {
			young := math.Log(j.young)
			if l.base.hours < youngHours {
				young = max(young+.2, math.Ln2)
			}
			if young > x {
				x, by = young, byLearning
			}
		}
		if felt > x {
			x, by = felt, byFloor
		}
		n.limits[i], n.by[i] = x, by
	}
	n.plain = n.limits
	l.allow()
}

// allow raises the limits to what is usual now and then at this hour, or was in the hour before, which the windows still hold.
func (l *latency) allow() {
	s := l.hour
	usual := l.base.usual(s.day, s.hour, s.rest)
	if s.hour > 0 {
		usual = max(usual, l.base.usual(s.day, s.hour-1, s.rest))
	}
	for i := range l.n.limits {
		if usual > l.n.limits[i] {
			l.n.limits[i], l.n.by[i] = usual, byUsual
		}
	}
}
