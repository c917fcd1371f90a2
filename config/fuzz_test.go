package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParse feeds anything: Parse must neither panic nor hang, and every fault lies in the file.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("testdata", "faults", "*.txtar"))
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(archive.Files[0].Data) < 4000 {
			f.Add(string(archive.Files[0].Data))
		}
	}
	f.Add(whole)
	for _, name := range []string{"smallest.yaml", "everyday.yaml", "acme.yaml"} {
		data, err := os.ReadFile(filepath.Join("..", "docs", "examples", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, data string) {
		c, err := Parse("firstcall.yaml", []byte(data), environment)
		var faults Faults
		switch {
		case err == nil:
			sound(t, c)
			return
		case !errors.As(err, &faults) || len(faults) == 0:
			t.Fatalf("the error is no list of faults: %v", err)
		}
		lines := strings.Split(strings.TrimPrefix(data, byteOrderMark), "\n")
		for _, fault := range faults {
			if fault.Line < 1 || fault.Line > len(lines) {
				t.Fatalf("line %d of %d: %v", fault.Line, len(lines), fault)
			}
			if line := lines[fault.Line-1]; fault.Column < 1 || fault.Column > utf8.RuneCountInString(line)+1 {
				t.Fatalf("column %d of %q: %v", fault.Column, line, fault)
			}
			if strings.ContainsAny(fault.Message+fault.Hint+fault.Source+fault.Path, "\x00\x1b\n\r") {
				t.Fatalf("a control character in %q", fault)
			}
		}
		if strings.Contains(err.Error(), "hunter2-from-env") {
			t.Fatalf("the value of a variable is printed:\n%s", err)
		}
	})
}

// sound checks what the rest of the agent takes for granted of a configuration without fault.
func sound(t *testing.T, c *Config) {
	t.Helper()
	ids := map[string]bool{}
	for _, p := range c.AllProbes() {
		if ids[p.ID] || p.Probe == nil || p.Timeout <= 0 || (p.Interval <= 0) == (p.Cron == nil) {
			t.Fatalf("probe %+v", p)
		}
		ids[p.ID] = true
	}
	for _, m := range c.Components {
		if len(m.Instances) == 0 {
			t.Fatalf("component %+v", m)
		}
	}
	for _, w := range c.Windows() {
		if w.Schedule == nil || w.Duration <= 0 {
			t.Fatalf("window %+v", w)
		}
	}
	if len(ids) == 0 || len(c.Desks) == 0 || c.Tenant.Zone == nil {
		t.Fatalf("%+v", c)
	}
}

// FuzzDuration checks that what is read can be written and read again.
func FuzzDuration(f *testing.F) {
	for _, text := range []string{"30s", "1d12h", "21d", "0", "1.5h", "-1s", "99999d", "3660d1ns", "1h1h"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDuration(text)
		if err != nil {
			return
		}
		if d < 0 || d > maxDays*24*60*60*1e9 {
			t.Fatalf("%q is %d", text, d)
		}
		if again, err := parseDuration(short(d)); err != nil || again != d {
			t.Fatalf("%q is %s, which is %v, %v", text, short(d), again, err)
		}
	})
}
