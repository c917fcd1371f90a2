package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	infrastructure = incident.MatterInfrastructure
	functional     = incident.MatterFunctional
	own            = incident.MatterAgent
)

// TestJudgeFailure is the table, as the contract has it: what is not here is judged like its neighbours.
func TestJudgeFailure(t *testing.T) {
	for _, c := range []struct {
		kind    string
		outcome probes.Outcome
		reason  probes.Reason
		matter  incident.Matter
		rule    string
	}{
		{"http", probes.Up, probes.None, "", ""},
		{"http", probes.Down, probes.Timeout, infrastructure, "no-answer"},
		{"http", probes.Down, probes.Refused, infrastructure, "no-answer"},
		{"http", probes.Down, probes.Reset, infrastructure, "no-answer"},
		{"icmp", probes.Down, probes.Unreachable, infrastructure, "no-answer"},
		{"dns", probes.Down, probes.DNS, infrastructure, "no-answer"},
		{"http", probes.Down, probes.TLS, infrastructure, "no-answer"},
		{"tls", probes.Down, probes.BadCertificate, infrastructure, "certificate"},
		{"tcp", probes.Down, probes.Protocol, infrastructure, "wrong-answer"},
		{"http", probes.Down, probes.Status, infrastructure, "wrong-answer"},
		{"http", probes.Down, probes.Content, infrastructure, "wrong-answer"},
		{"rdp", probes.Down, probes.Timeout, infrastructure, "remote-log-in"},
		{"avd", probes.Down, probes.DNS, infrastructure, "remote-log-in"},
		{"avd-pool", probes.Down, probes.Status, infrastructure, "remote-answer"},
		{"rdp", probes.Down, probes.BadCertificate, infrastructure, "certificate"},
		{"http", probes.Degraded, probes.Auth, functional, "credential"},
		{"http", probes.Down, probes.Auth, functional, "credential"},
		{"http", probes.Degraded, probes.Functional, functional, "application"},
		{"avd", probes.Degraded, probes.Functional, functional, "application"},
		{"http", probes.Degraded, probes.Slow, infrastructure, "speed"},
		{"tls", probes.Degraded, probes.Capacity, infrastructure, "limit"},
		{"", probes.Down, probes.None, infrastructure, "momentary"},
		{"rdp", probes.Unknown, probes.Auth, own, "own-account"},
		{"http", probes.Unknown, probes.Local, own, "own-fault"},
		{"http", probes.Down, probes.Internal, own, "own-fault"},
		{"tcp", probes.Unknown, probes.Blind, own, "own-fault"},
		{"http", probes.Unknown, probes.Timeout, own, "not-known"},
		{"http", probes.Unknown, probes.None, own, "not-known"},
	} {
		j := policy.JudgeFailure(c.kind, c.outcome, c.reason, nil)
		if j.Matter != c.matter || j.Rule != c.rule || (j.Why == "") != (c.matter == "") || j.Configured {
			t.Errorf("%s %s %s: %+v, want %s by %s", c.kind, c.outcome, c.reason, j, c.matter, c.rule)
		}
	}
}

// Every outcome with every reason has a row, and what the agent cannot know is nobody else's (invariant: no case).
func TestEveryFailureIsJudged(t *testing.T) {
	used := map[string]bool{}
	for _, kind := range []string{"http", "rdp"} {
		for _, o := range []probes.Outcome{probes.Unknown, probes.Degraded, probes.Down} {
			for _, reason := range append([]probes.Reason{probes.None}, probes.Reasons...) {
				j := policy.JudgeFailure(kind, o, reason, nil)
				used[j.Rule] = true
				if o == probes.Unknown && j.Matter != own || !strings.HasPrefix(j.String(), "judged ") || strings.HasSuffix(j.Why, ".") {
					t.Errorf("%s %s %s: %q", kind, o, reason, j)
				}
			}
		}
	}
	for _, r := range policy.Rules() {
		if !used[r.Name] {
			t.Errorf("row %s never decides", r.Name)
		}
	}
}

// A configuration may say that an answer is functional, or that a functional one is infrastructure; what no answer, an account or the
// agent itself says it cannot.
func TestJudgeAs(t *testing.T) {
	otherwise := []probes.Reason{probes.BadCertificate, probes.Protocol, probes.Status, probes.Content, probes.Functional}
	for _, reason := range probes.Reasons {
		was := policy.JudgeFailure("http", probes.Down, reason, nil).Matter
		for _, as := range []incident.Matter{infrastructure, functional, own, "nobody"} {
			fault := policy.CheckJudgeAs("http", reason, as)
			allowed := as == was && as != own || slices.Contains(otherwise, reason) && (as == infrastructure || as == functional)
			if (fault == "") != allowed {
				t.Errorf("%s as %s: %q", reason, as, fault)
			}
			j := policy.JudgeFailure("http", probes.Down, reason, map[probes.Reason]incident.Matter{reason: as})
			changed := allowed && as != was
			if j.Configured != changed && fault == "" || changed && (j.Matter != as || j.String() != "judged "+string(as)+" because the configuration says so for this probe") {
				t.Errorf("%s as %s: %+v", reason, as, j)
			}
		}
	}
	if fault := policy.CheckJudgeAs("http", "nothing", functional); fault == "" {
		t.Error("a reason that there is not may be judged")
	}
	// Nothing is known of the target: no configuration changes that.
	as := map[probes.Reason]incident.Matter{probes.Content: functional, probes.Functional: infrastructure}
	if j := policy.JudgeFailure("http", probes.Unknown, probes.Content, as); j.Matter != own || j.Configured {
		t.Errorf("%+v", j)
	}
	for _, c := range []struct {
		outcome probes.Outcome
		reason  probes.Reason
		want    probes.Outcome
	}{
		{probes.Down, probes.Content, probes.Degraded},
		{probes.Down, probes.Status, probes.Down},
		{probes.Degraded, probes.Functional, probes.Down},
		{probes.Degraded, probes.Auth, probes.Degraded},
		{probes.Unknown, probes.Content, probes.Unknown},
		{probes.Up, probes.None, probes.Up},
	} {
		if got := policy.JudgedOutcome(c.outcome, policy.JudgeFailure("http", c.outcome, c.reason, as)); got != c.want {
			t.Errorf("%s %s counts as %s, want %s", c.outcome, c.reason, got, c.want)
		}
	}
}
