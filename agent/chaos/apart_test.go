//go:build servers && linux

package chaos

import (
	"testing"
	"time"
)

// What the other test judges by: when two outages are two.
func TestOutagesThatCanBeToldApart(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
	}
	type spell struct{ from, to float64 } // to 0: it lasts
	for name, c := range map[string]struct {
		aarhus, berlin, cork []spell
		opened               float64
		want                 int
	}{
		"one that all see": {[]spell{{0, 10}}, []spell{{0, 10}}, []spell{{0, 10}}, 20, 1},
		"two":              {[]spell{{0, 10}, {11, 20}}, []spell{{0, 10}, {11, 20}}, []spell{{0, 10}, {11, 20}}, 20, 2},
		"two, and the case was there before the second":   {[]spell{{0, 10}, {11, 20}}, nil, nil, 10.5, 1},
		"another vantage's, of which nobody could know":   {[]spell{{5, 9.1}}, []spell{{8.5, 16.5}}, nil, 24, 2},
		"another vantage's, which was known":              {[]spell{{0, 4}}, []spell{{1, 8}}, nil, 20, 1},
		"a third that did not see the end of the first":   {[]spell{{0, 4}}, []spell{{3, 8}}, []spell{{0, 8}}, 20, 1},
		"one that lasts, and another's beside it":         {[]spell{{0, 0}}, []spell{{3, 5}, {7, 9}}, nil, 20, 1},
		"brief ones, which somebody may have known of":    {[]spell{{0, 1}}, []spell{{5, 6}}, nil, 20, 2},
		"a brief one within a longer one":                 {[]spell{{0, 10}}, []spell{{5, 6}}, nil, 20, 1},
		"one that ends as a brief one begins, after that": {[]spell{{0, 5}}, []spell{{4.5, 5.5}}, nil, 20, 2},
	} {
		w := &world{spells: map[*agent][]outage{}}
		for _, list := range [][]spell{c.aarhus, c.berlin, c.cork} {
			a := &agent{}
			for _, s := range list {
				o := outage{from: at(s.from)}
				if s.to > 0 {
					o.to = at(s.to)
				}
				w.spells[a] = append(w.spells[a], o)
			}
		}
		if got := w.apart(at(c.opened)); got != c.want {
			t.Errorf("%s: %d outages, want %d", name, got, c.want)
		}
	}
}
