package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/agent/setup"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// newSecret is a secret that is to be written.
type newSecret struct {
	path  string
	value secret.Value
}

// makeSecrets asks a person on a terminal for the secrets whose files are not there.
func (s *initSession) makeSecrets(ctx context.Context, plan setup.Plan) ([]newSecret, error) {
	if s.yes || s.asker.hidden == nil || len(plan.Secrets) == 0 {
		return nil, nil
	}
	var all []newSecret
	told := false
	for _, wanted := range plan.Secrets {
		path := beside(filepath.Dir(s.output), wanted.Path)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		if !told {
			told = true
			_, _ = fmt.Fprintln(s.out, "\nSecrets go into files that only you can read. What you type is not shown; Enter leaves one for later.")
		}
		text, err := s.secret(ctx, fmt.Sprintf("%s, for %s: ", upperFirst(wanted.What), path))
		if err != nil {
			return nil, err
		}
		if text != "" {
			all = append(all, newSecret{path, secret.New(text)})
		}
	}
	return all, nil
}

// secret reads one without showing it.
func (s *initSession) secret(ctx context.Context, prompt string) (string, error) {
	for {
		_, _ = fmt.Fprint(s.out, printable(prompt))
		text, err := s.asker.read(ctx, s.asker.hidden)
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintln(s.out)
		if utf8.ValidString(text) {
			return text, nil
		}
		_, _ = fmt.Fprintln(s.out, "  that is not UTF-8 text")
	}
}

func upperFirst(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// writeFiles writes the secrets and then the configuration. Where one fails, those before it are removed again.
func writeFiles(output, text string, secrets []newSecret, force bool) (err error) {
	var made []string
	defer func() {
		if err != nil {
			for _, path := range made {
				_ = os.Remove(path) // the first error is the one to tell
			}
		}
	}()
	for _, s := range secrets {
		if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
			return fmt.Errorf("the directory for a secret cannot be made: %w", err)
		}
		if err := writeWhole(s.path, s.value.Reveal()+"\n", 0o600, false); err != nil {
			return fmt.Errorf("a secret cannot be written: %w", err)
		}
		made = append(made, s.path)
	}
	mode := fs.FileMode(0o644) // it holds no secret
	if info, err := os.Stat(output); err == nil && force {
		mode = info.Mode().Perm()
	}
	switch err := writeWhole(output, text, mode, force); {
	case errors.Is(err, fs.ErrExist):
		return usage("%s is there now, and was not when this began: it is left as it is; give --force to overwrite it", output)
	case err != nil:
		return fmt.Errorf("the configuration cannot be written: %w", err)
	}
	return nil
}

// writeWhole writes a file whole or not at all. Where the path is taken and replace is not set, the error is fs.ErrExist.
func writeWhole(path, text string, mode fs.FileMode, replace bool) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".firstcall-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // where it was renamed there is none
	_, err = io.WriteString(file, text)
	if err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return err
	}
	if replace {
		return os.Rename(file.Name(), path)
	}
	err = os.Link(file.Name(), path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, taken := os.Lstat(path); taken == nil { // a file system without links
		return fs.ErrExist
	}
	return os.Rename(file.Name(), path)
}

// printFindings shows what a survey found: a table, or on a narrow terminal a paragraph each.
func printFindings(w io.Writer, rows []setup.Row, width int) error {
	const leastSeen = 30
	kind, target, state := 0, 0, 0
	for _, r := range rows {
		kind, target, state = max(kind, len(r.Kind)), max(target, len([]rune(r.Target))), max(state, len(r.State))
	}
	var b strings.Builder
	b.WriteString("\nfound:\n")
	left := 2 + kind + 2 + target + 2 + state + 2
	for _, r := range rows {
		switch {
		case width > 0 && width-left < leastSeen:
			fmt.Fprintf(&b, "  %s %s: %s\n", r.Kind, printable(r.Target), r.State)
			for _, row := range folded(r.Seen, max(leastSeen, width-4)) {
				b.WriteString("    " + row + "\n")
			}
		default:
			room := 1 << 20
			if width > 0 {
				room = width - left
			}
			seen := folded(r.Seen, room)
			fmt.Fprintf(&b, "  %-*s  %-*s  %-*s  %s\n", kind, r.Kind, target, printable(r.Target), state, r.State, seen[0])
			for _, row := range seen[1:] {
				fmt.Fprintf(&b, "%*s%s\n", left, "", row)
			}
		}
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}
