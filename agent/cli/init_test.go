package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/agent/setup"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// session is init on a made-up terminal, which the returned writer types on.
func session(t *testing.T, out io.Writer) (*initSession, *io.PipeWriter) {
	t.Helper()
	in, typed := io.Pipe()
	t.Cleanup(func() { _ = typed.Close() }) // ends what still reads
	t.Chdir(t.TempDir())
	s := &initSession{initFlags: initFlags{output: defaultConfig, offline: true}, cmd: newInit(), out: out, machine: "UTC"}
	s.asker = &asker{lines: bufio.NewReader(in), out: out, terminal: true, restore: func() {}}
	s.asker.hidden = func() (string, error) { return s.asker.lines.ReadString('\n') }
	return s, typed
}

// empty fails the test unless nothing was left behind in the working directory.
func empty(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(".")
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v is left behind", err, left)
	}
}

// waiting is told what is written, and closes seen once that holds text.
type waiting struct {
	text string
	all  strings.Builder
	seen chan struct{}
}

func (w *waiting) Write(p []byte) (int, error) {
	before := strings.Contains(w.all.String(), w.text)
	w.all.Write(p)
	if !before && strings.Contains(w.all.String(), w.text) {
		close(w.seen)
	}
	return len(p), nil
}

// TestInitIsBrokenOff states that Ctrl-C, at a question and at a hidden one, ends with 130 and leaves nothing behind.
func TestInitIsBrokenOff(t *testing.T) {
	for _, c := range []struct{ at, typed string }{
		{"short name: ", ""},
		{"Time zone [UTC]: ", "acme\n\n"},
		{"for secrets/perfion: ", "acme\n\n\n\n\nacme-api.example\nprobe\n\n\n\n\n\ny\n"},
	} {
		out := &waiting{text: c.at, seen: make(chan struct{})}
		s, typed := session(t, out)
		shown := false
		s.asker.restore = func() { shown = true }
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			_, _ = io.WriteString(typed, c.typed)
			<-out.seen
			cancel(stopped{os.Interrupt})
		}()
		err := s.run(ctx)
		var said strings.Builder
		if code := exitCode(ctx, err, &said); code != exitInterrupted || said.String() != "firstcall: interrupted\n" {
			t.Errorf("at %q: exit code %d, %q", c.at, code, said.String())
		}
		if !shown {
			t.Errorf("at %q: the terminal is left as it was for a hidden answer", c.at)
		}
		empty(t)
	}
}

// TestInitInputEnds states that an end of the input ends it.
func TestInitInputEnds(t *testing.T) {
	s, typed := session(t, io.Discard)
	go func() {
		_, _ = io.WriteString(typed, "acme\n")
		_ = typed.Close()
	}()
	if err := s.run(t.Context()); !errors.Is(err, errEnd) {
		t.Errorf("%v, want %v", err, errEnd)
	}
	empty(t)
}

// TestInitLeavesASecretForLater states that Enter in place of a secret makes no file, and that it is named as missing.
func TestInitLeavesASecretForLater(t *testing.T) {
	var out strings.Builder
	s, typed := session(t, &out)
	go func() { _, _ = io.WriteString(typed, "acme\n\n\n\n\nacme-api.example\nprobe\n\n\n\n\n\ny\n\n") }()
	if err := s.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if !strings.Contains(out.String(), "still to be made") || !strings.Contains(out.String(), "  secrets/perfion: password of the Perfion user probe (no such file") {
		t.Errorf("the missing secret is not named:\n%s", &out)
	}
	if _, err := os.Stat("secrets"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("secrets: %v", err)
	}
}

// TestInitWritesAllOrNothing states that secrets are removed again when the configuration cannot be written, that a file that is
// there is kept, and that no part of a file is left.
func TestInitWritesAllOrNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("there.yaml", []byte("mine"), 0o640); err != nil {
		t.Fatal(err)
	}
	made := []newSecret{{filepath.Join("secrets", "smtp"), secret.New("hunter22")}}
	err := writeFiles("there.yaml", "new", made, false)
	if err == nil || !strings.Contains(err.Error(), "is left as it is") || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("%v", err)
	}
	if text, _ := os.ReadFile("there.yaml"); string(text) != "mine" {
		t.Errorf("there.yaml holds %q", text)
	}
	if left, _ := os.ReadDir("secrets"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if err := writeFiles("there.yaml", "new", made, true); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile("there.yaml")
	info, err := os.Stat("there.yaml")
	if err != nil || string(text) != "new" || info.Mode().Perm() != 0o640 && os.PathSeparator == '/' {
		t.Errorf("%v: %q, %v: want the new text and the old rights", err, text, info.Mode())
	}
	if err := writeFiles("other.yaml", "new", made, false); err == nil {
		t.Error("a secret was overwritten")
	}
	if left, _ := filepath.Glob(".firstcall-*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// TestFindings states how what was found is shown: a table where there is room, else a paragraph each, never wider than the
// terminal where words allow it.
func TestFindings(t *testing.T) {
	rows := []setup.Row{
		{Kind: "http", Target: "https://acme.example/", State: "answers", Seen: "status 200 OK, title \"Perfion\x1b[2J\", certificate until 2027-01-03 (62 days), issued by R11"},
		{Kind: "rdp", Target: "acme-app01.example", State: "does not answer", Seen: "refused"},
	}
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, "\nfound:\n" +
			"  http  https://acme.example/  answers          status 200 OK, title \"Perfion [2J\", certificate until 2027-01-03 (62 days), issued by R11\n" +
			"  rdp   acme-app01.example     does not answer  refused\n\n"},
		{90, "\nfound:\n" +
			"  http  https://acme.example/  answers          status 200 OK, title \"Perfion [2J\",\n" +
			"                                                certificate until 2027-01-03 (62 days),\n" +
			"                                                issued by R11\n" +
			"  rdp   acme-app01.example     does not answer  refused\n\n"},
		{40, "\nfound:\n" +
			"  http https://acme.example/: answers\n" +
			"    status 200 OK, title \"Perfion [2J\",\n" +
			"    certificate until 2027-01-03 (62\n" +
			"    days), issued by R11\n" +
			"  rdp acme-app01.example: does not answer\n" +
			"    refused\n\n"},
	} {
		var out strings.Builder
		if err := printFindings(&out, rows, c.width); err != nil || out.String() != c.want {
			t.Errorf("%d wide: %v\n%s", c.width, err, &out)
		}
	}
}

func TestGuesses(t *testing.T) {
	for in, want := range map[string]string{
		"acme.perfioncloud.com": "https://acme-api.perfioncloud.com", "https://acme-test.perfioncloud.com/x": "https://acme-test-api.perfioncloud.com",
		"https://acme.example": "", "https://localhost": "", "%": "",
	} {
		if got := apiOf([]string{in}); got != want {
			t.Errorf("the API of %s: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"smtp://smtp.acme.example:587": "firstcall@acme.example", "smtps://acme.example": "firstcall@acme.example",
		"smtp://127.0.0.1:25": "", "smtp://mail": "", "%": "",
	} {
		if got := senderOf(in); got != want {
			t.Errorf("a sender at %s: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"a/b-1.yaml": "a/b-1.yaml", "my file.yaml": "'my file.yaml'", "it's": `'it'\''s'`} {
		if got := shellWord(in); got != want {
			t.Errorf("%s becomes %s", in, got)
		}
	}
}
