package engine

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// judged returns whose matter it is that the probe shows that.
func (p *probe) judged(o probes.Outcome, reason probes.Reason) incident.Judgement {
	return policy.JudgeFailure(p.kind, o, reason, p.judgeAs)
}

// counted returns a result as its probe's configuration judges it.
func (p *probe) counted(r probes.Result) probes.Result {
	if len(p.judgeAs) > 0 {
		r.Outcome = policy.JudgedOutcome(r.Outcome, p.judged(r.Outcome, r.Reason))
	}
	return r
}

// functional reports whether a degraded result with that reason is the application's matter.
func (p *probe) functional(reason probes.Reason) bool {
	return p.judged(probes.Degraded, reason).Matter == incident.MatterFunctional
}

// judgedFinding returns whose matter a finding of the probe is.
func (p *probe) judgedFinding(f *incident.Finding) incident.Judgement {
	switch f.Kind {
	case incident.Outage, incident.MomentaryOutages:
		return p.judged(probes.Down, f.Reason)
	case incident.Regression:
		return p.judged(probes.Degraded, probes.Slow)
	case incident.Threshold:
		return p.judged(probes.Degraded, probes.Capacity)
	case incident.Functional:
	}
	return p.judged(probes.Degraded, f.Reason)
}

// keeps reports whether a finding is still of the kind that the configuration makes of its reason.
func (p *probe) keeps(f *incident.Finding) bool {
	functional := p.judgedFinding(f).Matter == incident.MatterFunctional
	return functional == (f.Kind == incident.Functional)
}

// blame makes a finding the one that the condition is since, and judged by.
func (e *Engine) blame(k *condition, f *incident.Finding) {
	k.Since, k.reason, k.judged = f.Since, f.Reason, e.probes[f.Probe].judgedFinding(f)
}

// judgedClass is the judgement of an incident that no single result stands for.
func judgedClass(c incident.Class) incident.Judgement {
	switch c {
	case incident.Availability:
		return policy.JudgeFailure("", probes.Down, probes.None, nil)
	case incident.Performance:
		return policy.JudgeFailure("", probes.Degraded, probes.Slow, nil)
	case incident.Capacity:
		return policy.JudgeFailure("", probes.Degraded, probes.Capacity, nil)
	case incident.Function:
		return policy.JudgeFailure("", probes.Degraded, probes.Functional, nil)
	case incident.Account:
		return policy.JudgeFailure("", probes.Unknown, probes.Auth, nil)
	case incident.Agent:
	}
	return policy.JudgeFailure("", probes.Unknown, probes.Blind, nil)
}

// rejudge drops the findings that the configuration judges otherwise than it did when they were made. What is measured from now on
// is counted anew: nothing that is dropped opens anything.
func (e *Engine) rejudge() {
	for _, c := range e.components {
		dropped := map[incident.Class]bool{}
		for _, instance := range c.instances {
			for _, p := range instance {
				for _, kind := range p.detector.Rejudge(p.keeps) {
					if kind == incident.Functional {
						dropped[incident.Function] = true
					} else {
						dropped[incident.Availability] = true
					}
				}
			}
		}
		if dropped[incident.Availability] && !slices.ContainsFunc(c.deciding, func(p *probe) bool { return p.detector.Outage() != nil }) {
			c.memory.DownSince = time.Time{} // that it ends now is no recovery
		}
		for class := range dropped {
			if l := e.member(class, c.Name); l != nil {
				e.rejudged[l.ID] = true
			}
		}
	}
}

// rejudgedText says why an incident ends that is not over.
func rejudgedText(l *live) string {
	if l.Class == incident.Function {
		return "the configuration now judges what was measured as infrastructure; where it lasts, a case follows"
	}
	return "the configuration now judges what was measured as functional, for which no case is kept at the Operations Centre; where it lasts, the functional contact is told"
}
