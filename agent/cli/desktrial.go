package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/store"
)

const (
	deskCall    = 10 * time.Second // of one call, as the agent has it
	tidyWithin  = 20 * time.Second // for the end of what a failed trial opened
	lagGrace    = time.Second      // beyond a desk's lag
	searchEvery = 500 * time.Millisecond
	testMark    = "TEST: please ignore"
)

// testFlags are the flags of desk test.
type testFlags struct {
	keep, yes bool
	priority  string
}

func newDeskTest(c *deskCommand) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use: "test NAME", Short: "Open a test case at a desk, find it, read it, change it and resolve it", Args: cobra.ExactArgs(1), ValidArgsFunction: c.names,
		Long: "Opens a case that is marked \"" + testMark + "\" at the desk of that name, with the texts, fields and contact of the\n" +
			"configuration, finds it by its key, reads it back, raises its priority with a note, resolves it, and reads it back again.\n" +
			"Each step is printed with how long it took and what came back. Where one fails it says which and what to do, and what was\n" +
			"opened is resolved.\n\n" +
			"On a terminal it asks first. The built-in desk is in the agent's store: it is tried while no agent runs.\n\n" +
			"Exit code: 0 the desk does as it must, 1 it does not, 2 wrong usage or configuration.",
		Example: "  firstcall desk test soc --config.file acme.yaml\n  firstcall desk test soc --keep --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := withPriority(f.priority, incident.P4)
			if err != nil {
				return err
			}
			conf, d, err := c.find(args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return f.run(cmd, conf, d, p)
		},
	}
	cmd.Flags().BoolVar(&f.keep, "keep", false, "leave the test case open, for people to look at")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.Flags().StringVar(&f.priority, "priority", "", "`PRIORITY` of the case: p1, p2, p3, p4; p4 unless given")
	complete(cmd, "priority", priorityWords...)
	return cmd
}

func (f testFlags) run(cmd *cobra.Command, c *config.Config, d config.Desk, p incident.Priority) (err error) {
	storage, end, err := storageFor(cmd.Context(), c, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	made, err := built(c, d, storage)
	if err != nil {
		return err
	}
	t := &trial{
		out: cmd.OutOrStdout(), desk: made, can: made.Capabilities(), conf: c, entry: d, keep: f.keep,
		key: incident.Key(c.Tenant.ID, incident.Availability, "test", time.Now()),
	}
	t.say("desk %s (%s): a test case with the key %s, %s", d.Name, d.Kind, t.key, p)
	if t.can.MailsCustomer {
		t.say("this desk mails the customer: %s", orDash(c.Tenant.Contacts.Customer.Email))
	}
	if !f.yes && !confirmed(cmd.InOrStdin(), t.out) {
		return errors.New("nothing was opened")
	}
	return t.run(cmd.Context(), p)
}

// storageFor returns what the built-in desk keeps its cases in, and how to close it.
func storageFor(ctx context.Context, c *config.Config, d config.Desk) (desk.Storage, func() error, error) {
	if _, inside := d.Builder.(*desk.Builtin); !inside {
		return nil, func() error { return nil }, nil
	}
	s, err := store.Open(ctx, c.StoreURL(), store.Options{Vantage: "desk-test"})
	if err == nil {
		if err = s.Leading(); err != nil {
			err = errors.Join(err, s.Close())
		}
	}
	if errors.Is(err, store.ErrLocked) || errors.Is(err, store.ErrNotLeading) {
		return nil, nil, fmt.Errorf("the built-in desk is in the agent's store, and an agent runs on it: try it while that one is stopped (%w)", err)
	}
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	go keepLead(ctx, s)
	return s, func() error { cancel(); return s.Close() }, nil
}

// keepLead beats until ctx ends.
func keepLead(ctx context.Context, s *store.Store) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
			_, _ = s.Beat(ctx, store.Beat{Wants: true}) // where it fails, so does the next write, which says why
		}
	}
}

// confirmed asks on a terminal; elsewhere nobody is asked.
func confirmed(in io.Reader, out io.Writer) bool {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return true
	}
	_, _ = fmt.Fprint(out, "Open it? [y/N] ")
	answer, _ := bufio.NewReader(f).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// trial is one test case at one desk.
type trial struct {
	out   io.Writer
	desk  desk.Desk
	can   desk.Capabilities
	conf  *config.Config
	entry config.Desk
	keep  bool
	key   string

	began time.Time // of the open
	ref   string    // of what was opened; "": nothing that is known
	maybe bool      // something may have been opened
}

func (t *trial) say(format string, args ...any) {
	_, _ = fmt.Fprintln(t.out, printable(fmt.Sprintf(format, args...))) // a terminal that went away ends the steps by itself
}

// remedies say what to do where a step fails.
var remedies = map[string]string{
	"open":    "check the desk's address, its credential and the right to create cases there, and the fields of the configuration",
	"find":    "check that the system keeps the key in a field that can be searched, and the right to search; where a search is late, raise the desk's lag",
	"read":    "check the right to read cases, and which priorities and states the configuration maps to which",
	"update":  "check the right to change cases, and the system's rules for priorities",
	"resolve": "check which states the system allows after which, and what it wants filled in before the end",
}

// step runs one step and prints how it went.
func (t *trial) step(ctx context.Context, name string, do func(context.Context) (string, error)) error {
	began := time.Now()
	said, err := do(ctx)
	took := time.Since(began).Round(time.Millisecond)
	if err != nil {
		t.say("  %-8s FAILED %8s  %s", name, took, err)
		return fmt.Errorf("%s failed: %s", name, remedies[name])
	}
	t.say("  %-8s ok     %8s  %s", name, took, said)
	return nil
}

// run takes all steps, and tidies up where one fails.
func (t *trial) run(ctx context.Context, p incident.Priority) error {
	err := t.steps(ctx, p)
	switch {
	case err == nil && t.keep:
		t.say("the case stays open, as asked: resolve it there")
		return nil
	case err == nil:
		t.say("the desk does as it must")
		return nil
	}
	t.tidy(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("desk %s: %w", t.entry.Name, err)
}

func (t *trial) steps(ctx context.Context, p incident.Priority) error {
	if err := t.step(ctx, "open", func(ctx context.Context) (string, error) { return t.open(ctx, p) }); err != nil {
		return err
	}
	if t.can.Find {
		if err := t.step(ctx, "find", t.find); err != nil {
			return err
		}
	}
	if err := t.read(ctx, p, false); err != nil {
		return err
	}
	raised := p - 1
	if p == incident.P1 {
		raised = incident.P2
	}
	if err := t.step(ctx, "update", func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, deskCall)
		defer cancel()
		note := desk.Note{Seq: 1, At: time.Now(), Text: fmt.Sprintf("%s: changed from %s to %s", testMark, p, raised)}
		return fmt.Sprintf("%s, with a note", raised), t.desk.Update(ctx, t.ref, t.fields(raised), []desk.Note{note})
	}); err != nil {
		return err
	}
	if err := t.read(ctx, raised, false); err != nil || t.keep {
		return err
	}
	if err := t.step(ctx, "resolve", func(ctx context.Context) (string, error) { return "", t.resolve(ctx, raised) }); err != nil {
		return err
	}
	return t.read(ctx, raised, true)
}

// fields returns what the test case says: a case as the configuration has it, marked as a test.
func (t *trial) fields(p incident.Priority) desk.Fields {
	s := sampleFor(t.conf, incident.Availability, p, "")
	now := time.Now()
	i := &s.Incident
	i.ID, i.Root, i.Components, i.Title, i.Why = t.key, "test", []string{"test"}, "a trial of this desk", "somebody ran 'firstcall desk test'; nothing is measured"
	i.Detail, i.Reason, i.Started, i.Opened, i.Commencement, i.ReactionDue, i.Updated = nil, "", now, now, now, now, now
	s.Case, s.Events, s.View = incident.Case{}, nil, engine.View{}
	texts := reconcile.Render(textOptions(t.conf), asDesk(t.entry), s, "")
	return desk.Fields{
		Key: t.key, Title: shortened(testMark+" ("+texts.Title+")", 160), Body: testMark + ". Somebody tries this desk with 'firstcall desk test'; nothing is wrong.\n\n" + texts.Body,
		Priority: p, Customer: t.conf.Tenant.Contacts.Customer, Incident: *i, Extra: texts.Fields,
	}
}

func (t *trial) open(ctx context.Context, p incident.Priority) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, deskCall)
	defer cancel()
	t.began = time.Now()
	c, err := t.desk.Open(ctx, t.fields(p))
	if err != nil {
		t.maybe = errors.Is(err, desk.ErrUnknownOutcome) || ctx.Err() != nil
		return "", err
	}
	if c.Ref == "" {
		t.maybe = true
		return "", errors.New("the answer names no case")
	}
	t.ref = c.Ref
	said := "case " + c.Number
	if c.URL != "" {
		said += ", " + c.URL
	}
	return said, nil
}

// find searches until the case shows, at the latest after the desk's lag.
func (t *trial) find(ctx context.Context) (string, error) {
	for {
		found, err := t.search(ctx)
		late := time.Since(t.began)
		switch {
		case err != nil:
			return "", err
		case len(found) > 1:
			return "", fmt.Errorf("%d cases have a key that was never used before", len(found))
		case len(found) == 1 && found[0].Ref != t.ref:
			return "", fmt.Errorf("the case that is found is another one: %s", found[0].Number)
		case len(found) == 1:
			return fmt.Sprintf("it shows %s after the open began (lag: %s)", late.Round(time.Millisecond), t.can.Lag), nil
		case late > t.can.Lag+lagGrace:
			return "", fmt.Errorf("no case has the key, %s after the open began (lag: %s)", late.Round(time.Second/10), t.can.Lag)
		}
		if err := pause(ctx, searchEvery); err != nil {
			return "", err
		}
	}
}

func (t *trial) search(ctx context.Context) ([]desk.Case, error) {
	ctx, cancel := context.WithTimeout(ctx, deskCall)
	defer cancel()
	return t.desk.Find(ctx, t.key)
}

// read reads the case back, where the desk can.
func (t *trial) read(ctx context.Context, want incident.Priority, over bool) error {
	if !t.can.ReadBack {
		return nil
	}
	return t.step(ctx, "read", func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, deskCall)
		defer cancel()
		c, err := t.desk.Get(ctx, t.ref)
		said := fmt.Sprintf("%s, %s", c.State, c.Priority)
		switch {
		case err != nil:
			return "", err
		case c.Key != "" && c.Key != t.key:
			return "", fmt.Errorf("its key is %q, not the one that was written", c.Key)
		case over && c.State != incident.CaseResolved, !over && !c.State.Live():
			return "", fmt.Errorf("it is %s: want it %s", said, map[bool]string{true: "resolved", false: "open"}[over])
		case c.Priority != incident.NoPriority && c.Priority != want:
			return "", fmt.Errorf("it is %s where %s was written", said, want)
		}
		return said, nil
	})
}

func (t *trial) resolve(ctx context.Context, p incident.Priority) error {
	ctx, cancel := context.WithTimeout(ctx, deskCall)
	defer cancel()
	return t.desk.Resolve(ctx, t.ref, t.fields(p), testMark+": the trial is over")
}

// tidy resolves what a failed trial opened, or may have.
func (t *trial) tidy(ctx context.Context) {
	if t.ref == "" && !t.maybe {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyWithin+t.can.Lag)
	defer cancel()
	if t.ref == "" && !t.appears(ctx) {
		t.say("  whether a case was opened is not known: look at the desk for the key %s", t.key)
		return
	}
	began := time.Now()
	err := t.resolve(ctx, incident.P4)
	took := time.Since(began).Round(time.Millisecond)
	if err != nil {
		t.say("  %-8s FAILED %8s  the test case is still open: resolve it at the desk, key %s: %s", "tidy up", took, t.key, err)
		return
	}
	t.say("  %-8s ok     %8s  the test case is resolved", "tidy up", took)
}

// appears searches for a case whose create was not answered.
func (t *trial) appears(ctx context.Context) bool {
	for t.can.Find {
		found, err := t.search(ctx)
		if err == nil && len(found) > 0 {
			t.ref = found[0].Ref
			return true
		}
		if time.Since(t.began) > deskCall+t.can.Lag || pause(ctx, searchEvery) != nil {
			return false
		}
	}
	return false
}
