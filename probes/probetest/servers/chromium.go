//go:build linux

package servers

import "testing"

// Chromium returns the path of Chromium.
func Chromium(t testing.TB) string {
	t.Helper()
	return program(t, "chromium", "chromium")
}

// Certutil returns the path of NSS' certutil.
func Certutil(t testing.TB) string {
	t.Helper()
	return program(t, "certutil", "libnss3-tools")
}
