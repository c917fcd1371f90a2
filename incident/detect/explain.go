package detect

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// testNames are how an incident.Latency names what passed its limit.
var testNames = [...]string{inARow: "in-a-row", mostShort: "short", midMedian: "mid", longMean: "long", slowCreep: "creep"}

// termNames are how an incident.Latency names what set a limit.
var termNames = [...]string{byFloor: "floor", byNoise: "noise", byHistory: "history", byCap: "cap", byLearning: "learning", byUsual: "usual"}

// explain says what the alarm rests on now.
func (l *latency) explain() *incident.Latency {
	a, n := &l.alarm, &l.n
	expected := l.expected(l.last)
	limitOf := min(a.test, longMean)
	limit, by := n.limits[limitOf], n.by[limitOf]
	if a.test == slowCreep {
		expected -= n.drift
		limit = l.creepLimit()
	}
	short := l.win.sorted(0)
	e := &incident.Latency{
		Phase: l.phase, Test: testNames[a.test], Runs: len(short), Span: l.span(len(short)),
		Expected: fromLog(expected), Hour: fmt.Sprintf("%s %d h", l.hour.weekday.String()[:3], l.hour.hour), Days: n.around[1].days,
		Limit: math.Exp(limit), LimitBy: termNames[by], Stretch: a.stretch, Onset: time.Unix(a.onset, 0).UTC(), Learnt: l.base.based(),
	}
	if n.young || n.unsure {
		e.Days = 0
	}
	if len(short) > 0 {
		e.Ratio = math.Exp(l.short())
		e.Median = fromLog(expected + l.short())
	}
	mid := l.win.sorted(1)
	e.Of = len(mid)
	for _, x := range mid {
		if float64(x)+(l.expected(l.last)-expected) > limit {
			e.Over++
		}
	}
	e.Where = l.where()
	return e
}

// span returns how long the newest n samples are, each counted with the time before it.
func (l *latency) span(n int) time.Duration {
	if n == 0 {
		return 0
	}
	return time.Duration(l.last-l.win.time(n)+l.interval()) * time.Second
}

// where returns the phases that take longer than is normal, the largest increase first.
func (l *latency) where() []incident.PhaseChange {
	var all []incident.PhaseChange
	for i, name := range l.base.phases {
		p := &l.phases[i]
		usual, ok := l.base.phaseLevel(i, l.hour)
		if !ok || p.n == 0 {
			continue
		}
		var room [shortWindow]int16
		newest := room[:0]
		for k := 1; k <= min(p.n, shortWindow); k++ {
			newest = append(newest, p.ring[(p.next-k+midWindow)%midWindow])
		}
		c := incident.PhaseChange{Phase: name, Median: fromLog(float64(median(newest)) / logUnit), Expected: fromLog(usual)}
		if c.Median > c.Expected {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b incident.PhaseChange) int {
		return cmp.Compare(b.Median-b.Expected, a.Median-a.Expected)
	})
	return all
}

// Explain puts a regression into one sentence: what is measured, what would be normal and by what right, what limit that passed and
// why it is the limit, since when, and where the time goes. at is when it was measured.
func Explain(e *incident.Latency, at time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: median of the last %d runs (%s) %s, normal for this hour (%s) %s", e.Phase, e.Runs, span(e.Span), short(e.Median), e.Hour, short(e.Expected))
	switch {
	case e.Test == testNames[slowCreep]:
		fmt.Fprintf(&b, " by the last %d days", creepBases)
	case e.Days > 0:
		fmt.Fprintf(&b, " by %d %s like it", e.Days, plural(e.Days, "day"))
	default:
		fmt.Fprintf(&b, " as far as is known (learning, %d of %d days)", min(e.Learnt, learnDays), learnDays)
	}
	fmt.Fprintf(&b, ", %.2f x; passed %.2f x for %s (%s)", e.Ratio, e.Limit, testWords[e.Test], termWords[e.LimitBy])
	fmt.Fprintf(&b, "; since about %s; %d of the last %d runs over it", clockAt(e.Onset, at), e.Over, e.Of)
	if e.Stretch > 1 {
		fmt.Fprintf(&b, "; slow for the %s time since then", ordinal(e.Stretch))
	}
	if text := whereText(e); text != "" {
		b.WriteString("; " + text)
	}
	return b.String()
}

var testWords = map[string]string{
	"in-a-row": "4 runs in a row", "short": "6 of 7 runs", "mid": "the median of 20 runs", "long": "the mean of 60 runs", "creep": "a rise over days",
}

var termWords = map[string]string{
	"floor": "the least that matters", "noise": "by its noise", "history": "by its own worst hours", "cap": "the most that is ever asked", "learning": "wide while it learns", "usual": "by what is usual at this hour",
}

// clockAt prints an instant as it is read at another: with its date when that is not plain.
func clockAt(t, at time.Time) string {
	if at.Sub(t) < 12*time.Hour {
		return clock(t)
	}
	return t.UTC().Format("Mon 2 Jan 15:04:05 UTC")
}

// whereText says which phases took the time, as far as they make up a tenth of it.
func whereText(e *incident.Latency) string {
	more := e.Median - e.Expected
	var parts []string
	for _, c := range e.Where {
		if d := c.Median - c.Expected; more > 0 && d >= more/10 && len(parts) < 3 {
			parts = append(parts, fmt.Sprintf("%s %s more (%s, normally %s)", c.Phase, short(d), short(c.Median), short(c.Expected)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("of the %s more: %s", short(more), strings.Join(parts, ", "))
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func ordinal(n int) string {
	switch {
	case n%100/10 == 1:
	case n%10 == 1:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}

// span prints a time without needless zeros.
func span(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = text[:len(text)-2]
	}
	if strings.HasSuffix(text, "h0m") {
		text = text[:len(text)-2]
	}
	return text
}
