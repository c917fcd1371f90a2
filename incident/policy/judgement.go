package policy

import (
	"fmt"
	"slices"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// Rule is a row of the table by which a failure is judged: the first one that fits decides.
type Rule struct {
	Name     string
	Outcomes []probes.Outcome // empty: down and degraded
	Reasons  []probes.Reason  // empty: every one
	Kinds    []string         // of probes; empty: every one
	Matter   incident.Matter
	Why      string // a clause that follows "because", by the contract's words where it has some
	Fixed    string // why a configuration cannot judge it otherwise; "": it may
}

// The names of rules that are judged by without a result.
const (
	RuleMomentary = "momentary"
	RuleSpeed     = "speed"
	RuleLimit     = "limit"
)

var (
	unknown  = []probes.Outcome{probes.Unknown}
	anything = []probes.Outcome{probes.Unknown, probes.Degraded, probes.Down}
	silent   = []probes.Reason{probes.Timeout, probes.Refused, probes.Reset, probes.Unreachable, probes.DNS, probes.TLS}
)

// rules is the table. It is complete: every outcome but up, with every reason, has a row.
var rules = []Rule{
	{
		Name: "own-account", Outcomes: unknown, Reasons: []probes.Reason{probes.Auth}, Matter: incident.MatterAgent,
		Why:   "the probe's own account or identity is refused, so that nothing is known of the target: the account's owner must mend it",
		Fixed: "nothing is known of the target",
	},
	{
		Name: "own-fault", Outcomes: anything, Reasons: []probes.Reason{probes.Local, probes.Blind, probes.Internal}, Matter: incident.MatterAgent,
		Why:   "the agent's own host, network or program fails, so that nothing is known of the target",
		Fixed: "nothing is known of the target",
	},
	{
		Name: "not-known", Outcomes: unknown, Matter: incident.MatterAgent,
		Why:   "the agent cannot tell how the target fares",
		Fixed: "nothing is known of the target",
	},
	{
		Name: "credential", Reasons: []probes.Reason{probes.Auth}, Matter: incident.MatterFunctional,
		Why:   "the application answers and refuses the probe's log-in: accounts and their rights are configuration, which the Operations Centre does not take",
		Fixed: "it says that the probe's account is wrong, and nothing of the customer's users",
	},
	{
		Name: "application", Reasons: []probes.Reason{probes.Functional}, Matter: incident.MatterFunctional,
		Why: "the application itself answers that the request is wrong: its functionality and configuration are not infrastructure",
	},
	{
		Name: RuleSpeed, Reasons: []probes.Reason{probes.Slow}, Matter: incident.MatterInfrastructure,
		Why:   "severe performance issues that occur unexpectedly are infrastructure",
		Fixed: "it is judged over a window, and not by a reason",
	},
	{
		Name: RuleLimit, Reasons: []probes.Reason{probes.Capacity}, Matter: incident.MatterInfrastructure,
		Why:   "a progression limit for resources that is exceeded is infrastructure",
		Fixed: "it is judged by a limit: leave the limit out",
	},
	{
		Name: "remote-log-in", Reasons: silent, Kinds: []string{"rdp", "avd", "avd-pool"}, Matter: incident.MatterInfrastructure,
		Why:   "nobody can log in with Remote Desktop to the server or to Azure Virtual Desktop while it does not answer",
		Fixed: "no answer came: the application has said nothing",
	},
	{
		Name: "no-answer", Reasons: silent, Matter: incident.MatterInfrastructure,
		Why:   "no answer came: a server or client that is completely irresponsive, or cannot be reached entirely, is infrastructure",
		Fixed: "no answer came: the application has said nothing",
	},
	{
		Name: "certificate", Reasons: []probes.Reason{probes.BadCertificate}, Matter: incident.MatterInfrastructure,
		Why: "its certificate is refused by every client that checks it, so that it cannot be reached",
	},
	{
		Name: "remote-answer", Reasons: []probes.Reason{probes.Protocol, probes.Status, probes.Content}, Kinds: []string{"rdp", "avd", "avd-pool"}, Matter: incident.MatterInfrastructure,
		Why: "nobody can log in with Remote Desktop to the server or to Azure Virtual Desktop while it answers like this",
	},
	{
		Name: "wrong-answer", Reasons: []probes.Reason{probes.Protocol, probes.Status, probes.Content}, Matter: incident.MatterInfrastructure,
		Why: "what answers is a fault of its server or gateway, or something else than the application, which cannot be reached",
	},
	{
		Name: RuleMomentary, Reasons: []probes.Reason{probes.None}, Matter: incident.MatterInfrastructure,
		Why:   "it failed and answered again: momentary outages are infrastructure",
		Fixed: "it has no reason",
	},
}

// Rules returns the table by which failures are judged, in its order.
func Rules() []Rule { return slices.Clone(rules) }

// Reasons that a configuration may judge otherwise, and the matters that it may name.
var (
	judgeable = []incident.Matter{incident.MatterInfrastructure, incident.MatterFunctional}
	byChoice  = "the configuration says so for this probe"
)

func (r Rule) fits(kind string, o probes.Outcome, reason probes.Reason) bool {
	outcomes := r.Outcomes
	if len(outcomes) == 0 {
		outcomes = []probes.Outcome{probes.Degraded, probes.Down}
	}
	return slices.Contains(outcomes, o) &&
		(len(r.Reasons) == 0 || slices.Contains(r.Reasons, reason)) &&
		(len(r.Kinds) == 0 || slices.Contains(r.Kinds, kind))
}

// JudgeFailure says whose matter it is that a run of a probe of that kind has that outcome for that reason. as holds what the
// probe's configuration judges otherwise (see CheckJudgeAs); nil: nothing. What is up is nobody's: the zero Judgement.
func JudgeFailure(kind string, o probes.Outcome, reason probes.Reason, as map[probes.Reason]incident.Matter) incident.Judgement {
	if o == probes.Up {
		return incident.Judgement{}
	}
	for _, r := range rules {
		if !r.fits(kind, o, reason) {
			continue
		}
		if matter, ok := as[reason]; ok && matter != r.Matter && r.Fixed == "" {
			return incident.Judgement{Matter: matter, Rule: r.Name, Why: byChoice, Configured: true}
		}
		return incident.Judgement{Matter: r.Matter, Rule: r.Name, Why: r.Why}
	}
	return incident.Judgement{Matter: incident.MatterInfrastructure, Rule: RuleMomentary, Why: "it failed"} // of a reason that is not one
}

// JudgedOutcome returns what a run with that outcome counts as: a wrong answer that the configuration calls functional takes
// nobody's solution down, and a functional failure that it calls infrastructure does.
func JudgedOutcome(o probes.Outcome, j incident.Judgement) probes.Outcome {
	switch {
	case !j.Configured:
	case j.Matter == incident.MatterFunctional && o == probes.Down:
		return probes.Degraded
	case j.Matter == incident.MatterInfrastructure && o == probes.Degraded:
		return probes.Down
	}
	return o
}

// CheckJudgeAs returns what is wrong with judging a reason of a probe as that matter, as a clause that follows the reason's
// name; "": nothing is.
func CheckJudgeAs(kind string, reason probes.Reason, as incident.Matter) string {
	if !slices.Contains(judgeable, as) {
		return fmt.Sprintf("cannot be judged %s: want one of %v", as, judgeable)
	}
	for _, r := range rules {
		if r.fits(kind, probes.Down, reason) {
			if r.Fixed != "" && r.Matter != as {
				return fmt.Sprintf("cannot be judged %s: %s", as, r.Fixed)
			}
			return ""
		}
	}
	return "is no reason of a result"
}
