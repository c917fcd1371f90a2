package desk_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servers.Sharing(m)) }
