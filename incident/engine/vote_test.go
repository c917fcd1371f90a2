package engine

import (
	"bytes"
	"compress/flate"
	"encoding/json"
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
		data, err := new(Packer).Encode(v)
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

// TestVotesThatAreWrong states that a vote that cannot be judged by, in whole or in part, does not harm: what is readable of it counts.
func TestVotesThatAreWrong(t *testing.T) {
	down := func(id string, since time.Time) ProbeVote {
		return ProbeVote{Outcome: probes.Down, Run: since, Findings: []incident.Finding{{Probe: id, Kind: incident.Outage, Since: since, At: since}}}
	}
	for name, tt := range map[string]struct {
		vote Vote
		want int // open incidents
	}{
		"a finding of another probe":    {Vote{Probes: map[string]ProbeVote{"web/tcp": down("gone", t0)}}, 1},
		"a probe that is not here":      {Vote{Probes: map[string]ProbeVote{"gone": down("gone", t0)}}, 0},
		"a witness":                     {Vote{Probes: map[string]ProbeVote{"witness/w": down("witness/w", t0)}}, 0},
		"a finding without a beginning": {Vote{Probes: map[string]ProbeVote{"web/tcp": down("web/tcp", time.Time{})}}, 0},
		"blind since nobody knows when": {Vote{Blind: true}, 1},
		"no instant at all":             {Vote{At: time.Time{}.Add(-1)}, 0},
	} {
		w := newWorld(t, three()...)
		w.setup.Vantage = "dk"
		e, _, err := New(w.setup, nil, nil, t0)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 20 {
			v := tt.vote
			v.Vantage = "weu"
			if v.At.IsZero() {
				v.At = t0.Add(time.Duration(n) * time.Second)
			}
			e.Hear(t0.Add(time.Duration(n)*time.Second), []Vote{v})
			e.View(e.now)
		}
		if len(e.s.Open) != tt.want {
			t.Errorf("%s: %+v", name, e.s.Open)
		}
		for _, l := range e.s.Open {
			if l.Started.Before(t0) {
				t.Errorf("%s: began %s", name, l.Started)
			}
		}
	}
	if _, err := DecodeVote(make([]byte, MaxVote+1)); err == nil {
		t.Error("a vote that is too large was read")
	}
}

// FuzzHear feeds a leader whatever may be in the store as a vote: it never panics, and what it does not see itself it opens well formed.
func FuzzHear(f *testing.F) {
	for _, v := range []Vote{bigVote(2, 1), {Vantage: "weu", At: t0, Blind: true}} {
		data, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.ReplaceAll(data, []byte("component-0/instance-0/probe-0"), []byte("web/tcp")))
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		var b bytes.Buffer
		packer, err := flate.NewWriter(&b, flate.HuffmanOnly)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := packer.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := packer.Close(); err != nil {
			t.Fatal(err)
		}
		v, err := DecodeVote(b.Bytes())
		if err != nil {
			return
		}
		w := newWorld(t, three()...)
		w.setup.Vantage = "dk"
		w.start()
		for range 10 {
			w.now = w.now.Add(time.Second)
			v.At = v.At.Add(time.Second)
			w.take(w.engine.Hear(w.now, []Vote{v, v.Moved(time.Second)}))
			w.take(w.engine.Tick(w.now))
			w.engine.View(w.now)
		}
	})
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
