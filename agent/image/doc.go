// Package image holds the tests of the container image: that it builds alike everywhere, what is in it, and that it runs with
// nothing allowed. They carry the build tag servers.
package image
