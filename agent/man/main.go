// Command man writes what a package of firstcall installs beside the binary: man pages of every command, and completions for shells.
// It is a program of its own so that the binary has none of it.
//
//	go run ./agent/man dist
//
// Pages are dated by SOURCE_DATE_EPOCH where it is set, so that a build can be repeated.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/firstcall-agent/firstcall/agent/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "man: want 'go run ./agent/man DIRECTORY'")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

// write makes man/*.1 and completions/* below directory.
func write(directory string) error {
	pages, completions := filepath.Join(directory, "man"), filepath.Join(directory, "completions")
	for _, d := range []string{pages, completions} {
		if err := os.MkdirAll(d, 0o755); err != nil { //nolint:gosec // for everybody to read
			return err
		}
	}
	root := cli.Command()
	bash, zsh, fish, power := filepath.Join(completions, "firstcall.bash"), filepath.Join(completions, "_firstcall"),
		filepath.Join(completions, "firstcall.fish"), filepath.Join(completions, "firstcall.ps1")
	if err := errors.Join(
		root.GenBashCompletionFileV2(bash, true), root.GenZshCompletionFile(zsh), root.GenFishCompletionFile(fish, true), root.GenPowerShellCompletionFileWithDesc(power),
	); err != nil {
		return err
	}
	prepare(root)
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "firstcall " + root.Version, Manual: "firstcall"}, pages)
}

// prepare makes Markdown, which the pages are made of, of the texts of cmd and of every command below it: a line that is set in by
// two spaces is to stay as it is. The page does not say how it was made.
func prepare(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	lines := strings.Split(cmd.Long, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "  ") {
			lines[i] = "  " + line
		}
	}
	cmd.Long = strings.Join(lines, "\n")
	for _, sub := range cmd.Commands() {
		prepare(sub)
	}
}
