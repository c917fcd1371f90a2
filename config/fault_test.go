package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what is printed into the testdata files")

// kindList is what changes whenever a kind is added.
var kindList = regexp.MustCompile(`it has .*`)

// environment is what ${VAR} sees in these tests.
func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"ADDRESS": "app01.example:443", "PORT": "8443", "SECRET": "hunter2-from-env", "INTERVAL": "45s", "TEXT": "not a number", "EMPTY": "", "YES": "true",
	}[name]
	return value, ok
}

// TestFaults reads every testdata/faults/*.txtar: a firstcall.yaml, files beside it, and what is printed. A file without
// a tenant or components of its own is completed with good ones.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "faults", "*.txtar"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files of faults: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			var data []byte
			want := -1
			for i, f := range archive.Files {
				switch f.Name {
				case "firstcall.yaml":
					data = f.Data
				case "want":
					want = i
				default:
					write(t, filepath.Join(dir, f.Name), f.Data)
				}
			}
			got := printed(t, dir, data)
			if *update {
				if want < 0 {
					archive.Files = append(archive.Files, txtar.File{Name: "want"})
					want = len(archive.Files) - 1
				}
				archive.Files[want].Data = []byte(got)
				write(t, file, txtar.Format(archive))
			}
			if want < 0 {
				t.Fatalf("the file says nothing of what is wanted; it prints\n%s", got)
			}
			if diff := cmp.Diff(string(archive.Files[want].Data), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// printed returns what the person who started the agent sees.
func printed(t *testing.T, dir string, data []byte) string {
	t.Helper()
	_, err := Parse(filepath.Join(dir, "firstcall.yaml"), data, environment)
	var faults Faults
	if !errors.As(err, &faults) {
		return "no fault\n"
	}
	lines := strings.Split(string(data), "\n")
	for _, f := range faults {
		if f.Line < 1 || f.Line > len(lines) || f.Column < 1 || f.Column > len([]rune(lines[f.Line-1]))+1 {
			t.Errorf("%d:%d is not in the file", f.Line, f.Column)
		}
	}
	text := faults.Error() + "\n" + faults.Summary() + "\n"
	text = strings.ReplaceAll(text, dir+string(filepath.Separator), "")
	return kindList.ReplaceAllString(text, "it has (the kinds)")
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFaultsPrintAHundredAndCountAll(t *testing.T) {
	data := "tenant: { id: acme }\ncomponents: [{ name: a, probes: [{ kind: hint }] }]\n" + strings.Repeat("x", 10) + ": 1\n"
	for i := range 150 {
		data += "unknown" + strings.Repeat("q", i%50) + string(rune('a'+i/50)) + ": 1\n"
	}
	_, err := Parse("firstcall.yaml", []byte(data), environment)
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 151 {
		t.Fatalf("got %d faults, want 151: %v", len(faults), err)
	}
	if !strings.HasSuffix(err.Error(), "\nand 51 more") || strings.Count(err.Error(), "firstcall.yaml:") != 100 {
		t.Error("the first 100 faults are not what is printed")
	}
	if got := faults.Summary(); got != "151 faults; nothing was started" {
		t.Errorf("Summary() = %q", got)
	}
	if got := (Faults{{}}).Summary(); got != "1 fault; nothing was started" {
		t.Errorf("Summary() = %q", got)
	}
}

func TestFaultErrorIsOneLine(t *testing.T) {
	f := Fault{File: "a.yaml", Line: 3, Column: 5, Path: "web.listn", Message: "unknown key", Hint: `did you mean "listen"?`, Source: "x", Caret: 1}
	if got, want := f.Error(), `a.yaml:3:5: web.listn: unknown key (did you mean "listen"?)`; got != want {
		t.Errorf("Error() = %s, want %s", got, want)
	}
}

func TestLoadSaysThatTheFileIsNotThere(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml: cannot be read: no such file") {
		t.Errorf("got %v", err)
	}
	_, err = Load(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("of a directory: %v", err)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"address", "timeout", "interval", "url", "name", "depends_on"}
	for written, want := range map[string]string{
		"adddress": "address", "Address": "address", "time_out": "timeout", "intervall": "interval", "uri": "url", "naem": "name",
		"depends-on": "depends_on", "x": "", "password": "", "": "", strings.Repeat("address", 20): "",
	} {
		if got, _ := nearest(written, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", written, got, want)
		}
	}
}
