//go:build !linux

package agent

// dropOwnPages does nothing here.
func dropOwnPages() {}
