package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/agent/cli"
)

func TestWrite(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1764417600")
	directory := t.TempDir()
	if err := write(directory); err != nil {
		t.Fatal(err)
	}
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		if !cmd.IsAvailableCommand() && cmd.HasParent() || cmd.Name() == "help" {
			return
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		page, err := os.ReadFile(filepath.Join(directory, "man", name))
		if err != nil {
			t.Error(err)
			return
		}
		for _, want := range []string{`.TH "` + strings.ToUpper(strings.TrimSuffix(name, ".1")) + `" "1" "Nov 2025"`, ".SH SYNOPSIS", ".SH OPTIONS"} {
			if !strings.Contains(string(page), want) {
				t.Errorf("%s has no %s", name, want)
			}
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(cli.Command())
	list, err := os.ReadFile(filepath.Join(directory, "man", "firstcall-desk-list.1"))
	if err != nil || !strings.Contains(string(list), ".EX\nFIND        cases are found by their key\n") {
		t.Errorf("what is set in is not kept as it is (%v):\n%s", err, list)
	}
	for _, name := range []string{"firstcall.bash", "_firstcall", "firstcall.fish", "firstcall.ps1"} {
		text, err := os.ReadFile(filepath.Join(directory, "completions", name))
		if err != nil || !strings.Contains(string(text), "__complete") {
			t.Errorf("%s completes nothing (%v)", name, err)
		}
	}
}
