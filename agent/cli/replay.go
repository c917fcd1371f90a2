package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/plot"
	"github.com/firstcall-agent/firstcall/agent/replay"
	"github.com/firstcall-agent/firstcall/config"
)

// sinceOfPrometheus is how much is asked of a Prometheus unless said otherwise.
const sinceOfPrometheus = 30 * 24 * time.Hour

// replayFlags are the flags of replay.
type replayFlags struct {
	file, compare     string
	record            recordFlags
	probe             string
	start, end, since string
	output, plot      string
}

func newReplay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use: "replay", Short: "Judge what was recorded by a configuration: which cases would have been opened", Args: cobra.NoArgs,
		Long: "Runs the agent's own judgement over recorded results and prints which cases would have been opened, when, at which\n" +
			"priority, and why. No desk and no notices are built: nothing leaves this machine but questions to Prometheus.\n\n" +
			"The record is the agent's own store (store.url of the configuration, or --store.url; a running agent is not disturbed),\n" +
			"a file of comma-separated values (--csv), or a Prometheus (--prometheus.url, --prometheus.query). Without a\n" +
			"configuration, one with a single probe and every default is made up.\n\n" +
			"Quick re-probes that the agent would have made cannot be replayed: the next recorded results confirm instead.",
		Example: "  firstcall replay --csv trace.csv --plot trace.png\n" +
			"  firstcall replay --config.file acme.yaml --since 30d\n" +
			"  firstcall replay --config.file acme.yaml --compare tighter.yaml --probe web-client --plot both.svg\n" +
			"  firstcall replay --prometheus.url http://127.0.0.1:9090 --prometheus.query 'probe_duration_seconds{instance=\"web\"}'",
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	addConfigFlag(cmd, &f.file)
	f.record.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.compare, "compare", "", "another configuration `FILE`: say which cases only one of the two would have opened")
	flags.StringVar(&f.probe, "probe", "", "`NAME` of the configured probe that the record, or the plot, is of")
	flags.StringVar(&f.start, "start", "", "first `TIME`: 2026-10-01, 2026-10-01T08:00, or RFC 3339; in the tenant's zone")
	flags.StringVar(&f.end, "end", "", "`TIME` at which to end")
	flags.StringVar(&f.since, "since", "", "`DURATION` before the end, or before now, instead of --start: 30d, 12h")
	flags.StringVarP(&f.output, "output", "o", "text", "`FORM` of the answer: text, json")
	flags.StringVar(&f.plot, "plot", "", "draw the series, what is normal and what was judged: `FILE`.png or FILE.svg")
	complete(cmd, "output", "text", "json")
	for _, name := range []string{"csv", "plot", "compare"} {
		_ = cmd.MarkFlagFilename(name)
	}
	return cmd
}

func (f *replayFlags) run(cmd *cobra.Command) error {
	if err := errors.Join(oneOf("--output", f.output, "text", "json"), f.checkPlot()); err != nil {
		return err
	}
	configs, err := f.configs(cmd)
	if err != nil {
		return err
	}
	o := replay.Options{Configs: configs}
	if o.From, o.To, err = f.span(configs[0].Tenant.Zone); err != nil {
		return err
	}
	if err := f.source(cmd.Context(), &o); err != nil {
		return err
	}
	if f.plot != "" {
		if o.Series, err = f.series(configs, o.Series); err != nil {
			return err
		}
	}
	shown := newProgress(cmd.ErrOrStderr())
	o.Progress = func(n int, at time.Time) { shown.replayed(n, at, o.From, o.To) }
	reports, err := replay.Run(cmd.Context(), o)
	shown.clear()
	if err != nil {
		return err
	}
	if f.plot != "" {
		if err := f.draw(reports, o.Series); err != nil {
			return err
		}
	}
	return f.print(cmd.OutOrStdout(), reports, o.Source.String())
}

// replayed is told that n results are read, the newest of that time. Where the record has no end that is known, it cannot say how far that is.
func (p *progress) replayed(n int, at, from, to time.Time) {
	what := "the record"
	if from.IsZero() || to.IsZero() {
		p.show(fmt.Sprintf("%s: %d results, up to %s", what, n, clockTime(at)), -1)
		return
	}
	p.show(what, float64(at.Sub(from))/float64(to.Sub(from)))
}

func (f *replayFlags) print(w io.Writer, reports []*replay.Report, source string) error {
	switch {
	case f.output == "json" && len(reports) == 2:
		return printJSON(w, struct {
			A     *replay.Report `json:"a"`
			B     *replay.Report `json:"b"`
			Pairs []replay.Pair  `json:"pairs"`
		}{reports[0], reports[1], replay.Compare(reports[0], reports[1])})
	case f.output == "json":
		return printJSON(w, reports[0])
	case len(reports) == 2:
		return replay.WriteComparison(w, reports[0], reports[1], source)
	}
	return replay.WriteText(w, reports[0], source)
}

// configs loads the configurations, or makes one up.
func (f *replayFlags) configs(cmd *cobra.Command) ([]*config.Config, error) {
	var first *config.Config
	_, err := os.Stat(f.file)
	switch {
	case errors.Is(err, os.ErrNotExist) && !cmd.Flags().Changed("config.file") && f.record.outside():
		first, err = madeUp(f.probe)
	default:
		first, err = load(f.file, cmd.ErrOrStderr())
	}
	if err != nil || f.compare == "" {
		return []*config.Config{first}, err
	}
	second, err := load(f.compare, cmd.ErrOrStderr())
	return []*config.Config{first, second}, err
}

// madeUp returns a configuration with one probe and every default. Its component is not essential: the loss of one series is not
// that of an entire solution.
func madeUp(name string) (*config.Config, error) {
	if name == "" {
		name = "series"
	}
	text := fmt.Sprintf("tenant: { id: replay }\ncomponents: [{ name: %q, essential: false, probes: [{ kind: tcp, name: latency, address: \"localhost:1\" }] }]\n", name)
	c, err := config.Parse("", []byte(text), os.LookupEnv)
	if err != nil {
		return nil, usage("--probe: %q cannot be the name of a component: without a configuration it may have lower-case letters, digits and hyphens", printable(name))
	}
	return c, nil
}

// span returns from when to when is replayed; zero: no bound.
func (f *replayFlags) span(zone *time.Location) (from, to time.Time, err error) {
	if f.start != "" && f.since != "" {
		return from, to, usage("--start and --since are both given: one of them says where to begin")
	}
	if f.start != "" {
		if from, err = parseInstant("--start", f.start, zone); err != nil {
			return from, to, err
		}
	}
	if f.end != "" {
		if to, err = parseInstant("--end", f.end, zone); err != nil {
			return from, to, err
		}
	}
	if to.IsZero() && (f.since != "" || f.record.prometheus()) {
		to = time.Now()
	}
	since := time.Duration(0)
	if f.record.prometheus() && f.start == "" {
		since = sinceOfPrometheus
	}
	if f.since != "" {
		if since, err = config.ParseDuration(f.since); err != nil || since <= 0 {
			return from, to, usage("--since: %q is not a duration: want 30d, 12h or the like", printable(f.since))
		}
	}
	if since > 0 {
		from = to.Add(-since)
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, usage("the replay would begin at %s and end at %s: the end must be later", clockTime(from), clockTime(to))
	}
	return from, to, nil
}

func parseInstant(flag, text string, zone *time.Location) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(form, text, zone); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usage("%s: %q is not a time: want 2026-10-01, 2026-10-01T08:00 or RFC 3339", flag, printable(text))
}

func (f *replayFlags) checkPlot() error {
	if f.plot == "" || f.format() == plot.PNG || f.format() == plot.SVG {
		return nil
	}
	return usage("--plot: %q is no picture: name a file that ends with .png or .svg", printable(f.plot))
}

func (f *replayFlags) format() plot.Format {
	return plot.Format(strings.ToLower(strings.TrimPrefix(filepath.Ext(f.plot), ".")))
}

// series returns the probe that the plot is of; every configuration has it.
func (f *replayFlags) series(configs []*config.Config, of string) (string, error) {
	if of == "" {
		p, err := theProbe(configs[0], f.probe)
		if err != nil {
			return "", usage("--plot draws one probe: name it with --probe: %w", err)
		}
		of = p.ID
	}
	return of, nil
}

// theProbe returns the named probe, or the only one of a configuration.
func theProbe(c *config.Config, name string) (*config.Probe, error) {
	if name != "" {
		return find(c, []string{name})
	}
	all := c.AllProbes()
	if targets := all[:len(all)-len(c.Witnesses)]; len(targets) == 1 {
		return targets[0], nil
	}
	return nil, errors.New(oneOfIDs(all))
}

func (f *replayFlags) draw(reports []*replay.Report, series string) error {
	for _, r := range reports {
		if len(r.Readings) == 0 {
			return fmt.Errorf("there is nothing to draw of %s: %s has no such probe, or the record has no results of it", series, r.File)
		}
	}
	data, err := replay.Picture(reports...).Render(f.format())
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.plot, data, 0o644); err != nil { //nolint:gosec // a picture is for others to see
		return fmt.Errorf("the plot cannot be written: %w: name another file with --plot", err)
	}
	return nil
}

// source finds the record and what can be in it.
func (f *replayFlags) source(ctx context.Context, o *replay.Options) error {
	first := o.Configs[0]
	if !f.record.outside() {
		return f.record.own(ctx, o)
	}
	names, err := f.record.names(ctx)
	if err != nil {
		return err
	}
	id := ""
	switch {
	case first.File == "" && f.record.label != "":
		return usage("--prometheus.label says of which configured probe a series is: give the configuration with --config.file")
	case first.File == "" && len(names) > 1 && f.probe == "":
		return usage("%s holds %d probes (%s): name one with --probe, or the configuration that has them with --config.file", f.record.csv, len(names), strings.Join(names[:min(len(names), 8)], ", "))
	case first.File == "":
		id = first.AllProbes()[0].ID
	case names == nil && f.record.label == "":
		p, err := theProbe(first, f.probe)
		if err != nil {
			return usage("the record is of one probe: name it with --probe: %w", err)
		}
		id = p.ID
	case f.probe != "":
		p, err := theProbe(first, f.probe)
		if err != nil {
			return usage("--probe: %w", err)
		}
		id = p.ID
	}
	for _, c := range o.Configs[1:] {
		if id != "" && !slices.Contains(ids(c.AllProbes()), id) {
			return usage("%s has no probe %s: want %s", c.File, id, oneOfIDs(c.AllProbes()))
		}
	}
	o.Series = id
	o.Recorded = func(probe string) bool { return probe == id || slices.Contains(names, probe) }
	o.Source, err = f.record.read(first, f.probe, id, names)
	return err
}
