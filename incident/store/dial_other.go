//go:build !linux

package store

import "syscall"

// giveUpSilence is for Linux; elsewhere the bounds of each statement end the wait.
func giveUpSilence(string, string, syscall.RawConn) error { return nil }
