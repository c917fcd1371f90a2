// Package watch follows an agent for a person at a desk: on a terminal, or as one line a change. It reads nothing but the agent's
// API, that of an agent in its own process or of one elsewhere, and changes nothing.
package watch

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

// Getter reads one address of an agent's API, such as /api/v1/status, into a value. It is called by one goroutine at a time.
type Getter func(ctx context.Context, path string, into any) error

const (
	points     = 120 // results of a probe that are kept for its line
	fewStories = 8   // open incidents of which all is read
	mostFills  = 100 // probes whose past is read at the start
)

// Scene is what an agent says at one instant. It is not changed once it is made.
type Scene struct {
	web.Status
	Read       time.Time // when it was read, in the tenant's zone
	Components []engine.ComponentView
	Witnesses  []engine.ProbeView
	Kinds      map[string]web.ProbeInfo
	Stories    map[string]web.Story // of the first open incidents, by id
	Lines      map[string][]point   // newest results by probe, oldest first
}

// point is a result in a line of latencies.
type point struct {
	at      time.Time
	took    time.Duration
	outcome probes.Outcome
}

// feed reads scenes one after the other. It is used by one goroutine.
type feed struct {
	get   Getter
	now   func() time.Time
	lines map[string][]point
	zone  *time.Location
}

func newFeed(get Getter, now func() time.Time) *feed {
	return &feed{get: get, now: now, lines: map[string][]point{}, zone: time.UTC}
}

// read reads all that a screen shows.
func (f *feed) read(ctx context.Context) (*Scene, error) {
	s := &Scene{Kinds: map[string]web.ProbeInfo{}, Stories: map[string]web.Story{}, Lines: map[string][]point{}}
	if err := f.get(ctx, "/api/v1/status", &s.Status); err != nil {
		return nil, err
	}
	var c web.Components
	if err := f.get(ctx, "/api/v1/components", &c); err != nil {
		return nil, err
	}
	s.Components, s.Witnesses = c.Components, c.Witnesses
	for _, p := range c.Probes {
		s.Kinds[p.ID] = p
	}
	for _, i := range s.Incidents[:min(fewStories, len(s.Incidents))] {
		var story web.Story
		// An incident may be gone from the store's answers for a moment: the screen then says less of it.
		if err := f.get(ctx, "/api/v1/incidents/"+url.PathEscape(i.ID), &story); err == nil {
			s.Stories[i.ID] = story
		}
	}
	if zone, err := time.LoadLocation(s.TimeZone); err == nil {
		f.zone = zone
	}
	s.Read = f.now().In(f.zone)
	f.follow(ctx, s)
	return s, nil
}

// follow adds the newest result of every probe to its line, and the past of those that have none yet.
func (f *feed) follow(ctx context.Context, s *Scene) {
	fills := 0
	for _, p := range allProbes(s) {
		line, known := f.lines[p.ID]
		if !known && p.Last != nil && fills < mostFills {
			fills++
			line = f.past(ctx, p.ID)
		}
		if p.Last != nil && (len(line) == 0 || p.Last.Start.After(line[len(line)-1].at)) {
			line = append(line, pointOf(p.Last))
		}
		if over := len(line) - points; over > 0 {
			line = append([]point(nil), line[over:]...)
		}
		if p.Last != nil {
			s.Lines[p.ID] = line[:len(line):len(line)]
		}
	}
	f.lines = make(map[string][]point, len(s.Lines))
	for id, line := range s.Lines {
		f.lines[id] = line
	}
}

// past reads the newest results of a probe; none where they cannot be had.
func (f *feed) past(ctx context.Context, id string) []point {
	var r web.Results
	if err := f.get(ctx, "/api/v1/results?limit="+strconv.Itoa(points)+"&probe="+url.QueryEscape(id), &r); err != nil {
		return nil
	}
	var line []point
	for i := range r.Results {
		line = append(line, pointOf(&r.Results[i]))
	}
	return line
}

func pointOf(r *probes.Result) point { return point{r.Start, r.Duration, r.Outcome} }

// allProbes returns the probes of every component, in their order.
func allProbes(s *Scene) []engine.ProbeView {
	var all []engine.ProbeView
	for _, c := range s.Components {
		for _, i := range c.Instances {
			all = append(all, i.Probes...)
		}
	}
	return all
}
