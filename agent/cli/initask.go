package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/firstcall-agent/firstcall/agent/setup"
)

// asker asks a person line by line.
type asker struct {
	lines    *bufio.Reader
	out      io.Writer
	terminal bool                            // somebody is there
	hidden   func() (text string, err error) // reads a line that is not shown
	restore  func()                          // shows again what is typed
}

func newAsker(in io.Reader, out io.Writer) *asker {
	a := &asker{lines: bufio.NewReader(in), out: out, restore: func() {}}
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return a
	}
	a.terminal = true
	if state, err := term.GetState(int(f.Fd())); err == nil {
		a.restore = func() { _ = term.Restore(int(f.Fd()), state) } // the shell does so as well
	}
	a.hidden = func() (string, error) {
		text, err := term.ReadPassword(int(f.Fd()))
		return string(text), err
	}
	return a
}

var errEnd = errors.New("the input ended before the last question: nothing was written")

// read returns what read reads, or ends with ctx. What it waits for then is left behind: the process ends.
func (a *asker) read(ctx context.Context, read func() (string, error)) (string, error) {
	type line struct {
		text string
		err  error
	}
	came := make(chan line, 1)
	go func() {
		text, err := read()
		came <- line{text, err}
	}()
	select {
	case l := <-came:
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if l.err != nil && (l.text == "" || !errors.Is(l.err, io.EOF)) {
			_, _ = fmt.Fprintln(a.out)
			return "", errEnd
		}
		return strings.TrimRight(l.text, "\r\n"), nil
	case <-ctx.Done():
		a.restore()
		_, _ = fmt.Fprintln(a.out)
		return "", context.Cause(ctx)
	}
}

func (a *asker) line(ctx context.Context, prompt string) (string, error) {
	_, _ = fmt.Fprint(a.out, prompt)
	text, err := a.read(ctx, func() (string, error) { return a.lines.ReadString('\n') })
	return strings.TrimSpace(text), err
}

// confirm asks for yes or no.
func (a *asker) confirm(ctx context.Context, what string, usual bool) (bool, error) {
	choice := map[bool]string{true: " [Y/n] ", false: " [y/N] "}[usual]
	for {
		text, err := a.line(ctx, what+choice)
		switch strings.ToLower(text) {
		case "":
			return usual, err
		case "y", "yes":
			return true, err
		case "n", "no", "-":
			return false, err
		}
		_, _ = fmt.Fprintln(a.out, "  y or n")
	}
}

// ask asks every question that no flag answers.
func (s *initSession) ask(ctx context.Context) error {
	_, _ = fmt.Fprint(s.out, "A first configuration in a few questions. Enter takes what stands in [ ], - leaves it out, ? explains. Ctrl-C ends\n"+
		"and leaves nothing behind. What is asked is also a flag: 'firstcall init --help'.\n\n")
	for _, q := range questions {
		if s.given(q.flag) || q.when != nil && !q.when(s.answers.Normal()) {
			continue
		}
		if err := s.question(ctx, q); err != nil {
			return err
		}
		if q.flag == "avd" && len(s.answers.Missing()) > 0 {
			return usage("there is nothing to watch: give an address of the Web Client, of the Perfion API or of Remote Desktop, or watch Azure Virtual Desktop")
		}
	}
	return s.askDesk(ctx)
}

func (s *initSession) given(flag string) bool {
	f := s.cmd.Flags().Lookup(flag)
	return f != nil && f.Changed
}

// question asks until the answer is good.
func (s *initSession) question(ctx context.Context, q question) error {
	usual := ""
	if q.usual != nil {
		usual = q.usual(s)
	}
	prompt := q.ask
	if usual != "" {
		prompt += " [" + printable(usual) + "]"
	}
	for {
		text, err := s.asker.line(ctx, prompt+": ")
		if err != nil {
			return err
		}
		switch text {
		case "?":
			for _, row := range folded(q.help, 100) {
				_, _ = fmt.Fprintln(s.out, "  "+row)
			}
			continue
		case "":
			text = usual
		case "-":
			text = ""
		}
		if err := q.take(s, text); err != nil {
			_, _ = fmt.Fprintln(s.out, "  "+printable(err.Error()))
			continue
		}
		return nil
	}
}

// askDesk asks for the keys of the desk.
func (s *initSession) askDesk(ctx context.Context) error {
	for _, k := range s.answers.Normal().DeskQuestions() {
		if k.Secret || s.deskGiven(k.Key) {
			continue
		}
		q := question{ask: "Desk: " + k.Key, help: k.Doc, take: func(s *initSession, text string) error {
			if text == "" && !k.Optional {
				return errors.New("is needed: " + k.Doc)
			}
			if text != "" {
				s.answers.DeskKeys = append(s.answers.DeskKeys, setup.Pair{Key: k.Key, Value: text})
			}
			return nil
		}}
		if err := s.question(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func (s *initSession) deskGiven(key string) bool {
	for _, p := range s.answers.DeskKeys {
		if p.Key == key || p.Key == key+"_file" {
			return true
		}
	}
	return s.answers.Desk == "email" && (key == "smtp" && s.answers.SMTP != "" || key == "from" && s.answers.MailFrom != "")
}

// machineZone returns the IANA zone of this machine; UTC where it does not say.
func machineZone() string {
	name := strings.TrimPrefix(os.Getenv("TZ"), ":")
	if name == "" {
		if to, err := filepath.EvalSymlinks("/etc/localtime"); err == nil {
			_, name, _ = strings.Cut(filepath.ToSlash(to), "/zoneinfo/")
		}
	}
	if _, err := time.LoadLocation(name); err != nil || name == "" || name == "Local" || name == "Etc/UTC" {
		return "UTC"
	}
	return name
}

// folded breaks a text into rows of at most width characters, between words.
func folded(text string, width int) []string {
	var rows []string
	row := ""
	for word := range strings.FieldsSeq(printable(text)) {
		if row != "" && len([]rune(row))+1+len([]rune(word)) > width {
			rows = append(rows, row)
			row = ""
		}
		row = strings.TrimPrefix(row+" "+word, " ")
	}
	return append(rows, row)
}
