// Package field is the vocabulary in which configuration structs describe their own faults.
//
// A configurable kind (a probe, a desk, a notifier) is a struct whose fields carry tags that the decoder, the JSON Schema
// and the reference page all read:
//
//	yaml:"address"       the key, snake_case
//	doc:"host:port ..."  one sentence for the reference page
//	default:"5s"         the value when the key is absent, as it would be written
//	required:"true"      absent is a fault
//	enum:"a,b"           the allowed words
//	inline:"<{"          a text that begins with one of these, or the path of a file that holds such a text
//
// time.Duration is written as 30s, 5m, 21d; a secret.Value named x may be given as x or as x_file.
package field

import (
	"fmt"
	"strings"
)

// Error is one fault. Path is relative to the struct that reports it ("address", "expect.status[0]", or "" for the whole);
// Message is a lower-case clause; Hint, when not empty, says what to write instead.
type Error struct {
	Path    string
	Message string
	Hint    string
}

// Error returns "path: message (hint)".
func (e Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Errors gathers every fault of one struct. The zero value has none.
type Errors []Error

// Add appends a fault at path.
func (e *Errors) Add(path, format string, args ...any) {
	*e = append(*e, Error{Path: path, Message: fmt.Sprintf(format, args...)})
}

// AddHint appends a fault at path with a hint.
func (e *Errors) AddHint(path, hint, format string, args ...any) {
	*e = append(*e, Error{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// Words is a list of texts that may be written as its only one. The zero value is empty.
type Words []string

// Validator is implemented by configuration structs that can check more than their tags say. Validate is called once, after
// decoding and defaults, and must be free of side effects (no network, no files written).
type Validator interface{ Validate() Errors }
