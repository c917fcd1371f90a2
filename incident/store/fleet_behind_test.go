package store

import (
	"strings"
	"testing"
)

// TestWhyAStandbyIsBehind states when a standby whose newest transaction is old is read all the same.
func TestWhyAStandbyIsBehind(t *testing.T) {
	const s, receiver, newest = 1_000_000, 4711, 1000_000_000
	at := func(now int64, change func(*position)) position {
		p := position{standby: true, now: newest + now*s, newest: newest, receiver: receiver, whole: true, timeout: 60_000}
		if change != nil {
			change(&p)
		}
		return p
	}
	for _, c := range []struct {
		name     string
		readings []position
		want     string // of the last; "": it is taken
	}{
		{"a primary", []position{{now: newest}}, ""},
		{"just behind", []position{at(30, nil)}, ""},
		{"far behind", []position{at(31, nil)}, "its primary is away, no agent writes there, or"},
		{"its receiver may still wait", []position{at(31, nil), at(91, nil)}, "its primary is away, no agent writes there, or"},
		{"its receiver outlived that", []position{at(31, nil), at(92, nil)}, ""},
		{"another receiver", []position{at(31, nil), at(92, func(p *position) { p.receiver++ })}, "no agent writes there"},
		{"no receiver", []position{at(31, nil), at(92, func(p *position) { p.receiver = 0 })}, "nothing comes from its primary"},
		{"receivers that never end", []position{at(31, func(p *position) { p.timeout = 0 }), at(9999, func(p *position) { p.timeout = 0 })}, "no agent writes there"},
		{"not applied yet", []position{at(31, nil), at(92, func(p *position) { p.whole = false })}, "no agent writes there"},
		{"it catches up", []position{at(100, nil), at(200, func(p *position) { p.newest += s })}, "no agent writes there"},
		{"a clock that went back", []position{at(500, nil), at(200, nil), at(250, nil)}, "no agent writes there"},
		{"nothing yet", []position{at(31, func(p *position) { p.newest = 0 })}, "nothing of its primary since it started"},
	} {
		f := &Fleet{pg: &postgres{name: "db"}, latest: latestStandby}
		var err error
		for _, p := range c.readings {
			err = f.current(p)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
