//go:build linux

package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// child is a process whose use of CPU and memory is read.
type child struct{ cmd *exec.Cmd }

func (c *child) start() error { return c.cmd.Start() }

func (c *child) end() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// cpu returns the CPU time that the process used so far, from its own clock (not in ticks).
func (c *child) cpu() time.Duration {
	var ts unix.Timespec
	// The clock of another process: ~pid << 3 | CPUCLOCK_SCHED (clock_getcpuclockid(3)).
	if err := unix.ClockGettime(int32(^c.cmd.Process.Pid<<3|2), &ts); err != nil {
		log.Fatal("the process's CPU clock cannot be read: ", err)
	}
	return time.Duration(ts.Nano())
}

// memory returns the resident memory now and at its peak, in MB (10^6 bytes).
func (c *child) memory() (now, peak float64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
			now = kb * 1024 / 1e6
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kb); err == nil {
			peak = kb * 1024 / 1e6
		}
	}
	return now, peak
}
