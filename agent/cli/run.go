package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent"
	"github.com/firstcall-agent/firstcall/config"
)

const defaultConfig = "firstcall.yaml"

func addConfigFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config.file", defaultConfig, "configuration file")
}

// load reads the configuration. Every fault it has is printed with its place, and the error asks for the exit code of usage.
func load(file string, stderr io.Writer) (*config.Config, error) {
	c, err := config.Load(file)
	if err == nil {
		return c, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, usage("there is no configuration file %s: name it with --config.file, or try 'firstcall demo'", file)
	}
	var faults config.Faults
	if !errors.As(err, &faults) {
		return nil, exitError{exitUsage, err}
	}
	_, _ = fmt.Fprintln(stderr, faults.Error())
	return nil, usage("%s", faults.Summary())
}

func newRun() *cobra.Command {
	var file, listen string
	var check, alertOnly bool
	var logs logFlags
	cmd := &cobra.Command{
		Use: "run", Short: "Probe, judge, and open cases until stopped", Args: cobra.NoArgs,
		Example: "  firstcall run --config.file acme.yaml\n  firstcall run --config.file acme.yaml --config.check",
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logs.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			c, err := load(file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if check {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: tenant %s, %d components, %d probes\n", file, c.Tenant.ID, len(c.Components), len(c.AllProbes()))
				return err
			}
			abs, err := filepath.Abs(file)
			if err != nil {
				return err
			}
			err = agent.Run(cmd.Context(), agent.Options{
				Config: c, ConfigFile: abs, AlertOnly: alertOnly, Version: version(), Log: log, ListenOverride: listen,
				OnReady: func(url string) { log.Info("the status page is up", "url", url) },
			})
			if errors.Is(err, context.Canceled) {
				err = nil // asked to stop, and stopped
			}
			return err
		},
	}
	addConfigFlag(cmd, &file)
	logs.add(cmd)
	cmd.Flags().BoolVar(&check, "config.check", false, "check the configuration, print every fault, and end")
	cmd.Flags().BoolVar(&alertOnly, "alert-only", false, "tell the on-call engineer and open no case: no desk is built")
	cmd.Flags().StringVar(&listen, "web.listen-address", "", "address of the status page, instead of web.listen")
	return cmd
}
