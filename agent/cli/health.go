package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/web"
)

// healthTimeout is how long an agent may take to say how it fares.
const healthTimeout = 5 * time.Second

func newHealth() *cobra.Command {
	var c client
	var ready bool
	cmd := &cobra.Command{
		Use: "health", Short: "Ask a running agent how it fares; for a container's health check", Args: cobra.NoArgs,
		Long: "Asks a running agent how it fares. Exit code 0 when its judging loop moves (with --ready: when every probe with an\n" +
			"interval of at most five minutes ran once, too), 1 when not, or when none answers.",
		Example: "  firstcall health\n  firstcall health --ready --url https://acme.firstcall.example",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTimeout)
			defer cancel()
			var s web.Status
			if err := c.get(ctx, "/api/v1/status", &s); err != nil {
				return err
			}
			h := s.Health
			word := "healthy"
			switch {
			case !h.Alive:
				word = "stuck"
			case !h.Ready:
				word = "alive, not ready"
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", word, printable(s.Headline.Sentence)); err != nil {
				return err
			}
			if !h.Alive || ready && !h.Ready {
				return exitError{code: exitFailed}
			}
			return nil
		},
	}
	c.add(cmd)
	cmd.Flags().BoolVar(&ready, "ready", false, "want the agent ready, not only alive")
	return cmd
}
