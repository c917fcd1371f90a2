package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
)

// ordersCommand is what the commands on maintenance and those on silences share.
type ordersCommand struct {
	client
	kind   incident.OrderKind
	path   string
	output string
}

func newMaintenance() *cobra.Command {
	c := &ordersCommand{kind: incident.OrderMaintenance, path: "/api/v1/maintenance"}
	cmd := c.command("maintenance", "Begin, list and end maintenance on a running agent",
		"Says that components of a running agent may fail for a time: no case is opened for them, measuring goes on, and what still fails when\n"+
			"it ends is told at once, dated from its real start. An incident that is open already goes on, and is closed as ever. It outlives a\n"+
			"restart. Windows that come again belong into the configuration.")
	cmd.Example = "  firstcall maintenance start backend web-client --for 2h --reason \"a new certificate\"\n  firstcall maintenance list\n  firstcall maintenance end 3"
	return cmd
}

func newSilence() *cobra.Command {
	c := &ordersCommand{kind: incident.OrderSilence, path: "/api/v1/silences"}
	cmd := c.command("silence", "Begin, list and end silence on a running agent",
		"Says that people know: for a time they are not told of an incident, or of any of some components. Incidents and cases go on as ever,\n"+
			"and an end is told in any case to whoever was told of the beginning. The customer's mails go on unless --customer is given.")
	cmd.Example = "  firstcall silence start web-client --for 2h --reason \"the hosting provider works on it\"\n  firstcall silence list\n  firstcall silence end 4"
	return cmd
}

func (c *ordersCommand) command(use, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error { return oneOf("--output", c.output, "text", "json") },
	}
	c.add(cmd)
	cmd.PersistentFlags().StringVarP(&c.output, "output", "o", "text", "`FORM` of the answer: text, json")
	complete(cmd, "output", "text", "json")
	cmd.AddCommand(c.start(), c.list(), c.end())
	return cmd
}

func (c *ordersCommand) start() *cobra.Command {
	var asked web.OrderAsked
	var long time.Duration
	var all bool
	cmd := &cobra.Command{
		Use: "start [COMPONENT...]", Short: "Begin " + string(c.kind) + " of components now",
		Example: "  firstcall " + string(c.kind) + " start web-client --for 2h --reason \"a new certificate\"\n  firstcall " + string(c.kind) + " start --all --for 30m --reason \"a new router\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			asked.Components = args
			switch {
			case len(args) == 0 && !all && asked.Incident == "":
				return usage("name the components, or give --all")
			case len(args) > 0 && (all || asked.Incident != ""):
				return usage("components, --all and --incident exclude each other")
			case all && asked.Incident != "":
				return usage("--all and --incident exclude each other")
			case strings.TrimSpace(asked.Reason) == "":
				return usage("--reason is missing: say why, it stands on the page and in the timeline")
			case long == 0:
				return usage("--for is missing: say how long, such as --for 2h")
			case long < time.Minute || long%time.Minute != 0:
				return usage("--for: %s is not a number of whole minutes: write 30m or 2h", long)
			}
			asked.Minutes = int(long / time.Minute)
			var answer web.ListedOrder
			if err := c.do(cmd.Context(), http.MethodPost, c.path, asked, &answer); err != nil {
				return err
			}
			return c.say(cmd.OutOrStdout(), answer, fmt.Sprintf("in force until %s", whenText(answer.Until)))
		},
	}
	cmd.Flags().DurationVar(&long, "for", 0, "how long, from now: `TIME` such as 30m, 2h")
	cmd.Flags().StringVar(&asked.Reason, "reason", "", "why, as it shall stand on the page and in the timeline: `TEXT`")
	cmd.Flags().StringVar(&asked.Actor, "actor", me(), "who orders it, as it shall stand in the timeline")
	cmd.Flags().BoolVar(&all, "all", false, "of every component")
	if c.kind == incident.OrderSilence {
		cmd.Flags().StringVar(&asked.Incident, "incident", "", "`ID` of the one open incident that it is about; people are told when its priority rises")
		cmd.Flags().BoolVar(&asked.Customer, "customer", false, "hold back the customer's mails too")
	}
	return cmd
}

func (c *ordersCommand) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the " + string(c.kind) + " that is in force or was in the last 30 days", Args: cobra.NoArgs,
		Example: "  firstcall " + string(c.kind) + " list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var answer web.Upkeep // of silences without windows
			if err := c.get(cmd.Context(), c.path, &answer); err != nil {
				return err
			}
			if c.output == "json" {
				if c.kind == incident.OrderSilence {
					return printJSON(cmd.OutOrStdout(), answer.Orders)
				}
				return printJSON(cmd.OutOrStdout(), answer)
			}
			return c.print(cmd.OutOrStdout(), answer)
		},
	}
}

func (c *ordersCommand) end() *cobra.Command {
	var actor string
	cmd := &cobra.Command{
		Use: "end ID [REASON...]", Short: "End " + string(c.kind) + " before its time", Args: cobra.MinimumNArgs(1),
		Example: "  firstcall " + string(c.kind) + " end 3 done early",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]string{"actor": actor, "reason": strings.Join(args[1:], " ")}
			var answer web.ListedOrder
			if err := c.do(cmd.Context(), http.MethodPost, c.path+"/"+url.PathEscape(args[0])+"/end", body, &answer); err != nil {
				if errors.Is(err, errAbsent) {
					return fmt.Errorf("there is no %s %q: 'firstcall %s list' lists them", c.kind, args[0], c.kind)
				}
				return err
			}
			return c.say(cmd.OutOrStdout(), answer, "ended by "+actor)
		},
	}
	cmd.Flags().StringVar(&actor, "actor", me(), "who ends it, as it shall stand in the timeline")
	return cmd
}

func (c *ordersCommand) say(w io.Writer, o web.ListedOrder, what string) error {
	if c.output == "json" {
		return printJSON(w, o)
	}
	_, err := fmt.Fprintf(w, "%s %d of %s: %s\n", o.Kind, o.ID, subject(o.Order), what)
	return err
}

// subject says what an order is about.
func subject(o incident.Order) string {
	switch {
	case o.Incident != "":
		return "incident " + printable(o.Incident)
	case len(o.Components) == 0:
		return "everything"
	}
	return printable(strings.Join(o.Components, ", "))
}

func whenText(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

// print writes a table; a configured window has no number.
func (c *ordersCommand) print(w io.Writer, answer web.Upkeep) error {
	type line struct {
		from  time.Time
		cells []string
	}
	var lines []line
	add := func(id, state, of, who, why string, from, until time.Time) {
		lines = append(lines, line{from, []string{id, state, of, whenText(from), whenText(until), who, why}})
	}
	ordered := func(x web.Window) bool {
		return slices.ContainsFunc(answer.Orders.Orders, func(o web.ListedOrder) bool { return o.From.Equal(x.From) && o.Reason == x.Name })
	}
	for _, x := range answer.Windows {
		if state := map[bool]string{true: "in force", false: "comes"}[x.Open]; !ordered(x) {
			add("-", state, subject(incident.Order{Components: x.Components}), "configured", printable(x.Name), x.From, x.Until)
		}
	}
	for _, o := range answer.Orders.Orders {
		state := map[bool]string{true: "in force", false: "over"}[o.Active]
		add(strconv.FormatInt(o.ID, 10), state, subject(o.Order), printable(o.Actor), printable(o.Reason), o.From, o.End())
	}
	if len(lines) == 0 {
		_, err := fmt.Fprintf(w, "no %s in the last 30 days\n", c.kind)
		return err
	}
	slices.SortStableFunc(lines, func(a, b line) int { return b.from.Compare(a.from) })
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row(tw, "ID", "STATE", "OF", "FROM", "UNTIL", "WHO", "WHY")
	for _, l := range lines {
		row(tw, l.cells...)
	}
	return tw.Flush()
}
