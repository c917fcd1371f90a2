package cli

import (
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/probes"
)

// pages returns the manual: every page below docs/, and the front page, by path from the repository's root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"README.md": read(t, "README.md")}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".md") {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err == nil {
			name = filepath.ToSlash(name)
			all[name] = read(t, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 30 {
		t.Fatalf("only %d pages are found", len(all))
	}
	return all
}

// block is a fenced piece of a page.
type block struct {
	page, info, text string
	line             int // of its first line of text
}

// split returns a page without its fenced blocks, and those.
func split(page, text string) (prose string, blocks []block) {
	var b strings.Builder
	fence, n := "", 0
	for line := range strings.Lines(text) {
		n++
		trimmed := strings.TrimSpace(line)
		switch {
		case fence == "" && strings.HasPrefix(trimmed, "```"):
			fence = trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`"))]
			blocks = append(blocks, block{page: page, info: strings.TrimLeft(trimmed, "`"), line: n + 1})
			b.WriteByte('\n')
		case fence == "":
			b.WriteString(line)
		case trimmed == fence:
			fence = ""
		default:
			blocks[len(blocks)-1].text += line
		}
	}
	return b.String(), blocks
}

var (
	linked  = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)`)
	coded   = regexp.MustCompile("`[^`\n]+`")
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.*?)(?: +#+)?$`)
)

// links returns what a page links to on this site: the path from the root, with the anchor where it has one.
func links(page, text string) []string {
	prose, _ := split(page, text)
	var all []string
	for _, m := range linked.FindAllStringSubmatch(coded.ReplaceAllString(prose, "`code`"), -1) {
		u, err := url.Parse(m[1])
		if err != nil || u.IsAbs() || u.Host != "" {
			continue
		}
		to := page
		if u.Path != "" {
			to = path.Join(path.Dir(page), u.Path)
		}
		if u.Fragment != "" {
			to += "#" + u.Fragment
		}
		all = append(all, to)
	}
	return all
}

// anchors returns the anchors that GitHub, and most makers of sites, give the headings of a page.
func anchors(page, text string) map[string]bool {
	prose, _ := split(page, text)
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(prose, -1) {
		plain := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1")
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, plain)
		for n, base := 0, anchor; all[anchor]; {
			n++
			anchor = base + "-" + string(rune('0'+n))
		}
		all[anchor] = true
	}
	return all
}

// onDisk returns the page or file that a link leads to: of a directory, its index.
func onDisk(name string) (string, error) {
	info, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
	if err == nil && info.IsDir() && name != "." {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name), "README.md")); err == nil {
			return path.Join(name, "README.md"), nil
		}
	}
	return name, err
}

// TestLinksLead states that every link within the manual leads to a page, and to a heading of it where it names one.
func TestLinksLead(t *testing.T) {
	all := pages(t)
	n := 0
	for page, text := range all {
		for _, link := range links(page, text) {
			n++
			to, anchor, named := strings.Cut(link, "#")
			file, err := onDisk(to)
			if err != nil {
				t.Errorf("%s links to %s, which is not there", page, to)
				continue
			}
			if named && strings.HasSuffix(file, ".md") && !anchors(file, read(t, file))[anchor] {
				t.Errorf("%s links to %s, which has no heading for #%s", page, file, anchor)
			}
		}
	}
	if n < 100 {
		t.Errorf("%d links are checked: they are not found as they should be", n)
	}
}

// TestEveryPageIsReached states that a reader who begins at the manual's index finds every page of it.
func TestEveryPageIsReached(t *testing.T) {
	all := pages(t)
	reached := map[string]bool{"README.md": true, "docs/README.md": true}
	for todo := []string{"docs/README.md"}; len(todo) > 0; todo = todo[1:] {
		for _, link := range links(todo[0], all[todo[0]]) {
			to, _, _ := strings.Cut(link, "#")
			if file, err := onDisk(to); err == nil && all[file] != "" && !reached[file] {
				reached[file] = true
				todo = append(todo, file)
			}
		}
	}
	for _, page := range slices.Sorted(maps.Keys(all)) {
		if !reached[page] {
			t.Errorf("no page that docs/README.md leads to has a link to %s: give it a line there", page)
		}
	}
}

// TestEveryKindHasAPage states that the index names every kind of probe, desk and notifier and leads to a page that shows how to
// configure it.
func TestEveryKindHasAPage(t *testing.T) {
	index := read(t, "docs/README.md")
	row := func(what, kind string) {
		m := regexp.MustCompile("\\[`" + kind + "`\\]\\((" + what + `[a-z-]*\.md)[#)]`).FindStringSubmatch(index)
		if m == nil {
			t.Errorf("docs/README.md has no link [`%s`](%s-….md)", kind, what)
			return
		}
		_, blocks := split(m[1], read(t, "docs/"+m[1]))
		shown := regexp.MustCompile(`kind: ` + kind + `(?:[\s,}]|$)`)
		if !slices.ContainsFunc(blocks, func(b block) bool { return strings.HasPrefix(b.info, "yaml") && shown.MatchString(b.text) }) {
			t.Errorf("docs/%s shows no configuration of kind: %s", m[1], kind)
		}
	}
	for _, k := range probes.Kinds() {
		row("probes", k.Name)
	}
	for _, k := range desk.Kinds() {
		row("desk", k.Name)
	}
	for _, k := range notify.Kinds() {
		row("notifier", k.Name)
	}
}

// TestPagesNameWhatIsThere holds keys and metrics that the manual names in passing to the pages that are made of the code.
func TestPagesNameWhatIsThere(t *testing.T) {
	keys, sections := referenceKeys(read(t, "docs/configuration.md"))
	catalogue := read(t, "docs/metrics.md")
	dotted := regexp.MustCompile(`^[a-z_]+(?:\[\])?(?:\.[a-z_0-9]+(?:\[\])?)+$`)
	metric := regexp.MustCompile(`\bfirstcall_[a-z_]+[a-z]\b`)
	n := 0
	for page, text := range pages(t) {
		if page == "docs/configuration.md" {
			continue
		}
		prose, _ := split(page, text)
		for _, code := range coded.FindAllString(prose, -1) {
			code = strings.Trim(code, "`")
			key := strings.ReplaceAll(code, "[]", "")
			section, _, _ := strings.Cut(key, ".")
			if dotted.MatchString(code) && sections[section] && !slices.Contains([]string{".db", ".yaml"}, filepath.Ext(key)) {
				n++
				if !keys[key] {
					t.Errorf("%s names the key %s, which docs/configuration.md does not have", page, code)
				}
			}
			for _, name := range metric.FindAllString(code, -1) {
				n++
				base := regexp.MustCompile(`_(?:bucket|sum|count)$`).ReplaceAllString(name, "")
				if !slices.Contains([]string{"firstcall_key", "firstcall_priority", "firstcall_schema"}, name) && !strings.Contains(catalogue, "\n| `"+name+"` |") && !strings.Contains(catalogue, "\n| `"+base+"` |") {
					t.Errorf("%s names the metric %s, which is not there", page, name)
				}
			}
		}
	}
	if n < 80 {
		t.Errorf("%d keys and metrics are checked: they are not found as they should be", n)
	}
}

// referenceKeys returns the keys of the reference as they are written in passing, such as web.token or desks.resolve_after, and its
// sections.
func referenceKeys(reference string) (keys, sections map[string]bool) {
	keys, sections = map[string]bool{}, map[string]bool{}
	section := ""
	listed := regexp.MustCompile("^\\| (`[^|]*) \\| ")
	for line := range strings.Lines(reference) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimSpace(name)
			sections[section] = true
		}
		m := listed.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for _, code := range coded.FindAllString(m[1], -1) {
			keys[section+"."+strings.Trim(code, "`")] = true
			if section == "components" { // a probe's keys are everybody's
				keys["witnesses."+strings.Trim(code, "`")] = true
			}
		}
	}
	return keys, sections
}

// TestCommandsReadWell states what every command's help, and so its man page, has.
func TestCommandsReadWell(t *testing.T) {
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if r := []rune(cmd.Short); len(r) < 10 || len(r) > 100 || !unicode.IsUpper(r[0]) || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its short help %q is not a line that begins with a capital and ends without a full stop", path, cmd.Short)
		}
		own := !strings.HasPrefix(path, "firstcall completion") && cmd.Name() != "help"
		if own && cmd.Example == "" && cmd.Name() != "version" {
			t.Errorf("%s shows no example", path)
		}
		for line := range strings.Lines(cmd.Example) {
			command, ok := commandIn(line)
			if !ok {
				t.Errorf("%s: the example %q is no firstcall command", path, line)
				continue
			}
			if err := checkCommand(command, true); err != nil {
				t.Errorf("%s: the example %q: %v", path, line, err)
			}
		}
		for line := range strings.Lines(cmd.Long) {
			if own && len([]rune(strings.TrimSuffix(line, "\n"))) > 140 {
				t.Errorf("%s: its help has a line that no terminal holds: %q", path, line)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s: --%s: its help %q is empty, or ends with a full stop", path, f.Name, f.Usage)
			}
		})
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(newRoot())
}
