package engine

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// judgeAccount follows whether the probe's own account is refused. That is for its owners, who are told once: the incident lasts
// until a run that got through to the target shows that the account works, or is tried, again. A target that does not answer
// says nothing about the account.
func (e *Engine) judgeAccount(p *probe, r *probes.Result) {
	if !p.account {
		return
	}
	l, why := e.member(incident.Account, p.id), accountFact(r)
	if why != "" || answers(r) {
		p.refused = why
	}
	if !e.leads {
		return
	}
	switch {
	case why != "" && l == nil:
		e.openAccount(p, r.Start, why)
	case why != "" && !slices.Equal(l.Detail, []string{why}):
		l.Detail, l.Updated = []string{why}, e.now
		e.step.put(l.Incident)
	case why == "" && l != nil && answers(r) && e.peerRefused(p.id) == nil:
		e.closeIncident(l, incident.Recovered, r.Start, "the account of the probe "+p.id+" is used again")
	}
}

func (e *Engine) openAccount(p *probe, since time.Time, why string) {
	e.open(incident.Account, p.id, since, []string{p.id}, verdictText{
		title: "the account of the probe " + p.id + " is off", reason: string(probes.Auth), judged: judgedClass(incident.Account),
		why: "the probe's own account is refused: nothing is said against the customer's solution and no case is opened; mend the account, then run firstcall probe " +
			p.id + " --try-account-again, or change the probe's secret and reload",
		lines: func() []string { return []string{why} },
	})
}

// judgePeerAccount does the same for what the peers say of a probe's account. Several vantages may use one account each.
func (e *Engine) judgePeerAccount(p *probe) {
	l, refused := e.member(incident.Account, p.id), e.peerRefused(p.id)
	switch {
	case refused != nil && l == nil:
		e.openAccount(p, refused.renewed, refused.vote.Vantage+": "+refused.vote.Probes[p.id].Account)
	case refused == nil && l != nil && p.refused == "":
		works := slices.ContainsFunc(e.peers, func(o *peer) bool {
			v, ok := o.vote.Probes[p.id]
			return ok && o.counts() && (v.Outcome == probes.Up || v.Outcome == probes.Degraded) && v.Run.After(l.Started)
		})
		if works {
			e.closeIncident(l, incident.Recovered, e.now, "the account of the probe "+p.id+" is used again")
		}
	}
}

// peerRefused returns the first peer whose account of a probe is refused, or nil.
func (e *Engine) peerRefused(id string) *peer {
	for _, o := range e.peers {
		if o.counts() && o.vote.Probes[id].Account != "" {
			return o
		}
	}
	return nil
}

// accountFact returns what a result says of a refused account of the probe's own; "": nothing.
func accountFact(r *probes.Result) string {
	for i := range r.Facts {
		if r.Facts[i].Name == probes.FactAccount {
			return r.Facts[i].Value
		}
	}
	return ""
}

// dropAccounts closes the incidents of accounts of probes that use none any more, or are gone.
func (e *Engine) dropAccounts() {
	for _, l := range e.openOf(incident.Account) {
		if p := e.probes[l.Root]; p == nil || !p.account {
			e.closeIncident(l, incident.Removed, e.now, "no such probe with an account of its own is configured any more")
		}
	}
}
