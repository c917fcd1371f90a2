package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

func newCases() *cobra.Command {
	var c client
	var output string
	cmd := &cobra.Command{
		Use: "cases", Short: "List, show and work on cases of a running agent", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.add(cmd)
	cmd.PersistentFlags().StringVarP(&output, "output", "o", "text", "form of the answer: text, json")
	cmd.AddCommand(newCasesList(&c, &output), newCasesShow(&c, &output))
	for _, a := range []struct {
		action desk.Action
		args   string
		short  string
	}{
		{desk.Acknowledge, "NUMBER", "Say that somebody works on the case"},
		{desk.Hold, "NUMBER REASON...", "Put the case on hold: it waits for the customer, and the time is deducted from downtime"},
		{desk.Resume, "NUMBER", "End the hold"},
		{desk.AddNote, "NUMBER TEXT...", "Add a note"},
		{desk.Resolve, "NUMBER [REASON...]", "Resolve the case; measuring goes on"},
	} {
		cmd.AddCommand(newCasesAct(&c, a.action, a.args, a.short))
	}
	return cmd
}

func newCasesList(c *client, output *string) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the open cases", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/api/v1/cases?open=true"
			if all {
				path = "/api/v1/cases"
			}
			var answer web.Cases
			if err := c.get(cmd.Context(), path, &answer); err != nil {
				return err
			}
			if *output == "json" {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			return printCases(cmd.OutOrStdout(), answer.Cases)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list resolved ones too")
	return cmd
}

func printCases(w io.Writer, cases []incident.Case) error {
	if len(cases) == 0 {
		_, err := fmt.Fprintln(w, "no cases")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "NUMBER\tPRIORITY\tSTATE\tCREATED\tDESK\tINCIDENT")
	for _, k := range cases {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", orDash(k.Number), k.Priority, stateWord(k), clockTime(k.Created), k.Desk, k.Incident)
	}
	return tw.Flush()
}

func newCasesShow(c *client, output *string) *cobra.Command {
	return &cobra.Command{
		Use: "show NUMBER", Short: "Show one case with its timeline", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var found web.CaseStory
			if err := c.get(cmd.Context(), "/api/v1/cases/"+url.PathEscape(args[0]), &found); err != nil {
				return err
			}
			var story web.Story
			if err := c.get(cmd.Context(), "/api/v1/incidents/"+url.PathEscape(found.Incident.ID), &story); err != nil {
				return err
			}
			if *output == "json" {
				return printJSON(cmd.OutOrStdout(), story)
			}
			return printStory(cmd.OutOrStdout(), found.Case, story)
		},
	}
}

func printStory(w io.Writer, k incident.Case, s web.Story) error {
	i := s.Incident
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { _, _ = fmt.Fprintf(tw, "%s\t%s\n", name, value) }
	row("case", k.Number+" at "+k.Desk)
	row("title", fmt.Sprintf("%s %s: %s", i.Priority, i.Tenant, i.Title))
	row("why", i.Why)
	row("state", stateWord(k))
	row("since", clockTime(i.Started))
	row("commencement", clockTime(i.Commencement))
	row("reaction due", clockTime(i.ReactionDue))
	if k.AcknowledgedBy != "" {
		row("acknowledged", clockTime(k.Acknowledged)+" by "+k.AcknowledgedBy)
	}
	if !i.Open() {
		row("rectified", clockTime(i.Ended)+", "+string(i.Resolution))
	}
	row("downtime", fmt.Sprintf("%s, net of holds %s", s.Downtime.Gross.Round(time.Second), s.Downtime.Net.Round(time.Second)))
	for _, d := range i.Detail {
		row("measured", d)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w)
	for _, e := range s.Timeline {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", clockTime(e.At), e.Kind, e.Actor, e.Text)
	}
	return tw.Flush()
}

func newCasesAct(c *client, action desk.Action, args, short string) *cobra.Command {
	var actor string
	want := cobra.MinimumNArgs(1)
	switch {
	case !strings.Contains(args, " "):
		want = cobra.ExactArgs(1)
	case !strings.Contains(args, "["):
		want = cobra.MinimumNArgs(2)
	}
	cmd := &cobra.Command{
		Use: string(action) + " " + args, Short: short, Args: want,
		RunE: func(cmd *cobra.Command, args []string) error {
			number := args[0]
			body := map[string]string{"actor": actor, "reason": strings.Join(args[1:], " ")}
			if err := c.do(cmd.Context(), http.MethodPost, "/api/v1/cases/"+url.PathEscape(number)+"/"+string(action), body, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s by %s\n", number, action, actor)
			return err
		},
	}
	cmd.Flags().StringVar(&actor, "actor", me(), "who does this, as it shall stand in the timeline")
	return cmd
}

// me returns the name of whoever runs the command.
func me() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return "operator"
}

func stateWord(k incident.Case) string {
	if k.State == incident.CaseWanted {
		return "wanted"
	}
	return string(k.State)
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
