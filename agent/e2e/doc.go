// Package e2e holds the tests of the whole agent, as a process, against real servers. They carry the build tag servers.
package e2e
