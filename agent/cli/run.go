package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/coreos/go-systemd/v22/daemon"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent"
	"github.com/firstcall-agent/firstcall/config"
)

const defaultConfig = "firstcall.yaml"

func addConfigFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config.file", defaultConfig, "configuration `FILE`")
}

// load reads the configuration. Every fault it has is printed with its place, and the error asks for the exit code of usage.
func load(file string, stderr io.Writer) (*config.Config, error) {
	c, err := config.Load(file)
	if err == nil {
		return c, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, usage("there is no configuration file %s: name yours with --config.file (in a container, mount its directory); 'firstcall demo' needs none", file)
	}
	var faults config.Faults
	if !errors.As(err, &faults) {
		return nil, exitError{exitUsage, err}
	}
	_, _ = fmt.Fprintf(stderr, "%s\n%s\n", faults.Error(), faults.Summary())
	return nil, exitError{code: exitUsage}
}

// plural returns "1 desk", "2 desks".
func plural(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}

// runFlags are the flags of run.
type runFlags struct {
	file, listen     string
	check, alertOnly bool
	logs             logFlags
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use: "run", Short: "Probe, judge, and open cases until stopped", Args: cobra.NoArgs,
		Long: "Probes, judges, and opens cases until it is stopped.\n\n" +
			"SIGTERM stops it in good order, within seconds, and the exit code is 0. So does Ctrl-C, with exit code 130; a second\n" +
			"Ctrl-C ends it at once, and nothing that was decided is lost. SIGHUP reads the configuration again, as does a change\n" +
			"of the file.",
		Example: "  firstcall run --config.file acme.yaml\n  firstcall run --config.file acme.yaml --config.check",
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := f.logs.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			slog.SetDefault(log) // libraries print what a target sent: it goes the same way, escaped
			c, err := load(f.file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := toolkit.Validate(c.Web.ConfigFile); err != nil {
				return usage("%s: web.config_file: %s: %w", f.file, c.Web.ConfigFile, err)
			}
			if f.check {
				for id, missing := range c.Missing() {
					_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "warning: probe %s cannot run on this host: %s\n", id, missing)
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: tenant %s, %s, %s\n", f.file, c.Tenant.ID, plural(len(c.Components), "component"), plural(len(c.AllProbes()), "probe"))
				return err
			}
			abs, err := filepath.Abs(f.file)
			if err != nil {
				return err
			}
			err = agent.Run(cmd.Context(), agent.Options{
				Config: c, ConfigFile: abs, AlertOnly: f.alertOnly, Version: version(), Log: log, ListenOverride: f.listen,
				OnReady:    func(url string) { log.Info("the status page is up", "url", url) },
				Supervisor: systemd(log),
			})
			return ended(cmd.Context(), err)
		},
	}
	addConfigFlag(cmd, &f.file)
	f.logs.add(cmd, "info")
	cmd.Flags().BoolVar(&f.check, "config.check", false, "check the configuration, print every fault, and end")
	cmd.Flags().BoolVar(&f.alertOnly, "alert-only", false, "tell the on-call engineer and open no case: no desk is built")
	cmd.Flags().Var((*listenFlag)(&f.listen), "web.listen-address", "`ADDRESS` of the status page, instead of web.listen")
	return cmd
}

// systemd returns the service manager that started this process and waits to hear from it; the zero value where there is none.
func systemd(log *slog.Logger) agent.Supervisor {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog is not served: WATCHDOG_USEC or WATCHDOG_PID is no number", "err", err)
	}
	return agent.Supervisor{Watchdog: watchdog, Tell: func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("systemd was not told how the agent fares", "err", err)
		}
	}}
}

// ended turns the end of an agent into the end of the command: it was asked to stop and stopped, or something failed.
func ended(ctx context.Context, err error) error {
	if err != nil && !brokenOff(ctx, err) {
		return err
	}
	if interrupted(ctx) {
		return exitError{code: exitInterrupted}
	}
	return nil
}
