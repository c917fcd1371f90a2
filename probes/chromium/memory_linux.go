package chromium

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// dieWithParent makes the kernel kill the browser when the agent dies, however it does.
func dieWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGKILL }

// memory returns the bytes that the processes of a group have for themselves (proc(5): RssAnon and RssShmem); 0 when unknown.
func memory(group int) int64 {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	var sum int64
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && groupOf(pid) == group {
			sum += privateBytes(pid)
		}
	}
	return sum
}

// groupOf returns the process group of a process; 0 when it is gone.
func groupOf(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// the name before the state is in parentheses and may itself hold any character; then state, parent, group
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 3 {
		return 0
	}
	group, _ := strconv.Atoi(string(fields[2]))
	return group
}

func privateBytes(pid int) int64 {
	status, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	var sum int64
	for line := range bytes.Lines(status) {
		if name, rest, ok := bytes.Cut(line, []byte(":")); ok && (string(name) == "RssAnon" || string(name) == "RssShmem") {
			fields := bytes.Fields(rest)
			if len(fields) > 0 {
				kilobytes, _ := strconv.ParseInt(string(fields[0]), 10, 64)
				sum += kilobytes << 10
			}
		}
	}
	return sum
}
