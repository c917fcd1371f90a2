package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// renderFlags are the flags of desk render.
type renderFlags struct{ incident, sample, priority, output string }

// renderKinds are the samples of desk render.
var renderKinds = map[string]struct {
	class    incident.Class
	priority incident.Priority
}{"outage": {incident.Availability, incident.P2}, "slow": {incident.Performance, incident.P2}, "capacity": {incident.Capacity, incident.P4}}

func newDeskRender(c *deskCommand) *cobra.Command {
	var f renderFlags
	cmd := &cobra.Command{
		Use: "render NAME", Short: "Show the texts of a case as the desk would get them", Args: cobra.ExactArgs(1), ValidArgsFunction: c.names,
		Long: "Shows title, body, note, closing and fields of a case as the desk of that name would get them, with the desk's templates:\n" +
			"of a made-up incident, or of one in the store, which is only read, whether an agent runs or not. Nothing is sent.\n\n" +
			"Of an incident in the store the measurements themselves are not kept: evidence, what still works and when it was last good\n" +
			"are left out.",
		Example: "  firstcall desk render soc --sample slow --priority p3\n  firstcall desk render soc --incident fc-acme-backend-20260302T093000.000Z",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			conf, d, err := c.find(args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			texts, of, err := f.texts(cmd.Context(), conf, d)
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(cmd.OutOrStdout(), texts)
			}
			return printTexts(cmd.OutOrStdout(), fmt.Sprintf("desk %s (%s), %s", d.Name, d.Kind, of), texts)
		},
	}
	cmd.Flags().StringVar(&f.incident, "incident", "", "`ID` of an incident in the store")
	cmd.Flags().StringVar(&f.sample, "sample", "outage", "made-up `INCIDENT`: outage, slow, capacity")
	cmd.Flags().StringVar(&f.priority, "priority", "", "its `PRIORITY`: p1, p2, p3, p4")
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", "`FORM` of the answer: text, json")
	complete(cmd, "sample", slices.Sorted(maps.Keys(renderKinds))...)
	complete(cmd, "priority", priorityWords...)
	complete(cmd, "output", "text", "json")
	return cmd
}

func (f *renderFlags) check(cmd *cobra.Command) error {
	if f.incident != "" && (cmd.Flags().Changed("sample") || f.priority != "") {
		return usage("--incident is of a stored incident, --sample and --priority of a made-up one: give one or the other")
	}
	if err := oneOf("--output", f.output, "text", "json"); err != nil {
		return err
	}
	return oneOf("--sample", f.sample, "outage", "slow", "capacity")
}

// texts returns the texts and what they are of.
func (f *renderFlags) texts(ctx context.Context, c *config.Config, d config.Desk) (reconcile.CaseTexts, string, error) {
	if f.incident != "" {
		texts, err := stored(ctx, c, d, f.incident)
		return texts, "incident " + f.incident, err
	}
	kind := renderKinds[f.sample]
	p, err := withPriority(f.priority, kind.priority)
	if err != nil {
		return reconcile.CaseTexts{}, "", err
	}
	o, at := textOptions(c), asDesk(d)
	lasting := sampleFor(c, kind.class, p, "")
	texts := reconcile.Render(o, at, lasting, "")
	fresh := lasting // as it is when the case is opened
	fresh.Case, fresh.Events = incident.Case{}, lasting.Events[:1]
	opened := reconcile.Render(o, at, fresh, "")
	texts.Title, texts.Body, texts.Fields = opened.Title, opened.Body, opened.Fields
	texts.Closing = reconcile.Render(o, at, sampleFor(c, kind.class, p, incident.Recovered), "").Closing
	return texts, fmt.Sprintf("made-up incident: %s, %s", f.sample, p), nil
}

// stored returns the texts of an incident of the store, which is only read.
func stored(ctx context.Context, c *config.Config, d config.Desk, id string) (texts reconcile.CaseTexts, err error) {
	s, err := store.OpenReadOnly(ctx, c.StoreURL())
	if err != nil {
		return texts, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var sample reconcile.Sample
	if sample.Incident, err = s.Incident(ctx, id); err != nil {
		if errors.Is(err, incident.ErrNotFound) {
			err = fmt.Errorf("there is no incident %q in the store: 'firstcall cases list --all -o json' and the status page name them", printable(id))
		}
		return texts, err
	}
	if sample.Events, err = s.Timeline(ctx, id, 0); err != nil {
		return texts, err
	}
	if sample.Case, err = caseIn(ctx, s, id, d.Name); err != nil {
		return texts, err
	}
	into, err := caseIn(ctx, s, sample.Incident.AbsorbedBy, d.Name)
	if err != nil {
		return texts, err
	}
	return reconcile.Render(textOptions(c), asDesk(d), sample, into.Number), nil
}

// caseIn returns the case of an incident at one desk; the zero case when there is none.
func caseIn(ctx context.Context, s *store.Store, id, name string) (incident.Case, error) {
	if id == "" {
		return incident.Case{}, nil
	}
	cases, err := s.Cases(ctx, id)
	for _, c := range cases {
		if c.Desk == name {
			return c, nil
		}
	}
	return incident.Case{}, err
}

func printTexts(w io.Writer, head string, t reconcile.CaseTexts) error {
	var b strings.Builder
	b.WriteString(printable(head) + "\n")
	part := func(name, text, none string) {
		fmt.Fprintf(&b, "\n--- %s\n", name)
		if text == "" {
			text = "(" + none + ")"
		}
		for line := range strings.Lines(strings.TrimSuffix(text, "\n") + "\n") {
			b.WriteString(printable(strings.TrimSuffix(line, "\n")) + "\n")
		}
	}
	part("title", t.Title, "none")
	part("body", t.Body, "none")
	part("note", t.Note, "the desk is told of nothing")
	part("closing", t.Closing, "the incident is open")
	for _, name := range slices.Sorted(maps.Keys(t.Fields)) {
		part("field "+printable(name), t.Fields[name], "none")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
