//go:build !linux

package chromium

import "syscall"

// dieWithParent: elsewhere the browser ends when it sees the end of its pipe.
func dieWithParent(*syscall.SysProcAttr) {}

// memory is not known.
func memory(int) int64 { return 0 }
