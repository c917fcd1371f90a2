package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/firstcall-agent/firstcall/agent/report"
	"github.com/firstcall-agent/firstcall/agent/report/gather"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// reportFlags are the flags of report.
type reportFlags struct {
	file, store, month, from, to string
	format, output, language     string
}

func newReport() *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use: "report", Short: "Write the service-level report of a month, for both sides to sign", Args: cobra.NoArgs,
		Long: "Writes the service-level report of a month, or of any other time: availability of each component, incidents with their\n" +
			"reaction against the limit, status messages, false alarms, latency, and how much the agent itself measured, with the\n" +
			"method of every figure.\n\n" +
			"It is made of the agent's store (store.url of the configuration, or --store.url), which is only read: a running agent is\n" +
			"not disturbed. A month that is not over is reported so far.",
		Example: "  firstcall report --config.file acme.yaml --month 2026-11 --output november.html\n" +
			"  firstcall report --config.file acme.yaml --month this\n" +
			"  firstcall report --config.file acme.yaml --from 2026-11-01 --to 2026-11-08 --format csv --output week.csv\n" +
			"  firstcall report --config.file acme.yaml --month last --language da --format json",
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	addConfigFlag(cmd, &f.file)
	flags := cmd.Flags()
	flags.StringVar(&f.store, "store.url", "", "`ADDRESS` of an agent's store, instead of store.url: sqlite:PATH, or postgres://USER@HOST/DATABASE?tenant=ID")
	flags.StringVar(&f.month, "month", "", "`MONTH` in the tenant's zone: 2026-11, this, or last, which it is unless --from is given")
	flags.StringVar(&f.from, "from", "", "first `TIME` instead of a month: 2026-11-01, 2026-11-01T08:00, or RFC 3339; in the tenant's zone")
	flags.StringVar(&f.to, "to", "", "`TIME` at which to end, itself left out; now unless given")
	flags.StringVar(&f.format, "format", "", "`FORM` of the report: html, markdown, csv, json; as --output ends unless given, else markdown")
	flags.StringVarP(&f.output, "output", "o", "", "`FILE` to write; standard output unless given")
	flags.StringVar(&f.language, "language", "", "`LANGUAGE` of html and markdown: en, da; tenant.language unless given")
	complete(cmd, "format", "html", "markdown", "csv", "json")
	complete(cmd, "language", "en", "da")
	complete(cmd, "month", "last", "this")
	_ = cmd.MarkFlagFilename("output")
	return cmd
}

func (f *reportFlags) run(cmd *cobra.Command) error {
	format, err := f.form()
	if err != nil {
		return err
	}
	if f.language != "" {
		if err := oneOf("--language", f.language, "en", "da"); err != nil {
			return err
		}
	}
	c, err := load(f.file, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	now := time.Now()
	from, to, err := f.span(now, c.Tenant.Zone)
	if err != nil {
		return err
	}
	s, err := store.OpenReadOnly(cmd.Context(), cmp.Or(f.store, c.StoreURL()))
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it was only read
	shown := newProgress(cmd.ErrOrStderr())
	in, err := gather.Read(cmd.Context(), s, c, from, to, now, shown.show)
	shown.clear()
	if err != nil {
		return err
	}
	in.Agent, in.Language = version(), cmp.Or(f.language, in.Language)
	r := report.Compute(in)
	if r.Coverage.Measured == 0 && len(in.Tales) == 0 {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "firstcall: the store has nothing of %s to %s: is it the store of this configuration, and not older than its retention of 400 days?\n",
			clockTime(from), clockTime(to))
	}
	return f.write(cmd.OutOrStdout(), r, format)
}

// write writes the report whole, or leaves the file as it is.
func (f *reportFlags) write(stdout io.Writer, r *report.Report, format report.Format) error {
	var out bytes.Buffer
	if err := r.Write(&out, format); err != nil {
		return err
	}
	if f.output == "" || f.output == "-" {
		_, err := stdout.Write(out.Bytes())
		return err
	}
	if err := os.WriteFile(f.output, out.Bytes(), 0o644); err != nil { //nolint:gosec // a report is for others to read
		return fmt.Errorf("the report cannot be written: %w: name another file with --output", err)
	}
	return nil
}

// form returns the format: as given, as the file's name ends, or Markdown.
func (f *reportFlags) form() (report.Format, error) {
	if f.format != "" {
		return report.Format(f.format), oneOf("--format", f.format, "html", "markdown", "csv", "json")
	}
	switch end := strings.ToLower(filepath.Ext(f.output)); end {
	case ".html", ".htm":
		return report.HTML, nil
	case ".csv":
		return report.CSV, nil
	case ".json":
		return report.JSON, nil
	case "", ".md", ".markdown":
		return report.Markdown, nil
	default:
		return "", usage("--output: a name that ends with %q does not say the form: give --format html, markdown, csv or json", printable(end))
	}
}

// span returns what the report is of.
func (f *reportFlags) span(now time.Time, zone *time.Location) (from, to time.Time, err error) {
	local := now.In(zone)
	switch {
	case f.month != "" && (f.from != "" || f.to != ""):
		return from, to, usage("--month and --from or --to are both given: one of them says what the report is of")
	case f.from == "" && f.to != "":
		return from, to, usage("--to is given without --from: say where to begin")
	case f.from != "":
		if from, err = parseInstant("--from", f.from, zone); err != nil {
			return from, to, err
		}
		to = now
		if f.to != "" {
			if to, err = parseInstant("--to", f.to, zone); err != nil {
				return from, to, err
			}
		}
	default:
		month := f.month
		switch month {
		case "", "last":
			month = time.Date(local.Year(), local.Month()-1, 1, 12, 0, 0, 0, zone).Format("2006-01")
		case "this":
			month = local.Format("2006-01")
		}
		if from, to, err = report.Month(month, zone); err != nil {
			return from, to, usage("--month: %w, this or last", err)
		}
	}
	if !from.Before(to) {
		return from, to, usage("the report would begin at %s and end at %s: the end must be later", clockTime(from), clockTime(to))
	}
	if from.After(now) {
		return from, to, usage("the report would begin at %s, which is still to come: name a month that has begun", clockTime(from))
	}
	const longest = 366 * 24 * time.Hour
	if to.Sub(from) > longest {
		return from, to, usage("the report would be of %.0f days: want at most a year", to.Sub(from).Hours()/24)
	}
	return from, to, nil
}

// progress shows on a terminal how far something is, on one line that is written again; elsewhere it shows nothing.
type progress struct {
	out  io.Writer // nil: no terminal
	last time.Time
	long bool // something stands there
}

func newProgress(out io.Writer) *progress {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{out: out, last: time.Now()}
	}
	return &progress{}
}

// show is told how far it is, from 0 to 1; negative: that is not known. What is over soon is not shown.
func (p *progress) show(what string, done float64) {
	const every = 200 * time.Millisecond
	if p.out == nil || time.Since(p.last) < every {
		return
	}
	if done < 0 {
		p.note("reading " + what)
		return
	}
	p.note(fmt.Sprintf("reading %s: %.0f %%", what, 100*min(max(done, 0), 1)))
}

// note writes the line anew.
func (p *progress) note(text string) {
	if p.out != nil {
		p.last, p.long = time.Now(), true
		_, _ = fmt.Fprint(p.out, "\r\x1b[K"+text)
	}
}

// clear removes the line.
func (p *progress) clear() {
	if p.long {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
}
