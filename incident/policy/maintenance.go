package policy

import (
	"slices"
	"time"
)

// Active returns the start and end of the window if it is open at now. zone is the one that the schedule is written in: a
// window at 22:00 begins at 22:00 there on both sides of a clock change, and lasts Duration of real time.
func (w Window) Active(now time.Time, zone *time.Location) (start, end time.Time, open bool) {
	// Next is exclusive, so the search begins just before the earliest start that could still be open.
	start = w.Schedule.Next(now.Add(-w.Duration).In(zone))
	for !start.IsZero() && !start.After(now) {
		next := w.Schedule.Next(start)
		if next.IsZero() || next.After(now) {
			return start.UTC(), start.Add(w.Duration).UTC(), true
		}
		start = next // windows that overlap are one that goes on
	}
	return time.Time{}, time.Time{}, false
}

// Spans returns the times between from and to in which the window is open, at most so many. Windows that overlap are one that goes on.
func (w Window) Spans(from, to time.Time, zone *time.Location, most int) []Span {
	var all []Span
	for start := w.Schedule.Next(from.Add(-w.Duration).In(zone)); !start.IsZero() && start.Before(to) && len(all) < most; start = w.Schedule.Next(start) {
		end := start.Add(w.Duration).UTC()
		if last := len(all) - 1; last >= 0 && !start.After(all[last].To) {
			all[last].To = end
			continue
		}
		all = append(all, Span{Name: w.Name, From: start.UTC(), To: end, Components: w.Components})
	}
	return all
}

// Covers reports whether the window is for that component.
func (w Window) Covers(component string) bool {
	return len(w.Components) == 0 || slices.Contains(w.Components, component)
}

// Span is maintenance that a person ordered for once. Like a window it suppresses the opening of incidents and never a close, and
// measuring goes on.
type Span struct {
	Name       string
	From, To   time.Time
	Components []string // empty: all
}

// Active reports whether the span is open at now.
func (s Span) Active(now time.Time) bool { return !now.Before(s.From) && now.Before(s.To) }

// Covers reports whether the span is for that component.
func (s Span) Covers(component string) bool {
	return len(s.Components) == 0 || slices.Contains(s.Components, component)
}
