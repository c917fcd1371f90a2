package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
)

// Bounds on the table of cases.
const (
	titleWidth  = 40
	pendingRoom = 100 // where the output is no terminal
	pendingLess = 40  // a terminal that has less room for it gets a case on several lines
)

// widthOf returns how wide the terminal is to which w writes; 0 where it is none.
func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// caseLine is a case as it stands in the list.
type caseLine struct{ number, priority, state, title, desk, reaction, held, pending string }

func printCases(w io.Writer, answer web.Cases, width int) error {
	if len(answer.Cases) == 0 {
		_, err := fmt.Fprintln(w, "no cases")
		return err
	}
	lines := make([]caseLine, 0, len(answer.Cases))
	for _, k := range answer.Cases {
		lines = append(lines, lineOf(k, answer.At))
	}
	left, err := columns(lines)
	if err != nil {
		return err
	}
	room := pendingRoom
	if width > 0 {
		room = width - utf8.RuneCountInString(left[0])
	}
	if room < pendingLess {
		err = printNarrow(w, lines, width)
	} else {
		err = printWide(w, left, lines, room)
	}
	if err == nil && len(answer.Cases) == listLimit {
		_, err = fmt.Fprintf(w, "the newest %d; the status page has older ones\n", listLimit)
	}
	return err
}

func lineOf(k web.Case, at time.Time) caseLine {
	return caseLine{
		number: orDash(k.Number), priority: priorityOf(k).String(), state: stateWord(k.Case), title: shortened(printable(k.Title), titleWidth), desk: k.Desk,
		reaction: orDash(web.Reaction(k.Clock, !k.Closed.IsZero(), at)), held: orDash(onHold(k.Case, at)), pending: orDash(pending(k.Deliveries)),
	}
}

// columns returns the lines of a table, the heading first, up to where its last column begins: all equally wide.
func columns(lines []caseLine) ([]string, error) {
	head := caseLine{number: "NUMBER", priority: "PRIORITY", state: "STATE", title: "INCIDENT", desk: "DESK", reaction: "REACTION", held: "ON HOLD"}
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, l := range append([]caseLine{head}, lines...) {
		row(tw, l.number, l.priority, l.state, l.title, l.desk, l.reaction, l.held, "") // the empty cell ends the column before it
	}
	err := tw.Flush()
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n"), err
}

// printWide writes a table whose last column takes the room that is left.
func printWide(w io.Writer, left []string, lines []caseLine, room int) error {
	for n := range left {
		last := "PENDING"
		if n > 0 {
			last = printable(lines[n-1].pending)
		}
		if _, err := fmt.Fprintln(w, left[n]+shortened(last, room)); err != nil {
			return err
		}
	}
	return nil
}

// printNarrow writes each case on lines of its own.
func printNarrow(w io.Writer, lines []caseLine, width int) error {
	put := func(indent string, parts ...string) error {
		_, err := fmt.Fprintln(w, indent+shortened(printable(strings.Join(parts, "  ")), max(len("..."), width-len(indent))))
		return err
	}
	for _, l := range lines {
		if err := put("", l.number, l.priority, l.state, "at "+l.desk); err != nil {
			return err
		}
		for _, more := range []struct{ name, text string }{{"", l.title}, {"reaction ", l.reaction}, {"on hold ", l.held}, {"pending: ", l.pending}} {
			if more.text == "-" {
				continue
			}
			if err := put("  ", more.name+more.text); err != nil {
				return err
			}
		}
	}
	return nil
}

// priorityOf returns the priority that the desk shows or, while it shows none, the one that it should.
func priorityOf(k web.Case) incident.Priority { return cmp.Or(k.Priority, k.Asked) }

// onHold says for how long the case has been waiting for the customer; "" where it does not.
func onHold(k incident.Case, at time.Time) string {
	if n := len(k.Holds); n > 0 && k.Holds[n-1].To.IsZero() {
		return "for " + web.Span(at.Sub(k.Holds[n-1].From))
	}
	return ""
}

// pending says what is to be delivered: what fails before what only waits, and how much more there is.
func pending(list []web.Delivery) string {
	if len(list) == 0 {
		return ""
	}
	worst := list[0]
	for _, d := range list {
		if rank(d) > rank(worst) {
			worst = d
		}
	}
	text := worst.What() + " " + worst.How()
	if worst.Notifier != "" {
		text = worst.What() + " by " + worst.Notifier + " " + worst.How()
	}
	if len(list) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(list)-1)
	}
	if why := worst.Why(); why != "" {
		text += ": " + why
	}
	return text
}

func rank(d web.Delivery) int {
	switch {
	case d.Attempts > 0 && d.Desk != "":
		return 3
	case d.Attempts > 0:
		return 2
	case d.Desk != "":
		return 1
	}
	return 0
}

// row writes one line of a table.
func row(w io.Writer, cells ...string) {
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
}

func stateWord(k incident.Case) string {
	if k.State == incident.CaseWanted {
		return "wanted"
	}
	return string(k.State)
}
