package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/probes"
)

// atOnce is how many probes of one round run side by side.
const atOnce = 16

// round runs every probe once and prints a table, in the order of the configuration. It reports whether all is well.
func round(ctx context.Context, w io.Writer, c *config.Config) (well bool, err error) {
	all := c.AllProbes()
	results := make([]probes.Result, len(all))
	var running sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for n, p := range all {
		running.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			results[n] = runOnce(ctx, p)
		})
	}
	running.Wait()
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "PROBE\tOUTCOME\tLATENCY\tREASON\tDETAIL")
	bad, targets, sees := 0, 0, len(c.Witnesses) == 0
	counts := deciding(c)
	for n, r := range results {
		if counts[all[n].ID] {
			targets++
			if r.Outcome != probes.Up {
				bad++
			}
		}
		sees = sees || r.Outcome == probes.Up
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", all[n].ID, r.Outcome, r.Duration.Round(time.Millisecond/10), orDash(string(r.Reason)), orDash(printable(shortened(r.Detail, 300))))
	}
	if err := t.Flush(); err != nil {
		return false, err
	}
	switch {
	case !sees:
		_, err = fmt.Fprintln(w, "\nNothing answers, no witness either: this machine's own network is at fault, and nothing is said about the customer.")
	case bad == 0:
		_, err = fmt.Fprintf(w, "\nAll well: %d of %d deciding probes are up.\n", targets, targets)
	default:
		_, err = fmt.Fprintf(w, "\nNot well: %d of %d deciding probes are not up.\n", bad, targets)
	}
	return bad == 0, err
}

// deciding returns the probes whose failure is their instance's; witnesses, and those that only explain, are none.
func deciding(c *config.Config) map[string]bool {
	all := map[string]bool{}
	for _, component := range c.Solution().Components {
		for _, i := range component.Instances {
			for _, p := range i.Probes {
				all[p.ID] = p.Deciding
			}
		}
	}
	return all
}
