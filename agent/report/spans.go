package report

import (
	"slices"
	"time"
)

// Span is a time; From is inclusive, To exclusive.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Len returns how long the span is; 0 of one that ends before it begins.
func (s Span) Len() time.Duration { return max(0, s.To.Sub(s.From)) }

// spans are in order, apart, and none of them is empty. The zero value covers nothing.
type spans []Span

// unite returns what at least one of the spans covers, in whatever order they come.
func unite(all ...Span) spans {
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b Span) int { return a.From.Compare(b.From) })
	var united spans
	for _, s := range sorted {
		last := len(united) - 1
		switch {
		case s.Len() == 0:
		case last >= 0 && !s.From.After(united[last].To):
			if s.To.After(united[last].To) {
				united[last].To = s.To
			}
		default:
			united = append(united, s)
		}
	}
	return united
}

// or returns what s or o covers.
func (s spans) or(o spans) spans { return unite(slices.Concat(s, o)...) }

// and returns what both s and o cover.
func (s spans) and(o spans) spans {
	var both spans
	for i, j := 0, 0; i < len(s) && j < len(o); {
		common := Span{later(s[i].From, o[j].From), earlier(s[i].To, o[j].To)}
		if common.Len() > 0 {
			both = append(both, common)
		}
		if s[i].To.Before(o[j].To) {
			i++
		} else {
			j++
		}
	}
	return both
}

// less returns what s covers and o does not.
func (s spans) less(o spans) spans {
	var left spans
	j := 0
	for _, span := range s {
		from := span.From
		for ; j < len(o) && !o[j].To.After(from); j++ {
		}
		for k := j; k < len(o) && o[k].From.Before(span.To); k++ {
			if o[k].From.After(from) {
				left = append(left, Span{from, o[k].From})
			}
			from = later(from, o[k].To)
		}
		if from.Before(span.To) {
			left = append(left, Span{from, span.To})
		}
	}
	return left
}

// length returns how much time s covers.
func (s spans) length() time.Duration {
	var sum time.Duration
	for _, span := range s {
		sum += span.Len()
	}
	return sum
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// cover gathers spans that come nearly in order.
type cover struct{ list []Span }

func (c *cover) add(s Span) {
	if last := len(c.list) - 1; last >= 0 && !s.From.Before(c.list[last].From) && !s.From.After(c.list[last].To) {
		c.list[last].To = later(c.list[last].To, s.To)
		return
	}
	c.list = append(c.list, s)
}

func (c *cover) spans() spans { return unite(c.list...) }
