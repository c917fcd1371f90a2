package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxShown bounds how many faults Faults.Error prints; Summary still counts all of them.
const maxShown = 100

// Fault is one thing that is wrong with a configuration. It holds no secret: values of secret and of unknown keys are left out
// of Source, and values from the environment or from secret files are never part of Message.
type Fault struct { //nolint:errname // "fault" is the word for it everywhere: in the output, in the documents
	File    string
	Line    int    // 1-based; 0 when the fault is the file's as a whole
	Column  int    // 1-based, in characters
	Path    string // such as components[0].probes[1].address; "" for the whole file and for faults of syntax
	Message string // a lower-case clause
	Hint    string // what to write instead; may be empty
	Source  string // the line, fit to show; "" when there is none
	Caret   int    // 1-based column in Source
	Err     error  // what caused it, where that is an error that a caller may ask for, such as fs.ErrNotExist; usually nil
}

// Error returns the fault on one line, without the source.
func (f Fault) Error() string {
	if f.Hint == "" {
		return f.head()
	}
	return f.head() + " (" + f.Hint + ")"
}

func (f Fault) head() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Path != "" {
		b.WriteString(": " + f.Path)
	}
	b.WriteString(": " + f.Message)
	return b.String()
}

// Text returns the fault as people read it: its place and what is wrong, the source line with a caret under the column, and
// the hint.
func (f Fault) Text() string {
	var b strings.Builder
	b.WriteString(f.head())
	if f.Source != "" {
		number := fmt.Sprint(f.Line)
		fmt.Fprintf(&b, "\n  %s | %s", number, f.Source)
		fmt.Fprintf(&b, "\n  %s | %s^", strings.Repeat(" ", len(number)), strings.Repeat(" ", f.Caret-1))
	}
	if f.Hint != "" {
		b.WriteString("\n  hint: " + f.Hint)
	}
	return b.String()
}

// Faults is everything that is wrong with a configuration, in the order of the file. Load and Parse return it as their error.
type Faults []Fault //nolint:errname // as above

// Error returns every fault as Text does, the first 100 of them; a caller adds Summary.
func (f Faults) Error() string {
	var b strings.Builder
	for i, fault := range f {
		if i == maxShown {
			fmt.Fprintf(&b, "\nand %d more", len(f)-maxShown)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(fault.Text())
	}
	return b.String()
}

// Unwrap returns the errors that caused faults, so that errors.Is finds a file that does not exist.
func (f Faults) Unwrap() []error {
	var causes []error
	for _, fault := range f {
		if fault.Err != nil {
			causes = append(causes, fault.Err)
		}
	}
	return causes
}

// Summary returns the last line for people: "2 faults; nothing was started".
func (f Faults) Summary() string {
	if len(f) == 1 {
		return "1 fault; nothing was started"
	}
	return fmt.Sprintf("%d faults; nothing was started", len(f))
}

// sorted returns the faults in the order of the file, each once.
func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	return slices.CompactFunc(f, func(a, b Fault) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Path == b.Path && a.Message == b.Message
	})
}
