package cli

import (
	"os"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

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
			"up until Ctrl-C. Where the output is not a terminal the demo ends with the story.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("log.level") {
				logs.level = "error"
			}
			log, err := logs.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if f, ok := cmd.OutOrStdout().(*os.File); !cmd.Flags().Changed("once") && (!ok || !isatty.IsTerminal(f.Fd())) {
				once = true
			}
			return demo.Run(cmd.Context(), demo.Options{Out: cmd.OutOrStdout(), Log: log, Listen: listen, Once: once, Version: version()})
		},
	}
	logs.add(cmd)
	cmd.Flags().StringVar(&listen, "web.listen-address", "", "address of the status page; 127.0.0.1:9797, or a free port, unless given")
	cmd.Flags().BoolVar(&once, "once", false, "end with the story")
	return cmd
}
