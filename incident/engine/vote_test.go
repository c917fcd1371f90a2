package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// bigVote is a vote of so many probes, of which the first that many are down.
func bigVote(all, down int) Vote {
	v := Vote{Vantage: "weu", At: t0, Probes: map[string]ProbeVote{}}
	for n := range all {
		id := fmt.Sprintf("component-%d/instance-%d/probe-%d", n/10, n%10, n*7919%all)
		p := ProbeVote{Outcome: probes.Up, Run: t0.Add(-time.Duration(n*31337%60000) * time.Millisecond), Took: time.Duration(n*7919%50000) * time.Microsecond}
		if n < down {
			p.Outcome = probes.Down
			p.Findings = []incident.Finding{{
				Probe: id, Kind: incident.Outage, Reason: probes.Timeout, Since: p.Run, At: t0, Explanation: strings.Repeat("no answer within 5s; ", 12),
			}}
		}
		v.Probes[id] = p
	}
	return v
}

// TestVoteFits states that a vote comes back as it was, in few bytes; and that of a solution that is too large for that everything
// that fails is still told.
func TestVoteFits(t *testing.T) {
	for _, tt := range []struct{ all, down, most, want int }{
		{0, 0, 200, 0}, {10, 3, 1000, 10}, {1000, 0, 32 << 10, 1000}, {2000, 0, MaxVote, 2000}, {2000, 2000, MaxVote, 2000}, {4000, 0, MaxVote, 4000}, {20000, 300, MaxVote, 300},
	} {
		v := bigVote(tt.all, tt.down)
		data, err := v.Encode()
		if err != nil || len(data) > tt.most {
			t.Fatalf("%d probes, %d down: %d bytes, %v", tt.all, tt.down, len(data), err)
		}
		back, err := DecodeVote(data)
		if err != nil || len(back.Probes) < tt.want {
			t.Fatalf("%d probes, %d down: %d came back, %v", tt.all, tt.down, len(back.Probes), err)
		}
		failing := 0
		for _, p := range back.Probes {
			failing += len(p.Findings)
		}
		if failing != tt.down {
			t.Errorf("%d probes, %d down: %d of those came back", tt.all, tt.down, failing)
		}
		if tt.all <= 1000 && tt.all > 0 {
			if diff := cmp.Diff(v, back); diff != "" {
				t.Error(diff)
			}
		}
	}
	for _, bad := range [][]byte{nil, {1, 2, 3}, []byte("{}")} {
		if _, err := DecodeVote(bad); err == nil {
			t.Errorf("%q was read as a vote", bad)
		}
	}
}

func TestVoteMoves(t *testing.T) {
	v := bigVote(3, 2)
	moved := v.Moved(time.Hour)
	if !moved.At.Equal(t0.Add(time.Hour)) || !moved.BlindSince.IsZero() {
		t.Errorf("moved to %s, blind since %s", moved.At, moved.BlindSince)
	}
	back := moved.Moved(-time.Hour)
	if !moved.Said.Equal(v.At) || !back.Said.Equal(v.At) {
		t.Errorf("said at %s and %s, want %s", moved.Said, back.Said, v.At)
	}
	back.Said = time.Time{}
	if diff := cmp.Diff(v, back); diff != "" {
		t.Error(diff)
	}
}
