package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
)

const (
	voteLasts  = 30 * time.Second // a vote that is not renewed for so long counts no more: its engine stands still
	wordHolds  = 5 * time.Minute  // the last word of a vantage that is gone, or blind, keeps open what is open for so long
	clockSlack = 10 * time.Second // clocks that differ by less count as one
)

// Quorum says how many vantages must agree; see policy.Quorum.
type Quorum = policy.Quorum

// peer is another vantage, as far as its votes say.
type peer struct {
	vote    Vote      // on this engine's clock
	said    time.Time // Vote.At as it was sent, by its own clock
	renewed time.Time // when that changed
	moved   time.Duration
	here    bool      // Hear was given its vote
	gone    time.Time // since when it does not count; zero: it does
}

// Hear takes the votes of the peers that live now, whether the engine leads or not, in place of all before; nil: none lives. It is
// called with each beat, votes of unknown or own name are left out, and every instant of them is brought to this engine's clock. What
// a peer fails to reach is looked at, at once.
func (e *Engine) Hear(now time.Time, votes []Vote) Step {
	e.begin(now)
	if len(e.peers) == 0 && len(votes) > 0 && e.leads {
		e.countInFull()
	}
	e.hearPeers(votes)
	e.lookWhereOthersFail()
	e.evaluate()
	return e.finish()
}

// countInFull notes that what is open, and was opened by a vantage that had no peers, counts in full: that others come and deny it lowers
// it, with the reason, and not at once.
func (e *Engine) countInFull() {
	for _, c := range e.components {
		if len(c.memory.Standing) > 0 {
			continue
		}
		note := func(class incident.Class, what string, list []*probe, kind incident.FindingKind) {
			l := e.member(class, c.Name)
			if l != nil && l.Priority.Above(incident.P4) && slices.ContainsFunc(list, func(p *probe) bool {
				return slices.ContainsFunc(e.voices(p), func(v voice) bool { return v.finding(kind) != nil })
			}) {
				c.memory.standing(what).Full = true
			}
		}
		for n, instance := range c.instances {
			note(incident.Availability, downOf(c, n), decidingOf(instance), incident.Outage)
		}
		note(incident.Availability, losses, c.deciding, incident.MomentaryOutages)
		note(incident.Performance, slowness, c.deciding, incident.Regression)
	}
}

// lookWhereOthersFail runs, at once, the probes that fail, or seem to, at a peer and have not run here since: a peer that is alone with
// what it sees should not be for long.
func (e *Engine) lookWhereOthersFail() {
	if e.blind() {
		return
	}
	asked := 0
	for _, c := range e.components {
		for _, p := range c.deciding {
			since := e.failsElsewhere(p.id)
			if since.IsZero() || p.detector.Suspect() || p.detector.Outage() != nil || p.last != nil && !p.last.Start.Before(since) || e.now.Sub(p.asked) < lookEvery {
				continue
			}
			if asked++; asked > lookMost {
				return
			}
			p.asked = e.now
			e.step.recheck(p.id, 1, 0)
		}
	}
}

// failsElsewhere returns since when a probe fails at a peer, or seems to; zero: it does not.
func (e *Engine) failsElsewhere(id string) (since time.Time) {
	for _, o := range e.peers {
		v, ok := o.vote.Probes[id]
		if !ok || !o.counts() {
			continue
		}
		at := v.Doubt
		if f := v.finding(incident.Outage); f != nil {
			at = f.Since
		}
		if at.After(since) {
			since = at
		}
	}
	return since
}

// resumeCouncil makes the time that the agent slept, or that its clock was moved by, none in which a peer was silent or one vantage's word
// lasted.
func (e *Engine) resumeCouncil(gap time.Duration) {
	without := func(t time.Time) time.Time {
		if t = t.Add(gap); t.After(e.now) {
			return e.now
		}
		return t
	}
	for _, p := range e.peers {
		p.renewed = without(p.renewed)
	}
	for _, c := range e.components {
		for _, s := range c.memory.Standing {
			if !s.Alone.IsZero() && !s.Lasted {
				s.Alone = without(s.Alone)
			}
		}
	}
}

// peerRoot is the root of the incident of a peer's blindness.
func peerRoot(vantage string) string { return sightRoot + "/" + vantage }

// watchPeers follows what the peers say of themselves: whether they see, and whether their accounts are refused.
func (e *Engine) watchPeers() {
	for _, o := range e.peers {
		root := peerRoot(o.vote.Vantage)
		l := e.member(incident.Agent, root)
		switch {
		case !o.gone.IsZero():
		case o.vote.Blind && l == nil:
			e.watched = true
			e.open(incident.Agent, root, o.vote.BlindSince, []string{root}, verdictText{
				title: "the agent at " + o.vote.Vantage + " is blind",
				why:   "the network of the agent at " + o.vote.Vantage + " is broken: what it measures does not count",
				lines: func() []string { return []string{o.vote.BlindWhy} },
			})
		case !o.vote.Blind && l != nil:
			e.closeIncident(l, incident.Recovered, e.now, "the agent at "+o.vote.Vantage+" sees again")
		}
	}
	e.watched = false
	for _, l := range e.openOf(incident.Agent) {
		name, ok := strings.CutPrefix(l.Root, sightRoot+"/")
		if !ok {
			continue
		}
		e.watched = true
		if !slices.ContainsFunc(e.peers, func(o *peer) bool { return o.vote.Vantage == name }) && e.now.Sub(e.began) > wordHolds {
			e.closeIncident(l, incident.Removed, e.now, fmt.Sprintf("nothing was heard of the agent at %s for %s: whether it sees is not known", name, wordHolds))
		}
	}
	for _, c := range e.components {
		for _, instance := range c.instances {
			for _, p := range instance {
				if p.account && len(e.peers) > 0 {
					e.judgePeerAccount(p)
				}
			}
		}
	}
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
		if p.here = here[p.vote.Vantage]; !p.here && p.gone.IsZero() {
			p.gone = e.now
		}
	}
	e.agePeers()
}

func (e *Engine) hearPeer(v Vote) {
	at := slices.IndexFunc(e.peers, func(p *peer) bool { return p.vote.Vantage == v.Vantage })
	said := v.Said
	if said.IsZero() {
		said = v.At
	}
	// An agent that begins, or thaws, is there before it has measured anything: what it believed before says nothing of now, and counts as the last word that
	// it was. Its next vote counts. A vote is a second old, or little more.
	old := !v.Said.IsZero() && e.now.Sub(v.At) > clockSlack
	if at < 0 && old || at >= 0 && !e.peers[at].gone.IsZero() && (old || said.Equal(e.peers[at].said)) {
		return
	}
	if at < 0 {
		at, _ = slices.BinarySearchFunc(e.peers, v.Vantage, func(p *peer, name string) int { return cmp.Compare(p.vote.Vantage, name) })
		e.peers = slices.Insert(e.peers, at, &peer{})
	}
	p := e.peers[at]
	if !said.Equal(p.said) || p.renewed.IsZero() {
		p.said, p.renewed = said, e.now
	}
	if !v.Said.IsZero() { // whoever moved it knows that clock: what is old was said long ago
		p.moved = 0
	} else if off := e.now.Sub(v.At.Add(p.moved)).Abs(); off > clockSlack && p.renewed.Equal(e.now) {
		p.moved = e.now.Sub(v.At)
	}
	before := p.vote
	p.vote = v.onClock(func(t time.Time) time.Time {
		if t = t.Add(p.moved); t.After(e.now) {
			return e.now
		}
		return t
	})
	e.keepKnown(&p.vote)
	if v.Blind && v.Probes == nil && (!before.Blind || e.now.Sub(before.BlindSince) <= wordHolds) {
		p.vote.Probes = before.Probes // its last word
	}
	if e.now.Sub(p.renewed) <= voteLasts {
		p.gone = time.Time{}
	}
	e.s.Vantage = e.set.Vantage
}

// keepKnown leaves out of a vote, whose memory is the engine's own, what it cannot be judged by: a vote is read from a store, and its
// sender may have another configuration.
func (e *Engine) keepKnown(v *Vote) {
	if v.Blind && v.BlindSince.IsZero() {
		v.BlindSince = e.now
	}
	for id, pv := range v.Probes {
		if p := e.probes[id]; p == nil || p.component == nil {
			delete(v.Probes, id)
			continue
		}
		dated := slices.DeleteFunc(pv.Findings, func(f incident.Finding) bool { return f.Since.IsZero() })
		for i := range dated {
			dated[i].Probe = id
		}
		if len(dated) < len(pv.Findings) {
			pv.Findings = dated
			v.Probes[id] = pv
		}
	}
}

// agePeers forgets the peers whose last word holds no more.
func (e *Engine) agePeers() {
	for _, p := range e.peers {
		if p.gone.IsZero() && e.now.Sub(p.renewed) > voteLasts {
			p.gone = e.now
		}
	}
	e.peers = slices.DeleteFunc(e.peers, func(p *peer) bool { return !p.here && e.silent(p) })
}

// silent reports whether not even the last word of a peer holds.
func (e *Engine) silent(p *peer) bool { return !p.gone.IsZero() && e.now.Sub(p.gone) > wordHolds }

// counts reports whether what the peer says counts: it lives and sees.
func (p *peer) counts() bool { return p.gone.IsZero() && !p.vote.Blind }

// anySees reports whether this vantage, or a peer, sees.
func (e *Engine) anySees() bool {
	return !e.blind() || slices.ContainsFunc(e.peers, (*peer).counts)
}
