package reference

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// The lines of docs/cases.md between which the table stands.
const (
	tableBegins = "<!-- the table of judgements, written by make generate -->\n"
	tableEnds   = "<!-- end of the table -->\n"
)

// withJudgements returns a page with the table by which failures are judged in its place.
func withJudgements(page []byte) ([]byte, error) {
	before, rest, begun := bytes.Cut(page, []byte(tableBegins))
	_, after, ended := bytes.Cut(rest, []byte(tableEnds))
	if !begun || !ended {
		return nil, errors.New("docs/cases.md has no place for the table of judgements: " + strings.TrimSpace(tableBegins))
	}
	return bytes.Join([][]byte{before, []byte(tableBegins), []byte(judgements()), []byte(tableEnds), after}, nil), nil
}

// judgements renders policy.Rules.
func judgements() string {
	var b strings.Builder
	b.WriteString("| reason | outcome | kind of probe | judged | because | `judge_as` |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range policy.Rules() {
		outcomes, kinds, choice := "down, degraded", "any", "yes"
		if len(r.Outcomes) > 0 {
			outcomes = joined(r.Outcomes, probes.Outcome.String)
		}
		if len(r.Kinds) > 0 {
			kinds = joined(r.Kinds, code)
		}
		reasons := joined(r.Reasons, func(reason probes.Reason) string {
			if reason == probes.None {
				return "none"
			}
			return code(string(reason))
		})
		if len(r.Reasons) == 0 {
			reasons = "any other"
		}
		matter := string(r.Matter)
		if r.Matter == incident.MatterAgent {
			matter = "the agent's own"
		}
		if r.Fixed != "" {
			choice = "no: " + r.Fixed
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", reasons, outcomes, kinds, matter, cell(r.Why), cell(choice))
	}
	return b.String()
}

func joined[T any](all []T, word func(T) string) string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = word(one)
	}
	return strings.Join(words, ", ")
}
