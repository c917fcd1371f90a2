package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

// learntCommand is what the commands on baselines share.
type learntCommand struct {
	client
	output string
}

func (c *learntCommand) flags(cmd *cobra.Command) *cobra.Command {
	c.add(cmd)
	cmd.Flags().StringVarP(&c.output, "output", "o", "text", "`FORM` of the answer: text, json")
	complete(cmd, "output", "text", "json")
	cmd.PreRunE = func(*cobra.Command, []string) error { return oneOf("--output", c.output, "text", "json") }
	cmd.ValidArgsFunction = c.ids
	return cmd
}

func newDetectAccept() *cobra.Command {
	var c learntCommand
	var actor string
	cmd := &cobra.Command{
		Use: "accept PROBE [REASON...]", Short: "Take the latency that a probe measures now as normal, after a permanent change",
		Long: "Takes the latency that a probe of a running agent measures now as normal from now on. That is for a permanent change: another\n" +
			"host, another route. A speed problem of the probe ends with it, and its case is closed with the name of who did it. Without it\n" +
			"a latency is taken as normal once it has lasted for a day.",
		Example: "  firstcall detect accept web-client/http moved to another region",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]string{"actor": actor, "reason": strings.Join(args[1:], " ")}
			var answer web.Accepted
			if err := c.do(cmd.Context(), http.MethodPost, "/api/v1/probes/accept?probe="+url.QueryEscape(args[0]), body, &answer); err != nil {
				return noProbe(args[0], err)
			}
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			text := "what it measures now is normal from now on, by " + actor
			if answer.Slow {
				text += "; its speed problem is over"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", printable(answer.Probe), text)
			return err
		},
	}
	cmd.Flags().StringVar(&actor, "actor", me(), "who does this, as it shall stand in the timeline")
	return c.flags(cmd)
}

// learnt is what is known of a probe's latency, as it is printed.
type learnt struct {
	Probe string `json:"probe"`
	engine.BaselineView
	Newest   time.Duration  `json:"newest,omitempty"` // of the newest run, where it was answered
	At       time.Time      `json:"at,omitzero"`
	Outcome  probes.Outcome `json:"outcome"`
	SlowFrom time.Time      `json:"slow_since,omitzero"` // of a speed problem
	Quiet    time.Time      `json:"fast_since,omitzero"` // where it is fast again, but watched
}

func newDetectBaseline() *cobra.Command {
	var c learntCommand
	return c.flags(&cobra.Command{
		Use: "baseline [PROBE]", Short: "Show what is normal for the probes of a running agent, and how far that is learnt",
		Args:    cobra.MaximumNArgs(1),
		Example: "  firstcall detect baseline\n  firstcall detect baseline web-client/http -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			var answer web.Components
			if err := c.get(cmd.Context(), "/api/v1/components", &answer); err != nil {
				return err
			}
			all := learntOf(answer)
			if len(args) > 0 {
				one := pick(all, args[0])
				if one == nil {
					return fmt.Errorf("there is no probe %q of a component: 'firstcall detect baseline' lists them", args[0])
				}
				all = one
			}
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), struct {
					Probes []learnt `json:"probes"`
				}{all})
			}
			return printLearnt(cmd.OutOrStdout(), all)
		},
	})
}

// learntOf returns every probe of a component.
func learntOf(answer web.Components) []learnt {
	all := []learnt{}
	for _, c := range answer.Components {
		for _, i := range c.Instances {
			for _, p := range i.Probes {
				all = append(all, newLearnt(p))
			}
		}
	}
	return all
}

func newLearnt(p engine.ProbeView) learnt {
	l := learnt{Probe: p.ID, Outcome: p.Outcome}
	if p.Baseline != nil {
		l.BaselineView = *p.Baseline
	}
	if r := p.Last; r != nil && (r.Outcome == probes.Up || r.Outcome == probes.Degraded) {
		l.Newest, l.At = r.Duration, r.Start
		if rtt, ok := r.Phase(probes.PhaseRTT); ok {
			l.Newest = rtt // which is what is judged
		}
	}
	for _, f := range p.Findings {
		if f.Kind == incident.Regression {
			l.SlowFrom, l.Quiet = f.Since, f.Quiet
		}
	}
	return l
}

func pick(all []learnt, id string) []learnt {
	for n := range all {
		if all[n].Probe == id {
			return all[n : n+1]
		}
	}
	return nil
}

func printLearnt(w io.Writer, all []learnt) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no probes")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row(tw, "PROBE", "LEARNT", "NORMAL NOW", "SLOW FROM", "NEWEST", "STATE")
	for _, l := range all {
		row(tw, l.Probe, l.progress(), orDash(took(l.Expected)), orDash(took(l.Limit)), orDash(took(l.Newest)), l.state())
	}
	return tw.Flush()
}

func (l *learnt) progress() string {
	if l.Days < l.Of {
		return fmt.Sprintf("learning, %d of %d days", l.Days, l.Of)
	}
	return "whole"
}

func (l *learnt) state() string {
	switch {
	case !l.Quiet.IsZero():
		return "fast again since " + clockTime(l.Quiet) + ", watched"
	case !l.SlowFrom.IsZero():
		return "slow since " + clockTime(l.SlowFrom)
	}
	return l.Outcome.String()
}

// took writes a latency with the digits that matter; "" for none.
func took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// noProbe says, of the error of a call for one probe, that there is none, where that is so.
func noProbe(id string, err error) error {
	if !errors.Is(err, errAbsent) {
		return err
	}
	var absent *absentError
	hint := ""
	if errors.As(err, &absent) && strings.HasPrefix(absent.hint, "did you mean ") {
		hint = printable(absent.hint)
	}
	return fmt.Errorf("there is no probe %q: %s", id, cmp.Or(hint, "'firstcall detect baseline' lists them"))
}

// ids completes the first argument with the probes of components.
func (c *learntCommand) ids(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second) // a person waits at the prompt
	defer cancel()
	var answer web.Components
	if c.get(ctx, "/api/v1/components", &answer) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []cobra.Completion
	for _, l := range learntOf(answer) {
		ids = append(ids, cobra.CompletionWithDesc(printable(l.Probe), l.progress()))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
