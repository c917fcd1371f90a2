// Package service lets the agent run under the service control manager of Windows, which starts a program without a console, wants
// to be told of its states, and stops it by a request instead of a signal.
package service

import (
	"bytes"
	"strings"
)

// Name is the source of what a service writes to the event log.
const Name = "firstcall"

// longest is how many bytes of a message go into one event; the system takes no more than 31,839 characters.
const longest = 30_000

// severity is how bad an event is, as the event log has it.
type severity int

const (
	information severity = iota
	warning
	failure
)

// events writes lines into an event log, one event each write, so that a fault of several lines stays together.
type events struct {
	report func(severity, string) error
}

func (e events) Write(p []byte) (int, error) {
	text := strings.TrimSpace(strings.ReplaceAll(string(bytes.ToValidUTF8(p, []byte("?"))), "\x00", "?"))
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + " ..."
	}
	if text == "" {
		return len(p), nil
	}
	if err := e.report(rate(text), text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// rate tells how bad a line of the log is, in either of its formats. What is no line of the log says why a command ended.
func rate(text string) severity {
	head := text[:min(len(text), 120)]
	switch {
	case strings.Contains(head, "level=INFO"), strings.Contains(head, "level=DEBUG"), strings.Contains(head, `"level":"INFO"`), strings.Contains(head, `"level":"DEBUG"`):
		return information
	case strings.Contains(head, "level=WARN"), strings.Contains(head, `"level":"WARN"`), strings.HasPrefix(head, "warning: "):
		return warning
	}
	return failure
}
