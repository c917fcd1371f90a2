package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// TestOutages states which time an incident keeps as that in which a component was inaccessible.
func TestOutages(t *testing.T) {
	for _, tt := range []struct {
		name       string
		components []policy.Component
		answer     func(string, time.Time) probes.Result
		prepare    func(*Setup)
		restart    time.Duration
		want       []string // root, component, minutes after t0, of each incident in the order of its key
	}{
		{
			name: "one of two instances down, then both, then one: from the second failure to the first that answers", components: []policy.Component{two("app"), one("rdp")},
			answer: both(during(2*minute, 20*minute, refused, "app/a"), during(6*minute, 12*minute, refused, "app/b")),
			want:   []string{"app: app 6-12"},
		},
		{
			name: "the same over a restart", components: []policy.Component{two("app"), one("rdp")}, restart: 9 * minute,
			answer: both(during(2*minute, 20*minute, refused, "app/a"), during(6*minute, 12*minute, refused, "app/b")),
			want:   []string{"app: app 6-12"},
		},
		{
			name: "redundancy is lost, and no more", components: []policy.Component{two("app"), one("rdp")},
			answer: during(2*minute, 20*minute, refused, "app/a"),
			want:   []string{"app:"},
		},
		{
			name: "each component its own time", components: three(),
			answer: both(during(2*minute, 12*minute, refused, "backend"), during(2*minute, 16*minute, refused, "web"), during(4*minute, 8*minute, refused, "rdp")),
			want:   []string{"web: backend 2-12, web 2-16, rdp 4-8"},
		},
		{
			name: "a parent fails later", components: three(),
			answer: both(during(2*minute, 12*minute, refused, "web"), during(4*minute, 12*minute, refused, "backend")),
			want:   []string{"backend:", "web: web 2-12, backend 4-12"},
		},
		{
			name: "what is absorbed goes on in the other incident", components: three(),
			answer: both(during(2*minute, 20*minute, refused, "rdp"), during(4*minute, 20*minute, refused, "backend"), during(8*minute, 20*minute, refused, "web")),
			want:   []string{"backend: backend 4-8", "rdp: rdp 2-20, backend 8-20, web 8-20"},
		},
		{
			name: "one that outlives its window, from its beginning", components: three(), prepare: window("5 10 * * *", 30*minute),
			answer: during(10*minute, 50*minute, refused, "rdp"),
			want:   []string{"rdp: rdp 10-50"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.components...)
			w.answer = tt.answer
			if tt.prepare != nil {
				tt.prepare(&w.setup)
			}
			if tt.restart > 0 {
				w.run(tt.restart).restart()
			}
			w.run(time.Hour)
			var got []string
			for _, i := range w.incidents {
				var list []string
				for _, o := range i.Outages {
					list = append(list, fmt.Sprintf(" %s %.0f-%.0f", o.Component, o.From.Sub(t0).Truncate(2*minute).Minutes(), o.To.Sub(t0).Truncate(2*minute).Minutes()))
				}
				got = append(got, i.Root+":"+strings.Join(list, ","))
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestOutagesAreBounded(t *testing.T) {
	var all []incident.ComponentOutage
	for n := range 2 * maxOutages {
		at := t0.Add(time.Duration(n) * time.Hour)
		all = beginOutage(all, "web", at)
		all = endOutages(all, "web", at.Add(time.Minute), at.Add(time.Hour))
	}
	if last := all[len(all)-1]; len(all) != maxOutages || !last.To.Equal(t0.Add((2*maxOutages-1)*time.Hour+time.Minute)) {
		t.Errorf("%d outages, the last %+v", len(all), last)
	}
}
