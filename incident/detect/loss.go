package detect

import (
	"math"
	"math/bits"
	"time"
)

const (
	falseAMonth = .002 // outages called in a month of one probe because losses fell together by chance, at most
	burstAMonth = .2   // and because they come in bursts: such a burst is seen by users too
	priorRuns   = 300  // runs, of which a thousandth is lost, that stand for what is not known yet of a path; until then one more is asked
	goodPath    = .003 // share of runs lost up to which a path loses next to nothing
	priorLoss   = .001
	priorPairs  = 50     // losses that stand for what is not known of their company
	mostRuns    = 50_000 // then the counts are halved, so that a path may change
	leastInARow = 3
	mostInARow  = 6
	recentRuns  = 10 // of which leastOfRecent fail in a flaky outage
	leastRecent = 7
	mostRecent  = 9
	longRuns    = 30 // of which momentaryRuns fail where a target fails now and then
	momentary   = 8
	clearedRuns = 3 // of longRuns that may still fail when that is over
)

// Loss is what is known of a path's own loss: how many scheduled runs fail that no outage explains, and in what company. Losses come
// in bursts (Gilbert 1960, Elliott 1963), so that two in a row are likelier than the square of one. The zero value knows nothing.
type Loss struct {
	Runs    float64   `json:"runs,omitempty"`
	Lost    float64   `json:"lost,omitempty"`
	Pairs   float64   `json:"pairs,omitempty"`   // lost after a lost one
	Open    int       `json:"open,omitempty"`    // failures in a row that are not explained yet
	History uint32    `json:"history,omitempty"` // the newest 30 scheduled runs, the newest lowest; 1 is a failure
	Known   int       `json:"known,omitempty"`   // of them
	Every   float64   `json:"every,omitempty"`   // seconds between scheduled runs, about
	Last    time.Time `json:"last,omitzero"`     // start of the newest scheduled run
	Refuted time.Time `json:"refuted,omitzero"`  // start of the newest re-probe that was answered
}

// scheduled takes a scheduled run.
func (l *Loss) scheduled(failed bool, start time.Time) {
	if gap := start.Sub(l.Last).Seconds(); !l.Last.IsZero() && gap > 0 {
		if l.Every == 0 || gap < l.Every {
			l.Every = gap
		} else {
			l.Every += min(gap/l.Every-1, .05) * l.Every
		}
	}
	l.Last = start
	l.History <<= 1
	l.Known = min(l.Known+1, longRuns)
	if failed {
		l.History |= 1
		l.Open++
		return
	}
	l.Runs++
	l.settle()
}

// settle counts the failures in a row before a good run: they were no outage.
func (l *Loss) settle() {
	if l.Open > 0 {
		l.Runs += float64(l.Open)
		l.Lost += float64(l.Open)
		l.Pairs += float64(l.Open - 1)
		l.Open = 0
	}
	if l.Runs > mostRuns {
		l.Runs, l.Lost, l.Pairs = l.Runs/2, l.Lost/2, l.Pairs/2
	}
}

// explained drops the failures in a row: an outage explains them.
func (l *Loss) explained() { l.Open = 0 }

// rates returns the share of runs that are lost, and of those after a lost one.
func (l *Loss) rates() (lost, after float64) {
	lost = (l.Lost + priorLoss*priorRuns) / (l.Runs + priorRuns)
	return lost, max(lost, (l.Pairs+lost*priorPairs)/(l.Lost+priorPairs))
}

// inARow returns how many failures in a row the path's own loss cannot explain.
func (l *Loss) inARow() int {
	lost, after := l.rates()
	alone := l.aMonth() * math.Pow(lost, leastInARow)
	burst := l.aMonth() * lost * math.Pow(after, leastInARow-1)
	k := leastInARow
	for ; k < mostInARow && (alone > falseAMonth || burst > burstAMonth); k++ {
		alone *= lost
		burst *= after
	}
	if l.Runs < priorRuns {
		return max(k, leastInARow+1)
	}
	return k
}

// ofRecent returns how many failures among the newest ten the path's own loss cannot explain.
func (l *Loss) ofRecent() int {
	lost, _ := l.rates()
	m := leastRecent
	for ; m < mostRecent; m++ {
		ways := [...]float64{leastRecent: 120, 8: 45}[m]
		if l.aMonth()*ways*math.Pow(lost, float64(m)) <= falseAMonth {
			break
		}
	}
	return m
}

// aMonth returns how many scheduled runs a month has; while the interval is not known, those of one a minute.
func (l *Loss) aMonth() float64 {
	const month, minute = 30 * 24 * 3600, 60
	if l.Every <= 0 {
		return month / minute
	}
	return month / l.Every
}

// failed returns how many of the newest n scheduled runs failed.
func (l *Loss) failed(n int) int { return bits.OnesCount32(l.History & (1<<n - 1)) }

// firstFailed returns about when the oldest failure among the newest n scheduled runs began, where the newest began at now.
func (l *Loss) firstFailed(n int, now time.Time) time.Time {
	ago := max(bits.Len32(l.History&(1<<n-1))-1, 0)
	return now.Add(-time.Duration(float64(ago) * l.Every * float64(time.Second))).Truncate(time.Millisecond)
}

// flaky reports whether so many of the newest scheduled runs failed that there is an outage which lets some through, and of how
// many: of ten; or all but one of as many as confirm an outage and one more, where the path loses next to nothing and no re-probe
// was answered in between.
func (l *Loss) flaky(confirm int, now time.Time) (of int, ok bool) {
	if l.Known >= recentRuns && l.failed(recentRuns) >= l.ofRecent() {
		return recentRuns, true
	}
	few := confirm + 1
	lost, _ := l.rates()
	if confirm < leastInARow || l.Known < few || l.failed(few) < confirm || !l.firstFailed(few, now).After(l.Refuted) {
		return 0, false
	}
	return few, lost < goodPath && float64(few)*l.aMonth()*math.Pow(lost, float64(confirm)) <= falseAMonth
}

// forget drops what was not explained when the agent slept or could not see.
func (l *Loss) forget() { l.Open, l.History, l.Known = 0, 0, 0 }

// rewind makes the state fit a clock that was set back.
func (l *Loss) rewind(now time.Time) {
	for _, t := range []*time.Time{&l.Last, &l.Refuted} {
		if t.After(now) {
			*t = time.Time{}
		}
	}
}
