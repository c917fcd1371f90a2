package engine

import (
	"slices"

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
	switch {
	case why != "" && l == nil:
		j := judgedClass(incident.Account)
		e.open(incident.Account, p.id, r.Start, []string{p.id}, verdictText{
			title: "the account of the probe " + p.id + " is off", reason: string(probes.Auth), judged: j,
			why: "the probe's own account is refused: nothing is said against the customer's solution and no case is opened; mend the account, then run firstcall probe " +
				p.id + " --try-account-again, or change the probe's secret and reload",
			lines: func() []string { return []string{why} },
		})
	case why != "" && !slices.Equal(l.Detail, []string{why}):
		l.Detail, l.Updated = []string{why}, e.now
		e.step.put(l.Incident)
	case why == "" && l != nil && answers(r):
		e.closeIncident(l, incident.Recovered, r.Start, "the account of the probe "+p.id+" is used again")
	}
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
