package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/probes"
)

func newProbe() *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use: "probe NAME", Short: "Run one configured probe once, as a Nagios plugin does", Args: cobra.ExactArgs(1),
		Long: "Runs one configured probe once and prints its result in the Nagios plugin form.\n" +
			"NAME is a probe's id (component/probe or component/instance/probe), or an ending of it that is unique.\n" +
			"Exit code: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (wrong usage, or the agent's own host is at fault).",
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "nagios" && output != "json" {
				return exitError{nagiosUnknown, fmt.Errorf("--output: no form %q: want nagios or json", output)}
			}
			c, err := load(file, cmd.ErrOrStderr())
			if err != nil {
				return exitError{nagiosUnknown, err}
			}
			p, err := find(c, args[0])
			if err != nil {
				return exitError{nagiosUnknown, err}
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), p.Timeout, fmt.Errorf("no answer within %s", p.Timeout))
			defer cancel()
			r := p.Probe.Probe(ctx)
			r.Probe = p.ID
			if output == "json" {
				if err := printJSON(cmd.OutOrStdout(), r); err != nil {
					return err
				}
			} else if _, err := fmt.Fprintln(cmd.OutOrStdout(), nagios(p, r)); err != nil {
				return err
			}
			if code := nagiosCode(r.Outcome); code != 0 {
				return exitError{code: code}
			}
			return nil
		},
	}
	addConfigFlag(cmd, &file)
	cmd.Flags().StringVarP(&output, "output", "o", "nagios", "form of the result: nagios, json")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := config.Load(file)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []string
		for _, p := range c.AllProbes() {
			ids = append(ids, p.ID)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// find returns the probe with that id, or the only one whose id ends with /name.
func find(c *config.Config, name string) (*config.Probe, error) {
	var fit []*config.Probe
	var ids []string
	for _, p := range c.AllProbes() {
		if p.ID == name {
			return p, nil
		}
		if strings.HasSuffix(p.ID, "/"+name) || strings.HasPrefix(p.ID, name+"/") {
			fit = append(fit, p)
		}
		ids = append(ids, p.ID)
	}
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		slices.Sort(ids)
		return nil, fmt.Errorf("there is no probe %q: want one of %s", name, strings.Join(ids, ", "))
	}
	ids = ids[:0]
	for _, p := range fit {
		ids = append(ids, p.ID)
	}
	return nil, fmt.Errorf("%q fits several probes: want one of %s", name, strings.Join(ids, ", "))
}

const nagiosUnknown = 3

func nagiosCode(o probes.Outcome) int {
	return map[probes.Outcome]int{probes.Up: 0, probes.Degraded: 1, probes.Down: 2, probes.Unknown: nagiosUnknown}[o]
}

// nagios prints a result as one line: state, text, a bar, performance data (label=value;warn;crit). A latency limit is the
// warning level, the timeout the critical one.
func nagios(p *config.Probe, r probes.Result) string {
	word := map[probes.Outcome]string{probes.Up: "OK", probes.Degraded: "WARNING", probes.Down: "CRITICAL", probes.Unknown: "UNKNOWN"}[r.Outcome]
	text := r.Detail
	if text == "" {
		text = "answers in " + r.Duration.Round(100*time.Microsecond).String()
	}
	if r.Reason != probes.None {
		text = string(r.Reason) + ": " + text
	}
	var b strings.Builder
	fmt.Fprintf(&b, "FIRSTCALL %s - %s: %s | %s", word, p.ID, strings.ReplaceAll(text, "|", "/"), perf(p, probes.PhaseTotal, r.Duration))
	for _, phase := range r.Phases {
		b.WriteString(" " + perf(p, phase.Name, phase.Duration))
	}
	return b.String()
}

func perf(p *config.Probe, phase string, d time.Duration) string {
	warn, crit := "", ""
	if limit, ok := p.Limits[phase]; ok {
		warn = fmt.Sprintf("%g", limit.Seconds())
	}
	if phase == probes.PhaseTotal {
		crit = fmt.Sprintf("%g", p.Timeout.Seconds())
	}
	return strings.TrimRight(fmt.Sprintf("%s=%.6fs;%s;%s", phase, d.Seconds(), warn, crit), ";")
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
