// Package systems holds stand-ins for the ticket systems that cannot be had on a test machine. Each behaves as its maker documents
// it, faults included: searches that lag, limits on requests, errors inside of answers that look good, doubles that are accepted.
package systems
