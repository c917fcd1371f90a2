// Package packaging holds what an installation has beside the binary: units of systemd, the system's user, scripts of Debian and RPM
// packages. .goreleaser.yaml puts them together. There is no code here, but the tests that install and remove such a package.
package packaging
