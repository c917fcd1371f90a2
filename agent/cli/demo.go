package cli

import (
	"context"
	"os"
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/firstcall-agent/firstcall/agent/demo"
)

func newDemo() *cobra.Command {
	var listen string
	var once bool
	var logs logFlags
	cmd := &cobra.Command{
		Use: "demo", Short: "Show the main job on a stand-in solution: outage, case, mails, recovery", Args: cobra.NoArgs,
		Long: "Starts a stand-in solution on loopback, the real agent against it with short intervals, and a story of about 45 seconds:\n" +
			"one component down, everything down, recovery. The case and its mails are shown as they happen; the status page stays\n" +
			"up until Ctrl-C. Where the output is not a terminal the demo ends with the story. Nothing is left behind.\n\n" +
			"Ctrl-C is how the demo is meant to end: exit code 0.",
		Example: "  firstcall demo\n  firstcall demo --once",
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logs.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			o := demo.Options{Out: cmd.OutOrStdout(), Log: log, Listen: listen, Version: version(), Once: true}
			if f, ok := cmd.OutOrStdout().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
				o.Once = false
				o.Colour = colourful()
				o.Width, _, _ = term.GetSize(int(f.Fd()))
			}
			if cmd.Flags().Changed("once") {
				o.Once = once
			}
			return endedDemo(cmd.Context(), demo.Run(cmd.Context(), o))
		},
	}
	logs.add(cmd, "error")
	cmd.Flags().Var((*listenFlag)(&listen), "web.listen-address", "`ADDRESS` of the status page; 127.0.0.1:9797, or a free port, unless given")
	cmd.Flags().BoolVar(&once, "once", false, "end with the story")
	return cmd
}

// colourful reports whether a terminal shows colours, and the user wants them (no-color.org). Old consoles of Windows would show
// the codes instead.
func colourful() bool {
	wanted := os.Getenv("NO_COLOR") == ""
	return wanted && os.Getenv("TERM") != "dumb" && (runtime.GOOS != "windows" || os.Getenv("WT_SESSION") != "")
}

// endedDemo is ended for the demo, which people end with Ctrl-C.
func endedDemo(ctx context.Context, err error) error {
	if brokenOff(ctx, err) {
		return nil
	}
	return err
}
