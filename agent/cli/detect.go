package cli

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/stdio"
)

func newDetect() *cobra.Command {
	var serve bool
	var state string
	cmd := &cobra.Command{
		Use: "detect", Short: "Judge a stream of latencies; show and accept what is normal for a probe",
		Long: "Judges series of latencies with the agent's own detector, so that it can be scored, or used from another program.\n\n" +
			"With --stdio it reads JSON lines from standard input and answers each at once on standard output:\n\n" +
			"  in   {\"series\":\"id\",\"t\":unix seconds,\"latency_ms\":12.3}    null: the probe failed\n" +
			"  out  {\"t\":same,\"state\":\"ok|degraded|down\",\"score\":0..1}    and \"cp_t\": when a change of level began that is told now\n\n" +
			"A new series is a new probe. With --state-dir (else RIG_STATE_DIR) what is learnt is kept there: a restart, even by SIGKILL\n" +
			"between two lines, changes no answer.",
		Example: "  firstcall detect --stdio < points.jsonl\n  firstcall detect baseline\n  firstcall detect accept web-client/http moved to another region",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !serve {
				return usage("say what to do: --stdio reads points and answers them; 'baseline' shows what is normal for a probe, 'accept' changes it")
			}
			if state == "" {
				state = os.Getenv("RIG_STATE_DIR")
			}
			return stdio.Serve(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), state)
		},
	}
	cmd.Flags().BoolVar(&serve, "stdio", false, "read points from standard input and answer each")
	cmd.Flags().StringVar(&state, "state-dir", "", "`DIRECTORY` to keep what is learnt in; else RIG_STATE_DIR, else nothing is kept")
	cmd.AddCommand(newDetectBaseline(), newDetectAccept())
	return cmd
}
