package cli

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// TestOperationsQuotesRealMessages keeps the trouble shooting tables of docs/operations.md true: every message that they quote is
// still in the code.
func TestOperationsQuotesRealMessages(t *testing.T) {
	_, tables, found := strings.Cut(read(t, "docs/operations.md"), "## Trouble shooting by message")
	if !found {
		t.Fatal("docs/operations.md has no trouble shooting by message")
	}
	code := literals(t)
	messages := 0
	quoted := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(tables) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 3 || strings.HasPrefix(line, "| message") || strings.HasPrefix(line, "| ---") {
			continue
		}
		for _, message := range quoted.FindAllStringSubmatch(cells[0], -1) {
			messages++
			for part := range strings.SplitSeq(message[1], "…") {
				if part = strings.Trim(part, " :;,"); !strings.Contains(code, part) {
					t.Errorf("no code says %q (of %q)", part, message[1])
				}
			}
		}
	}
	if messages < 40 {
		t.Errorf("%d messages are explained: the tables are not read as they should be", messages)
	}
}

// TestAlertsQuoteRealMessages does the same for the sections of the alerts, whose messages stand among keys and commands.
func TestAlertsQuoteRealMessages(t *testing.T) {
	_, text, found := strings.Cut(read(t, "docs/operations.md"), "\n### FirstcallGone")
	text, _, ends := strings.Cut(text, "\n## ")
	if !found || !ends {
		t.Fatal("docs/operations.md has no alerts")
	}
	code, messages := literals(t), 0
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		if command, _, more := strings.Cut(m[1], " "); !more || command == "firstcall" || command == "systemctl" || command == "severity:" || command == "grafana_dashboard:" {
			continue
		}
		messages++
		for part := range strings.SplitSeq(m[1], "…") {
			if part = strings.Trim(part, " :;,"); !strings.Contains(code, part) {
				t.Errorf("no code says %q (of %q)", part, m[1])
			}
		}
	}
	if messages < 20 {
		t.Errorf("%d messages are quoted: they are not found as they should be", messages)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// literals returns every text in the product's code; one that is put together with + is one text.
func literals(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		var s scanner.Scanner
		s.Init(files.AddFile(path, files.Base(), len(source)), source, nil, 0)
		for {
			_, tok, text := s.Scan()
			switch tok {
			case token.EOF:
				return nil
			case token.STRING:
				plain, err := strconv.Unquote(text)
				if err != nil {
					return err
				}
				all.WriteString(plain)
			case token.ADD, token.SEMICOLON:
			default:
				all.WriteByte('\n')
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
