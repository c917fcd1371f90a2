//go:build !unix

package agent

import (
	"context"
	"math"
	"os"
)

// reloadSignal delivers nothing: there is no such signal here. POST /-/reload and a change of the file reload.
func reloadSignal(context.Context) <-chan os.Signal { return nil }

// openFiles returns how many descriptors the process may have: no limit that matters.
func openFiles() int { return math.MaxInt32 }
