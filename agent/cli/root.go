// Package cli is the command line: one file a command.
//
// Every command ends with 0 when it did what was asked, 1 when that failed, 2 for wrong usage or configuration, 130 when it
// was interrupted. Only probe differs: it follows the Nagios plugin form.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/service"
)

// Version is set when a release is built (-ldflags "-X ...cli.Version=v1.2.3"); otherwise the module's own is used.
var Version = ""

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// exitError is an error that asks for an exit code of its own; err may be nil when everything is said already.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return exitError{exitUsage, fmt.Errorf(format, args...)}
}

// Main runs the command line, until a signal or the service control manager of Windows ends it, and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if code, is := service.Run(stopped{syscall.SIGTERM}, func(ctx context.Context, log io.Writer) int {
		return execute(ctx, args, strings.NewReader(""), log, log)
	}); is {
		return code
	}
	ctx, release := untilSignal(context.Background())
	defer release()
	return execute(ctx, args, stdin, stdout, stderr)
}

// execute runs a command until it ends or ctx does.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return exitCode(ctx, root.ExecuteContext(ctx), stderr)
}

// exitCode says what is wrong, once, and returns the exit code.
func exitCode(ctx context.Context, err error, stderr io.Writer) int {
	var exit exitError
	code := exitFailed
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		code = exit.code
		if exit.err == nil {
			return code
		}
	case brokenOff(ctx, err):
		_, _ = fmt.Fprintln(stderr, "firstcall: interrupted")
		return exitInterrupted
	}
	_, _ = fmt.Fprintln(stderr, "firstcall:", err)
	return code
}

// Command returns the tree of commands, for what is made of it: man pages and completions.
func Command() *cobra.Command { return newRoot() }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "firstcall",
		Short: "Probes a customer's solution and has the case open before the customer calls",
		Long: "firstcall probes a customer's hosted solution, tells a total outage from a latency regression, and has one case\n" +
			"open at the Operations Centre, at the contract's priority, before the customer notices.\n\n" +
			"Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted. 'probe' alone follows the\nNagios plugin form.",
		Example:       "  firstcall demo\n  firstcall init\n  firstcall run --config.file acme.yaml\n  firstcall cases list",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("firstcall {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return exitError{exitUsage, wrongFlag(cmd, err)} })
	root.SetHelpCommand(newHelp(root))
	root.AddCommand(newInit(), newRun(), newWatch(), newProbe(), newCases(), newDesk(), newMaintenance(), newSilence(), newReplay(), newReport(), newFleet(), newDetect(), newHealth(), newDemo(), newVersion())
	root.InitDefaultCompletionCmd("completion") // now, so that its arguments are checked as every other command's
	checkArgs(root)
	return root
}

// version returns what this binary calls itself.
func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Long: "Prints the version, the commit that this was built from and its time, the Go release and the platform. 'modified' stands behind\n" +
			"the commit where files were changed since. What was built without a commit at hand, as by 'go install', has none.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "firstcall", version(), build())
			return err
		},
	}
}

// build says in brackets what the linker wrote down of this binary's origin. It is the same for every build of a commit.
func build() string {
	parts := []string{"commit unknown", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(" + strings.Join(parts, ", ") + ")"
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	if revision := set["vcs.revision"]; revision != "" {
		parts[0] = "commit " + revision + " of " + set["vcs.time"]
		if set["vcs.modified"] == "true" {
			parts[0] += ", modified"
		}
	}
	return "(" + strings.Join(parts, ", ") + ")"
}
