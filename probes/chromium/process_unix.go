//go:build unix

package chromium

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// prepare makes the browser's ends of the pipes its descriptors 3 and 4, and the browser the leader of a process group.
func prepare(cmd *exec.Cmd, theirs, _ [2]*os.File) {
	cmd.ExtraFiles = theirs[:]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
}

// kill ends the process and its group.
func kill(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// reap waits until nothing of the group is left, for a few seconds. Where the agent is the first process of a container, what
// the browser leaves behind becomes its child: it is waited for, so that no zombie stays.
func reap(group int) {
	for range 200 {
		pid, err := syscall.Wait4(-group, nil, syscall.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, syscall.EINTR) && errors.Is(syscall.Kill(-group, syscall.SIGKILL), syscall.ESRCH) {
			return
		}
		if pid <= 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// tryLock takes the lock of an open file, which ends with it, and reports whether it was free.
func tryLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// ours reports whether a file belongs to this user.
func ours(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
