package desk

import (
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// A case's key as a ticket system may be asked for it.
func usableKey(key string) bool { return key != "" && len(key) <= incident.MaxKey }

// shortened returns text on one line with at most so many characters, whole ones.
func shortened(text string, most int) string {
	text = secret.Plain(text, utf8.UTFMax*most)
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return strings.TrimSpace(string([]rune(text)[:most-1])) + "…"
}

// noteTexts joins the notes of each kind, a blank line between two.
func noteTexts(notes []Note) (internal, public string) {
	var texts [2][]string
	for _, n := range notes {
		i := 0
		if n.Public {
			i = 1
		}
		texts[i] = append(texts[i], cleanText(n.Text))
	}
	return strings.Join(texts[0], "\n\n"), strings.Join(texts[1], "\n\n")
}

// cleanText returns a text of several lines, each fit for a case, bounded.
func cleanText(text string) string { return body(Fields{Body: text}) }

var markup = regexp.MustCompile(`<[^<>]*>`)

// unmarked returns the text of a piece of HTML on one line, bounded.
func unmarked(text string) string {
	return secret.Plain(html.UnescapeString(markup.ReplaceAllString(text, " ")), maxReason)
}

// risingSteps makes the times of transitions, oldest first, rise strictly, so that reading on after one of them misses none.
func risingSteps(all []incident.Transition) {
	for i := 1; i < len(all); i++ {
		if !all[i].At.After(all[i-1].At) {
			all[i].At = all[i-1].At.Add(time.Nanosecond)
		}
	}
}

// stepsAfter returns the transitions after since, exclusive, that somebody made: those without an actor are the agent's own.
func stepsAfter(all []incident.Transition, since time.Time) []incident.Transition {
	return slices.DeleteFunc(all, func(t incident.Transition) bool { return t.Actor == "" || !t.At.After(since) })
}

// webAddress returns raw when it is an http or https address fit to be shown, else "".
func webAddress(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || raw != secret.Plain(raw, 500) {
		return ""
	}
	return raw
}

// unsettled is the error of a read that had to come before a write: what the case is like is not known.
func unsettled(err error) error {
	return &failure{text: err.Error(), is: []error{err, ErrUnknownOutcome}}
}
