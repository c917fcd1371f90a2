package agent

import (
	"os"
	"runtime"
	"runtime/debug"
)

// tuneMemory gives back what the start took, and makes the collector run more often than Go's default, unless the user chose:
// the agent holds much that lives long and makes little garbage, so that a smaller heap costs next to no time.
func tuneMemory() {
	if _, chosen := os.LookupEnv("GOGC"); !chosen {
		debug.SetGCPercent(50)
	}
	runtime.GC() // empties the pools into their second chance, which holds megabytes of the migrations' parser
	debug.FreeOSMemory()
	dropOwnPages()
}
