//go:build clockskew

package agent

import (
	"os"
	"time"
)

// A build with this tag, which only tests make, believes a clock that is wrong by FIRSTCALL_CLOCK_SKEW.
func init() { skew, _ = time.ParseDuration(os.Getenv("FIRSTCALL_CLOCK_SKEW")) }
