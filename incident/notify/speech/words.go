package speech

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// MaxWords bounds what is said, in characters: about forty seconds.
const MaxWords = 600

// phrases are the words that are not in the message.
type phrases struct{ hello, priority, number, dash, look string }

var english = phrases{
	hello: "This is firstcall.", priority: "Priority", number: "Case number", dash: "dash",
	look: "Please look at the case at the Operations Centre.",
}

var danish = phrases{
	hello: "Det er firstcall.", priority: "Prioritet", number: "Sagsnummer", dash: "streg",
	look: "Se venligst sagen hos Operations Centre.",
}

// tag is the case number in front of a subject; level is a priority.
var (
	tag   = regexp.MustCompile(`^\s*\[([^\]]{1,60})\]\s*`)
	level = regexp.MustCompile(`\bP([1-4])\b`)
	// What is read one character at a time: a case number such as FC-2026-000123 or INC0012345, five digits and more, and
	// telephone numbers.
	spelt = regexp.MustCompile(`\b[A-Z]{1,10}-?(?:[0-9]+-)*[0-9]{3,}\b|\+[0-9][0-9 ]{5,18}[0-9]|\b[0-9]{5,}\b`)
	clock = regexp.MustCompile(`\b([0-2]?[0-9])[:.]([0-5][0-9])\b`)
)

// Words returns what is to be said of a message, in one language: its subject, the first of its lines and its case number, with
// nothing in it that a synthesiser reads as markup. It has at most MaxWords characters.
func Words(language, subject, text string, p incident.Priority) string {
	say := english
	if language == "da" {
		say = danish
	}
	subject = secret.Plain(subject, MaxWords)
	number := ""
	if found := tag.FindStringSubmatch(subject); found != nil {
		number, subject = found[1], subject[len(found[0]):]
	}
	end := say.look
	if number != "" {
		end = sentence(say.number+" "+say.spell(number)) + " " + end
	}
	start := say.hello
	if p != incident.NoPriority && !level.MatchString(subject) {
		start += " " + say.priority + " " + strings.TrimPrefix(p.String(), "P") + "."
	}
	said := []string{start, sentence(say.spoken(subject))}
	left := MaxWords - utf8.RuneCountInString(end) - 1
	length := 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "-- " || length > MaxWords { // what follows is about the agent, or too much
			break
		}
		if s := sentence(say.spoken(secret.Plain(line, MaxWords))); s != "" {
			said = append(said, s)
			length += utf8.RuneCountInString(s)
		}
	}
	return cut(strings.Join(said, " "), left) + " " + end
}

// spoken returns a line without what is not said.
func (p phrases) spoken(line string) string {
	var words []string
	for word := range strings.FieldsSeq(line) {
		if !strings.Contains(word, "://") {
			words = append(words, word)
		}
	}
	line = strings.TrimPrefix(strings.Join(words, " "), "- ")
	line = level.ReplaceAllString(line, p.priority+" $1")
	line = spelt.ReplaceAllStringFunc(line, p.spell)
	line = clock.ReplaceAllString(line, "$1 $2")
	line = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" .,:?!'-+@%", r) {
			return r
		}
		return ' '
	}, line)
	return strings.NewReplacer(" .", ".", " ,", ",", " :", ":", " ?", "?", " !", "!").Replace(strings.Join(strings.Fields(line), " "))
}

// spell returns a text one character at a time.
func (p phrases) spell(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '-':
			b.WriteString(p.dash + " ")
		case r == '+' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteString(string(r) + " ")
		}
	}
	return strings.TrimSpace(b.String())
}

// sentence ends a text with a full stop; "" stays "".
func sentence(text string) string {
	text = strings.TrimRight(strings.TrimSpace(text), ":,-. ")
	if text == "" || strings.HasSuffix(text, "?") || strings.HasSuffix(text, "!") {
		return text
	}
	return text + "."
}

// cut returns at most limit characters of text, to the end of a word.
func cut(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	text = string([]rune(text)[:max(limit-1, 0)])
	if at := strings.LastIndexByte(text, ' '); at > limit/2 {
		text = text[:at]
	}
	return sentence(text)
}
