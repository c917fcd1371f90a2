package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/setup"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// initFlags are the flags of init.
type initFlags struct {
	answers             setup.Answers
	deskKeys            []string
	output              string
	yes, offline, force bool
}

func newInit() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use: "init", Short: "Write a first configuration: ask, probe what is told, propose", Args: cobra.NoArgs,
		Long: "Asks what there is to watch and whom to tell, probes it once, and writes a commented configuration that passes the check.\n\n" +
			"On a terminal it asks for what no flag says; anywhere else give --yes, and the flags. Nothing is written before the end,\n" +
			"and no file is overwritten without --force. Secrets are never part of the configuration: it names files, which init makes\n" +
			"on a terminal, where it asks for them without showing them. No account is used while it probes.",
		Example: "  firstcall init\n" +
			"  firstcall init --yes --tenant acme --url https://acme.perfioncloud.example --rdp acme-app01.example\n" +
			"  firstcall init --yes --offline --tenant acme --perfion-api acme-api.perfioncloud.example --output -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := &initSession{initFlags: f, cmd: cmd, out: cmd.OutOrStdout(), machine: machineZone()}
			if f.output == "-" {
				s.out = cmd.ErrOrStderr()
			}
			s.asker = newAsker(cmd.InOrStdin(), s.out)
			return s.run(cmd.Context())
		},
	}
	f.add(cmd)
	return cmd
}

func (f *initFlags) add(cmd *cobra.Command) {
	a, flags := &f.answers, cmd.Flags()
	flags.StringVar(&a.Tenant, "tenant", "", "the customer's short `ID`, in every case key: lower-case letters, digits, hyphens")
	flags.StringVar(&a.Name, "name", "", "the customer's `NAME` for people")
	flags.StringVar(&a.TimeZone, "time-zone", "", "IANA `ZONE` in which the customer reads times; this machine's unless given")
	flags.StringVar(&a.Language, "language", "en", "`LANGUAGE` of the customer's mails: en, da")
	flags.StringArrayVar(&a.URLs, "url", nil, "`ADDRESS` of the Web Client; several hosts are stand-ins of one another")
	flags.StringArrayVar(&a.PerfionAPIs, "perfion-api", nil, "`ADDRESS` of a Perfion API service; several are stand-ins of one another")
	flags.StringVar(&a.PerfionUser, "perfion-user", "", "Perfion `USER` to ask as; its password lies in a file")
	flags.StringVar(&a.PerfionQuery, "perfion-query", "", "`FILE` with the query, relative to the configuration")
	flags.StringArrayVar(&a.RDP, "rdp", nil, "`HOST`, or host:port, that people log on to by Remote Desktop; several are stand-ins of one another")
	flags.BoolVar(&a.AVD, "avd", false, "watch Microsoft's front doors of Azure Virtual Desktop")
	flags.StringVar(&a.AVDPool, "avd-pool", "", "host pool, as `SUBSCRIPTION/GROUP/POOL`; with it --avd too")
	flags.StringVar(&a.AVDCredential, "avd-credential", "workload-identity", "whose `IDENTITY` asks for the pool: "+strings.Join(setup.Credentials, ", "))
	flags.StringVar(&a.Customer, "customer", "", "the customer's contact, as `\"NAME <MAIL>\"`")
	flags.StringVar(&a.OnCall, "on-call", "", "the engineer on call, as `\"NAME <MAIL>\"`")
	flags.StringVar(&a.SMTP, "smtp", "", "mail `SERVER`: smtp://host:587 or smtps://host")
	flags.StringVar(&a.SMTPUser, "smtp-user", "", "`USER` to log on there; its password lies in a file")
	flags.StringVar(&a.MailFrom, "mail-from", "", "`SENDER` of the mails")
	flags.StringVar(&a.Desk, "desk", setup.Builtin, "`KIND` of desk that cases are opened at: "+strings.Join(deskKinds(), ", "))
	flags.StringArrayVar(&f.deskKeys, "desk-set", nil, "`KEY=VALUE` of the desk; a secret's is the path of its file, as KEY_file=PATH")
	flags.StringArrayVar(&a.Witnesses, "witness", nil, "independent `TARGET`, host:port or a name, in place of the usual ones")
	flags.StringVarP(&f.output, "output", "o", defaultConfig, "`FILE` to write; - is standard output")
	flags.BoolVarP(&f.yes, "yes", "y", false, "ask nothing: take the defaults for what no flag says")
	flags.BoolVar(&f.offline, "offline", false, "probe nothing")
	flags.BoolVar(&f.force, "force", false, "overwrite the file")
	complete(cmd, "language", "en", "da")
	complete(cmd, "avd-credential", setup.Credentials...)
	complete(cmd, "desk", deskKinds()...)
}

func deskKinds() []string {
	var names []string
	for _, k := range desk.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// initSession is one run of init.
type initSession struct {
	initFlags
	cmd     *cobra.Command
	out     io.Writer // for people
	asker   *asker
	machine string // time zone of this machine
}

// file is where the configuration is to be, for what lies beside it.
func (s *initSession) file() string {
	if s.output == "-" {
		return defaultConfig
	}
	return s.output
}

func (s *initSession) run(ctx context.Context) error {
	if err := s.mayWrite(); err != nil {
		return err
	}
	if err := s.hear(ctx); err != nil {
		return err
	}
	if s.answers.TimeZone == "" {
		s.answers.TimeZone = s.machine
	}
	a := s.answers.Normal()
	if missing := a.Missing(); len(missing) > 0 {
		return usage("give %s", strings.Join(missing, ", and "))
	}
	if faults := a.Check(); len(faults) > 0 {
		return exitError{exitUsage, inLines(faults)}
	}
	found, err := s.survey(ctx, a)
	if err != nil {
		return err
	}
	plan, err := setup.Propose(s.file(), a, found)
	if err != nil {
		return exitError{exitUsage, fmt.Errorf("no configuration was written, since it would not pass the check:\n%w", err)}
	}
	return s.finish(ctx, a, plan)
}

// inLines is one error of several.
func inLines(faults []error) error {
	if len(faults) == 1 {
		return faults[0]
	}
	return fmt.Errorf("%d answers are wrong:\n%w", len(faults), errors.Join(faults...))
}

// mayWrite refuses, before anything is asked, what could not be written in the end.
func (s *initSession) mayWrite() error {
	if s.output == "-" {
		return nil
	}
	switch info, err := os.Stat(s.output); {
	case err == nil && info.IsDir():
		return usage("--output %s is a directory: give the path of a file", s.output)
	case err == nil && !s.force:
		return usage("%s is there already and is left as it is: give --output another name, or --force to overwrite it", s.output)
	}
	directory := filepath.Dir(s.output)
	if info, err := os.Stat(directory); err != nil || !info.IsDir() {
		return usage("there is no directory %s to write %s in: make it first", directory, filepath.Base(s.output))
	}
	return nil
}

// hear takes the answers from the flags and, on a terminal, from the person there.
func (s *initSession) hear(ctx context.Context) error {
	for _, pair := range s.deskKeys {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return usage("--desk-set %s: write it as KEY=VALUE", printable(pair))
		}
		s.answers.DeskKeys = append(s.answers.DeskKeys, setup.Pair{Key: name, Value: value})
	}
	missing := s.answers.Missing()
	switch {
	case !s.yes && s.asker.terminal:
		return s.ask(ctx)
	case len(missing) > 0 && !s.yes:
		return usage("standard input is no terminal, so nothing can be asked: give --yes and %s", strings.Join(missing, ", and "))
	case len(missing) > 0:
		return usage("--yes asks nothing: give %s", strings.Join(missing, ", and "))
	case !s.yes:
		return usage("standard input is no terminal, so nothing can be asked: give --yes to take the defaults for what no flag says")
	}
	return nil
}

// survey probes what the answers name, and shows what was found.
func (s *initSession) survey(ctx context.Context, a setup.Answers) (setup.Findings, error) {
	if s.offline {
		return nil, nil
	}
	p := newProgress(s.cmd.ErrOrStderr())
	found, err := setup.Survey(ctx, a, setup.Options{Progress: func(done, all int) {
		p.note(fmt.Sprintf("probing: %d of %d answered or given up", done, all))
	}})
	p.clear()
	if err != nil {
		return nil, err
	}
	return found, printFindings(s.out, setup.Table(a, found), widthOf(s.out))
}

// finish writes the files and says what comes next.
func (s *initSession) finish(ctx context.Context, a setup.Answers, plan setup.Plan) error {
	if s.output == "-" {
		_, err := io.WriteString(s.cmd.OutOrStdout(), plan.Text)
		return err
	}
	_, _ = fmt.Fprintf(s.out, "proposed: tenant %s, %s, %s\n", a.Tenant, strings.Join(plan.Components, ", "), plural(len(plan.Probes), "probe"))
	if !s.yes {
		if ok, err := s.asker.confirm(ctx, "Write "+s.output+"?", true); err != nil || !ok {
			return errors.Join(err, s.declined(err))
		}
	}
	written, err := s.makeSecrets(ctx, plan)
	if err != nil {
		return err
	}
	if err := writeFiles(s.output, plan.Text, written, s.force); err != nil {
		return err
	}
	return s.next(a, plan)
}

func (s *initSession) declined(err error) error {
	if err != nil {
		return nil
	}
	return errors.New("nothing was written")
}

// next says what is still missing, and what to do with the configuration.
func (s *initSession) next(a setup.Answers, plan setup.Plan) error {
	lacking, err := plan.Lacking(s.output)
	if err != nil {
		return fmt.Errorf("%s was written and does not pass the check:\n%w", s.output, err)
	}
	_, _ = fmt.Fprintf(s.out, "\n%s is written\n", s.output)
	directory := filepath.Dir(s.output)
	if len(lacking) > 0 {
		_, _ = fmt.Fprintln(s.out, "\nfiles that it names and that are still to be made, readable for the agent only (mode 600):")
		for _, secret := range plan.Secrets {
			if why := lacking[secret.Path]; why != "" {
				_, _ = fmt.Fprintf(s.out, "  %s: %s (%s)\n", beside(directory, secret.Path), secret.What, strings.TrimPrefix(why, "the file cannot be read: "))
			}
		}
	}
	if a.Desk == setup.Builtin {
		_, _ = fmt.Fprintln(s.out, "\ncases are opened at the built-in desk: on the agent's page, and in 'firstcall cases list'; name a ticket system under desks: when there is one")
	} else {
		_, _ = fmt.Fprintf(s.out, "\ncases are opened at %s: try it with 'firstcall desk test soc%s'\n", a.Desk, s.fileFlag())
	}
	check := plan.Probes[0]
	_, err = fmt.Fprintf(s.out, "\nnext:\n  firstcall probe %s%s\n  firstcall run --config.check%s\n  firstcall run%s\n", check, s.fileFlag(), s.fileFlag(), s.fileFlag())
	return err
}

// fileFlag is the flag that names the file, where it is needed.
func (s *initSession) fileFlag() string {
	if s.output == defaultConfig {
		return ""
	}
	return " --config.file " + shellWord(s.output)
}

// shellWord quotes a path for a shell where it has to be.
func shellWord(path string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '-' || r == '_' || r == '\\' || r == ':' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func beside(directory, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(directory, path)
}
