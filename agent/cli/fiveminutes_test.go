package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestFirstFiveMinutes runs the commands of docs/first-five-minutes.md, with --offline where they would probe; of what needs a
// terminal or runs for ever, it parses the flags.
func TestFirstFiveMinutes(t *testing.T) {
	text := read(t, "docs/first-five-minutes.md")
	t.Chdir(t.TempDir())
	ran := 0
	for _, line := range regexp.MustCompile(`(?m)^\$ firstcall (.*)$`).FindAllStringSubmatch(text, -1) {
		args := words(line[1])
		switch {
		case args[0] == "init" && len(args) > 1:
			args = append(args, "--offline")
		case args[0] == "run" && len(args) > 1:
		default:
			cmd, rest, err := newRoot().Find(args)
			if err != nil || cmd.ParseFlags(rest) != nil {
				t.Errorf("firstcall %s: %v", line[1], err)
			}
			continue
		}
		var out strings.Builder
		if code := Main(args, strings.NewReader(""), &out, &out); code != exitDone {
			t.Errorf("firstcall %s: exit code %d\n%s", line[1], code, &out)
		}
		ran++
	}
	if ran < 2 {
		t.Errorf("%d commands were run: they are not found as they should be", ran)
	}
	made, err := os.ReadFile(defaultConfig)
	if err != nil || !strings.Contains(string(made), `name: "ACME A/S"`) {
		t.Errorf("the configuration is not what the page says: %v", err)
	}
	newInit().Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !strings.Contains(text, "`--"+f.Name+"`") {
			t.Errorf("docs/first-five-minutes.md does not name --%s", f.Name)
		}
	})
}

// TestFirstFiveMinutesLinks states that the pages and headings that the page names are there.
func TestFirstFiveMinutesLinks(t *testing.T) {
	links := regexp.MustCompile(`\]\(([a-z-]+\.md)(?:#([a-z-]+))?\)`).FindAllStringSubmatch(read(t, "docs/first-five-minutes.md"), -1)
	if len(links) < 5 {
		t.Errorf("%d links: they are not found as they should be", len(links))
	}
	for _, link := range links {
		page := read(t, filepath.Join("docs", link[1]))
		heading := regexp.MustCompile(`(?mi)^#+ ` + strings.ReplaceAll(link[2], "-", "[ -]") + `$`)
		if link[2] != "" && !heading.MatchString(page) {
			t.Errorf("%s has no heading %q", link[1], link[2])
		}
	}
}
