package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

func newProbe() *cobra.Command {
	var file, output string
	var again bool
	cmd := &cobra.Command{
		Use: "probe NAME", Short: "Run one configured probe once, as a Nagios plugin does",
		Long: "Runs one configured probe once and prints its result in the Nagios plugin form: one line with the state, what was\n" +
			"seen, and performance data (seconds by phase, and what was measured of resources; the limit warns, the timeout is critical).\n\n" +
			"NAME is a probe's id (component/probe or component/instance/probe), or a beginning or an ending of it that fits no\n" +
			"other. Exit code: 0 OK, 1 WARNING (the limit of a latency or of a number is passed), 2 CRITICAL, 3 UNKNOWN (wrong\n" +
			"usage, wrong configuration, or the agent's own host is at fault).",
		Example: "  firstcall probe web-client --config.file acme.yaml\n  firstcall probe backend/app01/http -o json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("--output", output, "nagios", "json"); err != nil {
				return nagiosFault(cmd, err)
			}
			c, err := config.Load(file)
			if err != nil {
				return nagiosFault(cmd, loadFault(file, err))
			}
			p, err := find(c, args)
			if err != nil {
				return nagiosFault(cmd, err)
			}
			latches, err := c.Latches(nil)
			if err != nil {
				return nagiosFault(cmd, err)
			}
			defer func() { _ = latches.Close() }() // each record was stored or not when it was made
			c.UseLatches(latches)
			if again {
				if err := resetAccount(p); err != nil {
					return nagiosFault(cmd, err)
				}
			}
			r := runOnce(cmd.Context(), p)
			probes.CloseBrowsers()
			if output == "json" {
				err = printJSON(cmd.OutOrStdout(), judgedResult{r, judged(p, r)})
			} else {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), nagios(p, r))
			}
			if code := nagiosCode(r.Outcome); err == nil && code != 0 {
				return exitError{code: code}
			}
			return err
		},
	}
	addConfigFlag(cmd, &file)
	cmd.Flags().StringVarP(&output, "output", "o", "nagios", "`FORM` of the result: nagios, json")
	cmd.Flags().BoolVar(&again, "try-account-again", false, "log on again with an account that was refused before")
	complete(cmd, "output", "nagios", "json")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return nagiosFault(cmd, wrongFlag(cmd, err)) })
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		c, err := config.Load(file)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return ids(c.AllProbes()), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// resetAccount lets a probe's account, which was refused, be tried again, by the running agent too.
func resetAccount(p *config.Probe) error {
	r, ok := p.Probe.(probes.ResetsLatch)
	switch {
	case !probes.HasAccount(p.Probe):
		return usage("--try-account-again: probe %s has no account of its own", p.ID)
	case !ok: // it is tried at every run
		return nil
	}
	return r.ResetLatch()
}

// runOnce makes one run and judges it by the probe's limits: of what the agent judges over several runs, one is all that there is.
func runOnce(ctx context.Context, p *config.Probe) probes.Result {
	ctx, cancel := context.WithTimeoutCause(ctx, p.Timeout, fmt.Errorf("no answer within %s", p.Timeout))
	defer cancel()
	r := p.Probe.Probe(ctx)
	r.Probe = p.ID
	r.Outcome = policy.JudgedOutcome(r.Outcome, judged(p, r))
	if r.Outcome != probes.Up {
		return r
	}
	for _, phase := range append([]probes.Phase{{Name: probes.PhaseTotal, Duration: r.Duration}}, r.Phases...) {
		if limit, ok := p.Limits[phase.Name]; ok && phase.Duration > limit {
			r.Outcome, r.Reason = probes.Degraded, probes.Slow
			r.Detail = fmt.Sprintf("%s took %s, over its limit of %s", phase.Name, phase.Duration.Round(time.Millisecond/10), limit)
			return r
		}
	}
	kind, _ := probes.Lookup(p.Kind)
	for _, n := range r.Numbers {
		declared, ok := kind.Number(n.Name)
		if limit, limited := p.Thresholds[n.Name]; ok && limited && declared.Passed(n.Value, limit) {
			r.Outcome, r.Reason = probes.Degraded, probes.Capacity
			r.Detail = fmt.Sprintf("%s is %s, limit %s", n.Name, declared.Format(n.Value), declared.Format(limit))
			if n.Of != "" {
				r.Detail += ", of " + n.Of
			}
			return r
		}
	}
	return r
}

// judged returns whose matter it is that a run of the probe failed.
func judged(p *config.Probe, r probes.Result) incident.Judgement {
	return policy.JudgeFailure(p.Kind, r.Outcome, r.Reason, p.JudgeAs)
}

// judgedResult is a result as it is printed in JSON.
type judgedResult struct {
	probes.Result
	Judged incident.Judgement `json:"judged,omitzero"`
}

// find returns the probe with the id args[0], or the only one whose id ends with /name or begins with name/.
func find(c *config.Config, args []string) (*config.Probe, error) {
	all := c.AllProbes()
	if len(args) != 1 {
		return nil, fmt.Errorf("want the name of one probe, not %d arguments: %s", len(args), oneOfIDs(all))
	}
	name := args[0]
	var fit []*config.Probe
	for _, p := range all {
		if p.ID == name {
			return p, nil
		}
		if strings.HasSuffix(p.ID, "/"+name) || strings.HasPrefix(p.ID, name+"/") {
			fit = append(fit, p)
		}
	}
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		return nil, fmt.Errorf("there is no probe %q: want %s", name, oneOfIDs(all))
	}
	return nil, fmt.Errorf("%q fits %d probes: want %s", name, len(fit), oneOfIDs(fit))
}

func ids(list []*config.Probe) []string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.ID
	}
	slices.Sort(names)
	return names
}

// oneOfIDs names the first of many probes.
func oneOfIDs(list []*config.Probe) string {
	const most = 12
	names := ids(list)
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("or one of %d more", more))
	}
	return "one of " + strings.Join(names, ", ")
}

// The limits of the Nagios plugin form.
const (
	nagiosUnknown = 3
	nagiosText    = 1000 // bytes of the text; a plugin's whole output is cut at 4 KiB by old servers
)

func nagiosCode(o probes.Outcome) int {
	return map[probes.Outcome]int{probes.Up: 0, probes.Degraded: 1, probes.Down: 2, probes.Unknown: nagiosUnknown}[o]
}

// nagiosFault says on standard output, which is all that a Nagios server reads, why nothing could be measured.
func nagiosFault(cmd *cobra.Command, err error) error {
	_, _ = fmt.Fprintln(cmd.OutOrStdout(), "FIRSTCALL UNKNOWN - "+nagiosLine(err.Error()))
	return exitError{code: nagiosUnknown}
}

// loadFault is load's error on one line.
func loadFault(file string, err error) error {
	var faults config.Faults
	if !errors.As(err, &faults) || len(faults) == 0 {
		return err
	}
	if len(faults) == 1 {
		return faults[0]
	}
	return fmt.Errorf("%w; and %d more: 'firstcall run --config.file %s --config.check' shows all", faults[0], len(faults)-1, file)
}

// nagiosLine makes a text fit for the line: no bar, which begins the performance data, and bounded.
func nagiosLine(text string) string {
	return shortened(strings.ReplaceAll(printable(text), "|", "/"), nagiosText)
}

// nagios prints a result as one line, "state - text | performance data", as the Monitoring Plugins Development Guidelines have
// it: label=value[unit];warn;crit;min, separated by spaces. A limit is the warning level, the timeout the critical one.
func nagios(p *config.Probe, r probes.Result) string {
	word := map[probes.Outcome]string{probes.Up: "OK", probes.Degraded: "WARNING", probes.Down: "CRITICAL", probes.Unknown: "UNKNOWN"}[r.Outcome]
	text := r.Detail
	if text == "" {
		text = "answers in " + r.Duration.Round(100*time.Microsecond).String()
	}
	if r.Reason != probes.None {
		text = string(r.Reason) + ": " + text
	}
	if j := judged(p, r); j.Matter == incident.MatterFunctional || j.Configured {
		text += "; " + j.String()
	}
	for _, f := range r.Facts {
		if f.Name == probes.FactAccount && !strings.Contains(text, f.Value) {
			text += "; the probe's account is off: " + f.Value
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "FIRSTCALL %s - %s | %s", word, nagiosLine(p.ID+": "+text), perf(p, probes.PhaseTotal, r.Duration))
	for _, phase := range r.Phases {
		b.WriteString(" " + perf(p, phase.Name, phase.Duration))
	}
	kind, _ := probes.Lookup(p.Kind)
	for _, n := range r.Numbers {
		if declared, ok := kind.Number(n.Name); ok {
			b.WriteString(" " + perfNumber(p, declared, n.Value))
		}
	}
	return b.String()
}

// perfNumber writes a number. The guidelines know no units but percent and a few others; a warning level that a value must not
// fall to is the beginning of a range, "limit:".
func perfNumber(p *config.Probe, k probes.NumberKind, value float64) string {
	unit, warn, span := "", "", ""
	if k.Unit == "%" {
		unit = "%"
	}
	if limit, ok := p.Thresholds[k.Name]; ok {
		warn = strconv.FormatFloat(limit, 'f', -1, 64)
		if k.Low {
			warn += ":"
		}
	}
	if full, known := k.Exhausted(); known && !k.Low {
		span = ";;;" + strconv.FormatFloat(full, 'f', -1, 64)
	}
	return strings.TrimRight(fmt.Sprintf("%s=%s%s;%s%s", k.Name, strconv.FormatFloat(math.Round(value*1000)/1000+0, 'f', -1, 64), unit, warn, span), ";")
}

func perf(p *config.Probe, phase string, d time.Duration) string {
	warn, crit := "", ""
	if limit, ok := p.Limits[phase]; ok {
		warn = seconds(limit, -1)
	}
	if phase == probes.PhaseTotal {
		crit = seconds(p.Timeout, -1)
	}
	return fmt.Sprintf("%s=%ss;%s;%s;0", phase, seconds(d, 6), warn, crit)
}

// seconds writes a duration in plain decimal digits: the guidelines know no exponent.
func seconds(d time.Duration, digits int) string {
	return strconv.FormatFloat(d.Seconds(), 'f', digits, 64)
}
