package secret

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain returns text on one line, fit for a log, an error or a case: what is not printable (control characters, direction
// marks, broken UTF-8) becomes one space, and it is cut to at most limit bytes.
func Plain(text string, limit int) string {
	cut := len(text) > 4*limit // so that the work is bounded too
	if cut {
		text = text[:4*limit]
	}
	clean := strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return r == utf8.RuneError || r == ' ' || !unicode.IsPrint(r)
	}), " ")
	if len(clean) <= limit && !cut {
		return clean
	}
	const ellipsis = "..."
	end := min(len(clean), limit-len(ellipsis))
	for end > 0 && end < len(clean) && !utf8.RuneStart(clean[end]) {
		end--
	}
	return clean[:end] + ellipsis
}

// Hide replaces every secret in text, as it is and as it stands in an address, in quotes or in base64.
func Hide(text string, secrets []Value) string {
	for _, s := range secrets {
		if s.IsZero() {
			continue
		}
		raw := s.Reveal()
		quoted := strconv.Quote(raw)
		for _, form := range []string{
			raw, quoted[1 : len(quoted)-1], url.QueryEscape(raw), url.PathEscape(raw), base64.StdEncoding.EncodeToString([]byte(raw)),
		} {
			text = strings.ReplaceAll(text, form, Mask)
		}
	}
	return text
}
