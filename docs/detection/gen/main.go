// Command gen draws the figures of docs/detection.md and writes what they show into its captions. Each is a real trace, with a
// fault multiplied in where its caption says so, judged by the agent's own code. It is run by go generate, in its own directory.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/firstcall-agent/firstcall/agent/plot"
)

//go:generate go run .

func main() {
	if err := run(filepath.Join("..", "..", "..")); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	files, err := render(root)
	if err != nil {
		return err
	}
	for path, content := range files {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// render returns the page and its figures by their paths.
func render(root string) (map[string][]byte, error) {
	page := filepath.Join(root, "docs", "detection.md")
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, f := range figures {
		t, err := readTrace(filepath.Join(root, "incident", "detect", "testdata", "rtt", f.trace+".csv.gz"))
		if err != nil {
			return nil, err
		}
		if f.known {
			t = withWeek(t)
		}
		j, err := judge(t, f.fault)
		if err != nil {
			return nil, err
		}
		svg, err := f.chart(j).Render(plot.SVG)
		if err != nil {
			return nil, err
		}
		files[filepath.Join(root, "docs", "detection", f.name+".svg")] = svg
		caption := fmt.Sprintf("![%s](detection/%s.svg)\n\n*%s.* %s (RIPE Atlas trace %s of WenqinSHAO/rtt, MIT)\n\n", f.title, f.name, f.title, f.says(j), f.trace)
		if text, err = put(text, f.name, caption); err != nil {
			return nil, err
		}
		if f.quoted {
			if text, err = put(text, f.name+"-sentence", "```text\n"+j.raised[0].Explanation+"\n```\n"); err != nil {
				return nil, err
			}
		}
	}
	files[page] = text
	return files, nil
}

// put replaces what stands between the page's two marks of that name.
func put(page []byte, name, text string) ([]byte, error) {
	begin, end := fmt.Appendf(nil, "<!-- %s -->\n", name), fmt.Appendf(nil, "<!-- end of %s -->", name)
	before, rest, ok := bytes.Cut(page, begin)
	_, after, found := bytes.Cut(rest, end)
	if !ok || !found {
		return nil, fmt.Errorf("docs/detection.md has no place for %q: want the lines %q and %q", name, begin, end)
	}
	return bytes.Join([][]byte{before, begin, []byte(text), end, after}, nil), nil
}
