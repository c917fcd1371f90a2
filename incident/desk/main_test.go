package desk_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// child is what this test binary is when a test starts it again as a process of its own; nil, or false: nothing of the kind.
var child func() bool

func TestMain(m *testing.M) {
	if child != nil && child() {
		os.Exit(0)
	}
	goleak.VerifyTestMain(servers.Sharing(m))
}
