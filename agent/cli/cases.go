package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// listLimit is the most that the API returns in one call.
const listLimit = 1000

// casesCommand is what the commands on cases share.
type casesCommand struct {
	client
	output string
}

func newCases() *cobra.Command {
	var c casesCommand
	cmd := &cobra.Command{
		Use: "cases", Short: "List, show and work on cases of a running agent",
		Long: "Lists, shows and works on the cases of a running agent. Work is done on cases of the built-in desk; a case of another\n" +
			"ticket system is worked on there, and is only shown here.",
		Example: "  firstcall cases list\n  firstcall cases ack FC-2026-000001\n  firstcall cases hold FC-2026-000001 waits for a restart by the customer",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return oneOf("--output", c.output, "text", "json")
		},
	}
	c.add(cmd)
	cmd.PersistentFlags().StringVarP(&c.output, "output", "o", "text", "`FORM` of the answer: text, json")
	complete(cmd, "output", "text", "json")
	cmd.AddCommand(newCasesList(&c), newCasesShow(&c))
	for _, a := range []operation{
		{desk.Acknowledge, "NUMBER", "Say that somebody works on the case", "acknowledged", cobra.ExactArgs(1), ""},
		{desk.Hold, "NUMBER REASON...", "Put the case on hold: it waits for the customer, and the time is deducted from downtime", "put on hold", cobra.MinimumNArgs(2), " waits for a restart by the customer"},
		{desk.Resume, "NUMBER", "End the hold", "resumed", cobra.ExactArgs(1), ""},
		{desk.AddNote, "NUMBER TEXT...", "Add a note", "noted", cobra.MinimumNArgs(2), " the provider works on it"},
		{desk.Answer, "NUMBER TEXT...", "Note what the customer answered, by telephone or mail", "answered by the customer", cobra.MinimumNArgs(2), " they restarted it"},
		{desk.Rectify, "NUMBER TEXT...", "Say that the fault is temporarily rectified, and how: the customer can work again", "temporarily rectified", cobra.MinimumNArgs(2), " moved to the other node"},
		{desk.Resolve, "NUMBER [REASON...]", "Resolve the case; measuring goes on", "resolved", cobra.MinimumNArgs(1), " the disk was replaced"},
	} {
		cmd.AddCommand(newCasesAct(&c, a))
	}
	return cmd
}

func newCasesList(c *casesCommand) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the open cases, and what is still to be delivered", Args: cobra.NoArgs,
		Long: "Lists the open cases: where each stands, how its reaction clock runs, and what its desk and people have not heard yet and why. A case\n" +
			"that does not exist yet has no number.",
		Example: "  firstcall cases list\n  firstcall cases list --all -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := "?limit=" + strconv.Itoa(listLimit)
			if !all {
				query += "&open=true"
			}
			var answer web.Cases
			if err := c.get(cmd.Context(), "/api/v1/cases"+query, &answer); err != nil {
				return err
			}
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			return printCases(cmd.OutOrStdout(), answer, widthOf(cmd.OutOrStdout()))
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list resolved ones too")
	return cmd
}

func newCasesShow(c *casesCommand) *cobra.Command {
	return &cobra.Command{
		Use: "show NUMBER", Short: "Show one case with its clock, holds, deliveries and timeline", Args: cobra.ExactArgs(1), ValidArgsFunction: c.numbers,
		Example: "  firstcall cases show FC-2026-000001",
		RunE: func(cmd *cobra.Command, args []string) error {
			var found web.CaseStory
			if err := c.get(cmd.Context(), "/api/v1/cases/"+url.PathEscape(args[0]), &found); err != nil {
				return noCase(args[0], err)
			}
			var story web.Story
			if err := c.get(cmd.Context(), "/api/v1/incidents/"+url.PathEscape(found.Incident.ID), &story); err != nil {
				return err
			}
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), story)
			}
			shown := found.Case             // also where it follows the case of that number
			for _, k := range story.Cases { // the case of the same answer as the timeline, so that the two agree
				if k.Desk == shown.Desk {
					shown = k
				}
			}
			return printStory(cmd.OutOrStdout(), shown, story)
		},
	}
}

// operation is a command that acts on a case.
type operation struct {
	action desk.Action
	args   string
	short  string
	done   string // what was done to the case
	check  cobra.PositionalArgs
	words  string // of an example, behind the number
}

func newCasesAct(c *casesCommand, o operation) *cobra.Command {
	var actor string
	cmd := &cobra.Command{
		Use: string(o.action) + " " + o.args, Short: o.short, Args: o.check, ValidArgsFunction: c.numbers,
		Example: "  firstcall cases " + string(o.action) + " FC-2026-000001" + o.words,
		RunE: func(cmd *cobra.Command, args []string) error {
			number := args[0]
			body := map[string]string{"actor": actor, "reason": strings.Join(args[1:], " ")}
			var answer map[string]any
			if err := c.do(cmd.Context(), http.MethodPost, "/api/v1/cases/"+url.PathEscape(number)+"/"+string(o.action), body, &answer); err != nil {
				return noCase(number, err)
			}
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s by %s\n", number, o.done, actor)
			return err
		},
	}
	cmd.Flags().StringVar(&actor, "actor", me(), "who does this, as it shall stand in the timeline")
	return cmd
}

// noCase says, of the error of a call for one case, that there is none, where that is so.
func noCase(number string, err error) error {
	if errors.Is(err, errAbsent) {
		return fmt.Errorf("there is no case %q: 'firstcall cases list --all' lists them", number)
	}
	return err
}

// numbers completes the first argument with the numbers of open cases.
func (c *casesCommand) numbers(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second) // a person waits at the prompt
	defer cancel()
	var answer web.Cases
	if c.get(ctx, "/api/v1/cases?open=true", &answer) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var numbers []cobra.Completion
	for _, k := range answer.Cases {
		if k.Number != "" {
			numbers = append(numbers, cobra.CompletionWithDesc(printable(k.Number), printable(priorityOf(k).String()+" "+stateWord(k.Case)+" "+k.Title)))
		}
	}
	return numbers, cobra.ShellCompDirectiveNoFileComp
}

// me returns the name of whoever runs the command. The agent's own name would tell nobody who it was, and is refused.
func me() string {
	names := []string{os.Getenv("SUDO_USER")}
	if u, err := user.Current(); err == nil {
		names = append(names, u.Username)
	}
	for _, name := range append(names, os.Getenv("USER")) {
		if name != "" && !strings.EqualFold(name, incident.ActorAgent) {
			return name
		}
	}
	return "operator"
}
