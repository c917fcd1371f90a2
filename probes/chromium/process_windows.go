package chromium

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/windows"
)

// prepare hands the browser's ends of the pipes over by the values of their handles, and keeps the own ends to this process.
func prepare(cmd *exec.Cmd, theirs, ours [2]*os.File) {
	for _, f := range ours {
		_ = syscall.SetHandleInformation(syscall.Handle(f.Fd()), syscall.HANDLE_FLAG_INHERIT, 0)
	}
	in, out := syscall.Handle(theirs[0].Fd()), syscall.Handle(theirs[1].Fd())
	for _, h := range []syscall.Handle{in, out} {
		_ = syscall.SetHandleInformation(h, syscall.HANDLE_FLAG_INHERIT, syscall.HANDLE_FLAG_INHERIT)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true, AdditionalInheritedHandles: []syscall.Handle{in, out}}
	cmd.Args = slices.Insert(cmd.Args, 1, "--remote-debugging-io-pipes="+strconv.FormatUint(uint64(in), 10)+","+strconv.FormatUint(uint64(out), 10))
}

// kill ends the process; its children end when they see that.
func kill(p *os.Process) { _ = p.Kill() }

func reap(int) {}

// tryLock takes the lock of an open file, which ends with it, and reports whether it was free.
func tryLock(f *os.File) bool {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped)) == nil
}

// ours: the directory for temporary files is the user's own.
func ours(os.FileInfo) bool { return true }
