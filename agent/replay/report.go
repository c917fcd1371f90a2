package replay

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/probes"
)

// Report is what one configuration would have made of a record.
type Report struct {
	File       string           `json:"file"` // of the configuration; "": it was made up
	Tenant     string           `json:"tenant"`
	Zone       *time.Location   `json:"-"`     // in which people read times
	Start      time.Time        `json:"start"` // of the first result that was judged; zero: there was none
	End        time.Time        `json:"end"`   // of the last one
	Results    int              `json:"results"`
	Rechecks   int              `json:"recorded_rechecks"`        // of those, quick re-probes that the record holds
	Wanted     int              `json:"wanted_rechecks"`          // quick re-probes that the engine asked for and did not get
	Foreign    int              `json:"foreign_results"`          // of probes that are not configured: left out
	Missing    []string         `json:"missing_probes,omitempty"` // deciding probes without any result
	Gaps       []Span           `json:"gaps,omitempty"`           // where nothing was recorded, and so nothing judged
	Incidents  []Incident       `json:"incidents"`                // in the order in which they were opened
	Components []Component      `json:"components"`               // in the order of the configuration
	Probe      string           `json:"-"`                        // whose readings follow
	Readings   []detect.Reading `json:"-"`
}

// Incident is one that would have been opened, and what became of it.
type Incident struct {
	incident.Incident
	Measured []string         `json:"measured,omitempty"` // when it was opened; Detail is what it said last
	Events   []incident.Event `json:"events,omitempty"`   // when its priority or its components changed, and how it ended
}

// Lasted returns how long the incident lasted up to now, where it is open.
func (i Incident) Lasted(now time.Time) time.Duration {
	if !i.Ended.IsZero() {
		now = i.Ended
	}
	return max(0, now.Sub(i.Started))
}

// Component is how long a component was not up.
type Component struct {
	Name     string        `json:"name"`
	Degraded time.Duration `json:"degraded"` // nanoseconds
	Down     time.Duration `json:"down"`
	Spans    []Span        `json:"spans,omitempty"`
}

// Span is a time and, of a component, its outcome in it.
type Span struct {
	From  time.Time      `json:"from"`
	To    time.Time      `json:"to"`
	State probes.Outcome `json:"state,omitempty"`
}

func (c *Component) add(s Span) {
	if s.To.Before(s.From) {
		s.To = s.From
	}
	c.Spans = append(c.Spans, s)
	if s.State == probes.Down {
		c.Down += s.To.Sub(s.From)
	} else {
		c.Degraded += s.To.Sub(s.From)
	}
}

// last returns the end of the newest span, or zero.
func (c *Component) last() time.Time {
	if len(c.Spans) == 0 {
		return time.Time{}
	}
	return c.Spans[len(c.Spans)-1].To
}

// Cases returns the incidents that would have become cases, and how many others there are.
func (r *Report) Cases() (cases []Incident, others int) {
	for _, i := range r.Incidents {
		if i.Class.OpensCase() {
			cases = append(cases, i)
		} else {
			others++
		}
	}
	return cases, others
}

// Pair is a case of two configurations; one of them may be nil.
type Pair struct {
	A *Incident `json:"a,omitempty"`
	B *Incident `json:"b,omitempty"`
}

// Opened returns when the earlier of the two was opened.
func (p Pair) Opened() time.Time {
	if p.A == nil || p.B != nil && p.B.Opened.Before(p.A.Opened) {
		return p.B.Opened
	}
	return p.A.Opened
}

// Compare pairs the cases of two reports of one record: those of one class that have a component in common and overlap in time
// are one. Each case is in one pair, and the pairs are in the order in which they were opened.
func Compare(a, b *Report) []Pair {
	casesA, _ := a.Cases()
	casesB, _ := b.Cases()
	taken := make([]bool, len(casesB))
	var pairs []Pair
	for i := range casesA {
		p := Pair{A: &casesA[i]}
		for j := range casesB {
			if !taken[j] && sameCase(p.A, &casesB[j], a.End) {
				taken[j], p.B = true, &casesB[j]
				break
			}
		}
		pairs = append(pairs, p)
	}
	for j := range casesB {
		if !taken[j] {
			pairs = append(pairs, Pair{B: &casesB[j]})
		}
	}
	slices.SortStableFunc(pairs, func(x, y Pair) int { return x.Opened().Compare(y.Opened()) })
	return pairs
}

// sameCase reports whether two cases speak of the same.
func sameCase(a, b *Incident, end time.Time) bool {
	common := slices.ContainsFunc(a.Components, func(name string) bool { return slices.Contains(b.Components, name) })
	if a.Class != b.Class || !common {
		return false
	}
	until := func(i *Incident) time.Time {
		if i.Closed.IsZero() {
			return end
		}
		return i.Closed
	}
	return !a.Started.After(until(b)) && !b.Started.After(until(a))
}
