package engine

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// Vote is what one vantage believes at one instant, for the engines of its peers. It is JSON; Encode makes it small.
type Vote struct {
	Vantage    string               `json:"vantage"`
	At         time.Time            `json:"at"` // of the newest input of its engine, by its own clock
	Said       time.Time            `json:"-"`  // At as it was before Moved; zero: it was not
	Blind      bool                 `json:"blind,omitempty"`
	BlindSince time.Time            `json:"blind_since,omitzero"`
	BlindWhy   string               `json:"blind_why,omitempty"`
	Probes     map[string]ProbeVote `json:"probes,omitempty"` // by id; of one that is not there the vantage says nothing
}

// ProbeVote is what a vantage believes of one probe.
type ProbeVote struct {
	Findings []incident.Finding `json:"findings,omitempty"` // that last; of outages those alone that rest on proven sight. Without Latency
	Outcome  probes.Outcome     `json:"outcome"`            // of its newest run that says anything; Unknown: there is none since it began, slept or was blind
	Run      time.Time          `json:"run,omitzero"`       // start of that run
	Took     time.Duration      `json:"took,omitempty"`     // how long it took
	Doubt    time.Time          `json:"doubt,omitzero"`     // start of the first failing run while that is neither confirmed nor refuted
	Ended    time.Time          `json:"ended,omitzero"`     // first good run after its newest outage
	Fast     time.Time          `json:"fast,omitzero"`      // when its newest slow stretch ended
	Beyond   bool               `json:"beyond,omitempty"`   // its newest run passes a threshold of its numbers
	Account  string             `json:"account,omitempty"`  // why its own account is refused; "": it is not, as far as is known
}

// finding returns the first finding of a kind, or nil.
func (v *ProbeVote) finding(kind incident.FindingKind) *incident.Finding {
	for i := range v.Findings {
		if v.Findings[i].Kind == kind {
			return &v.Findings[i]
		}
	}
	return nil
}

// heard reports whether the vantage has anything to say of the probe's target.
func (v *ProbeVote) heard() bool { return v.Outcome != probes.Unknown || len(v.Findings) > 0 }

// Bounds of an encoded vote.
const (
	MaxVote     = 64 << 10 // bytes; Encode gives no more
	maxVoteJSON = 16 << 20 // that DecodeVote takes, unpacked
)

// Vote returns what this vantage believes, whether it leads or not. It shares nothing with the engine.
func (e *Engine) Vote() Vote {
	v := Vote{Vantage: e.set.Vantage, At: e.now, Blind: e.blind(), BlindSince: e.s.BlindSince, Probes: make(map[string]ProbeVote, len(e.probes))}
	if v.Blind {
		v.BlindWhy, v.Probes = e.blindWhy, nil
		return v
	}
	for _, p := range e.probes {
		if p.component == nil {
			continue
		}
		if pv := e.ownVote(p); pv.heard() || !pv.Doubt.IsZero() || pv.Account != "" {
			v.Probes[p.id] = pv
		}
	}
	return v
}

// ownVote returns what this vantage believes of a probe.
func (e *Engine) ownVote(p *probe) ProbeVote {
	v := ProbeVote{
		Outcome: p.fresh, Run: p.freshAt, Took: p.took, Doubt: p.detector.Doubt(), Ended: p.ended, Fast: p.fast, Account: p.refused,
	}
	v.Findings = slices.DeleteFunc(p.detector.Findings(), func(f incident.Finding) bool {
		return f.Kind == incident.Outage && (!e.proven(&f) || e.bygone(p))
	})
	for i := range v.Findings {
		v.Findings[i].Latency = nil
		v.Beyond = v.Beyond || v.Findings[i].Kind == incident.Threshold && p.detector.Beyond()
	}
	return v
}

// Packer packs votes; it keeps what that needs, which is large. The zero value is ready. It is not safe for concurrent use.
type Packer struct{ to *flate.Writer }

// Encode returns the vote, packed, in at most MaxVote bytes. Where there is too much to say, explanations and parts of a second are left
// out first, then probes that answer, and then others: of those the vantage then says nothing.
func (p *Packer) Encode(v Vote) ([]byte, error) {
	data, err := p.pack(v)
	if err == nil && len(data) > MaxVote {
		v = v.terse()
		data, err = p.pack(v)
	}
	for keep := len(v.Probes) * 3 / 4; err == nil && len(data) > MaxVote && len(v.Probes) > 0; keep = keep * 3 / 4 {
		v = v.cut(keep)
		data, err = p.pack(v)
	}
	if err == nil && len(data) > MaxVote {
		err = fmt.Errorf("it does not fit into %d bytes: the vantage's name is too long", MaxVote)
	}
	if err != nil {
		return nil, fmt.Errorf("the vote of vantage %s cannot be encoded: %w", v.Vantage, err)
	}
	return data, nil
}

func (p *Packer) pack(v Vote) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if p.to == nil {
		if p.to, err = flate.NewWriter(io.Discard, flate.BestSpeed); err != nil {
			return nil, err
		}
	}
	p.to.Reset(&b)
	if _, err := p.to.Write(data); err != nil {
		return nil, err
	}
	if err := p.to.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// terse returns the vote without explanations, to the second.
func (v Vote) terse() Vote {
	return v.each(func(p ProbeVote) ProbeVote {
		p.Findings = slices.Clone(p.Findings)
		for i := range p.Findings {
			p.Findings[i].Explanation = "seen from " + v.Vantage
		}
		p.Took = 0
		return p
	}).onClock(func(t time.Time) time.Time { return t.Truncate(time.Second) })
}

// cut returns the vote with so many probes: those of which something is wrong first.
func (v Vote) cut(keep int) Vote {
	ids := slices.SortedFunc(maps.Keys(v.Probes), func(a, b string) int {
		return cmp.Or(min(1, len(v.Probes[b].Findings))-min(1, len(v.Probes[a].Findings)), cmp.Compare(a, b))
	})
	all := make(map[string]ProbeVote, keep)
	for _, id := range ids[:keep] {
		all[id] = v.Probes[id]
	}
	v.Probes = all
	return v
}

func (v Vote) each(change func(ProbeVote) ProbeVote) Vote {
	all := make(map[string]ProbeVote, len(v.Probes))
	for id, p := range v.Probes {
		all[id] = change(p)
	}
	v.Probes = all
	return v
}

// DecodeVote reads what Encode made. An error says nothing of a vantage's health: its vote does not count.
func DecodeVote(data []byte) (Vote, error) {
	if len(data) > MaxVote {
		return Vote{}, fmt.Errorf("a vote cannot be read: it has %d bytes, a vote has at most %d", len(data), MaxVote)
	}
	var v Vote
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), maxVoteJSON))
	if err == nil {
		err = json.Unmarshal(plain, &v)
	}
	if err != nil {
		return Vote{}, fmt.Errorf("a vote cannot be read: %w", err)
	}
	return v, nil
}

// Moved returns the vote with every instant moved by d: from the clock of its vantage to that of another.
func (v Vote) Moved(d time.Duration) Vote {
	if v.Said.IsZero() {
		v.Said = v.At
	}
	return v.onClock(func(t time.Time) time.Time { return t.Add(d) })
}

// onClock returns the vote with every instant that is one changed.
func (v Vote) onClock(change func(time.Time) time.Time) Vote {
	to := func(times ...*time.Time) {
		for _, t := range times {
			if !t.IsZero() {
				*t = change(*t).UTC()
			}
		}
	}
	to(&v.At, &v.BlindSince)
	return v.each(func(p ProbeVote) ProbeVote {
		p.Findings = slices.Clone(p.Findings)
		for i := range p.Findings {
			f := &p.Findings[i]
			to(&f.Since, &f.At, &f.Ended, &f.Again, &f.Slow, &f.Quiet)
		}
		to(&p.Run, &p.Doubt, &p.Ended, &p.Fast)
		return p
	})
}
