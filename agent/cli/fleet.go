package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/firstcall-agent/firstcall/agent/fleet"
	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	shared "github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// fleetFlags are the flags of fleet.
type fleetFlags struct {
	file, store, password, output string
	json, watch, all              bool
	every                         time.Duration
	zone                          *time.Location // of what is printed; nil: UTC
}

func newFleet() *cobra.Command {
	var f fleetFlags
	cmd := &cobra.Command{
		Use: "fleet", Short: "Show all tenants of one PostgreSQL, worst first, and what their faults have in common", Args: cobra.NoArgs,
		Long: "Reads the PostgreSQL that many agents share and prints every tenant that is not well, the worst first, with agents that are\n" +
			"not heard, and fleet incidents: faults of several tenants that have one cause. 'fleet serve' shows the same as a page.\n\n" +
			"The role of --store.url must be one that reads every tenant (docs/fleet.md). Nothing is written.\n\n" +
			"With --watch a reading that fails is told above what was read last, and is tried again.\n\n" +
			"Exit code: 0 no tenant is at priority 1 or 2, every agent is heard, sees and has no trouble, and there is no fleet incident;\n" +
			"1 otherwise, or there is no tenant, or the database cannot be read; 2 wrong usage or configuration; 130 interrupted.",
		Example: "  firstcall fleet --store.url postgres://fleet_reader@db/monitoring --store.password-file db-password\n" +
			"  firstcall fleet --config.file fleet.yaml --watch\n  firstcall fleet serve --config.file fleet.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.file, "config.file", "", "configuration `FILE` of the fleet, whose store.url and rules are taken")
	flags.StringVar(&f.store, "store.url", "", "`ADDRESS` of the database, instead of store.url: postgres://USER@HOST/DATABASE")
	flags.StringVar(&f.password, "store.password-file", "", "`FILE` with the password of the role in --store.url")
	flags.StringVarP(&f.output, "output", "o", "text", "`FORM` of the answer: text, json, which has every tenant")
	complete(cmd, "output", "text", "json")
	flags.BoolVar(&f.json, "json", false, "the same as --output json")
	flags.BoolVar(&f.all, "all", false, "print tenants that are well, too")
	flags.BoolVar(&f.watch, "watch", false, "print it again and again until interrupted")
	flags.DurationVar(&f.every, "every", 5*time.Second, "with --watch: how `OFTEN`; at least 1s")
	cmd.AddCommand(newFleetServe(), newFleetOpen())
	return cmd
}

func (f *fleetFlags) run(cmd *cobra.Command) error {
	o, address, err := f.options(cmd)
	if err != nil {
		return err
	}
	reader, err := store.OpenFleet(cmd.Context(), address)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }() // it was only read
	o.Reader, o.Refresh = reader, f.every // what is longer than three of them is a gap
	watched, err := fleet.New(cmd.Context(), o)
	if err != nil {
		return err
	}
	return f.show(cmd.Context(), cmd.OutOrStdout(), watched)
}

// show prints what is read, once or until ctx ends.
func (f *fleetFlags) show(ctx context.Context, out io.Writer, watched *fleet.Fleet) error {
	for {
		err := watched.Round(ctx)
		w := watched.Wall()
		switch {
		case f.watch && ctx.Err() != nil:
			return exitError{code: exitInterrupted}
		case err != nil && (!f.watch || w.At.IsZero()):
			return err
		}
		if err := f.print(out, w, widthOf(out)); err != nil {
			return err
		}
		if !f.watch {
			if troubled(w) {
				return exitError{code: exitFailed}
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return exitError{code: exitInterrupted}
		case <-time.After(f.every):
		}
	}
}

// options returns what to watch, and the address of the database.
func (f *fleetFlags) options(cmd *cobra.Command) (o fleet.Options, address string, err error) {
	switch {
	case f.file == "" && f.store == "":
		return o, "", usage("which database? name it with --store.url, or a fleet's configuration with --config.file")
	case f.password != "" && f.store == "":
		return o, "", usage("--store.password-file goes with --store.url only")
	case f.json && cmd.Flags().Changed("output") && f.output != "json":
		return o, "", usage("--json and --output %s do not go together", printable(f.output))
	}
	if err := oneOf("--output", f.output, "text", "json"); err != nil {
		return o, "", err
	}
	f.json = f.json || f.output == "json"
	switch {
	case f.watch && f.json:
		return o, "", usage("--watch and JSON do not go together")
	case f.all && f.json:
		return o, "", usage("--all goes with --output text only: JSON has every tenant")
	case !f.watch && cmd.Flags().Changed("every"):
		return o, "", usage("--every goes with --watch only")
	case f.every < time.Second:
		return o, "", usage("--every: %s is shorter than a second", f.every)
	}
	if f.file != "" {
		c, err := loadFleet(f.file, cmd.ErrOrStderr())
		if err != nil {
			return o, "", err
		}
		o, address = fleetOptions(c), c.StoreURL()
		f.zone = o.Tenant.Zone
	}
	if f.store != "" {
		address = f.store
		if f.password != "" {
			text, err := readBounded(f.password, tokenLimit)
			if err != nil {
				return o, "", usage("--store.password-file: %w", err)
			}
			address = config.WithPassword(address, secret.New(strings.TrimSpace(string(text))))
		}
		if err := store.CheckFleetURL(address); err != nil {
			return o, "", usage("--store.url: %w", err)
		}
	}
	return o, address, nil
}

// loadFleet reads the configuration of a fleet, as load does an agent's.
func loadFleet(file string, stderr io.Writer) (*config.FleetFile, error) {
	c, err := config.LoadFleet(file)
	if err == nil {
		return c, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, usage("there is no configuration file %s: docs/fleet.md has one", file)
	}
	var faults config.Faults
	if !errors.As(err, &faults) {
		return nil, exitError{exitUsage, err}
	}
	_, _ = fmt.Fprintf(stderr, "%s\n%s\n", faults.Error(), faults.Summary())
	return nil, exitError{code: exitUsage}
}

// fleetOptions says the same in the fleet's words.
func fleetOptions(f *config.FleetFile) fleet.Options {
	c := f.Agent()
	return fleet.Options{
		Tenant: reconcile.Tenant{
			ID: c.Tenant.ID, Name: c.Tenant.Name, Zone: c.Tenant.Zone, Language: c.Tenant.Language,
			Customer: c.Tenant.Contacts.Customer, Functional: c.Tenant.Contacts.Functional, OnCall: c.Tenant.Contacts.OnCall,
		},
		Centre: reconcile.Centre{Name: c.OperationsCentre.Name, Phone: c.OperationsCentre.Phone}, Level: c.Level(),
		Rules:   shared.Rules{Window: f.Fleet.Window, MinTenants: f.Fleet.MinTenants, PerYear: f.Fleet.PerYear},
		Refresh: f.Fleet.Refresh, SilentAfter: f.Fleet.SilentAfter, OpenCases: f.Fleet.OpenCases, ExternalURL: c.Web.ExternalURL, Version: version(),
	}
}

// troubled reports whether somebody must look.
func troubled(w fleet.Wall) bool {
	return len(w.Open()) > 0 || len(w.Rows) == 0 || slices.ContainsFunc(w.Rows, func(r fleet.Row) bool {
		return r.State == fleet.P1 || r.State == fleet.P2 || r.Silent || r.Unsure || r.Trouble != ""
	})
}

func (f *fleetFlags) print(out io.Writer, w fleet.Wall, width int) error {
	if f.json {
		return printJSON(out, w)
	}
	var b strings.Builder
	if file, ok := out.(*os.File); ok && f.watch && term.IsTerminal(int(file.Fd())) {
		b.WriteString("\x1b[H\x1b[2J")
	}
	if w.Err != "" {
		_, _ = fmt.Fprintf(&b, "old: the database is not read since %s: %s\n", f.clock(w.At), printable(w.Err))
	}
	for _, s := range w.Open() {
		_, _ = fmt.Fprintf(&b, "%s %s\n   %s\n   %d fail now; reasons: %s; key %s\n", s.Priority, printable(s.Sentence), printable(s.Why), s.Now, printable(s.Reasons), s.Key)
	}
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "STATE\tTENANT\tSINCE\tCASES\tWHAT\tLABELS")
	shown := 0
	for _, r := range w.Rows {
		if r.State == fleet.Well && !f.all {
			continue
		}
		shown++
		state := stateOf(r.State)
		if r.Silent && r.State != fleet.Silent {
			state += " silent"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", state, printable(r.ID), f.clock(r.Since), orDash(printable(strings.Join(r.Cases, " "))), printable(whatOf(r)), orDash(printable(labelsOf(r.Labels))))
	}
	_ = t.Flush() // to memory
	if shown > 0 {
		b.WriteString(within(table.String(), width))
	}
	var counts []string
	for _, s := range fleet.States {
		if w.Counts[s] > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", w.Counts[s], stateOf(s)))
		}
	}
	if len(w.Rows) == 0 {
		counts = []string{"no agent has told of itself"}
	}
	_, err := fmt.Fprintf(out, "%s%s at %s: %s\n", &b, plural(len(w.Rows), "tenant"), f.clock(w.At), strings.Join(counts, ", "))
	return err
}

// clock writes an instant in the zone of the fleet, as the sentences of fleet incidents are.
func (f *fleetFlags) clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(cmp.Or(f.zone, time.UTC)).Format("2006-01-02 15:04:05 MST")
}

// within cuts the lines of a table to the width of a terminal, so that none is broken; width 0 is as wide as it takes.
func within(table string, width int) string {
	if width <= 0 {
		return table
	}
	var b strings.Builder
	for line := range strings.Lines(table) {
		b.WriteString(shortened(strings.TrimRight(line, " \n"), width) + "\n")
	}
	return b.String()
}

// stateOf is a state as people write it: P1.
func stateOf(s fleet.State) string {
	switch s {
	case fleet.P1, fleet.P2, fleet.P3, fleet.P4:
		return strings.ToUpper(string(s))
	default:
		return string(s)
	}
}

// whatOf says in a few words what is wrong with a tenant.
func whatOf(r fleet.Row) string {
	const most = 60
	switch {
	case r.State == fleet.Silent && len(r.Incidents) == 0:
		return "its agent is not heard"
	case (r.State == fleet.Blind || r.State == fleet.Impaired) && r.Trouble != "":
		return shortened(r.Trouble, most)
	case len(r.Incidents) > 0:
		return shortened(r.Incidents[0].Title, most)
	}
	return "-"
}

func labelsOf(labels map[string]string) string {
	var all []string
	for name, value := range labels {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// serveFlags are the flags of fleet serve.
type serveFlags struct {
	file, listen string
	check        bool
	logs         logFlags
}

func newFleetServe() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the wall of the fleet, and open parent cases", Args: cobra.NoArgs,
		Long: "Serves the wall of all tenants as a page, with /metrics and /api/v1/fleet, until it is stopped. Parent cases are opened at\n" +
			"the configured desks, where somebody asks for one or fleet.open_cases says so. One process at a time keeps fleet.state_file.\n\n" +
			"While the database does not answer the page says so, shows what was known before, and each fleet.refresh it is tried again.",
		Example: "  firstcall fleet serve --config.file fleet.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	cmd.Flags().StringVar(&f.file, "config.file", "fleet.yaml", "configuration `FILE` of the fleet")
	cmd.Flags().Var((*listenFlag)(&f.listen), "web.listen-address", "`ADDRESS` of the page, instead of web.listen")
	cmd.Flags().BoolVar(&f.check, "config.check", false, "check the configuration, print every fault, and end")
	f.logs.add(cmd, "info")
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command) (err error) {
	log, err := f.logs.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	c, err := loadFleet(f.file, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if err := toolkit.Validate(c.Web.ConfigFile); err != nil {
		return usage("%s: web.config_file: %s: %w", f.file, c.Web.ConfigFile, err)
	}
	if f.check {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: fleet %s, %s\n", f.file, c.Tenant.ID, plural(len(c.Desks), "desk"))
		return err
	}
	reader := &fleetReader{address: c.StoreURL()}
	defer func() { err = errors.Join(err, reader.close()) }()
	if err := reader.begin(cmd.Context()); err != nil {
		return err
	}
	state, err := store.Open(cmd.Context(), "sqlite:"+c.Fleet.State, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	o := fleetOptions(c)
	o.Reader, o.State, o.Log = reader, state, log
	if o.Desks, err = fleetDesks(c.Agent(), state); err != nil {
		return err
	}
	watched, err := fleet.New(cmd.Context(), o)
	if err != nil {
		return err
	}
	listen := c.Web.Listen
	if f.listen != "" {
		listen = f.listen
	}
	server, err := web.Bind(listen, c.Web.ConfigFile)
	if err != nil {
		return err
	}
	return ended(cmd.Context(), serveFleet(cmd.Context(), server, watched, c, log))
}

// fleetReader reads a database that may be away when the fleet begins to be served: it is opened by the first reading that it answers.
// It does one thing at a time.
type fleetReader struct {
	address string
	opened  *store.Fleet // nil: not yet
}

// firstTry is how long a start waits for a database that does not answer.
const firstTry = 10 * time.Second

// begin opens the database. That it is away is no error: the readings tell.
func (r *fleetReader) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, firstTry)
	defer cancel()
	if err := r.open(ctx); err != nil && !errors.Is(err, store.ErrAway) {
		return err
	}
	return nil
}

func (r *fleetReader) open(ctx context.Context) (err error) {
	if r.opened == nil {
		r.opened, err = store.OpenFleet(ctx, r.address)
	}
	return err
}

// Read implements fleet.Reader.
func (r *fleetReader) Read(ctx context.Context, since time.Time) (store.FleetView, error) {
	if err := r.open(ctx); err != nil {
		return store.FleetView{}, err
	}
	return r.opened.Read(ctx, since)
}

func (r *fleetReader) close() error {
	if r.opened == nil {
		return nil
	}
	return r.opened.Close()
}

// fleetDesks builds the desks of parent cases.
func fleetDesks(c *config.Config, state *store.Store) (all []reconcile.Desk, err error) {
	for _, d := range c.Desks {
		made, err := built(c, d, state)
		if err != nil {
			return nil, err
		}
		all = append(all, reconcile.Desk{
			Name: d.Name, Desk: made, Templates: d.Templates, Fields: d.Fields,
			Rules: reconcile.Rules{
				FallbackAfter: d.FallbackAfter, Early: reconcile.EarlyRule(d.ResolvedEarly), EarlyAfter: d.ResolvedEarlyAfter, ResolveAfter: d.ResolveAfter, Leave: d.ResolvedBy == "people",
			},
		})
	}
	return all, nil
}

// serveFleet watches and serves until ctx ends or one of them fails.
func serveFleet(ctx context.Context, server *web.Server, watched *fleet.Fleet, c *config.FleetFile, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() { watched.Run(ctx) })
	defer func() { cancel(); watching.Wait() }()
	handler := web.NewWall(web.Options{
		Metrics: promhttp.HandlerFor(metrics.NewFleet(version(), func() metrics.FleetSnapshot { return fleetSnapshot(watched.Wall()) }), promhttp.HandlerOpts{MaxRequestsInFlight: 4}),
		Tenant:  c.Tenant.Name, Zone: c.Tenant.Zone, ExternalURL: c.Web.ExternalURL, Token: c.Web.Token, Version: version(), Log: log,
	}, watched)
	log.Info("the fleet is watched", "database", store.Name(c.StoreURL()), "address", server.Addr().String(), "desks", len(c.Desks), "open_cases", c.Fleet.OpenCases)
	return server.Run(ctx, handler, log)
}

func fleetSnapshot(w fleet.Wall) metrics.FleetSnapshot {
	s := metrics.FleetSnapshot{Tenants: map[string]int{}, Silent: w.Unheard, Read: w.At, Took: w.Took, Failing: w.Err != "", Unkept: w.Unkept != ""}
	for _, state := range fleet.States {
		s.Tenants[string(state)] = w.Counts[state]
	}
	for _, i := range w.Open() {
		s.Incidents++
		s.Members += i.Now
	}
	return s
}

func newFleetOpen() *cobra.Command {
	c := client{runs: "firstcall fleet serve"}
	var actor string
	cmd := &cobra.Command{
		Use: "open KEY", Short: "Have the parent case of a fleet incident opened", Args: cobra.ExactArgs(1),
		Long: "Asks a running 'firstcall fleet serve' to open the parent case of the fleet incident with that key, once. It lists the\n" +
			"tenants and their cases, is told when some join or recover, and is resolved when all have.",
		Example: "  firstcall fleet open fc-fleet-virtual-desktop-westeurope-20261103T094200.000Z --url https://fleet.example --token-file token",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args[0]) > incident.MaxKey {
				return usage("%q is no key of a fleet incident: 'firstcall fleet' prints them", shortened(printable(args[0]), incident.MaxKey))
			}
			body := map[string]string{"actor": actor}
			if err := c.do(cmd.Context(), http.MethodPost, "/api/v1/fleet/"+url.PathEscape(args[0])+"/open", body, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "the parent case of %s will be opened\n", args[0])
			return err
		},
	}
	c.add(cmd)
	cmd.Flags().StringVar(&actor, "actor", me(), "who asks for it, as it shall stand in the timeline")
	return cmd
}
