package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
)

// deskCommand is what the commands on desks share.
type deskCommand struct{ file string }

func newDesk() *cobra.Command {
	var c deskCommand
	cmd := &cobra.Command{
		Use: "desk", Short: "List the configured desks, show what they would be sent, and try one",
		Long: "Lists the configured desks, shows the texts of a case as a desk would get them, and tries a desk with a test case. No agent\n" +
			"need run.",
		Example: "  firstcall desk list --config.file acme.yaml\n  firstcall desk render soc --sample slow\n  firstcall desk test soc",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&c.file, "config.file", defaultConfig, "configuration `FILE`")
	cmd.AddCommand(newDeskList(&c), newDeskRender(&c), newDeskTest(&c))
	return cmd
}

// names completes the first argument with the names of the desks.
func (c *deskCommand) names(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	conf, err := config.Load(c.file)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, d := range conf.Desks {
		names = append(names, cobra.CompletionWithDesc(d.Name, d.Kind))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// find returns the configured desk of that name.
func (c *deskCommand) find(name string, stderr io.Writer) (*config.Config, config.Desk, error) {
	conf, err := load(c.file, stderr)
	if err != nil {
		return nil, config.Desk{}, err
	}
	var names []string
	for _, d := range conf.Desks {
		if d.Name == name {
			return conf, d, nil
		}
		names = append(names, d.Name)
	}
	return nil, config.Desk{}, usage("%s has no desk %q: want %s", c.file, printable(name), either(names))
}

// built builds a configured desk. storage may be nil where no case of the built-in desk is touched.
func built(c *config.Config, d config.Desk, storage desk.Storage) (desk.Desk, error) {
	if storage == nil {
		storage = noStorage{}
	}
	made, err := d.Builder.Build(desk.Env{Name: d.Name, Tenant: c.Tenant.ID, ExternalURL: c.Web.ExternalURL, Storage: storage, Now: time.Now})
	if err != nil {
		return nil, fmt.Errorf("desks: %s: %w", d.Name, err)
	}
	return made, nil
}

// noStorage is for a built-in desk that is only asked what it can do.
type noStorage struct{ desk.Storage }

// deskAbility is what a desk can do, as it is printed.
type deskAbility struct {
	Name          string        `json:"name"`
	Kind          string        `json:"kind"`
	Find          bool          `json:"find"`
	Dedupe        bool          `json:"dedupe"`
	Lag           time.Duration `json:"lag"`
	ReadBack      bool          `json:"read_back"`
	Transitions   bool          `json:"transitions"`
	MailsCustomer bool          `json:"mails_customer"`
	Key           int           `json:"key"` // longest, in bytes
	Reopens       bool          `json:"reopens"`
	KeepAlive     time.Duration `json:"keep_alive"` // 0: none is needed
}

func newDeskList(c *deskCommand) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "list", Short: "List the configured desks and what each can do", Args: cobra.NoArgs,
		Long: "Lists the configured desks, the primary one first, and what each can do:\n\n" +
			"  FIND        cases are found by their key\n" +
			"  DEDUPE      a second create with a key leads to the first case\n" +
			"  LAG         how long a new case may stay out of a search\n" +
			"  READ BACK   state and priority are read back\n" +
			"  PEOPLE      what people do there is read: reaction time and holds\n" +
			"  MAILS       it mails the customer itself: the agent does not\n" +
			"  KEY         longest key, in characters\n" +
			"  REOPENS     a resolved case is opened again; else a new one follows it\n" +
			"  KEEP-ALIVE  how often it must hear of a case that lasts",
		Example: "  firstcall desk list --config.file acme.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			conf, err := load(c.file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			var all []deskAbility
			for _, d := range conf.Desks {
				made, err := built(conf, d, nil)
				if err != nil {
					return err
				}
				all = append(all, abilityOf(d, made))
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), map[string]any{"desks": all})
			}
			return printAbilities(cmd.OutOrStdout(), all)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`FORM` of the answer: text, json")
	complete(cmd, "output", "text", "json")
	return cmd
}

func abilityOf(d config.Desk, made desk.Desk) deskAbility {
	can := made.Capabilities()
	_, reopens := made.(desk.Reopener)
	a := deskAbility{
		Name: d.Name, Kind: d.Kind, Find: can.Find, Dedupe: can.DedupeOnCreate, Lag: can.Lag, ReadBack: can.ReadBack, Transitions: can.Transitions,
		MailsCustomer: can.MailsCustomer, Key: can.MaxKey, Reopens: reopens, KeepAlive: can.KeepAlive,
	}
	if a.Key == 0 {
		a.Key = incident.MaxKey
	}
	return a
}

func printAbilities(w io.Writer, all []deskAbility) error {
	word := func(yes bool) string { return map[bool]string{true: "yes", false: "no"}[yes] }
	span := func(d time.Duration) string {
		if d == 0 {
			return "-"
		}
		return d.String()
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row(tw, "NAME", "KIND", "FIND", "DEDUPE", "LAG", "READ BACK", "PEOPLE", "MAILS", "KEY", "REOPENS", "KEEP-ALIVE")
	for _, a := range all {
		row(tw, a.Name, a.Kind, word(a.Find), word(a.Dedupe), span(a.Lag), word(a.ReadBack), word(a.Transitions), word(a.MailsCustomer),
			fmt.Sprint(a.Key), word(a.Reopens), span(a.KeepAlive))
	}
	return tw.Flush()
}

// textOptions are what stands in the texts of cases.
func textOptions(c *config.Config) reconcile.Options {
	people := c.Tenant.Contacts
	return reconcile.Options{
		Tenant: reconcile.Tenant{
			ID: c.Tenant.ID, Name: c.Tenant.Name, Zone: c.Tenant.Zone, Language: c.Tenant.Language,
			Customer: people.Customer, Functional: people.Functional, OnCall: people.OnCall,
		},
		Centre:      reconcile.Centre{Name: c.OperationsCentre.Name, Phone: c.OperationsCentre.Phone},
		ExternalURL: c.Web.ExternalURL, Version: version(), Vantage: c.Vantage,
	}
}

// asDesk returns the desk as texts are written for it.
func asDesk(d config.Desk) reconcile.Desk {
	return reconcile.Desk{Name: d.Name, Templates: d.Templates, Fields: d.Fields}
}

// sampleFor returns a sample of this tenant.
func sampleFor(c *config.Config, class incident.Class, p incident.Priority, ended incident.Resolution) reconcile.Sample {
	s := reconcile.NewSample(class, p, ended)
	s.Incident.Tenant = c.Tenant.ID
	s.Incident.ID = incident.Key(c.Tenant.ID, class, s.Incident.Root, s.Incident.Started)
	s.Case.Incident = s.Incident.ID
	return s
}

// withPriority reads --priority.
func withPriority(text string, otherwise incident.Priority) (incident.Priority, error) {
	if text == "" {
		return otherwise, nil
	}
	if err := oneOf("--priority", text, priorityWords...); err != nil {
		return otherwise, err
	}
	var p incident.Priority
	return p, p.UnmarshalText([]byte(text))
}

var priorityWords = []string{"p1", "p2", "p3", "p4"}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
