// Package servers starts real servers for tests, on loopback only: nginx, xrdp, FreeRDP's shadow server, Weston, mailpit, Prometheus,
// Alertmanager, Request Tracker, an MIT KDC, sipp, dbus-daemon, PostgreSQL, and in Go a
// webhook receiver, a web server that breaks, a byte-counting relay and a listener that stays silent.
//
// Every Start function returns when the server listens and registers its end with t.Cleanup. A server that is a process runs
// in a process group of its own, dies with the test binary whatever ends that, and can be stopped, killed, frozen, thawed and
// started again on the same address. A missing program is fatal and names the Debian package that brings it.
package servers
