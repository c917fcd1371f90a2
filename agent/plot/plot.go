// Package plot draws how long something took over time, what was normal, and what was judged: one renderer for the page, mails,
// cases and replay.
package plot

import (
	"fmt"
	"time"

	"github.com/go-analyze/charts"
)

// Format of a picture.
type Format string

// The formats.
const (
	PNG Format = "png"
	SVG Format = "svg"
)

// State of a stretch of time.
type State uint8

// The states. The zero value, OK, is not drawn.
const (
	OK State = iota
	Degraded
	Down
)

// Point is one run.
type Point struct {
	At    time.Time
	Value time.Duration // not above 0: the run failed
}

// Level is what was normal at an instant.
type Level struct {
	At       time.Time
	Expected time.Duration // 0: not known
	Limit    time.Duration // what is slow; 0: none
}

// Span is a stretch of time that was not OK.
type Span struct {
	From, To time.Time
	State    State
}

// Mark is an instant with a short word, such as a case and its priority.
type Mark struct {
	At   time.Time
	Text string
}

// Verdict is what one judge said of the series; it has a strip of its own below it.
type Verdict struct {
	Name  string // left of the strip; "" where there is only one
	Spans []Span
	Marks []Mark
}

// Chart is a picture. The zero value is an empty one.
type Chart struct {
	Title    string
	Zone     *time.Location // of the time axis; nil: UTC
	From, To time.Time      // zero: as the data has it
	Points   []Point        // in order of time
	Levels   []Level        // in order of time
	Changes  []time.Time    // of the level
	Verdicts []Verdict      // the first shades the series itself too
	Width    int            // pixels; 0: 1000
	Height   int            // 0: 420

	// Say returns the picture's own words, and the short English names of days and months, as the reader knows them; nil: as they
	// are.
	Say func(word string) string
}

// The bounds of a picture, in pixels.
const (
	leastWidth, leastHeight = 300, 200
	mostSide                = 4000
)

// Render draws the chart. The same chart gives the same bytes. It is safe for concurrent use.
func (c Chart) Render(f Format) ([]byte, error) {
	if f != PNG && f != SVG {
		return nil, fmt.Errorf("a plot cannot be a %q: want %s or %s", f, PNG, SVG)
	}
	if c.Width == 0 {
		c.Width = 1000
	}
	if c.Height == 0 {
		c.Height = 420
	}
	if c.Width < leastWidth || c.Height < leastHeight || c.Width > mostSide || c.Height > mostSide {
		return nil, fmt.Errorf("a plot of %d x %d pixels cannot be drawn: want %d x %d to %d x %d", c.Width, c.Height, leastWidth, leastHeight, mostSide, mostSide)
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: string(f), Width: c.Width, Height: c.Height})
	d := &drawing{Chart: c, p: p}
	d.draw()
	data, err := p.Bytes()
	if err != nil {
		return nil, fmt.Errorf("the plot cannot be drawn: %w", err)
	}
	return data, nil
}
