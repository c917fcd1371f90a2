package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/firstcall-agent/firstcall/agent"
	"github.com/firstcall-agent/firstcall/agent/watch"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// How often an agent is asked: one in this process costs nothing.
const (
	everyLocal  = time.Second
	everyRemote = 3 * time.Second
)

// watchFlags are the flags of watch.
type watchFlags struct {
	file, listen, stateDir     string
	notices                    []string
	once, plain, mute, desktop bool
	logs                       logFlags
	from                       client
}

func newWatch() *cobra.Command {
	f := watchFlags{from: client{flag: "--from"}}
	cmd := &cobra.Command{
		Use: "watch", Short: "Watch from a desk: on the terminal, with an alarm on priorities 1 and 2, and no case", Args: cobra.NoArgs,
		Long: "Probes what the configuration says, as 'run' does, and tells whoever sits before the screen. No desk is built: no case can be\n" +
			"opened, and no contact is told. Or follows a running agent, with --from, and probes nothing.\n\n" +
			"It is made for a laptop: sleep, another network and a VPN that comes and goes are not held against a target. State is kept\n" +
			"per user (--state-dir), so that what is normal is learnt over days.\n\n" +
			"Keys: q quit, up and down move, enter details, m mute, ? help. Where the output is not a terminal it writes a line a change.\n\n" +
			"With --once every probe runs once (with --from: the agent is asked once) and a table is printed. Exit code: 0 all is well,\n" +
			"1 something is not, or the agent does not answer.",
		Example: "  firstcall watch --config.file acme.yaml\n  firstcall watch --from https://firstcall.example --token-file token\n  firstcall watch --config.file acme.yaml --once",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			if f.from.url != "" {
				return f.follow(cmd)
			}
			return f.probe(cmd)
		},
	}
	addConfigFlag(cmd, &f.file)
	f.logs.add(cmd, "warn")
	cmd.Flags().StringVar(&f.from.url, "from", "", "`ADDRESS` of a running agent to follow, instead of probing")
	cmd.Flags().StringVar(&f.from.tokenFile, "token-file", "", "with --from: `FILE` with the agent's web.token, where it has one; else FIRSTCALL_TOKEN_FILE")
	cmd.Flags().StringVar(&f.from.caFile, "ca-file", "", "with --from: PEM `FILE` with the authorities to trust, instead of the system's; else FIRSTCALL_CA_FILE")
	cmd.Flags().BoolVar(&f.once, "once", false, "one round, a table, and the end")
	cmd.Flags().BoolVar(&f.plain, "plain", false, "write a line a change on a terminal too")
	cmd.Flags().BoolVar(&f.mute, "mute", false, "no sound")
	cmd.Flags().BoolVar(&f.desktop, "desktop", true, "notify the desktop of priorities 1 and 2")
	cmd.Flags().StringSliceVar(&f.notices, "notify", nil, "`NAMES` of notices of kind chat or desktop in the configuration that are sent, too; none otherwise")
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", "`DIRECTORY` of the state; one per user and configuration unless given")
	cmd.Flags().Var((*listenFlag)(&f.listen), "web.listen-address", "`ADDRESS` to serve the status page on; none is served otherwise")
	return cmd
}

// check refuses flags that do not go together.
func (f *watchFlags) check(cmd *cobra.Command) error {
	given := func(names ...string) string {
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				return name
			}
		}
		return ""
	}
	if f.from.url != "" {
		if name := given("config.file", "notify", "state-dir", "web.listen-address"); name != "" {
			return usage("--%s does not go with --from: an agent elsewhere probes, and tells people", name)
		}
		_, err := f.from.address()
		return err
	}
	if name := given("token-file", "ca-file"); name != "" {
		return usage("--%s goes with --from only", name)
	}
	return nil
}

// follow watches an agent elsewhere.
func (f *watchFlags) follow(cmd *cobra.Command) error {
	h, err := f.from.http()
	if err != nil {
		return err
	}
	f.from.kept = h
	defer h.CloseIdleConnections()
	base, err := f.from.address()
	if err != nil {
		return err
	}
	if f.once {
		s, err := watch.Once(cmd.Context(), f.from.get)
		if err != nil {
			return err
		}
		return f.outcome(s.Table(cmd.OutOrStdout()))
	}
	o := f.options(cmd)
	o.Get, o.From, o.Every = f.from.get, shown(base), everyRemote
	return endedWatch(cmd.Context(), o)
}

// outcome turns a table into the end of the command.
func (f *watchFlags) outcome(well bool, err error) error {
	if err == nil && !well {
		return exitError{code: exitFailed}
	}
	return err
}

// probe watches with an agent of its own.
func (f *watchFlags) probe(cmd *cobra.Command) (err error) {
	c, err := load(f.file, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(f.file)
	if err != nil {
		return err
	}
	dir, err := f.state(c.Tenant.ID, abs)
	if err != nil {
		return err
	}
	adapt := func(c *config.Config) error { return f.adapt(c, dir) }
	if err := adapt(c); err != nil {
		return err
	}
	if f.once {
		latches, err := c.Latches(nil)
		if err != nil {
			return err
		}
		defer func() { _ = latches.Close() }() // each record was stored or not when it was made
		c.UseLatches(latches)
		return f.outcome(round(cmd.Context(), cmd.OutOrStdout(), c))
	}
	if f.listen != "" {
		if err := toolkit.Validate(c.Web.ConfigFile); err != nil {
			return usage("%s: web.config_file: %s: %w", f.file, c.Web.ConfigFile, err)
		}
	}
	o := f.options(cmd)
	log, err := f.logs.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if !o.Plain {
		o.Log = &watch.Log{}
		log = o.Log.Logger(f.logs.threshold())
	}
	slog.SetDefault(log) // libraries print too, and must not write over the screen
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	a, err := agent.New(ctx, agent.Options{
		Config: c, ConfigFile: abs, AlertOnly: true, Version: version(), Log: log, ListenOverride: f.listen, NoPage: f.listen == "",
		Adapt: adapt, Moves: &agent.Moves{Home: homeNetwork(dir)},
	})
	if errors.Is(err, store.ErrLocked) {
		return usage("another 'firstcall watch' has this configuration open on this machine: use that one, or give this one a --state-dir of its own (%w)", err)
	} else if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- a.Run(ctx)
	}()
	o.Get, o.Every, o.Note = watch.Local(a.Handler()), everyLocal, "alert-only"
	err = endedWatch(ctx, o)
	cancel()
	return errors.Join(err, <-ended)
}

// options are what both ways share.
func (f *watchFlags) options(cmd *cobra.Command) watch.Options {
	o := watch.Options{Muted: f.mute, In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Plain: true}
	out, isFile := o.Out.(*os.File)
	in, inFile := o.In.(*os.File)
	if isFile && inFile && term.IsTerminal(int(out.Fd())) && term.IsTerminal(int(in.Fd())) && os.Getenv("TERM") != "dumb" {
		o.Plain = f.plain
	}
	o.Colour = os.Getenv("NO_COLOR") == ""
	o.ASCII = asciiOnly()
	if f.desktop {
		o.Tell = tellDesktop()
	}
	return o
}

// asciiOnly reports whether the environment names a character set other than UTF-8 (POSIX, "Environment Variables").
func asciiOnly() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(os.Getenv(name)); v != "" {
			return runtime.GOOS != "windows" && !strings.Contains(v, "utf-8") && !strings.Contains(v, "utf8")
		}
	}
	return false // nobody says
}

// endedWatch watches, and turns its end into the end of the command.
func endedWatch(ctx context.Context, o watch.Options) error {
	stopped, err := watch.Run(ctx, o)
	if stopped {
		return exitError{code: exitInterrupted}
	}
	return ended(ctx, err)
}

// tellDesktop returns what notifies the desktop of an incident.
func tellDesktop() func(context.Context, incident.Incident, string, bool) error {
	ways := map[bool]notify.Notifier{}
	for _, sound := range []bool{true, false} {
		n, err := (&notify.Desktop{Sound: sound}).Build(notify.Env{Name: "desktop", Now: time.Now})
		if err != nil {
			return nil
		}
		ways[sound] = n
	}
	return func(ctx context.Context, i incident.Incident, tenant string, sound bool) error {
		_, err := ways[sound].Send(ctx, notify.Message{
			ID: i.ID, Thread: i.ID, Subject: i.Priority.String() + " " + tenant + ": " + i.Title, Text: i.Why,
			Priority: i.Priority, Kind: incident.NoticeOpened, Date: i.Opened,
		})
		return err
	}
}

// threshold returns the level of the flag, which logger has checked.
func (l *logFlags) threshold() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return slog.LevelWarn
	}
	return level
}
