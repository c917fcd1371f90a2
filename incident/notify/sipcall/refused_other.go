//go:build !linux

package sipcall

import "syscall"

// hearRefusals does nothing: a trunk at which nobody listens is one that gives no sign.
func hearRefusals(string, string, syscall.RawConn) error { return nil }
