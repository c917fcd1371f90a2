// Command gen writes docs/configuration.md, docs/firstcall.schema.json and what follows from them. It is run by go generate, in package config's
// directory.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/firstcall-agent/firstcall/config/internal/reference"
)

func main() {
	if err := run(filepath.Join("..", "docs")); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(docs string) error {
	files, err := reference.Files(docs)
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
