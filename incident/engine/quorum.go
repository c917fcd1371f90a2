package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// voice is what a vantage believes of a probe.
type voice struct {
	vantage string
	held    bool      // it is gone, or blind: its last word
	at      time.Time // when it said so
	ProbeVote
}

// tally is which vantages say what of one thing, each by name.
type tally struct {
	says   []string // they see, and say that it is so
	denies []string // they see, have measured it, and do not say so
	fresh  bool     // one of those by a run since it began
	held   []string // they are gone or blind; their last word was that it is so
	denied []string // they are gone or blind; their last word, of a run since it began, was that it is not so

	elsewhere bool // one of denies or denied is at another place than all that say so, by a run since it began
}

// standing is what is remembered of a problem where there are several vantages.
type standing struct {
	Full   bool      `json:"full,omitempty"`   // a quorum said so last
	Alone  time.Time `json:"alone,omitzero"`   // since when fewer than a quorum say so
	Denied bool      `json:"denied,omitempty"` // and one measured it meanwhile, and did not
	Away   bool      `json:"away,omitempty"`   // and that at another place
	Lasted bool      `json:"lasted,omitempty"` // for so long that it counts in full all the same
}

// standing returns what is remembered of something, from now on where there was nothing.
func (m *memory) standing(what string) *standing {
	if m.Standing == nil {
		m.Standing = map[string]*standing{}
	}
	if m.Standing[what] == nil {
		m.Standing[what] = &standing{}
	}
	return m.Standing[what]
}

// weight is how far a problem counts.
type weight uint8

const (
	nothing weight = iota
	alone          // seen by some, by no quorum
	stays          // as alone, but a quorum saw it just now: it stays in full, and raises nothing
	inFull
)

// What is weighed of a component, besides the outage of each instance.
const (
	slowness = "slow"
	losses   = "losses"
)

func downOf(c *component, instance int) string { return "down " + c.Component.Instances[instance].Name }

// several reports whether what other vantages say, or said, has to be weighed for a component. Where it has not, the engine judges by
// its own detectors alone.
func (e *Engine) several(c *component) bool { return len(e.peers) > 0 || len(c.memory.Standing) > 0 }

// poll asks every vantage what it believes, for the evaluation that follows.
func (e *Engine) poll() {
	for _, c := range e.components {
		if !e.several(c) {
			continue
		}
		for _, instance := range c.instances {
			for _, p := range instance {
				p.voices = e.voices(p)
			}
		}
	}
}

// voices returns what every vantage believes of a probe, in the order of their names.
func (e *Engine) voices(p *probe) []voice {
	all := p.voices[:0]
	own := voice{vantage: e.set.Vantage, held: e.blind(), at: e.s.BlindSince}
	if own.ProbeVote = e.ownVote(p); own.held && e.now.Sub(e.s.BlindSince) > wordHolds {
		own.ProbeVote = ProbeVote{}
	}
	placed := false
	for _, peer := range e.peers {
		if !placed && own.vantage < peer.vote.Vantage {
			all, placed = append(all, own), true
		}
		if pv, ok := peer.vote.Probes[p.id]; ok && !e.silent(peer) {
			v := voice{vantage: peer.vote.Vantage, held: !peer.counts(), at: peer.vote.At, ProbeVote: pv}
			if peer.vote.Blind {
				v.at = peer.vote.BlindSince
			}
			all = append(all, v)
		}
	}
	if !placed {
		all = append(all, own)
	}
	return all
}

// count tallies the vantages over some probes: one says so that says so of any of them; where none does, the tally is empty. open: what
// vantages that are gone said last counts too, unless it is overruled since. since is the beginning of what they say.
func count(list []*probe, open bool, kind incident.FindingKind, says func(*voice) *incident.Finding) (t tally, found []*incident.Finding, since time.Time) {
	type word struct {
		vantage    string
		says, held bool
		run        time.Time
	}
	var words []word
	var ended time.Time
	for _, p := range list {
		for i := range p.voices {
			v := &p.voices[i]
			f := says(v)
			if f == nil {
				continue
			}
			if v.held {
				if ended.IsZero() {
					ended = endedElsewhere(list, kind)
				}
				if !open || ended.After(v.at) || kind == incident.Outage && succeeded(p, v) {
					continue
				}
			}
			found = append(found, f)
			if since.IsZero() || f.Since.Before(since) {
				since = f.Since
			}
			if !slices.ContainsFunc(words, func(w word) bool { return w.vantage == v.vantage }) {
				words = append(words, word{vantage: v.vantage, held: v.held, says: true})
			}
		}
	}
	if len(found) == 0 {
		return tally{}, nil, time.Time{}
	}
	for _, p := range list {
		for i := range p.voices {
			v := &p.voices[i]
			if !v.heard() {
				continue
			}
			at := slices.IndexFunc(words, func(w word) bool { return w.vantage == v.vantage })
			if at < 0 {
				at, words = len(words), append(words, word{vantage: v.vantage, held: v.held})
			}
			if v.Run.After(words[at].run) {
				words[at].run = v.Run
			}
		}
	}
	slices.SortFunc(words, func(a, b word) int { return strings.Compare(a.vantage, b.vantage) })
	for _, w := range words {
		switch {
		case w.says && !w.held:
			t.says = append(t.says, w.vantage)
		case w.says:
			t.held = append(t.held, w.vantage)
		case !w.held:
			t.denies = append(t.denies, w.vantage)
			t.fresh = t.fresh || w.run.After(since)
		case w.run.After(since):
			t.denied = append(t.denied, w.vantage)
		}
		t.elsewhere = t.elsewhere || !w.says && w.run.After(since) && !slices.ContainsFunc(words, func(o word) bool { return o.says && placeOf(o.vantage) == placeOf(w.vantage) })
	}
	return t, found, since
}

// succeeded reports whether another agent that sees from the vantage of v, a last word, has measured the probe well since, not only at once: v's
// own agent could say no more either.
func succeeded(p *probe, v *voice) bool {
	return slices.ContainsFunc(p.voices, func(o voice) bool {
		return placeOf(o.vantage) == placeOf(v.vantage) && !o.held && (o.Outcome == probes.Up || o.Outcome == probes.Degraded) && o.finding(incident.Outage) == nil && o.Run.Sub(v.at) >= voteLasts
	})
}

// endedElsewhere returns when a vantage that sees saw a problem of some probes end last; zero: it did not.
func endedElsewhere(list []*probe, kind incident.FindingKind) (at time.Time) {
	for _, p := range list {
		for i := range p.voices {
			v := &p.voices[i]
			over := v.Ended
			if kind == incident.Regression {
				over = v.Fast
			}
			if !v.held && over.After(at) {
				at = over
			}
		}
	}
	return at
}

// weigh decides how far something counts that vantages say of a component since then; how long it lasts alone is counted from now, or
// from then where that comes later. open: an incident speaks of it, so that the last words of vantages that are gone count too.
//
// It counts in full by a quorum of those that see and have measured it, see tally.voices. That vantages come, go or lose sight alone
// neither raises, lowers nor ends it: who denied it is remembered, who said so too, each for wordHolds; and what was seen by one vantage
// alone while others answered, or by one place alone, stays so when those go. What a quorum saw holds for lookLong more, since the last
// vantage to recover is most often only late.
func (e *Engine) weigh(c *component, what string, t tally, then time.Time, open bool) (weight, policy.Alone) {
	if len(t.says) == 0 && (len(t.held) == 0 || !open) {
		delete(c.memory.Standing, what)
		return nothing, policy.Alone{}
	}
	s := c.memory.standing(what)
	says, all, several := t.voices(false)
	lasted := func() bool {
		return !s.Alone.IsZero() && (s.Lasted || len(t.says) > 0 && min(e.now.Sub(s.Alone), e.now.Sub(then)) >= e.set.Quorum.Lasting())
	}
	if says > 0 && says >= e.set.Quorum.Of(all) && (several || !s.Away && (all > 1 || !s.Denied)) {
		if s.Full = true; !lasted() {
			s.Alone, s.Denied, s.Away = time.Time{}, false, false
		}
		return inFull, policy.Alone{}
	}
	if s.Full && len(t.held) > 0 {
		if says, all, _ := t.voices(true); says >= e.set.Quorum.Of(all) {
			return stays, policy.Alone{}
		}
	}
	if s.Alone.IsZero() {
		if s.Alone = e.now; then.After(e.now) {
			s.Alone = then
		}
	}
	s.Denied, s.Away = s.Denied || t.fresh || len(t.denied) > 0, s.Away || t.elsewhere
	a := policy.Alone{From: t.says, Others: slices.Concat(t.denies, t.denied)}
	if len(t.says) == 0 {
		a.From = t.held
	}
	slices.Sort(a.Others)
	switch {
	case lasted():
		s.Full, s.Lasted, a.Lasted = false, true, e.set.Quorum.Lasting()
		return inFull, a
	case s.Full && open && e.now.Sub(s.Alone) < lookLong:
		e.step.wake(s.Alone.Add(lookLong))
		return stays, policy.Alone{}
	}
	s.Full = false
	e.step.wake(s.Alone.Add(e.set.Quorum.Lasting()))
	return alone, a
}

// judgedInstance is how an instance stands by what all vantages say.
type judgedInstance struct {
	weight
	alone  policy.Alone
	found  []*incident.Finding
	seen   []string  // vantages that see it
	newest time.Time // start of the newest run that shows it, of so many vantages as it needs; zero: there is none
}

// judgeInstances weighs the outages of a component's instances. Where none counts in full, those that the same vantage sees make what
// is seen alone.
func (e *Engine) judgeInstances(c *component) {
	c.judged = c.judged[:0]
	open := e.member(incident.Availability, c.Name) != nil
	full, by := false, map[string]int{}
	for n, instance := range c.instances {
		var j judgedInstance
		t, found, since := count(decidingOf(instance), open, incident.Outage, func(v *voice) *incident.Finding { return v.finding(incident.Outage) })
		j.weight, j.alone = e.weigh(c, downOf(c, n), t, since, open)
		if j.weight != nothing {
			j.found, j.seen = found, t.says
			need, by := 1, speakers(slices.Concat(t.says, t.denies, t.held)...)
			if !j.alone.Is() {
				need = e.set.Quorum.Of(speak(by, t.says, t.denies))
			}
			j.newest = newestBy(instance, by, min(need, max(1, speak(by, t.says, t.held))))
		}
		full = full || j.weight >= stays
		for _, name := range j.alone.From {
			by[name]++
		}
		c.judged = append(c.judged, j)
	}
	best := ""
	for name, n := range by {
		if n > by[best] || n == by[best] && name < best {
			best = name
		}
	}
	for i := range c.judged {
		j := &c.judged[i]
		if full && j.weight < stays || !full && !slices.Contains(j.alone.From, best) {
			*j = judgedInstance{}
		}
	}
}

func decidingOf(instance []*probe) (list []*probe) {
	for _, p := range instance {
		if p.deciding {
			list = append(list, p)
		}
	}
	return list
}

// newestBy returns the start of the newest run that shows an instance down, of the speaker that is so many'th; zero: fewer do.
func newestBy(instance []*probe, by func(string) string, many int) time.Time {
	runs := map[string]time.Time{}
	for _, p := range instance {
		for i := range p.voices {
			v := &p.voices[i]
			if p.deciding && v.Outcome == probes.Down && v.finding(incident.Outage) != nil && v.Run.After(runs[by(v.vantage)]) {
				runs[by(v.vantage)] = v.Run
			}
		}
	}
	if len(runs) < many {
		return time.Time{}
	}
	var list []time.Time
	for _, at := range runs {
		list = append(list, at)
	}
	slices.SortFunc(list, func(a, b time.Time) int { return b.Compare(a) })
	return list[many-1]
}

// seenBy returns the vantages that see an instance down, where there are several.
func (e *Engine) seenBy(c *component, n int) []string {
	if !e.several(c) {
		return nil
	}
	return c.judged[n].seen
}

// fromWhere says, as a clause, which vantages see what a quorum sees; "": there is but one.
func fromWhere(all ...condition) string {
	var names []string
	for _, k := range all {
		if !k.Alone.Is() {
			names = append(names, k.seen...)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) < 2 {
		return ""
	}
	return "; seen from " + policy.List(names)
}

// undecided reports whether a vantage may still confirm what others say of a component: it fails there and is not sure, or has not
// looked since.
func (k *condition) undecided() bool {
	return k.Alone.Is() && slices.ContainsFunc(k.c.deciding, func(p *probe) bool {
		return slices.ContainsFunc(p.voices, func(v voice) bool {
			return !v.held && v.finding(incident.Outage) == nil && (!v.Doubt.IsZero() || v.heard() && v.Run.Before(k.Since))
		})
	})
}

// doubts reports whether a vantage that sees has seen the probe fail and is not sure of it yet; within: not for longer than that.
func (e *Engine) doubts(p *probe, within time.Duration) bool {
	if len(e.peers) == 0 {
		return p.detector.Suspect() && (within == 0 || e.now.Sub(p.detector.Doubt()) < within)
	}
	return slices.ContainsFunc(p.voices, func(v voice) bool {
		return !v.held && !v.Doubt.IsZero() && (within == 0 || e.now.Sub(v.Doubt) < within)
	})
}

// measured reports whether a vantage that sees has something to say of a probe since the engine began.
func (e *Engine) measured(p *probe) bool {
	if len(e.peers) == 0 {
		return p.fresh != probes.Unknown
	}
	return slices.ContainsFunc(p.voices, func(v voice) bool { return !v.held && v.Outcome != probes.Unknown })
}

// mute reports whether a probe that nobody has measured is waited for no longer, before an incident is called over: it runs and can say
// nothing, as one whose credential expired or whose browser is missing, it had its time, and another probe of its instance has spoken.
func (e *Engine) mute(p *probe, l *live) bool {
	return p.last != nil && p.last.Outcome == probes.Unknown && p.detector.Outage() == nil &&
		e.now.Sub(e.began) > wordHolds && e.now.Sub(l.Opened) > wordHolds &&
		slices.ContainsFunc(decidingOf(p.component.instances[p.instance]), e.measured)
}

// told says what the vantages measure of an instance's deciding probes, a line each.
func (e *Engine) told(instance []*probe) (lines []string) {
	for _, p := range instance {
		if !p.deciding {
			continue
		}
		for i := range p.voices {
			v := &p.voices[i]
			switch f := v.finding(incident.Outage); {
			case f != nil && v.held:
				lines = append(lines, v.vantage+", before it fell silent: "+line(*f))
			case f != nil:
				lines = append(lines, v.vantage+": "+line(*f))
			case v.held || v.Outcome == probes.Unknown:
			case !v.Doubt.IsZero():
				lines = append(lines, fmt.Sprintf("%s: %s: failed at %s, not confirmed yet", v.vantage, p.id, clock(v.Doubt)))
			case v.Outcome != probes.Down:
				lines = append(lines, fmt.Sprintf("%s: %s: answers in %s", v.vantage, p.id, v.Took.Round(100*time.Microsecond)))
			}
		}
	}
	return lines
}

// lasting returns the findings of a kind that each vantage has of a probe, with their voice; of those that are gone where an incident
// speaks of it.
func (p *probe) lasting(kind incident.FindingKind, open bool, yield func(*voice, *incident.Finding)) {
	ended := endedElsewhere([]*probe{p}, kind)
	for i := range p.voices {
		v := &p.voices[i]
		for n := range v.Findings {
			if v.Findings[n].Kind == kind && (!v.held || open && !ended.After(v.at)) {
				yield(v, &v.Findings[n])
			}
		}
	}
}
