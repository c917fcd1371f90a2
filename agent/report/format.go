package report

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
)

// words writes words and figures in one language. Its keys are the English words themselves.
type words struct {
	code   string
	zone   *time.Location
	danish map[string]string // nil: English
	lacks  func(string)      // told of a key without a translation; may be nil
}

func newWords(code string, zone *time.Location) *words {
	w := &words{code: code, zone: zone}
	if code == "da" {
		w.danish = danish
	}
	return w
}

// say returns English words in the language, with arguments as fmt has them.
func (w *words) say(english string, args ...any) string {
	text := english
	if w.danish != nil {
		if own, ok := w.danish[english]; ok {
			text = own
		} else if w.lacks != nil {
			w.lacks(english)
		}
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

func (w *words) decimal(text string) string {
	if w.danish != nil {
		return strings.Replace(text, ".", ",", 1)
	}
	return text
}

// percent writes a share with three decimals. What is over is cut off, not rounded: only what is complete is 100 %, and only nothing
// is 0 %.
func (w *words) percent(s Share) string {
	if !s.Known() {
		return "–"
	}
	part := min(max(s.Part, 0), s.Whole)
	if part == s.Whole {
		return "100 %"
	}
	if part == 0 {
		return "0 %"
	}
	high, low := bits.Mul64(uint64(part), 100_000)
	cut, _ := bits.Div64(high, low, uint64(s.Whole)) // below 100,000, as part is below the whole
	if cut == 0 {
		return w.decimal("< 0.001 %")
	}
	return w.decimal(fmt.Sprintf("%d.%03d %%", cut/1000, cut%1000))
}

// span writes a duration in days, hours, minutes and seconds, rounded to the second from a minute on.
func (w *words) span(s Seconds) string {
	d := time.Duration(s)
	if d == 0 {
		return "0 " + w.say("s")
	}
	if d < 0 {
		return "−" + w.span(-s)
	}
	if d < time.Minute {
		if rounded := d.Round(100 * time.Millisecond); rounded < time.Minute && rounded > 0 {
			return w.decimal(strconv.FormatFloat(rounded.Seconds(), 'f', -1, 64)) + " " + w.say("s")
		} else if rounded == 0 {
			return w.latency(s)
		}
	}
	d = d.Round(time.Second)
	const day = 24 * time.Hour
	var parts []string
	for _, p := range []struct {
		n    time.Duration
		unit string
	}{{d / day, "d"}, {d % day / time.Hour, "h"}, {d % time.Hour / time.Minute, "min"}, {d % time.Minute / time.Second, "s"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, w.say(p.unit)))
		}
	}
	return strings.Join(parts, " ")
}

// latency writes a short time with three digits.
func (w *words) latency(s Seconds) string {
	d := time.Duration(s)
	number := func(unit time.Duration, name string) string {
		value := float64(d) / float64(unit)
		digits := 0
		switch {
		case value < 10:
			digits = 2
		case value < 100:
			digits = 1
		}
		return w.decimal(strconv.FormatFloat(value, 'f', digits, 64)) + " " + name
	}
	switch {
	case d == 0:
		return "0 s"
	case d < time.Millisecond:
		return number(time.Microsecond, "µs")
	case d < time.Second:
		return number(time.Millisecond, "ms")
	}
	return number(time.Second, "s")
}

// latencyOr writes a short time that may be unknown.
func (w *words) latencyOr(s *Seconds) string {
	if s == nil {
		return "–"
	}
	return w.latency(*s)
}

// at writes an instant to the second in the tenant's zone, with the zone's name: on the night on which the clocks go back an hour
// comes twice.
func (w *words) at(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return w.date(t) + " " + w.clock(t)
}

// short writes the same without the year, for what the period tells it.
func (w *words) short(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	t = t.In(w.zone)
	if w.danish != nil {
		return fmt.Sprintf("%d. %s %s", t.Day(), w.say(t.Format("Jan")), w.clock(t))
	}
	return t.Format("2 Jan ") + w.clock(t)
}

func (w *words) clock(t time.Time) string {
	if w.danish != nil {
		return t.In(w.zone).Format("15.04.05 MST")
	}
	return t.In(w.zone).Format("15:04:05 MST")
}

// date writes a day.
func (w *words) date(t time.Time) string {
	t = t.In(w.zone)
	if w.danish != nil {
		return fmt.Sprintf("%d. %s %d", t.Day(), w.say(t.Format("Jan")), t.Year())
	}
	return t.Format("2 Jan 2006")
}

// month writes a month and its year.
func (w *words) month(t time.Time) string {
	t = t.In(w.zone)
	return fmt.Sprintf("%s %d", w.say(t.Format("January")), t.Year())
}

func (w *words) priority(p incident.Priority) string {
	if p == incident.NoPriority {
		return "–"
	}
	return fmt.Sprintf("%d %s", uint8(p), w.say(p.Name()))
}

// title returns an incident's title as the customer's mails have it.
func (w *words) title(title string) string { return reconcile.Problem(w.code, title) }

func (w *words) count(n int) string { return strconv.Itoa(n) }
