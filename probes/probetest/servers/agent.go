package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// RunWithAgent is what a TestMain does: it runs the tests while the agent, built with these flags of go build, is at *binary.
func RunWithAgent(m *testing.M, binary *string, flags ...string) {
	dir, err := os.MkdirTemp("", "firstcall-agent-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	*binary = filepath.Join(dir, "firstcall")
	build := exec.Command("go", append(append([]string{"build", "-o", *binary}, flags...), "github.com/firstcall-agent/firstcall")...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build the agent: %v\n%s", err, out))
	}
	m.Run() // its code is the process'
}
