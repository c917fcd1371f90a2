package web

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// clock writes t as people say it on the telephone: the time alone today, with the day otherwise. The zero time is "-".
func clock(t, now time.Time, zone *time.Location) string { return writeTime(t, now, zone, "15:04") }

// precise is clock with seconds.
func precise(t, now time.Time, zone *time.Location) string {
	return writeTime(t, now, zone, "15:04:05")
}

func writeTime(t, now time.Time, zone *time.Location, layout string) string {
	if t.IsZero() {
		return "-"
	}
	t, now = t.In(zone), now.In(zone)
	switch {
	case t.Year() == now.Year() && t.YearDay() == now.YearDay():
		return t.Format(layout)
	case t.Year() == now.Year():
		return t.Format("Mon 2 Jan " + layout)
	}
	return t.Format("2 Jan 2006 " + layout)
}

// span writes a duration to at most two units, rounded down: nobody counts the seconds of an hour.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "0 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 24*time.Hour:
		return units(d, time.Hour, "h", time.Minute, "min")
	}
	return units(d, 24*time.Hour, "d", time.Hour, "h")
}

func units(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	if rest := d % big / small; rest > 0 {
		return fmt.Sprintf("%d %s %d %s", d/big, bigName, rest, smallName)
	}
	return fmt.Sprintf("%d %s", d/big, bigName)
}

// exact writes a duration to the second, for what is counted against the contract.
func exact(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	d = d.Round(time.Second)
	var parts []string
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if n := d / u.size; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			d %= u.size
		}
	}
	if len(parts) == 0 {
		return "0 s"
	}
	return strings.Join(parts, " ")
}

// latency writes a measured duration with three digits that matter.
func latency(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// few joins names as a sentence does, at most four of them.
func few(names []string) string {
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return names[0]
	case n > 4:
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", n-3)
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// clean makes remote text fit to read: control and format characters (which can hide or reverse what stands beside them) are
// written out. Line ends become spaces.
func clean(text string) string {
	if strings.IndexFunc(text, unfit) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n', r == '\t':
			b.WriteByte(' ')
		case r == '\r':
		case unfit(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unfit(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar
}

// cleanLines is clean for a text of several lines.
func cleanLines(text string) string {
	all := strings.Split(text, "\n")
	for i := range all {
		all[i] = clean(all[i])
	}
	return strings.Join(all, "\n")
}

// named puts a name before what it says, unless that names it already.
func named(name, text string) string {
	if strings.Contains(text, `"`+name+`"`) {
		return clean(text)
	}
	return clean(name) + ": " + clean(text)
}

// bounded cuts text after so many characters, visibly.
func bounded(text string, most int) string {
	n := 0
	for i := range text {
		if n == most {
			return text[:i] + "…"
		}
		n++
	}
	return text
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
