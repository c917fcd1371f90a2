package engine

import (
	"cmp"
	"slices"
	"time"
)

const (
	voteLasts  = 30 * time.Second // a vote that is not renewed for so long counts no more: its engine stands still
	wordHolds  = 5 * time.Minute  // the last word of a vantage that is gone, or blind, keeps open what is open for so long
	clockSlack = 10 * time.Second // clocks that differ by less count as one
)

// Quorum says how many vantages make an outage one of the whole world. The zero value is the default.
type Quorum struct {
	Need     int           `yaml:"need" default:"0" doc:"So many vantages must see a problem before it counts in full; 0: more than half of those that see and have measured it."`
	AloneFor time.Duration `yaml:"alone_for" default:"15m" doc:"A problem that fewer vantages see is priority 4, and counts in full when it has lasted this long."`
}

// aloneFor is the default of Quorum.AloneFor.
const aloneFor = 15 * time.Minute

// peer is another vantage, as far as its votes say.
type peer struct {
	vote    Vote      // on this engine's clock
	said    time.Time // Vote.At as it was sent
	renewed time.Time // when that changed
	moved   time.Duration
	gone    time.Time // since when it does not count; zero: it does
}

// Hear takes the votes of the peers that live now, whether the engine leads or not, in place of all before; nil: none lives. It is
// called with each beat, votes of unknown or own name are left out, and every instant of them is brought to this engine's clock. What
// a peer fails to reach is looked at, at once.
func (e *Engine) Hear(now time.Time, votes []Vote) Step {
	e.begin(now)
	e.hearPeers(votes)
	if e.leads && e.anySees() {
		e.evaluate()
	}
	return e.finish()
}

// Heard returns the votes that Hear took last, for Setup.Votes of an engine that goes on with another configuration.
func (e *Engine) Heard() []Vote {
	var all []Vote
	for _, p := range e.peers {
		if p.gone.IsZero() {
			all = append(all, p.vote)
		}
	}
	return all
}

func (e *Engine) hearPeers(votes []Vote) {
	here := map[string]bool{}
	for _, v := range votes {
		if v.Vantage == "" || v.Vantage == e.set.Vantage || here[v.Vantage] {
			continue
		}
		here[v.Vantage] = true
		e.hearPeer(v)
	}
	for _, p := range e.peers {
		if !here[p.vote.Vantage] && p.gone.IsZero() {
			p.gone = e.now
		}
	}
	e.agePeers()
}

func (e *Engine) hearPeer(v Vote) {
	at := slices.IndexFunc(e.peers, func(p *peer) bool { return p.vote.Vantage == v.Vantage })
	if at < 0 {
		at, _ = slices.BinarySearchFunc(e.peers, v.Vantage, func(p *peer, name string) int { return cmp.Compare(p.vote.Vantage, name) })
		e.peers = slices.Insert(e.peers, at, &peer{})
	}
	p := e.peers[at]
	if !v.At.Equal(p.said) || p.renewed.IsZero() {
		p.said, p.renewed = v.At, e.now
	}
	if off := e.now.Sub(v.At.Add(p.moved)).Abs(); off > clockSlack && p.renewed.Equal(e.now) {
		p.moved = e.now.Sub(v.At)
	}
	if v.Blind && v.Probes == nil && p.vote.Probes != nil {
		p.vote.Blind, p.vote.BlindSince, p.vote.BlindWhy = true, v.BlindSince, v.BlindWhy // its last word is kept
	}
	p.vote = v.onClock(func(t time.Time) time.Time {
		if t = t.Add(p.moved); t.After(e.now) {
			return e.now
		}
		return t
	})
	p.gone = time.Time{}
}

// agePeers forgets the peers whose last word holds no more.
func (e *Engine) agePeers() {
	for _, p := range e.peers {
		if p.gone.IsZero() && e.now.Sub(p.renewed) > voteLasts {
			p.gone = e.now
		}
	}
	e.peers = slices.DeleteFunc(e.peers, func(p *peer) bool { return !p.gone.IsZero() && e.now.Sub(p.gone) > wordHolds })
}

// anySees reports whether this vantage, or a peer, sees.
func (e *Engine) anySees() bool {
	return !e.blind() || slices.ContainsFunc(e.peers, func(p *peer) bool { return p.gone.IsZero() && !p.vote.Blind })
}
